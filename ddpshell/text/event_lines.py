"""What goes over a connection as lines for people: frames, and changes of documents, such as `+ tasks/a {"n": 1}`.

Changes can also be written as values for programs.
"""

from __future__ import annotations

import functools
import sys
from datetime import datetime

from ..ejson import EJSONValue
from ..protocol.codec import DocumentID
from ..protocol.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from .escaping import escape_json_line, quote
from .formatting import Limits, colored_value, format_value, value_fragments
from .literals import as_argument, as_name
from .palette import StyledText
from .prose import omission, plural

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


def change_line(event: DocumentEvent, limits: Limits) -> StyledText:
    """Format a change: `+ tasks/a {"n": 1}`, `~ tasks/a {"n": 2}`, `- tasks/a`, `> tasks/a moved to the end`."""
    name = document_name(event.collection, event.id)
    match event:
        case DocumentAdded(fields=fields):
            return [("added", f"+ {name} "), *_value(fields, limits)]
        case DocumentChanged(fields=fields, cleared=cleared):
            text: StyledText = [("changed", f"~ {name}")]
            if fields or not cleared:
                text += [("", " "), *_value(fields, limits)]
            if cleared:
                text.append(("removed", f" without {', '.join(as_name(field) for field in cleared)}"))
            return text
        case DocumentRemoved():
            return [("removed", f"- {name}")]
        case DocumentMoved(before=before):
            place = f"before {_id(before)}" if before is not None else "to the end"
            return [("changed", f"> {name} moved {place}")]


def others_line(kind: type[DocumentEvent], collection: str, count: int) -> StyledText:
    """Format the line that replaces a number of changes of one kind: `+ tasks: 12 more documents`."""
    if kind is DocumentChanged:
        return [("removed", f"~ {as_name(collection)}: {plural(count, 'more document')} with fewer fields")]
    style, sign = ("removed", "-") if kind is DocumentRemoved else ("added", "+")
    return [(style, f"{sign} {as_name(collection)}: {plural(count, 'more document')}")]


def document_name(collection: str, document_id: DocumentID) -> str:
    """Write the name of a document, its collection and its id: `tasks/a`."""
    name = quote(collection) if "/" in collection else as_name(collection)
    return f"{name}/{_id(document_id)}"


def _id(document_id: DocumentID) -> str:
    return as_argument(document_id) if isinstance(document_id, str) else format_value(document_id, width=sys.maxsize)


def _value(value: EJSONValue, limits: Limits) -> StyledText:
    return list(value_fragments(value, width=sys.maxsize, limits=limits))


def event_to_value(event: DocumentEvent) -> EJSONValue:
    """Return a change as a value with the keys of its DDP message."""
    value: dict[str, EJSONValue] = {"collection": event.collection, "id": event.id}
    match event:
        case DocumentAdded(fields=fields):
            return {"msg": "added", **value, "fields": fields}
        case DocumentChanged(fields=fields, cleared=cleared):
            return {"msg": "changed", **value, "fields": fields, "cleared": list(cleared)}
        case DocumentRemoved():
            return {"msg": "removed", **value}
        case DocumentMoved(before=before):
            return {"msg": "movedBefore", **value, "before": before}
