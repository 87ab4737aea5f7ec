"""Commands that call methods, subscribe to publications, and manage pending commands."""

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
from ...text.escaping import escape_line
from ...text.formatting import Limits, format_value
from ...text.literals import as_name
from ...text.prose import duration, plural
from ..jobs import SubscriptionEntry
from ..registry import Flag, Method, Number, Publication, Seconds, Text, Value, command
from ..replies import Message, NoResult, PendingReply, Reply, Result, aligned, note
from ..state import Shell

if TYPE_CHECKING:
    from ..call_timing import CallTimer


# How much of each argument is shown when a command is listed.
_SHORT = Limits(items=5, characters=40, depth=2)

_CALL_OPTIONS = {
    "wait": "wait for earlier calls; later calls wait for this one",
    "no_retry": "do not send it again after a lost connection",
}


@command(
    examples=[
        ('call upper "Hello"', "the answer is shown with a number"),
        ("call echo {title: 'x', due: Date(0)}", "keys need no quotes"),
        ("call upper $_[0].title", "use a part of the last result"),
    ],
    labels={"params": "VALUE"},
    options=_CALL_OPTIONS,
    is_numbered=True,
)
def call(shell: Shell, method: Method, *params: Value, wait: Flag = False, no_retry: Flag = False) -> PendingReply:
    """Call a method.

    The prompt returns at once, and the answer is shown when it comes. A VALUE is JSON, also with unquoted keys and
    'single quotes', or one of Date(...) Binary(...) RegExp(...) ObjectID(...) Decimal(...) Custom(...). Anything else is
    text. `@tasks.json` reads the value from a file; `@@x` is the text @x.

    `$_` is the last result, `$3` the result of [3], `$3.title[0]` a part of it. `| jq .` and `> FILE` write the result as
    JSON.
    """
    return _send(shell, method, params, no_retry=no_retry, wait=wait)


@command(
    examples=[
        ("apply upper ['Hello']", "the same as call upper 'Hello'"),
        ("apply addTask ['write'] --no-retry", "never send it twice"),
        ("apply add [1, 2] --wait", "run it after all earlier calls"),
    ],
    labels={"params": "ARRAY", "random_seed": "TEXT"},
    options=_CALL_OPTIONS
    | {
        "at_result": "show the result before its documents have arrived",
        "random_seed": "seed from which the server makes new document ids",
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
    """Call a method with its arguments in an array.

    Use it for arguments that are already in an array, such as an earlier result, and for the options that `call` does not
    have.
    """
    if not isinstance(params, list):
        raise CommandError(f"the arguments must be in an array: apply {method} [...]")
    options = {"return_at_result": at_result, "random_seed": random_seed}
    return _send(shell, method, params, no_retry=no_retry, wait=wait, **options)


def _confirm(shell: Shell, method: str, params: Sequence[EJSONValue]) -> None:
    """Ask the user before a call, if the config file says so for this server. A script is not asked.

    Raises:
        CommandError: The user does not want the call.
    """
    profile = shell.link.profile
    if profile is None or shell.terminal is None or not profile.asks_before(method):
        return
    what = f"call {named(method, mask_params(method, params))}"
    server = escape_line(profile.name or shell.link.url)
    shell.display.flush()
    try:
        answer = shell.terminal.ask(f"{what} at {server}? [y/N] ")
    except (KeyboardInterrupt, EOFError):
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError(f"not sent: {what}")
    shell.current.started = shell.clock.now()


def _send(shell: Shell, method: str, params: Sequence[EJSONValue], *, no_retry: bool, **options: Any) -> PendingReply:
    """Send a call; `options` are those of `Client.apply`."""
    warn_of_losses(shell, params, "an argument", is_sent=True)
    _confirm(shell, method, params)
    probe(shell)
    call = shell.client.apply(method, params, retry=shell.hooks.retry and not no_retry, **options)

    def reply(result: EJSONValue) -> Reply:
        warn_of_losses(shell, [result], "the result")
        return Result(result) if call.has_result else NoResult()

    what = f"call {named(call.method, mask_params(call.method, call.params))}"
    details = None
    if (timer := timer_of(shell)) is not None and call.id:
        timer.name("call", call.id, f"[{shell.current.number}] {what}")
        earlier = [f"[{job.number}] {job.what}" for job in shell.jobs.pending if job.number > 0]
        details = partial(timer.text, call.id, earlier)
    return PendingReply(call, reply, what, cancel=call.cancel, settle=call.settle, details=details)


def timer_of(shell: Shell) -> CallTimer | None:
    """Return what measures the calls; None unless `timing` is `full`."""
    if shell.settings["timing"] != "full" or shell.hooks.recorder is None:
        return None
    if shell.timer is None:
        # It reads frames with the views of recordings, which other sessions do not load.
        from ..call_timing import CallTimer

        shell.timer = CallTimer(shell.hooks.recorder)
    return shell.timer


def probe(shell: Shell) -> None:
    """If calls are measured, find out when the server begins with the next request."""
    if (timer := timer_of(shell)) is not None:
        timer.probe(shell.client)


def warn_of_losses(shell: Shell, values: Iterable[object], where: str, *, is_sent: bool = False) -> None:
    """Warn if a server in JavaScript changes numbers or keys in these values; see `loss_note`."""
    if (note := loss_note(values, where, is_sent=is_sent)) is not None:
        shell.display.warn(note)


def named(name: str, params: Sequence[EJSONValue]) -> str:
    """The name of a method or publication with its shortened arguments, on one line, safe to show."""
    return " ".join([as_name(name), *(format_value(value, width=sys.maxsize, limits=_SHORT) for value in params)])


# -------------------------------------------------------------------------------------------------- subscriptions


@command(
    examples=[
        ("sub tasks", "keep a local copy of what it publishes"),
        ("sub tasks {done: false}", "with an argument"),
        ("find tasks", "show the documents"),
    ],
    labels={"params": "VALUE"},
    aliases=("subscribe",),
    is_numbered=True,
)
def sub(shell: Shell, publication: Publication, *params: Value) -> PendingReply:
    """Subscribe to a publication.

    Its documents are copied to local collections: see `collections`, `find` and `count`. Later changes are shown as lines
    that begin with + (added), ~ (changed) or - (removed); `set changes off` hides them. After a lost connection,
    subscriptions are renewed.
    """
    number = shell.current.number
    warn_of_losses(shell, params, "an argument", is_sent=True)
    what = named(publication, mask_params(publication, params))
    client = shell.client
    entry = SubscriptionEntry(number, publication, what, shell.clock.now(), where=shell.current.where)
    shell.link.subscriptions.add(entry)
    probe(shell)
    handle = entry.handle = client.subscribe(publication, *params)
    if (timer := timer_of(shell)) is not None:
        timer.name("sub", handle.id, f"[{number}] sub {what}")
    handle.stopped.add_done_callback(partial(_on_stopped, shell, entry))

    def reply(_: Any) -> Reply:
        entry.is_ready = True
        count = ""
        # DDP does not say to which of several subscriptions a document belongs.
        if entry.is_count_certain:
            count = f", {plural(entry.added, 'document')}" if entry.added else ", no new documents"
        return Message([("", f"sub {as_name(publication)}: "), ("good", "ready"), ("", count)], is_answer=False)

    return PendingReply(handle.ready, reply, f"sub {what}", wait_on_exit=False)


def _on_stopped(shell: Shell, entry: SubscriptionEntry, _: Future[None]) -> None:
    """Report the end of a subscription. If it never was ready, its pending reply reports the error."""
    handle = entry.handle
    assert handle is not None, "the client has made it"
    was_ready = entry.is_ready
    shell.link.subscriptions.end(entry)
    handle.gone.add_done_callback(lambda _: shell.link.subscriptions.forget(entry))
    if isinstance(handle.error, ClientClosed) or not (was_ready or entry.is_ending):
        return
    if handle.error is not None:
        shell.display.failure(entry.number, handle.error, where=entry.where)
    else:
        end = ("", "ended") if entry.is_ending else ("state", "ended by the server")
        shell.display.note([("", f"sub {as_name(entry.name)}: "), end], entry.number)


@command(
    examples=[
        ("unsub 2", "end subscription [2]"),
        ("unsub tasks", "end all subscriptions to tasks"),
        ("unsub --all", "end all"),
    ],
    labels={"which": "NUMBER|PUBLICATION"},
    options={"all": "end all subscriptions"},
    aliases=("unsubscribe",),
)
def unsub(shell: Shell, which: Publication = "", *, all: Flag = False) -> PendingReply:  # noqa: A002 - the option's name
    """End a subscription.

    Its documents are removed from the local collections, except those that another subscription brings too. In a script,
    the next command runs when they are removed.
    """
    every = shell.link.subscriptions.all()
    numbers = chosen_numbers(which)
    chosen = [item for item in every if all or item.name == which or item.number in numbers]
    if not every:
        raise CommandError("there are no subscriptions")
    if not chosen:
        what = f"unknown subscription {which}" if which else "missing subscription"
        raise CommandError(f"{what}; `subs` lists them")
    for item in chosen:
        item.is_ending = True
    handles = [item.handle for item in chosen if item.handle is not None]
    for handle in handles:
        handle.stop()
    all_gone: Future[None] = Future()
    # The callbacks may run on two threads at once; one of them gets the last number.
    gone = itertools.count(1)

    def on_gone(_: Future[None]) -> None:
        if next(gone) == len(handles):
            all_gone.set_result(None)

    for handle in handles:
        handle.gone.add_done_callback(on_gone)
    return PendingReply(all_gone, lambda _: NoResult(), f"unsub {which}", wait_on_exit=False, is_silent=True)


def chosen_numbers(which: str) -> set[int]:
    """The number that a word means, if it is written as 3, [3] or $3."""
    digits = which.strip("[]$")
    return {int(digits)} if digits.isascii() and digits.isdecimal() else set()


@command(examples=[("subs", "show number, arguments, state and age of each")])
def subs(shell: Shell) -> Message:
    """List the subscriptions.

    `unsub` ends a subscription by its number or name. `| PROGRAM` and `> FILE` get JSON.
    """
    now = shell.clock.now()
    every = shell.link.subscriptions.all()
    rows = [(item.number, item.what, _state(item), now - item.started) for item in every]
    data: list[EJSONValue] = [
        {
            "number": item.number,
            "publication": item.name,
            "params": list(mask_params(item.name, item.handle.params)) if item.handle is not None else None,
            "ready": item.is_ready,
            "seconds": round(now - item.started, 3),
        }
        for item in every
    ]
    return _listed(rows, "no subscriptions; `sub PUBLICATION` makes one", data)


def _state(item: SubscriptionEntry) -> str:
    if item.is_ready:
        return "ready"
    # DDP does not say to which of several subscriptions a document belongs.
    return f"not ready, {plural(item.added, 'document')} so far" if item.is_count_certain else "not ready"


def _listed(rows: list[tuple[int, str, str, float]], nothing: str, data: list[EJSONValue]) -> Message:
    """A list of numbers, commands, states and ages."""
    if not rows:
        return Message([("note", nothing)], data=data)
    text = aligned(
        ([("tag", f"[{number if number > 0 else ' '}] "), ("", what)], [("note", f"{state}  {duration(age)}")])
        for number, what, state, age in rows
    )
    return Message(text, data=data)


# ----------------------------------------------------------------------------------------------- pending commands


@command(examples=[("pending", "show number, command and age of each")])
def pending(shell: Shell) -> Message:
    """List the commands that have no answer yet.

    These are calls, subscriptions that are not ready, pings, and programs after a pipe. `cancel` cancels a call that was
    not sent yet.
    """
    now = shell.clock.now()
    rows = [(job.number, job.what, "waiting", now - job.started) for job in shell.jobs.pending]
    data: list[EJSONValue] = [
        {"number": number if number > 0 else None, "command": what, "seconds": round(age, 3)}
        for number, what, _, age in rows
    ]
    reply = _listed(rows, "no pending commands", data)
    if shell.link.current_client is None:
        return reply
    status = shell.link.current_client.status
    text = list(reply.text)
    if status.unsent:
        calls = plural(status.unsent, "call is", "calls are")
        text.append(("note", f"\n{calls} not sent yet, waiting for the connection or for a --wait call"))
    if status.to_resend:
        calls = plural(status.to_resend, "call was", "calls were")
        text.append(("note", f"\n{calls} sent before the connection was lost, and will be sent again"))
    return Message(text, data=data)


@command(examples=[("cancel 3", "cancel the call [3]")])
def cancel(shell: Shell, number: Number) -> Message:
    """Cancel a call that was not sent yet, or end a program after a pipe.

    A call that was sent cannot be canceled, because DDP has no message for that; but if the connection is lost, the call
    is not sent again.

    If a call has its result, but the server does not confirm its writes, `cancel` shows the result.
    """
    job = shell.jobs.get(number)
    if job is None:
        raise CommandError(f"[{number}] is not pending; `pending` lists what is")
    if shell.settle({number}):
        return note(f"showed the result of [{number}] without its confirmation")
    if job.cancel is None:
        raise CommandError(f"[{number}] cannot be canceled: it is neither a call nor a program")
    if not job.cancel():
        raise CommandError(f"[{number}] cannot be canceled: it was sent; after a loss it is not sent again")
    return note(f"canceled [{number}] {job.what}")


@command(
    examples=[("wait", "wait for everything"), ("wait 3", "wait for [3]"), ("wait --timeout 5", "wait at most 5 s")],
    options={"timeout": "stop waiting after S seconds"},
)
def wait(shell: Shell, number: Number | None = None, *, timeout: Seconds | None = None) -> None:
    """Wait until pending commands are answered.

    After Ctrl-C or a timeout, pending commands continue.
    """
    numbers = None if number is None else {number}
    if not shell.wait(numbers, timeout) and not (shell.settle(numbers) and shell.jobs.wait(numbers, 0.0)):
        is_own_limit = timeout is not None and shell.hooks.time_left() != 0
        after = f"within {timeout:g} s" if is_own_limit else "within the time limit"
        client = shell.link.current_client
        refusal = "" if client is None else quoted(client.status.refusal)
        raise DDPTimeout(f"not all commands were answered {after}; `pending` lists them{refusal}")
