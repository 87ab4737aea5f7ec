"""`python -m ddpshell` is `ddp`."""

from __future__ import annotations

# What `signal` wraps, which takes thousands of times as long to load: until it is, Ctrl-C is a traceback.
import _signal as signal  # type: ignore[import-not-found]  # typeshed leaves it out

__all__ = ["main"]


def main() -> None:
    """Run the command that the process was started as, and end the process."""
    # While it is being loaded, Ctrl-C ends the process as SIGTERM does: without a traceback out of some import.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli.main import main as run

    run()


if __name__ == "__main__":
    main()
