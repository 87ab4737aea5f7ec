"""No line with a secret in it is kept anywhere."""

from __future__ import annotations

import pytest

from ddpshell.shell.parser import is_private


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
        pytest.param("connect ws://TOKEN@localhost:3000/app", id="a token in an address"),
        pytest.param("connect TOKEN@localhost:3000", id="an address without a scheme"),
        pytest.param("call open 'wss://abc123@example.com/x'", id="an address as an argument"),
        pytest.param("call open 'https://example.com/?access_token=abc'", id="a token in a query"),
        pytest.param("call x {authorization: 'Bearer abc'}", id="a header"),
        pytest.param("call x {headers: {Cookie: 'a=b'}}", id="a cookie"),
        pytest.param("call x 'Authorization: Bearer abc'", id="a header in a text"),
        pytest.param("call x {user: 'ann', pass: 'abc'}", id="pass"),
        pytest.param("call x {pin: 1234}", id="a PIN"),
        pytest.param("call x {otp: '123456'}", id="a one-time password"),
        pytest.param("call x {sessionId: 'abc'}", id="a session"),
        pytest.param("call login ann hunter2", id="a password by its place"),
        pytest.param("call signIn ann hunter2", id="the same in another method"),
        pytest.param("call users.authenticate ann hunter2", id="the same below a name"),
        pytest.param("apply sign_in ['ann', 'hunter2']", id="a sign-in in an array"),
        pytest.param("cal signIn ann hunter2", id="a misspelled command"),
        pytest.param("call signIn ann 'hunter2", id="a text without an end"),
        pytest.param("call verifyPin 1234", id="a PIN by its place"),
        pytest.param("call auth/pin 1234 {x: 1}", id="a method about a PIN"),
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
        "call messages.pin 'abc' {pinned: true}",
        "call getPassenger {spin: 1, tokenizerCount: 5, passed: 3, opinion: 'x'}",
        "call mail ann@example.com 'see https://example.com/@ann?page=2'",
        "connect localhost:3000/@ann",
        "sub logins",
        "count logins",
        "call signal 'x'",
        "call registerDevice 'x'",
        "call design.increase 'x'",
        "find tasks {author: 'ann', authored: 1, sessions: 2, keyboard: 'x', cookieConsent: true}",
    ],
)
def test_other_lines_are_kept(text: str) -> None:
    assert not is_private(text)
