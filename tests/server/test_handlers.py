"""Registered functions: which arguments they take, how the server calls them, and what becomes of their exceptions."""

from __future__ import annotations

import asyncio
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
from ddpshell.exceptions import EJSONError, MethodError, SubscriptionError
from ddpshell.protocol.messages import ABSENT
from ddpshell.server import NULL, MatchError, MethodInvocation, check
from ddpshell.server.contexts import current_invocation, invoke, invoke_async
from ddpshell.server.handlers import (
    Handler,
    application_traceback,
    call_all,
    describe_position,
    result_or_error,
    result_or_error_async,
    result_text,
    wire_error,
)

PATIENCE = 20.0


def nothing() -> None: ...
def one(a: Any) -> None: ...
def one_or_two(a: Any, b: Any = 1) -> None: ...
def any_number(*args: Any) -> None: ...
def one_or_more(a: Any, *args: Any) -> None: ...
def with_this(this: Any, a: Any) -> None: ...
def with_this_and_any(this: Any, *args: Any) -> None: ...
def with_option(a: Any, *, option: bool = False) -> None: ...
async def asynchronous(a: Any) -> None: ...


class Callable_:  # noqa: N801 - as an object that is called
    def __call__(self, a: Any) -> None: ...


class AsyncCallable:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "right", "wrong"),
    [
        (nothing, [0], [1]),
        (one, [1], [0, 2]),
        (one_or_two, [1, 2], [0, 3]),
        (any_number, [0, 1, 9], []),
        (one_or_more, [1, 9], [0]),
        (with_this, [1], [0, 2]),
        (with_this_and_any, [0, 5], []),
        (with_option, [1], [2]),
        pytest.param(Callable_(), [1], [0, 2], id="an object"),
        (len, [1], [0, 2]),
        (max, [0, 1, 9], []),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_too_few_or_too_many_arguments_are_refused(
    function: Callable[..., Any], right: list[int], wrong: list[int]
) -> None:
    """S42."""
    handler = Handler("m", function, context="this")
    for count in right:
        assert list(handler.arguments([0] * count, "this"))[-count or 2 :] == [0] * count
    for count in wrong:
        with pytest.raises(MatchError):
            handler.arguments([0] * count, "this")


def test_a_method_gets_the_invocation_only_if_its_first_parameter_is_named_this() -> None:
    assert Handler("m", with_this, context="this").takes_context
    assert not Handler("m", one, context="this").takes_context
    assert Handler("p", one, context="sub").takes_context


def test_async_functions_are_recognized() -> None:
    assert Handler("m", asynchronous, context="this").is_async
    assert Handler("m", AsyncCallable(), context="this").is_async
    assert not Handler("m", one, context="this").is_async


def test_a_function_that_cannot_be_called_with_positional_arguments_is_refused() -> None:
    """S38."""

    def by_keyword(*, a: Any) -> None: ...

    for function, context in ((by_keyword, "this"), (5, "this"), (nothing, "sub")):
        with pytest.raises(TypeError):
            Handler("m", function, context=context)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("value", "text"), [(NULL, "null"), (0, "0"), (False, "false"), ("", '""'), ([], "[]"), ([None], "[null]")]
)
def test_a_result_is_encoded(value: object, text: str) -> None:
    """S33, S35."""
    assert bytes(result_text(value)).decode() == text


def test_none_is_an_absent_result_and_null_has_a_repr() -> None:
    """S33."""
    assert result_text(None) is ABSENT
    assert repr(NULL) == "NULL"


def test_a_result_that_is_not_ejson_is_refused() -> None:
    with pytest.raises(EJSONError):
        result_text({1, 2})


def test_a_method_is_called_with_its_invocation_only_if_it_takes_this() -> None:
    invocation = MethodInvocation("m")
    assert invoke(Handler("m", lambda this, a: (this, a), context="this"), [1], invocation) == (invocation, 1)
    assert invoke(Handler("m", lambda a: a, context="this"), [1], invocation) == 1
    with pytest.raises(MatchError):
        invoke(Handler("m", lambda a: a, context="this"), [], invocation)


def test_the_current_invocation_is_set_only_during_the_call() -> None:
    invocation = MethodInvocation("m")

    async def find() -> Any:
        return current_invocation.get()

    assert invoke(Handler("m", current_invocation.get, context="this"), [], invocation) is invocation
    assert asyncio.run(invoke_async(Handler("m", find, context="this"), [], invocation)) is invocation
    assert current_invocation.get() is None


def test_any_exception_of_a_function_is_returned() -> None:
    """A handler that raises SystemExit fails, and the server continues (S41)."""

    def exit_handler() -> None:
        raise SystemExit(3)

    async def fail() -> None:
        raise ValueError("no")

    assert result_or_error(lambda: 5) == (5, None)
    assert isinstance(result_or_error(exit_handler)[1], SystemExit)
    assert isinstance(asyncio.run(result_or_error_async(fail))[1], ValueError)


def test_a_failing_callback_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []

    def fail() -> None:
        raise RuntimeError("broken")

    call_all([lambda: called.append(1), fail, lambda: called.append(2)])
    assert called == [1, 2]
    assert "broken" in caplog.text


# -------------------------------------------------------------------------------------------------------- exceptions


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
