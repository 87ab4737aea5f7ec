"""The command `ddp`: the group of its commands, and the one place that turns the end of a run into an exit code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from traceback import format_exception

import click

from .. import __version__
from ..text.escaping import escape_line, escape_text
from .command_classes import Group, process_of
from .errors import failure, show
from .options import CONNECTION_OPTIONS, OUTPUT_OPTIONS
from .output import OutputError, OutputFormat
from .process import ExitCode, Process, Terminated, terminable

__all__ = ["ddp", "main", "run"]


def main() -> None:
    """Run the command line of this process, and exit."""
    code = run(sys.argv[1:])
    if sys.platform != "win32" and code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        # Die of the signal itself: after Ctrl-C, a shell script stops only if its command died of SIGINT, not if the
        # command exited with 130.
        number = code - 128
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    # Everything is written and closed. The interpreter's own shutdown would take a tenth of the time of a short command.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)


def run(words: Sequence[str]) -> int:
    """Run one command line, report its errors, and return the exit code.

    Args:
        words: The words after `ddp`.
    """
    process = Process()
    process.words = words
    instruction = os.environ.get("_DDP_COMPLETE")
    if instruction:
        from .commands.completion import complete

        return complete(instruction, ddp, process)
    try:
        with terminable() as received, _logging(process):
            return _run(words, process, received)
    except (KeyboardInterrupt, Terminated) as error:
        # This is a second signal, which came during the cleanup after the first: exit at once.
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
        # The cursor is after the ^C that the terminal shows.
        if process.console.err.is_terminal:
            process.console.error_lines([""])
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - all errors are reported here
        return _failed(error, words, process, received)
    return ExitCode.DONE


def _failed(error: Exception, words: Sequence[str], process: Process, received: Sequence[int]) -> int:
    if isinstance(error, click.UsageError) and _wants_json(words):
        # The error may be in front of -o, so that the option was not read.
        process.console.configure(OutputFormat.JSON, _option_value(words, "--color") or "auto")
    failed = failure(error, process=process)
    if failed.code is ExitCode.INTERNAL and received:
        # Modules written in C turn a signal during their import into another error.
        return 128 + received[-1]
    show(failed, process.console)
    if failed.code is ExitCode.INTERNAL:
        process.console.error_lines(
            [
                escape_text("".join(format_exception(error))),
                "This is a bug in ddp. Please report it with these lines, the command, and the output of `ddp --version -o json`.",
            ]
        )
    return failed.code


def _without_output(error: OutputError, process: Process) -> int:
    if error.errno == errno.EPIPE:
        # The reader has read enough, as in `ddp ... | head`.
        return ExitCode.DONE
    show(failure(error), process.console)
    return ExitCode.LOCAL


def _wants_json(words: Sequence[str]) -> bool:
    return "json" in (_option_value(words, "--output"), _option_value(words, "-o"))


def _option_value(words: Sequence[str], option: str) -> str | None:
    """Return the value of an option in a command line that could not be parsed."""
    joined = option if len(option) == 2 else f"{option}="
    value, before = None, ""
    for word in words:
        if word == "--":
            break
        if before == option:
            value = word
        elif word.startswith(joined) and word != option:
            value = word.removeprefix(joined)
        before = word
    return value


# ---------------------------------------------------------------------------------------------------- the logs


class _ConsoleHandler(logging.Handler):
    """Writes log records of the client and the server to standard error."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        time = self._process.clock.wall().astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        # The message can contain text from the network, so it is kept on one line; a traceback has several.
        text = f"{time} {level}{escape_line(record.getMessage())}"
        if record.exc_info:
            text += "\n" + escape_text(logging.Formatter().formatException(record.exc_info))
        self._process.console.error_lines([text])


@contextlib.contextmanager
def _logging(process: Process) -> Iterator[None]:
    """Write the logs of the library, as the options say.

    The client logs only its own bugs. The server's log is shown by `ddp serve`, and by `ddp demo` with -v.
    """
    client, server = logging.getLogger("ddpshell.client"), logging.getLogger("ddpshell.server")
    handler = _ConsoleHandler(process)

    def configure() -> None:
        client.setLevel(logging.ERROR)
        shows = process.serves or process.options.get("verbose", 0) > 0
        # Never DEBUG: the WebSocket library logs its frames there, with secrets.
        server.setLevel(
            (logging.ERROR if process.options.get("quiet") else logging.INFO) if shows else logging.CRITICAL
        )

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


# The key of `ctx.meta` for --version.
_VERSION = f"{__name__}.version"


def _ask_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[_VERSION] = value


class _Ddp(Group):
    """The group. It shows the version after all options are read, because -o changes how."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, or show the version."""
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
    commands={
        "shell": "Open the shell (also: ddp without a command).",
        "call": "Call a method and print its result.",
        "sub": "Subscribe, and print the documents or follow them.",
        "ping": "Measure round trips to the server.",
        "doctor": "Find out why a server cannot be reached.",
        "batch": "Make many calls, from lines of JSON.",
        "run": "Run commands of the shell from a file.",
        "bench": "Load a server with many clients, and measure how it answers.",
        "read": "Show what a recording or a HAR file contains.",
        "weigh": "Show how many bytes a publication sends.",
        "audit": "Find secrets in what a server sends.",
        "login": "Log in and save the login.",
        "logout": "Log out.",
        "whoami": "Show the user you are logged in as.",
        "config": "Show the settings, and where each comes from.",
        "serve": "Run a DDP server from a file or a recording, or a demo server.",
        "tap": "Show what a browser and a server say, as a proxy between them.",
        "demo": "Run a command with a demo server.",
        "completion": "Print a completion script for a shell.",
        "help": "Show a page of the manual, or list its topics.",
    },
    help="Call methods and follow data on servers that speak DDP, Meteor's protocol.",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            callback=_ask_version,
            help="Show the version; with -o json also Python's.",
        ),
        *CONNECTION_OPTIONS,
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp demo", "try it: open the shell with a demo server"),
        ("ddp -u localhost:3000", "open the shell for a server"),
        ("ddp -u localhost:3000 call upper Hello", "call a method"),
        ("ddp serve", "run a demo server"),
    ],
    notes={
        "Exit codes": [
            ("0", "success"),
            ("1", "the server answered with an error, or a check failed (weigh, audit)"),
            ("2", "usage error: an invalid option, value, URL or file"),
            ("3", "could not connect"),
            ("4", "not logged in, or the server rejected the login"),
            ("5", "timeout"),
            ("6", "connection lost; the server may or may not have run the call"),
            ("7", "the local system failed: disk full, output closed, too many open files"),
            ("130, 143", "stopped by Ctrl-C, by SIGTERM"),
        ],
        "Environment": [
            ("DDP_URL", "the server, if there is no -u or -p"),
            ("DDP_TOKEN", "a login token for the server in DDP_URL; other users of this machine may see it"),
            ("DDP_CONFIG", "the config file, if it is not the one below"),
            ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "the proxy for wss, for ws, for both; also in lower case"),
            ("NO_PROXY", "where to use no proxy: hosts, domains, networks (10.0.0.0/8), host:port, or * for all"),
            ("SSL_CERT_FILE", "trusted certificate authorities, if there is no --cacert"),
            ("NO_COLOR, FORCE_COLOR", "never use colors; always use colors"),
        ],
        "Files": [
            ("~/.config/ddpshell/config.toml", "the config file; see ddp config -h"),
            ("~/.local/state/ddpshell/logins/", "saved logins"),
            ("~/.local/state/ddpshell/history", "the history of the shell"),
        ],
    },
)
