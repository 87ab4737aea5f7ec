"""Commands about the server: the connection, the frames."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from ...client.events import Closed, ConnectionFailed, Event, Offline, SessionEstablished
from ...exceptions import CommandError
from ...text.escaping import escape_line
from ...text.frames import FrameFilter
from ...text.palette import StyledText
from ...text.prose import duration, plural
from ..registry import Text, command
from ..replies import Message, PendingReply, Reply
from ..state import Shell
from .accounts import user_text

if TYPE_CHECKING:
    from ...client import Client, Status

__all__ = ["connect", "debug", "disconnect", "ping", "reconnect", "state_text", "status"]


@command(
    examples=[
        ("connect localhost:3000", "leave this server and go to another one"),
        ("connect wss://app.example.com", "with TLS"),
        ("connect", "again, after disconnect"),
    ],
    labels={"url": "URL"},
)
def connect(shell: Shell, url: Text | None = None) -> None:
    """Connect to a server.

    It happens in the background, and is tried again until it works. Subscriptions and results of the server before
    are not taken along.
    """
    if url is not None:
        shell.link.open(url)
    elif shell.link.current_client is not None:
        reconnect.function(shell)
    else:
        shell.link.open(None)


@command(examples=[("disconnect", "until `connect`")])
def disconnect(shell: Shell) -> None:
    """Leave the server, and stay away.

    Calls and subscriptions wait meanwhile, and go out when there is a connection again.
    """
    shell.client.disconnect()


@command(examples=[("reconnect", "when the server is back")])
def reconnect(shell: Shell) -> Message | None:
    """Try to connect now, without waiting for the next attempt.

    After a loss there are attempts by themselves, at longer and longer intervals.
    """
    if shell.client.status.is_connected:
        return Message([("note", "connected already; `disconnect` leaves")], is_answer=False)
    shell.link.reconnect()
    return None


@command(examples=[("status", "server, session, user, what is under way")])
def status(shell: Shell) -> Message:
    """Show how the connection is doing.

    The same as in the toolbar, and more.
    """
    state = shell.client.status
    rows: list[tuple[str, StyledText]] = [
        ("server", [("", escape_line(state.url))]),
        ("state", state_text(state)),
    ]
    if state.session is not None:
        how = "resumed" if state.resumed else "new"
        rows.append(("session", [("", f"{escape_line(state.session)} ({how})")]))
    if state.round_trip is not None:
        rows.append(("round trip", [("", duration(state.round_trip))]))
    rows.append(("user", user_text(shell)))
    waiting = f", {state.unsent:,} not sent yet" if state.unsent else ""
    waiting += f", {state.to_resend:,} to be sent again" if state.to_resend else ""
    rows.append(("under way", [("", plural(len(shell.jobs.pending), "command") + waiting)]))
    rows.append(("subscriptions", [("", str(len(shell.link.subscriptions.all())))]))
    if state.error is not None:
        rows.append(("last error", [("error", escape_line(str(state.error)))]))
    text: StyledText = []
    for name, value in rows:
        text += [("note", f"{name:14}"), *value, ("", "\n")]
    return Message(text[:-1])


def state_text(state: Status) -> StyledText:
    """The state in words: `connected`, `reconnecting in 3 s`."""
    match state.state.value:
        case "connected":
            return [("good", "connected")]
        case "waiting":
            # Rounded up: it is not due before it is.
            seconds = int(state.retry_in or 0) + 1
            return [("state", f"reconnecting in {seconds} s")]
        case "failed":
            return [("error", "not connected")]
        case other:
            return [("state", other)]


@command(examples=[("ping", "how long the server takes to answer")], is_numbered=True)
def ping(shell: Shell) -> PendingReply:
    """Measure a round trip.

    A ping of DDP's own, which the server answers at once, whatever its methods are doing.
    """

    def reply(seconds: float) -> Reply:
        return Message([("", f"pong, {duration(seconds)}")])

    return PendingReply(_pinged(shell.client), reply, "ping", wait_on_exit=False, is_timed=False)


def _pinged(client: Client) -> Future[float]:
    """A ping that waits for the connection that is being made, as calls do."""
    answer: Future[float] = Future()
    due = [True]

    def begin() -> None:
        # Whoever takes the mark sends the ping: the client's thread, or the one that asks.
        with suppress(IndexError):
            due.pop()
            client.ping().add_done_callback(finish)

    def finish(ping: Future[float]) -> None:
        error = ping.exception()
        if error is None:
            answer.set_result(ping.result())
        else:
            answer.set_exception(error)

    def listen(event: Event) -> None:
        if isinstance(event, (SessionEstablished, ConnectionFailed, Offline, Closed)):
            begin()

    forget = client.on_event(listen)
    answer.add_done_callback(lambda _: forget())
    if client.status.state.value not in ("connecting", "waiting"):
        begin()
    return answer


# ------------------------------------------------------------------------------------------------------- frames


@command(
    examples=[
        ("debug on", "all of them, secrets masked"),
        ("debug on method result upper", "by type of message, or by name"),
        ("debug off", "none"),
    ],
    labels={"switch": "on|off", "patterns": "TYPE|NAME"},
)
def debug(shell: Shell, switch: Text | None = None, *patterns: Text) -> Message | None:
    """Show frames as they come and go.

    TYPE is that of a message: method, result, updated, sub, ready, nosub, added, changed, removed, ping, pong. NAME is
    a method, publication or collection; `*` in it stands for anything. The answers to a call are meant with its name.
    """
    if switch == "on":
        shell.link.frame_filter = FrameFilter(patterns)
    elif switch == "off" and not patterns:
        shell.link.frame_filter = None
    elif switch is not None:
        raise CommandError(f"debug is on or off, not {switch[:40]}; debug on {switch[:40]} shows frames of that name")
    if shell.link.current_client is not None:
        shell.link.current_client.debug = shell.link.frame_filter is not None
    if shell.link.frame_filter is None:
        return Message([("note", "debug is off")], is_answer=False)
    which = " ".join(shell.link.frame_filter.patterns)
    return Message([("note", f"debug is on{': ' if which else ''}{escape_line(which)}")], is_answer=False)
