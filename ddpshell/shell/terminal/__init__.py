"""The terminal of the shell: the prompt, completion, highlighting, history and the printer."""

from __future__ import annotations

__all__: list[str] = []
