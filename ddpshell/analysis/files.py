"""Files with frames: recordings, and HAR files with WebSocket messages, as Chrome, Playwright and others save them.

A HAR file is one JSON text, often of hundreds of megabytes, which is never in memory as a whole. The first pass finds the
WebSockets, and skips all values that it does not need without decoding them. The second pass reads the messages of all
WebSockets side by side, in the order of their times.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, cast

from msgspec import Struct

from ..ejson import JSONValue, json_text
from ..exceptions import EJSONError, RecordingError
from ..text.prose import plural
from .recording import (
    ConnectionChange,
    Direction,
    Entry,
    Frame,
    Header,
    ddp_messages,
    iso_time,
    json_object,
    read_recording,
    rounded,
)

_CHUNK: Final = 1 << 18
_SPACE = b" \t\r\n"
# Everything in an array up to its next bracket, and in an object up to its next brace, also whole strings. An array that is
# skipped may contain any objects, since their brackets come in pairs. All patterns are for text without escaped quotes.
_INSIDE = {
    ord(kind): re.compile(rb'[^"%s]*+(?:"[^"]*+"[^"%s]*+)*+' % (pair, pair))
    for kind, pair in ((b"[", rb"\[\]"), (b"{", rb"{}"))
}
# An object without other objects in it, as almost all messages are, and what separates it from the one before it.
_NEXT_FLAT_OBJECT = re.compile(rb'[ \t\r\n,]*+(\{[^"{}]*+(?:"[^"]*+"[^"{}]*+)*+\})')
_SCALAR = re.compile(rb"[^\s,\]}]*+")

#: Other ways of SockJS to carry messages, in ordinary HTTP requests.
_XHR = re.compile(r"/sockjs/[^/]+/[^/]+/(?:xhr|xhr_streaming|xhr_send|eventsource|htmlfile|jsonp|jsonp_send)(?:\?|$)")

_TEXT_OPCODE = 1
_DIRECTIONS: dict[str, Direction] = {
    **dict.fromkeys(("send", "sent", "request", "out"), "out"),
    **dict.fromkeys(("receive", "received", "response", "in"), "in"),
}
# Times are seconds, milliseconds or microseconds since 1970; the first two limits are in the year 5138.
# Larger numbers are not times.
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6))


class _Socket(Struct):
    """A WebSocket in the file.

    Args:
        url: Its URL.
        offset: The place of the array with its messages, in bytes.
        began: The time of its beginning in seconds since 1970.
    """

    url: str
    offset: int
    began: float


class _Scanner:
    """Reads JSON from a file, and skips values without decoding them.

    Args:
        file: The file.
        on_read: Called with the number of bytes after each read.
        offset: Where to begin.
    """

    def __init__(self, file: BinaryIO, on_read: Callable[[int], object], offset: int = 0) -> None:
        self._file = file
        self._on_read = on_read
        file.seek(offset)
        # The place of the buffer in the file, and the place in the buffer.
        self._start = offset
        self._buffer = b""
        self._at = 0
        # The buffer with spaces for escaped quotes and backslashes, in which all other quotes begin or end a string.
        self._plain = b""
        # Pieces of the value that is skipped, to be decoded.
        self._kept: list[bytes] | None = None

    @property
    def offset(self) -> int:
        """The place in the file."""
        return self._start + self._at

    def peek(self) -> bytes:
        """Return the next character that is not a space; nothing at the end of the file."""
        while True:
            while self._at < len(self._buffer):
                character = self._buffer[self._at : self._at + 1]
                if character not in _SPACE:
                    return character
                self._at += 1
            if not self._more():
                return b""

    def expect(self, *characters: bytes) -> bytes:
        """Read one of these characters."""
        found = self.peek()
        if not found:
            raise RecordingError("the file is incomplete")
        if found not in characters:
            raise RecordingError(f"byte {self.offset} is {found.decode('utf-8', 'replace')!r}")
        self._at += 1
        return found

    def members(self) -> Iterator[str]:
        """Read an object: yield each key, after which the caller reads or skips the value."""
        self.expect(b"{")
        if self.peek() == b"}":
            self._at += 1
            return
        while True:
            key = self.value()
            self.expect(b":")
            yield key if isinstance(key, str) else ""
            if self.expect(b",", b"}") == b"}":
                return

    def items(self) -> Iterator[None]:
        """Read an array: yield before each item, which the caller reads or skips."""
        self.expect(b"[")
        if self.peek() == b"]":
            self._at += 1
            return
        while True:
            yield
            if self.expect(b",", b"]") == b"]":
                return

    def objects(self) -> Iterator[dict[str, JSONValue]]:
        """Read an array, and yield those of its items that are objects."""
        self.expect(b"[")
        while True:
            found = _NEXT_FLAT_OBJECT.match(self._plain, self._at)
            if found is not None:
                self._at = found.end()
                tree = self._parse(self._buffer[found.start(1) : self._at])
            elif self.peek() == b",":
                self._at += 1
                continue
            elif self.peek() == b"]":
                return
            else:
                tree = self.value()
            if isinstance(tree, dict):
                yield tree

    def value(self) -> JSONValue:
        """Read and decode a value."""
        self.peek()
        self._kept = []
        began = self._at
        buffer_start = self._start
        self.skip()
        pieces, self._kept = self._kept, None
        data = b"".join([*pieces, self._buffer[: self._at]])
        # The pieces begin with the buffer in which the value begins.
        assert self._start + self._at - buffer_start == len(data)
        return self._parse(data[began:])

    def _parse(self, data: bytes) -> JSONValue:
        try:
            return json_text.parse(data)
        except EJSONError:
            # Some programs do not escape control characters in strings.
            try:
                return cast(JSONValue, json.loads(data.decode("utf-8", "replace"), strict=False))
            except (ValueError, RecursionError):
                raise RecordingError(f"the value before byte {self.offset} is not valid JSON") from None

    def skip(self) -> None:
        """Skip a value."""
        first = self.peek()
        if first == b'"':
            self._at += 1
            self._skip_string()
        elif first and first in b"[{":
            self._at += 1
            self.skip_rest(first)
        else:
            while True:
                self._at = cast("re.Match[bytes]", _SCALAR.match(self._buffer, self._at)).end()
                if self._at < len(self._buffer) or not self._more():
                    return

    def _skip_string(self) -> None:
        while (end := self._plain.find(b'"', self._at)) < 0:
            self._at = len(self._buffer)
            self._need_more()
        self._at = end + 1

    def skip_rest(self, kind: bytes) -> None:
        """Skip the rest of an array (`[`) or object (`{`) that was entered."""
        inside = _INSIDE[kind[0]]
        depth = 1
        while depth:
            self._at = cast("re.Match[bytes]", inside.match(self._plain, self._at)).end()
            if self._at == len(self._buffer):
                self._need_more()
                continue
            character = self._buffer[self._at]
            self._at += 1
            if character == ord('"'):
                # This string ends in a later chunk.
                self._skip_string()
            else:
                depth += 1 if character in b"[{" else -1

    def _need_more(self) -> None:
        if not self._more():
            raise RecordingError("the file is incomplete")

    def _more(self) -> bool:
        """Read the next chunk after the whole buffer has been read."""
        assert self._at == len(self._buffer)
        data = self._file.read(_CHUNK)
        if not data:
            return False
        # An escape sequence is never in two chunks.
        while data.endswith(b"\\") and (more := self._file.read(1)):
            data += more
        self._on_read(len(data))
        if self._kept is not None:
            self._kept.append(self._buffer)
        self._start += self._at
        self._at = 0
        self._buffer = data
        self._plain = data.replace(rb"\\", b"  ").replace(rb"\"", b"  ")
        return True


def read_har(
    path: Path, name: str, on_read: Callable[[int], object] = lambda size: None
) -> tuple[Header, Iterator[Entry], list[str]]:
    """Read the DDP messages in a HAR file.

    Args:
        path: The file, which is opened once for each WebSocket and once more.
        name: The name of the file, for messages.
        on_read: Called with a number of bytes when they have been read. Most of the file is read twice.

    Returns:
        The header of a recording, its frames, and notes about what was left out.

    Raises:
        RecordingError: The file is not a HAR file.
    """
    sockets: list[_Socket] = []
    notes: list[str] = []
    creator, others = _find(path, name, on_read, sockets)
    if others:
        notes.append(
            f"{plural(others, 'SockJS request')} over HTTP left out, such as xhr_streaming; only WebSockets are read"
        )
    if not sockets:
        notes.append("there are no WebSocket messages in the file")
    began = min([socket.began for socket in sockets], default=0.0)
    started = iso_time(datetime.fromtimestamp(began, UTC)) if sockets else ""
    url = sockets[0].url if sockets else ""
    binary: list[int] = []

    def entries() -> Iterator[Entry]:
        streams = [_messages(path, on_read, socket, conn, began, binary) for conn, socket in enumerate(sockets, 1)]
        yield from heapq.merge(*streams, key=lambda entry: entry.t)
        if binary:
            notes.append(f"{plural(len(binary), 'binary message')} left out; DDP has only text")

    return Header(url, started, creator), entries(), notes


def _find(path: Path, name: str, on_read: Callable[[int], object], sockets: list[_Socket]) -> tuple[str, int]:
    """Find the WebSockets. Return the name of the program that made the file, and the number of SockJS's HTTP requests."""
    creator, others = "", 0
    is_har = False
    with path.open("rb") as file:
        scanner = _Scanner(file, on_read, 3 if file.read(3) == b"\xef\xbb\xbf" else 0)
        try:
            for key in scanner.members():
                if key != "log" or scanner.peek() != b"{":
                    scanner.skip()
                    continue
                for part in scanner.members():
                    if part == "creator":
                        creator = _program(scanner.value())
                    elif part == "entries" and scanner.peek() == b"[":
                        is_har = True
                        for _ in scanner.items():
                            others += _find_in_entry(scanner, sockets)
                    else:
                        scanner.skip()
        except RecordingError as error:
            what = f"{name} is a damaged HAR file" if is_har else f"{name} is not a HAR file"
            raise RecordingError(f"{what}: {error}") from None
    if not is_har:
        raise RecordingError(f"{name} is JSON, but neither a HAR file nor a recording: it has no log with entries")
    return creator, others


def _find_in_entry(scanner: _Scanner, sockets: list[_Socket]) -> bool:
    if scanner.peek() != b"{":
        scanner.skip()
        return False
    url, started, offset, times = "", None, None, []
    for key in scanner.members():
        if key.lower() == "_websocketmessages" and scanner.peek() == b"[":
            start = scanner.offset
            for _ in scanner.items():
                offset = start
                message = scanner.value()
                times = [_seconds(message.get("time")) if isinstance(message, dict) else None]
                scanner.skip_rest(b"[")
                break
        elif key == "request" and scanner.peek() == b"{":
            for part in scanner.members():
                if part == "url":
                    found = scanner.value()
                    url = found if isinstance(found, str) else ""
                else:
                    scanner.skip()
        elif key == "startedDateTime":
            started = _seconds(scanner.value())
        else:
            scanner.skip()
    if offset is not None:
        began = min([time for time in (*times, started) if time is not None], default=0.0)
        sockets.append(_Socket(url, offset, began))
    return offset is None and bool(_XHR.search(url))


def _messages(
    path: Path, on_read: Callable[[int], object], socket: _Socket, conn: int, began: float, binary: list[int]
) -> Iterator[Entry]:
    t = max(socket.began - began, 0.0)
    yield ConnectionChange(t, conn, "open", {"url": socket.url})
    with path.open("rb") as file:
        for message in _Scanner(file, on_read, socket.offset).objects():
            kind, text = message.get("type"), message.get("data")
            direction = _DIRECTIONS.get(kind) if isinstance(kind, str) else None
            opcode = message.get("opcode", _TEXT_OPCODE)
            if direction is None or not isinstance(text, str) or opcode != _TEXT_OPCODE:
                # Others are the control frames of the WebSocket protocol, or errors.
                if opcode == 2:
                    binary.append(conn)
                continue
            time = _seconds(message.get("time"))
            if time is not None:
                # Messages are in order, whatever the clock of the browser did.
                t = max(t, time - began)
            for part in ddp_messages(text, direction):
                yield Frame(rounded(t), conn, direction, part)
    yield ConnectionChange(t, conn, "close")


def _seconds(time: object) -> float | None:
    """Return a time in seconds since 1970."""
    if isinstance(time, float) and 0 <= time < _UNITS[0][0]:
        return time
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time).timestamp()
        except (ValueError, OverflowError):
            return None
    if isinstance(time, bool) or not isinstance(time, int | float) or not time >= 0:
        return None
    return next((time / unit for limit, unit in _UNITS if time < limit), None)


def _program(creator: JSONValue) -> str:
    if not isinstance(creator, dict):
        return ""
    return " ".join([part for key in ("name", "version") if isinstance(part := creator.get(key), str)])


# Bytes between two reports of the progress.
_STEP = 1 << 18

# Bytes of the first line that are read to recognize the file.
_HEAD = 1 << 16

_READABLE = "ddp reads recordings, as --record makes them, and HAR files"

#: Files that can contain HAR files or recordings in another form, by their first bytes.
_PACKED = {
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it first",
    b"\xff\xfe": "text in UTF-16; save it as UTF-8 first",
    b"\xfe\xff": "text in UTF-16; save it as UTF-8 first",
}


class FrameFile(Struct):
    """An open file with frames.

    Args:
        header: The header of the recording; for a HAR file, what corresponds to it.
        entries: The frames and events. To iterate can raise `RecordingError`.
        notes: What was left out. It is complete after the iteration.
    """

    header: Header
    entries: Iterator[Entry]
    notes: list[str]


@contextlib.contextmanager
def open_frames(path: str, on_progress: Callable[[float], object] = lambda share: None) -> Iterator[FrameFile]:
    """Open a recording or a HAR file.

    Args:
        path: The file.
        on_progress: Called now and then with the share of the file that has been read, from 0 to 1.

    Raises:
        RecordingError: The file is neither of them. The message says what was found, and what can be read.
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        # A pipe has no size.
        size = Path(path).stat().st_size or math.inf
        head = file.readline(_HEAD).removeprefix(b"\xef\xbb\xbf")
        if "ddp_recording" in (json_object(head) or {}):
            lines = _counted(file, lambda done: on_progress(done / size))
            header, entries = read_recording(chain([head], lines), path)
            yield FrameFile(header, entries, [])
            return
        text = head.lstrip()
        # The brace can be in a later line.
        while head and not text:
            head = file.readline(_HEAD)
            text = head.lstrip()
        if not text.startswith(b"{"):
            raise RecordingError(f"{path} is {_what_it_is(text)}; {_READABLE}")
        if json_object(head) is not None and file.readline(_HEAD).lstrip().startswith(b"{"):
            raise RecordingError(
                f"{path} has JSON in each line, but does not begin with the first line of a recording; {_READABLE}"
            )
        if not file.seekable():
            raise RecordingError(f"{path} is not a recording, and a HAR file cannot be read from a pipe; save it first")
        read = 0

        def count(number: int) -> None:
            nonlocal read
            read += number
            # The file is read twice.
            on_progress(read / size / 2)

        header, entries, notes = read_har(Path(path), path, count)
        yield FrameFile(header, entries, notes)


def _counted(lines: Iterable[bytes], on_read: Callable[[int], object]) -> Iterator[bytes]:
    """Yield all lines, and call the function from time to time with the number of bytes."""
    done = due = 0
    for line in lines:
        done += len(line)
        if done >= due:
            due = done + _STEP
            on_read(done)
        yield line


def _what_it_is(text: bytes) -> str:
    if not text:
        return "empty"
    for magic, packed in _PACKED.items():
        if text.startswith(magic):
            return packed
    return f"not a JSON object: it begins with {text.decode('utf-8', 'replace').strip()!r:.40}"
