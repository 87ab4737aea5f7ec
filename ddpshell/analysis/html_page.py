"""A recording as one HTML page, which opens from disk and loads nothing from the network.

The page is `page.html` with the recording as JSON in it. Its policy allows only its own script and styles, by their
hashes. Secrets are masked. The frames are in blocks of limited size, which the browser parses only when they are needed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from ..ejson import JSONValue, json_text
from ..protocol.secrets import mask, mask_text
from .exchanges import Connection, Exchange, Exchanges, PingPong, Request, Subscription, View
from .recording import ConnectionChange, Entry, Frame, Header, rounded
from .weight import Weight

_TEMPLATE = Path(__file__).with_name("page.html")

# Characters of a block. A browser parses a block of this size in some milliseconds.
_BLOCK = 200_000

# Characters of a frame that the page has, and of the parameters in a row.
_LONGEST_FRAME = 65_536
_LONGEST_PARAMS = 300

# Entries of the tables; the rest is added up.
_MOST_FIELDS = 100
_MOST_PUBLICATIONS = 500
_MOST_COLLECTIONS = 20


def html_page(header: Header, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the parts of the page, in UTF-8 without lone surrogates.

    Args:
        header: The header of the recording.
        entries: Its frames and events.
    """
    template = _TEMPLATE.read_text(encoding="utf-8")
    before, _, after = template.partition("@data@")
    yield before.replace("@policy@", _policy(template))
    yield from _Page(header).data(entries)
    yield after


def _policy(template: str) -> str:
    def hashed(tag: str) -> str:
        found = re.search(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        assert found is not None
        return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {hashed('script')}; style-src {hashed('style')}; "
        "base-uri 'none'; form-action 'none'"
    )


class _Row(Struct):
    """An exchange, with the frames and the steps that the page shows."""

    exchange: Exchange
    steps: list[JSONValue] = []
    # The first number and the length of each run of frames.
    frames: list[int] = []
    bytes: int = 0
    collections: dict[str, None] = {}

    def add_frame(self, number: int, size: int) -> None:
        self.bytes += size
        if self.frames:
            first, length = self.frames[-2:]
            if first + length > number:
                return  # a frame can have several steps of one exchange
            if first + length == number:
                self.frames[-1] = length + 1
                return
        self.frames += [number, 1]


class _Blocks:
    """Collects JSON texts, and puts them into script elements that are not run."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._first = 0
        self._size = 0
        self._texts: list[str] = []

    def add(self, value: JSONValue) -> Iterator[str]:
        text = _inline(value)
        self._texts.append(text)
        self._size += len(text)
        if self._size >= _BLOCK:
            yield from self.end()

    def end(self) -> Iterator[str]:
        if self._texts:
            text = ",".join(self._texts)
            yield f'<script type="application/json" class="{self._kind}" data-first="{self._first}">[{text}]</script>\n'
        self._first += len(self._texts)
        self._size = 0
        self._texts = []


class _Page:
    def __init__(self, header: Header) -> None:
        self._header = header
        self._exchanges = Exchanges()
        self._rows: dict[Exchange, _Row] = {}
        self._connections: dict[int, Connection] = {}
        # None stands for data that no subscription waits for.
        self._weights: defaultdict[str | None, Weight] = defaultdict(Weight)
        self._frames = [0, 0]
        self._bytes = [0, 0]
        self._first: float | None = None
        self._last = 0.0

    def data(self, entries: Iterable[Entry]) -> Iterator[str]:
        frames = _Blocks("frames")
        for entry in entries:
            self._first = entry.t if self._first is None else min(self._first, entry.t)
            self._last = max(self._last, entry.t)
            if isinstance(entry, ConnectionChange):
                self._receive_change(entry)
                continue
            text = mask(entry.text)
            self._receive_frame(entry, self._exchanges.receive(Frame(entry.t, entry.conn, entry.dir, text)))
            shown: list[JSONValue] = [rounded(entry.t), entry.conn, int(entry.dir == "out"), text[:_LONGEST_FRAME]]
            yield from frames.add([*shown, entry.size, len(text) > _LONGEST_FRAME])
        yield from frames.end()
        rows = _Blocks("rows")
        for row in self._rows.values():
            yield from rows.add(self._row(row))
        yield from rows.end()
        yield f'<script type="application/json" id="about">{_inline(self._about())}</script>\n'

    def _receive_change(self, change: ConnectionChange) -> None:
        for step in self._exchanges.receive(change).steps:
            self._found(step.exchange).steps.append([step.phase, rounded(change.t)])
            if isinstance(step.exchange, Connection):
                self._connections[change.conn] = step.exchange

    def _receive_frame(self, frame: Frame, view: View) -> None:
        number, is_out = sum(self._frames), int(frame.dir == "out")
        self._frames[is_out] += 1
        self._bytes[is_out] += frame.size
        data, waiting = view.data, None
        for step in view.steps:
            row = self._found(step.exchange)
            if isinstance(step.exchange, Connection):
                self._connections[frame.conn] = step.exchange
            else:
                row.add_frame(number, frame.size)
            # Of many steps with data, only the first one is shown.
            if step.phase != "data" or not row.collections:
                row.steps.append([step.phase, rounded(frame.t)])
            if data is not None and isinstance(step.exchange, Subscription):
                waiting = step.exchange.name
                row.collections[data.collection] = None
        # The frames of a connection are all that were sent and received on it.
        connection = self._connections.get(frame.conn)
        if connection is None:
            connection = self._connections[frame.conn] = Connection(frame.conn, frame.t)
            self._found(connection).steps.append(["open", rounded(frame.t)])
        self._found(connection).add_frame(number, frame.size)
        if data is not None:
            self._weights[waiting].add(data, frame.size)

    def _found(self, exchange: Exchange) -> _Row:
        return self._rows.setdefault(exchange, _Row(exchange))

    def _row(self, row: _Row) -> JSONValue:
        one = row.exchange
        kind, name, identifier, params, error = "conn", "", "", "", ""
        shown: dict[str, JSONValue] = {}
        match one:
            case Request():
                kind, name, identifier, params = one.kind, one.name, one.id, one.params
                error = "" if one.error is None else str(one.error)
                if isinstance(one, Subscription):
                    shown["documents"] = one.documents
            case PingPong():
                kind, name = "ping", "sent by the client" if one.dir == "out" else "sent by the server"
            case Connection():
                shown["again"] = one.is_reconnect
                if one.reason:
                    params = mask_text(one.reason)
        connection = self._connections[one.conn]
        shown |= {
            "closed": None if connection.closed is None else rounded(connection.closed),
            "kind": kind,
            "name": name,
            "id": identifier,
            "conn": one.conn,
            "params": params if len(params) <= _LONGEST_PARAMS else params[:_LONGEST_PARAMS] + " …",
            "error": error[:_LONGEST_PARAMS],
            "steps": row.steps,
            "frames": [*row.frames],
            "bytes": row.bytes,
            "collections": list[JSONValue](row.collections)[:_MOST_COLLECTIONS],
        }
        return shown

    def _about(self) -> JSONValue:
        first = self._last if self._first is None else self._first
        connections = [one for one in self._rows if isinstance(one, Connection)]
        return {
            "url": mask_text(self._header.url),
            "started": self._header.started,
            "program": self._header.program,
            "first": rounded(first),
            "last": rounded(self._last),
            "connections": len(connections),
            "reconnects": [rounded(one.opened) for one in connections if one.is_reconnect],
            "frames": list[JSONValue](self._frames),
            "bytes": list[JSONValue](self._bytes),
            "weight": self._weight(),
        }

    def _weight(self) -> JSONValue:
        found: list[JSONValue] = []
        heaviest = sorted(self._weights.items(), key=lambda item: -item[1].bytes)
        for name, weight in heaviest[:_MOST_PUBLICATIONS]:
            fields = [
                (f"{collection}.{name}", field)
                for collection, one in weight.collections.items()
                for name, field in one.fields.items()
            ]
            fields.sort(key=lambda item: -item[1].bytes)
            smaller = [field for _, field in fields[_MOST_FIELDS:]]
            smaller += [one.others for one in weight.collections.values() if one.others is not None]
            found.append({
                "name": name,
                "documents": weight.documents,
                "bytes": weight.bytes,
                "fields": [[path, field.sendings, field.bytes] for path, field in fields[:_MOST_FIELDS]],
                "others": [len(smaller), sum(field.bytes for field in smaller)] if smaller else None,
            })  # fmt: skip
        return found


def _inline(value: JSONValue) -> str:
    """Return a JSON text that is safe in a script element: no tag or comment can begin or end in it."""
    text = json_text.dump(value)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    # Lone surrogates, which UTF-8 cannot encode.
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
