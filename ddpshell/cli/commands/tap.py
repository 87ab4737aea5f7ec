"""`ddp tap`: a reverse proxy that shows or records the DDP messages between a server and clients that cannot be changed."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

import click

from ...analysis.recording import (
    ClientListener,
    ConnectionChange,
    Direction,
    Entry,
    Frame,
    ddp_messages,
    entry_lines,
    header_line,
    make_header,
)
from ...client.network.frames import LargeMessage
from ...client.network.proxy import is_loopback
from ...clock import switch_interval
from ...ejson import JSONValue
from ...exceptions import CommandError, RemoteProtocolError
from ...protocol.secrets import mask
from ...protocol.urls import Endpoint, parse_url
from ...tap.link import Upstream
from ...tap.messages import Closed, Conversation, Opened, Passed, Problem, Request, TapEvent
from ...tap.proxy import Tap
from ...text.escaping import escape_line
from ...text.event_lines import frame_line, time_of_day
from ...text.palette import StyledText, terminal_text
from ...text.prose import duration, plural
from ..connection import tls_options
from ..credentials import read_passphrase, warn_of_insecure
from ..event_queue import EventQueue
from ..group import Command
from ..options import CONNECTION_OPTIONS, OUTPUT_OPTIONS, option
from ..output import OutputFormat, unbroken
from ..process import Process
from ..settings import ConnectionSettings, check_alone
from ..types import SettingType
from .serve import listening

# The bytes that can wait to be shown before the proxy stops reading.
_MOST_WAITING = 1 << 22

# Seconds. With Python's default, 0.005, a thread that shows a long message would delay the thread that passes bytes.
_SWITCH_INTERVAL = 0.0001

_SHARED = set(
    "url profile connect_timeout max_message cacert cert key passphrase_file insecure servername ip_version record"
    " with_secrets".split()
)

# SockJS without a WebSocket (U13).
_FALLBACK = re.compile(r".*/sockjs/[^/]+/[^/]+/(xhr|xhr_streaming|eventsource|htmlfile|jsonp)")


def _tap(process: Process, listen: tuple[str, int], to: str | None) -> None:
    if to is not None:
        check_alone("--to", process.options, "url", "profile")
        process.options["url"] = to
    settings = ConnectionSettings.of(process.options)
    target = parse_url(settings.url)
    host, port = listen
    is_here = is_loopback(host) or host in ("0.0.0.0", "::")  # noqa: S104 - it is not a default
    if port == target.port and is_here and is_loopback(target.host):
        raise click.UsageError(f"the proxy would connect to itself; choose another port: --listen {port + 1}")
    warn_of_insecure(settings, process.console.warning)
    if not is_loopback(host):
        process.console.warning(
            f"{host} can be reached from the network, and anyone there can use {target.authority} through this proxy"
        )
    passphrase = read_passphrase(process, settings)
    output = None if "record" in process.options else process.console.out.fd
    with EventQueue[TapEvent](process.clock, output, _MOST_WAITING) as queue:
        upstream = Upstream(
            target,
            lambda event, size: queue.put(event, size + 1),
            process.clock,
            tls=tls_options(settings, passphrase),
            connect_timeout=settings.connect_timeout,
            ip_version=settings.ip_version,
        )
        proxy = Tap(upstream)
        queue.hold = proxy.hold
        with switch_interval(_SWITCH_INTERVAL):
            try:
                with listening(host, port, "--listen"):
                    proxy.start(host, port)
                # Not earlier: if another proxy has the port, it may be writing the same file.
                _show(queue, proxy, _Display(process, target, settings))
            finally:
                proxy.stop()


def _show(queue: EventQueue[TapEvent], proxy: Tap, display: _Display) -> None:
    """Show all events until a signal arrives, and then those of the end."""
    display.begin(proxy.url)
    is_showing = False
    try:
        while True:
            events = queue.take_all()
            is_showing = True
            # What a signal interrupts is lost. A file accepts everything at once, so the signal can wait.
            with contextlib.nullcontext() if display.may_stall else unbroken():
                for event in events:
                    display.show(event)
                is_showing = False
    finally:
        proxy.stop()
        display.end([] if is_showing else queue.take_all(0.0))


class _Display:
    """Prints what passes on standard output, or records it.

    Args:
        process: The run of `ddp`.
        target: The server.
        settings: The settings of the connection to the server.
    """

    def __init__(self, process: Process, target: Endpoint, settings: ConnectionSettings) -> None:
        self._console = process.console
        self._clock = process.clock
        self._target = target
        self._max_message = settings.max_message
        self._recorder = process.open_recorder(settings.url)
        self._path = None if self._recorder is None else self._recorder.path
        self._is_json = self._console.output_format in (OutputFormat.JSON, OutputFormat.RAW)
        self._shows_frames = self._recorder is None
        # With --record, results are in the file, and -d shows frames where other commands show them.
        self._shows_debug = self._recorder is not None and bool(process.options.get("debug"))
        fd = process.console.out.fd
        #: Whether output can wait for a reader who may never read it.
        self.may_stall = self._shows_frames and fd is not None and not stat.S_ISREG(os.fstat(fd).st_mode)
        self._is_verbose = bool(process.options.get("verbose")) and not self._console.quiet
        self._began = self._clock.now()
        self._sockets: dict[int, tuple[Conversation, ClientListener | None]] = {}
        self._problem = ""
        self._fallbacks: set[str] = set()
        self._frames = self._connections = 0

    def begin(self, url: str) -> None:
        """Say where the proxy listens."""
        scheme = "https" if self._target.secure else "http"
        self._console.note(f"open {url} instead of {scheme}://{self._target.authority}; stop with Ctrl-C")
        if self._shows_frames and self._is_json:
            self._console.message(header_line(make_header(self._target.url, self._clock.wall())))

    def end(self, events: list[TapEvent]) -> None:
        """Show the last events, and say what was recorded."""
        for event in events:
            self.show(event)
        if self._recorder is None:
            return
        is_complete = self._recorder.path is not None
        self._recorder.stop()
        if is_complete:
            self._console.note(
                f"recorded {plural(self._frames, 'message')} of {plural(self._connections, 'connection')}; "
                f"ddp read {self._path} shows them"
            )

    def show(self, event: TapEvent) -> None:
        """Show or record one event."""
        match event:
            case Passed():
                self._read(event)
            case Opened():
                self._problem = ""
                self._open(event)
            case Closed():
                self._close(event)
            case Request():
                self._problem = ""
                self._request(event)
            case Problem() if event.text != self._problem:
                # A browser tries again and again.
                self._problem = event.text
                self._console.warning(event.text)
            case Problem():
                pass

    def _open(self, event: Opened) -> None:
        self._connections += 1
        listener = None if self._recorder is None else self._recorder.listener()
        self._sockets[event.number] = (Conversation(self._max_message), listener)
        url = f"{'wss' if self._target.secure else 'ws'}://{self._target.authority}{event.path}"
        if listener is not None:
            listener.opened(url, event.when)
        self._show_change(event, "open", {"url": url}, f"open {mask(event.path)} from {event.client}")

    def _read(self, event: Passed) -> None:
        conversation, listener = self._sockets[event.number]
        direction: Direction = "out" if event.is_sent else "in"
        for item in conversation.receive(event.data, is_sent=event.is_sent):
            if isinstance(item, LargeMessage):
                self._console.warning(
                    f"connection {event.number}: a message of more than {item.limit:,} bytes passed and is not shown; "
                    "--max-message SIZE changes the limit"
                )
            elif isinstance(item, RemoteProtocolError):
                who = "client" if event.is_sent else "server"
                self._console.warning(
                    f"connection {event.number}: the {who} sends bytes that pass and cannot be shown: {item}"
                )
            else:
                for text in ddp_messages(item, direction):
                    self._frames += 1
                    if listener is not None:
                        listener.frame(text, event.when, is_sent=event.is_sent)
                    self._show_frame(event, direction, text)

    def _close(self, event: Closed) -> None:
        conversation, listener = self._sockets.pop(event.number)
        reason = conversation.ending(event.by)
        if listener is not None:
            listener.closed(reason, event.when)
        self._show_change(event, "close", {"reason": reason}, f"close: {reason}")

    def _request(self, event: Request) -> None:
        if self._is_verbose:
            what = escape_line(f"{event.method} {mask(event.path)}  {event.status}  {duration(event.seconds)}")
            self._console.error_lines([f"{time_of_day(self._clock.wall())} {what}"])
        found = _FALLBACK.fullmatch(event.path)
        if found and found[1] not in self._fallbacks:
            self._fallbacks.add(found[1])
            self._console.note(
                f"a client uses SockJS without a WebSocket ({found[1]}); these messages pass and are not shown"
            )

    def _show_frame(self, event: Passed, direction: Direction, text: str) -> None:
        def line(when: datetime, color: bool) -> StyledText:
            return frame_line(mask(text), is_sent=event.is_sent, when=when, session=f"#{event.number}", colored=color)

        self._print(Frame(event.when - self._began, event.number, direction, text), event.when, line)

    def _show_change(
        self, event: Opened | Closed, what: Literal["open", "close"], facts: dict[str, JSONValue], text: str
    ) -> None:
        def line(when: datetime, color: bool) -> StyledText:
            return [("time", time_of_day(when)), ("", f" #{event.number} {escape_line(text)}")]

        self._print(ConnectionChange(event.when - self._began, event.number, what, facts), event.when, line)

    def _print(self, entry: Entry, when: float, line: Callable[[datetime, bool], StyledText]) -> None:
        """Print an entry: for programs the lines of a recording, for people one line."""
        if self._shows_frames and self._is_json:
            for text in entry_lines(entry):
                self._console.message(text)
        elif self._shows_frames or self._shows_debug:
            color = self._console.colors_out if self._shows_frames else self._console.colors_err
            wall = self._clock.wall() - timedelta(seconds=self._clock.now() - when)
            text = terminal_text(line(wall, color), color=color)
            if self._shows_frames:
                self._console.write(text)
            else:
                self._console.error_lines([text])


class _Address(SettingType):
    """An address to listen on: a port, with or without a host."""

    def read(self, text: str) -> tuple[str, int]:
        """Read `PORT` or `HOST:PORT`."""
        found = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@]+):)?([0-9]{1,5})", text)
        if found is None or int(found[2]) > 65535:
            raise CommandError(f"{text!r} is not an address to listen on, such as 3030, localhost:3030 or [::1]:3030")
        return (found[1] or "127.0.0.1").removeprefix("[").removesuffix("]"), int(found[2])


tap = Command(
    "tap",
    callback=_tap,
    help=(
        "Run a reverse proxy in front of a DDP server, and print the DDP messages between the server and its clients. "
        "Open the proxy's address in the browser instead of the server's. Everything passes unchanged, and only WebSocket "
        "messages are shown. Secrets are masked."
    ),
    params=[
        option(
            "--listen",
            "[HOST:]PORT",
            "The address to listen on; port 0 for any free port. Only this machine can connect unless HOST says "
            "otherwise.",
            type=_Address(),
            default="127.0.0.1:3030",
        ),
        option("--to", "URL", "The server, as with -u. [default: $DDP_URL, or localhost:3000]"),
        *[option for option in CONNECTION_OPTIONS if option.name in _SHARED],
        *OUTPUT_OPTIONS,
    ],
    notes={
        "What it prints": [
            (
                "on stdout",
                "a line for each message: its time, the connection, -> to the server or <- from it, and the text",
            ),
            ("-o json", "the lines of a recording, which ddp read can show"),
            ("--record FILE", "nothing is printed, except with -d on stderr"),
            ("-v", "also shows requests that do not open a WebSocket, on stderr"),
        ],
    },
    examples=[
        ("ddp tap", "then open http://127.0.0.1:3030"),
        ("ddp tap --record app.ddprec", "then: ddp read app.ddprec"),
        ("ddp tap --to https://app.example.com/shop", "watch a server with TLS and a path"),
        ("ddp tap --listen 0.0.0.0:3030", "let a phone in the same network connect"),
    ],
)
