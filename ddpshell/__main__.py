"""`python -m ddpshell` is `ddp`."""

from __future__ import annotations

from .cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
