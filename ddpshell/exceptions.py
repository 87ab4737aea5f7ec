"""Every error that ddpshell raises.

    DDPError
    ├─ ProtocolError
    │  ├─ LocalProtocolError     our caller broke the protocol's rules
    │  └─ RemoteProtocolError    the peer did
    ├─ EJSONError                a value or a text that is not EJSON (also ValueError)
    ├─ InvalidURL                no address of a DDP server, or of a proxy (also ValueError)
    ├─ LoginNeeded               somebody must be logged in, and nobody is
    ├─ MessageTooLarge           a message of the server's is larger than the client takes
    ├─ NegotiationError          no common protocol version; never retried
    ├─ QueryError                a selector, sort order, projection or modifier that is none (also ValueError)
    ├─ ServerError               the server answered with an error
    │  ├─ MethodError
    │  │  ├─ LoginError          who one claims to be was not believed
    │  │  │  ├─ LoginLost        a call was not sent, since its user could not be logged in again
    │  │  │  └─ TwoFactorError   a one-time code is missing, or wrong
    │  │  └─ RateLimited         too many calls; it says when to come back
    │  └─ SubscriptionError
    ├─ TransportError            no answer, because of the network
    │  ├─ ConnectError           the connection was never established
    │  ├─ ConnectionLost         it was, and is gone
    │  ├─ OutcomeUnknown         it went while a call was under way
    │  ├─ ClientClosed           we ended it ourselves
    │  └─ DDPTimeout             (also TimeoutError)
    └─ CommandError              a line typed at the shell, or an argument, that cannot be understood

A class exists where some caller branches on it. Errors carry fields; `str()` makes the sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ClientClosed",
    "CommandError",
    "ConnectError",
    "ConnectionLost",
    "DDPError",
    "DDPTimeout",
    "EJSONError",
    "InvalidURL",
    "LocalProtocolError",
    "LoginError",
    "LoginLost",
    "LoginNeeded",
    "MessageTooLarge",
    "MethodError",
    "NegotiationError",
    "OutcomeUnknown",
    "ProtocolError",
    "QueryError",
    "RateLimited",
    "RemoteProtocolError",
    "ServerError",
    "SubscriptionError",
    "TransportError",
    "TwoFactorError",
]


class DDPError(Exception):
    """Anything that ddpshell raises on purpose."""


class ProtocolError(DDPError):
    """The rules of DDP were broken."""


class LocalProtocolError(ProtocolError):
    """Our caller asked for something that the protocol's state forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that is not DDP, or not now."""


class EJSONError(DDPError, ValueError):
    """A value cannot be written as EJSON, or a text cannot be read as EJSON."""


class MessageTooLarge(DDPError):
    """A message of the server's is larger than the client takes. A method that it answers has run.

    Args:
        what: What the message is or answers, for the sentence.
        limit: Bytes: `max_message` of the client.
    """

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what = what
        self.limit = limit

    def __str__(self) -> str:
        size = f"{self.limit / (1 << 20):.4g} MiB" if self.limit >= 1 << 16 else f"{self.limit:,} bytes"
        return f"{self.what} is larger than {size}"


class QueryError(DDPError, ValueError):
    """A selector, sort order, projection or modifier is none, or asks for what is not known here."""


class InvalidURL(DDPError, ValueError):
    """A text is no address of a DDP server, or of a proxy. Nothing was sent.

    Args:
        url: The text, as given.
        problem: What is wrong with it, and what to write instead.
        what: What it was to be.
    """

    def __init__(self, url: str, problem: str, *, what: str = "server URL") -> None:
        super().__init__(url, problem)
        self.url = url
        self.problem = problem
        self.what = what

    def __str__(self) -> str:
        return f"bad {self.what} {self.url!r}: {self.problem}"


class LoginNeeded(DDPError):
    """Somebody must be logged in: nobody is, or what there was to log in with is of no use.

    Args:
        message: Why, in one sentence.
        hint: What to do next, on the command line.
        user: Who can log in instead, for advice in the shell; None if `hint` is right there too.
    """

    def __init__(self, message: str, *, hint: str = "", user: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.user = user


class NegotiationError(DDPError):
    """The server speaks no version of DDP that we do. Trying again cannot help.

    Args:
        proposed: The version that we proposed last.
        suggested: The version that the server's `failed` named.
    """

    def __init__(self, proposed: str, suggested: str) -> None:
        super().__init__(proposed, suggested)
        self.proposed = proposed
        self.suggested = suggested

    def __str__(self) -> str:
        # Meteor's own words (C4).
        return f"DDP version negotiation failed; server requested version {self.suggested}"


class ServerError(DDPError):
    """The server answered with an error; `error` is what to branch on.

    Raised in a method or a publication of `ddpshell.server`, it is sent to the client as it is.

    Args:
        error: The code, as the server sent it: a number or a string as a rule, but any JSON value is kept (C28).
        reason: One sentence for people as a rule, but any JSON value is kept (C28). None without one.
        details: Whatever else it said: plain JSON, not EJSON (C28).
        error_type: `Meteor.Error`, unless the server says otherwise.
    """

    def __init__(
        self,
        error: Any,
        reason: Any = None,
        details: Any = None,
        *,
        error_type: str = "Meteor.Error",
    ) -> None:
        super().__init__(error, reason, details)
        self.error = error
        self.reason = reason
        self.details = details
        self.error_type = error_type

    @property
    def time_to_reset(self) -> float | None:
        """Seconds after which a rate limit lets one try again, or None for other errors (S50)."""
        if self.error != "too-many-requests" or not isinstance(self.details, dict):
            return None
        milliseconds = self.details.get("timeToReset")
        if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
            return None
        return milliseconds / 1000

    @property
    def error_text(self) -> str:
        """`error` as text: a string as it stands, anything else as JSON."""
        return _as_text(self.error) or '""'

    @property
    def reason_text(self) -> str:
        """`reason` as text: a string as it stands, anything else as JSON; "" without one."""
        return "" if self.reason is None else _as_text(self.reason)

    def __str__(self) -> str:
        # As Meteor's client writes it (C28).
        reason = self.reason_text
        if reason and self.error is None:
            return reason
        return f"{reason} [{self.error_text}]" if reason else f"[{self.error_text}]"


class MethodError(ServerError):
    """A method call was answered with an error."""


class RateLimited(MethodError):
    """The method was called too often; `time_to_reset` says how many seconds to wait (S50)."""


class LoginError(MethodError):
    """The server did not accept a login: wrong password, unknown or expired token, forbidden (A25 - A28)."""


class LoginLost(LoginError):
    """A call was not sent, because the server refused the login that it waited for; it is not made without a user (A54)."""


class TwoFactorError(LoginError):
    """The password is right, and a one-time code is needed (A26, K35).

    `error` is `no-2fa-code` or `invalid-2fa-code`, and from Rocket.Chat `totp-required` or `totp-invalid`.
    """


class SubscriptionError(ServerError):
    """A subscription was refused, or ended with an error."""


class TransportError(DDPError):
    """The network, not the server's application, is why there is no answer."""


class ConnectError(TransportError):
    """No DDP session came about: name, TCP, TLS, HTTP upgrade or `connected` failed.

    Args:
        message: What happened, in one sentence.
        hint: What to try next, or None.
        retryable: False where the same attempt must fail again: a bad certificate, a refusal by status 4xx.
        status: The HTTP status of a refused upgrade, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool = True,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.retryable = retryable
        self.status = status


class ConnectionLost(TransportError):
    """An established connection is gone, and with it what waited for it unsent."""


class OutcomeUnknown(TransportError):
    """The connection went after a call was sent and before its result came.

    The server may or may not have run the method. Raised instead of sending the call again when the
    caller said `retry=False`, when reconnecting is off, and when the client is closed meanwhile.

    Args:
        method: The method's name.
        why: What happened to the connection.
    """

    def __init__(self, method: str, why: str) -> None:
        super().__init__(method, why)
        self.method = method
        self.why = why

    def __str__(self) -> str:
        return f"outcome of {self.method!r} unknown: {self.why} before its result arrived; it may or may not have run"


class ClientClosed(TransportError):
    """The client was closed by its owner before this could be sent or answered."""


class DDPTimeout(TransportError, TimeoutError):
    """What was waited for did not happen in time. It may still happen."""


class CommandError(DDPError):
    """A line of the shell, or an argument of the command line, cannot be understood.

    Args:
        message: What is wrong and what would be right, without position.
        text: The whole text.
        position: Index into `text` of the first character at fault.
    """

    def __init__(self, message: str, text: str = "", position: int | None = None) -> None:
        super().__init__(message, text, position)
        self.message = message
        self.text = text
        self.position = position

    @property
    def place(self) -> tuple[str, str] | None:
        """Of the line at fault, what stands before the fault and what begins there; None if nobody knows where.

        What is missing at the end is missing behind what is there, and not in an empty line below.
        """
        if self.position is None:
            return None
        is_below = self.position == len(self.text) and self.text.endswith("\n")
        fault = len(self.text.rstrip()) if is_below else self.position
        start = self.text.rfind("\n", 0, fault) + 1
        end = self.text.find("\n", fault)
        return self.text[start:fault], self.text[fault : end if end >= 0 else None]

    def __str__(self) -> str:
        return self.message


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    import json  # here, since nearly all codes and reasons are text

    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return repr(value)
