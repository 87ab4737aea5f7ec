"""The subcommands of `ddp`, one file for each."""

from __future__ import annotations

__all__: list[str] = []
