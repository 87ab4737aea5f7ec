from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import Custom, ObjectID
from ddpshell.exceptions import EJSONError
from ddpshell.protocol.document_ids import UNDEFINED_ID, DocumentID, decode_document_id, encode_document_id
from tests import strategies

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
        pytest.param("x-", "x-", id="a minus elsewhere"),
        pytest.param(HEX[:-1], HEX[:-1], id="23 digits"),
        pytest.param("g" + HEX[1:], "g" + HEX[1:], id="24 characters"),
        pytest.param(True, "~true", id="true"),
        pytest.param(False, "~false", id="false"),
        pytest.param(-1.5, "~-1.5", id="a fraction"),
        pytest.param(2**53 + 1, "~9007199254740993", id="a large number, exact"),
        pytest.param("7TwxEYbNsvKj7FDNW", "7TwxEYbNsvKj7FDNW", id="an id like most"),
    ],
)
def test_an_id_is_written_and_read_as_meteor_does(value: DocumentID, wire: str) -> None:
    assert encode_document_id(value) == wire
    decoded = decode_document_id(wire)
    assert ejson.equals(decoded, value)
    assert type(decoded) is type(value)


def test_a_whole_float_is_written_as_javascript_does() -> None:
    assert encode_document_id(5.0) == "~5"
    assert encode_document_id(-0.0) == "~0"


def test_i10_a_brace_from_a_careless_peer_stands_for_itself() -> None:
    assert decode_document_id("{a") == "{a"


def test_undefined_is_a_value_that_can_be_sent_back() -> None:
    assert ejson.decode(ejson.encode(UNDEFINED_ID)) == UNDEFINED_ID


@pytest.mark.parametrize("wire", ["~", "~x", '~"a"', "~[]", "~{}", "~NaN", "~1e400", "~-1e400", "~" + "9" * 5000])
def test_what_is_no_id_after_a_tilde_is_refused(wire: str) -> None:
    with pytest.raises(EJSONError):
        decode_document_id(wire)


@pytest.mark.parametrize("value", [math.nan, math.inf, b"a", ["a"], {"a": 1}, Custom("t", None)])
def test_i11_what_no_document_can_be_called_is_refused(value: Any) -> None:
    with pytest.raises(EJSONError, match="is no document id; use a str"):
        encode_document_id(value)


def test_e31_an_id_has_no_more_digits_than_can_be_read() -> None:
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
def test_what_was_read_once_is_read_as_the_same_again(wire: str) -> None:
    try:
        value = decode_document_id(wire)
    except EJSONError:
        return
    again = encode_document_id(value)
    assert ejson.equals(decode_document_id(again), value)
    assert encode_document_id(decode_document_id(again)) == again
