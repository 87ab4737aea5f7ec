"""The errors that a server sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import JSONValue, json_text
from ddpshell.exceptions import MethodError, SubscriptionError
from ddpshell.protocol.messages import Raw
from ddpshell.protocol.server_error import NO_REQUEST, Refusals, is_unknown_name, quoted, server_error
from tests.strategies import json_trees


def test_all_parts_of_an_error_are_kept() -> None:
    """C28: the code is unchanged, and the details are plain JSON."""
    error = server_error(
        MethodError,
        Raw(
            b'{"isClientSafe":true,"error":"nope","reason":"a reason","details":{"when":{"$date":0}},'
            b'"message":"ignored","errorType":"My.Error"}'
        ),
    )
    assert (error.error, error.reason, error.error_type) == ("nope", "a reason", "My.Error")
    assert error.details == {"when": {"$date": 0}}
    assert str(error) == "a reason [nope]"


def test_an_error_without_a_reason_shows_the_code() -> None:
    """C28."""
    assert str(server_error(SubscriptionError, Raw(b'{"error":418}'))) == "[418]"


@pytest.mark.parametrize(
    ("wire", "code", "reason", "text"),
    [
        pytest.param("null", None, None, "[null]", id="C16: null"),
        pytest.param("true", True, None, "[true]", id="a boolean"),
        pytest.param("0", 0, None, "[0]", id="a number"),
        pytest.param('"d"', "d", None, "[d]", id="a string"),
        pytest.param('""', "", None, '[""]', id="an empty string"),
        pytest.param("[]", [], None, "[[]]", id="an array"),
        pytest.param("{}", {}, None, "[{}]", id="an empty object"),
        pytest.param('{"code":5}', {"code": 5}, None, '[{"code":5}]', id="an object of another kind"),
        pytest.param('{"error":true}', True, None, "[true]", id="a boolean for a code"),
        pytest.param('{"error":[1]}', [1], None, "[[1]]", id="an array for a code"),
        pytest.param('{"error":{"a":1}}', {"a": 1}, None, '[{"a":1}]', id="an object for a code"),
        pytest.param('{"error":null}', None, None, "[null]", id="null for a code"),
        pytest.param('{"error":"d","reason":{"a":1}}', "d", {"a": 1}, '{"a":1} [d]', id="an object for a reason"),
        pytest.param('{"error":"d","reason":["x","y"]}', "d", ["x", "y"], '["x","y"] [d]', id="an array for a reason"),
        pytest.param('{"error":"d","reason":0}', "d", 0, "0 [d]", id="a number for a reason"),
        pytest.param('{"error":"d","reason":false}', "d", False, "false [d]", id="a boolean for a reason"),
        pytest.param('{"error":"d","reason":""}', "d", "", "[d]", id="an empty reason"),
        pytest.param('{"error":"d","reason":null}', "d", None, "[d]", id="null for a reason"),
        pytest.param('{"reason":"why"}', None, "why", "why", id="a reason without code"),
        pytest.param('{"message":"why"}', None, "why", "why", id="a message alone"),
        pytest.param('{"error":500,"message":"why"}', 500, "why", "why [500]", id="a message for a reason"),
        pytest.param('{"error":500,"message":"why [500]"}', 500, "why", "why [500]", id="Meteor's message"),
        pytest.param('{"error":418,"message":"[418]"}', 418, None, "[418]", id="Meteor's message without reason"),
        pytest.param('{"error":"d","message":{"a":1}}', "d", {"a": 1}, '{"a":1} [d]', id="an object for a message"),
        pytest.param('{"error":"d","reason":"r","message":"m"}', "d", "r", "r [d]", id="both: the message is ignored"),
    ],
)
def test_codes_and_reasons_of_any_shape_are_kept(wire: str, code: JSONValue, reason: JSONValue, text: str) -> None:
    """C28."""
    for cls in (MethodError, SubscriptionError):
        error = server_error(cls, Raw(wire.encode()))
        assert (error.error, error.reason, str(error)) == (code, reason, text)
        assert (type(error.error), type(error.reason)) == (type(code), type(reason))


@given(json_trees())
def test_any_json_is_an_error(tree: JSONValue) -> None:
    """C16, C28."""
    assert str(server_error(MethodError, Raw(json_text.dump({"error": tree}).encode()))).endswith("]")
    assert str(server_error(MethodError, Raw(json_text.dump(tree).encode())))


def test_an_unreadable_error_is_an_error() -> None:
    assert server_error(MethodError, Raw(b"{")).error == "unreadable-error"


@pytest.mark.parametrize(
    ("code", "reason", "unknown"),
    [
        pytest.param(404, "Method 'nope' not found", True, id="a method"),
        pytest.param(404, "Subscription 'nope' not found", True, id="a publication"),
        pytest.param(404, "Task not found", False, id="a document that a method did not find"),
        pytest.param(404, None, False, id="no reason"),
        pytest.param("404", "Method 'nope' not found", False, id="text"),
        pytest.param(403, "Method 'nope' not found", False, id="another code"),
    ],
)
def test_an_unknown_name_is_recognized_by_the_reason(code: str | int, reason: str | None, unknown: bool) -> None:
    """S21, S32: the application's methods can also use 404."""
    assert is_unknown_name(MethodError(code, reason)) is unknown


def test_a_timeout_message_ends_with_the_servers_error() -> None:
    assert quoted(None) == ""
    assert quoted("Parse error") == "; the server refused a message: Parse error"


def test_the_latest_error_is_quoted() -> None:
    refusals = Refusals()
    assert Refusals().text is None
    refusals.add("first", ["1", "2", "3"])
    refusals.add("second", ["1", "2", "3"])
    assert refusals.text == "second"
    assert refusals.resolve() == []


def test_a_message_that_is_not_a_request_cannot_fail() -> None:
    refusals = Refusals()
    refusals.add("no", [NO_REQUEST])
    assert refusals.resolve() == []
    assert refusals.text == "no"
    refusals.answered([NO_REQUEST])
    assert not refusals


def test_the_number_of_remembered_errors_is_limited() -> None:
    refusals = Refusals()
    for number in range(1000):
        refusals.add(str(number), [NO_REQUEST, "1"])
    assert refusals.text == "999"
    assert len(vars(refusals)["_open"]) == 100


@given(st.sets(st.integers(1, 8), min_size=1), st.data())
def test_exactly_the_refused_requests_fail(refused: set[int], data: st.DataObject) -> None:
    """In any order of answers and errors, a request that the server answers never fails."""
    refusals = Refusals()
    unanswered = {str(number) for number in range(1, 9)}
    failed: list[str] = []
    for number in data.draw(st.permutations(range(1, 9))):
        if number in refused:
            refusals.add("no", unanswered)
        else:
            unanswered.discard(str(number))
            refusals.answered([str(number)])
        taken = [request_id for request_id, _ in refusals.resolve()]
        failed += taken
        unanswered.difference_update(taken)
    assert sorted(failed) == sorted(map(str, refused))
    assert not refusals
