"""Calls as programs write them, a line each, and a file of them, read piece by piece.

    ["upper", "Hello"]
    {"method": "upper", "params": ["Hello"], "id": "any JSON, for your own use"}

Params are EJSON.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from .. import ejson
from ..ejson import json_text
from ..exceptions import CommandError, EJSONError

if TYPE_CHECKING:
    from ..ejson import EJSONValue
    from ..ejson.json_text import JSONValue

__all__ = ["LineReader", "Request", "parse_request"]

# What fits in a message (U17).
_MAX_SIZE = 64 << 20

_PIECE = 1 << 16


class Request(Struct, frozen=True):
    """One call that somebody wants.

    Args:
        method: The method's name.
        params: Its arguments.
        tags: What its answer is to carry: `id`, where there was one.
    """

    method: str
    params: list[EJSONValue]
    tags: dict[str, JSONValue]


def parse_request(line: bytes) -> Request:
    """Read one line.

    Raises:
        CommandError: It is no call.
    """
    try:
        text = line.decode()
        tree = json_text.parse(text)
    except UnicodeDecodeError as error:
        raise CommandError(f"not UTF-8 text, from byte {error.start} on") from None
    except EJSONError as error:
        raise CommandError(str(error)) from None
    if isinstance(tree, list) and tree and isinstance(tree[0], str):
        return Request(tree[0], _decoded(tree[1:]), {})
    if isinstance(tree, dict) and isinstance(tree.get("method"), str):
        return _from_object(tree)
    raise CommandError('no call: one looks like ["method", ARG...] or {"method": ..., "params": [...]}')


def _from_object(tree: dict[str, JSONValue]) -> Request:
    unknown = [key for key in tree if key not in ("method", "params", "id")]
    if unknown:
        # Rather than make a call without what was meant.
        raise CommandError(f"unknown key {unknown[0]!r}; there are method, params, id")
    params = tree.get("params", [])
    if not isinstance(params, list):
        raise CommandError("params is no array")
    return Request(str(tree["method"]), _decoded(params), {"id": tree["id"]} if "id" in tree else {})


def _decoded(params: list[JSONValue]) -> list[EJSONValue]:
    try:
        decoded = ejson.decode(params, strict=True)
    except EJSONError as error:
        raise CommandError(f"params: {error}") from None
    assert isinstance(decoded, list), "an array stays one"
    return decoded


class LineReader:
    """The lines of a file, of which no more is kept than what has been read of the next one.

    Args:
        file: The file's number. It is read with as few questions as possible, for it may be a program's output.
    """

    def __init__(self, file: int) -> None:
        #: What to wait for before `read`.
        self.file = file
        #: How many bytes have been read.
        self.position = 0
        #: Whether the end of the file has been read.
        self.is_at_end = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_first = True

    def read(self) -> list[bytes]:
        """Read once, and give the lines that this completes, without their ends.

        Raises:
            CommandError: A line without end.
            OSError: It cannot be read.
        """
        piece = os.read(self.file, _PIECE)
        self.position += len(piece)
        if not piece:
            self.is_at_end = True
            rest, self._pieces = b"".join(self._pieces), []
            return [self._clean(rest)] if rest else []
        if b"\n" not in piece:
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > _MAX_SIZE:
                raise CommandError(f"a line is longer than any message may be ({_MAX_SIZE >> 20} MiB)")
            return []
        *lines, rest = b"".join([*self._pieces, piece]).split(b"\n")
        self._pieces = [rest]
        self._size = len(rest)
        return [self._clean(line) for line in lines]

    def _clean(self, line: bytes) -> bytes:
        if self._is_first:
            # What some editors put before UTF-8.
            self._is_first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.strip(b" \t\r")
