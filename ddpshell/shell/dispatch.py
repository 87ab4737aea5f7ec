"""From a line to its answer: find the command, run it, and see that whatever it answers, now or later, is shown."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import Any

from ..client.events import DocumentEvent
from ..clock import wait_until_done
from ..ejson import EJSONValue
from ..exceptions import CommandError, DDPError, EJSONError, MethodError, SubscriptionError
from ..protocol.server_error import is_unknown_name
from ..text.changes import change_line, event_to_value
from ..text.formatting import Limits, exact_value
from ..text.literals import read_value
from ..text.palette import plain
from .jobs import Job
from .outputs import Sink, Stream, sink_for
from .parser import Line, parse, reparse
from .registry import Invocation, Role
from .replies import Documents, Later, Live, Message, Reply, Result
from .state import Shell

__all__ = ["dispatch", "dispatch_text"]

# Seconds between two looks for signals: one that comes just before a wait does not end it.
_GLANCE = 0.1


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
    if isinstance(reply, Live):
        _follow(shell, number, sink, reply)
        return None
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


def _follow(shell: Shell, number: int | None, sink: Sink | None, live: Live) -> None:
    """Show changes from now on, or give them to a sink."""
    assert number is not None, "watch is numbered"
    if sink is None:
        _show(shell, number, live)
        return
    where = shell.where
    as_shown = shell.settings["output"] in ("pretty", "table")

    def ended(error: BaseException | None) -> None:
        watch = shell.watches.get(number)
        if watch is not None:
            shell.watches.remove(watch)
        if error is not None:
            shell.display.failure(number, error, where=where)
        elif watch is not None and not sink.needs_terminal:
            shell.display.note([("note", "the program has ended, and so has the watch")], number)

    stream = sink.follow(lambda output: shell.display.answer(number, output), ended)
    shell.streams = [*(other for other in shell.streams if not other.is_over), stream]

    def give(event: DocumentEvent) -> None:
        text = plain(change_line(event, Limits())) if as_shown else exact_value(event_to_value(event))
        stream.put(f"{text}\n")

    message = live.begin(give, stream.end)
    if stream.is_over:
        # It was quicker than the watch, and could not end it.
        ended(None)
    if sink.needs_terminal:
        with shell.lent_terminal():
            while not _joined(shell, stream):
                # As with `tail -f FILE | less`: the program gets no more, and can be left.
                if (watch := shell.watches.get(number)) is not None:
                    shell.watches.remove(watch)
    else:
        shell.display.answer(number, message)


def _show(shell: Shell, number: int, live: Live) -> None:
    """Say that changes are watched, and show them after that: the first may come before there is anything to say."""
    lock = threading.Lock()
    early: list[DocumentEvent] = []
    is_announced = False

    def show(event: DocumentEvent) -> None:
        with lock:
            if is_announced:
                shell.display.change(number, event)
            else:
                early.append(event)

    message = live.begin(show, lambda: None)
    with lock:
        shell.display.answer(number, message)
        for event in early:
            shell.display.change(number, event)
        is_announced = True


def _joined(shell: Shell, stream: Stream) -> bool:
    """Wait for the end of a stream; False if Ctrl-C is pressed first."""
    try:
        with shell.interrupts.allowed():
            while not stream.join(_GLANCE):
                pass
    except KeyboardInterrupt:
        return False
    return True


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
            try:
                if not later.is_silent:
                    shell.display.answer(job.number, reply, seconds)
            finally:
                shell.jobs.end(job)
            return
    try:
        if not shell.is_closing:
            _note_similar_name(shell, error, invocation)
            shell.display.failure(job.number, error, seconds, where=job.where)
    finally:
        # The script waits for the end of the job, whatever becomes of its output.
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
