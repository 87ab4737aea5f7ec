"""`ddp serve`: the embedded server, with its demo methods, the methods of a file, or the answers of a recording."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from ...analysis.files import open_frames
from ...analysis.recorded_answers import RecordedAnswers, recorded_answers
from ...client.network.proxy import is_loopback
from ...exceptions import CommandError, RecordingError
from ...server import Activity, Frame, Server
from ...server.demo import demo_server
from ...server.loading import ServedApp
from ...server.origins import Origins
from ...server.stand_in import StandIn
from ...text.escaping import escape_line, quote
from ...text.event_lines import frame_line, time_of_day
from ...text.palette import terminal_text
from ...text.prose import duration, plural
from ..background_stream import written_in_background
from ..errors import failure, show
from ..group import Command
from ..options import OUTPUT_OPTIONS, ValueType, flag, option
from ..output import Console, OutputFormat
from ..process import Process, file_errors
from ..types import FileName, PositiveNumber, ReadableFile

#: Seconds between checks whether a file has changed.
_RELOAD_INTERVAL = 0.5


_HINTS = {
    errno.EADDRINUSE: "; {option} 0 chooses a free port",
    errno.EACCES: "; ports below 1024 need special rights, so choose a higher one",
}


def _serve(
    process: Process,
    app: str | None,
    host: str,
    port: int,
    reload: bool,
    greeting: bool,
    origins: tuple[str, ...],
    recording: str | None,
    speed: float | None,
) -> None:
    if app is not None and recording is not None:
        raise click.UsageError("serve either APP or --from FILE")
    if recording is None and speed is not None:
        raise click.UsageError("--speed needs a recording: ddp serve --from FILE --speed N")
    if app is None and recording is None and reload:
        raise click.UsageError("--reload needs a file: ddp serve APP --reload")
    if recording is not None and greeting:
        raise click.UsageError("--greeting is only for the demo server")
    if app is not None and greeting:
        raise click.UsageError(f"--greeting is only for the demo server; write Server(greeting=True) in {app}")
    served = None if app is None else _parse_app(app, process)
    process.server_role = "serve"

    given = process.options
    log = None
    if not process.console.quiet:
        log = ServerLog(process, shows_frames=bool(given.get("verbose") or given.get("debug")))

    def prepare(server: Server) -> None:
        if log is not None:
            log.watch(server)
        if origins:
            server.allow_origins(*origins)

    with written_in_background(process.console):
        if recording is not None:
            _serve_recording(recording, 1.0 if speed is None else speed, host, port, process.console, prepare)
        elif served is None:
            _serve_demo(host, port, process.console, prepare, greeting=greeting)
        else:
            _serve_app(served, host, port, process.console, prepare, reload=reload)


def _serve_demo(host: str, port: int, console: Console, prepare: Callable[[Server], None], *, greeting: bool) -> None:
    server = demo_server(greeting=greeting)
    prepare(server)
    with _started(server, host, port, console, "and anyone can use the demo server without logging in"):
        announce(server, console)
        console.note(f"try it: ddp call -u {server.url} upper Hello")
        server.wait()


@contextlib.contextmanager
def _started(server: Server | ServedApp, host: str, port: int, console: Console, warning: str) -> Iterator[None]:
    """Start a server, and stop it after the `with` block.

    Args:
        server: The server.
        host: The address to listen on.
        port: The port.
        console: Where to warn.
        warning: The end of the warning that the server can be reached from the network.
    """
    if not is_loopback(host):
        console.warning(f"{host} can be reached from the network, {warning}")
    try:
        with listening(host, port):
            server.start(host, port)
        yield
    finally:
        server.stop()


class _App(NamedTuple):
    """What APP names.

    Args:
        path: The file.
        name: The variable with the server; None to find it.
        module: The file as a module of the current folder; None for a file alone.
    """

    path: str
    name: str | None = None
    module: str | None = None


def _parse_app(app: str, process: Process) -> _App:
    """Read APP: `app.py`, `app.py:server`, or as other servers have it, `app:server` and `package.app:server`."""
    if Path(app).exists():
        return _App(app)
    address = re.fullmatch(r"(?:([\w.-]*|\[[0-9A-Fa-f:.]+\]):)?([0-9]{1,5})", app)
    if address is not None:
        host = [] if not address[1] else ["--host", address[1].strip("[]")]
        meant = process.command_with([app], [*host, "--port", address[2]])
        raise click.UsageError(f"{app!r} is an address, not a file; did you mean `{meant}`?")
    parts = re.fullmatch(r"(.+):([^\W\d]\w*)", app)
    if parts is None:
        return _App(app)
    if Path(parts[1]).exists() or parts[1].endswith(".py"):
        return _App(parts[1], parts[2])
    if re.fullmatch(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*", parts[1]) is None:
        return _App(app)
    base = parts[1].replace(".", "/")
    path = f"{base}/__init__.py" if Path(base, "__init__.py").exists() else f"{base}.py"
    return _App(path, parts[2], parts[1])


def _serve_app(
    served: _App, host: str, port: int, console: Console, prepare: Callable[[Server], None], *, reload: bool
) -> None:
    path = served.path
    # Functions of the file may import neighboring files when they are called.
    folder = str(Path(path).absolute().parent if served.module is None else Path.cwd())
    sys.path.insert(0, folder)
    try:
        app = ServedApp(path, prepare, name=served.name, module=served.module)
        with _started(app, host, port, console, "but this server is made for development and tests"):
            announce(app.server, console)
            console.note(f"connect with: ddp -u {app.server.url}")
            while not app.server.wait(_RELOAD_INTERVAL if reload else None):
                if app.is_changed():
                    _reload(app, path, console)
    finally:
        sys.path.remove(folder)


def _serve_recording(
    path: str, speed: float, host: str, port: int, console: Console, prepare: Callable[[Server], None]
) -> None:
    version = _version(path)
    stand_in = StandIn(_read_answers(path, console), speed=speed)
    server = stand_in.server
    prepare(server)
    with _started(server, host, port, console, "and anyone can read what was recorded"):
        _announce_address(server, console)
        _announce_recording(stand_in, console)
        console.note(f"connect with: ddp -u {server.url}")
        while not server.wait(_RELOAD_INTERVAL):
            if _version(path) == version:
                continue
            version = _version(path)
            try:
                stand_in.replace(_read_answers(path, console))
            except (CommandError, RecordingError) as error:
                show(failure(CommandError(f"{error}; the server continues unchanged")), console)
            else:
                console.note(f"reloaded {path}")
                _announce_recording(stand_in, console)


def _announce_recording(stand_in: StandIn, console: Console) -> None:
    for what_they_are, names in (
        ("methods", stand_in.method_names),
        ("publications", stand_in.publication_names),
    ):
        console.note(f"recorded {what_they_are}: {' '.join(map(_quoted_name, names)) or 'none'}")


def _read_answers(path: str, console: Console) -> RecordedAnswers:
    with file_errors(f"cannot read {path}"), open_frames(path) as frames:
        answers = recorded_answers(frames.entries)
        for note in frames.notes:
            console.note(note)
        return answers


def _version(path: str) -> tuple[int, int]:
    """Return what differs when a file has changed; zeros if there is no file at the moment."""
    try:
        status = Path(path).stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _reload(app: ServedApp, path: str, console: Console) -> None:
    address = app.server.url
    try:
        with listening(address):
            app.reload()
    except CommandError as error:
        if app.server.wait(0):
            raise
        show(failure(CommandError(f"{error}; the server continues unchanged")), console)
    else:
        console.note(f"reloaded {path}")


@contextlib.contextmanager
def listening(host: str, port: int | None = None, option: str = "--port") -> Iterator[None]:
    """Turn the error in the `with` block, which begins to listen, into a `CommandError`.

    Args:
        host: The address to listen on.
        port: The port; None if `host` contains it.
        option: The option that chooses the port.
    """
    try:
        yield
    except OSError as error:
        # asyncio's message repeats the address, and since 3.13 it gives no reason for an address of another machine.
        reason = os.strerror(error.errno or errno.EADDRNOTAVAIL) if (error.errno or 0) >= 0 else error.strerror
        hint = _HINTS.get(error.errno or 0, "").format(option=option)
        where = host if port is None else f"{host}, port {port}"
        raise CommandError(f"cannot listen on {where}: {reason}{hint}") from None


def _announce_address(server: Server, console: Console) -> None:
    if console.output_format is OutputFormat.JSON:
        # For a program that has started this one, and now knows that it can connect, and where.
        console.tree({"url": server.url, "port": server.port, "pid": os.getpid()})
    console.note(f"serving at {server.url}; stop with Ctrl-C")


def announce(server: Server, console: Console) -> None:
    """Print the server's address and what it offers."""
    _announce_address(server, console)
    console.note(f"methods: {' '.join(server.method_names) or 'none'}")
    console.note(f"publications: {' '.join(server.publication_names) or 'none'}")


def _checked_origins(ctx: click.Context, param: click.Parameter, origins: tuple[str, ...]) -> tuple[str, ...]:
    if origins:
        try:
            Origins(origins)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return origins


#: Longer names are cut.
_LONGEST_NAME = 80


class ServerLog:
    """The log of a server on standard error.

    Args:
        process: The run of `ddp`, with its console and its clock.
        shows_frames: Whether to show frames, not only calls and subscriptions.
    """

    def __init__(self, process: Process, *, shows_frames: bool) -> None:
        self._console = process.console
        self._clock = process.clock
        self._shows_frames = shows_frames

    def watch(self, server: Server) -> None:
        """Log what a server does from now on."""
        server.on_activity(self._activity)
        if self._shows_frames:
            server.on_frame(self._frame)

    def _activity(self, activity: Activity) -> None:
        result = outcome(activity)
        if activity.error is not None:
            result = self._console.emphasized("31", result)
        text = f"{_short(activity.session)} {what(activity)}  {result}  {duration(activity.duration)}"
        self._console.error_lines([f"{time_of_day(self._clock.wall())} {text}"])

    def _frame(self, frame: Frame) -> None:
        color = self._console.colors_err
        line = frame_line(
            frame.text,
            is_sent=frame.is_sent,
            when=self._clock.wall(),
            session=_short(frame.session),
            colored=color,
        )
        self._console.error_lines([terminal_text(line, color=color)])


def _short(session: str | None) -> str:
    return f"{(session or '-')[:4]:4}"


def what(activity: Activity) -> str:
    """Describe an activity without its arguments, which may be secret: `upper(1 argument)`, `sub tasks`."""
    name = _quoted_name(activity.name)
    if activity.kind == "method":
        return f"{name}({plural(activity.argument_count, 'argument') if activity.argument_count else ''})"
    arguments = f"({plural(activity.argument_count, 'argument')})" if activity.argument_count else ""
    return f"{'sub' if activity.kind == 'sub' else 'unsub'} {name}{arguments}"


def _quoted_name(name: str) -> str:
    name = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."
    # Quoted, such a name cannot look like another part of the line.
    return quote(name) if not name or not name.isprintable() or set(name) & set(" ()\"'") else name


def outcome(activity: Activity) -> str:
    """Describe how an activity ended: `ok`, `error 404`."""
    if activity.error is None:
        return "ok"
    code = activity.error
    return f"error {code if not isinstance(code, str) else escape_line(code[:_LONGEST_NAME])}"


serve = Command(
    "serve",
    callback=_serve,
    help=(
        "Run a DDP server: the server in the Python file APP (or app:server, a module and its variable), a server that answers "
        "as a recording did, or a demo server. It logs each call on stderr, with -v also each frame. With -o json, it prints one "
        "line on stdout when it listens. It is for development and tests, not for the internet."
    ),
    params=[
        click.Argument(["app"], required=False, metavar="[APP]", type=ValueType(FileName())),
        option("--host", "HOST", "The address to listen on.", default="127.0.0.1"),
        option(
            "--port", "PORT", "The port to listen on; 0 for any free port.", default=3000, type=click.IntRange(0, 65535)
        ),
        flag(
            "--reload",
            "Reload APP when it, or a file that it imports from its folder, changes. A recording is always reloaded.",
        ),
        option(
            "--from recording",
            "FILE",
            "Answer as the server in this recording or HAR file did. A call or subscription that was not recorded gets the error "
            "not-recorded; a recorded login accepts any credentials.",
            type=ReadableFile(),
        ),
        option(
            "--speed",
            "N",
            "Answer N times as fast as in the recording; with 0 at once. [default: 1]",
            type=PositiveNumber(or_zero=True),
        ),
        flag("--greeting", 'Send {"server_id":"0"} to each client first, as Meteor did up to 2.2.'),
        option(
            "--origin origins",
            "ORIGIN",
            "Accept connections only from web pages of this origin, such as http://localhost:8080; * for any page. "
            "Can be repeated. Other clients than browsers can always connect. [default: any page, with a warning]",
            multiple=True,
            callback=_checked_origins,
        ),
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp serve --port 3100", "then: ddp -u localhost:3100 call upper Hello"),
        ("ddp serve app.py --reload", "serve a file, and reload it when you save it"),
        ("ddp serve --port 0 -o json", "print the address as JSON when it listens"),
        ("ddp serve --from app.ddprec --speed 0", "answer as a recording did, without waiting"),
    ],
)
