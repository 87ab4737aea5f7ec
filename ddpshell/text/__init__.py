"""Text for people: literals, formatted values, tables, changes and frames, all of it safe for a terminal."""

from __future__ import annotations

__all__: list[str] = []
