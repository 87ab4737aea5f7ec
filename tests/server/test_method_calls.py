"""Calling handlers, and what they may return."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ddpshell.exceptions import EJSONError
from ddpshell.protocol.messages import ABSENT
from ddpshell.server import NULL, MatchError
from ddpshell.server.handlers import Handler
from ddpshell.server.invocation import MethodInvocation, current_invocation
from ddpshell.server.method_calls import call_all, invoke, invoke_async, outcome, outcome_async, result_text


@pytest.mark.parametrize(
    ("value", "text"), [(NULL, "null"), (0, "0"), (False, "false"), ("", '""'), ([], "[]"), ([None], "[null]")]
)
def test_a_result_is_written(value: object, text: str) -> None:
    """S33, S35."""
    assert bytes(result_text(value)).decode() == text


def test_none_is_no_result_at_all_and_null_shows_what_it_is() -> None:
    """S33."""
    assert result_text(None) is ABSENT
    assert repr(NULL) == "NULL"


def test_what_is_no_ejson_is_refused() -> None:
    with pytest.raises(EJSONError):
        result_text({1, 2})


def test_a_handler_is_called_with_this_only_if_it_takes_it() -> None:
    invocation = MethodInvocation("m")
    assert invoke(Handler("m", lambda this, a: (this, a), context="this"), [1], invocation) == (invocation, 1)
    assert invoke(Handler("m", lambda a: a, context="this"), [1], invocation) == 1
    with pytest.raises(MatchError):
        invoke(Handler("m", lambda a: a, context="this"), [], invocation)


def test_a_handler_finds_its_invocation_and_nobody_else_does() -> None:
    invocation = MethodInvocation("m")

    async def find() -> Any:
        return current_invocation.get()

    assert invoke(Handler("m", current_invocation.get, context="this"), [], invocation) is invocation
    assert asyncio.run(invoke_async(Handler("m", find, context="this"), [], invocation)) is invocation
    assert current_invocation.get() is None


def test_an_outcome_is_a_value_or_whatever_was_raised() -> None:
    """S41: a handler that exits has failed, and nobody else."""

    def leave() -> None:
        raise SystemExit(3)

    async def fail() -> None:
        raise ValueError("no")

    assert outcome(lambda: 5) == (5, None)
    assert isinstance(outcome(leave)[1], SystemExit)
    assert isinstance(asyncio.run(outcome_async(fail()))[1], ValueError)


def test_one_callback_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []

    def fail() -> None:
        raise RuntimeError("broken")

    call_all([lambda: called.append(1), fail, lambda: called.append(2)])
    assert called == [1, 2]
    assert "broken" in caplog.text
