"""Messages, document ids, and their text."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import Custom, EJSONValue, ObjectID, json_text
from ddpshell.exceptions import EJSONError
from ddpshell.protocol.codec import (
    UNDEFINED_ID,
    DocumentID,
    UnrecognizedMessage,
    decode,
    decode_document_id,
    ejson_text,
    ejson_value,
    encode,
    encode_document_id,
    json_value,
)
from ddpshell.protocol.messages import (
    ABSENT,
    EMPTY_OBJECT,
    Added,
    Changed,
    Connect,
    Connected,
    Error,
    Message,
    Method,
    Nosub,
    Ping,
    Pong,
    Raw,
    Result,
    Sub,
)
from tests import strategies
from tests.strategies import ejson_values, json_trees


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param(
            Connect(version="1", support=("1", "pre2")),
            '{"msg":"connect","version":"1","support":["1","pre2"]}',
            id="C1",
        ),
        pytest.param(
            Connect(session="s", version="1", support=("1",), received_count=5),
            '{"msg":"connect","session":"s","version":"1","support":["1"],"receivedCount":5}',
            id="R21",
        ),
        pytest.param(
            Method(id="7", method="add", params=Raw(b"[]")),
            '{"msg":"method","id":"7","method":"add","params":[]}',
            id="C10",
        ),
        pytest.param(
            Method(id="7", method="add", params=Raw(b"[1]"), random_seed="x"),
            '{"msg":"method","id":"7","method":"add","params":[1],"randomSeed":"x"}',
            id="C27",
        ),
        pytest.param(
            Sub(id="i", name="n", params=Raw(b"[]")), '{"msg":"sub","id":"i","name":"n","params":[]}', id="C30"
        ),
        pytest.param(Ping(), '{"msg":"ping"}', id="H2"),
        pytest.param(Pong(id=Raw(b"null")), '{"msg":"pong","id":null}', id="H10"),
        pytest.param(Result(id="1"), '{"msg":"result","id":"1"}', id="S33 nothing"),
        pytest.param(Result(id="1", result=Raw(b"null")), '{"msg":"result","id":"1","result":null}', id="S33 null"),
        pytest.param(Added(collection="c", id="x"), '{"msg":"added","collection":"c","id":"x"}', id="C41"),
        pytest.param(
            Sub(id="\ud800", name="n", params=Raw(b'["x"]')),
            r'{"msg":"sub","id":"\ud800","name":"n","params":["x"]}',
            id="E32",
        ),
        pytest.param(
            Connect(session="\ud800", version="1"),
            r'{"msg":"connect","session":"\ud800","version":"1"}',
            id="E32, defaults",
        ),
    ],
)
def test_a_message_is_written_as_in_its_rule(message: Message, text: str) -> None:
    assert encode(message) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            '{"session":"s","msg":"connected","new":1}', Connected(session="s"), id="C29 unknown keys, any order"
        ),
        pytest.param('{"msg":"nosub"}', Nosub(), id="C40 no id"),
        pytest.param(r'{"msg":"connected","session":"\ud800"}', Connected(session="\ud800"), id="E32 lone surrogate"),
    ],
)
def test_a_message_is_read(text: str, message: Message) -> None:
    assert decode(text) == message


def test_an_absent_field_differs_from_null() -> None:
    """C15."""
    absent, null = decode('{"msg":"result","id":"1"}'), decode('{"msg":"result","id":"1","result":null,"error":null}')
    assert isinstance(absent, Result)
    assert isinstance(null, Result)
    assert absent.result is absent.error is ABSENT
    assert bytes(null.result) == bytes(null.error) == b"null"


def test_missing_fields_are_an_empty_object() -> None:
    """C41, C42."""
    added, changed = (
        decode('{"msg":"added","collection":"c","id":"x"}'),
        decode('{"msg":"changed","collection":"c","id":"x"}'),
    )
    assert isinstance(added, Added)
    assert isinstance(changed, Changed)
    assert added.fields is changed.fields is EMPTY_OBJECT
    assert changed.cleared == ()


@pytest.mark.parametrize(
    ("text", "msg"),
    [
        pytest.param("", None, id="empty"),
        pytest.param("[]", None, id="array"),
        pytest.param('{"msg":"method","id":"1"}', "method", id="a client's message"),
        pytest.param('{"msg":"added","id":"1"}', "added", id="incomplete"),
        pytest.param('{"msg":"\\ud800"}', "\ud800", id="surrogate"),
        pytest.param('{"msg":["added"]}', ["added"], id="an array as msg"),
    ],
)
def test_an_invalid_message_is_described(text: str, msg: object) -> None:
    """C70, C71, C75."""
    message = decode(text)
    assert isinstance(message, UnrecognizedMessage)
    assert message.msg == msg
    assert message.problem


def test_the_outermost_strings_of_a_deeply_nested_message_are_read() -> None:
    """C73."""
    deep = "[" * 20_000 + "]" * 20_000
    message = decode(f'{{"msg":"result","result":[{{"id":"no"}},{deep}],"n":5,"i\\u0064":"yes \\" "}}')
    assert isinstance(message, UnrecognizedMessage)
    assert message.tree == {"msg": "result", "id": 'yes " '}


@given(
    st.fixed_dictionaries({"fields": st.dictionaries(st.text(max_size=3), json_trees(), max_size=3)}),
    st.sampled_from(["", "\ud800"]),
)
def test_the_slow_decoder_gives_the_same_message_as_the_fast_decoder(body: dict[str, object], odd: str) -> None:
    """msgspec rejects a lone surrogate in an id, and accepts the same message without it."""
    texts = [json.dumps({"msg": "added", "collection": "c", "id": f"x{suffix}", **body}) for suffix in ("", odd)]
    quick, slow = (decode(text) for text in texts)
    assert isinstance(quick, Added)
    assert isinstance(slow, Added)
    assert json_value(quick.fields) == json_value(slow.fields) == body["fields"]


def test_infinities_survive_the_slow_decoder() -> None:
    """E22."""
    message = decode(r'{"msg":"added","collection":"\ud800","id":"x","fields":{"a":[1e400,{"b":-1e400}]}}')
    assert isinstance(message, Added)
    assert ejson_value(message.fields) == {"a": [float("inf"), {"b": float("-inf")}]}


@given(ejson_values())
def test_a_value_survives_the_wire(value: EJSONValue) -> None:
    """E1 - E22."""
    assert ejson.equals(ejson_value(ejson_text(value)), value)


@given(json_trees())
def test_a_value_without_dollar_signs_is_read_unchanged(tree: ejson.JSONValue) -> None:
    """The shortcut around the EJSON decoder does not change the value."""
    text = json_text.dump(tree)
    try:
        expected = ejson.decode(json.loads(text))
    except EJSONError:
        with pytest.raises(EJSONError):
            ejson_value(Raw(text.encode()))
        return
    assert ejson.equals(ejson_value(Raw(text.encode())), expected)


def test_an_escaped_dollar_sign_is_a_dollar_sign() -> None:
    """E1: escape sequences do not change the meaning of a key."""
    assert str(ejson_value(Raw(rb'{"\u0024date":0}'))) == "1970-01-01 00:00:00+00:00"


@given(st.text() | st.builds(json.dumps, json_trees()))
def test_no_text_makes_decoding_raise(text: str) -> None:
    """C70."""
    decode(text)


def test_an_offending_message_is_kept_unchanged() -> None:
    """C72, E53."""
    message = decode('{"msg":"error","reason":"Bad request","offendingMessage":{"msg":"x","id":5}}')
    assert isinstance(message, Error)
    assert json_value(message.offending_message) == {"msg": "x", "id": 5}


HEX = "507f1f77bcf86cd799439011"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        pytest.param("-x", "--x", id="I12: a minus"),
        pytest.param("~1", "-~1", id="I12: a tilde"),
        pytest.param("{a", "-{a", id="I12: a brace"),
        pytest.param(HEX, f"-{HEX}", id="I12: a string like an ObjectID"),
        pytest.param(ObjectID(HEX), HEX, id="I12: an ObjectID"),
        pytest.param(HEX.upper(), HEX.upper(), id="I12: a string like an ObjectID in upper case"),
        pytest.param(5, "~5", id="I12: a number"),
        pytest.param(None, "~null", id="I12: null"),
        pytest.param("", "", id="I10: an empty string"),
        pytest.param("-", "--", id="a lone minus"),
        pytest.param(UNDEFINED_ID, "-", id="I11: undefined"),
        pytest.param("x-", "x-", id="a minus inside"),
        pytest.param(HEX[:-1], HEX[:-1], id="23 digits"),
        pytest.param("g" + HEX[1:], "g" + HEX[1:], id="24 characters"),
        pytest.param(True, "~true", id="true"),
        pytest.param(False, "~false", id="false"),
        pytest.param(-1.5, "~-1.5", id="a fraction"),
        pytest.param(2**53 + 1, "~9007199254740993", id="a large number, exact"),
        pytest.param("7TwxEYbNsvKj7FDNW", "7TwxEYbNsvKj7FDNW", id="a usual id"),
    ],
)
def test_an_id_is_written_and_read_as_in_meteor(value: DocumentID, wire: str) -> None:
    assert encode_document_id(value) == wire
    decoded = decode_document_id(wire)
    assert ejson.equals(decoded, value)
    assert type(decoded) is type(value)


def test_a_whole_float_is_written_as_in_javascript() -> None:
    assert encode_document_id(5.0) == "~5"
    assert encode_document_id(-0.0) == "~0"


def test_i10_an_id_that_begins_with_a_brace_is_read_unchanged() -> None:
    assert decode_document_id("{a") == "{a"


def test_the_id_undefined_can_be_sent_back() -> None:
    assert ejson.decode(ejson.encode(UNDEFINED_ID)) == UNDEFINED_ID


@pytest.mark.parametrize("wire", ["~", "~x", '~"a"', "~[]", "~{}", "~NaN", "~1e400", "~-1e400", "~" + "9" * 5000])
def test_an_invalid_id_after_a_tilde_is_rejected(wire: str) -> None:
    with pytest.raises(EJSONError):
        decode_document_id(wire)


@pytest.mark.parametrize("value", [math.nan, math.inf, b"a", ["a"], {"a": 1}, Custom("t", None)])
def test_i11_a_value_that_cannot_be_an_id_is_rejected(value: Any) -> None:
    with pytest.raises(EJSONError, match="is not a document id; use a str"):
        encode_document_id(value)


def test_e31_an_id_with_too_many_digits_is_rejected() -> None:
    with pytest.raises(EJSONError, match="more than 4300 digits"):
        encode_document_id(10**4300)
    assert decode_document_id(encode_document_id(10**4000)) == 10**4000


@given(
    strategies.wire_ids()
    | strategies.object_ids()
    | st.integers()
    | st.floats(-(2**53), 2**53)  # beyond, JavaScript shows fewer digits than the number has
    | st.booleans()
    | st.none()
    | st.just(UNDEFINED_ID)
)
def test_every_id_survives_a_trip_over_the_wire(value: DocumentID) -> None:
    assert ejson.equals(decode_document_id(encode_document_id(value)), value)


@given(strategies.wire_ids())
def test_reading_and_writing_an_id_again_changes_nothing(wire: str) -> None:
    try:
        value = decode_document_id(wire)
    except EJSONError:
        return
    again = encode_document_id(value)
    assert ejson.equals(decode_document_id(again), value)
    assert encode_document_id(decode_document_id(again)) == again
