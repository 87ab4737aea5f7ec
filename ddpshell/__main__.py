"""`python -m ddpshell` runs `ddp`."""

from __future__ import annotations

# `signal` wraps this module and takes much longer to import. Until then Ctrl-C would print a traceback.
import _signal as signal  # type: ignore[import-not-found]  # typeshed does not have it

__all__ = ["main"]


def main() -> None:
    """Run the command line, and end the process."""
    # During the imports, let Ctrl-C end the process without a traceback, as SIGTERM does.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli.main import main as run

    run()


if __name__ == "__main__":
    main()
