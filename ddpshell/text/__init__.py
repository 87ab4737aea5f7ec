"""Values and server text as text: parsing literals, formatting values, and escaping what a terminal must not receive."""

from __future__ import annotations

__all__: list[str] = []
