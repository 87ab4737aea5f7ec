"""The command `ddp`: the one place that turns the end of a run into an exit code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from traceback import format_exception

from ..text.escaping import escape_line, escape_text
from .option_table import read_simple_command
from .output import OutputError, OutputFormat
from .process import ExitCode, Process, Terminated, exit_code, terminable


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
        from .group import ddp

        return complete(instruction, ddp, process)
    try:
        with terminable() as received, _logging(process):
            return _run(words, process, received)
    except (KeyboardInterrupt, Terminated) as error:
        # This is a second signal, which came during the cleanup after the first: exit at once.
        return exit_code(error)


def _run(words: Sequence[str], process: Process, received: Sequence[int]) -> int:
    try:
        simple = read_simple_command(words)
        if simple is None:
            from .group import run_command

            return run_command(words, process)
        process.options = simple.options
        process.configure()
        if simple.name == "shell":
            from .shell_session import open_shell

            return open_shell(process)
        from .method_call import call_method

        method, *arguments = simple.words
        call_method(process, method, arguments)
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
    if isinstance(error, OutputError) and error.errno == errno.EPIPE:
        # The reader has read enough, as in `ddp ... | head`.
        return ExitCode.DONE
    # Only errors need these modules.
    from click import UsageError

    from .errors import failure, show

    if isinstance(error, UsageError):
        simple = read_simple_command(words)
        if error.ctx is None and simple is not None:
            from .group import context_of

            error.ctx = context_of(simple.name, process)
        if "json" in (_option_value(words, "--output"), _option_value(words, "-o")):
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
    """Writes log records to standard error, as the options say.

    The client logs only its own bugs. The server's log is shown by `ddp serve`, and by `ddp demo` with -v.
    """

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        least, options = logging.ERROR, self._process.options
        if record.name.startswith("ddpshell.server"):
            least = logging.ERROR if options.get("quiet") else logging.INFO
            if self._process.server_role is None or (
                self._process.server_role == "demo" and not options.get("verbose")
            ):
                return
        if record.levelno < least:
            return
        time = self._process.clock.wall().astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        # The message can contain text from the network, so it is kept on one line; a traceback has several.
        text = f"{time} {level}{escape_line(record.getMessage())}"
        if record.exc_info:
            text += "\n" + escape_text(logging.Formatter().formatException(record.exc_info))
        self._process.console.error_lines([text])


@contextlib.contextmanager
def _logging(process: Process) -> Iterator[None]:
    """Write the logs of the library during the `with` block."""
    handler = _ConsoleHandler(process)
    with contextlib.ExitStack() as undo:
        for logger in (logging.getLogger("ddpshell.client"), logging.getLogger("ddpshell.server")):
            undo.callback(setattr, logger, "propagate", logger.propagate)
            undo.callback(logger.setLevel, logger.level)
            undo.callback(logger.removeHandler, handler)
            logger.propagate = False
            # Never DEBUG: the WebSocket library logs its frames there, with secrets.
            logger.setLevel(logging.INFO)
            logger.addHandler(handler)
        yield
