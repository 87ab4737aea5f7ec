"""Names that have been seen: DDP does not tell what methods there are, so a shell learns from what was typed and what came.

Learning happens on the client's thread as well as on the prompt's; a name more or less at one moment does no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from .parser import Line, parse
from .registry import Registry, Role

__all__ = ["Names", "UnknownNames"]

#: Of one collection. A server can make up as many names as it likes.
MOST_FIELDS = 200
MOST_NAMES = 1000

# Lines of earlier sessions: to read more would take longer than anybody waits for a completion.
_REMEMBERED = 2000


class UnknownNames:
    """The names that servers did not know, by server, for later sessions.

    Args:
        path: The file that they are kept in; None keeps nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def at(self, server: str | None) -> set[tuple[Role, str]]:
        """The names that a server did not know; for None, that any server did not."""
        return {(Role[role], name) for other, role, name in self._read() if server in (None, other)}

    def change(self, server: str, role: Role, name: str, *, is_unknown: bool) -> None:
        """Keep that a server does not know a name, or that it does. A file that cannot be written is left as it is."""
        if self._path is None:
            return
        entry = [server, role.name, name]
        entries = self._read()
        if (entry in entries) is is_unknown:
            return
        entries = [*entries, entry] if is_unknown else [other for other in entries if other != entry]
        text = "".join([f"{json.dumps(entry)}\n" for entry in entries[-MOST_NAMES:]])
        temporary = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
            temporary.replace(self._path)

    def _read(self) -> list[list[str]]:
        entries: list[list[str]] = []
        with contextlib.suppress(OSError, ValueError):
            for line in self._path.read_text().splitlines()[-MOST_NAMES:] if self._path is not None else ():
                entry = json.loads(line)
                is_entry = isinstance(entry, list) and len(entry) == 3 and all(isinstance(part, str) for part in entry)
                if is_entry and entry[1] in Role.__members__:
                    entries.append(entry)
        return entries


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
        #: The server that the names are wanted for; None for any server.
        self.server: Callable[[], str | None] = lambda: None
        self._unknown_names = UnknownNames()
        # The names that servers have not, by server, as far as they have been looked up.
        self._unknown: dict[str | None, set[tuple[Role, str]]] = {}

    def begin_with(self, history: Callable[[], Iterable[str]], unknown: Path | None = None) -> None:
        """Learn from earlier sessions as soon as anybody asks for a name.

        Args:
            history: Gives the lines that were typed, oldest first.
            unknown: The file with the names that servers did not know.
        """
        self._history = history
        self._unknown_names = UnknownNames(unknown)

    def recall(self) -> None:
        """Learn from earlier sessions now, which takes a moment; nobody needs to wait for it."""
        history, self._history = self._history, None
        if history is not None:
            for text in list(history())[-_REMEMBERED:]:
                self.learn(text)

    def of(self, role: Role) -> list[str]:
        """The names for a role, the latest first."""
        self.recall()
        unknown = self._unknown_here()
        return [name for name in reversed(list(self._names.get(role, ()))) if (role, name) not in unknown]

    def is_unknown_in(self, text: str) -> bool:
        """Whether a line names something that the server does not have."""
        unknown = self._unknown_here()
        return bool(unknown) and any(not unknown.isdisjoint(self._names_in(line)) for line in parse(text))

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
            for role, name in self._names_in(line):
                self._note(role, name)

    def add(self, role: Role, name: str) -> None:
        """Know a name: the server has it."""
        self._note(role, name)
        unknown = self._unknown_here()
        if (role, name) in unknown:
            unknown.discard((role, name))
            if (server := self.server()) is not None:
                self._unknown_names.change(server, role, name, is_unknown=False)

    def _note(self, role: Role, name: str) -> None:
        names = self._names[role]
        names.pop(name, None)
        names[name] = None
        while len(names) > MOST_NAMES:
            names.pop(next(iter(names)), None)

    def forget(self, role: Role, name: str) -> None:
        """Know better: the server has no such thing."""
        self._unknown_here().add((role, name))
        # What is in no history needs not be remembered either: it may be private.
        if name in self._names[role] and (server := self.server()) is not None:
            self._unknown_names.change(server, role, name, is_unknown=True)

    def _unknown_here(self) -> set[tuple[Role, str]]:
        server = self.server()
        if server not in self._unknown:
            self._unknown[server] = self._unknown_names.at(server)
        return self._unknown[server]

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

    def _names_in(self, line: Line) -> Iterator[tuple[Role, str]]:
        command = self._registry.get(line.words[0].text)
        if command is None or line.problem is not None:
            return
        for parameter, word in zip(command.arguments, line.words[1:], strict=False):
            if parameter.role in self._names and not word.text.startswith("-"):
                yield parameter.role, word.name
