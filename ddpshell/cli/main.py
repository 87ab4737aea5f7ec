"""The command `ddp`: its group, and the one place where a run of it ends, well or badly."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence

import click

from .. import __version__
from ..text.escaping import escape_line, escape_text
from .command_classes import Group, process_of
from .errors import failure, show
from .exit_codes import ExitCode, Terminated
from .options import CONNECTION_OPTIONS, OUTPUT_OPTIONS
from .output import OutputError, OutputFormat
from .process import Process, terminable

__all__ = ["ddp", "main", "run"]


def main() -> None:
    """Run the command that the process was started as, and end the process."""
    code = run(sys.argv[1:])
    if code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        # Of the signal itself, after all: a shell in whose script we run goes on after a code, and stops after Ctrl-C only
        # if that ended us too. What it shows is 130 or 143 either way.
        number = code - 128
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    # All that was to be written and closed has been. Taking apart what was imported, object by object, takes the interpreter
    # a tenth of a short command's time.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)


def run(words: Sequence[str]) -> int:
    """Run one command line, and give the code to end with. Errors have been shown.

    Args:
        words: What stands behind `ddp`.
    """
    process = Process()
    instruction = os.environ.get("_DDP_COMPLETE")
    if instruction:
        from .commands.completion import complete

        return complete(instruction, ddp, process)
    try:
        with terminable() as received, _logging(process):
            return _run(words, process, received)
    except (KeyboardInterrupt, Terminated) as error:
        # A second signal, while the first was being obeyed: no more patience.
        return failure(error).code


def _run(words: Sequence[str], process: Process, received: Sequence[int]) -> int:
    try:
        with ddp.make_context("ddp", list(words), obj=process) as ctx:
            ddp.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    except OutputError as error:
        return _without_output(error, process)
    except Terminated:
        return ExitCode.TERMINATED
    except KeyboardInterrupt:
        # The cursor stands behind the terminal's ^C.
        if process.console.err.is_terminal:
            process.console.error_lines([""])
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - this is where all errors end
        return _failed(error, words, process, received)
    return ExitCode.DONE


def _failed(error: Exception, words: Sequence[str], process: Process, received: Sequence[int]) -> int:
    if isinstance(error, click.UsageError) and _wants_json(words):
        # The command line may not have been read as far as that.
        process.console.configure(OutputFormat.JSON)
    failed = failure(error)
    if failed.code is ExitCode.INTERNAL and received:
        # What it interrupted has made another error of it, as modules written in C do while they are being loaded.
        return 128 + received[-1]
    show(failed, process.console)
    if failed.code is ExitCode.INTERNAL:
        from traceback import format_exception

        process.console.error_lines(
            [escape_text("".join(format_exception(error))), "This is a fault of ddp itself: please report it."]
        )
    return failed.code


def _without_output(error: OutputError, process: Process) -> int:
    if error.errno == errno.EPIPE:
        # Whoever reads has seen enough, as in `ddp ... | head`.
        return ExitCode.DONE
    show(failure(error), process.console)
    return ExitCode.USAGE


def _wants_json(words: Sequence[str]) -> bool:
    before = ""
    for word in words:
        if word == "--":
            return False
        if word in ("-ojson", "--output=json") or (before in ("-o", "--output") and word == "json"):
            return True
        before = word
    return False


# ---------------------------------------------------------------------------------------------------- the logs


class _ConsoleHandler(logging.Handler):
    """What the client and the server log, on standard error."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        time = self._process.clock.wall().astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        # A traceback has lines of its own; the message is somebody else's text, and has one.
        text = f"{time} {level}{escape_line(record.getMessage())}"
        if record.exc_info:
            text += "\n" + escape_text(logging.Formatter().formatException(record.exc_info))
        self._process.console.error_lines([text])


@contextlib.contextmanager
def _logging(process: Process) -> Iterator[None]:
    """Have the logs of the library written as the options say.

    A client logs nothing but faults. A server's log is what there is to see where it serves, and where a server is
    part of a demo, it is there with -v.
    """
    client, server = logging.getLogger("ddpshell.client"), logging.getLogger("ddpshell.server")
    handler = _ConsoleHandler(process)

    def configure() -> None:
        client.setLevel(logging.ERROR)
        shows = process.serves or process.given.get("verbose", 0) > 0
        # Never DEBUG: there the WebSocket's own frames are, with the secrets in them.
        server.setLevel((logging.ERROR if process.given.get("quiet") else logging.INFO) if shows else logging.CRITICAL)

    process.when_configured = configure
    with contextlib.ExitStack() as undo:
        for logger in (client, server):
            undo.callback(setattr, logger, "propagate", logger.propagate)
            undo.callback(logger.setLevel, logger.level)
            undo.callback(logger.removeHandler, handler)
            logger.propagate = False
        client.addHandler(handler)
        process.when_server_runs = lambda: server.addHandler(handler)
        yield


# --------------------------------------------------------------------------------------------------- the group


# Under which a context keeps that the version was asked for.
_VERSION = f"{__name__}.version"


def _ask_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[_VERSION] = value


class _Ddp(Group):
    """The group, which tells the version as soon as it is known how."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, unless it is the version that was asked for."""
        if not ctx.meta[_VERSION]:
            return super().invoke(ctx)
        process = process_of(ctx)
        process.configure()
        if process.console.output_format is OutputFormat.JSON:
            process.console.result({"ddp": __version__, "python": sys.version.split()[0]})
        else:
            process.console.write(f"ddp {__version__}")
        return None


ddp = _Ddp(
    "ddp",
    lazy=[
        "shell",
        "call",
        "sub",
        "ping",
        "batch",
        "run",
        "login",
        "logout",
        "whoami",
        "config",
        "serve",
        "demo",
        "completion",
    ],
    help="Talk to servers that speak DDP, Meteor's protocol.",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            callback=_ask_version,
            help="Show the version, with -o json that of Python too.",
        ),
        *CONNECTION_OPTIONS,
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp demo", "try it: a shell, and a server to play with"),
        ("ddp -u localhost:3000", "a shell for that server"),
        ("ddp -u localhost:3000 call upper Hello", "call a method"),
        ("ddp serve", "run a server to play with"),
    ],
    notes={
        "Exit codes": [
            ("0", "done"),
            ("1", "the server answered with an error"),
            ("2", "usage: a bad option, literal, URL or file"),
            ("3", "could not connect"),
            ("4", "login refused, or needed"),
            ("5", "timeout"),
            ("6", "connection lost, outcome unknown"),
            ("130, 143", "Ctrl-C, SIGTERM"),
        ],
        "Environment": [
            ("DDP_URL", "the server, without -u and -p"),
            ("DDP_TOKEN", "a login token, for the server of DDP_URL; others on this machine may see it"),
            ("DDP_CONFIG", "the config file"),
            ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "the proxy for wss, for ws, for both; in lower case too"),
            ("NO_PROXY", "hosts, domains, networks (10.0.0.0/8) and host:port without a proxy; * for all"),
            ("SSL_CERT_FILE", "authorities to trust, without --cacert"),
            ("NO_COLOR, FORCE_COLOR", "never colour; always colour"),
        ],
        "Files": [
            ("~/.config/ddpshell/config.toml", "settings; see ddp config -h"),
            ("~/.local/state/ddpshell/logins/", "saved logins"),
            ("~/.local/state/ddpshell/history", "the shell's history"),
        ],
    },
)
