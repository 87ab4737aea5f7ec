"""Methods by which clients write to a collection: `/tasks/insert`, `/tasks/update`, `/tasks/remove` (I14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ...ejson import ObjectID
from ...exceptions import DDPError, MethodError
from ...protocol.documents import Document
from ..contexts import MethodInvocation
from ..errors import check
from .collection import Collection

if TYPE_CHECKING:
    from ..server import Server

__all__ = ["AllowRule", "add_mutators"]

#: Says whether a user may write a document: gets the user's id, or None, and the document as it is, or is to be.
AllowRule: TypeAlias = Callable[[str | None, Document], bool]


def add_mutators(server: Server, collection: Collection, allow: AllowRule | None) -> None:
    """Define the methods, under their names of old and those that end in `Async`.

    Args:
        server: Where to define them.
        collection: What they write to.
        allow: Who may write what; without a rule nobody may write anything.
    """

    def insert(this: MethodInvocation, document: Any) -> None:
        check(document, dict)
        _check_allowed(allow, this, document)
        _writing(lambda: collection.insert(document))

    def update(this: MethodInvocation, selector: Any, modifier: Any, options: Any = None) -> object:
        check(modifier, dict)
        wanted = _one_document(selector, "update")
        if isinstance(options, Mapping) and options.get("upsert"):
            raise MethodError(403, "Access denied. Upserts not allowed in a restricted collection.")
        if not any(key.startswith("$") for key in modifier):
            raise MethodError(403, "Access denied. Documents can be updated by operators such as $set, not replaced.")
        document = collection.find_one(wanted)
        if document is None and allow is not None:
            return 0
        _check_allowed(allow, this, document)
        return _writing(lambda: collection.update(wanted, modifier))

    def remove(this: MethodInvocation, selector: Any) -> object:
        wanted = _one_document(selector, "remove")
        document = collection.find_one(wanted)
        if document is None and allow is not None:
            return 0
        _check_allowed(allow, this, document)
        return _writing(lambda: collection.remove(wanted))

    for verb, function in (("insert", insert), ("update", update), ("remove", remove)):
        server.method(f"/{collection.name}/{verb}")(function)
        server.method(f"/{collection.name}/{verb}Async")(function)


def _check_allowed(allow: AllowRule | None, this: MethodInvocation, document: Document | None) -> None:
    if allow is None or document is None or not allow(this.user_id, document):
        raise MethodError(403, "Access denied")


def _one_document(selector: Any, verb: str) -> Any:
    wanted = selector["_id"] if isinstance(selector, Mapping) and set(selector) == {"_id"} else selector
    if not isinstance(wanted, (str, ObjectID)) or not wanted:
        raise MethodError(403, f"Not permitted. Untrusted code may only {verb} documents by ID.")  # Meteor's words
    return wanted


def _writing(write: Callable[[], object]) -> object:
    try:
        return write()
    except (DDPError, ValueError) as error:
        raise MethodError(409, str(error)) from error
