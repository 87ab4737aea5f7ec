"""All exceptions that ddpshell raises.

    DDPError
    ├─ ProtocolError
    │  ├─ LocalProtocolError     the caller broke the rules of the protocol
    │  └─ RemoteProtocolError    the peer broke the rules of the protocol
    ├─ EJSONError                a value or a text is not valid EJSON (also ValueError)
    ├─ InvalidURL                a text is not the address of a DDP server or of a proxy (also ValueError)
    ├─ LoginNeeded               a user must be logged in, and there is no usable login
    ├─ MessageTooLarge           a message of the server exceeds the client's limit
    ├─ NegotiationError          there is no common protocol version; never retried
    ├─ QueryError                a selector, sort order, projection or modifier is invalid (also ValueError)
    ├─ RecordingError            a file is not a recording (also ValueError)
    ├─ ServerError               the server answered with an error
    │  ├─ MethodError
    │  │  ├─ LoginError          the server rejected a login
    │  │  │  ├─ LoginLost        a call was not sent, because the login that it waited for was rejected
    │  │  │  └─ TwoFactorError   a one-time code is missing or wrong
    │  │  └─ RateLimited         too many calls; the error says when to try again
    │  └─ SubscriptionError
    ├─ TransportError            there is no answer, because of the network
    │  ├─ ConnectError           the connection could not be established
    │  ├─ ConnectionLost         an established connection was lost
    │  ├─ OutcomeUnknown         the connection was lost during a call
    │  ├─ ClientClosed           the client was closed
    │  └─ DDPTimeout             (also TimeoutError)
    └─ CommandError              a line of the shell, or an argument, is invalid

Errors carry fields; `str()` makes a sentence of them. `ddpshell.advice` says what the user can do next.
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
    "RecordingError",
    "RemoteProtocolError",
    "ServerError",
    "SubscriptionError",
    "TransportError",
    "TwoFactorError",
]


class DDPError(Exception):
    """The base class of all exceptions that ddpshell raises on purpose."""


class ProtocolError(DDPError):
    """A rule of DDP was broken."""


class LocalProtocolError(ProtocolError):
    """The caller requested something that the state of the protocol does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that is not DDP, or that is not allowed in the present state."""


class EJSONError(DDPError, ValueError):
    """A value is not an EJSON value, or a text is not valid EJSON."""


class MessageTooLarge(DDPError):
    """A message of the server exceeds the client's limit. If the message answers a method call, the method has run.

    Args:
        what: What the message is or answers, for the sentence.
        limit: The limit in bytes: `max_message` of the client.
    """

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what = what
        self.limit = limit

    def __str__(self) -> str:
        size = f"{self.limit / (1 << 20):.4g} MiB" if self.limit >= 1 << 16 else f"{self.limit:,} bytes"
        return f"{self.what} is larger than {size}"


class QueryError(DDPError, ValueError):
    """A selector, sort order, projection or modifier is invalid or not supported."""


class RecordingError(DDPError, ValueError):
    """A file is neither a recording nor another file with frames that can be read."""


class InvalidURL(DDPError, ValueError):
    """A text is not the address of a DDP server or of a proxy. Nothing was sent.

    Args:
        url: The text.
        problem: What is wrong with it, and what to write instead.
        what: What the text should be.
    """

    def __init__(self, url: str, problem: str, *, what: str = "server URL") -> None:
        super().__init__(url, problem)
        self.url = url
        self.problem = problem
        self.what = what

    def __str__(self) -> str:
        return f"invalid {self.what} {self.url!r}: {self.problem}"


class LoginNeeded(DDPError):
    """A user must be logged in, and there is no usable login.

    Args:
        message: The reason, in one sentence.
        problem: A key of `advice.LOGIN_ADVICE`.
        user: The user who can log in; None if that can be any user.
        option: The option that takes the place of a question, such as `--password-file`.
    """

    def __init__(
        self,
        message: str,
        *,
        problem: str = "not logged in",
        user: str | None = None,
        option: str = "",
    ) -> None:
        super().__init__(message)
        self.problem = problem
        self.user = user
        self.option = option


class NegotiationError(DDPError):
    """The server does not speak any version of DDP that the client speaks. Trying again cannot help.

    Args:
        proposed: The version that the client proposed last.
        suggested: The version that the server asked for.
    """

    def __init__(self, proposed: str, suggested: str) -> None:
        super().__init__(proposed, suggested)
        self.proposed = proposed
        self.suggested = suggested

    def __str__(self) -> str:
        # The sentence of Meteor's client (C4).
        return f"DDP version negotiation failed; server requested version {self.suggested}"


class ServerError(DDPError):
    """The server answered with an error. Programs should branch on `error`.

    A method or a publication of `ddpshell.server` can raise it; it is sent to the client unchanged.

    Args:
        error: The code: usually a number or a string, but any JSON value is possible (C28).
        reason: Usually a sentence, but any JSON value is possible (C28). None if there is none.
        details: Additional data of the server: plain JSON, not EJSON (C28).
        error_type: `Meteor.Error`, unless the server sends another type.
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
        """Seconds until a rate limit allows another attempt; None for other errors (S50)."""
        if self.error != "too-many-requests" or not isinstance(self.details, dict):
            return None
        milliseconds = self.details.get("timeToReset")
        if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
            return None
        return milliseconds / 1000

    @property
    def error_text(self) -> str:
        """`error` as text: a string unchanged, any other value as JSON."""
        return _as_text(self.error) or '""'

    @property
    def reason_text(self) -> str:
        """`reason` as text: a string unchanged, any other value as JSON; "" if there is none."""
        return "" if self.reason is None else _as_text(self.reason)

    def __str__(self) -> str:
        # The sentence of Meteor's client (C28).
        reason = self.reason_text
        if reason and self.error is None:
            return reason
        return f"{reason} [{self.error_text}]" if reason else f"[{self.error_text}]"


class MethodError(ServerError):
    """A method failed."""


class RateLimited(MethodError):
    """The method was called too often. `time_to_reset` is the number of seconds to wait (S50)."""


class LoginError(MethodError):
    """The server rejected a login: wrong password, unknown or expired token, forbidden user (A25-A28)."""


class LoginLost(LoginError):
    """A call was not sent, because the server rejected the login that it waited for. It must not run without a user (A54)."""


class TwoFactorError(LoginError):
    """The password is right, but a one-time code is missing or wrong (A26, K35).

    `error` is `no-2fa-code` or `invalid-2fa-code`; Rocket.Chat sends `totp-required` or `totp-invalid`.
    """


class SubscriptionError(ServerError):
    """A subscription was rejected, or ended with an error."""


class TransportError(DDPError):
    """There is no answer because of the network, not because of the server's application."""


class ConnectError(TransportError):
    """The connection could not be established: DNS, TCP, TLS, HTTP upgrade or `connected` failed.

    Args:
        message: What happened, in one sentence.
        problem: The kind of problem, such as "refused": a key of `ddpshell.advice.CONNECT_ADVICE`, or "".
        detail: A value for the advice, such as the URL of a redirect.
        retryable: False if the same attempt must fail again, for example because of an untrusted certificate or a status 4xx.
        status: The HTTP status of a rejected upgrade, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        problem: str = "",
        detail: str = "",
        retryable: bool = True,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.problem = problem
        self.detail = detail
        self.retryable = retryable
        self.status = status


class ConnectionLost(TransportError):
    """An established connection was lost, and with it whatever waited to be sent on it."""


class OutcomeUnknown(TransportError):
    """The connection was lost after a call was sent and before its result arrived.

    The server may or may not have run the method. It is raised instead of sending the call again if the caller passed
    `retry=False`, if reconnecting is off, or if the client was closed meanwhile.

    Calls follow `connect` at once. So this is also the error if the server accepts the connection, but does not establish a
    session: `connect_error` says more then.

    Args:
        method: The name of the method.
        why: What happened to the connection.
        connect_error: Why the client cannot connect, or None if it had a session.
    """

    def __init__(self, method: str, why: str, connect_error: ConnectError | None = None) -> None:
        super().__init__(method, why)
        self.method = method
        self.why = why
        self.connect_error = connect_error

    def __str__(self) -> str:
        when = "" if self.connect_error is not None else " before its result arrived"
        return f"outcome of {self.method!r} unknown: {self.why}{when}; the method may or may not have run"


class ClientClosed(TransportError):
    """The client was closed before the request could be sent or answered."""


class DDPTimeout(TransportError, TimeoutError):
    """The awaited event did not happen in time. It may still happen.

    Attributes:
        is_connected: Whether there was a session, as far as is known.
    """

    is_connected = True


class CommandError(DDPError):
    """A line of the shell, or an argument of the command line, is invalid.

    Args:
        message: What is wrong and what to write instead, without the position.
        text: The whole text.
        position: Index of the first wrong character in `text`.
    """

    def __init__(self, message: str, text: str = "", position: int | None = None) -> None:
        super().__init__(message, text, position)
        self.message = message
        self.text = text
        self.position = position

    @property
    def place(self) -> tuple[str, str] | None:
        """The parts of the wrong line before and from `position`; None if the position is unknown.

        An error at the end of the text is in the last line that is not empty.
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
