"""Results of before: `$_` is the last one, `$3` that of the command with this number, `$3.title[0]` a part of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence

from ..ejson import EJSONValue
from ..exceptions import CommandError
from .replies import Documents, Result

__all__ = ["Results"]

#: How many results are kept. A shell may run for weeks.
KEPT = 200

_STEP = re.compile(r"\.([\w$]+)|\[([0-9]+)\]")


class Results:
    """The results that can be used again. Results come on the client's thread, and are used on the prompt's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[int, EJSONValue] = {}
        # The answers that are not one value alone: documents, and whether they were shown as a table.
        self._documents: dict[int, Documents] = {}
        self._last: int | None = None

    def keep(self, number: int, value: EJSONValue, documents: Documents | None = None) -> None:
        """Keep the result of a command, and the documents that it was shown as."""
        with self._lock:
            self._values[number] = value
            self._last = number
            if documents is not None:
                self._documents[number] = documents
            while len(self._values) > KEPT:
                oldest = next(iter(self._values))
                del self._values[oldest]
                self._documents.pop(oldest, None)

    def shown(self, number: int | None = None) -> Result | Documents:
        """A whole result, the last one by default, in the form in which it was shown, but not shortened.

        Raises:
            CommandError: There is no such result.
        """
        value = self.get(number)
        with self._lock:
            documents = self._documents.get(self._last or 0 if number is None else number)
        if documents is None:
            return Result(value, is_full=True)
        return Documents(documents.items, documents.as_table, is_full=True)

    @property
    def names(self) -> list[str]:
        """What can be typed for whole results, the latest first."""
        with self._lock:
            return ["$_"] * bool(self._values) + [f"${number}" for number in reversed(self._values)]

    def get(self, number: int | None = None) -> EJSONValue:
        """A whole result; the last one unless told.

        Raises:
            CommandError: There is none.
        """
        with self._lock:
            if self._last is None:
                raise CommandError("there is no result yet")
            number = self._last if number is None else number
            if number not in self._values:
                raise CommandError(f"${number} has no value: [{number}] is no command with a result, or has none yet")
            return self._values[number]

    def __call__(self, name: str) -> EJSONValue:
        """What a variable stands for, by its text.

        Raises:
            CommandError: Nothing.
        """
        whole = re.match(r"\$(?:_|[0-9]{1,9})(?![0-9])", name)
        if whole is None:
            raise CommandError(f"there is no {name[:40]}")
        value = self.get(None if whole[0] == "$_" else int(whole[0][1:]))
        path = whole[0]
        for step in _STEP.finditer(name, whole.end()):
            value = _part(value, step[1] or step[2], path)
            path += step[0]
        return value


def _part(value: EJSONValue, step: str, path: str) -> EJSONValue:
    if isinstance(value, Mapping):
        if step in value:
            return value[step]
        raise CommandError(f"{path} has no field {step[:40]}")
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if step.isascii() and step.isdecimal() and int(step[:10]) < len(value):
            return value[int(step)]
        raise CommandError(f"{path} has {len(value)} items, and no {step[:40]}")
    raise CommandError(f"{path} has no parts")
