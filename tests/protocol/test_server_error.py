"""A server's error object."""

from __future__ import annotations

import pytest
from hypothesis import given

from ddpshell.exceptions import MethodError, SubscriptionError
from ddpshell.protocol import json_text
from ddpshell.protocol.ejson import JSONValue
from ddpshell.protocol.messages import Raw
from ddpshell.protocol.server_error import is_unknown_name, server_error
from tests.strategies import json_trees


def test_all_that_the_server_said_is_kept() -> None:
    """C28: the code as it came, the details as plain JSON."""
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


def test_without_reason_the_code_is_all() -> None:
    """C28."""
    assert str(server_error(SubscriptionError, Raw(b'{"error":418}'))) == "[418]"


@pytest.mark.parametrize("code", [True, [1], {"a": 1}])
def test_a_code_that_is_none_is_shown_as_json(code: JSONValue) -> None:
    error = server_error(MethodError, Raw(json_text.dump({"error": code}).encode()))
    assert error.error == json_text.dump(code)


@given(json_trees())
def test_whatever_comes_is_an_error(tree: JSONValue) -> None:
    """C16."""
    error = server_error(MethodError, Raw(json_text.dump(tree).encode()))
    assert isinstance(error.error, str | int | float)
    assert str(error).endswith("]")


def test_what_cannot_be_read_is_an_error_too() -> None:
    assert server_error(MethodError, Raw(b"{")).error == "unreadable-error"


@pytest.mark.parametrize(
    ("code", "reason", "unknown"),
    [
        pytest.param(404, "Method 'nope' not found", True, id="a method"),
        pytest.param(404, "Subscription 'nope' not found", True, id="a publication"),
        pytest.param(404, "Task not found", False, id="what a method did not find"),
        pytest.param(404, None, False, id="no reason"),
        pytest.param("404", "Method 'nope' not found", False, id="text"),
        pytest.param(403, "Method 'nope' not found", False, id="another code"),
    ],
)
def test_a_name_that_the_server_does_not_know_is_told_by_its_words(
    code: str | int, reason: str | None, unknown: bool
) -> None:
    """S21, S32: a method of the application's may answer with 404 as well."""
    assert is_unknown_name(MethodError(code, reason)) is unknown
