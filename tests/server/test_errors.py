"""What of an exception goes to the client, and what to the log."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import logging
from typing import Any

import pytest

from ddpshell.ejson import Custom, Date, ObjectID, RegExp
from ddpshell.exceptions import MethodError, SubscriptionError
from ddpshell.server import MatchError, check
from ddpshell.server.errors import wire_error


def written(error: BaseException) -> Any:
    return json.loads(bytes(wire_error(error, "method 'm'")))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            MethodError("nope", "a reason", {"d": 1}),
            '{"isClientSafe":true,"error":"nope","reason":"a reason","details":{"d":1},"message":"a reason [nope]","errorType":"Meteor.Error"}',
            id="all of it",
        ),
        pytest.param(
            MethodError(418),
            '{"isClientSafe":true,"error":418,"message":"[418]","errorType":"Meteor.Error"}',
            id="a number",
        ),
        pytest.param(
            MethodError([True], {"a": "x"}),
            '{"isClientSafe":true,"error":[true],"reason":{"a":"x"},"message":"{\\"a\\":\\"x\\"} [[true]]","errorType":"Meteor.Error"}',
            id="C28: any JSON",
        ),
        pytest.param(
            SubscriptionError("x", error_type="My.Error"),
            '{"isClientSafe":true,"error":"x","message":"[x]","errorType":"My.Error"}',
            id="another type",
        ),
    ],
)
def test_an_error_that_is_meant_for_the_client_goes_out_as_meteor_writes_it(error: MethodError, expected: str) -> None:
    """S40: to the letter, and in its order."""
    assert bytes(wire_error(error, "")).decode() == expected


def test_any_other_exception_is_logged_and_hidden(caplog: pytest.LogCaptureFixture) -> None:
    """S41."""
    tree = written(RuntimeError("secret"))
    assert tree["error"] == 500
    assert tree["reason"] == "Internal server error"
    assert tree["message"] == "Internal server error [500]"
    assert "details" not in tree
    assert "secret" not in json.dumps(tree)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "method 'm'" in record.getMessage()
    assert "secret" in caplog.text


def test_an_error_may_have_a_twin_for_the_client(caplog: pytest.LogCaptureFixture) -> None:
    """S42."""
    with caplog.at_level(logging.INFO):
        tree = written(MatchError("expected str, got int"))
    assert (tree["error"], tree["reason"], tree["message"]) == (400, "Match failed", "Match failed [400]")
    assert "expected str" in caplog.text
    assert "expected str" not in json.dumps(tree)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "1970-01-01T00:00:00.000Z"),
        (dt.datetime(1970, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))), "1970-01-01T00:00:00.000Z"),
        (float("nan"), None),
        (float("inf"), None),
        (b"\x01\xff", {"0": 1, "1": 255}),
        (decimal.Decimal("1.10"), "1.10"),
        (ObjectID("0" * 24), "0" * 24),
        (RegExp("a", "i"), "/a/i"),
        (Date(5), 5),
        (Custom("T", {"x": 1}), {"x": 1}),
        ([{"a": (1, None, True)}], [{"a": [1, None, True]}]),
        (object, "<class 'object'>"),
    ],
    ids=str,
)
def test_details_are_plain_json(details: Any, expected: Any) -> None:
    """E52: an error is no EJSON."""
    tree = written(MethodError("x", details={"d": details}))
    assert tree["details"] == {"d": expected}


@pytest.mark.parametrize(
    ("value", "types"),
    [("x", (str,)), (1, (int, float)), (True, (bool,)), (None, (str, type(None))), (True, (object,)), ([], (list,))],
    ids=str,
)
def test_check_passes_what_is_expected(value: object, types: tuple[type, ...]) -> None:
    check(value, *types)


@pytest.mark.parametrize(("value", "types"), [(5, (str,)), (True, (int, float)), (None, (dict,))], ids=str)
def test_check_refuses_the_rest(value: object, types: tuple[type, ...]) -> None:
    """E33: true is no number."""
    with pytest.raises(MatchError):
        check(value, *types)
