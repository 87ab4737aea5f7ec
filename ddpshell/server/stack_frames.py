"""Where in the application's code a thread is, or an exception came from: for telling whoever wrote the handler."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

__all__ = ["application_part", "place_of"]

#: This package, what comes with Python, and what is installed beside that.
_NOT_THE_APPLICATION = (
    __file__[: -len("server/stack_frames.py")],
    threading.__file__[: -len("threading.py")],
    "<frozen ",
)


def place_of(thread: threading.Thread) -> str:
    """Say what a thread is at, in the application's own words: `app.py, line 5, in slow`; else its name."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented, if not for every Python
    # The innermost place in the application itself, where it has called a library.
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_APPLICATION):
        frame = frame.f_back
    if frame is None:
        return thread.name
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}, in {frame.f_code.co_name}"


def application_part(trace: TracebackType | None) -> TracebackType | None:
    """Leave out of a traceback how the server came to call the application; leave it as it is, if it did not."""
    part = trace
    while part is not None and part.tb_frame.f_code.co_filename.startswith(_NOT_THE_APPLICATION):
        part = part.tb_next
    return part or trace
