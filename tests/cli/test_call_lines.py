from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.cli import call_lines
from ddpshell.cli.call_lines import LineReader, Request, parse_request, parse_requests
from ddpshell.cli.event_queue import InputFile
from ddpshell.ejson import Date
from ddpshell.exceptions import CommandError
from ddpshell.protocol.codec import ejson_text
from ddpshell.protocol.messages import Raw
from tests.strategies import json_trees


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        pytest.param('["m"]', Request("m", [], {}), id="no arguments"),
        pytest.param('["m", 1, [2]]', Request("m", [1, [2]], {}), id="arguments"),
        pytest.param('["m", {"$date": 8640000000000000}]', Request("m", [Date(8640000000000000)], {}), id="EJSON"),
        pytest.param('["m", {"$date": "+275760-09-13"}]', Request("m", [Date(8640000000000000)], {}), id="E12: a date as text"),
        pytest.param('{"method": "m"}', Request("m", [], {}), id="an object"),
        pytest.param('{"method": "m", "params": [1]}', Request("m", [1], {}), id="with arguments"),
        pytest.param('{"method": "m", "id": null}', Request("m", [], {"id": None}), id="an id that is null"),
        pytest.param('{"id": {"$date": 0}, "method": "m"}', Request("m", [], {"id": {"$date": 0}}), id="an id is JSON, not EJSON"),
        pytest.param('["\\ud800"]', Request("\ud800", [], {}), id="a lone surrogate"),
        pytest.param("['m', {a: [1,]}]  // why", Request("m", [{"a": [1]}], {}), id="values as for ddp call"),
        pytest.param("{method: 'm', params: [Binary('AQID')], id: {$date: 0}}", Request("m", [b"\x01\x02\x03"], {"id": {"$date": 0}}), id="an object with values as for ddp call"),
        pytest.param(f"['m', Text(@{__file__})]", Request("m", [Path(__file__).read_text()], {}), id="a file"),
    ],
)  # fmt: skip
def test_a_line_is_parsed_as_a_call(line: str, request_: Request) -> None:
    assert parse_request(line.encode()) == request_


@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param(b"m", "not a valid call; write ", id="not JSON"),
        pytest.param(b'["m"', "not a valid call: [ is not closed", id="not closed"),
        pytest.param(b'["m"] ["n"]', "not a valid call: unexpected text after the value: [", id="two calls"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="nested too deeply"),
        pytest.param(b"['m', {a: }]", "not a valid call: missing a value before }", id="a missing value"),
        pytest.param(b"['m', Text(@/nowhere)]", "cannot read /nowhere: No such file", id="no file"),
        pytest.param(b"['m', {$date: null}]", "null is not a valid $date", id="E4: null, as for ddp call"),
        pytest.param(b"{method: 'm', args: []}", "unknown key 'args'; the keys are method, params and id", id="an unknown key"),
        pytest.param(b'["\xff"]', "not UTF-8 text: invalid byte at position 2", id="not UTF-8"),
        pytest.param(b"[]", 'not a valid call; write ["method", ARG...] or ', id="empty"),
        pytest.param(b"[5]", "not a valid call; ", id="a name that is not a string"),
        pytest.param(b'"m"', "not a valid call; ", id="a name alone"),
        pytest.param(b"{}", "not a valid call; ", id="an object without a method"),
        pytest.param(b'{"method": 5}', "not a valid call; ", id="a method that is not a string"),
        pytest.param(b'{"method": "m", "params": {"a": 1}}', "params must be an array", id="params that are not an array"),
        pytest.param(b'{"method": "m", "args": []}', "unknown key 'args'; the keys are method, params and id", id="an unknown key in JSON"),
        pytest.param(b'["m", {"$binary": "!"}]', "params: ", id="not EJSON"),
        pytest.param(b'["m", {"$date": null}]', "params: null is not a valid $date", id="E4: null"),
        pytest.param(b'{"method": "m", "params": [{"$date": "x"}]}', 'params: "x" is not a valid $date', id="V46"),
    ],
)  # fmt: skip
def test_an_invalid_call_is_reported(line: bytes, error: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_request(line)
    assert error in str(caught.value)


@given(st.binary(max_size=200))
def test_any_other_line_raises_only_command_errors(line: bytes) -> None:
    try:
        parse_request(line)
    except CommandError:
        return


def outcome(request: Request | CommandError) -> tuple[object, ...]:
    """Return what a request sends and repeats, or its error. 1, 1.0 and True are equal, but their texts are not."""
    if isinstance(request, CommandError):
        return (str(request), request.text, request.position)
    params = request.params if isinstance(request.params, Raw) else ejson_text(request.params)
    return request.method, repr(json.loads(bytes(params))), repr(request.tags)


def slowly(line: bytes) -> Request | CommandError:
    try:
        return parse_request(line)
    except CommandError as error:
        return error


@given(
    st.lists(
        st.one_of(
            st.lists(json_trees(max_leaves=8), max_size=3).map(lambda params: ["m", *params]),
            st.fixed_dictionaries({"method": st.just("m")}, optional={"params": json_trees(), "id": json_trees()}),
            json_trees(max_leaves=3),
        ).map(lambda tree: json.dumps(tree, ensure_ascii=True).encode())
        | st.binary(max_size=20),
        max_size=6,
    )
)
def test_lines_that_are_read_together_are_the_same_calls(lines: list[bytes]) -> None:
    found = list(parse_requests(lines))
    assert [outcome(request) for request in found] == [outcome(slowly(line)) for line in lines]


@pytest.mark.parametrize(
    "line",
    [
        b'["m"]', b'["m", 1]', b'["m",1.0,1e2,-0.5,"-0",true,null]', b'["m",-0]', b'["m",9007199254740993]', b'["m",1e400]',
        b'["m",{"$date":5}]', b'["m",{"$date":"2026-01-02"}]', b'["m",{"$date":null}]', b'["m",{"$binary":"!"}]', b'["m","$"]',
        b'["m","\\u0024"]', b'["m","\\ud800"]', b'["\\u006d"]', b'["m", "\xff"]', b'["m","\xc3\xa9"]', b'["m",{"a":1,"a":2}]',
        b'{"method":"m","params":[1, {"$date":5}],"id":{"$date":1.0}}', b'{"method":"m","params":null}', b'{"method":"m","params":{}}',
        b'{"method":"m","id":"\\ud800"}', b'{"method":"m","more":1}', b'{"method":5}', b"[]", b"[5]", b"5", b"", b"['m', {a: 1}]",
        b'["m"', b'["m"] 1', b'["m",1] ["m"]', b"[" * 10_000,
    ],
)  # fmt: skip
def test_a_line_among_others_is_the_same_call(line: bytes) -> None:
    others = [b'["m"', b'"n"]', b'["m",{"a":[1]}]']
    found = list(parse_requests([*others, line, *others]))[3]
    assert outcome(found) == outcome(slowly(line))


def test_arguments_that_can_be_sent_as_they_are_are_not_read() -> None:
    [request] = parse_requests([b'["m", {"a": [1, "x"], "when": {"$date": 1767323045678}}]'])
    assert request == Request("m", Raw(b'[{"a":[1,"x"],"when":{"$date":1767323045678}}]'), {})


def read_all(data: bytes, sizes: list[int]) -> list[bytes]:
    """Write the data to a pipe, in pieces of these sizes and then the rest, and return the lines that are read."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        reader = LineReader(InputFile(source.fileno()))
        lines: list[bytes] = []
        position = 0
        for size in [*sizes, len(data)]:
            piece = data[position : position + size]
            position += len(piece)
            if piece:
                os.write(writing, piece)
                lines += reader.read()
        os.close(writing)
        while not reader.is_at_end:
            lines += reader.read()
        assert reader.position == len(data)
        return lines


@given(st.binary(max_size=100).map(lambda data: data.replace(b"x", b"\n")), st.lists(st.integers(1, 9)))
def test_lines_can_arrive_in_pieces_of_any_size(data: bytes, sizes: list[int]) -> None:
    expected = [line.strip(b" \t\r") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    if data.endswith(b"\n") or not data:
        expected.pop()
    assert read_all(data, sizes) == expected


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(b"", [], id="no bytes"),
        pytest.param(b"a\nb\n", [b"a", b"b"], id="lines"),
        pytest.param(b"a\nb", [b"a", b"b"], id="without a final newline"),
        pytest.param(b"a\r\n\r\nb\r\n", [b"a", b"", b"b"], id="line endings of Windows, and an empty line"),
        pytest.param(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"\xef\xbb\xbfb"], id="a byte order mark"),
    ],
)
def test_any_line_ending_ends_a_line(data: bytes, lines: list[bytes]) -> None:
    assert read_all(data, []) == lines


def read_to_end(reader: LineReader) -> None:
    while not reader.is_at_end:
        reader.read()


def test_a_line_without_end_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_lines, "MAX_SIZE", 200_000)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:

        def write() -> None:
            with os.fdopen(writing, "wb") as end:
                end.write(b"x" * 300_000)

        thread = threading.Thread(target=write)
        thread.start()
        reader = LineReader(InputFile(source.fileno()))
        with pytest.raises(CommandError, match="a line is longer than a message may be"):
            read_to_end(reader)
        while source.read1():
            pass
        thread.join()
