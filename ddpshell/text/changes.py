"""Changes of documents as lines for people, such as `+ tasks/a {"n": 1}`, and as values for programs."""

from __future__ import annotations

import sys

from ..ejson import EJSONValue
from ..protocol.codec import DocumentID
from ..protocol.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from .escaping import quote
from .formatting import Limits, format_value, value_fragments
from .literals import as_argument, as_name
from .palette import StyledText
from .prose import plural

__all__ = ["change_line", "document_name", "event_to_value", "others_line"]


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
