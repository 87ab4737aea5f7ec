"""Changes of documents, one line each: `+ tasks/a {"n": 1}`, `~ tasks/a {"n": 2}`, `- tasks/a`."""

from __future__ import annotations

import re
import sys

from ..client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ..protocol.document_ids import DocumentID
from ..protocol.ejson import EJSONValue
from .escaping import escape_line, quote
from .rendering import Limits, format_value, value_fragments
from .style import StyledText, inked

__all__ = ["change_line", "document_name"]

_PLAIN = re.compile(r"[\w.:@-]+")


def change_line(event: DocumentEvent, limits: Limits) -> StyledText:
    """One change."""
    name = document_name(event.collection, event.id)
    match event:
        case DocumentAdded(fields=fields):
            return [("added", f"+ {name} "), *_value(fields, limits)]
        case DocumentChanged(fields=fields, cleared=cleared):
            text: StyledText = [("changed", f"~ {name}")]
            if fields or not cleared:
                text += [("", " "), *_value(fields, limits)]
            if cleared:
                text.append(("removed", f" without {', '.join(_key(field) for field in cleared)}"))
            return text
        case DocumentRemoved():
            return [("removed", f"- {name}")]
        case DocumentMoved(before=before):
            place = f"before {_id(before)}" if before is not None else "to the end"
            return [("changed", f"> {name} moved {place}")]


def document_name(collection: str, document_id: DocumentID) -> str:
    """What to call a document; escaped."""
    return f"{escape_line(collection)}/{_id(document_id)}"


def _id(document_id: DocumentID) -> str:
    if isinstance(document_id, str) and _PLAIN.fullmatch(document_id):
        return document_id
    return format_value(document_id, width=sys.maxsize)


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quote(name)


def _value(value: EJSONValue, limits: Limits) -> StyledText:
    return inked(value_fragments(value, width=sys.maxsize, limits=limits))
