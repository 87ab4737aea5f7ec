"""The smallest program that has a prompt."""

from __future__ import annotations

from prompt_toolkit import PromptSession

if __name__ == "__main__":
    PromptSession[str]().prompt("localhost:3000> ")
