"""Exceptions: what the client gets, what the log gets, and which part of a traceback is shown."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import logging
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ddpshell.ejson import Custom, Date, ObjectID, RegExp
from ddpshell.exceptions import MethodError, SubscriptionError
from ddpshell.server import MatchError, check
from ddpshell.server.errors import application_traceback, describe_position, wire_error
from ddpshell.server.handlers import result_or_error

PATIENCE = 20.0


def encoded(error: BaseException) -> Any:
    return json.loads(bytes(wire_error(error, "method 'm'")))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            MethodError("nope", "a reason", {"d": 1}),
            '{"isClientSafe":true,"error":"nope","reason":"a reason","details":{"d":1},"message":"a reason [nope]","errorType":"Meteor.Error"}',
            id="all fields",
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
def test_an_error_for_the_client_is_encoded_as_by_meteor(error: MethodError, expected: str) -> None:
    """The text and the order of the keys are the same (S40)."""
    assert bytes(wire_error(error, "")).decode() == expected


def test_any_other_exception_is_logged_and_hidden(caplog: pytest.LogCaptureFixture) -> None:
    """S41."""
    tree = encoded(RuntimeError("secret"))
    assert tree["error"] == 500
    assert tree["reason"] == "Internal server error"
    assert tree["message"] == "Internal server error [500]"
    assert "details" not in tree
    assert "secret" not in json.dumps(tree)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "method 'm'" in record.getMessage()
    assert "secret" in caplog.text


def test_the_client_gets_the_sanitized_error_of_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    """S42."""
    with caplog.at_level(logging.INFO):
        tree = encoded(MatchError("expected str, got int"))
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
    """An error is not EJSON (E52)."""
    tree = encoded(MethodError("x", details={"d": details}))
    assert tree["details"] == {"d": expected}


@pytest.mark.parametrize(
    ("value", "types"),
    [("x", (str,)), (1, (int, float)), (True, (bool,)), (None, (str, type(None))), (True, (object,)), ([], (list,))],
    ids=str,
)
def test_check_accepts_values_of_the_given_types(value: object, types: tuple[type, ...]) -> None:
    check(value, *types)


@pytest.mark.parametrize(("value", "types"), [(5, (str,)), (True, (int, float)), (None, (dict,))], ids=str)
def test_check_refuses_values_of_other_types(value: object, types: tuple[type, ...]) -> None:
    """True is not a number (E33)."""
    with pytest.raises(MatchError):
        check(value, *types)


def test_the_position_of_a_thread_in_a_library_is_the_call_in_the_application() -> None:
    started, release = threading.Event(), threading.Event()

    def handler() -> None:
        started.set()
        release.wait(PATIENCE)

    thread = threading.Thread(target=handler)
    thread.start()
    assert started.wait(PATIENCE)
    line = handler.__code__.co_firstlineno + 2
    assert describe_position(thread) == f"{__file__}, line {line}, in handler"
    release.set()
    thread.join()


def test_a_thread_outside_of_the_application_is_described_by_its_name() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="waiting")
    assert describe_position(thread) == "waiting"
    thread.start()
    assert describe_position(thread) == "waiting"
    release.set()
    thread.join()


def function_names(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(application_traceback(error.__traceback__))]


def exception_of(function: Callable[[], object]) -> BaseException:
    _, error = result_or_error(function)
    assert error is not None
    return error


def test_a_traceback_starts_in_the_application_and_keeps_the_calls_that_it_made() -> None:
    def handler() -> None:
        check(1, str)

    assert function_names(exception_of(handler)) == ["handler", "check"]


def test_a_traceback_without_the_application_is_unchanged() -> None:
    assert function_names(exception_of(lambda: None.x)) == ["<lambda>"]  # type: ignore[attr-defined]  # that is the point
    assert function_names(exception_of(partial(check, 1, str))) == ["result_or_error", "check"]
