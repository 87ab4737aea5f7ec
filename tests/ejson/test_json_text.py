"""JSON text and JSON trees: the quick way and the slow one."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import json_text
from ddpshell.ejson.json_text import JSONValue, NestingError, dump, parse
from ddpshell.exceptions import EJSONError
from tests.strategies import json_trees


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(" [1, 1.0, -0, 1e2] ", [1, 1.0, 0, 100.0], id="numbers"),
        pytest.param("9007199254740993", 9007199254740993, id="exact beyond 2^53 (E20)"),
        pytest.param("1" * 30, int("1" * 30), id="exact beyond 64 bits"),
        pytest.param("1e400", math.inf, id="infinite (E22)"),
        pytest.param("-1e400", -math.inf, id="infinite below (E22)"),
        pytest.param("1" * 5000, math.inf, id="more digits than Python takes (E31)"),
        pytest.param("-" + "1" * 5000, -math.inf, id="more digits below (E31)"),
        pytest.param(r'"\ud800"', "\ud800", id="lone surrogate (E32)"),
        pytest.param(r'"\ud83d\ude00"', "\U0001f600", id="pair"),
        pytest.param('"\ud800"', "\ud800", id="lone surrogate, unescaped"),
        pytest.param('{"a":1,"a":2}', {"a": 2}, id="the last of duplicates (E36)"),
        pytest.param(r'{"\u0000":1,"__proto__":2}', {"\0": 1, "__proto__": 2}, id="any key (E35)"),
        pytest.param('"\x7f\u2028"', "\x7f\u2028", id="what JSON does not escape"),
    ],
)
def test_what_javascript_can_read_is_read(text: str, expected: JSONValue) -> None:
    value = parse(text)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    "text",
    ["", " ", "NaN", "Infinity", "-Infinity", "[NaN]", "01", "1.", ".5", "+1", "'a'", "{a:1}", "[1,]", '"\x01"', "1 2"],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    """E31."""
    with pytest.raises(EJSONError):
        parse(text)


@pytest.mark.parametrize("text", ["[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000, "[" * 10_000])
def test_what_is_nested_too_deeply_is_refused(text: str) -> None:
    """E31."""
    with pytest.raises(NestingError):
        parse(text)


def test_a_value_that_holds_itself_is_refused() -> None:
    """E31."""
    value: list[JSONValue] = []
    value.append(value)
    with pytest.raises(NestingError):
        dump(value)


def test_lone_surrogates_are_written_escaped() -> None:
    """E32."""
    assert dump({"a\ud800": "é"}) == r'{"a\ud800":"\u00e9"}'
    assert dump("é") == '"é"'


@given(json_trees())
def test_reading_what_was_written_gives_the_same(tree: JSONValue) -> None:
    text = dump(tree)
    text.encode()
    assert parse(text) == tree


@given(json_trees())
def test_the_slow_way_equals_the_quick_one(tree: JSONValue) -> None:
    text = json.dumps(tree)
    assert json_text.parse_slowly(text) == parse(text)


@given(st.text() | st.text(alphabet='[]{}",:0123456789eE+-.truefalsn\\ud8'))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        parse(text)
    except EJSONError:
        return
