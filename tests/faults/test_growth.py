"""The time to handle input of a peer is proportional to its length. The tests make inputs longer and limit the growth."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

from ddpshell import ejson
from ddpshell.cli.document_lines import DocumentCopies
from ddpshell.client.network.frames import FrameReader
from ddpshell.exceptions import DDPError
from ddpshell.protocol import codec, secrets, sockjs
from ddpshell.protocol.client_session import ClientSession
from ddpshell.protocol.events import DocumentAdded, DocumentChanged, DocumentMoved, DocumentRemoved
from ddpshell.protocol.messages import Raw
from ddpshell.protocol.server_session import ServerSession
from ddpshell.text import escaping, formatting, prose

#: Seconds of CPU time. Shorter times are not measured.
_LONG = 0.1

#: Returns a text with about this number of characters.
Text: TypeAlias = Callable[[int], str]

# Nested more deeply than any parser of this package accepts.
_DEEP = "[" * 5000


def _added(value: str) -> str:
    return f'{{"msg":"added","collection":"c","id":"x","fields":{{"a":{value}}}}}'


def _filled(pattern: str, value: Callable[[str], str] = _added) -> Text:
    """Return a function that repeats the part of the pattern between < and > to fill a size."""
    before, _, rest = pattern.partition("<")
    unit, _, after = rest.partition(">")
    return lambda size: value(before + unit * (size // len(unit)) + after)


def _whole(text: str) -> str:
    return text


#: Texts whose cost per character has grown, or could grow, with their length.
TEXTS: dict[str, Text] = {
    "an unterminated string after deep nesting": _filled(f'{{"a":{_DEEP}"<\\">', _whole),
    "endless backslashes": _filled(f'{{"a":{_DEEP}"<\\>', _whole),
    "quotes after deep nesting": _filled(f'{{"a":{_DEEP}<">', _whole),
    "keys beside deep nesting": _filled(f'{{"a":{_DEEP}{"]" * 5000}<,"b":"x">', _whole),
    "brackets": _filled("<[>", _whole),
    "brackets and braces": _filled('<{"a":[>', _whole),
    "spaces": _filled("< >", _whole),
    "newlines": _filled("<\n>x", _whole),
    "columns": _filled("a<  a>", _whole),
    "an integer": _filled("<1>"),
    "integers": _filled(f"[<{'1' * 4000},>1]"),
    "a fraction": _filled("0.<1>"),
    "an exponent": _filled("1e<1>"),
    "lone surrogates": _filled(r'"<\ud800>"'),
    "infinities": _filled("[<1e999,>1]"),
    "dollars": _filled('"<$>"'),
    "text like a date": _filled(r'"<{\"$date\":>"'),
    "dates": _filled('[<{"$date":1},>1]'),
    "object ids": _filled(f'[<{{"$type":"oid","$value":"{"a" * 24}"}},>1]'),
    "a decimal": _filled('{"$type":"Decimal","$value":"<1>"}'),
    "an invalid decimal": _filled('{"$type":"Decimal","$value":"<1>.<1>x"}'),
    "a decimal's exponent": _filled('{"$type":"Decimal","$value":"1e<1>"}'),
    "binary": _filled('{"$binary":"<AAAA>"}'),
    "padding": _filled('{"$binary":"A<=>"}'),
    "escapes": _filled('[<{"$escape":{"$date":1}},>1]'),
    "customs": _filled('[<{"$type":"t","$value":[1]},>1]'),
    "classes of a pattern": _filled('{"$regexp":"<[>","$flags":"v"}'),
    "groups of a pattern": _filled('{"$regexp":"<(?<a>","$flags":""}'),
    "counts of a pattern": _filled('{"$regexp":"a<{1>","$flags":""}'),
    "a count of a pattern": _filled('{"$regexp":"a{<1>","$flags":""}'),
    "modifiers of a pattern": _filled('{"$regexp":"(?<i>","$flags":""}'),
    "flags": _filled('{"$regexp":"a","$flags":"<g>"}'),
    "equal keys": _filled('{<"k":1,>"k":1}'),
    "keys": lambda size: _added(json.dumps({str(number): number for number in range(size // 10)})),
    "a number as an id": _filled('{"msg":"added","collection":"c","id":"~<1>"}', _whole),
    "an unknown message": _filled('{"msg":"<x>"}', _whole),
    "a reason": _filled('{"msg":"error","reason":"<x>"}', _whole),
    "controls": _filled(r'"<\u001b\u202e>"'),
    "wide characters": _filled('"<\u4e16>"'),
    "secrets": _filled('{<"password":"x",>"a":1}'),
    "letters of a secret's name": _filled('"<s_r_>"'),
    "dashes in a secret's name": _filled('"api<->"'),
    "calls in calls": _filled('[<{"msg":"method","method":"login","params":[{"code":"1"}]},>1]', _whole),
    "many ready": _filled('{"msg":"ready","subs":[<"x",>"x"]}', _whole),
    "many updated": _filled('{"msg":"updated","methods":[<"x",>"x"]}', _whole),
    "many cleared": _filled('{"msg":"changed","collection":"c","id":"x","cleared":[<"x",>"x"]}', _whole),
    "an error": _filled('{"msg":"result","id":"1","error":{"error":1,"reason":["<x>"],"details":[1]}}', _whole),
}


def _client() -> ClientSession:
    session = ClientSession(lambda: 0.5, heartbeat_interval=0)
    session.documents.watched = True
    session.connection_made(0.0)
    session.receive_text('{"msg":"connected","session":"x"}', 0.0)
    session.call("m", [])
    return session


def _by_client(text: str) -> None:
    _client().receive_text(text, 0.0)


def _by_server(text: str) -> None:
    session = ServerSession(0.0, heartbeat_interval=0)
    session.receive_text('{"msg":"connect","version":"1","support":["1"]}', 0.0)
    session.events_received()
    session.accept("x", 0.0)
    head = '"msg":"method","method":"m","id":"1","params":'
    session.receive_text(text.replace('"msg":"added","collection":"c","id":"x","fields":', head), 0.0)
    session.events_received()
    session.texts_to_send()


def _by_sockjs(text: str) -> None:
    sockjs.unframe(f"a{json.dumps([text])}")
    sockjs.unframe(f"a{text}")
    sockjs.unframe_from_client(text)


def _by_frames(text: str) -> None:
    reader = FrameReader()
    # One byte in each fragment; the reader gets them in parts.
    data = b"\x01\x00" + b"".join(b"\x00\x01" + bytes([byte]) for byte in text.encode()) + b"\x80\x00"
    for start in range(0, len(data), 1000):
        reader.receive(data[start : start + 1000])


def _by_shown(text: str) -> None:
    for escape in (escaping.escape_text, escaping.escape_line, escaping.escape_json, escaping.quote):
        escape(text)
    line = escaping.escape_line(text)
    prose.clip(line, 80)
    prose.point_at(line, line)
    prose.wrapped([("", text)], 80)


def _by_values(text: str) -> None:
    value = codec.ejson_value(Raw(text.encode()))
    ejson.equals(value, ejson.clone(value))
    codec.ejson_text(value)
    formatting.format_value(value)


READERS: dict[str, Callable[[str], object]] = {
    "client": _by_client,
    "server": _by_server,
    "SockJS": _by_sockjs,
    "frames": _by_frames,
    "mask": secrets.mask,
    "shown": _by_shown,
    "values": _by_values,
}


def _cost(work: Callable[[], object]) -> float:
    """Return the CPU time of this thread, in seconds."""
    begin = time.thread_time()
    with contextlib.suppress(DDPError):
        work()
    return time.thread_time() - begin


def _assert_linear(make: Callable[[int], Any], work: Callable[[Any], object], size: int) -> None:
    """Make the input four times as long, twice: linear work takes four times as long, and quadratic work sixteen times.

    Caches, other programs, and the step from a fast path to a slow one disturb short measurements, so growth counts only
    where the work takes long.
    """
    inputs = [make(size * factor) for factor in (16, 4, 1)]
    for long, short in itertools.pairwise(inputs):
        if _cost(lambda long=long: work(long)) < _LONG:  # type: ignore[misc]
            return
        costs = [min(_cost(lambda text=text: work(text)) for _ in range(3)) for text in (short, long)]  # type: ignore[misc]
        assert costs[1] < 9 * costs[0], f"grows faster than the input: {costs}"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_takes_time_in_proportion_to_its_length(name: str, reader: str) -> None:
    _assert_linear(TEXTS[name], READERS[reader], 1000)


def _messages(kind: str) -> Callable[[int], list[str]]:
    def make(count: int) -> list[str]:
        added = [json.dumps({"msg": "added", "collection": "c", "id": str(number)}) for number in range(count)]
        own = [json.dumps(_MESSAGES[kind](number, count)) for number in range(count)]
        return [*added, *own]

    return make


_MESSAGES: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "addedBefore": lambda number, _: {
        "msg": "addedBefore", "collection": "c", "id": f"b{number}", "before": str(number // 2)
    },
    "movedBefore": lambda number, count: {
        "msg": "movedBefore", "collection": "c", "id": str(number), "before": str(count // 2)
    },
    "movedBefore the last": lambda number, _: {"msg": "movedBefore", "collection": "c", "id": str(number)},
    "changed": lambda number, _: {"msg": "changed", "collection": "c", "id": "0", "fields": {str(number): 1}},
    "cleared": lambda number, _: {"msg": "changed", "collection": "c", "id": "0", "cleared": [str(number)]},
    "added again": lambda number, _: {"msg": "added", "collection": "c", "id": "0", "fields": {str(number): 1}},
    "removed": lambda number, _: {"msg": "removed", "collection": "c", "id": str(number)},
    "collections": lambda number, _: {"msg": "added", "collection": str(number), "id": "x"},
    "pings": lambda number, _: {"msg": "ping", "id": str(number)},
    "errors": lambda number, _: {"msg": "error", "reason": str(number)},
    "nosub": lambda number, _: {"msg": "nosub", "id": str(number)},
    "results": lambda number, _: {"msg": "result", "id": str(number)},
}  # fmt: skip


def _receive_all(texts: Sequence[str], *, held_back: bool) -> None:
    session = _client()
    if held_back:
        session.call("m", [], wait=True)
        session.receive_text('{"msg":"result","id":"1"}', 0.0)
        session.receive_text('{"msg":"updated","methods":["1"]}', 0.0)
    copies = DocumentCopies()
    for text in texts:
        session.receive_text(text, 0.0)
    session.receive_text('{"msg":"updated","methods":["2"]}', 0.0)
    for event in session.events_received():
        if isinstance(event, (DocumentAdded, DocumentChanged, DocumentRemoved, DocumentMoved)):
            copies.apply(event)
    list(copies.collections())


@pytest.mark.parametrize("held_back", [False, True], ids=["at once", "held back"])
@pytest.mark.parametrize("kind", _MESSAGES)
def test_the_cost_of_a_message_is_constant(kind: str, held_back: bool) -> None:
    """C21, C42, C46: the cost does not depend on the number of earlier messages."""
    _assert_linear(_messages(kind), lambda texts: _receive_all(texts, held_back=held_back), 300)


@pytest.mark.parametrize("depth", [300, 450, 700, 960, 1500])
@pytest.mark.parametrize("inner", ["1", '"$"', r'"\ud800"', "1e999", '{"$date":1}', '{"password":"x"}'])
@pytest.mark.parametrize(
    "kind", [("[", "]"), ('{"a":', "}"), ('{"$escape":{"$date":', "}}"), ('{"$type":"t","$value":', "}")]
)
def test_no_depth_of_nesting_ends_a_session(depth: int, inner: str, kind: tuple[str, str]) -> None:
    """C73, E31: if a function rejects deep nesting, the next message is still handled."""
    opening, closing = kind
    value = opening * depth + inner + closing * depth
    for held_back in (False, True):
        session = _client()
        if held_back:
            session.call("m", [], wait=True)
        for message in (
            _added(value),
            _added("1"),
            _added(value),
            f'{{"msg":"changed","collection":"c","id":"x","fields":{{"a":{value}}}}}',
            f'{{"msg":"result","id":"1","error":{value}}}',
            f'{{"msg":"ping","id":{value}}}',
            f'{{"msg":"error","reason":"r","offendingMessage":{value}}}',
            f'{{"msg":"nosub","id":"1","error":{value}}}',
            f'{{"msg":"pong","id":{value}}}',
            f'{{"msg":"connected","session":{value}}}',
            f'{{"msg":"unheard","a":{value}}}',
        ):
            session.receive_text(message, 0.0)
            secrets.mask(message)
        session.receive_text('{"msg":"updated","methods":["1","2"]}', 0.0)
        session.receive_text('{"msg":"ping","id":"last"}', 0.0)
        assert session.texts_to_send()[-1] == '{"msg":"pong","id":"last"}'


@pytest.mark.parametrize(
    "tail",
    [
        '"b":"x',
        r'"b":"\q"',
        r'"b":"\ud8"}',
        '::"x"',
        ']:"x"',
        '"b"' + ":" * 9,
        '"a":"b\n"}',
        '"msg":"result","id":"1"}',
    ],
)
def test_anything_may_follow_deep_nesting(tail: str) -> None:
    """C70, C73: the text after the nesting is searched for the id of the request, and need not be JSON."""
    session = _client()
    session.receive_text(f'{{"result":{_DEEP}{"]" * 5000},{tail}', 0.0)
    session.receive_text(f'{{"result":{_DEEP}{tail}', 0.0)


def test_a_move_before_an_invalid_id_is_ignored() -> None:
    """C73, I10: this holds also while data is held back."""
    for held_back in (False, True):
        session = _client()
        if held_back:
            session.call("m", [], wait=True)
            session.receive_text('{"msg":"result","id":"1"}', 0.0)
            session.receive_text('{"msg":"updated","methods":["1"]}', 0.0)
        session.receive_text('{"msg":"added","collection":"c","id":"x"}', 0.0)
        session.receive_text('{"msg":"movedBefore","collection":"c","id":"x","before":"~what"}', 0.0)
        session.receive_text('{"msg":"updated","methods":["2"]}', 0.0)
        assert session.documents.count("c") == 1
