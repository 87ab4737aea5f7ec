"""Error messages: one line, the place of the error if it is known, and a hint what to do next.

With `-o json` an error is one JSON object: `{"error":...,"reason":...,"details":...,"kind":...}`. If the server sent the
error, `error` is its code and `details` are its details. Otherwise `error` is the same word as `kind`, and `details` can
contain `hint`, `status`, `text` and `position`.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, cast

import click
from msgspec import Struct

from ..advice import Place, advice
from ..exceptions import (
    CommandError,
    ConnectError,
    DDPError,
    DDPTimeout,
    EJSONError,
    OutcomeUnknown,
    ServerError,
)
from ..protocol.secrets import mask_url
from ..text.escaping import escape_line
from .credentials import server_options
from .options import process_of, spelling
from .output import Console, OutputFormat
from .process import ExitCode, GivenOptions, Process, exit_code, is_local, kind
from .settings import resolve

if TYPE_CHECKING:
    from ..ejson import EJSONValue
    from ..ejson.json_text import JSONValue


class Failure(Struct):
    """An error, ready to be shown. Its texts are not escaped yet.

    Args:
        code: The exit code.
        kind: A word for the exit code.
        line: One sentence.
        error: The server's code, or `kind`.
        reason: The server's reason, which may be missing, or `line`.
        details: Further information for programs.
        place: The place in a text: the text before and after it.
        hint: What to do next, or "".
        where: The file and the line of the command that failed, or "".
    """

    code: ExitCode
    kind: str
    line: str
    error: object
    reason: object
    details: object = None
    place: tuple[str, str] | None = None
    hint: str = ""
    where: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether the error was found here, not by the server. Then `details` are not the server's either."""
        return self.kind != "server" and self.error == self.kind


def failure(
    error: BaseException, place: Place = Place.COMMAND_LINE, where: str = "", process: Process | None = None
) -> Failure:
    """Describe an error.

    Args:
        error: The error.
        place: Where the user reads the hint.
        where: The file and the line of the command that failed, or "".
        process: The run of `ddp`, for the next step, which names the server.
    """
    hint = ""
    # Advice about the command or the network does not help if the local system failed.
    if exit_code(error) is not ExitCode.LOCAL:
        hint = advice(error, place, server_options(process) if process is not None else ())
        if process is not None and _is_about_connection(error) and (command := _doctor_command(process)):
            next_step = f"find the cause: {command}"
            hint = f"{hint} F{next_step[1:]}" if hint.endswith("?") else f"{hint}; {next_step}" if hint else next_step
    failed = _failed(error, hint)
    if where:
        failed.where, failed.line = where, f"{where}: {failed.line}"
        if failed.is_ours:  # the server's own reason stays unchanged
            failed.reason = failed.line
    return failed


def _is_about_connection(error: BaseException) -> bool:
    if isinstance(error, DDPTimeout):
        return not error.is_connected
    if isinstance(error, OutcomeUnknown):
        return error.connect_error is not None
    return exit_code(error) is ExitCode.NOT_CONNECTED


# The options that change how a server is reached.
_OF_CONNECTION = ("proxy", "cacert", "cert", "key", "servername", "origin")


def _doctor_command(process: Process) -> str:
    """Return the command that examines the server, with the options that change how it is reached; "" for a demo server.

    Passwords in URLs are masked, and headers are left out, because they can be secret.
    """
    given = process.options
    if "is_demo" in given:
        return ""
    words = ["ddp", "doctor"]
    for name in _OF_CONNECTION:
        if name in given:
            words += [f"--{name}", mask_url(given[name]) if name == "proxy" else given[name]]
    words += [f"--{name.replace('_', '-')}" for name in ("no_proxy", "insecure") if given.get(name)]
    if "ip_version" in given:
        words.append(f"--ipv{given['ip_version']}")
    if "profile" in given:
        words += ["-p", given["profile"]]
    else:
        server: GivenOptions = {name: given[name] for name in ("url", "has_no_config") if name in given}
        words.append(mask_url(resolve(server, os.environ).values["url"].value))
    return shlex.join(words)


def _failed(error: BaseException, hint: str) -> Failure:
    if isinstance(error, click.ClickException):
        return _usage(error)
    code, word, line = exit_code(error), kind(error), str(error) or type(error).__name__
    details: object = None
    place: tuple[str, str] | None = None
    match error:
        case ServerError():
            return Failure(code, word, line, error.error, error.reason, error.details, hint=hint)
        case CommandError() if error.position is not None:
            details, place = {"text": error.text, "position": error.position}, error.place
        case ConnectError() if error.status is not None:
            details = {"status": error.status}
        case EJSONError():
            line = f"the answer is not valid: {error}"
        case OSError() if not isinstance(error, DDPError):
            line = error.strerror or line
            line = f"{error.filename}: {line}" if error.filename is not None else line
        case _:
            pass
    return Failure(code, word, line, word, line, details, place, hint)


def show(failure: Failure, console: Console) -> None:
    """Print an error on standard error."""
    if console.output_format is OutputFormat.JSON:
        console.error_tree(error_tree(failure))
        return
    lines = [console.emphasized("31", "ddp: error: ") + escape_line(failure.line)]
    if failure.place is not None:
        from ..text.prose import point_at

        before, after = failure.place
        lines += [f"  {line}" for line in point_at(escape_line(before), escape_line(after), console.err.width - 4)]
    if failure.details is not None and not failure.is_ours:
        from ..text.formatting import Limits, format_value

        details: EJSONValue = failure.details  # type: ignore[assignment]  # details are from JSON
        limits = Limits(items=20, characters=500, depth=5, advice="use -o json")
        lines.append(f"ddp: details: {format_value(details, width=1 << 30, limits=limits)}")
    if failure.hint and not console.quiet:
        lines.append(f"ddp: hint: {escape_line(failure.hint)}")
    console.error_lines(lines)


def _usage(error: click.ClickException) -> Failure:
    hint = "ddp -h shows the help"
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        pieces = " ".join(ctx.command.collect_usage_pieces(ctx))
        hint = f"{ctx.command_path} {pieces}; {ctx.command_path} -h shows the help"
    match error:
        case click.NoSuchOption():
            meant = _meant(error)
            reason = f"unknown option {error.option_name}" + (f"; did you mean {meant}?" if meant else "")
        case click.BadOptionUsage():
            reason = _sentence(error.message)
            hint = _with_value(error) or hint
        case click.MissingParameter() if error.param is not None:
            reason = f"missing {spelling(error.param)}"
        case click.BadParameter() if error.param is not None:
            reason = f"{spelling(error.param)}: {_sentence(error.message)}"
        case _:
            reason = _sentence(error.message)
    if is_local(error):
        return Failure(ExitCode.LOCAL, "system", reason, "system", reason)
    return Failure(ExitCode.USAGE, "usage", reason, "usage", reason, hint=hint)


# Options of other programs, and what they are called here.
_ELSEWHERE = {
    "--user": "--login USER",
    "--username": "--login USER",
    "--password": "--password-file FILE",
    "--pass": "--password-file FILE",
    "--token": "--token-file FILE",
    "--host": "--url HOST:PORT",
    "--hostname": "--url HOST:PORT",
    "--port": "--url HOST:PORT",
    "--server": "--url URL",
    "--address": "--url URL",
    "--endpoint": "--url URL",
    "--uri": "--url URL",
    "--ca": "--cacert FILE",
    "--ca-cert": "--cacert FILE",
    "--no-verify": "--insecure",
    "--silent": "--quiet",
    "--no-color": "--color never",
    "--jsonl": "-o json",
    "--ndjson": "-o json",
    "--data": "--params JSON",
    "--args": "--params JSON",
    "-V": "--version",
    "-k": "--insecure",
    "-x": "--proxy URL",
    "-U": "--login USER",
    "-t": "--timeout S",
}


def _with_value(error: click.BadOptionUsage) -> str:
    """Return the command line with a value for an option that has none; "" if it takes none."""
    ctx = error.ctx
    for option in ctx.command.params if ctx is not None else ():
        if not isinstance(option, click.Option) or option.is_flag or option.count:
            continue
        if ctx is not None and error.option_name in option.opts:
            process = process_of(ctx)
            typed = next((word for word in reversed(process.words) if word in option.opts), option.opts[-1])
            value = "localhost:3000" if option.name == "url" else option.make_metavar(ctx)
            return f"{process.command_with([typed], [typed, value])}; {ctx.command_path} -h shows the help"
    return ""


def _meant(error: click.NoSuchOption) -> str | None:
    """Return the option that the user may mean. Other programs have an option for each format of results."""
    word = error.option_name.lstrip("-")
    if word in {known.value for known in OutputFormat}:
        return f"-o {word}"
    meant, ctx = _ELSEWHERE.get(error.option_name), error.ctx
    if meant == "--login USER" and ctx is not None and ctx.command.name == "login":
        return "ddp login USER"
    if meant and (ctx is None or any(meant.split()[0] in param.opts for param in ctx.command.get_params(ctx))):
        return meant
    # The best match is first.
    return next(iter(error.possibilities or ()), None)


def _sentence(message: str) -> str:
    """Make click's messages look like ours, which do not begin with a capital or end with a full stop."""
    message = message.removesuffix(".").replace("is not a valid integer range", "is not a whole number")
    return message[:1].lower() + message[1:] if message[:2].istitle() else message


def error_tree(failure: Failure) -> JSONValue:
    """Return the JSON object for an error."""
    details = failure.details
    if failure.is_ours and failure.hint:
        known = details if isinstance(details, dict) else {}
        details = {**known, "hint": failure.hint}
    tree = {"error": failure.error, "reason": failure.reason, "details": details, "kind": failure.kind}
    if failure.where:
        tree["at"] = failure.where
    return cast("JSONValue", tree)  # the server's part is from JSON
