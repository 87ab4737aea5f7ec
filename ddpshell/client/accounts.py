"""Who a client is to its server: logins, and the token by which every new session resumes (A50-A59)."""

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

__all__ = ["Accounts"]


class _Operation(Struct, frozen=True):
    """A method of the accounts packages that is under way.

    Args:
        answer: What its caller waits for.
        fulfil: Takes what it returned.
        fail: Takes why it did not.
        logs_in: Whether its result is a login.
        logs_out: Whether its success is a logout.
    """

    answer: Awaitable[Any]
    fulfil: Callable[[EJSONValue], None]
    fail: Callable[[BaseException], None]
    logs_in: bool = False
    logs_out: bool = False


class Accounts:
    """The user of one client. Made by `Client`, and kept as `Client.accounts`.

    Every method returns at once, a future. Those that log in give the `LoginToken`; from then on each new
    session begins with that token, before anything else is sent. A failed login leaves the one before in force; if
    there is none, the calls that wait for the login fail with it (A54).

    Args:
        session: What is said.
        runner: Its lock, and its thread.
        clock: For the end of tokens.
        failure: Why nothing can be sent, if nothing can.
    """

    def __init__(
        self,
        session: ClientSession,
        runner: Runner,
        clock: Clock,
        failure: Callable[[], DDPError | None],
    ) -> None:
        self._session = session
        self._runner = runner
        self._clock = clock
        self._failure = failure
        self._operations: dict[str, _Operation] = {}
        self._token: LoginToken | None = None
        self._user_id: str | None = None
        # Whether the server wants one-time codes in Rocket.Chat's form, as far as it has said (K35).
        self._wraps_codes = False

    @property
    def user_id(self) -> str | None:
        """Who one is, or None. While a new session is being made, who one was (A55)."""
        return self._user_id

    @property
    def token(self) -> LoginToken | None:
        """What the next session will begin with: worth as much as the password."""
        return self._token

    # Logging in

    def login(self, user: UserSelector, password: str, *, code: str | None = None) -> Awaitable[LoginToken]:
        """Log in with a password; only its digest is sent.

        Args:
            user: Name, e-mail address, or a mapping with one of `username`, `email`, `id`.
            password: In the clear.
            code: The one-time code, where the account has two factors. It is sent in Meteor's form, and once more in
                Rocket.Chat's if the server asks for that.

        Returns:
            A future of the `LoginToken`. It fails with `LoginError`, of which `TwoFactorError` is one, or with
            `RateLimited`, or as any call may.
        """
        options = password_login(user, password, code, wraps=self._wraps_codes)
        # If the server knows only the other form, it says so by asking for a code as if there were none.
        other = None if code is None or self._wraps_codes else password_login(user, password, code, wraps=True)
        return self._login("login", [options], other=other)

    def login_with_token(self, token: str) -> Awaitable[LoginToken]:
        """Log in with the token of an earlier login."""
        return self.login_with(resume_login(token))

    def login_with(self, options: Mapping[str, EJSONValue]) -> Awaitable[LoginToken]:
        """Log in with whatever the server's login handlers take: OAuth, LDAP, a passwordless token (A5, A6).

        Args:
            options: The one argument of `login`, such as `{"oauth": {"credentialToken": ...}}`.
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
        """Make an account, and log in as its user (A7). It needs a name or an e-mail address."""
        options = account_options(password, username=username, email=email, profile=profile)
        return self._login("createUser", [options], retry=False)

    def reset_password(self, token: str, new_password: str) -> Awaitable[LoginToken]:
        """Set a new password with the token of the mail that `forgot_password` sent, and log in (A10)."""
        return self._login("resetPassword", [token, digest(new_password)], retry=False)

    def verify_email(self, token: str) -> Awaitable[LoginToken]:
        """Confirm an e-mail address with the token of the mail, and log in (A11)."""
        return self._login("verifyEmail", [token], retry=False)

    # Being logged in

    def logout(self) -> Awaitable[EJSONValue]:
        """Log out; the server forgets the token (A43)."""
        return self._call("logout", [], logs_out=True)

    def logout_other_clients(self) -> Awaitable[EJSONValue]:
        """Get a new token, and have the server forget all others and close their connections (A22)."""
        self._login("getNewToken", [])
        return self._call("removeOtherTokens", [], wait=True)

    def change_password(self, old_password: str, new_password: str) -> Awaitable[EJSONValue]:
        """Change one's password; other tokens are forgotten, one's own is kept (A8, A44)."""
        params = [digest(old_password), digest(new_password)]
        return self._call("changePassword", params, wait=False, retry=False)

    def forgot_password(self, email: str) -> Awaitable[EJSONValue]:
        """Have the server send a mail with a token for `reset_password` (A9)."""
        return self._call("forgotPassword", [{"email": email}], wait=False)

    def resume_from(self, token: LoginToken) -> None:
        """Begin the first session with a token kept from an earlier run; call it right after making the client (A57).

        One that ends soon is not tried (A41).
        """
        with self._runner.lock:
            if token.expires_soon(self._clock.wall()):
                self._adopt(None)
                self._session.fail_waiting_calls(LoginError(403, "the login has expired"))
            else:
                self._adopt(token)

    # For the client

    def hear(self, event: Event) -> Iterator[Event]:
        """Take an event, without the lock, and give those that follow from it, each before it is acted upon."""
        match event:
            case CallAnswered(id=call_id, error=None) if self._is_login(call_id):
                # As soon as the result is here: a call that has its result is not sent again (A50).
                yield from self._logged_in(event.result)
            case CallFinished():
                yield from self._finish(event)
            case Connecting():
                # A token that ends soon is dropped, and one acts logged out (A41).
                if self._token is not None and self._token.expires_soon(self._clock.wall()):
                    ended = LoginError(403, "the login has expired")
                    with self._runner.lock:
                        self._adopt(None)
                        self._session.fail_waiting_calls(ended)
                    yield from self._logged_out(ended)
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

        def fulfil(result: EJSONValue) -> None:
            token = login_token(result, self._clock.wall())
            if token is None:
                answer.fail(RemoteProtocolError(f"{method!r} succeeded, but its result is no login"))
            else:
                answer.fulfil(token)

        def fail(error: BaseException) -> None:
            if isinstance(error, TwoFactorError):
                self._wraps_codes = wants_wrapped_code(error)
                if other is not None and error.error == "totp-required":
                    again = _Operation(answer, fulfil, answer.fail, logs_in=True)
                    self._send(method, [other], again, wait=True, retry=retry)
                    return
            answer.fail(error)

        self._send(method, params, _Operation(answer, fulfil, fail, logs_in=True), wait=True, retry=retry)
        return answer

    def _call(
        self,
        method: str,
        params: Sequence[EJSONValue],
        *,
        logs_out: bool = False,
        wait: bool = True,
        retry: bool = True,
    ) -> Awaitable[EJSONValue]:
        answer: Awaitable[EJSONValue] = self._awaitable(method)
        operation = _Operation(answer, answer.fulfil, answer.fail, logs_out=logs_out)
        self._send(method, params, operation, wait=wait, retry=retry)
        return answer

    def _awaitable(self, method: str) -> Awaitable[Any]:
        return Awaitable("answer to %r", method, self._runner.on_thread, self._runner.refusal, self._answered)

    def _answered(self, answer: Awaitable[Any]) -> Callable[[], None] | None:
        """What completes an operation whose answer is here, but whose writes are not confirmed; None if it is not here."""
        with self._runner.lock:
            for call_id, operation in self._operations.items():
                if operation.answer is answer and (event := self._session.answer(call_id)) is not None:
                    return partial(_conclude, operation, event)
        return None

    def _send(
        self, method: str, params: Sequence[EJSONValue], operation: _Operation, *, wait: bool, retry: bool
    ) -> None:
        logs_in = True if operation.logs_in else False if operation.logs_out else None
        with self._runner.lock:
            failure = self._failure()
            if failure is None:
                call_id = self._session.call(method, params, wait=wait, retry=retry, logs_in=logs_in)
                self._operations[call_id] = operation
                self._runner.kick()
        if failure is not None:
            operation.fail(failure)

    def _is_login(self, call_id: str) -> bool:
        operation = self._operations.get(call_id)
        return call_id == self._session.opening_login if operation is None else operation.logs_in

    def _finish(self, event: CallFinished) -> Iterator[Event]:
        operation = self._operations.pop(event.id, None)
        if operation is None:
            if isinstance(event.error, MethodError) and event.id == self._session.opening_login:
                yield from self._refused(event.error)
            return
        if event.error is None and operation.logs_out:
            self._forget()
            yield from self._logged_out(None)
        _conclude(operation, event)

    def _logged_in(self, result: EJSONValue) -> Iterator[Event]:
        token = login_token(result, self._clock.wall())
        if token is None:
            return
        with self._runner.lock:
            self._adopt(token)
        before, self._user_id = self._user_id, token.user_id
        if before != token.user_id:
            yield LoggedIn(token.user_id)

    def _refused(self, error: MethodError) -> Iterator[Event]:
        """The login at the beginning of a session failed (A27, A42, A54)."""
        if not token_may_be_valid(error):
            self._forget()
        yield from self._logged_out(login_error(error))

    def _logged_out(self, error: DDPError | None) -> Iterator[Event]:
        before, self._user_id = self._user_id, None
        if before is not None or error is not None:
            yield LoggedOut(error)

    def _forget(self) -> None:
        with self._runner.lock:
            self._adopt(None)

    def _adopt(self, token: LoginToken | None) -> None:
        """With the lock held."""
        self._token = token
        params = None if token is None else [resume_login(token.token)]
        self._session.set_opening_login(params)


def _conclude(operation: _Operation, event: CallFinished | CallAnswered) -> None:
    if event.error is None:
        operation.fulfil(event.result)
    elif operation.logs_in and isinstance(event.error, MethodError):
        operation.fail(login_error(event.error))
    else:
        operation.fail(event.error)
