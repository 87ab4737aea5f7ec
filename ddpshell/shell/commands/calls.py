"""Commands that call and subscribe, and those that look after what is under way."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from ...ejson import EJSONValue
from ...ejson.convert import loss_note
from ...exceptions import ClientClosed, CommandError, DDPTimeout
from ...protocol.secrets import mask_params
from ...protocol.server_error import quoted
from ...text.formatting import Limits, format_value
from ...text.literals import as_name
from ...text.palette import StyledText
from ...text.prose import duration, plural
from ..jobs import SubscriptionEntry
from ..registry import Flag, Method, Number, Publication, Seconds, Text, Value, command
from ..replies import Message, NoResult, PendingReply, Reply, Result
from ..state import Shell

if TYPE_CHECKING:
    from ...client import MethodCall

__all__ = [
    "apply",
    "call",
    "cancel",
    "chosen_numbers",
    "named",
    "pending",
    "sub",
    "subs",
    "unsub",
    "wait",
    "warn_of_losses",
]

_SHORT = Limits(items=5, characters=40, depth=2)


@command(
    examples=[
        ('call upper "Hello"', "the answer comes with a number"),
        ("call echo {title: 'x', due: Date(0)}", "keys need no quotes"),
        ("call upper $_[0].title", "with a part of an earlier result"),
    ],
    labels={"params": "VALUE"},
    options={
        "wait": "run it alone: after all calls before it, and before any that follow",
        "no_retry": "send it once at most; after a loss its outcome may be unknown",
    },
    is_numbered=True,
)
def call(shell: Shell, method: Method, *params: Value, wait: Flag = False, no_retry: Flag = False) -> PendingReply:
    """Call a method.

    The prompt returns at once; the answer is shown when it comes. A VALUE is JSON with comforts (keys and words
    without quotes, 'single quotes') or a constructor: Date Binary RegExp ObjectID Decimal Custom. Anything else is text.
    `@tasks.json` is the value in a file, `@@x` the text @x.

    `$_` is the last result, `$3` that of [3], `$3.title[0]` a part of it. `| jq .` and `> file` take the result as JSON.
    """
    warn_of_losses(shell, params, "an argument", is_sent=True)
    return _later(shell, shell.client.apply(method, params, wait=wait, retry=shell.hooks.retry and not no_retry))


@command(
    examples=[
        ("apply upper ['Hello']", "the same as call upper 'Hello'"),
        ("apply addTask ['write'] --no-retry", "never send it twice"),
        ("apply add [1, 2] --wait", "after all calls before it"),
    ],
    labels={"params": "ARRAY", "random_seed": "TEXT"},
    options={
        "wait": "run it alone: after all calls before it, and before any that follow",
        "no_retry": "send it once at most; after a loss its outcome may be unknown",
        "at_result": "be done at the result, even if its documents have not changed here yet",
        "random_seed": "from which the server makes the ids of new documents",
    },
    is_numbered=True,
)
def apply(
    shell: Shell,
    method: Method,
    params: Value,
    *,
    wait: Flag = False,
    no_retry: Flag = False,
    at_result: Flag = False,
    random_seed: Text | None = None,
) -> PendingReply:
    """Call a method with an array of arguments, and with all options.

    For arguments that are already in an array, such as an earlier result.
    """
    if not isinstance(params, list):
        raise CommandError(f"ARRAY is an array of the arguments: apply {method} [...]")
    warn_of_losses(shell, params, "an argument", is_sent=True)
    return _later(
        shell,
        shell.client.apply(
            method,
            params,
            wait=wait,
            retry=shell.hooks.retry and not no_retry,
            return_at_result=at_result,
            random_seed=random_seed,
        ),
    )


def _later(shell: Shell, call: MethodCall) -> PendingReply:
    def reply(result: EJSONValue) -> Reply:
        warn_of_losses(shell, [result], "the result")
        return Result(result) if call.has_result else NoResult()

    what = f"call {named(call.method, mask_params(call.method, call.params))}"
    return PendingReply(call, reply, what, cancel=call.cancel, settle=call.settle)


def warn_of_losses(shell: Shell, values: Iterable[object], where: str, *, is_sent: bool = False) -> None:
    """Warn if a server in JavaScript changes something in these values; see `loss_note`."""
    note = loss_note(values, where, is_sent=is_sent)
    if note is not None:
        shell.display.warn(note)


def named(name: str, params: Sequence[EJSONValue]) -> str:
    """A method or publication with its arguments, shortened, on one line, safe to show."""
    values = [format_value(value, width=sys.maxsize, limits=_SHORT) for value in params]
    return " ".join([as_name(name), *values])


# ----------------------------------------------------------------------------------------------- subscriptions


@command(
    examples=[
        ("sub tasks", "keep a local copy of what it publishes"),
        ("sub tasks {done: false}", "with an argument"),
        ("find tasks", "look at the documents"),
    ],
    labels={"params": "VALUE"},
    is_numbered=True,
)
def sub(shell: Shell, publication: Publication, *params: Value) -> PendingReply:
    """Subscribe to a publication.

    When it is ready, its documents are in the local collections: `collections`, `find`, `count`. Changes that come
    later are shown as lines, + - ~ (`set changes off` stops that). It is renewed after every loss of the connection.
    """
    number = shell.current.number
    assert number is not None, "sub is numbered"
    warn_of_losses(shell, params, "an argument", is_sent=True)
    what = named(publication, mask_params(publication, params))
    client = shell.client
    subscribed = SubscriptionEntry(number, publication, what, shell.clock.now(), where=shell.current.where)
    shell.link.subscriptions.add(subscribed)
    handle = subscribed.handle = client.subscribe(publication, *params)
    handle.stopped.add_done_callback(partial(_stopped, shell, subscribed))

    def reply(_: Any) -> Reply:
        shell.link.subscriptions.mark_ready(subscribed)
        return Message([("", f"sub {as_name(publication)}: "), *_ready(subscribed)], is_answer=False)

    return PendingReply(handle.ready, reply, f"sub {what}", wait_on_exit=False)


def _ready(subscribed: SubscriptionEntry) -> StyledText:
    if not subscribed.is_count_certain:
        # Which of several subscriptions a document belongs to, DDP does not say.
        return [("good", "ready")]
    if not subscribed.added:
        return [("good", "ready"), ("", ", no new documents")]
    return [("good", "ready"), ("", f", {plural(subscribed.added, 'document')}")]


def _stopped(shell: Shell, subscribed: SubscriptionEntry, _: Future[None]) -> None:
    handle = subscribed.handle
    assert handle is not None, "it was made"
    was_ready = subscribed.is_ready
    shell.link.subscriptions.end(subscribed)
    handle.gone.add_done_callback(lambda _: shell.link.subscriptions.forget(subscribed))
    if isinstance(handle.error, ClientClosed) or not (was_ready or subscribed.is_ending):
        return
    name = f"sub {as_name(subscribed.name)}: "
    if handle.error is not None:
        shell.display.failure(subscribed.number, handle.error, where=subscribed.where)
    elif subscribed.is_ending:
        shell.display.note([("", f"{name}ended")], subscribed.number)
    else:
        shell.display.note([("", name), ("state", "ended by the server")], subscribed.number)


@command(
    examples=[("unsub 2", "the one of [2]"), ("unsub tasks", "all of this name"), ("unsub --all", "all")],
    labels={"which": "NUMBER|PUBLICATION"},
    options={"all": "end all"},
)
def unsub(shell: Shell, which: Publication = "", *, all: Flag = False) -> PendingReply:  # noqa: A002 - the option's name
    """End a subscription.

    Documents that no other subscription has go from the local collections; a script goes on when they are gone.
    """
    every = shell.link.subscriptions.all()
    numbers = chosen_numbers(which)
    chosen = [item for item in every if all or item.name == which or item.number in numbers]
    if not chosen:
        if all or not which:
            raise CommandError("which one? `subs` lists them" if every and not all else "there are no subscriptions")
        raise CommandError(f"no subscription {which}; `subs` lists them")
    handles = [item.handle for item in chosen if item.handle is not None]
    for item in chosen:
        item.is_ending = True
    for handle in handles:
        handle.stop()
    done: Future[None] = Future()
    counted = itertools.count(1)

    def count(_: Future[None]) -> None:
        if next(counted) == len(handles):
            done.set_result(None)

    for handle in handles:
        handle.gone.add_done_callback(count)
    return PendingReply(done, lambda _: NoResult(), f"unsub {which}", wait_on_exit=False, is_silent=True)


def chosen_numbers(which: str) -> set[int]:
    """The number of a command that a word may mean: 3, [3] or $3."""
    digits = which.strip("[]$")
    return {int(digits)} if digits.isascii() and digits.isdecimal() else set()


@command(examples=[("subs", "numbers, arguments, state and age")])
def subs(shell: Shell) -> Message:
    """List the subscriptions.

    `unsub` ends one by its number.
    """
    now = shell.clock.now()
    lines = [
        (item.number, item.what, _state(item), now - item.started)
        for item in shell.link.subscriptions.all()
    ]  # fmt: skip
    return _listed(lines, "no subscriptions; `sub PUBLICATION` makes one")


def _state(item: SubscriptionEntry) -> str:
    if item.is_ready:
        return "ready"
    # Which of several subscriptions a document belongs to, DDP does not say.
    return f"not ready, {plural(item.added, 'document')} so far" if item.is_count_certain else "not ready"


def _listed(lines: list[tuple[int, str, str, float]], nothing: str) -> Message:
    if not lines:
        return Message([("note", nothing)])
    text: StyledText = []
    width = max(len(what) for _, what, _, _ in lines)
    for number, what, state, age in lines:
        text += [
            ("tag", f"[{number}] " if number > 0 else "[ ] "),
            ("", what.ljust(width)),
            ("note", f"  {state}  {duration(age)}\n"),
        ]
    ink, last = text[-1]
    return Message([*text[:-1], (ink, last.rstrip("\n"))])


# --------------------------------------------------------------------------------------------- what is under way


@command(examples=[("pending", "numbers, calls and their ages")])
def pending(shell: Shell) -> Message:
    """List what is not answered yet.

    Calls, subscriptions that are not ready, pings, programs behind pipes. `cancel` takes a call back that was never sent.
    """
    now = shell.clock.now()
    lines = [(job.number, job.what, "waiting", now - job.started) for job in shell.jobs.pending]
    reply = _listed(lines, "nothing is under way")
    if shell.link.current_client is None:
        return reply
    status = shell.link.current_client.status
    text = list(reply.text)
    if status.unsent:
        waits = "it waits" if status.unsent == 1 else "they wait"
        text.append(
            (
                "note",
                f"\n{plural(status.unsent, 'call')} not sent yet: {waits} for the connection, or behind a --wait call",
            )
        )
    if status.to_resend:
        were = plural(status.to_resend, "call was", "calls were")
        text.append(("note", f"\n{were} sent before the connection was lost, to be sent again"))
    return Message(text)


@command(
    examples=[("cancel 3", "the call of [3]")],
)
def cancel(shell: Shell, number: Number) -> Message:
    """Take back a call that was not sent yet, or end a program behind a pipe.

    Of a call whose writes the server does not confirm, the answer is shown.

    While there is no connection, calls wait in the outbox. What was sent goes on, since the server cannot be told to
    stop; but when the connection is lost, it is not sent again.
    """
    job = shell.jobs.get(number)
    if job is None:
        raise CommandError(f"[{number}] is not under way; `pending` lists what is")
    if shell.settle({number}):
        return Message([("note", f"took the answer to [{number}]")], is_answer=False)
    if job.cancel is None:
        raise CommandError(f"[{number}] cannot be taken back: it is neither a call nor a program")
    if not job.cancel():
        raise CommandError(f"[{number}] cannot be taken back: it was sent; after a loss it is not sent again")
    return Message([("note", f"took back [{number}] {job.what}")], is_answer=False)


@command(
    examples=[("wait", "for everything"), ("wait 3", "for [3]"), ("wait --timeout 5", "no longer than 5 s")],
    options={"timeout": "give up after so many seconds; what is under way goes on"},
)
def wait(shell: Shell, number: Number | None = None, *, timeout: Seconds | None = None) -> None:
    """Wait until all is answered.

    Ctrl-C stops the waiting; what is under way goes on.
    """
    if number is not None and shell.jobs.get(number) is None:
        return
    numbers = None if number is None else {number}
    if not shell.wait(numbers, timeout) and not (shell.settle(numbers) and shell.jobs.wait(numbers, 0.0)):
        after = (
            f"after {timeout:g} s" if timeout is not None and shell.hooks.time_left() != 0 else "and the time is over"
        )
        refusal = "" if shell.link.current_client is None else quoted(shell.link.current_client.status.refusal)
        raise DDPTimeout(f"not all is answered {after}; `pending` lists what is under way{refusal}")
