"""Frames as the shell and the command line print them."""

from __future__ import annotations

import functools
from datetime import datetime

from .escaping import escape_json_line
from .formatting import colored_value
from .palette import StyledText
from .prose import omission

__all__ = ["colored_json", "frame_line", "time_of_day"]

#: Longer frames are not colored, since coloring takes about a microsecond for each character.
_MOST_COLORED = 10_000


def frame_line(
    text: str, *, is_sent: bool, when: datetime, session: str = "", omitted: int = 0, colored: bool = True
) -> StyledText:
    """Format one frame as a line with its time. The caller has already masked the secrets.

    Args:
        text: The message, or its beginning.
        is_sent: Whether this side sent the frame.
        when: The time at which the frame was sent or received.
        session: A short name of the session, printed after the time; empty if there is only one session.
        omitted: The number of characters that `text` lacks at its end.
        colored: Whether to color the values in the message, which takes some time.
    """
    # JSON's own escapes, so that a line copied from the screen is still the same message.
    safe = escape_json_line(text)
    line: StyledText = [
        ("time", time_of_day(when)),
        ("", f" {session}" if session else ""),
        ("sent", " -> ") if is_sent else ("received", " <- "),
    ]
    line += colored_json(safe) if colored else [("", safe)]
    if omitted:
        line += [("", " "), omission(omitted, "characters")]
    return [(style, piece) for style, piece in line if piece]


def colored_json(text: str) -> StyledText:
    """Style the JSON of a frame or of a part of it, unless it is very long."""
    return colored_value(text) if len(text) <= _MOST_COLORED else [("", text)]


def time_of_day(when: datetime) -> str:
    """Format the local time of day with milliseconds: `12:30:00.005`."""
    return f"{_local_second(when.replace(microsecond=0))}.{when.microsecond // 1000:03}"


@functools.lru_cache(maxsize=4)
def _local_second(second: datetime) -> str:
    # Finding out the time zone takes longer than the rest of a line.
    return second.astimezone().strftime("%H:%M:%S")
