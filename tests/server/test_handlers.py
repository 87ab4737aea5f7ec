"""How many arguments a registered function takes, and what else is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ddpshell.server import MatchError
from ddpshell.server.handlers import Handler


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
def test_a_call_that_does_not_fit_is_refused_before_it_is_made(
    function: Callable[..., Any], right: list[int], wrong: list[int]
) -> None:
    """S42."""
    handler = Handler("m", function, context="this")
    for count in right:
        handler.check_arguments(count)
    for count in wrong:
        with pytest.raises(MatchError):
            handler.check_arguments(count)


def test_this_is_the_servers_to_give_only_if_it_is_called_so() -> None:
    assert Handler("m", with_this, context="this").takes_context
    assert not Handler("m", one, context="this").takes_context
    assert Handler("p", one, context="sub").takes_context


def test_an_async_def_is_known_as_one() -> None:
    assert Handler("m", asynchronous, context="this").is_async
    assert Handler("m", AsyncCallable(), context="this").is_async
    assert not Handler("m", one, context="this").is_async


def test_what_cannot_be_called_by_position_is_no_handler() -> None:
    """S38."""

    def by_keyword(*, a: Any) -> None: ...

    for function, context in ((by_keyword, "this"), (5, "this"), (nothing, "sub")):
        with pytest.raises(TypeError):
            Handler("m", function, context=context)  # type: ignore[arg-type]  # that is the point
