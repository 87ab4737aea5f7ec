"""Users, passwords and login tokens in memory, and Meteor's methods for them, to test clients that log in.

Passwords are stored as scrypt hashes, and tokens as the hashes that Meteor stores (A40).
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import random
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from ...clock import Clock
from ...ejson import EJSONValue
from ...exceptions import MethodError
from ...protocol.accounts import digest
from ...protocol.documents import Document
from ...protocol.random_stream import random_secret
from ..contexts import ConnectionHandle, MethodInvocation, Subscription
from ..handlers import MatchError, check
from ..registrations import Registrations
from .collection import Collection, Cursor

_random = random.SystemRandom().random

# One hash takes about 10 ms, which is enough for a server that is not meant for the internet.
_SCRYPT = {"n": 2**12, "r": 8, "p": 1}

_EXPIRY_INTERVAL = 600.0  # A42

#: The methods that Meteor limits, as far as they exist here (A34).
_LIMITED_METHODS = ("login", "createUser", "changePassword", "logoutOtherClients")

#: What a client can name a user by, and the paths of these fields.
_USER_PATHS = {"id": "_id", "username": "username", "email": "emails.address"}


class User(Struct, frozen=True):
    """A user of a new server.

    Args:
        password: The password in plain text; None for a user without a password.
        email: The email address, which counts as not verified.
        profile: More data to publish with the user.
        id: The user's id; random by default.
        code: The one-time code for each login with the password. It never changes, to make tests simple (A3, A26).
    """

    password: str | None = None
    email: str | None = None
    profile: Mapping[str, EJSONValue] | None = None
    id: str | None = None
    code: str | None = None


class AccountsOptions(Struct, frozen=True):
    """The settings of the accounts. Times are seconds.

    Args:
        ambiguous_errors: Reject all bad credentials with the same words, as Meteor 3 does (A25).
        allow_signup: Whether clients can create users with `createUser`.
        token_lifetime: How long a token is valid after the login that created it (A40).
        logout_others_delay: How long `logoutOtherClients` waits before it closes the other connections.
        rate_limit: Allow a connection only five attempts to log in within ten seconds (A34).
    """

    ambiguous_errors: bool = False
    allow_signup: bool = True
    token_lifetime: float = 90 * 86400.0
    logout_others_delay: float = 10.0
    rate_limit: bool = True


class Accounts:
    """The users of a server. `Server(users=...)` makes it.

    Args:
        registrations: The server's methods, publications and rate limits, to which the accounts add theirs.
        users: See `Server`.
        options: See `AccountsOptions`.
        clock: Source of the time of day.
        call_later: See `Server.call_later`.

    Attributes:
        users: The collection of users, with Meteor's fields. Its `services` fields have the hashes.
    """

    def __init__(
        self,
        registrations: Registrations,
        users: Mapping[str, str | User],
        options: AccountsOptions,
        clock: Clock,
        call_later: Callable[[float, Callable[[], object]], None],
    ) -> None:
        self.users = Collection("users")
        self._options = options
        self._clock = clock
        self._call_later = call_later
        self._lock = threading.RLock()
        #: The connections that are logged in, by id, each with the hash of its token.
        self._logged_in: dict[str, tuple[ConnectionHandle, str]] = {}
        for name, user in users.items():
            self.add(name, user)
        self._register(registrations)

    # ------------------------------------------------------------------------------------------- for the application

    def add(self, username: str, user: str | User) -> str:
        """Add a user, given as a `User` or as a password. Returns the id."""
        spec = User(password=user) if isinstance(user, str) else user
        options = {"username": username, "email": spec.email, "profile": spec.profile, "password": spec.password}
        return self._create(options, id_=spec.id, code=spec.code)

    def user(self, user_id: str | None) -> Document | None:
        """Return the user with this id, which a method finds in `this.user_id`; None if there is no such user."""
        return self.users.find_one(user_id) if user_id is not None else None

    def expire_tokens(self) -> None:
        """Delete expired tokens, and close the connections that use them (A42)."""
        oldest = self._now() - dt.timedelta(seconds=self._options.token_lifetime)
        for user in self.users.find():
            self._remove_tokens(user, lambda token: token["when"] <= oldest)

    def start_expiry(self) -> None:
        """Expire tokens every ten minutes until the server stops. The server calls it when it starts."""

        def expire() -> None:
            self.expire_tokens()
            self.start_expiry()

        self._call_later(_EXPIRY_INTERVAL, expire)

    # ------------------------------------------------------------------------------------------------ for clients

    def _register(self, registrations: Registrations) -> None:
        registrations.add_method("login", self._login)
        registrations.add_method("logout", self._logout)
        registrations.add_method("createUser", self._create_user)
        registrations.add_method("changePassword", self._change_password)
        registrations.add_method("getNewToken", self._get_new_token)
        registrations.add_method("removeOtherTokens", self._remove_other_tokens)
        registrations.add_method("logoutOtherClients", self._logout_other_clients)
        registrations.add_publication(None, self._publish_user)
        if self._options.rate_limit:
            registrations.rate_limiter.add_rule(
                {"type": "method", "name": lambda name: name in _LIMITED_METHODS, "connection_id": lambda _: True},
                limit=5,
                interval=10.0,
            )

    def _publish_user(self, sub: Subscription) -> Cursor | None:
        """Publish to each client its own user (A58)."""
        if sub.user_id is None:
            return None
        return self.users.find({"_id": sub.user_id}, fields={"username": 1, "emails": 1, "profile": 1})

    def _login(self, this: MethodInvocation, options: Any = None) -> EJSONValue:
        check(options, dict)
        # Meteor tries these keys in this order (A19).
        if options.get("resume"):
            return self._login_by_token(this, options["resume"])
        if options.get("password"):
            return self._login_by_password(this, options)
        raise MethodError(400, "Unrecognized options for login request")

    def _login_by_token(self, this: MethodInvocation, token: Any) -> EJSONValue:
        check(token, str)
        hashed = _hash_token(token)
        user = self.users.find_one({"services.resume.loginTokens.hashedToken": hashed})
        if user is None:
            raise MethodError(403, "You've been logged out by the server. Please log in again.")
        when = next(item["when"] for item in _tokens(user) if item["hashedToken"] == hashed)
        if self._now() > self._expires(when):
            raise MethodError(403, "Your session has expired. Please log in again.")
        self._use_token(this, str(user["_id"]), hashed)
        return {"id": user["_id"], "token": token, "tokenExpires": self._expires(when), "type": "resume"}

    def _login_by_password(self, this: MethodInvocation, options: dict[str, Any]) -> EJSONValue:
        if not set(options) <= {"user", "password", "code"}:
            raise MatchError(f"unknown keys in a password login: {', '.join(options)}")
        password = _checked_password(options["password"])
        code = options.get("code", "")
        check(code, str)
        user = self._find_user(options.get("user"))
        self._check_password(user, password)
        expected = _services(user).get("twoFactor")
        if expected is not None and "code" not in options:
            raise MethodError("no-2fa-code", self._reason("2FA code must be informed"))
        if expected is not None and not _matches_hash(code, expected):
            raise MethodError("invalid-2fa-code", self._reason("Invalid 2FA code"))
        return {**self._log_in(this, str(user["_id"]), self._now()), "type": "password"}

    def _create_user(self, this: MethodInvocation, options: Any = None) -> EJSONValue:
        check(options, dict)
        if not self._options.allow_signup:
            raise MethodError(403, "Signups forbidden")
        return {**self._log_in(this, self._create(options), self._now()), "type": "password"}

    def _logout(self, this: MethodInvocation) -> None:
        connection = this.connection
        if connection is not None:
            with self._lock:
                _, hashed = self._logged_in.pop(connection.id, (connection, None))
            user = self.user(this.user_id)
            if user is not None and hashed is not None:
                self._remove_tokens(user, lambda token: token["hashedToken"] == hashed)
        this.set_user_id(None)

    def _change_password(self, this: MethodInvocation, old: Any = None, new: Any = None) -> EJSONValue:
        old, new = _checked_password(old), _checked_password(new)
        user = self.user(this.user_id)
        if user is None:
            raise MethodError(401, "Must be logged in")
        self._check_password(user, old)
        self.users.update(str(user["_id"]), {"$set": {"services.password": _hash(_digest_of(new))}})
        self._remove_tokens_of_others(this, user)  # A44
        return {"passwordChanged": True}

    def _get_new_token(self, this: MethodInvocation) -> EJSONValue:
        user, own = self._logged_in_user(this)
        when = next((item["when"] for item in _tokens(user) if item["hashedToken"] == own), self._now())
        return self._log_in(this, str(user["_id"]), when)

    def _remove_other_tokens(self, this: MethodInvocation) -> None:
        user, _ = self._logged_in_user(this)
        self._remove_tokens_of_others(this, user)

    def _logout_other_clients(self, this: MethodInvocation) -> EJSONValue:
        """Log out all other clients after a delay, as Meteor 1 and 2 do. The caller must use the new token before that."""
        user, _ = self._logged_in_user(this)
        when = self._now()
        token = self._add_token(str(user["_id"]), when)
        hashed = _hash_token(token)

        def remove_others() -> None:
            current = self.user(str(user["_id"]))
            if current is not None:
                self._remove_tokens(current, lambda item: item["hashedToken"] != hashed and item["when"] <= when)

        self._call_later(self._options.logout_others_delay, remove_others)
        return {"token": token, "tokenExpires": self._expires(when)}

    def _create(self, options: Mapping[str, Any], *, id_: str | None = None, code: str | None = None) -> str:
        username, email = options.get("username"), options.get("email")
        for name in (username, email):
            if name is not None:
                check(name, str)
        if not username and not email:
            raise MethodError(400, "Need to set a username or email")
        services: Document = {}
        if options.get("password"):
            services["password"] = _hash(_digest_of(_checked_password(options["password"])))
        if code is not None:
            services["twoFactor"] = _hash(code)
        fields = {
            "_id": id_,
            "createdAt": self._now(),
            "services": services,
            "username": username or None,
            "emails": [{"address": email, "verified": False}] if email else None,
            "profile": options.get("profile"),
        }
        user = {name: value for name, value in fields.items() if value is not None}
        with self._lock:
            if username and self._by_name("username", username) is not None:
                raise MethodError(403, self._reason("Username already exists."))
            if email and self._by_name("emails.address", email) is not None:
                raise MethodError(403, self._reason("Email already exists."))
            return str(self.users.insert(user))

    def _find_user(self, query: Any) -> Document:
        check(query, dict)
        [(key, name)] = query.items() if len(query) == 1 else [("", "")]
        if key not in _USER_PATHS or not isinstance(name, str) or not name:
            raise MatchError("a user must be given by exactly one of username, email and id")
        user = self.user(name) if key == "id" else self._by_name(_USER_PATHS[key], name)
        if user is None:
            raise MethodError(403, self._reason("User not found"))
        return user

    def _by_name(self, path: str, name: str) -> Document | None:
        """Find a user by name. If there is no exact match, ignore case, unless several users match then."""
        exact = self.users.find_one({path: name})
        if exact is not None:
            return exact
        similar = [user for user in self.users.find() if name.lower() in (item.lower() for item in _names(user, path))]
        return similar[0] if len(similar) == 1 else None

    def _check_password(self, user: Document, password: str | dict[str, str]) -> None:
        stored = _services(user).get("password")
        if stored is None:
            raise MethodError(403, self._reason("User has no password set"))
        if not _matches_hash(_digest_of(password), stored):
            raise MethodError(403, self._reason("Incorrect password"))

    def _reason(self, reason: str) -> str:
        ambiguous = self._options.ambiguous_errors
        return "Something went wrong. Please check your credentials." if ambiguous else reason

    def _log_in(self, this: MethodInvocation, user_id: str, when: dt.datetime) -> dict[str, EJSONValue]:
        token = self._add_token(user_id, when)
        self._use_token(this, user_id, _hash_token(token))
        return {"id": user_id, "token": token, "tokenExpires": self._expires(when)}

    def _add_token(self, user_id: str, when: dt.datetime) -> str:
        token = random_secret(_random)
        stamped: Document = {"when": when, "hashedToken": _hash_token(token)}
        self.users.update(user_id, {"$push": {"services.resume.loginTokens": stamped}})
        return token

    def _use_token(self, this: MethodInvocation, user_id: str, hashed: str) -> None:
        connection = this.connection
        if connection is None:
            raise RuntimeError("only a client can log in")
        with self._lock:
            is_new = connection.id not in self._logged_in
            self._logged_in[connection.id] = (connection, hashed)
        if is_new:
            connection.on_close(lambda: self._remove_connection(connection.id))
        this.set_user_id(user_id)

    def _remove_connection(self, connection_id: str) -> None:
        with self._lock:
            self._logged_in.pop(connection_id, None)

    def _own_token(self, this: MethodInvocation) -> str | None:
        """Return the hash of the token that the client has logged in with."""
        with self._lock:
            _, hashed = self._logged_in.get(this.connection.id if this.connection is not None else "", (None, None))
        return hashed

    def _logged_in_user(self, this: MethodInvocation) -> tuple[Document, str]:
        own, user = self._own_token(this), self.user(this.user_id)
        if user is None or own is None:
            # The error has this sentence in place of a code (A31).
            raise MethodError("You are not logged in.")
        return user, own

    def _remove_tokens_of_others(self, this: MethodInvocation, user: Document) -> None:
        own = self._own_token(this)
        self._remove_tokens(user, lambda token: token["hashedToken"] != own)

    def _remove_tokens(self, user: Document, is_removed: Callable[[dict[str, Any]], bool]) -> None:
        """Delete some of a user's tokens, and close the connections that use them."""
        removed = [token["hashedToken"] for token in _tokens(user) if is_removed(token)]
        if not removed:
            return
        pulled = {"services.resume.loginTokens": {"hashedToken": {"$in": removed}}}
        self.users.update(str(user["_id"]), {"$pull": pulled})
        with self._lock:
            connections = [connection for connection, hashed in self._logged_in.values() if hashed in removed]
        for connection in connections:
            connection.close()

    def _now(self) -> dt.datetime:
        now = self._clock.wall()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _expires(self, when: dt.datetime) -> dt.datetime:
        return when + dt.timedelta(seconds=self._options.token_lifetime)


def _checked_password(password: Any) -> str | dict[str, str]:
    if isinstance(password, str) and password:
        return password
    if not (isinstance(password, dict) and set(password) == {"digest", "algorithm"}):
        raise MatchError("a password must be a string, or an object with digest and algorithm")
    check(password["digest"], str)
    check(password["algorithm"], str)
    return password


def _digest_of(password: str | dict[str, str]) -> str:
    if isinstance(password, str):
        return digest(password)["digest"]  # A21
    if password["algorithm"] != "sha-256":
        # Meteor answers this with error 500 (A32).
        raise ValueError(f"unknown password algorithm {password['algorithm']!r}")
    return password["digest"]


def _hash(text: str) -> Document:
    salt = secrets.token_bytes(16)
    return {"salt": salt, "scrypt": hashlib.scrypt(text.encode("utf-8", "surrogatepass"), salt=salt, **_SCRYPT)}


def _matches_hash(text: str, stored: Any) -> bool:
    again = hashlib.scrypt(text.encode("utf-8", "surrogatepass"), salt=stored["salt"], **_SCRYPT)
    return secrets.compare_digest(again, stored["scrypt"])


def _hash_token(token: str) -> str:
    return base64.b64encode(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()).decode()


def _services(user: Document) -> dict[str, Any]:
    services = user["services"]
    assert isinstance(services, dict)
    return services


def _tokens(user: Document) -> list[dict[str, Any]]:
    tokens: list[dict[str, Any]] = _services(user).get("resume", {}).get("loginTokens", [])
    return tokens


def _names(user: Document, path: str) -> list[str]:
    emails: Any = user.get("emails", [])
    return [str(user.get("username", ""))] if path == "username" else [email["address"] for email in emails]
