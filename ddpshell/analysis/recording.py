r"""Recordings: the stream of timestamped frames that all views read, and the file format for it.

A recording is NDJSON. The first line is a `Header`; each other line is a `Frame` or a `ConnectionChange`:

    {"ddp_recording":1,"url":"wss://app.example/websocket","started":"2026-01-31T12:00:00.000Z","program":"ddpshell 1.0.0"}
    {"t":0.0,"conn":1,"event":"open"}
    {"t":0.001,"conn":1,"dir":"out","frame":"{\"msg\":\"connect\",...}"}
    {"t":4.2,"conn":1,"event":"close","reason":"..."}

Secrets are masked when the file is written, unless the user asks for them. Unknown keys are ignored. A program that is
killed leaves a readable file, because each line is written at once, and an incomplete last line is ignored.
"""

from __future__ import annotations

import itertools
import os
import stat
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, cast

from msgspec import Struct

from .. import __version__
from ..ejson import JSONValue, json_text
from ..exceptions import EJSONError, RecordingError, RemoteProtocolError
from ..protocol import sockjs
from ..protocol.secrets import mask
from ..text.prose import milliseconds

#: Whether a frame came from the server (`in`) or was sent to it (`out`).
Direction: TypeAlias = Literal["in", "out"]

_VERSION: Final = 1

# More seconds than a recording can have: with this limit, all sums and differences of times are exact to a millisecond.
_MAX_SECONDS: Final = 1e11


class Header(Struct, frozen=True):
    """The first line of a recording.

    Args:
        url: The server's URL; empty if it is unknown.
        started: The time at which the recording began, in ISO format; empty if it is unknown.
        program: The program that made the recording.
    """

    url: str
    started: str
    program: str


class Frame(Struct, frozen=True, gc=False):
    """One DDP message, without SockJS framing.

    Args:
        t: Seconds since the recording began.
        conn: The number of the connection, from 1.
        dir: `in` for a message from the server, `out` for one to the server.
        text: The message.
    """

    t: float
    conn: int
    dir: Direction
    text: str

    @property
    def size(self) -> int:
        """The number of bytes of the text in UTF-8."""
        return len(self.text) if self.text.isascii() else len(self.text.encode("utf-8", "surrogatepass"))


class ConnectionChange(Struct, frozen=True):
    """A connection was opened or closed.

    Args:
        t: Seconds since the recording began.
        conn: The number of the connection, from 1.
        event: What happened.
        details: More about it, such as `reason`, in the other keys of the line.
    """

    t: float
    conn: int
    event: Literal["open", "close"]
    details: Mapping[str, JSONValue] = {}


Entry: TypeAlias = Frame | ConnectionChange


def make_header(url: str, started: datetime) -> Header:
    """Return the header of a recording that ddpshell makes."""
    return Header(url, iso_time(started), f"ddpshell {__version__}")


def iso_time(when: datetime) -> str:
    """Format a time in UTC with milliseconds, as JavaScript does."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ddp_messages(text: str, direction: Direction) -> tuple[str, ...]:
    """Return the DDP messages in the text of a WebSocket message, which may have SockJS framing (U10, U11).

    A DDP message is a JSON object, and a SockJS frame never is, so that the text itself shows which of them it is.
    """
    if text.startswith("{"):
        return (text,)
    if direction == "in":
        match sockjs.unframe(text):
            case sockjs.Messages(texts):
                return texts
            case sockjs.Ignored():
                return (text,)
        return ()
    try:
        return sockjs.unframe_from_client(text)
    except RemoteProtocolError:
        return (text,)


# -------------------------------------------------------------------------------------------------------------- reading


def read_recording(lines: Iterable[bytes], name: str) -> tuple[Header, Iterator[Entry]]:
    """Read a recording line by line, in constant memory.

    Args:
        lines: The lines of the file.
        name: The name of the file, for messages.

    Returns:
        The header, and an iterator over the rest, which reads the lines and raises `RecordingError` as well.

    Raises:
        RecordingError: The first line is not the header of a recording.
    """
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (1, b""))
    header = json_object(first)
    version = None if header is None else header.get("ddp_recording")
    if header is None or version is None:
        raise RecordingError(f"{name} is not a recording: line 1 {_what_it_is(first)} instead of the header")
    if version != _VERSION:
        raise RecordingError(f"{name} has version {version!r:.20} of the format, and this program reads {_VERSION}")
    texts = [value if isinstance(value := header.get(key), str) else "" for key in Header.__struct_fields__]
    return Header(*texts), _entries(numbered, name)


def _entries(numbered: Iterator[tuple[int, bytes]], name: str) -> Iterator[Entry]:
    for number, line in numbered:
        tree = json_object(line)
        if tree is None:
            if not line.strip():
                continue
            if line.startswith(b"{") and next(numbered, None) is None:
                # The program was killed while it wrote the line.
                return
            raise RecordingError(f"line {number} of {name} {_what_it_is(line)} instead of a frame")
        try:
            yield from _entry(tree)
        except ValueError as problem:
            raise RecordingError(f"line {number} of {name} is not a frame: {problem}") from None


def json_object(text: str | bytes) -> dict[str, JSONValue] | None:
    """Read a JSON text; return None if it is not an object."""
    try:
        tree = json_text.parse(text)
    except EJSONError:
        return None
    return tree if isinstance(tree, dict) else None


def _what_it_is(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    if not text:
        return "is empty"
    return f"is {text!r:.60}"


def _entry(tree: Mapping[str, JSONValue]) -> Iterator[Entry]:
    t, conn = tree.get("t"), tree.get("conn")
    # Comparing is safe also with an integer that is too large for a float, and NaN is never less.
    if isinstance(t, bool) or not isinstance(t, int | float) or not abs(t) < _MAX_SECONDS:
        raise ValueError("t is not a number of seconds")
    if isinstance(conn, bool) or not isinstance(conn, int):
        raise ValueError("conn is not the number of a connection")  # noqa: TRY004
    if "frame" in tree:
        direction, text = tree.get("dir"), tree["frame"]
        if direction not in ("in", "out"):
            raise ValueError('dir is neither "in" nor "out"')
        if not isinstance(text, str):
            raise ValueError("frame is not a string")
        for message in ddp_messages(text, cast(Direction, direction)):
            yield Frame(t, conn, cast(Direction, direction), message)
        return
    event = tree.get("event")
    # Ignore other events, which later versions may have.
    if event in ("open", "close"):
        details = {key: value for key, value in tree.items() if key not in ("t", "conn", "event")}
        yield ConnectionChange(t, conn, cast(Literal["open", "close"], event), details)
    elif not isinstance(event, str):
        raise ValueError("it has neither frame nor event")


# -------------------------------------------------------------------------------------------------------------- writing


def header_line(header: Header, *, with_secrets: bool = False) -> str:
    """Return the first line of a recording, without its line break."""
    line = json_text.dump(
        {"ddp_recording": _VERSION, "url": header.url, "started": header.started, "program": header.program}
    )
    return line if with_secrets else mask(line)


def entry_lines(entry: Entry, *, with_secrets: bool = False) -> Iterator[str]:
    """Return the lines of an entry, without their line breaks: one for each DDP message in a frame."""
    if isinstance(entry, ConnectionChange):
        line = json_text.dump({"t": rounded(entry.t), "conn": entry.conn, "event": entry.event, **entry.details})
        yield line if with_secrets else mask(line)
        return
    for message in ddp_messages(entry.text, entry.dir):
        # The text is masked as a message, which the mask cannot see in a string.
        text = message if with_secrets else mask(message)
        yield json_text.dump({"t": rounded(entry.t), "conn": entry.conn, "dir": entry.dir, "frame": text})


class RecordingWriter:
    """Writes a recording, each line at once. Methods may be called from any thread.

    Only the user may read the file. An existing file is overwritten.

    Args:
        path: The file.
        header: The first line.
        with_secrets: Whether to write passwords, tokens and other secrets as they are.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], header: Header, *, with_secrets: bool = False) -> None:
        self._with_secrets = with_secrets
        self._lock = threading.Lock()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        try:
            if hasattr(os, "fchmod") and stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor: int | None = descriptor
        try:
            self._write(header_line(header, with_secrets=with_secrets))
        except BaseException:
            self.close()
            raise

    def write(self, entry: Entry) -> None:
        """Write a frame or an event. After `close`, do nothing.

        Raises:
            OSError: The file cannot be written, because the disk is full, for instance.
        """
        for line in entry_lines(entry, with_secrets=self._with_secrets):
            self._write(line)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor is not None:
                descriptor, self._descriptor = self._descriptor, None
                os.close(descriptor)

    def _write(self, line: str) -> None:
        data = memoryview((line + "\n").encode())
        with self._lock:
            while data and self._descriptor is not None:
                data = data[os.write(self._descriptor, data) :]


def rounded(t: float) -> float:
    """Return a time in seconds as recordings have it, to a microsecond."""
    return round(t, 6)


class LiveRecorder:
    """Records the frames of clients in one file, which can be changed while the clients are connected.

    Args:
        now: Returns the time in seconds.
        wall: Returns the date and time.
        warn: Called with a text if the file cannot be written any more. The recording ends then.
    """

    def __init__(self, now: Callable[[], float], wall: Callable[[], datetime], warn: Callable[[str], object]) -> None:
        #: The name of the file; None while nothing is recorded.
        self.path: str | None = None
        #: Called with each frame and event, on the thread of its client, whether or not there is a file. Frames have their
        #: secrets, times are in seconds of the clock, and the numbers of connections are not those in the file.
        self.observer: Callable[[Entry], object] | None = None
        #: Returns the number of the next connection, which is another one in the file.
        self.next_connection = itertools.count(1).__next__
        self._now = now
        self._wall = wall
        self._warn = warn
        self._writer: RecordingWriter | None = None
        self._began = 0.0
        # The numbers of the connections in the present recording.
        self._numbers: defaultdict[int, int] = defaultdict(itertools.count(1).__next__)

    def start(self, path: str, url: str, *, with_secrets: bool = False) -> None:
        """Begin a recording, and end the present one.

        Raises:
            OSError: The file cannot be written. The present recording goes on.
        """
        began = self._now()
        writer = RecordingWriter(path, make_header(url, self._wall()), with_secrets=with_secrets)
        self.stop()
        self._began, self._numbers = began, defaultdict(itertools.count(1).__next__)
        self.path, self._writer = path, writer

    def stop(self) -> None:
        """End the recording, if there is one."""
        writer, self._writer, self.path = self._writer, None, None
        if writer is not None:
            writer.close()

    def listener(self) -> ClientListener:
        """Return a listener for one client."""
        return ClientListener(self)

    def write(self, conn: int, make: Callable[[float, int], Entry], now: float) -> None:
        """Pass an entry of a connection to the observer, and write it.

        Args:
            conn: The result of `next_connection`.
            make: Makes the entry for a time and a number of the connection.
            now: The time.
        """
        if (observer := self.observer) is not None:
            observer(make(now, conn))
        writer, path = self._writer, self.path
        if writer is None:
            return
        try:
            writer.write(make(max(now - self._began, 0.0), self._numbers[conn]))
        except OSError as error:
            self.stop()
            self._warn(f"the recording {path} has ended: {error.strerror}")


class ClientListener:
    """Records the connections of one client, which calls the methods on its thread."""

    def __init__(self, recorder: LiveRecorder) -> None:
        self._recorder = recorder
        self._conn = 0
        # The milliseconds of each step of the present attempt to connect, and the time at which the last step ended.
        self._steps: dict[str, JSONValue] = {}
        self._step_ended = 0.0

    def connecting(self, step: str | None, now: float) -> None:
        """Remember how long a step of connecting took. None begins an attempt."""
        if step is None:
            self._steps = {}
        else:
            self._steps[step] = milliseconds(now - self._step_ended)
        self._step_ended = now

    def opened(self, url: str, now: float) -> None:
        """Record that a connection was opened."""
        self._conn = self._recorder.next_connection()
        details: dict[str, JSONValue] = {"url": url, **({"steps": self._steps} if self._steps else {})}
        self._recorder.write(self._conn, lambda t, conn: ConnectionChange(t, conn, "open", details), now)

    def frame(self, text: str, now: float, *, is_sent: bool) -> None:
        """Record a frame."""
        self._recorder.write(self._conn, lambda t, conn: Frame(t, conn, "out" if is_sent else "in", text), now)

    def closed(self, reason: str, now: float) -> None:
        """Record that the connection was closed."""
        details: dict[str, JSONValue] = {"reason": reason} if reason else {}
        self._recorder.write(self._conn, lambda t, conn: ConnectionChange(t, conn, "close", details), now)
