"""Logins of a client, and the token that each new session sends first (A50-A59)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from ..clock import Clock
from ..ejson import EJSONValue
from ..exceptions import DDPError, LoginError, MethodError, RemoteProtocolError, TwoFactorError
from ..protocol.accounts import (
    LoginToken,
    UserSelector,
    account_options,
    digest,
    login_error,
    login_token,
    password_login,
    resume_login,
    token_may_be_valid,
    wants_wrapped_code,
)
from ..protocol.client_session import ClientSession
from .events import CallAnswered, CallFinished, Connecting, Event, LoggedIn, LoggedOut
from .handles import Awaitable
from .runner import Runner


class _Operation(Struct, frozen=True):
    """A call of an accounts method that is not done.

    Args:
        answer: The future that the caller waits for.
        succeed: Called with the result of the method.
        fail: Called with the error.
        logs_in: Whether the result is a login.
        logs_out: Whether success means a logout.
    """

    answer: Awaitable[Any]
    succeed: Callable[[EJSONValue], None]
    fail: Callable[[BaseException], None]
    logs_in: bool = False
    logs_out: bool = False


class Accounts:
    """The user of one client. Made by `Client`, and kept as `Client.accounts`.

    Each method returns a future at once. The methods that log in return a future of the `LoginToken`; after that, each new
    session sends this token before anything else. A failed login leaves the earlier login in force; if there is none, the
    calls that wait for the login fail with the same error (A54).

    Args:
        session: The protocol state.
        runner: The owner of the lock and the thread.
        clock: Time source, to see when tokens expire.
    """

    def __init__(self, session: ClientSession, runner: Runner, clock: Clock) -> None:
        self._session = session
        self._runner = runner
        self._clock = clock
        self._operations: dict[str, _Operation] = {}
        self._token: LoginToken | None = None
        self._user_id: str | None = None
        # Whether the server has asked for one-time codes in Rocket.Chat's form (K35).
        self._wraps_codes = False

    @property
    def user_id(self) -> str | None:
        """The id of the user, or None. While the client reconnects, the user of the last session (A55)."""
        return self._user_id

    @property
    def token(self) -> LoginToken | None:
        """The token that the next session will send first. It is as secret as the password."""
        return self._token

    # Logging in

    def login(self, user: UserSelector, password: str, *, code: str | None = None) -> Awaitable[LoginToken]:
        """Log in with a password; only its digest is sent.

        Args:
            user: Name, e-mail address, or a mapping with one of `username`, `email`, `id`.
            password: The password as plain text.
            code: The one-time code, if the account uses two-factor authentication. It is sent in Meteor's form, and then
                in Rocket.Chat's form if the server asks for that.

        Returns:
            A future of the `LoginToken`. It fails with `LoginError` (or its subclass `TwoFactorError`), with `RateLimited`,
            or with the errors of any call.
        """
        options = password_login(user, password, code, wraps=self._wraps_codes)
        # A server that knows only the other form ignores the code, and asks for one.
        other = None if code is None or self._wraps_codes else password_login(user, password, code, wraps=True)
        return self._login("login", [options], other=other)

    def login_with_token(self, token: str) -> Awaitable[LoginToken]:
        """Log in with the token of an earlier login."""
        return self.login_with(resume_login(token))

    def login_with(self, options: Mapping[str, EJSONValue]) -> Awaitable[LoginToken]:
        """Log in with any options that the server's login handlers accept: OAuth, LDAP, a passwordless token (A5, A6).

        Args:
            options: The only argument of the method `login`, such as `{"oauth": {"credentialToken": ...}}`.
        """
        return self._login("login", [options])

    def create_user(
        self,
        password: str,
        *,
        username: str | None = None,
        email: str | None = None,
        profile: Mapping[str, EJSONValue] | None = None,
    ) -> Awaitable[LoginToken]:
        """Create an account, and log in as its user (A7).

        Args:
            password: The password as plain text; only its digest is sent.
            username: The user name. The server needs a user name or an e-mail address.
            email: The e-mail address.
            profile: Other facts about the user.
        """
        options = account_options(password, username=username, email=email, profile=profile)
        return self._login("createUser", [options], retry=False)

    def reset_password(self, token: str, new_password: str) -> Awaitable[LoginToken]:
        """Set a new password with the token from the mail that `forgot_password` requested, and log in (A10)."""
        return self._login("resetPassword", [token, digest(new_password)], retry=False)

    def verify_email(self, token: str) -> Awaitable[LoginToken]:
        """Confirm an e-mail address with the token from the server's mail, and log in (A11)."""
        return self._login("verifyEmail", [token], retry=False)

    # Being logged in

    def logout(self) -> Awaitable[Any]:
        """Log out; the server deletes the token (A43)."""
        return self._call_method("logout", [], logs_out=True)

    def logout_other_clients(self) -> Awaitable[Any]:
        """Get a new token; the server deletes all other tokens and closes their connections (A22)."""
        self._login("getNewToken", [])
        return self._call_method("removeOtherTokens", [], wait=True)

    def change_password(self, old_password: str, new_password: str) -> Awaitable[Any]:
        """Change the password; the server deletes the user's other tokens and keeps this one (A8, A44)."""
        params = [digest(old_password), digest(new_password)]
        return self._call_method("changePassword", params, wait=False, retry=False)

    def forgot_password(self, email: str) -> Awaitable[Any]:
        """Ask the server to send a mail with a token for `reset_password` (A9)."""
        return self._call_method("forgotPassword", [{"email": email}], wait=False)

    def resume_from(self, token: LoginToken) -> None:
        """Start the first session with a saved token. Call this right after making the client (A57).

        A token that expires soon is not sent (A41).
        """
        with self._runner.lock:
            if token.expires_soon(self._clock.wall()):
                self._set_token(None)
                self._session.fail_waiting_calls(LoginError(403, "the login has expired"))
            else:
                self._set_token(token)

    # For the client

    def handle_event(self, event: Event) -> Iterator[Event]:
        """Handle an event without holding the lock, and yield the events that follow from it."""
        match event:
            case CallAnswered(id=call_id, error=None) if self._is_login(call_id):
                # Log in when the result arrives: a call that has its result is not sent again (A50).
                yield from self._log_in(event.result)
            case CallFinished():
                yield from self._handle_finished(event)
            case Connecting():
                # A token that expires soon is dropped, and the client is logged out (A41).
                if self._token is not None and self._token.expires_soon(self._clock.wall()):
                    ended = LoginError(403, "the login has expired")
                    with self._runner.lock:
                        self._set_token(None)
                        self._session.fail_waiting_calls(ended)
                    yield from self._log_out(ended)
            case _:
                pass

    # Inside

    def _login(
        self,
        method: str,
        params: Sequence[EJSONValue],
        *,
        retry: bool = True,
        other: EJSONValue = None,
    ) -> Awaitable[LoginToken]:
        answer: Awaitable[LoginToken] = self._awaitable(method)

        def succeed(result: EJSONValue) -> None:
            token = login_token(result, self._clock.wall())
            if token is None:
                answer.fail(RemoteProtocolError(f"{method!r} succeeded, but its result is not a valid login"))
            else:
                answer.fulfill(token)

        def fail(error: BaseException) -> None:
            if isinstance(error, TwoFactorError):
                self._wraps_codes = wants_wrapped_code(error)
                if other is not None and error.error == "totp-required":
                    again = _Operation(answer, succeed, answer.fail, logs_in=True)
                    self._send(method, [other], again, wait=True, retry=retry)
                    return
            answer.fail(error)

        self._send(method, params, _Operation(answer, succeed, fail, logs_in=True), wait=True, retry=retry)
        return answer

    def _call_method(
        self,
        method: str,
        params: Sequence[EJSONValue],
        *,
        logs_out: bool = False,
        wait: bool = True,
        retry: bool = True,
    ) -> Awaitable[Any]:
        answer: Awaitable[Any] = self._awaitable(method)
        operation = _Operation(answer, answer.fulfill, answer.fail, logs_out=logs_out)
        self._send(method, params, operation, wait=wait, retry=retry)
        return answer

    def _awaitable(self, method: str) -> Awaitable[Any]:
        return Awaitable("answer to %r", method, self._runner.on_thread, self._runner.refusal, self._early_answer)

    def _early_answer(self, answer: Awaitable[Any]) -> Callable[[], None] | None:
        """Return a function that completes an operation with its unconfirmed answer, or None if there is no answer."""
        with self._runner.lock:
            for call_id, operation in self._operations.items():
                if operation.answer is answer and (event := self._session.answer(call_id)) is not None:
                    return partial(_complete, operation, event)
        return None

    def _send(
        self, method: str, params: Sequence[EJSONValue], operation: _Operation, *, wait: bool, retry: bool
    ) -> None:
        logs_in = True if operation.logs_in else False if operation.logs_out else None
        with self._runner.lock:
            failure = self._runner.locked_failure()
            if failure is None:
                call_id = self._session.call(method, params, wait=wait, retry=retry, logs_in=logs_in)
                self._operations[call_id] = operation
                self._runner.wake_thread()
        if failure is not None:
            operation.fail(failure)

    def _is_login(self, call_id: str) -> bool:
        operation = self._operations.get(call_id)
        return call_id == self._session.opening_login if operation is None else operation.logs_in

    def _handle_finished(self, event: CallFinished) -> Iterator[Event]:
        operation = self._operations.pop(event.id, None)
        if operation is None:
            if isinstance(event.error, MethodError) and event.id == self._session.opening_login:
                # The login at the beginning of a session failed (A27, A42, A54).
                if not token_may_be_valid(event.error):
                    self._forget_token()
                yield from self._log_out(login_error(event.error))
            return
        if event.error is None and operation.logs_out:
            self._forget_token()
            yield from self._log_out(None)
        _complete(operation, event)

    def _log_in(self, result: EJSONValue) -> Iterator[Event]:
        token = login_token(result, self._clock.wall())
        if token is None:
            return
        with self._runner.lock:
            self._set_token(token)
        before, self._user_id = self._user_id, token.user_id
        if before != token.user_id:
            yield LoggedIn(token.user_id)

    def _log_out(self, error: DDPError | None) -> Iterator[Event]:
        before, self._user_id = self._user_id, None
        if before is not None or error is not None:
            yield LoggedOut(error)

    def _forget_token(self) -> None:
        with self._runner.lock:
            self._set_token(None)

    def _set_token(self, token: LoginToken | None) -> None:
        """Change the token. The caller holds the lock."""
        self._token = token
        params = None if token is None else [resume_login(token.token)]
        self._session.set_opening_login(params)


def _complete(operation: _Operation, event: CallFinished | CallAnswered) -> None:
    if event.error is None:
        operation.succeed(event.result)
    elif operation.logs_in and isinstance(event.error, MethodError):
        operation.fail(login_error(event.error))
    else:
        operation.fail(event.error)
