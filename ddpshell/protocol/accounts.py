"""What the methods of Meteor's accounts packages are given, and what they answer (A1-A41).

Source: Meteor's `packages/accounts-base/accounts_client.js` and `packages/accounts-password`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from ..ejson import EJSONValue
from ..exceptions import LoginError, MethodError, TwoFactorError

__all__ = [
    "LoginToken",
    "UserSelector",
    "account_options",
    "digest",
    "keeps_token",
    "login_error",
    "login_token",
    "password_login",
    "resume_login",
    "wraps_code",
]

#: A user by one of three keys; a plain string means an e-mail address if there is an `@` in it (A1, A18).
UserSelector: TypeAlias = str | Mapping[str, str]

# Of a token whose end the server does not tell (A40).
LIFETIME = timedelta(days=90)
# A token that ends sooner than a tenth of its life and than this is not worth resuming with (A41).
SOON = timedelta(hours=1)


class LoginToken(Struct, frozen=True):
    """What a login gives: who one is, and what to resume with.

    Args:
        user_id: The user's id.
        token: A secret of 43 characters, as good as a password until it ends.
        expires: When it ends, in UTC.
        type: How one logged in: `password`, `resume` or a service's name; "" where the server does not say.
    """

    user_id: str
    token: str
    expires: datetime
    type: str = ""

    def __repr__(self) -> str:
        # Without the secret, which would end up in logs.
        return f"<LoginToken of {self.user_id!r} until {self.expires:%Y-%m-%d}>"

    def expires_soon(self, now: datetime) -> bool:
        """Whether to act as if it had ended (A41): less than a tenth of its life is left, or an hour if that is less."""
        return self.expires - now < min(LIFETIME / 10, SOON)


def password_login(
    user: UserSelector, password: str, code: str | None = None, *, wraps: bool = False
) -> dict[str, EJSONValue]:
    """Make the argument of `login` for a password (A1, A3, K35).

    Args:
        user: Name, e-mail address, or `{"id": ...}` and the like with exactly one key.
        password: In the clear; only its digest is sent (A20).
        code: The one-time code, if the account has two factors; null would be refused.
        wraps: Whether the server wants the login inside an object with the code, as Rocket.Chat does.
    """
    login: dict[str, EJSONValue] = {"user": _selector(user), "password": digest(password)}
    if code is None:
        return login
    return {"totp": {"code": code, "login": login}} if wraps else {**login, "code": code}


def resume_login(token: str) -> dict[str, EJSONValue]:
    """Make the argument of `login` for a token (A4)."""
    return {"resume": token}


def account_options(
    password: str, *, username: str | None, email: str | None, profile: Mapping[str, EJSONValue] | None
) -> dict[str, EJSONValue]:
    """Make the argument of `createUser` (A7)."""
    options: dict[str, EJSONValue] = {"password": digest(password)}
    if username is not None:
        options["username"] = username
    if email is not None:
        options["email"] = email
    if profile is not None:
        options["profile"] = profile
    return options


def login_token(result: EJSONValue, now: datetime) -> LoginToken | None:
    """Read what a login-type method returned; None if that is no login object."""
    match result:
        case {"id": str(user_id), "token": str(token), **rest}:
            expires, kind = rest.get("tokenExpires"), rest.get("type")
            return LoginToken(
                user_id,
                token,
                expires if isinstance(expires, datetime) else now + LIFETIME,
                kind if isinstance(kind, str) else "",
            )
        case _:
            return None


def login_error(error: MethodError) -> MethodError:
    """Tell refusals of who one is from errors that any method may have (A25 - A28).

    A rate limit, a fault of the server's and a server without accounts are no refusals.
    """
    if error.error in ("no-2fa-code", "invalid-2fa-code", "2fa-enabled") or wraps_code(error):
        return _as(TwoFactorError, error)
    if keeps_token(error) or error.error == 404:
        return error
    return _as(LoginError, error)


def wraps_code(error: MethodError) -> bool:
    """Whether a server asks for a one-time code as Rocket.Chat does (K35): see `password_login`."""
    return error.error in ("totp-required", "totp-invalid")


def keeps_token(error: MethodError) -> bool:
    """Whether a token may still be good though the login with it failed (A54): the server could not, or would not yet."""
    return error.error == "too-many-requests" or (isinstance(error.error, int) and error.error >= 500)


def _as(cls: type[LoginError], error: MethodError) -> LoginError:
    return cls(error.error, error.reason, error.details, error_type=error.error_type)


def _selector(user: UserSelector) -> dict[str, EJSONValue]:
    if not isinstance(user, str):
        return dict(user)
    return {"email" if "@" in user else "username": user}


def digest(password: str) -> dict[str, str]:
    """Hash a password as Meteor's own client does, and so as its accounts expect: `{"digest":..., "algorithm":...}` (A20).

    That is the SHA-256 of CESU-8: beyond U+FFFF each half of a surrogate pair is encoded by itself, and the digest
    is not that of UTF-8. The text is taken as it is: nothing is trimmed or normalised.
    """
    units = password.encode("utf-16-be", "surrogatepass")
    halves = "".join(chr(units[index] << 8 | units[index + 1]) for index in range(0, len(units), 2))
    return {"digest": hashlib.sha256(halves.encode("utf-8", "surrogatepass")).hexdigest(), "algorithm": "sha-256"}
