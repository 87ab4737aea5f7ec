"""A line is a call or says what is wrong with it, and lines come from a file in pieces of any size."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.cli import calls
from ddpshell.cli.calls import LineReader, Request, parse_request
from ddpshell.ejson import Date
from ddpshell.exceptions import CommandError


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
        pytest.param('["\\ud800"]', Request("\ud800", [], {}), id="half a character"),
    ],
)  # fmt: skip
def test_a_line_is_a_call(line: str, request_: Request) -> None:
    assert parse_request(line.encode()) == request_


@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param(b"m", "not JSON: ", id="no JSON"),
        pytest.param(b'["m"', "not JSON: ", id="half of it"),
        pytest.param(b'["m"] ["n"]', "not JSON: ", id="two of them"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(b'["\xff"]', "not UTF-8 text, from byte 2 on", id="no text"),
        pytest.param(b"[]", 'no call: one looks like ["method", ARG...] or ', id="empty"),
        pytest.param(b"[5]", "no call: ", id="no name"),
        pytest.param(b'"m"', "no call: ", id="a name alone"),
        pytest.param(b"{}", "no call: ", id="no method"),
        pytest.param(b'{"method": 5}', "no call: ", id="a method that is no name"),
        pytest.param(b'{"method": "m", "params": {"a": 1}}', "params is no array", id="no array"),
        pytest.param(b'{"method": "m", "args": []}', "unknown key 'args'; there are method, params, id", id="misspelled"),
        pytest.param(b'["m", {"$binary": "!"}]', "params: ", id="no EJSON"),
        pytest.param(b'["m", {"$date": null}]', "params: null is not a valid $date", id="E4: null"),
        pytest.param(b'{"method": "m", "params": [{"$date": "x"}]}', 'params: "x" is not a valid $date', id="V46"),
    ],
)  # fmt: skip
def test_what_is_no_call_is_told(line: bytes, error: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_request(line)
    assert error in str(caught.value)


@given(st.binary(max_size=200))
def test_no_line_is_anything_else(line: bytes) -> None:
    try:
        parse_request(line)
    except CommandError:
        return


def read_all(data: bytes, sizes: list[int]) -> list[bytes]:
    """What comes through a pipe, written in pieces of these sizes and the rest in one."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        reader = LineReader(source.fileno())
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
def test_lines_are_the_same_in_pieces_of_any_size(data: bytes, sizes: list[int]) -> None:
    expected = [line.strip(b" \t\r") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    if data.endswith(b"\n") or not data:
        expected.pop()
    assert read_all(data, sizes) == expected


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"a\nb\n", [b"a", b"b"], id="lines"),
        pytest.param(b"a\nb", [b"a", b"b"], id="without the last end"),
        pytest.param(b"a\r\n\r\nb\r\n", [b"a", b"", b"b"], id="of Windows, one empty"),
        pytest.param(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"\xef\xbb\xbfb"], id="a byte order mark"),
    ],
)
def test_lines_end_as_they_do(data: bytes, lines: list[bytes]) -> None:
    assert read_all(data, []) == lines


def read_to_end(reader: LineReader) -> None:
    while not reader.is_at_end:
        reader.read()


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_MAX_SIZE", 200_000)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:

        def write() -> None:
            with os.fdopen(writing, "wb") as end:
                end.write(b"x" * 300_000)

        thread = threading.Thread(target=write)
        thread.start()
        reader = LineReader(source.fileno())
        with pytest.raises(CommandError, match="a line is longer than any message may be"):
            read_to_end(reader)
        while source.read1():
            pass
        thread.join()
