"""The names in a recording: methods, publications, and collections with their fields."""

from __future__ import annotations

from msgspec import Struct

from ..protocol.messages import Added, AddedBefore, Changed
from ..protocol.server_error import is_unknown_name
from .exchanges import Request, View

__all__ = ["RecordedNames"]


class RecordedNames(Struct):
    """The names that occur in a recording, without those that the server does not know, in the order of their occurrence.

    Args:
        methods: The names of methods.
        publications: The names of publications.
        collections: The fields of each collection.
    """

    methods: dict[str, None] = {}
    publications: dict[str, None] = {}
    collections: dict[str, dict[str, None]] = {}

    def receive(self, view: View) -> None:
        """Learn the names in the next frame."""
        for step in view.steps:
            one = step.exchange
            if not isinstance(one, Request):
                continue
            names = self.methods if one.kind == "call" else self.publications
            if one.error is not None and is_unknown_name(one.error):
                names.pop(one.name, None)
            else:
                names[one.name] = None
        if isinstance(view.data, Added | AddedBefore | Changed):
            self.collections.setdefault(view.data.collection, {}).update(dict.fromkeys(view.fields))
