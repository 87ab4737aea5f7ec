"""No line with a secret in it is kept anywhere."""

from __future__ import annotations

import pytest

from ddpshell.shell.privacy import is_private


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("login ann", id="a login"),
        pytest.param("login ann hunter2", id="a login with a slip"),
        pytest.param("Login ann", id="in capitals"),
        pytest.param("status\nlogin ann", id="among other lines"),
        pytest.param(" call upper x", id="a space in front"),
        pytest.param("call login {user: {username: 'ann'}, password: 'x'}", id="the method itself"),
        pytest.param("call createUser {username: 'ann', password: 'x'}", id="a new user"),
        pytest.param("call changePassword old new", id="a change of password"),
        pytest.param("apply changePassword ['old', 'new']", id="the same in an array"),
        pytest.param("call x {token: 'abc'}", id="a token"),
        pytest.param("call login {resume: 'abc'", id="a line with an open bracket"),
        pytest.param("call x {password: 'abc' y}", id="a line with a mistake"),
        pytest.param("sub x {apiKey: 'abc'}", id="a subscription"),
        pytest.param("echo {secret: 1}", id="any value"),
        pytest.param("connect wss://ann:pw@example.com", id="credentials in an address"),
    ],
)
def test_secrets_are_noticed(text: str) -> None:
    assert is_private(text)


@pytest.mark.parametrize(
    "text",
    [
        "call upper Hello",
        "sub tasks {done: false}",
        "find users {username: 'ann'}",
        "connect wss://example.com/a@b",
        "call notes.add 'the word password in a text'",
        "logout",
        "",
    ],
)
def test_other_lines_are_kept(text: str) -> None:
    assert not is_private(text)
