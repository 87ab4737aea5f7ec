"""What DDP means: values in, values out. No socket, thread, clock, chance, logging or print in here."""

from __future__ import annotations

__all__: list[str] = []
