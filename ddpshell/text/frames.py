"""Frames as the shell and the command line print them, and the filter that selects frames."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice

from .escaping import escape_json
from .formatting import colored_value
from .palette import StyledText

__all__ = ["FrameFilter", "frame_line", "time_of_day"]

_KIND = re.compile(r'"msg"\s*:\s*"(\w+)"')
_NAME = re.compile(r'"(?:method|name|collection)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_ID = re.compile(r'"id"\s*:\s*"((?:[^"\\]|\\.)*)"')
_IDS = re.compile(r'"(?:methods|subs)"\s*:\s*\[([^\]]*)\]')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')

#: The filter remembers the names of this many calls and subscriptions.
_REMEMBERED = 10_000

#: The filter searches this many characters of a frame. Nearly all servers write type, id and name first.
_SEARCHED = 5000

#: Longer frames are not colored, since coloring takes about a microsecond for each character.
_MOST_COLORED = 10_000


class FrameFilter:
    """Selects frames by message type and by name.

    Args:
        patterns: Message types (`method`), and names of methods, publications and collections; `*` matches any text.
            The name of a method or publication also selects the server's answers. Without patterns, all frames match.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(patterns)
        # The names of calls and subscriptions by their ids, since the answers have ids only.
        self._names: dict[str, str] = {}

    def shows(self, text: str) -> bool:
        """Return whether to show a frame. Call this with every frame, since answers are recognized by their requests."""
        if not self.patterns:
            return True
        text = text[:_SEARCHED]
        kind = _first(_KIND, text)
        name = _first(_NAME, text)
        identifier = _first(_ID, text)
        if kind in ("method", "sub"):
            self._names[identifier] = name
            for oldest in list(islice(self._names, max(0, len(self._names) - _REMEMBERED))):
                del self._names[oldest]
        names = {kind, name}
        if kind in ("result", "nosub"):
            names.add(self._names.get(identifier, ""))
        elif kind in ("updated", "ready"):
            names.update(self._names.get(match, "") for match in _STRING.findall(_first(_IDS, text)))
        return any(name and fnmatchcase(name, pattern) for name in names for pattern in self.patterns)


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
    safe = escape_json(text).replace("\n", r"\n").replace("\t", r"\t")
    line: StyledText = [
        ("time", time_of_day(when)),
        ("", f" {session}" if session else ""),
        ("sent", " -> ") if is_sent else ("received", " <- "),
    ]
    if colored and len(safe) <= _MOST_COLORED:
        line += colored_value(safe)
    else:
        line.append(("", safe))
    if omitted:
        line.append(("omission", f" ... {omitted:,} more characters"))
    return [(style, piece) for style, piece in line if piece]


def time_of_day(when: datetime) -> str:
    """Format the local time of day with milliseconds: `12:30:00.005`."""
    return f"{_local_second(when.replace(microsecond=0))}.{when.microsecond // 1000:03}"


@functools.lru_cache(maxsize=4)
def _local_second(second: datetime) -> str:
    # Finding out the time zone takes longer than the rest of a line.
    return second.astimezone().strftime("%H:%M:%S")


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
