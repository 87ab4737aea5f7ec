"""The names in a recording: methods, publications, and collections with their fields."""

from __future__ import annotations

from msgspec import Struct

from ..ejson import json_text
from ..exceptions import EJSONError
from ..protocol.messages import Added, AddedBefore, Changed
from ..protocol.server_error import is_unknown_name
from .exchanges import Call, Subscription, View

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
            match step.exchange:
                case Call(method=name, error=error):
                    names = self.methods
                case Subscription(name=name, error=error):
                    names = self.publications
                case _:
                    continue
            if error is not None and is_unknown_name(error):
                names.pop(name, None)
            else:
                names[name] = None
        message = view.message
        if isinstance(message, Added | AddedBefore | Changed):
            fields = self.collections.setdefault(message.collection, {})
            try:
                tree = json_text.parse(message.fields)
            except EJSONError:
                return
            if isinstance(tree, dict):
                fields.update(dict.fromkeys(tree))
