"""JSON text, canonical text, and the fast and the slow parser."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import random
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import EJSONValue, dumps, js_number, json_text, loads
from ddpshell.ejson.json_text import JSONValue, NestingError, dump, parse, parse_outermost
from ddpshell.exceptions import EJSONError
from tests import strategies
from tests.strategies import json_trees


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(" [1, 1.0, -0, 1e2] ", [1, 1.0, 0, 100.0], id="numbers"),
        pytest.param("9007199254740993", 9007199254740993, id="exact beyond 2^53 (E20)"),
        pytest.param("1" * 30, int("1" * 30), id="exact beyond 64 bits"),
        pytest.param("1e400", math.inf, id="infinite (E22)"),
        pytest.param("-1e400", -math.inf, id="infinite below (E22)"),
        pytest.param("1" * 5000, math.inf, id="more digits than Python accepts (E31)"),
        pytest.param("-" + "1" * 5000, -math.inf, id="more digits below (E31)"),
        pytest.param(r'"\ud800"', "\ud800", id="lone surrogate (E32)"),
        pytest.param(r'"\ud83d\ude00"', "\U0001f600", id="pair"),
        pytest.param('"\ud800"', "\ud800", id="lone surrogate, unescaped"),
        pytest.param('{"a":1,"a":2}', {"a": 2}, id="the last of duplicates (E36)"),
        pytest.param(r'{"\u0000":1,"__proto__":2}', {"\0": 1, "__proto__": 2}, id="any key (E35)"),
        pytest.param('"\x7f\u2028"', "\x7f\u2028", id="characters that JSON does not escape"),
    ],
)
def test_json_that_javascript_can_read_is_read(text: str, expected: JSONValue) -> None:
    value = parse(text)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    "text",
    ["", " ", "NaN", "Infinity", "-Infinity", "[NaN]", "01", "1.", ".5", "+1", "'a'", "{a:1}", "[1,]", '"\x01"', "1 2"],
)
def test_e31_text_that_is_not_json_is_rejected(text: str) -> None:
    with pytest.raises(EJSONError):
        parse(text)


@pytest.mark.parametrize("text", ["[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000, "[" * 10_000])
def test_e31_json_that_is_nested_too_deeply_is_rejected(text: str) -> None:
    with pytest.raises(NestingError):
        parse(text)


def test_e31_a_tree_that_contains_itself_is_rejected() -> None:
    value: list[JSONValue] = []
    value.append(value)
    with pytest.raises(NestingError):
        dump(value)


def test_e32_lone_surrogates_are_written_escaped() -> None:
    assert dump({"a\ud800": "é"}) == r'{"a\ud800":"\u00e9"}'
    assert dump("é") == '"é"'


@given(json_trees())
def test_reading_written_text_gives_the_same_tree(tree: JSONValue) -> None:
    text = dump(tree)
    text.encode()
    assert parse(text) == tree


@given(json_trees())
def test_the_slow_parser_agrees_with_the_fast_parser(tree: JSONValue) -> None:
    text = json.dumps(tree)
    assert json_text.parse_slowly(text) == parse(text)


@given(json_trees())
def test_the_parts_of_an_outermost_array_or_object_are_its_items_or_members(tree: JSONValue) -> None:
    text = dump(tree)
    try:
        parts = parse_outermost(text)
    except EJSONError:
        assert not isinstance(tree, list | dict) or "\\ud8" in text
        return
    found = {key: parse(part) for key, part in parts.items()} if isinstance(parts, dict) else list(map(parse, parts))
    assert found == tree


@pytest.mark.parametrize("text", ["", "5", "[1", "[1,]", '{"a":01}', '["a\nb"]', "\ud800", "[" * 10_000, "[1] [2]"])
def test_the_parts_of_another_text_are_not_found(text: str) -> None:
    with pytest.raises(EJSONError):
        parse_outermost(text)


@given(st.text() | st.text(alphabet='[]{}",:0123456789eE+-.truefalsn\\ud8'))
def test_parse_raises_only_ejson_errors(text: str) -> None:
    try:
        parse(text)
    except EJSONError:
        return


@pytest.mark.parametrize("is_enabled", [True, False])
@pytest.mark.parametrize("text", [f"[{'[],' * 50_000}[]]", f"[{'[],' * 50_000}"], ids=["JSON", "not JSON"])
def test_the_collector_does_not_run_while_a_large_text_is_parsed(
    text: str, is_enabled: bool, request: pytest.FixtureRequest
) -> None:
    phases: list[str] = []
    request.addfinalizer(gc.enable)
    gc.collect()
    (gc.enable if is_enabled else gc.disable)()
    gc.callbacks.append(lambda phase, _: phases.append(phase))
    request.addfinalizer(gc.callbacks.pop)
    with contextlib.suppress(EJSONError):
        parse(text)
    assert gc.isenabled() is is_enabled
    # A collection that is due begins when the next object is made after the text. Each has a start and an end.
    assert len(phases) <= 2


@pytest.mark.parametrize(
    ("number", "text"),
    [
        pytest.param(1e21, "1e+21", id="E26"),
        pytest.param(1e16, "10000000000000000", id="E26: no exponent below 1e21"),
        pytest.param(1e-5, "0.00001", id="E26: no exponent from 1e-6"),
        pytest.param(1e-7, "1e-7", id="E26: no padding of the exponent"),
        pytest.param(5e-324, "5e-324", id="E26: the smallest"),
        pytest.param(1.0, "1", id="E26: no fraction"),
        pytest.param(-0.0, "0", id="E26: minus zero"),
        pytest.param(1.7976931348623157e308, "1.7976931348623157e+308", id="the largest"),
        pytest.param(123456789012345680000.0, "123456789012345680000", id="21 digits"),
        pytest.param(-1.5e-6, "-0.0000015", id="small and negative"),
        pytest.param(-1234.5678, "-1234.5678", id="a point in the middle"),
        pytest.param(0.1 + 0.2, "0.30000000000000004", id="17 digits"),
        pytest.param(2.0**63, "9223372036854776000", id="a float shows the digits that JavaScript shows"),
        pytest.param(2**63, "9223372036854775808", id="E20: an int has all its digits"),
        pytest.param(2**53 + 1, "9007199254740993", id="E20: beyond 2^53"),
        pytest.param(10**21, "1e+21", id="equal integers have the digits of the float"),
        pytest.param(10**25, "10000000000000000000000000", id="1e+25 is another number"),
        pytest.param(10**400, "1" + "0" * 400, id="an int beyond all floats"),
        pytest.param(-7, "-7", id="a small int"),
    ],
)
def test_numbers_are_written_as_javascript_does(number: float, text: str) -> None:
    assert js_number(number) == text
    assert dumps(number, canonical=True) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_from_javascripts_text(number: float) -> None:
    assert float(js_number(number)) == number


@given(st.integers() | st.integers(-(2**80), 2**80) | st.integers(0, 400).map(lambda exponent: 10**exponent))
def test_an_int_reads_back_exactly_from_canonical_text(number: int) -> None:
    assert loads(js_number(number)) == number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('\b\t\n\f\r"\\', r'"\b\t\n\f\r\"\\"', id="E27: short escapes"),
        pytest.param("\x00\x1f", r'"\u0000\u001f"', id="E27: other controls"),
        pytest.param("\x7f\u2028\u2029é😀/", '"\x7f\u2028\u2029é😀/"', id="E27: all other characters are unescaped"),
        pytest.param("\ud800x\udc00", r'"\ud800x\udc00"', id="E27: lone surrogates"),
        pytest.param("\ud83d\ude00", '"😀"', id="the halves of a pair are one character"),
    ],
)
def test_strings_are_written_as_javascript_does(text: str, expected: str) -> None:
    assert dumps(text, canonical=True) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param({"b": [2, {"d": 4, "c": 3}], "a": 1}, '{"a":1,"b":[2,{"c":3,"d":4}]}', id="V62"),
        pytest.param(
            dict.fromkeys(["b", "a", "10", "9", "\u00e9", "Z", "\U0001f600", "\ufffd"]),
            '{"10":null,"9":null,"Z":null,"a":null,"b":null,"\u00e9":null,"\U0001f600":null,"\ufffd":null}',
            id="V63",
        ),
        pytest.param({"a": math.nan}, '{"a":{"$InfNaN":0}}', id="V64"),
        pytest.param(
            {"$type": "x", "$value": True}, '{"$escape":{"$type":"x","$value":true}}', id="E25: escaped, then sorted"
        ),
        pytest.param([None, True, False, "", [], {}], '[null,true,false,"",[],{}]', id="every kind"),
        pytest.param(ejson.ObjectID("0" * 24), '{"$type":"oid","$value":"000000000000000000000000"}', id="oid"),
    ],
)
def test_a_value_has_a_canonical_text(value: EJSONValue, text: str) -> None:
    assert dumps(value, canonical=True) == text


INDENTED: EJSONValue = {"b": [1.0, {"z": "é", "y": []}], "a": {}}


@pytest.mark.parametrize(
    ("indent", "step"),
    [
        pytest.param(True, "  ", id="true"),
        pytest.param(4, "    ", id="number"),
        pytest.param("\t", "\t", id="text"),
    ],
)
def test_e28_indented_text_keeps_the_order_and_writes_empty_containers_inline(indent: int | str, step: str) -> None:
    text = """\
        {
        >"b": [
        >>1.0,
        >>{
        >>>"z": "é",
        >>>"y": []
        >>}
        >],
        >"a": {}
        }"""
    assert dumps(INDENTED, indent=indent) == textwrap.dedent(text).replace(">", step)


def test_e28_canonical_text_may_be_indented() -> None:
    assert dumps({"b": 1.0, "a": []}, canonical=True, indent=1) == '{\n "a": [],\n "b": 1\n}'


def test_v65_two_spaces_make_four_lines() -> None:
    assert dumps({"a": {}, "b": []}, indent=True) == '{\n  "a": {},\n  "b": []\n}'


@pytest.mark.parametrize("indent", [None, False, 0, -1, ""])
def test_without_indent_the_text_is_one_line_in_the_values_own_order(indent: int | str | None) -> None:
    assert dumps({"b": [1.0, 2], "a": "é"}, indent=indent) == '{"b":[1.0,2],"a":"é"}'


def test_v42_a_number_beyond_the_range_is_infinite() -> None:
    assert loads("1e400") == math.inf
    assert dumps(loads("1e400")) == '{"$InfNaN":1}'


def test_e36_the_last_of_duplicate_keys_wins() -> None:
    assert loads('{"a":1,"a":{"$binary":""}}') == {"a": b""}


@pytest.mark.parametrize("text", [b'"\xff"', b'["\xc3"]', b'{"a":1e999,"\xff":1}x', b'"\xed\xa0\x80"'])
def test_bytes_that_are_not_utf8_are_rejected(text: bytes) -> None:
    with pytest.raises(EJSONError):
        parse(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "", "{", '{"$binary":5}', "[" * 100_000])
def test_e31_text_that_is_not_ejson_is_rejected(text: str) -> None:
    with pytest.raises(EJSONError):
        loads(text)


@pytest.mark.parametrize("canonical", [True, False])
def test_a_value_that_is_nested_too_deeply_is_rejected(canonical: bool) -> None:
    value: EJSONValue = 1
    for _ in range(sys.getrecursionlimit()):
        value = [value]
    with pytest.raises(EJSONError, match="nested too deeply"):
        dumps(value, canonical=canonical)


def _shuffled(value: EJSONValue, chance: random.Random) -> EJSONValue:
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: _shuffled(value[key], chance) for key in keys}
    if isinstance(value, list):
        return [_shuffled(item, chance) for item in value]
    return value


@given(strategies.ejson_values(), st.randoms(use_true_random=False))
def test_e25_canonical_text_does_not_depend_on_the_order_of_keys(value: EJSONValue, chance: random.Random) -> None:
    assert dumps(_shuffled(value, chance), canonical=True) == dumps(value, canonical=True)


@given(strategies.ejson_values())
def test_canonical_text_is_json_with_the_same_value(value: EJSONValue) -> None:
    text = dumps(value, canonical=True)
    json.loads(text)
    text.encode()
    assert dumps(loads(text), canonical=True) == text


@given(strategies.ejson_values(), st.none() | st.integers(0, 3))
def test_every_value_survives_a_trip_through_text(value: EJSONValue, indent: int | None) -> None:
    text = dumps(value, indent=indent)
    text.encode()
    assert ejson.equals(loads(text), value)


@given(strategies.texts())
def test_loads_raises_only_ejson_errors(text: str) -> None:
    try:
        loads(text)
    except EJSONError:
        return
