"""A person at a prompt: values and text in forms that are safe to show and easy to type."""

from __future__ import annotations

__all__: list[str] = []
