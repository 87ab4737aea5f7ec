"""Frames, and changes of documents with all changed fields, are written on one line each."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ddpshell.ejson import EJSONValue, ObjectID
from ddpshell.protocol.codec import DocumentID
from ddpshell.shell.parser import parse as parse_line
from ddpshell.text.event_lines import change_line, frame_line, others_line
from ddpshell.text.formatting import Limits
from ddpshell.text.literals import parse, read
from ddpshell.text.palette import plain
from tests.strategies import ejson_values, hostile_text, keys, object_ids, texts
from tests.text.test_escaping import harmless

NOON = datetime(2026, 1, 2, 12, 0, 0, 5000, UTC)


def test_a_frame_has_its_time_and_direction() -> None:
    line = plain(frame_line('{"msg":"ping"}', is_sent=True, when=NOON))
    stamp = NOON.astimezone().strftime("%H:%M:%S")
    assert line == f'{stamp}.005 -> {{"msg":"ping"}}'
    assert " <- " in plain(frame_line("{}", is_sent=False, when=NOON))


def test_the_session_follows_the_time() -> None:
    line = plain(frame_line("{}", is_sent=True, when=NOON, session="abcd"))
    assert line.endswith(".005 abcd -> {}")


def test_a_frame_takes_one_line() -> None:
    line = plain(frame_line('{\n\t"msg": "ping"\r\n}', is_sent=True, when=NOON))
    assert line.endswith(r' -> {\n\t"msg": "ping"\u000d\n}')


@pytest.mark.parametrize(
    ("text", "colored", "styles"),
    [
        pytest.param('{"n":1}', True, ["punctuation", "key", "punctuation", "number", "punctuation"], id="colored"),
        pytest.param('{"n":1}', False, [""], id="without colors"),
        pytest.param(f'["{"x" * 10_000}"]', True, [""], id="too long for colors"),
    ],
)
def test_values_in_a_frame_are_colored(text: str, colored: bool, styles: list[str]) -> None:
    line = frame_line(text, is_sent=True, when=NOON, colored=colored)
    assert plain(line).endswith(text)
    assert [style for style, _ in line[2:]] == styles


def test_the_characters_that_are_left_out_are_counted() -> None:
    line = plain(frame_line("x" * 100, is_sent=True, when=NOON, omitted=1400))
    assert line.endswith("x" * 100 + " ... 1,400 more characters")


@given(hostile_text(40))
def test_a_printed_frame_is_harmless_and_still_the_same_message(text: str) -> None:
    frame = json.dumps({"msg": "result", "result": text}, ensure_ascii=False)
    line = plain(frame_line(frame, is_sent=False, when=NOON))
    assert harmless(line)
    assert json.loads(line.partition(" <- ")[2])["result"] == text


OID = ObjectID("507f1f77bcf86cd799439011")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(DocumentAdded("tasks", "a", {"n": 1}), '+ tasks/a {"n": 1}', id="added"),
        pytest.param(DocumentAdded("tasks", "a", {}), "+ tasks/a {}", id="added without fields"),
        pytest.param(DocumentChanged("tasks", "a", {"done": True}, ()), '~ tasks/a {"done": true}', id="changed"),
        pytest.param(
            DocumentChanged("t", "a", {"n": 2}, ("x", "y z")),
            '~ t/a {"n": 2} without x, "y z"',
            id="changed and cleared",
        ),
        pytest.param(DocumentChanged("t", "a", {}, ("x",)), "~ t/a without x", id="cleared"),
        pytest.param(DocumentRemoved("tasks", "a"), "- tasks/a", id="removed"),
        pytest.param(DocumentRemoved("tasks", OID), '- tasks/ObjectID("507f1f77bcf86cd799439011")', id="an ObjectID"),
        pytest.param(DocumentRemoved("tasks", "a b"), '- tasks/"a b"', id="an id with a space"),
        pytest.param(DocumentRemoved("tasks", "5"), '- tasks/"5"', id="an id that would be a number"),
        pytest.param(DocumentRemoved("tasks", 5), "- tasks/5", id="a number"),
        pytest.param(DocumentRemoved("a/b", "c"), '- "a/b"/c', id="a name with a slash"),
        pytest.param(DocumentRemoved("my tasks", "a"), '- "my tasks"/a', id="a name with a space"),
        pytest.param(DocumentRemoved("tasks", ""), '- tasks/""', id="an empty id"),
        pytest.param(DocumentMoved("tasks", "a", "b"), "> tasks/a moved before b", id="moved"),
        pytest.param(DocumentMoved("tasks", "a", None), "> tasks/a moved to the end", id="moved to the end"),
    ],
)
def test_a_change_takes_one_line(event: DocumentEvent, line: str) -> None:
    assert plain(change_line(event, Limits())) == line


def test_a_large_document_is_cut() -> None:
    event = DocumentAdded("t", "a", {"text": "x" * 1000})
    assert plain(change_line(event, Limits(characters=5))) == '+ t/a {"text": "xxxxx" ... 995 more characters}'


@given(hostile_text(), hostile_text())
def test_names_do_not_break_the_line(collection: str, name: str) -> None:
    line = plain(change_line(DocumentChanged(collection, name, {name: name}, (name,)), Limits()))
    assert harmless(line)
    assert "\n" not in line


def test_changes_that_are_not_shown_are_counted() -> None:
    assert plain(others_line(DocumentRemoved, "tasks", 980)) == "- tasks: 980 more documents"
    assert plain(others_line(DocumentAdded, "a b", 1)) == '+ "a b": 1 more document'


# ------------------------------------------------------------------------------------------------- pasted back

_FIELDS = st.dictionaries(keys(), ejson_values(max_leaves=5), max_size=4)
_IDS = (
    object_ids()
    | texts()
    | st.sampled_from(["5", "-1", "1e5", "true", "NaN", "@x", "-", "--all", "$1", "$_"])
    | st.floats(allow_nan=False)
)


@given(texts(), _IDS, _FIELDS)
def test_the_fields_of_an_added_document_can_be_pasted_back(
    collection: str, name: DocumentID, fields: dict[str, EJSONValue]
) -> None:
    lead = plain(change_line(DocumentRemoved(collection, name), Limits())).removeprefix("-")
    line = plain(change_line(DocumentAdded(collection, name, fields), Limits()))
    assert ejson.equals(parse(line.removeprefix(f"+{lead} ")), fields)


@given(_FIELDS.filter(bool), st.lists(keys(), max_size=3))
def test_the_fields_of_a_changed_document_can_be_pasted_back(fields: dict[str, EJSONValue], cleared: list[str]) -> None:
    line = plain(change_line(DocumentChanged("t", "a", fields, tuple(cleared)), Limits())).removeprefix("~ t/a ")
    reading = read(line)
    assert ejson.equals(reading.value, fields)
    assert line[reading.end :].startswith(" without ") is bool(cleared)


@given(texts(), _IDS)
def test_a_collection_and_an_id_can_be_pasted_back(collection: str, name: DocumentID) -> None:
    """`find tasks a` finds the document of `- tasks/a`."""
    line = plain(change_line(DocumentRemoved(collection, name), Limits())).removeprefix("- ")
    end = read(line).end if line.startswith('"') else line.index("/")
    [_, first, second] = parse_line(f"find {line[:end]} {line[end + 1 :]}")[0].words
    assert line[end] == "/"
    assert first.name == collection
    assert not second.text.startswith(("--", "@"))
    assert second.text != "-"
    assert ejson.equals(second.value, name)
