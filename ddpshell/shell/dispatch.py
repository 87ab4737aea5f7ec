"""From a line to its answer: find the command, run it, and show its answer when it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from ..client.events import DocumentEvent
from ..clock import wait_until_done
from ..ejson import EJSONValue
from ..exceptions import CommandError, DDPError, EJSONError, MethodError, SubscriptionError
from ..protocol.server_error import is_unknown_name
from ..text.event_lines import change_line, event_to_value
from ..text.formatting import Limits, exact_value
from ..text.literals import read_value
from ..text.palette import plain
from .jobs import Job
from .outputs import FileOutput, Output, ProgramOutput
from .parser import Line, parse, reparse
from .registry import Invocation, Role
from .replies import ChangeFeed, Documents, Message, PendingReply, Reply, Result
from .state import UNCONFIRMED, LoggedCommand, Shell

# Seconds between two looks for signals: a signal just before a wait does not end the wait.
_SIGNAL_INTERVAL = 0.1

# Seconds between two looks at the connection while a command waits for the answer to the command before it.
_LOOK_INTERVAL = 0.5

# After so many looks, a note says why there is no prompt.
_LOOKS_BEFORE_NOTE = 4


def dispatch_text(shell: Shell, text: str, *, is_logged: bool = False) -> None:
    """Run all lines of a text. If one line is not valid, none is run.

    A line does not wait for the answer to the line before it, except after a `;`.

    Args:
        shell: The shell that runs them.
        text: The lines.
        is_logged: Log the commands, for `save`.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C during a wait.
    """
    left = parse(text)
    try:
        for line in left:
            shell.registry.bind(line)
    except CommandError as error:
        shell.display.failure(None, error)
        return
    try:
        while left and not shell.is_leaving:
            line = left.pop(0)
            before = shell.jobs.last
            number = dispatch(shell, line)
            if is_logged and line.words[0].text != "save":
                shell.logged.append(LoggedCommand(line.source, before, shell.jobs.last))
            if number is not None and left and text[line.end : left[0].start].lstrip(" \t").startswith(";"):
                _wait_for_answer(shell, number)
    except DDPError as error:
        shell.display.failure(None, error)
    finally:
        if left and not shell.is_leaving:
            shell.display.note([("note", f"not run: {text[left[0].start :].strip()}")])


def _wait_for_answer(shell: Shell, number: int) -> None:
    """Wait for an answer, unless it cannot come before the user connects again."""
    looks = 0
    while not shell.wait({number}, _LOOK_INTERVAL):
        looks += 1
        if looks == _LOOKS_BEFORE_NOTE:
            shell.display.note([("note", "waiting for the answer; press Ctrl-C to stop")], max(number, 0) or None)
        shell.settle({number}, age=UNCONFIRMED)
        client = shell.link.current_client
        if client is None or client.status.state.value in ("offline", "failed"):
            return


def dispatch(shell: Shell, line: Line) -> int | None:
    """Run one line.

    Returns:
        The number of the command if its answer is still to come; else None.

    Raises:
        DDPError: The command cannot be run. Nothing was sent.
    """
    invocation = shell.registry.bind(reparse(line, shell.results), partial(_read_file, shell))
    output = _open_output(shell, line, invocation)
    number = shell.jobs.next_number() if invocation.command.is_numbered else None
    shell.current.number = number or 0
    if line.variable is not None:
        shell.results.reserve(line.variable, number)
    shell.current.started = shell.clock.now()
    try:
        reply = invocation.run(shell)
    except EJSONError as problem:
        # An argument cannot be encoded. An error in the answer is reported with the answer.
        raise CommandError(str(problem)) from None
    if isinstance(reply, ChangeFeed):
        assert number is not None, "watch is numbered"
        if output is None:
            shell.display.answer(number, reply.announcement)
            reply.start(partial(shell.display.change, number), lambda: None)
        else:
            _stream_changes(shell, number, reply, output)
        return None
    if reply is None:
        return None
    if not isinstance(reply, PendingReply):
        if line.variable is not None and number is None:
            value = reply.value if isinstance(reply, Result) else reply.data if isinstance(reply, Message) else None
            if isinstance(reply, Result) or value is not None:
                shell.results.name(line.variable, value)
        if output is None and not (isinstance(reply, Message) and reply.error):
            _keep_result(shell, number, reply)
            if not _is_paged(shell, number, reply):
                shell.display.answer(number, reply)
            return None
        known: Future[Reply] = Future()
        known.set_result(reply)
        reply = PendingReply(known, lambda found: found, line.source[:80], is_timed=False)
    job = Job(
        number or shell.jobs.next_hidden_number(),
        reply.what,
        shell.current.started,
        reply.cancel,
        reply.wait_on_exit,
        reply.settle,
        is_answered=reply.is_silent,
        where=shell.current.where,
    )
    shell.jobs.add(job)
    if output is not None and output.needs_terminal:
        future = reply.future
        if not _is_uninterrupted(shell, lambda: wait_until_done(future)):
            output = None
    reply.future.add_done_callback(partial(_show_pending, shell, invocation, reply, job, output))
    return job.number


def _open_output(shell: Shell, line: Line, invocation: Invocation) -> Output | None:
    redirection = line.redirection
    if redirection is None:
        return None
    if invocation.command.fills_screen:
        instead = f"watch COLLECTION {redirection.operator} {redirection.target}"
        problem = f"{invocation.command.name} fills the screen and writes no output; `{instead}` writes each change"
        raise CommandError(problem, line.text, redirection.start)
    if redirection.operator == "|":
        where = shell.current.where
        return ProgramOutput(shell.settings, redirection.target, where, has_terminal=shell.terminal is not None)
    return FileOutput(shell.settings, line, redirection)


def _read_file(shell: Shell, name: str) -> EJSONValue:
    # The file may be a pipe whose writer is slow.
    with shell.interrupts.allowed():
        return read_value(name)


def _is_uninterrupted(shell: Shell, wait: Callable[[], object]) -> bool:
    """Wait on the prompt's thread. Returns False if the user pressed Ctrl-C."""
    try:
        with shell.interrupts.allowed():
            wait()
    except KeyboardInterrupt:
        return False
    return True


def _show_pending(
    shell: Shell, invocation: Invocation, pending: PendingReply, job: Job, output: Output | None, future: Future[Any]
) -> None:
    """Show the answer of a pending command, usually on the client's thread."""
    number = job.number if job.number > 0 else None
    job.is_answered = pending.is_silent or output is None
    if future.cancelled():
        shell.jobs.finish(job)
        return
    seconds = shell.clock.now() - job.started if pending.is_timed else None
    reply: Reply | None = None
    error: BaseException | None = None
    try:
        reply = pending.make_reply(future.result())
    except Exception as problem:  # noqa: BLE001 - a job that never ends would block `wait` forever
        error = problem
        if not shell.link.is_closing:
            _suggest_name(shell, error, invocation)
            shell.display.failure(number, error, seconds, where=job.where)
    else:
        error = reply.error if isinstance(reply, Message) else None
        _keep_result(shell, number, reply)
        if output is None and not pending.is_silent:
            shell.display.answer(number, reply, seconds)
    text = [] if pending.details is None or shell.link.is_closing else pending.details()
    if text:
        shell.display.note(text, number, is_wanted=True)
    if output is not None and reply is not None:
        _write_reply(shell, number, output, reply, job)
    else:
        shell.jobs.finish(job, error)


def _is_paged(shell: Shell, number: int | None, reply: Reply) -> bool:
    """Show an answer that is longer than the screen in a pager. Returns False if it is not, or if the user wants no pager.

    Answers that come later are not paged, because the user may be typing by then.
    """
    if shell.terminal is None or shell.current.where or not shell.settings.is_on("pager"):
        return False
    text = shell.display.rendered(number, reply)
    return text is not None and shell.hooks.page(text)


def _suggest_name(shell: Shell, error: BaseException, invocation: Invocation) -> None:
    """If the server does not know the name that was typed, add a similar known name to the error."""
    if isinstance(error, (MethodError, SubscriptionError)) and is_unknown_name(error) and invocation.positional:
        role = Role.METHOD if isinstance(error, MethodError) else Role.PUBLICATION
        similar = shell.names.similar(role, str(invocation.positional[0]))
        if similar is not None:
            error.add_note(f"did you mean {similar}?")


def _keep_result(shell: Shell, number: int | None, reply: Reply) -> None:
    if number is not None and isinstance(reply, Result | Documents):
        shell.results.keep(number, reply)


def _write_reply(shell: Shell, number: int | None, output: Output, reply: Reply, job: Job) -> None:
    """Write an answer to a file or a program: on a thread of its own, unless the program has the terminal."""
    job.cancel = output.stop

    def write() -> None:
        error: BaseException | None = None
        try:
            shown = output.write_reply(reply)
            if shown is not None:
                shell.display.answer(number, shown)
                error = shown.error if isinstance(shown, Message) else None
        except Exception as problem:  # noqa: BLE001 - a job that never ends would block `wait` forever
            error = problem
            shell.display.failure(number, problem, where=job.where)
        shell.jobs.finish(job, error)

    if output.needs_terminal:
        with shell.handed_over_terminal():
            write()
    else:
        threading.Thread(target=write, name="ddp pipe", daemon=True).start()


# ------------------------------------------------------------------------------------------------------- changes


def _stream_changes(shell: Shell, number: int, feed: ChangeFeed, output: Output) -> None:
    """Write the changes of a watch to a file or a program, until the watch or the program ends."""
    where = shell.current.where
    is_as_shown = shell.settings["output"] in ("pretty", "table", "vertical")

    def on_end(error: BaseException | None) -> None:
        is_first_to_end = shell.link.end_watch(number)
        if error is not None:
            shell.display.failure(number, error, where=where)
        elif is_first_to_end and not output.needs_terminal:
            shell.display.note([("note", "the program has ended, so the watch has ended too")], number)

    stream = output.open_stream(lambda message: shell.display.answer(number, message), on_end)
    shell.streams = [*(other for other in shell.streams if not other.is_over), stream]

    def write(event: DocumentEvent) -> None:
        text = plain(change_line(event, Limits())) if is_as_shown else exact_value(event_to_value(event))
        stream.write_line(f"{text}\n")

    feed.start(write, stream.close)
    if stream.is_over:
        # The program ended before there was a watch to end.
        on_end(None)
    if not output.needs_terminal:
        shell.display.answer(number, feed.announcement)
        return

    def join() -> None:
        while not stream.join(_SIGNAL_INTERVAL):
            pass

    with shell.handed_over_terminal():
        while not _is_uninterrupted(shell, join):
            # As with `tail -f FILE | less`, Ctrl-C ends the input, and the user can still read and leave.
            shell.link.end_watch(number)
