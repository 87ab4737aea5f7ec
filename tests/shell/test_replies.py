"""Replies are formatted for the screen, and exact for files and programs."""

from __future__ import annotations

import datetime as dt
import json
from concurrent.futures import Future

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import EJSONValue, json_text
from ddpshell.exceptions import CommandError, ConnectError, MethodError, OutcomeUnknown
from ddpshell.shell.jobs import Results
from ddpshell.shell.parser import parse as parse_lines
from ddpshell.shell.replies import (
    Documents,
    Message,
    NoResult,
    PendingReply,
    Reply,
    Result,
    aligned,
    error_text,
    exact_text,
    screen_text,
    with_time,
)
from ddpshell.shell.settings import Settings
from ddpshell.text.formatting import format_value
from ddpshell.text.literals import parse, read
from ddpshell.text.palette import StyledText, plain
from ddpshell.text.prose import cell_width, duration, plural
from tests.strategies import ejson_values, hostile_text, keys
from tests.text.test_escaping import harmless

TASKS: list[dict[str, EJSONValue]] = [{"_id": "a", "n": 1}, {"_id": "b", "n": 2}]


def shown(reply: Reply, settings: Settings, width: int = 80) -> str:
    return plain(screen_text(reply, settings, width, "[3] "))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00042, "0.4 ms"), (0.0123, "12 ms"), (3.64, "3.6 s"), (400, "6 min"), (9000, "2 h")],
)
def test_a_time_has_few_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_agree_with_their_nouns() -> None:
    assert [plural(1, "call"), plural(2, "call"), plural(1000, "is", "are")] == ["1 call", "2 calls", "1,000 are"]


@pytest.mark.parametrize(
    ("reply", "settings", "text"),
    [
        pytest.param(Result("HELLO"), {}, '[3] "HELLO"', id="a string"),
        pytest.param(Result("a\nb"), {"output": "raw"}, "[3] a\nb", id="a string without quotes"),
        pytest.param(Result({"a": [1]}), {"output": "json"}, '[3] {"a":[1]}', id="JSON"),
        pytest.param(Result(None), {}, "[3] null", id="null"),
        pytest.param(NoResult(), {}, "[3] the method returned nothing", id="C15: no result"),
        pytest.param(Message([("", "done")]), {}, "[3] done", id="text"),
        pytest.param(
            Result("x" * 9),
            {"length": "4"},
            '[3] "xxxx" ... 5 more characters, use `full`',
            id="a long text that is cut",
        ),
        pytest.param(Result("x" * 9, is_full=True), {"length": "4"}, '[3] "xxxxxxxxx"', id="a long text in full"),
        pytest.param(Result(list(TASKS)), {"output": "table"}, "[3] \n_id  n\n---  -\na    1\nb    2", id="a table"),
        pytest.param(
            Documents(TASKS), {}, '[3] 2 documents\n{"_id": "a", "n": 1}\n{"_id": "b", "n": 2}', id="documents"
        ),
        pytest.param(
            Documents([*TASKS, {}]),
            {"items": "2"},
            '[3] 3 documents\n{"_id": "a", "n": 1}\n{"_id": "b", "n": 2}\n... 1 more, use `full`',
            id="some documents",
        ),
        pytest.param(Documents([]), {}, "[3] 0 documents", id="no documents"),
        pytest.param(
            Documents(TASKS, "table"), {}, "[3] 2 documents\n_id  n\n---  -\na    1\nb    2", id="a table of documents"
        ),
    ],
)
def test_a_reply_is_shown_as_the_settings_say(reply: Reply, settings: dict[str, str], text: str) -> None:
    assert shown(reply, Settings(**settings)) == text


def test_the_time_is_at_the_right_of_the_first_line_with_room() -> None:
    assert plain(with_time([("", "[1] 5")], 0.002, 20)) == "[1] 5         2.0 ms"
    assert plain(with_time([("", "[1] {\n  1\n}")], 0.002, 20)) == "[1] {         2.0 ms\n  1\n}"
    assert plain(with_time([("", "x" * 19 + "\n}")], 0.002, 20)) == "x" * 19 + "\n}             2.0 ms"
    assert plain(with_time([("", "x" * 19)], 0.002, 20)) == "x" * 19 + "\n" + "2.0 ms".rjust(20)


@given(ejson_values())
def test_a_shown_value_fits_the_width_and_is_escaped(value: EJSONValue) -> None:
    for output in ("auto", "json", "raw", "table"):
        assert harmless(shown(Result(value), Settings(output=output), 30))


# An invalid date cannot be typed as JSON, because Meteor would read it as 1970 (E4, E19).
_UNSENDABLE = '{"$date":null}'
_ALL = {"items": "999999", "length": "999999"}


@given(ejson_values(), st.sampled_from(["auto", "pretty", "json"]), st.integers(1, 100))
def test_an_unshortened_value_can_be_pasted(value: EJSONValue, output: str, width: int) -> None:
    text = shown(Result(value, is_full=True), Settings(output=output, **_ALL), width)
    assume(_UNSENDABLE not in text)
    assert ejson.equals(parse(text.removeprefix("[3] ")), value)


@given(
    st.lists(st.dictionaries(keys(), ejson_values(max_leaves=4), max_size=3), max_size=3),
    st.sampled_from(["auto", "json"]),
    st.integers(1, 100),
)
def test_shown_documents_can_be_pasted(documents: list[dict[str, EJSONValue]], output: str, width: int) -> None:
    text = shown(Documents(documents), Settings(output=output, **_ALL), width)
    assume(_UNSENDABLE not in text)
    heading, _, rest = text.partition("\n")
    assert heading == f"[3] {plural(len(documents), 'document')}"
    for document in documents:
        reading = read(rest)
        assert ejson.equals(reading.value, document)
        rest = rest[reading.end :].removeprefix("\n")
    assert not rest


@given(ejson_values())
def test_a_variable_shows_its_result(value: EJSONValue) -> None:
    results = Results()
    results.keep(3, Result(value))
    [line] = parse_lines("echo $3", results)
    assert ejson.equals(parse(format_value(line.words[1].value)), value)


# ------------------------------------------------------------------------------------------------------- errors


def test_a_server_error_shows_code_reason_and_details() -> None:
    error = MethodError("demo-failure", "This method always fails", {"at": 1})
    assert plain(error_text(error, 80)) == 'error demo-failure: This method always fails\n  details: {"at": 1}'


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(
            MethodError(404, "Method 'x' not found"), "check the spelling; names are case-sensitive", id="404"
        ),
        pytest.param(MethodError(500, "Internal server error"), "look in its log", id="500"),
        pytest.param(MethodError("nope"), "error nope: the server gives no reason", id="no reason"),
        pytest.param(MethodError("d", {"a": 1}), 'error d: {"a":1}', id="C28: an object for a reason"),
        pytest.param(MethodError([1]), "error [1]: the server gives no reason", id="C28: an array for a code"),
        pytest.param(MethodError(None, "why"), "error: why", id="C28: no code"),
        pytest.param(MethodError(None), "error null: the server gives no reason", id="C16: null"),
        pytest.param(
            MethodError("too-many-requests", "Slow down", {"timeToReset": 1500}), "try again in 2 s", id="S50"
        ),
        pytest.param(ConnectError("no", problem="refused"), "is the server running there?", id="not connected"),
        pytest.param(OutcomeUnknown("pay", "lost"), "find out whether it ran", id="outcome unknown"),
        pytest.param(CommandError("no\nsuch\x1b[2J"), r"no\nsuch\x1b[2J", id="control characters"),
    ],
)
def test_an_error_has_advice(error: Exception, text: str) -> None:
    assert text in plain(error_text(error, 80))


def test_an_error_in_a_file_shows_its_place() -> None:
    assert plain(error_text(MethodError("x", "no"), 80, "[3] ", "f.ddp, line 2")) == "[3] error x: no (f.ddp, line 2)"
    assert plain(error_text(CommandError("no"), 80, "", "f\x1b, line 2")) == r"error: f\x1b, line 2: no"


def test_a_caret_marks_the_place_of_an_error() -> None:
    error = CommandError("expected ':'", "status\ncall f {a 1}\nstatus", 17)
    assert plain(error_text(error, 80)) == "error: expected ':'\n  call f {a 1}\n            ^"


@given(hostile_text(60), hostile_text(60))
def test_errors_are_escaped(reason: str, details: str) -> None:
    assert harmless(plain(error_text(MethodError(reason, details, {reason: details}), 40, where=details)))
    assert harmless(plain(error_text(CommandError(reason, details, len(details) // 2), 40)))


@pytest.mark.parametrize("width", [12, 20, 40])
def test_an_error_fits_the_width(width: int) -> None:
    error = CommandError("there is no such thing in here at all", "call some.method {a: 1, b 2, c: 3, d: 4}", 26)
    lines = plain(error_text(error, width, tag="[12] ")).split("\n")
    assert lines[0].startswith("[12] error:")
    assert max(map(cell_width, lines)) <= width


# ------------------------------------------------------------------------------------------------- exact output


@pytest.mark.parametrize(
    ("reply", "output", "text"),
    [
        pytest.param(Result({"a": [1, None]}), "auto", '{"a":[1,null]}\n', id="JSON"),
        pytest.param(Result(dt.datetime(1970, 1, 1, tzinfo=dt.UTC)), "auto", '{"$date":0}\n', id="EJSON"),
        pytest.param(Result("a\x1bb"), "raw", "a\x1bb\n", id="a raw string"),
        pytest.param(Result("a\x9bb"), "auto", '"a\\u009bb"\n', id="control characters in JSON"),
        pytest.param(Result({"a": 1}), "pretty", '{"a": 1}\n', id="pretty"),
        pytest.param(Result([{"a": 1}]), "table", "a\n-\n1\n", id="a table"),
        pytest.param(Documents(TASKS), "auto", '{"_id":"a","n":1}\n{"_id":"b","n":2}\n', id="one document per line"),
        pytest.param(Documents(TASKS), "table", "_id  n\n---  -\na    1\nb    2\n", id="documents as a table"),
        pytest.param(Documents([]), "auto", "", id="no documents"),
        pytest.param(NoResult(), "auto", "", id="C15: no result"),
        pytest.param(Message([("error", "a"), ("", "b")]), "auto", "ab\n", id="text"),
    ],
)
def test_output_for_files_and_programs_is_exact(reply: Reply, output: str, text: str) -> None:
    assert exact_text(reply, output) == text


@given(ejson_values())
def test_a_value_can_be_read_back_from_a_file(value: EJSONValue) -> None:
    text = exact_text(Result(value), "auto")
    assert harmless(text)
    assert text.count("\n") == 1
    assert ejson.equals(ejson.decode(json_text.parse(text)), value)
    assert json.loads(text) is not ...


def test_replies_have_defaults() -> None:
    later = PendingReply(Future(), Result, "call x")
    assert (later.cancel, later.settle(), later.wait_on_exit) == (None, False, True)
    assert Message([]).is_answer
    assert not Result(1).is_full
    assert not Documents([]).output
    assert NoResult() == NoResult()


def test_rows_are_aligned_by_their_widest_first_part() -> None:
    rows: list[tuple[StyledText, StyledText]] = [
        ([("tag", "[9] "), ("", "sub 日本")], [("note", "ready")]),
        ([("tag", "[10] "), ("", "sub tasks")], [("note", "not ready")]),
    ]
    assert plain(aligned(rows, indent="- ")) == "- [9] sub 日本    ready\n- [10] sub tasks  not ready"
    assert aligned([]) == []
