"""Frames as `debug` shows them, and which of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice

from .escaping import escape_json
from .formatting import painted_value
from .palette import StyledText

__all__ = ["FrameFilter", "frame_line"]

_KIND = re.compile(r'"msg"\s*:\s*"(\w+)"')
_NAME = re.compile(r'"(?:method|name|collection)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_ID = re.compile(r'"id"\s*:\s*"((?:[^"\\]|\\.)*)"')
_IDS = re.compile(r'"(?:methods|subs)"\s*:\s*\[([^\]]*)\]')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')

#: How many calls and subscriptions are remembered by their ids.
_REMEMBERED = 10_000

#: How much of a frame is searched: what identifies it stands in front, but for what servers of old put behind.
_SEARCHED = 5000


class FrameFilter:
    """Which frames to show.

    Args:
        patterns: Types of messages (`method`), and names of methods, publications and collections; `*` stands for
            anything. Of a call or subscription by its name, the answers are meant too. No pattern means all frames.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(patterns)
        # `result`, `updated`, `ready` and `nosub` have no names, but ids.
        self._names: dict[str, str] = {}

    def shows(self, text: str) -> bool:
        """Whether to show a frame."""
        if not self.patterns:
            return True
        text = text[:_SEARCHED]
        kind = _first(_KIND, text)
        name = _first(_NAME, text)
        identifier = _first(_ID, text)
        if kind in ("method", "sub"):
            self._names[identifier] = name
            for old in list(islice(self._names, max(0, len(self._names) - _REMEMBERED))):
                del self._names[old]
        names = {kind, name}
        if kind in ("result", "nosub"):
            names.add(self._names.get(identifier, ""))
        elif kind in ("updated", "ready"):
            names.update(self._names.get(match, "") for match in _STRING.findall(_first(_IDS, text)))
        return any(name and fnmatchcase(name, pattern) for name in names for pattern in self.patterns)


def frame_line(text: str, *, is_sent: bool, when: datetime, omitted: int = 0) -> StyledText:
    """One frame, time-stamped; its secrets have been masked where it was seen.

    Args:
        text: The message, or its beginning.
        is_sent: Whether it went to the server.
        when: At what time.
        omitted: How many characters of it are left out.
    """
    stamp = when.astimezone().strftime("%H:%M:%S.%f")[:-3]
    arrow = ("sent", " -> ") if is_sent else ("received", " <- ")
    # JSON's own escapes, so that what is copied from the screen is still the message.
    line: StyledText = [("time", stamp), arrow, *painted_value(escape_json(text))]
    if omitted:
        line.append(("omission", f" ... {omitted:,} more characters"))
    return line


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
