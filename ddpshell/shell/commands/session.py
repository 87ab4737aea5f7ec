"""Commands for the connection: connect, disconnect, status, ping, and the log of frames."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from ...client.events import Closed, ConnectionFailed, Event, Offline, SessionEstablished
from ...ejson import EJSONValue
from ...exceptions import CommandError
from ...text.charts import bins_of, histogram_lines, line_of_blocks
from ...text.escaping import escape_line
from ...text.palette import StyledText
from ...text.prose import duration, milliseconds, plural
from ..registry import Count, File, Flag, Role, Text, command
from ..replies import Message, PendingReply, Reply, aligned, note
from ..state import Shell
from .accounts import user_text

if TYPE_CHECKING:
    from ...client import Client, Status


@command(
    examples=[
        ("connect localhost:3000", "leave this server, and connect to another"),
        ("connect wss://app.example.com", "connect with TLS"),
        ("connect prod", "connect to [servers.prod] of the config file"),
        ("connect", "connect again after `disconnect`"),
    ],
    labels={"url": "URL|PROFILE"},
)
def connect(shell: Shell, url: Text | None = None) -> None:
    """Connect to a server.

    The shell connects in the background, and tries again until it succeeds. PROFILE is the NAME of a [servers.NAME] section in
    the config file. With a URL or a PROFILE, the subscriptions at the earlier server end.
    """
    if url is not None:
        shell.link.open(url)
    elif shell.link.current_client is not None:
        reconnect.function(shell)
    else:
        shell.link.open(None)


@command(examples=[("disconnect", "stay disconnected until `connect`")])
def disconnect(shell: Shell) -> None:
    """Disconnect from the server.

    Calls and subscriptions wait, and are sent after `connect`.
    """
    shell.client.disconnect()


@command(examples=[("reconnect", "when you know that the server is up again")])
def reconnect(shell: Shell) -> Message | None:
    """Try to connect now.

    After a lost connection, the shell tries by itself, at growing intervals. This command does not wait for the next
    attempt.
    """
    if shell.client.status.is_connected:
        return note("already connected; `disconnect` disconnects")
    shell.link.reconnect()
    return None


@command(examples=[("status", "show server, session, user and pending commands")])
def status(shell: Shell) -> Message:
    """Show the state of the connection.

    It shows more than the toolbar: the session, and the last error. `| PROGRAM` and `> FILE` get JSON.
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
    calls = f", {state.unsent:,} not sent yet" if state.unsent else ""
    calls += f", {state.to_resend:,} to be sent again" if state.to_resend else ""
    rows.append(("pending", [("", plural(len(shell.jobs.pending), "command") + calls)]))
    rows.append(("subscriptions", [("", str(len(shell.link.subscriptions.all())))]))
    if state.error is not None:
        rows.append(("last error", [("error", escape_line(str(state.error)))]))
    data: dict[str, EJSONValue] = {
        "server": state.url,
        "state": state.state.value,
        "session": state.session,
        "resumed": state.resumed,
        "round_trip_ms": milliseconds(state.round_trip),
        "user_id": shell.client.user_id,
        "user": shell.link.user,
        "pending": len(shell.jobs.pending),
        "unsent": state.unsent,
        "to_resend": state.to_resend,
        "subscriptions": len(shell.link.subscriptions.all()),
        "error": None if state.error is None else str(state.error),
    }
    return Message(aligned([([("note", name)], value) for name, value in rows], gap=1), data=data)


def state_text(state: Status) -> StyledText:
    """The state in words, such as `connected` or `reconnecting in 3 s`."""
    match state.state.value:
        case "connected":
            return [("good", "connected")]
        case "waiting":
            # Rounded up, so that 0 s is never shown.
            seconds = int(state.retry_in or 0) + 1
            return [("state", f"reconnecting in {seconds} s")]
        case "failed":
            return [("error", "not connected")]
        case other:
            return [("state", other)]


@command(
    examples=[("ping", "show how long the server takes to answer"), ("ping --count 50", "draw the times of 50 pings")],
    options={"count": "send N pings, each after the answer to the one before", "histogram": "count the round trips"},
    is_numbered=True,
)
def ping(shell: Shell, *, count: Count = 1, histogram: Flag = False) -> PendingReply:
    """Measure the round-trip time.

    It sends a DDP ping, which the server answers at once, even while its methods are running. Several pings are drawn as a
    line of blocks, in which a full block is the slowest one.
    """

    def reply(times: list[float]) -> Reply:
        if count == 1 and not histogram:
            return Message([("", f"pong, {duration(times[0])}")])
        least, mean, most = (duration(value) for value in (min(times), sum(times) / len(times), max(times)))
        lines = [f"{plural(count, 'pong')}, min/avg/max {least}, {mean}, {most}"]
        blocks, size = line_of_blocks(times, _DRAWN)
        lines.append(f"{blocks}{f'  each block: the slowest of {size:,}' if size > 1 else ''}")
        if histogram:
            lines += ["in ms:", *histogram_lines(bins_of([seconds * 1000 for seconds in times]), _DRAWN)]
        return Message([("", "\n".join(lines))])

    pings = _Pings(shell.client, max(1, count))
    return PendingReply(pings.answers, reply, "ping", cancel=pings.stop, wait_on_exit=False, is_timed=False)


# The columns of what `ping` draws: as many as the narrowest usual window has.
_DRAWN = 60


class _Pings:
    """Pings that wait, as calls do, while the client is connecting. Each one is sent after the answer to the one before.

    Args:
        client: The client that sends them.
        count: The number of pings.
    """

    def __init__(self, client: Client, count: int) -> None:
        #: The seconds of each round trip.
        self.answers: Future[list[float]] = Future()
        self._times: list[float] = []
        self._count = count
        self._client = client
        self._lock = threading.Lock()
        self._is_sent = False
        stop_listening = client.on_event(self._on_event)
        self.answers.add_done_callback(lambda _: stop_listening())
        if client.status.state.value not in ("connecting", "waiting"):
            self._send()

    def stop(self) -> bool:
        """Send no more pings. Returns whether some were left."""
        left = self._count - len(self._times)
        self._count = 0
        return left > 1

    def _on_event(self, event: Event) -> None:
        if isinstance(event, (SessionEstablished, ConnectionFailed, Offline, Closed)):
            self._send()

    def _send(self) -> None:
        # Both the client's thread and the prompt's thread may get here.
        with self._lock:
            was_sent, self._is_sent = self._is_sent, True
        if not was_sent:
            self._client.ping().add_done_callback(self._on_answer)

    def _on_answer(self, ping: Future[float]) -> None:
        error = ping.exception()
        if error is not None:
            self.answers.set_exception(error)
            return
        self._times.append(ping.result())
        if len(self._times) < self._count:
            self._client.ping().add_done_callback(self._on_answer)
        else:
            self.answers.set_result(self._times)


# --------------------------------------------------------------------------------------------------------- frames


@command(
    examples=[
        ("debug on", "show all frames, with secrets masked"),
        ("debug on method result upper", "select by message type or name"),
        ("debug off", "show no frames"),
    ],
    labels={"switch": "on|off", "patterns": "TYPE|NAME"},
)
def debug(shell: Shell, switch: Text | None = None, *patterns: Text) -> Message | None:
    """Show the frames that are sent and received.

    TYPE is the type of a message: method, result, updated, sub, ready, nosub, added, changed, removed, ping, pong. NAME is
    a method, publication or collection, and `*` in it matches any text. A method's NAME also selects its results.
    """
    from ...analysis.timeline import FrameFilter  # the views of recordings load slowly

    if switch == "on":
        shell.link.frame_filter = FrameFilter(patterns)
    elif switch == "off" and not patterns:
        shell.link.frame_filter = None
    elif switch is not None:
        name = switch[:40]
        raise CommandError(f"use debug on, or debug off; `debug on {name}` shows the frames about {name}")
    frame_filter = shell.link.frame_filter
    if shell.link.current_client is not None:
        shell.link.current_client.debug = frame_filter is not None
    if frame_filter is None:
        return note("debug is off")
    which = " ".join(frame_filter.patterns)
    return note(f"debug is on{': ' if which else ''}{escape_line(which)}")


@command(
    examples=[
        ("record app.ddprec", "record all frames from now on, with secrets masked"),
        ("record", "show whether frames are recorded"),
        ("record off", "end the recording"),
    ],
    labels={"file": "FILE|off"},
    options={"with_secrets": "keep passwords and tokens in the file"},
)
def record(shell: Shell, file: File | None = None, *, with_secrets: Flag = False) -> Message:
    """Record all frames in a file.

    `ddp read FILE` shows what is in it, and `ddp serve --from FILE` answers like the server. An existing file is overwritten.
    """
    recorder = shell.hooks.recorder
    if recorder is None:
        raise CommandError("frames cannot be recorded here")
    if file == "off" and not with_secrets:
        ended = recorder.path
        recorder.stop()
        return note(f"recorded {escape_line(ended)}" if ended else "nothing is recorded")
    if file is not None:
        try:
            recorder.start(str(Path(file).expanduser()), shell.link.url, with_secrets=with_secrets)
        except OSError as error:
            raise CommandError(f"cannot write {file}: {error.strerror}") from None
    elif with_secrets:
        raise CommandError("--with-secrets needs the name of a file")
    name = recorder.path
    return note(f"recording to {escape_line(name)}" if name else "nothing is recorded")


@command(examples=[("names app.ddprec", "complete the names in a recording"), ("names app.har", "or in a HAR file")])
def names(shell: Shell, file: File) -> Message:
    """Learn the names in a recording for completion.

    These are methods, publications, collections and their fields, without names that the recorded server did not know.
    """
    from ...analysis.exchanges import Exchanges
    from ...analysis.files import open_frames
    from ...analysis.summary import RecordedNames

    found = RecordedNames()
    try:
        with open_frames(str(Path(file).expanduser())) as frames:
            for view in Exchanges().views(frames.entries):
                found.receive(view)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None
    for name in found.methods:
        shell.names.mark_known(Role.METHOD, name)
    for name in found.publications:
        shell.names.mark_known(Role.PUBLICATION, name)
    for name, fields in found.collections.items():
        shell.names.add_fields(name, fields)
    counts = [
        plural(len(found.methods), "method"),
        plural(len(found.publications), "publication"),
        plural(len(found.collections), "collection"),
    ]
    return note(f"{file}: {', '.join(counts)}")
