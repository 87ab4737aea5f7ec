"""The frames of a recording as lines for people and rows for programs, and the selection of frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from ..ejson import JSONValue, json_text
from ..exceptions import CommandError, EJSONError
from ..protocol.codec import UnrecognizedMessage
from ..protocol.messages import Message
from ..protocol.secrets import mask
from ..text.escaping import escape_json_line
from ..text.event_lines import colored_json
from ..text.palette import StyledText
from ..text.prose import milliseconds
from .exchanges import Connection, Exchanges, PingPong, Request, Subscription, View
from .recording import ConnectionChange, Frame

_KINDS = ("call", "sub", "msg", "collection")
# The keys that a line shows in front of the rest of a message.
_SHOWN = ("msg", "method", "name", "collection", "id", "methods", "subs")


class Selection(Struct, frozen=True):
    """Which frames to show or to count.

    Args:
        only: `call:NAME`, `sub:NAME`, `msg:TYPE` or `collection:NAME`; `*` matches any text. A frame must match one of them.
        pattern: A regular expression that must occur in the text of a frame; None for any text.
        begin: The first second.
        end: The last second; None for no limit.
    """

    only: Sequence[tuple[str, str]] = ()
    pattern: re.Pattern[str] | None = None
    begin: float | None = None
    end: float | None = None

    @classmethod
    def parse(
        cls, only: Sequence[str] = (), pattern: str | None = None, begin: float | None = None, end: float | None = None
    ) -> Selection:
        """Read a selection as the user writes it.

        Raises:
            CommandError: A part of it is invalid.
        """
        if begin is not None and end is not None and begin > end:
            raise CommandError(
                f"nothing is between --from {begin:g} and --to {end:g}; give the smaller number to --from"
            )
        pairs = []
        for text in only:
            kind, colon, name = text.partition(":")
            if kind not in _KINDS or not colon or not name:
                raise CommandError(
                    f"{text!r} is not a valid selection; use call:NAME, sub:NAME, msg:TYPE or collection:NAME"
                )
            pairs.append((kind, name))
        try:
            compiled = None if pattern is None else re.compile(pattern)
        except re.error as error:
            raise CommandError(f"{pattern!r} is not a valid regular expression: {error}") from None
        return cls(pairs, compiled, begin, end)

    def accepts(self, view: View) -> bool:
        """Return whether a frame or event is selected."""
        entry = view.entry
        if (self.begin is not None and entry.t < self.begin) or (self.end is not None and entry.t > self.end):
            return False
        if isinstance(entry, ConnectionChange):
            return not self.only and self.pattern is None
        if self.pattern is not None and not self.pattern.search(entry.text):
            return False
        return not self.only or any(self._matches(kind, name, view) for kind, name in self.only)

    def _matches(self, kind: str, pattern: str, view: View) -> bool:
        match kind:
            case "msg":
                names = [message_type(view)]
            case "collection":
                names = ["" if view.data is None else view.data.collection]
            case _:
                names = [one.name for one in _requests(view) if one.kind == kind]
        return any(fnmatchcase(name, pattern) for name in names if name)


class FrameFilter:
    """Selects frames by message type and by name, while they are sent and received.

    Args:
        patterns: Message types (`method`), and names of methods, publications and collections; `*` matches any text.
            The name of a method or publication also selects the server's answers. Without patterns, all frames match.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(patterns)
        self._selection = Selection([(kind, pattern) for pattern in patterns for kind in _KINDS])
        self._exchanges = Exchanges()

    def shows(self, text: str, *, is_sent: bool) -> bool:
        """Return whether to show a frame. Call this with every frame, since answers are recognized by their requests."""
        if not self.patterns:
            return True
        return self._selection.accepts(self._exchanges.receive(Frame(0.0, 1, "out" if is_sent else "in", text)))


def message_type(view: View) -> str:
    """Return the `msg` of a frame; "" if it has none."""
    if isinstance(view.message, UnrecognizedMessage):
        return view.message.msg if isinstance(view.message.msg, str) else ""
    return str(view.message.__struct_config__.tag) if isinstance(view.message, Message) else ""


def message_name(view: View) -> str:
    """Return the method, publication or collection that a frame is about; several names have commas in between."""
    if view.data is not None:
        return view.data.collection
    return ", ".join([one.name for one in _requests(view)])


def _requests(view: View) -> list[Request]:
    return [step.exchange for step in view.steps if isinstance(step.exchange, Request)]


def answer_time(view: View) -> float | None:
    """Return the seconds from a request to this answer; None if the frame is not an answer."""
    for step in view.steps:
        match step.phase, step.exchange:
            case "result" | "updated" | "ready" | "answered", Request() | PingPong() as one:
                return view.entry.t - one.sent
            case "nosub", Subscription() as one:
                return view.entry.t - (one.sent if one.unsub is None else one.unsub)
            case "connected", Connection(connect=begun) if begun is not None:
                return view.entry.t - begun
    return None


def timeline_row(view: View) -> dict[str, JSONValue]:
    """Return a frame or event for programs, with secrets masked."""
    entry = view.entry
    if isinstance(entry, ConnectionChange):
        details = _tree(mask(json_text.dump(dict(entry.details))))
        return {
            "t": entry.t,
            "conn": entry.conn,
            "event": entry.event,
            **(details if isinstance(details, dict) else {}),
        }
    return {
        "t": entry.t,
        "conn": entry.conn,
        "dir": entry.dir,
        "msg": message_type(view),
        "name": message_name(view) or None,
        "ms": milliseconds(answer_time(view)),
        "bytes": entry.size,
        "message": _tree(mask(entry.text)),
    }


def timeline_line(view: View) -> StyledText:
    """Return a frame or event as a line, with secrets masked: its time, what it is, how long the answer took, and the rest."""
    entry = view.entry
    line: StyledText = [("time", f"{entry.t:10.3f}"), ("tag", f" #{entry.conn}")]
    if isinstance(entry, ConnectionChange):
        details = mask(json_text.dump(dict(entry.details))) if entry.details else ""
        return [*line, ("state", f" {entry.event}"), ("note", f" {escape_json_line(details)}" if details else "")]
    line.append(("sent", " -> ") if entry.dir == "out" else ("received", " <- "))
    tree = _tree(mask(entry.text))
    if not isinstance(tree, dict) or not message_type(view):
        return [*line, ("mistake", escape_json_line(mask(entry.text)))]
    line.append(("command", message_type(view)))
    if name := message_name(view):
        line.append(("name", f" {escape_json_line(name)}"))
    identifiers = tree.get("id", tree.get("methods", tree.get("subs")))
    if identifiers is not None:
        line.append(("tag", f" {_json(identifiers)}"))
    if (seconds := answer_time(view)) is not None:
        line.append(("good", f" {seconds * 1000:.1f} ms"))
    for key, value in tree.items():
        if key not in _SHOWN:
            line += [("note", f" {escape_json_line(key)} "), *colored_json(_json(value))]
    return line


def _json(value: JSONValue) -> str:
    return escape_json_line(value if isinstance(value, str) and value.isalnum() else json_text.dump(value))


def _tree(text: str) -> JSONValue:
    try:
        return json_text.parse(text)
    except EJSONError:
        return text
