"""Names that have been seen: DDP does not tell what methods there are, so a shell learns from what was typed and what came.

Learning happens on the client's thread as well as on the prompt's; a name more or less at one moment does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

from .parser import Line, parse
from .registry import Registry, Role

__all__ = ["Names"]

#: Of one collection. A server can make up as many names as it likes.
MOST_FIELDS = 200
MOST_NAMES = 1000

# Lines of earlier sessions: to read more would take longer than anybody waits for a completion.
_REMEMBERED = 2000


class Names:
    """The names of methods, publications, collections and fields.

    Args:
        registry: What says which word of a line is which.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # Dicts, for their order: what was used last is last.
        self._names: dict[Role, dict[str, None]] = {
            Role.METHOD: {},
            Role.PUBLICATION: {},
            Role.COLLECTION: {},
        }
        self._fields: dict[str, dict[str, None]] = {}
        self._history: Callable[[], Iterable[str]] | None = None

    def begin_with(self, history: Callable[[], Iterable[str]]) -> None:
        """Learn from lines of earlier sessions, oldest first, as soon as anybody asks for a name."""
        self._history = history

    def recall(self) -> None:
        """Learn from earlier sessions now, which takes a moment; nobody needs to wait for it."""
        history, self._history = self._history, None
        if history is not None:
            for text in list(history())[-_REMEMBERED:]:
                self.learn(text)

    def of(self, role: Role) -> list[str]:
        """The names for a role, the latest first."""
        self.recall()
        return list(reversed(list(self._names.get(role, ()))))

    def fields(self, collection: str | None = None) -> list[str]:
        """The names of a collection's fields, or of all."""
        if collection is not None:
            return list(self._fields.get(collection, ()))
        return list(dict.fromkeys(field for fields in list(self._fields.values()) for field in list(fields)))

    def similar(self, role: Role, name: str) -> str | None:
        """The name that may have been meant."""
        others = [other for other in self.of(role) if other != name]
        return next(iter(get_close_matches(name, others, n=1)), None)

    def learn(self, text: str) -> None:
        """Learn the names in a text that was typed."""
        for line in parse(text):
            self._learn_line(line)

    def add(self, role: Role, name: str) -> None:
        """Know a name."""
        names = self._names[role]
        names.pop(name, None)
        names[name] = None
        while len(names) > MOST_NAMES:
            names.pop(next(iter(names)), None)

    def forget(self, role: Role, name: str) -> None:
        """Know better: there is no such thing."""
        self._names[role].pop(name, None)

    def add_fields(self, collection: str, fields: Iterable[str]) -> None:
        """Know the fields of a document."""
        known = self._fields.get(collection)
        if known is None:
            if len(self._fields) >= MOST_NAMES:
                return
            known = self._fields.setdefault(collection, {"_id": None})
            self.add(Role.COLLECTION, collection)
        if len(known) < MOST_FIELDS:
            known.update(dict.fromkeys(fields))

    def _learn_line(self, line: Line) -> None:
        command = self._registry.get(line.words[0].text)
        if command is None or line.problem is not None:
            return
        for parameter, word in zip(command.arguments, line.words[1:], strict=False):
            if parameter.role in self._names and not word.text.startswith("-"):
                self.add(parameter.role, word.name)
