"""The names that the shell has learned. DDP has no list of methods, so names come from typed lines and from answers.

Names are learned on the client's thread and on the prompt's thread. If one name gets lost in between, it does no harm.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..logins import make_private, replace_private
from ..text.prose import closest
from .parser import Line, parse
from .registry import Registry, Role, given

#: Limits per collection and for all. A server can make up as many names as it likes.
MAX_FIELDS = 200
MAX_NAMES = 1000

# Lines of earlier sessions that are read. To read more would take too long for a completion.
_MAX_LINES = 2000


class UnknownNames:
    """The file with the names that servers did not know, for later sessions.

    Args:
        path: The file; None to keep nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def at(self, server: str | None) -> set[tuple[Role, str]]:
        """The names that a server did not know; for None, the names that any server did not know."""
        return {(Role[role], name) for other, role, name in self._read() if server in (None, other)}

    def change(self, server: str, role: Role, name: str, *, is_unknown: bool) -> None:
        """Record whether a server knows a name. If the file cannot be written, it stays as it is."""
        if self._path is None:
            return
        entry = [server, role.name, name]
        entries = self._read()
        if (entry in entries) is is_unknown:
            return
        entries = [*entries, entry] if is_unknown else [other for other in entries if other != entry]
        text = "".join([f"{json.dumps(entry)}\n" for entry in entries[-MAX_NAMES:]])
        with contextlib.suppress(OSError):
            make_private(self._path.parent)
            replace_private(self._path, text.encode())

    def _read(self) -> list[list[str]]:
        entries: list[list[str]] = []
        with contextlib.suppress(OSError, ValueError):
            for line in self._path.read_text().splitlines()[-MAX_NAMES:] if self._path is not None else ():
                entry = json.loads(line)
                is_entry = isinstance(entry, list) and len(entry) == 3 and all(isinstance(part, str) for part in entry)
                if is_entry and entry[1] in Role.__members__:
                    entries.append(entry)
        return entries


class Names:
    """The names of methods, publications, collections and fields.

    Args:
        registry: Knows which word of a line is a name.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # Dictionaries keep their order: the name that was used last is last.
        self._names: dict[Role, dict[str, None]] = {
            Role.METHOD: {},
            Role.PUBLICATION: {},
            Role.COLLECTION: {},
        }
        self._fields: dict[str, dict[str, None]] = {}
        self._history: Callable[[], Iterable[str]] | None = None
        #: Gives the server that the names are for; None for any server.
        self.server: Callable[[], str | None] = lambda: None
        self._unknown_names = UnknownNames()
        # The unknown names of the servers that have been looked up.
        self._unknown: dict[str | None, set[tuple[Role, str]]] = {}

    def use_history(self, history: Callable[[], Iterable[str]], unknown: Path | None = None) -> None:
        """Learn from earlier sessions when a name is first needed.

        Args:
            history: Gives the lines that were typed, oldest first.
            unknown: The file with the names that servers did not know.
        """
        self._history = history
        self._unknown_names = UnknownNames(unknown)

    def load_history(self) -> None:
        """Learn from earlier sessions now. It takes a moment, so the prompt calls it on a thread."""
        history, self._history = self._history, None
        if history is not None:
            for text in list(history())[-_MAX_LINES:]:
                self.learn(text)

    def of(self, role: Role) -> list[str]:
        """The names for a role, the latest first, without those that the server does not know."""
        self.load_history()
        unknown = self._unknown_here()
        return [name for name in reversed(list(self._names.get(role, ()))) if (role, name) not in unknown]

    def is_unknown_in(self, text: str) -> bool:
        """Whether a line has a name that the server does not know."""
        unknown = self._unknown_here()
        return bool(unknown) and any(not unknown.isdisjoint(self._names_in(line)) for line in parse(text))

    def fields(self, collection: str | None = None) -> list[str]:
        """The names of a collection's fields; for None, of the fields of all collections."""
        if collection is not None:
            return list(self._fields.get(collection, ()))
        return list(dict.fromkeys(field for fields in list(self._fields.values()) for field in list(fields)))

    def similar(self, role: Role, name: str) -> str | None:
        """The known name that is most like a misspelled one; None if no name is like it."""
        return closest(name, [other for other in self.of(role) if other != name])

    def learn(self, text: str) -> None:
        """Learn the names in a text that was typed."""
        for line in parse(text):
            for role, name in self._names_in(line):
                self._add(role, name)

    def mark_known(self, role: Role, name: str) -> None:
        """Add a name that the server knows."""
        self._add(role, name)
        unknown = self._unknown_here()
        if (role, name) in unknown:
            unknown.discard((role, name))
            if (server := self.server()) is not None:
                self._unknown_names.change(server, role, name, is_unknown=False)

    def mark_unknown(self, role: Role, name: str) -> None:
        """Do not suggest a name that the server does not know."""
        self._unknown_here().add((role, name))
        # A name that is not in the history may be private, and does not need to be remembered.
        if name in self._names[role] and (server := self.server()) is not None:
            self._unknown_names.change(server, role, name, is_unknown=True)

    def add_fields(self, collection: str, fields: Iterable[str]) -> None:
        """Add the fields of a document."""
        known = self._fields.get(collection)
        if known is None:
            if len(self._fields) >= MAX_NAMES:
                return
            known = self._fields.setdefault(collection, {"_id": None})
            self.mark_known(Role.COLLECTION, collection)
        if len(known) < MAX_FIELDS:
            known.update(dict.fromkeys(fields))

    def _add(self, role: Role, name: str) -> None:
        names = self._names[role]
        names.pop(name, None)
        names[name] = None
        while len(names) > MAX_NAMES:
            names.pop(next(iter(names)), None)

    def _unknown_here(self) -> set[tuple[Role, str]]:
        server = self.server()
        if server not in self._unknown:
            self._unknown[server] = self._unknown_names.at(server)
        return self._unknown[server]

    def _names_in(self, line: Line) -> Iterator[tuple[Role, str]]:
        command = self._registry.get(line.words[0].text)
        if command is None or line.problem is not None:
            return
        for word, parameter, is_name in given(command, line.words[1:]):
            if parameter is not None and parameter.role in self._names and not is_name:
                yield parameter.role, word.name
