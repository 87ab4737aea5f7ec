"""From a line to its answer: find the command, run it, and see that whatever it answers, now or later, is shown."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import Any

from ..clock import wait_until_done
from ..exceptions import CommandError, DDPError, EJSONError, MethodError, SubscriptionError
from ..protocol.ejson import EJSONValue
from ..protocol.server_error import is_unknown_name
from .argument_files import read_value
from .context import Shell
from .jobs import Job
from .parser import Line, parse, reparse
from .registry import Invocation, Role
from .replies import Documents, Later, Message, Reply, Result
from .sinks import Sink, sink_for

__all__ = ["dispatch", "dispatch_text"]


def dispatch_text(shell: Shell, text: str, *, is_kept: bool = False) -> list[int]:
    """Run all lines of a text, without waiting for answers; if one of them cannot be understood, none.

    Args:
        shell: What runs them.
        text: The lines.
        is_kept: Keep those that can be run, for `save`.

    Returns:
        The numbers of those that are under way.
    """
    lines = parse(text)
    for line in lines:
        try:
            shell.registry.bind(line)
        except CommandError as error:
            shell.display.failure(None, error)
            return []
    numbers = []
    for line in lines:
        before = shell.jobs.last
        try:
            number = dispatch(shell, line)
        except DDPError as error:
            shell.display.failure(None, error)
            break
        if is_kept and line.words[0].text != "save":
            shell.line_numbers[len(shell.lines)] = (before, shell.jobs.last)
            shell.lines.append(line.source)
        if number is not None:
            numbers.append(number)
        if shell.is_leaving:
            break
    return numbers


def dispatch(shell: Shell, line: Line) -> int | None:
    """Run one line.

    Returns:
        Its number, if its answer is still to come.

    Raises:
        DDPError: It cannot be run; nothing was sent.
    """
    invocation = shell.registry.bind(reparse(line, shell.results), partial(_in_file, shell))
    sink = sink_for(shell, line, invocation.redirection) if invocation.redirection is not None else None
    shell.number = number = shell.jobs.number() if invocation.command.is_numbered else None
    started = shell.clock.now()
    try:
        reply = invocation.run(shell)
    except EJSONError as problem:
        # An argument cannot be written. An answer that cannot be read comes later.
        raise CommandError(str(problem)) from None
    if isinstance(reply, Later):
        job = Job(
            number or shell.jobs.hidden_number(),
            reply.what,
            started,
            reply.cancel,
            reply.may_be_left,
            reply.settle,
            is_answered=reply.is_silent,
            where=shell.where,
        )
        shell.jobs.begin(job)
        if sink is not None and sink.needs_terminal and not _waited(shell, reply.future):
            sink = None
        reply.future.add_done_callback(partial(_answered, shell, invocation, reply, job, sink))
        return job.number
    if reply is None:
        return None
    _keep(shell, number, reply)
    error = reply.error if isinstance(reply, Message) else None
    if sink is None and error is None:
        shell.display.answer(number, reply)
        return None
    job = Job(number or shell.jobs.hidden_number(), line.source[:80], started, where=shell.where)
    shell.jobs.begin(job)
    if sink is None:
        shell.display.answer(number, reply)
        shell.jobs.end(job, error)
        return job.number
    _pour(shell, number, sink, reply, job)
    return job.number


def _in_file(shell: Shell, name: str) -> EJSONValue:
    """The value in a file. What is there by that name may be a pipe, and take its time."""
    with shell.interrupts.allowed():
        return read_value(name)


def _note_similar_name(shell: Shell, error: BaseException, invocation: Invocation) -> None:
    """Note on an error which name may be meant, if the server does not know the one that was typed."""
    if isinstance(error, (MethodError, SubscriptionError)) and is_unknown_name(error) and invocation.positional:
        role = Role.METHOD if isinstance(error, MethodError) else Role.PUBLICATION
        similar = shell.names.similar(role, str(invocation.positional[0]))
        if similar is not None:
            error.add_note(f"did you mean {similar}?")


def _waited(shell: Shell, future: Future[Any]) -> bool:
    """Wait on the prompt's thread, and say whether that was long enough; Ctrl-C ends it."""
    try:
        with shell.interrupts.allowed():
            wait_until_done(future)
    except KeyboardInterrupt:
        return False
    return True


def _answered(
    shell: Shell, invocation: Invocation, later: Later, job: Job, sink: Sink | None, future: Future[Any]
) -> None:
    """What was waited for is here. On the client's thread as a rule."""
    job.is_answered = later.is_silent or sink is None
    seconds = shell.clock.now() - job.started if later.is_timed else None
    error = None if future.cancelled() else future.exception()
    if error is None and future.cancelled():
        shell.jobs.end(job)
        return
    if error is None:
        try:
            reply = later.reply(future.result())
        except Exception as problem:  # noqa: BLE001 - whoever waits for the answer must not wait for ever
            error = problem
        else:
            _keep(shell, job.number, reply)
            if sink is not None:
                _pour(shell, job.number, sink, reply, job)
                return
            if not later.is_silent:
                shell.display.answer(job.number, reply, seconds)
            shell.jobs.end(job)
            return
    if not shell.is_closing:
        _note_similar_name(shell, error, invocation)
        shell.display.failure(job.number, error, seconds, where=job.where)
    shell.jobs.end(job, error)


def _keep(shell: Shell, number: int | None, reply: Reply) -> None:
    if number is not None:
        match reply:
            case Result(value):
                shell.results.keep(number, value)
            case Documents(items):
                shell.results.keep(number, list(items), reply)
            case _:
                pass


def _pour(shell: Shell, number: int | None, sink: Sink, reply: Reply, job: Job) -> None:
    """Give an answer to a sink: on a thread of its own, unless the prompt's thread waits for it anyway."""
    job.cancel = sink.stop

    def run() -> None:
        error: BaseException | None = None
        try:
            shown = sink.take(reply)
            if shown is not None:
                shell.display.answer(number, shown)
                error = shown.error if isinstance(shown, Message) else None
        except Exception as problem:  # noqa: BLE001 - as above
            error = problem
            shell.display.failure(number, problem, where=job.where)
        shell.jobs.end(job, error)

    if sink.needs_terminal:
        with shell.lent_terminal():
            run()
    else:
        threading.Thread(target=run, name="ddp pipe", daemon=True).start()
