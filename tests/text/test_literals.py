"""Literals are read as users mean them, and errors have the position of the mistake."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import json
import math
from pathlib import Path

import pytest
from hypothesis import given

from ddpshell import ejson
from ddpshell.clock import SystemClock
from ddpshell.ejson import Custom, Date, EJSONValue, ObjectID, RegExp
from ddpshell.exceptions import CommandError, EJSONError
from ddpshell.text import literals
from ddpshell.text.formatting import format_value
from ddpshell.text.grammar import tokens
from ddpshell.text.literals import Expected, opens_literal, parse, parse_argument, read, read_text, read_value
from tests.strategies import ejson_values, json_trees
from tests.text.test_tokens import lines

HEX = "507f1f77bcf86cd799439011"


def moment(*parts: int) -> dt.datetime:
    year, month, day, *rest = parts
    hour, minute, second, millisecond = [*rest, 0, 0, 0, 0][:4]
    return dt.datetime(year, month, day, hour, minute, second, millisecond * 1000, dt.UTC)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # JSON
        pytest.param("null", None, id="null"),
        pytest.param("true", True, id="true"),
        pytest.param("-1", -1, id="a negative number"),
        pytest.param('"5"', "5", id="a string of digits"),
        pytest.param('{"a": [1, 2.5, {}], "b": []}', {"a": [1, 2.5, {}], "b": []}, id="JSON"),
        pytest.param('{"a": 1, "a": 2}', {"a": 2}, id="E36: the last of two equal keys"),
        pytest.param(" [1]\n", [1], id="space around"),
        # relaxed syntax
        pytest.param("{a: 1, $b_2: 2, \u00e9: 3}", {"a": 1, "$b_2": 2, "\u00e9": 3}, id="unquoted keys"),
        pytest.param("{true: 1, Date: 2, NaN: 3}", {"true": 1, "Date": 2, "NaN": 3}, id="any name is a key"),
        pytest.param("{1: 'a', 10: 'b'}", {"1": "a", "10": "b"}, id="digits are a key"),
        pytest.param("'it\\'s'", "it's", id="single quotes"),
        pytest.param("""{'a': "'", "b": '"'}""", {"a": "'", "b": '"'}, id="quotes in quotes"),
        pytest.param("[1, 2,]", [1, 2], id="a comma at the end of an array"),
        pytest.param("{a: 1,}", {"a": 1}, id="a comma at the end of an object"),
        pytest.param("[1, // one\n 2 /* two */]", [1, 2], id="comments within"),
        pytest.param("/* a */ // b\n5 // c", 5, id="comments around"),
        # constructors
        pytest.param('Date("2026-01-02")', moment(2026, 1, 2), id="a day"),
        pytest.param('Date("2026-01-02T03:04")', moment(2026, 1, 2, 3, 4), id="a time without a zone is UTC"),
        pytest.param('Date("2026-01-02T03:04:05.678Z")', moment(2026, 1, 2, 3, 4, 5, 678), id="to the millisecond"),
        pytest.param('Date("2026-01-02T03:04:05.6789Z")', moment(2026, 1, 2, 3, 4, 5, 678), id="E4: beyond the range"),
        pytest.param('Date("2026-01-02T03:04+01:30")', moment(2026, 1, 2, 1, 34), id="a zone"),
        pytest.param("Date(1700000000123)", moment(2023, 11, 14, 22, 13, 20, 123), id="milliseconds"),
        pytest.param("Date(-1.7)", moment(1969, 12, 31, 23, 59, 59, 999), id="E4: fractions are cut off"),
        pytest.param("Date(8640000000000000)", Date(8640000000000000), id="beyond datetime"),
        pytest.param("Date(NaN)", Date(None), id="the invalid date"),
        pytest.param('ISODate("2026-01-02")', moment(2026, 1, 2), id="MongoDB's date"),
        pytest.param('new Date("2026-01-02")', moment(2026, 1, 2), id="JavaScript's new"),
        pytest.param(f"[new ObjectId('{HEX}')]", [ObjectID(HEX)], id="new in an array"),
        pytest.param("{a: /^x/i}", {"a": RegExp("^x", "i")}, id="a regular expression between slashes"),
        pytest.param("[/a\\/[/\\]]{2} '/]", [RegExp("a\\/[/\\]]{2} '")], id="slashes and quotes within"),
        pytest.param("{a: /*x*/ 1, // /y/\nb: 2}", {"a": 1, "b": 2}, id="comments are not regular expressions"),
        pytest.param('Binary("AQID")', b"\1\2\3", id="binary"),
        pytest.param('Binary("AQ")', b"\1", id="E5: binary without padding"),
        pytest.param('RegExp("a/b", "gi")', RegExp("a/b", "gi"), id="a regular expression"),
        pytest.param('RegExp("a")', RegExp("a"), id="a regular expression without flags"),
        pytest.param(f"ObjectID('{HEX.upper()}')", ObjectID(HEX), id="E9: an ObjectID"),
        pytest.param(f'ObjectId("{HEX}")', ObjectID(HEX), id="MongoDB's ObjectId"),
        pytest.param('Decimal("1.10")', decimal.Decimal("1.10"), id="a decimal keeps its zeros"),
        pytest.param('Custom("point", {x: 1})', Custom("point", {"x": 1}), id="a custom type"),
        pytest.param('Custom("t", {"$date": 0})', Custom("t", {"$date": 0}), id="E18: its content is not decoded"),
        pytest.param('Custom("t", [Date(0)])', Custom("t", [{"$date": 0}]), id="E18: constructors are encoded"),
        pytest.param("[Infinity, -Infinity]", [math.inf, -math.inf], id="infinities"),
        pytest.param("Date ( 0 , )", moment(1970, 1, 1), id="space in a constructor"),
        # EJSON forms
        pytest.param('{"$date": 0}', moment(1970, 1, 1), id="V1"),
        pytest.param("{$date: 0}", moment(1970, 1, 1), id="V1 unquoted"),
        pytest.param('{"\\u0024date": 0}', moment(1970, 1, 1), id="V1 escaped"),
        pytest.param("{$date: 1, x: 2}", {"$date": 1, "x": 2}, id="V7"),
        pytest.param("[{$InfNaN: 1,}]", [math.inf], id="V18"),
        pytest.param("{$escape: {$date: {$date: 32491}}}", {"$date": ejson.date_from_ms(32491)}, id="V23"),
        pytest.param("{$escape: {$date: Date(0)}}", {"$date": moment(1970, 1, 1)}, id="a constructor in an escape"),
        pytest.param(f"{{$type: 'oid', $value: '{HEX}'}}", ObjectID(HEX), id="V29"),
        pytest.param("{$type: 'Nope', $value: {$date: 0}}", Custom("Nope", {"$date": 0}), id="V34"),
    ],
)  # fmt: skip
def test_a_literal_has_a_value(text: str, value: EJSONValue) -> None:
    assert ejson.equals(parse(text), value)
    assert type(parse(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        pytest.param("", 0, "missing a value", id="an empty text"),
        pytest.param("{a:", 3, "missing a value, and { is not closed", id="no value"),
        pytest.param("{a", 2, "missing ':' after the key", id="no colon"),
        pytest.param("{a: 1", 5, "{ is not closed", id="an object without end"),
        pytest.param("[", 1, "[ is not closed", id="an array without end"),
        pytest.param('{a: [1, "x}', 8, "unterminated string", id="a string without end"),
        pytest.param("[1}", 2, "} does not close the [ in column 1", id="the wrong bracket"),
        pytest.param("{a:}", 3, "missing a value before }", id="no value before the bracket"),
        pytest.param("[1 2]", 3, "expected ','", id="no comma"),
        pytest.param("[,]", 1, "expected a value, not ,", id="only a comma"),
        pytest.param("[1,,2]", 3, "expected a value, not ,", id="two commas"),
        pytest.param("{,}", 1, "expected a key, not ,", id="a comma for a key"),
        pytest.param("{-1: 2}", 1, "expected a key, not -1", id="a negative number for a key"),
        pytest.param("{a b}", 3, "expected ':'", id="two keys"),
        pytest.param("[1] x", 4, "unexpected text after the value", id="more than one value"),
        pytest.param("{a: 1}}", 6, "unexpected text after the value: }", id="a bracket too many"),
        pytest.param("[1] /*", 4, "unexpected text after the value", id="followed by an open comment"),
        pytest.param("[undefined]", 1, "undefined is not a valid value", id="undefined"),
        pytest.param("[True]", 1, "did you mean true?", id="Python's true"),
        pytest.param("[date(1)]", 1, "did you mean Date?", id="a constructor in small letters"),
        pytest.param("[+5]", 1, "+5 is not a valid value", id="a plus"),
        pytest.param("[Date]", 5, "missing '(' after the constructor's name", id="a constructor without parenthesis"),
        pytest.param("[(1)]", 1, "expected a value, not (", id="a parenthesis by itself"),
        pytest.param("Binary()", 0, "Binary takes base64", id="no argument"),
        pytest.param("[new 5]", 5, "expected a constructor, such as Date, not 5", id="new without a constructor"),
        pytest.param("[new Date]", 9, "missing '(' after the constructor's name", id="new without parentheses"),
        pytest.param("{a: /x}", 4, "/ begins a regular expression, which has no end", id="a regular expression without end"),
        pytest.param("{a: /(/}", 4, "bad regular expression", id="not a regular expression"),
        pytest.param("{a: /x/zz}", 4, "unknown flag 'z'", id="unknown flags"),
        pytest.param("[/usr/local/bin]", 1, "put text in quotes", id="a path in brackets"),
        pytest.param("[$name]", 1, "variables such as $name work in the shell only", id="a named variable"),
        pytest.param("Date(1, 2)", 0, "Date takes a text", id="too many arguments"),
        pytest.param("Date(true)", 5, "Date takes a text", id="an argument of the wrong type"),
        pytest.param('Date("soon")', 5, "'soon' is not a valid date; write it like 2026-01-02", id="not a date"),
        pytest.param('Date("+275760-09-13T00:00:00.001Z")', 5, "is not a valid date", id="E4: after the last one"),
        pytest.param("Date(1e300)", 5, "outside the range of dates", id="E4: too late"),
        pytest.param("Date(Infinity)", 5, "outside the range of dates", id="never"),
        pytest.param('[Binary("!")]', 8, "not base64", id="not base64"),
        pytest.param("Binary(5)", 7, "Binary takes base64", id="E5: a number is not a binary"),
        pytest.param('ObjectID("")', 9, "24 hexadecimal digits", id="E9: an empty ObjectID"),
        pytest.param("Decimal(1.10)", 8, "Decimal takes a number as text", id="a decimal that was rounded"),
        pytest.param('Decimal("1_0")', 8, "'1_0' is not a decimal number", id="not a decimal"),
        pytest.param('RegExp("(")', 7, "bad regular expression", id="V38"),
        pytest.param('Custom("oid", 1)', 7, "use ObjectID", id="a type that we know"),
        pytest.param("[0, {$binary: '=AAA'}]", 4, "not base64", id="V16"),
        pytest.param('{a: {$date: "soon"}}', 4, '"soon" is not a valid $date', id="V46"),
        pytest.param('[{"$date": null}]', 1, "null is not a valid $date", id="E4: null"),
        pytest.param("[{$date: Date(0)}]", 1, "this is not a valid $date", id="E4: a date in a date"),
        pytest.param("[{$InfNaN: 'x'}]", 1, '"x" is not a valid $InfNaN', id="E6"),
        pytest.param("{a: {$escape: 1}, b: 2}", 4, "$escape must be an object", id="V28"),
    ],
)  # fmt: skip
def test_an_invalid_literal_is_rejected_with_the_position(text: str, position: int, words: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert (caught.value.text, caught.value.position) == (text, position)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        pytest.param("Hello", "Hello", id="a word"),
        pytest.param("", "", id="an empty text"),
        pytest.param(" ", " ", id="a space"),
        pytest.param("5", 5, id="a number"),
        pytest.param("-1", -1, id="a negative number"),
        pytest.param("1e400", math.inf, id="E22"),
        pytest.param('"5"', "5", id="a quoted number"),
        pytest.param("true", True, id="a constant"),
        pytest.param("-Infinity", -math.inf, id="minus infinity"),
        pytest.param("{a: 1}", {"a": 1}, id="an object"),
        pytest.param('Date("2026-01-02")', moment(2026, 1, 2), id="a date"),
        pytest.param("007", "007", id="leading zeros"),
        pytest.param("+5", "+5", id="a plus"),
        pytest.param("1.2.3", "1.2.3", id="a version"),
        pytest.param("5 apples", "5 apples", id="a number and a word"),
        pytest.param("2026-01-02", "2026-01-02", id="a day without constructor"),
        pytest.param("undefined", "undefined", id="undefined"),
        pytest.param("Date", "Date", id="a constructor's name"),
        pytest.param("Date (today)", "Date (today)", id="a name, a space, a parenthesis"),
        pytest.param("Dates(1)", "Dates(1)", id="nearly a constructor"),
        pytest.param("/usr/bin", "/usr/bin", id="a path"),
        pytest.param("//host/share", "//host/share", id="text that looks like a comment"),
        pytest.param("/*.txt", "/*.txt", id="text that looks like an open comment"),
        pytest.param("http://localhost", "http://localhost", id="an address"),
        pytest.param("-x", "-x", id="a dash"),
        pytest.param("a:b", "a:b", id="a colon"),
        pytest.param("\u65e5\u672c", "\u65e5\u672c", id="another script"),
    ],
)
def test_an_argument_is_a_literal_or_a_plain_string(word: str, value: EJSONValue) -> None:
    assert ejson.equals(parse_argument(word), value)
    assert type(parse_argument(word)) is type(value)


@pytest.mark.parametrize(
    "word", ["{a:", "[1", '"', "'tis", '"a" b', "Date(soon)", "ObjectId(1)", " {", "/* c */ [", "[" * 100_000]
)
def test_a_word_that_begins_like_a_literal_is_never_a_string(word: str) -> None:
    assert opens_literal(word)
    with pytest.raises(CommandError):
        parse_argument(word)


@given(ejson_values())
def test_a_formatted_value_can_be_pasted_back(value: EJSONValue) -> None:
    for width in (0, 30, 10_000):
        assert ejson.equals(parse(format_value(value, width=width)), value)
        assert ejson.equals(read(format_value(value, width=width)).value, value)


@given(json_trees())
def test_json_means_the_same_as_on_the_wire(tree: ejson.JSONValue) -> None:
    text = json.dumps(tree)
    try:
        value = ejson.decode(tree, strict=True)
    except EJSONError:
        with pytest.raises(CommandError):
            parse(text)
    else:
        assert ejson.equals(parse(text), value)
        assert ejson.equals(read(text).value, value)


@given(lines())
def test_parsing_raises_only_command_errors(text: str) -> None:
    reading = read(text)
    assert 0 <= reading.start <= len(text)
    if reading.problem is None:
        assert reading.end <= len(text)
        return
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert caught.value.position == reading.problem.position
    assert caught.value.position in range(len(text) + 1)


@given(ejson_values(max_leaves=6))
def test_a_value_that_is_cut_off_after_a_token_is_open_and_can_be_completed(value: EJSONValue) -> None:
    text = format_value(value, width=10_000)
    *ends, last = [token.end for token in tokens(text)]
    assert last == len(text)
    for end in ends:
        reading = read(text[:end])
        assert reading.is_open
        assert reading.problem is not None


@pytest.mark.parametrize(
    ("text", "open_brackets", "expected", "is_open"),
    [
        pytest.param("", "", Expected.VALUE, True, id="an empty text"),
        pytest.param("{", "{", Expected.KEY, True, id="a key is next"),
        pytest.param("{a", "{", Expected.COLON, True, id="a colon is next"),
        pytest.param("{a: ", "{", Expected.VALUE, True, id="a field's value is next"),
        pytest.param("{a: [1", "{[", Expected.SEPARATOR, True, id="a comma is next"),
        pytest.param("{a: [1], ", "{", Expected.KEY, True, id="the next key"),
        pytest.param("[Date", "[", Expected.PARENTHESIS, True, id="a parenthesis is next"),
        pytest.param("[Date(", "[(", Expected.VALUE, True, id="an argument is next"),
        pytest.param("[1, /* one", "[", Expected.VALUE, True, id="within a comment"),
        pytest.param("[1, 'one", "[", Expected.VALUE, True, id="within a string"),
        pytest.param("[1 2", "[", Expected.SEPARATOR, False, id="more text cannot complete it"),
        pytest.param("[1]", "", Expected.NOTHING, False, id="complete"),
    ],
)
def test_half_typed_text_has_expected_tokens(text: str, open_brackets: str, expected: Expected, is_open: bool) -> None:
    reading = read(text)
    assert "".join(bracket.token.text for bracket in reading.brackets) == open_brackets
    assert (reading.expected, reading.is_open) == (expected, is_open)


def test_half_typed_text_has_keys_and_constructors() -> None:
    brackets = read('{a: 1, when: Date("').brackets
    assert [(bracket.key, bracket.constructor and bracket.constructor.text) for bracket in brackets] == [
        ("when", None),
        (None, "Date"),
    ]


def test_reading_stops_at_the_end_of_the_value() -> None:
    line = "call add {a: 1} 5 // more"
    first = read(line, 9)
    second = read(line, first.end)
    assert (first.value, line[first.start : first.end]) == ({"a": 1}, "{a: 1}")
    assert (second.value, line[second.start : second.end]) == (5, "5")


def known(name: str) -> EJSONValue:
    values: dict[str, EJSONValue] = {"$1": {"$date": 5}, "$_": [1, {"a": 2}], "$1.title[0]": "write"}
    if name not in values:
        raise CommandError(f"there is no {name}")
    return values[name]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("$1", {"$date": 5}, id="a whole result"),
        pytest.param("$1.title[0]", "write", id="a part"),
        pytest.param("[$_, {b: $1}]", [[1, {"a": 2}], {"b": {"$date": 5}}], id="inside brackets"),
        pytest.param("{$1: 1, $_: 2}", {"$1": 1, "$_": 2}, id="names of keys"),
        pytest.param('Custom("t", {a: $_})', Custom("t", {"a": [1, {"a": 2}]}), id="in a constructor"),
        pytest.param(
            '{a: $1, b: {"$date": 0}}',
            {"a": {"$date": 5}, "b": moment(1970, 1, 1)},
            id="text that looks like EJSON is kept",
        ),
    ],
)
def test_a_variable_is_replaced_by_its_value(text: str, value: EJSONValue) -> None:
    reading = read(text, 0, known)
    assert reading.problem is None
    assert reading.value == value


def test_the_value_of_a_variable_never_changes() -> None:
    held = known("$_")
    assert read("[$_, [$_]]", 0, lambda name: held).value == [held, [held]]
    assert held == [1, {"a": 2}]


def test_an_unknown_variable_is_reported_with_its_position() -> None:
    reading = read("{a: [1, $9]}", 0, known)
    assert reading.problem is not None
    assert (str(reading.problem), reading.problem.position) == ("there is no $9", 8)


def test_outside_the_shell_variables_are_errors() -> None:
    with pytest.raises(CommandError, match="in the shell only"):
        parse("[$1]")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(b'{"a": 1}\n', {"a": 1}, id="JSON"),
        pytest.param(b"{a: 1, // one\n b: [2,],\n}\n", {"a": 1, "b": [2]}, id="a literal"),
        pytest.param(b"5", 5, id="a number"),
        pytest.param(b"Hello, you\r\n", "Hello, you", id="text"),
        pytest.param(b"\xef\xbb\xbf[1]", [1], id="with a byte order mark"),
        pytest.param(b"", "", id="an empty file"),
    ],
)
def test_a_file_is_read_as_a_value(tmp_path: Path, data: bytes, value: EJSONValue) -> None:
    (tmp_path / "file").write_bytes(data)
    assert read_value(f"{tmp_path}/file") == value


def test_a_mistake_is_reported_with_its_position_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{a: 1,\n b 2}\n")
    with pytest.raises(CommandError) as caught:
        read_value(f"{tmp_path}/file")
    assert caught.value.message == f"{tmp_path}/file, line 2: expected ':' after the key, not 2"
    assert (caught.value.text, caught.value.position) == ("{a: 1,\n b 2}", 10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("", "missing file name after @; write @@ for the string @", id="no name"),
        pytest.param(
            "/nowhere/x", "cannot read /nowhere/x: No such file or directory; write @@/nowhere/x for the string @/nowhere/x", id="no file"
        ),
        pytest.param("/", "cannot read /: Is a directory; write @@/ for the string @/", id="a folder"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_reported(name: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_value(name)
    assert caught.value.message == message


def test_a_file_that_is_not_text_is_reported() -> None:
    with pytest.raises(CommandError, match="x is not UTF-8 text, from byte 1 on"):
        read_text(io.BytesIO(b"a\xff"), "x")


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(literals, "MAX_SIZE", 1 << 20)
    file = io.BytesIO(b"x" * (3 << 20))
    with pytest.raises(CommandError, match="x is too large for a message \\(more than 1 MiB\\)"):
        read_text(file, "x")
    assert file.tell() == (1 << 20) + 1
    assert len(read_text(io.BytesIO(b"x" * (1 << 20)), "x")) == 1 << 20


def test_a_date_without_arguments_is_now() -> None:
    """In milliseconds, so that the value is equal after a round trip."""
    before = SystemClock().wall() - dt.timedelta(milliseconds=1)
    for text in ("Date()", "new Date()", "ISODate( )"):
        now = parse(text)
        assert isinstance(now, dt.datetime)
        assert now.microsecond % 1000 == 0
        assert before <= now <= SystemClock().wall()


@pytest.mark.parametrize("word", ["/x/i", "/tmp/", "/usr/local/bin", "/", "//", "new", "new car", "/x y/", "/[a]/"])
def test_outside_brackets_a_path_is_text(word: str) -> None:
    assert parse_argument(word) == word
