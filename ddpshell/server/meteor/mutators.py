"""The methods with which clients write to a collection: `/tasks/insert`, `/tasks/update` and `/tasks/remove` (I14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ...ejson import ObjectID
from ...exceptions import DDPError, MethodError
from ...protocol.documents import Document
from ..contexts import MethodInvocation
from ..errors import check
from ..registrations import Registrations
from .collection import Collection

__all__ = ["AllowRule", "add_mutators"]

#: Returns whether a user can write a document. It gets the user's id or None, and the document: the stored one, or the new one
#: for an insert.
AllowRule: TypeAlias = Callable[[str | None, Document], bool]


def add_mutators(registrations: Registrations, collection: Collection, allow: AllowRule | None) -> None:
    """Register the methods. Each also gets its newer name, which ends in `Async`.

    Args:
        registrations: The server's methods.
        collection: The collection that they write to.
        allow: See `Server.expose`.
    """

    def insert(this: MethodInvocation, document: Any) -> None:
        check(document, dict)
        _check_allowed(allow, this, document)
        _write(lambda: collection.insert(document))

    def update(this: MethodInvocation, selector: Any, modifier: Any, options: Any = None) -> object:
        check(modifier, dict)
        id_ = _document_id(selector, "update")
        if isinstance(options, Mapping) and options.get("upsert"):
            raise MethodError(403, "Access denied. Upserts not allowed in a restricted collection.")
        if not any(key.startswith("$") for key in modifier):
            raise MethodError(403, "Access denied. Documents can be updated by operators such as $set, not replaced.")
        return write_one(this, id_, lambda: collection.update(id_, modifier))

    def remove(this: MethodInvocation, selector: Any) -> object:
        id_ = _document_id(selector, "remove")
        return write_one(this, id_, lambda: collection.remove(id_))

    def write_one(this: MethodInvocation, id_: Any, write: Callable[[], int]) -> object:
        document = collection.find_one(id_)
        if document is None and allow is not None:
            return 0
        _check_allowed(allow, this, document)
        return _write(write)

    for verb, function in (("insert", insert), ("update", update), ("remove", remove)):
        registrations.add_method(f"/{collection.name}/{verb}", function)
        registrations.add_method(f"/{collection.name}/{verb}Async", function)


def _check_allowed(allow: AllowRule | None, this: MethodInvocation, document: Document | None) -> None:
    if allow is None or document is None or not allow(this.user_id, document):
        raise MethodError(403, "Access denied")


def _document_id(selector: Any, verb: str) -> Any:
    id_ = selector["_id"] if isinstance(selector, Mapping) and set(selector) == {"_id"} else selector
    if not isinstance(id_, (str, ObjectID)) or not id_:
        # Meteor's words.
        raise MethodError(403, f"Not permitted. Untrusted code may only {verb} documents by ID.")
    return id_


def _write(write: Callable[[], object]) -> object:
    try:
        return write()
    except (DDPError, ValueError) as error:
        raise MethodError(409, str(error)) from error
