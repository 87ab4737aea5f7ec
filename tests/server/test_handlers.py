"""Registered functions: which arguments they take, and how the server calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ddpshell.exceptions import EJSONError
from ddpshell.protocol.messages import ABSENT
from ddpshell.server import NULL, MatchError, MethodInvocation
from ddpshell.server.contexts import current_invocation, invoke, invoke_async
from ddpshell.server.handlers import Handler, call_all, result_or_error, result_or_error_async, result_text


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
    """A handler that raises SystemExit fails, and the server goes on (S41)."""

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
