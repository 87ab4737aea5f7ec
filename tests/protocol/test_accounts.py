"""The arguments and results of the login methods."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import EJSONValue
from ddpshell.exceptions import LoginError, MethodError, RateLimited, TwoFactorError
from ddpshell.protocol.accounts import (
    LIFETIME,
    LoginToken,
    UserSelector,
    account_options,
    digest,
    login_error,
    login_token,
    password_login,
    resume_login,
    token_may_be_valid,
)
from tests import strategies

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("user", "selector"),
    [
        pytest.param("ann", {"username": "ann"}, id="a name"),
        pytest.param("ann@example.com", {"email": "ann@example.com"}, id="an address"),
        pytest.param({"id": "abc"}, {"id": "abc"}, id="an object"),
    ],
)
def test_a_user_is_selected_by_one_key(user: UserSelector, selector: dict[str, str]) -> None:
    """A1, A18."""
    assert password_login(user, "secret") == {"user": selector, "password": digest("secret")}


def test_a_code_is_sent_only_if_it_is_given() -> None:
    """A3: the server rejects null."""
    assert "code" not in password_login("ann", "secret")
    assert password_login("ann", "secret", "123456")["code"] == "123456"


def test_a_login_with_a_token_needs_only_the_token() -> None:
    """A4."""
    assert resume_login("token") == {"resume": "token"}


def test_account_options_leave_out_missing_values() -> None:
    """A7."""
    assert account_options("p", username="ann", email=None, profile=None) == {
        "username": "ann",
        "password": digest("p"),
    }
    assert account_options("p", username=None, email="a@b", profile={"n": 1}) == {
        "email": "a@b",
        "password": digest("p"),
        "profile": {"n": 1},
    }


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(
            {"id": "u", "token": "t", "tokenExpires": NOW, "type": "password"},
            LoginToken("u", "t", NOW, "password"),
            id="all",
        ),
        pytest.param(
            {"id": "u", "token": "t"}, LoginToken("u", "t", NOW + LIFETIME), id="no expiration date: 90 days (A40)"
        ),
        pytest.param(
            {"id": "u", "token": "t", "tokenExpires": "soon"},
            LoginToken("u", "t", NOW + LIFETIME),
            id="an expiration date that is text",
        ),
        pytest.param({"id": "u"}, None, id="no token"),
        pytest.param(None, None, id="no result"),
    ],
)
def test_the_result_of_a_login_is_read(result: EJSONValue, expected: LoginToken | None) -> None:
    """A1, A40."""
    assert login_token(result, NOW) == expected


def test_a_token_is_not_shown() -> None:
    assert "tttt" not in repr(LoginToken("u", "tttt", NOW))


@pytest.mark.parametrize(("left", "soon"), [(3601, False), (3599, True), (0, True), (-1, True)])
def test_a_token_expires_soon_in_its_last_hour(left: int, *, soon: bool) -> None:
    """A41."""
    assert LoginToken("u", "t", NOW + timedelta(seconds=left)).expires_soon(NOW) is soon


@pytest.mark.parametrize(
    ("error", "cls", "kept"),
    [
        pytest.param(MethodError(403, "Incorrect password"), LoginError, False, id="403 (A25, A27)"),
        pytest.param(MethodError(400, "Match failed"), LoginError, False, id="400 (A28)"),
        pytest.param(MethodError("no-2fa-code"), TwoFactorError, False, id="code missing (A26)"),
        pytest.param(MethodError("invalid-2fa-code"), TwoFactorError, False, id="code wrong (A26)"),
        pytest.param(RateLimited("too-many-requests"), RateLimited, True, id="rate limit (A34)"),
        pytest.param(MethodError(500), MethodError, True, id="a server error (A54)"),
        pytest.param(MethodError(404), MethodError, False, id="a server without accounts"),
        pytest.param(MethodError("You are not logged in."), LoginError, False, id="a sentence as code (A31)"),
    ],
)
def test_rejected_logins_are_distinguished_from_other_errors(
    error: MethodError, cls: type[MethodError], *, kept: bool
) -> None:
    """A25 - A31, A54."""
    told = login_error(error)
    assert type(told) is cls
    assert (told.error, told.reason) == (error.error, error.reason)
    assert token_may_be_valid(error) is kept


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        pytest.param("password", "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8", id="ASCII"),
        pytest.param("pässwörd", "46970bef70aced8123f0d5d094717e2a5cd412041e03b26376049fe65b2834a4", id="Latin"),
        pytest.param("\U0001f600", "ea645893a930e0872284cf8fbc8d14f66f052aea0bc8d9c4829f08a38219940c", id="CESU-8"),
    ],
)
def test_a20_digests_equal_those_of_meteors_client(password: str, expected: str) -> None:
    assert digest(password) == {"digest": expected, "algorithm": "sha-256"}


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])))
def test_a20_up_to_u_ffff_the_digest_equals_that_of_utf_8(password: str) -> None:
    assert digest(password)["digest"] == hashlib.sha256(password.encode()).hexdigest()


@given(strategies.texts())
def test_every_text_has_a_digest(password: str) -> None:
    assert len(digest(password)["digest"]) == 64


def test_a20_a_password_is_not_trimmed() -> None:
    assert digest("password\n") != digest("password")
