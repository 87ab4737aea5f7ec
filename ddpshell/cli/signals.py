"""Ctrl-C and SIGTERM, put off for as long as a line is being written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["unbroken"]


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Put a signal off until the end of the `with` block; a second one is not put off, for the block may hang.

    On other threads than the main one nothing happens: no signal is handled there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    held: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)
        if len(held) > 1:
            handle(number, frame)

    for number, handler in before.items():
        # One that is ignored, or does what the system does, is not ours to put off.
        if callable(handler):
            signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
    if len(held) == 1:
        handle(held[0], None)
