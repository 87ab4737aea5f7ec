"""The shell's terminal: prompt, completion, highlighting, history and output."""

from __future__ import annotations

__all__: list[str] = []
