"""The arguments and results of the login methods of Meteor's accounts packages (A1-A41).

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

#: Selects a user: a user name, an e-mail address (a string with `@`), or an object with exactly one of the keys `id`,
#: `username` and `email` (A1, A18).
UserSelector: TypeAlias = str | Mapping[str, str]

# The lifetime of a login token if the server does not send its expiration date (A40).
LIFETIME = timedelta(days=90)
# A token with less than a tenth of its life left, and less than this, is not used to log in (A41).
SOON = timedelta(hours=1)


class LoginToken(Struct, frozen=True):
    """The result of a login: the user, and a token for later logins.

    Args:
        user_id: The user's id.
        token: A secret of 43 characters. Until it expires, it is as powerful as the password.
        expires: When the token expires, in UTC.
        type: The kind of login: `password`, `resume` or the name of a service; "" if the server does not say.
    """

    user_id: str
    token: str
    expires: datetime
    type: str = ""

    def __repr__(self) -> str:
        # Leave the secret out: representations end up in logs.
        return f"<LoginToken of {self.user_id!r} until {self.expires:%Y-%m-%d}>"

    def expires_soon(self, now: datetime) -> bool:
        """Return whether to treat the token as expired: a tenth of its life or one hour is left, whichever is less (A41)."""
        return self.expires - now < min(LIFETIME / 10, SOON)


def password_login(
    user: UserSelector, password: str, code: str | None = None, *, wraps: bool = False
) -> dict[str, EJSONValue]:
    """Make the argument of `login` for a login with a password (A1, A3, K35).

    Args:
        user: The user to log in.
        password: The password in clear text. Only its digest is sent (A20).
        code: The one-time code, if the account uses two factors. Without a code the key is left out, because the server
            rejects null.
        wraps: Put the login into an object beside the code, as Rocket.Chat requires.
    """
    selector = {"email" if "@" in user else "username": user} if isinstance(user, str) else dict(user)
    login: dict[str, EJSONValue] = {"user": selector, "password": digest(password)}
    if code is None:
        return login
    return {"totp": {"code": code, "login": login}} if wraps else {**login, "code": code}


def resume_login(token: str) -> dict[str, EJSONValue]:
    """Make the argument of `login` for a login with a token (A4)."""
    return {"resume": token}


def account_options(
    password: str, *, username: str | None, email: str | None, profile: Mapping[str, EJSONValue] | None
) -> dict[str, EJSONValue]:
    """Make the argument of `createUser` (A7)."""
    options = {"password": digest(password), "username": username, "email": email, "profile": profile}
    return {name: value for name, value in options.items() if value is not None}


def login_token(result: EJSONValue, now: datetime) -> LoginToken | None:
    """Read the result of a login method; None if it is not `{"id": "...", "token": "...", ...}`."""
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
    """Return a rejected login as `LoginError` or `TwoFactorError`, and every other error unchanged (A25-A28).

    Rate limits, internal errors of the server, and the error of a server without accounts are not rejected logins.
    """
    if error.error in ("no-2fa-code", "invalid-2fa-code", "2fa-enabled") or wants_wrapped_code(error):
        cls: type[LoginError] = TwoFactorError
    elif token_may_be_valid(error) or error.error == 404:
        return error
    else:
        cls = LoginError
    return cls(error.error, error.reason, error.details, error_type=error.error_type)


def wants_wrapped_code(error: MethodError) -> bool:
    """Return whether the server asks for a one-time code as Rocket.Chat does: `password_login(..., wraps=True)` (K35)."""
    return error.error in ("totp-required", "totp-invalid")


def token_may_be_valid(error: MethodError) -> bool:
    """Return whether a login failed for a reason that says nothing about its token: a rate limit or a server error (A54)."""
    return error.error == "too-many-requests" or (isinstance(error.error, int) and error.error >= 500)


def digest(password: str) -> dict[str, str]:
    """Hash a password as Meteor's client does: `{"digest": "<SHA-256 in hexadecimal>", "algorithm": "sha-256"}` (A20).

    The hash is that of the text in CESU-8, which encodes each half of a surrogate pair by itself. Beyond U+FFFF it differs
    from the hash of UTF-8. The password is neither trimmed nor normalized (A21).
    """
    units = password.encode("utf-16-be", "surrogatepass")
    halves = "".join(chr(units[index] << 8 | units[index + 1]) for index in range(0, len(units), 2))
    return {"digest": hashlib.sha256(halves.encode("utf-8", "surrogatepass")).hexdigest(), "algorithm": "sha-256"}
