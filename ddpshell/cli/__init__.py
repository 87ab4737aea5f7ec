"""A process with arguments: the command `ddp`."""

from __future__ import annotations

__all__: list[str] = []
