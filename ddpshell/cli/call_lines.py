"""Reads the input of `ddp batch`, in which each line is a call.

    ["upper", "Hello"]
    {"method": "upper", "params": ["Hello"], "id": "any JSON, for your own use"}

Params are EJSON, or written as the arguments of `ddp call`: `["upper", Text(@notes.md)]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue, json_text
from ..ejson.json_text import JSONValue
from ..ejson.plain_text import plain_texts
from ..exceptions import CommandError, EJSONError
from ..protocol.messages import Raw
from ..text.literals import MAX_SIZE, opens_literal, parse, read_file
from .event_queue import InputFile

# Bytes to read at a time.
_PIECE = 1 << 16


class Request(Struct, frozen=True):
    """A call as a line of input describes it.

    Args:
        method: The name of the method.
        params: Its arguments; or the text of an EJSON array, if the arguments need not be read.
        tags: Keys that the answer repeats: `id`, if the line has one.
    """

    method: str
    params: list[EJSONValue] | Raw
    tags: dict[str, JSONValue]


def parse_requests(lines: Sequence[bytes]) -> Iterator[Request | CommandError]:
    """Yield the call in each line, or the error of `parse_request`. Arguments that can be sent as they are remain texts."""
    found = list(map(_split, lines))
    texts = iter(plain_texts([params for _, params, _ in filter(None, found)]))
    for line, split in zip(lines, found, strict=True):
        if split is not None and (params := next(texts)) is not None:
            method, _, tags = split
            yield Request(method, params, tags)
            continue
        try:
            yield parse_request(line)
        except CommandError as error:
            yield error


def _split(line: bytes) -> tuple[str, bytes, dict[str, JSONValue]] | None:
    """Split a line that is a call in JSON into the method, the text of the arguments, and the further keys of the answer.

    Returns:
        None for any other line, in which `parse_request` finds the error.
    """
    try:
        parts = json_text.parse_outermost(line.decode())
        if isinstance(parts, list):
            method, params, tags = json_text.parse(parts[0]), b"[" + b",".join(parts[1:]) + b"]", {}
        elif parts.keys() <= {"method", "params", "id"}:
            method, params = json_text.parse(parts["method"]), bytes(parts.get("params", b"[]"))
            tags = {"id": json_text.parse(parts["id"])} if "id" in parts else {}
        else:
            return None
    except (UnicodeDecodeError, EJSONError, LookupError):
        return None
    return (method, params, tags) if isinstance(method, str) and params.startswith(b"[") else None


_FORM = 'not a valid call; write ["method", ARG...] or {"method": ..., "params": [...]}'


def parse_request(line: bytes) -> Request:
    """Read one line.

    Raises:
        CommandError: The line is not a valid call.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise CommandError(f"not UTF-8 text: invalid byte at position {error.start}") from None
    try:
        tree = json_text.parse(text)
    except EJSONError as error:
        return _from_literal(text, error)
    return _request(tree, _decoded)


def _from_literal(text: str, problem: EJSONError) -> Request:
    """Read a line that is not JSON, but may be written as the arguments of `ddp call`."""
    if "nested too deeply" in str(problem):
        raise CommandError(str(problem)) from None
    if not opens_literal(text):
        raise CommandError(_FORM)
    try:
        value = parse(text, read_file)
        # Also checks that the values can be sent.
        ejson.encode(value)
    except EJSONError:
        raise CommandError(str(problem)) from None
    except CommandError as error:
        raise CommandError(f"not a valid call: {error.message}", error.text, error.position) from None
    if isinstance(value, dict) and "id" in value:
        value["id"] = cast("EJSONValue", ejson.encode(value["id"]))
    return _request(value, list)


def _request(tree: object, decode: Callable[[list[Any]], list[EJSONValue]]) -> Request:
    if isinstance(tree, list) and tree and isinstance(tree[0], str):
        return Request(tree[0], decode(tree[1:]), {})
    if not isinstance(tree, dict) or not isinstance(tree.get("method"), str):
        raise CommandError(_FORM)
    unknown = [key for key in tree if key not in ("method", "params", "id")]
    if unknown:
        # A call without what the user meant would be worse.
        raise CommandError(f"unknown key {unknown[0]!r}; the keys are method, params and id")
    params = tree.get("params", [])
    if not isinstance(params, list):
        raise CommandError("params must be an array")
    return Request(str(tree["method"]), decode(params), {"id": tree["id"]} if "id" in tree else {})


def _decoded(params: list[JSONValue]) -> list[EJSONValue]:
    try:
        return cast("list[EJSONValue]", ejson.decode(params, strict=True))
    except EJSONError as error:
        raise CommandError(f"params: {error}") from None


class LineReader:
    """Reads a file line by line. It keeps only the beginning of the next line in memory.

    Args:
        file: The file, which may be a pipe.
    """

    def __init__(self, file: InputFile) -> None:
        #: The file, to wait for before `read`.
        self.file = file
        #: The number of bytes read.
        self.position = 0
        #: Whether the end of the file has been read.
        self.is_at_end = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_first = True

    def read(self) -> list[bytes]:
        """Read once, and return the lines that are now complete, without line ends.

        Raises:
            CommandError: A line is too long.
            OSError: The file cannot be read.
        """
        piece = self.file.read(_PIECE)
        self.position += len(piece)
        if not piece:
            self.is_at_end = True
            rest, self._pieces = b"".join(self._pieces), []
            return [self._clean(rest)] if rest else []
        if b"\n" not in piece:
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > MAX_SIZE:
                raise CommandError(f"a line is longer than a message may be ({MAX_SIZE >> 20} MiB)")
            return []
        *lines, rest = b"".join([*self._pieces, piece]).split(b"\n")
        self._pieces = [rest]
        self._size = len(rest)
        return [self._clean(line) for line in lines]

    def _clean(self, line: bytes) -> bytes:
        if self._is_first:
            # Some editors write a byte order mark.
            self._is_first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.strip(b" \t\r")
