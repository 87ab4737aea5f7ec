"""A client for one command: connects it, logs in, waits for answers, reports events, and always closes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from ..client import Awaitable, Client, ConnectionState, TLSOptions
from ..client.events import (
    Connecting,
    ConnectionDropped,
    ConnectionFailed,
    Event,
    FrameReceived,
    FrameSent,
    SessionEstablished,
    Waiting,
    Warned,
)
from ..exceptions import (
    ClientClosed,
    ConnectError,
    DDPError,
    DDPTimeout,
    LoginError,
    OutcomeUnknown,
    TransportError,
)
from ..protocol.server_error import quoted
from .credentials import find_credential, read_passphrase, warn_of_exposed_passwords, warn_of_insecure
from .event_queue import EventQueue, wait_until_done
from .process import Process
from .settings import ConnectionSettings

Value = TypeVar("Value")

# Seconds between two attempts of --wait-for-server.
_PAUSE = 0.25

# The events and the states that end the wait for a session.
_DECISIVE = (SessionEstablished, ConnectionFailed)
_DECIDED = (ConnectionState.CONNECTED, ConnectionState.FAILED)


@contextlib.contextmanager
def connected(
    process: Process,
    settings: ConnectionSettings,
    watch: Callable[[Event], object] | None = None,
    *,
    as_user: bool = True,
    **options: Any,
) -> Iterator[Client]:
    """Give a client that is connecting, and close it after the `with` block. If there is a login, it is logged in already.

    Args:
        process: The run of `ddp`.
        settings: The settings of the connection.
        watch: Called with every event in the client's thread.
        as_user: Whether to log in.
        options: Further arguments of `Client`, such as `data_events`.

    Raises:
        InvalidURL: The URL in the settings is not valid.
        LoginNeeded: There is no usable login for the requested user, or the server rejected it.
    """
    credential = find_credential(process, settings) if as_user else None
    warn_of_exposed_passwords(process)
    warn_of_insecure(settings, process.console.warning)
    if settings.proxy is not None and process.options.get("verbose"):
        from ..client.network.proxy import parse_proxy

        process.console.note(f"connecting through the proxy {parse_proxy(settings.proxy).url}")
    reconnect = bool(settings.reconnect)
    passphrase = read_passphrase(process, settings)
    wait_for_server(process, settings, passphrase)
    with make_client(
        process,
        settings,
        passphrase=passphrase,
        reconnect=reconnect,
        on_event=EventReporter(process, watch, reconnect=reconnect),
        login_required=credential is not None,
        **options,
    ) as client:
        if credential is None:
            yield client
            return
        try:
            made = wait_for_outcome(credential.log_in(client), client, process, "answer to the login")
        except LoginError as error:
            raise credential.rejection(error) from None
        try:
            yield client
        finally:
            credential.end_login(client, made)


def wait_for_server(process: Process, settings: ConnectionSettings, passphrase: str) -> None:
    """Wait until the server can be reached, as long as --wait-for-server says. Without the option, do nothing.

    Each attempt is a connection without a login, which is closed again.

    Raises:
        ConnectError: The server cannot be reached in time, or for a reason that will not change.
        NegotiationError: The server speaks no version of DDP that the client speaks.
    """
    seconds = process.options.get("wait_for_server")
    if not seconds:
        return
    clock = process.clock
    end = clock.now() + seconds
    is_noted = False
    with process.paused(), EventQueue[None](clock) as queue:
        while True:
            left = max(end - clock.now(), 0.001)
            limited = settings.with_changes({"connect_timeout": min(settings.connect_timeout or left, left)})
            with make_client(
                process,
                limited,
                passphrase=passphrase,
                reconnect=False,
                on_event=lambda event: queue.put(None) if isinstance(event, _DECISIVE) else None,
                is_recorded=False,
            ) as client:
                while client.status.state not in _DECIDED:
                    queue.take_all()
                try:
                    client.wait_connected(0)
                except DDPError as error:
                    pause = min(clock.now() + _PAUSE, end)
                    if (
                        clock.now() >= end
                        or not isinstance(error, TransportError)
                        or not getattr(error, "retryable", True)
                    ):
                        add_url_hint(error, process)
                        raise
                    if not is_noted:
                        is_noted = True
                        process.console.note(f"waiting for the server: {error}")
                else:
                    return
            while clock.now() < pause:
                queue.take_all(pause)


def make_client(
    process: Process,
    settings: ConnectionSettings,
    *,
    passphrase: str,
    reconnect: bool,
    on_event: Callable[[Event], object],
    is_recorded: bool = True,
    **options: Any,
) -> Client:
    """Make a client.

    Args:
        process: The run of `ddp`.
        settings: The settings of the connection.
        passphrase: The result of `read_passphrase`.
        reconnect: Whether to reconnect after the connection is lost.
        on_event: Called with every event in the client's thread.
        is_recorded: Whether --record has its frames.
        options: Further arguments of `Client`, such as `login_required`.
    """
    recorder = process.open_recorder(settings.url) if is_recorded else None
    return Client(
        settings.url,
        **network_options(settings, passphrase),
        reconnect=reconnect,
        connect_timeout=settings.connect_timeout,
        debug=bool(process.options.get("debug")),
        clock=process.clock,
        on_event=on_event,
        frame_listener=recorder.listener() if recorder is not None else None,
        **options,
    )


def tls_options(settings: ConnectionSettings, passphrase: str) -> TLSOptions:
    """Return the TLS options. The passphrase is the result of `read_passphrase`."""
    return TLSOptions(
        cacert=settings.cacert,
        cert=settings.cert,
        key=settings.key,
        insecure=settings.insecure,
        servername=settings.servername,
        passphrase=passphrase,
    )


def network_options(settings: ConnectionSettings, passphrase: str) -> dict[str, Any]:
    """Return the arguments of `make_connector`, which are also arguments of `Client`."""
    return {
        "headers": settings.headers,
        "origin": settings.origin,
        "tls": tls_options(settings, passphrase),
        "proxy": settings.proxy,
        "ip_version": settings.ip_version,
        "user_agent": settings.user_agent,
        "max_message": settings.max_message,
    }


def wait_for_outcome(awaited: Awaitable[Value], client: Client, process: Process, what: str) -> Value:
    """Wait for an answer, as long as the time limit of the command allows.

    An answer is accepted even if the server has not confirmed its writes in that time (C79).

    Args:
        awaited: The answer.
        client: The client that waits for it.
        process: The run of `ddp`, with the time limit.
        what: The name of the answer for messages.

    Raises:
        DDPTimeout: There was no answer in time. The message says what the client is waiting for.
        DDPError: The answer is an error.
    """
    wait_until_done(awaited, process.clock, process.deadline)
    if awaited.settle():
        process.console.note(unconfirmed_note(what, process))
    try:
        return awaited.result(0)
    except DDPTimeout:
        raise timeout_error(what, client, process) from None
    except CancelledError:
        raise ClientClosed("the client is closed") from None
    except TransportError as error:
        add_url_hint(error, process)
        raise


def wait_for_session(client: Client, process: Process) -> None:
    """Wait until the client is connected, as long as the time limit of the command allows.

    Raises:
        DDPTimeout: The client is not connected yet.
        DDPError: The client has failed for good.
    """
    with EventQueue[None](process.clock) as queue:
        forget = client.on_event(lambda event: queue.put(None) if isinstance(event, _DECISIVE) else None)
        # The state is checked first, because the event may have come before the listener was added.
        while client.status.state not in _DECIDED and queue.take_all(process.deadline):
            pass
        forget()
    try:
        client.wait_connected(0)
    except DDPTimeout:
        raise timeout_error("session", client, process) from None
    except DDPError as error:
        add_url_hint(error, process)
        raise


def unconfirmed_note(what: str, process: Process) -> str:
    """Return the note for an answer whose writes the server did not confirm in time (C79)."""
    return f"the {what} has arrived, but the server did not confirm the writes within {process.timeout:g} s"


def timeout_error(what: str, client: Client, process: Process) -> DDPTimeout:
    """Return the error for an answer that did not arrive in time. Its message says what the client is waiting for."""
    status = client.status
    limit = f"within {process.timeout:g} s"
    if status.state is ConnectionState.CONNECTED:
        waits = (
            "it was not sent, because it waits for an earlier call"
            if status.unsent
            else "the server may still be working on it"
        )
        return DDPTimeout(f"no {what} {limit}{quoted(status.refusal) or f'; {waits}'}")
    because = f": {status.error}" if status.error is not None else ""
    # The call was sent together with `connect`, or on a connection that is lost.
    sent = "; the server may still run what was sent" if status.outstanding > status.unsent else ""
    late = DDPTimeout(f"no connection to {status.url} {limit}{because}{quoted(status.refusal)}{sent}")
    late.is_connected = False
    return late


def add_url_hint(error: BaseException, process: Process) -> None:
    """If the user has not named a server, add to the error how to do that."""
    if isinstance(error, OutcomeUnknown) and error.connect_error is not None:
        error = error.connect_error
    if isinstance(error, ConnectError) and "url" not in process.options:
        error.add_note("use -u URL for another server")


_REPORTED = frozenset(
    {FrameSent, FrameReceived, Warned, Connecting, SessionEstablished, ConnectionDropped, Waiting},
)


class EventReporter:
    """Reports events on standard error, as -v and -d ask for. The client calls it in its own thread.

    Args:
        process: The run of `ddp`.
        watch: Called with every event, or None.
        reconnect: Whether the client reconnects, so that lost connections are reported without -v too.
    """

    def __init__(self, process: Process, watch: Callable[[Event], object] | None, *, reconnect: bool) -> None:
        self._console = process.console
        self._clock = process.clock
        self._watch = watch
        self._is_verbose = bool(process.options.get("verbose", 0)) and not process.console.quiet
        self._shows_losses = self._is_verbose or reconnect
        # Whether to report the next session: with -v each one, otherwise those after a loss.
        self._shows_session = self._is_verbose

    def __call__(self, event: Event) -> None:
        console = self._console
        if self._watch is not None:
            self._watch(event)
        # Nearly all events are documents and ends of calls.
        if type(event) not in _REPORTED:
            return
        match event:
            case FrameSent() | FrameReceived():
                # Only -d needs these modules.
                from ..text.event_lines import frame_line
                from ..text.palette import terminal_text

                color, is_sent = console.colors_err, isinstance(event, FrameSent)
                line = frame_line(event.text, is_sent=is_sent, when=self._clock.wall(), colored=color)
                console.error_lines([terminal_text(line, color=color)])
            case Warned(harmless=True):
                if self._is_verbose:
                    console.note(event.text)
            case Warned():
                console.warning(event.text)
            case Connecting() if self._is_verbose:
                console.note(f"connecting to {event.url}")
            case SessionEstablished() if self._shows_session:
                again = "resumed" if event.resumed else "new"
                name = "without an id" if event.session is None else event.session
                console.note(f"connected: {again} session {name}, {event.round_trip * 1000:.0f} ms")
            case ConnectionDropped() if self._shows_losses:
                self._shows_session = True
                console.note(f"not connected: {event.error}")
            case Waiting() if self._shows_losses:
                console.note(f"next attempt in {event.seconds:.1f} s")
            case _:
                pass
