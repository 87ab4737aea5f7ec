"""One method call, and with `--timing` where its time went. A call with few options gets here without click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..client import Client, ConnectionState
from ..exceptions import CommandError, DDPError, MethodError
from ..protocol.client_session import ClientSession
from .call_arguments import check_text, note_losses, read_arguments, read_publication, suggest_name
from .connection import connected, wait_for_outcome, wait_for_session
from .credentials import endpoint_of, find_credential
from .event_queue import EventQueue
from .output import OutputError, OutputFormat
from .process import Process, usage_error
from .settings import ConnectionSettings, settings_of

if TYPE_CHECKING:
    from ..ejson import EJSONValue, JSONValue
    from ..shell.call_timing import CallTimer


# Seconds to wait for a change after a call is done.
_SETTLING = 1.0


def call_method(
    process: Process,
    method: str,
    words: Sequence[str],
    *,
    as_strings: bool = False,
    timing: bool = False,
    sub: str | None = None,
    path: str | None = None,
    dry_run: bool = False,
) -> None:
    """Call a method, and print its result.

    Args:
        process: The run of `ddp`.
        method: The name.
        words: The arguments, as typed.
        as_strings: Whether all words are strings.
        timing: Whether to show where the time went.
        sub: With `timing`, the publication and its arguments whose first change is measured; None for no publication.
        path: The part of the result to print, such as `.title`; None for the whole result.
        dry_run: Whether to print the frames in place of sending them.
    """
    settings = settings_of(process)
    if sub is not None and not timing:
        raise usage_error("--sub needs --timing")
    check_text(method, "METHOD")
    params = read_arguments(words, process, as_strings=as_strings)
    if dry_run:
        _show_frames(method, params, process, settings)
        return
    measured = _Measured(process, settings, sub) if timing else None
    with connected(process, settings) as client:
        if measured is not None:
            measured.prepare(client)
        call = client.apply(method, params, retry=settings.retry)
        try:
            result = wait_for_outcome(call, client, process, f"result of {method!r}")
        except MethodError as error:
            if measured is not None:
                measured.show(call.id)
            suggest_name(error, method, process, endpoint_of(settings))
            raise
        # Printed before the connection is closed, which may take a moment.
        if path is not None:
            if not call.has_result:
                raise DDPError(f"--get: {method!r} returned nothing")
            result = _part(result, path, method)
        if call.has_result:
            try:
                with process.console.paged():
                    process.console.result(result)
            except OutputError as error:
                raise OutputError(error.errno, f"{error.strerror}; the server has run {method!r}") from None
            note_losses([result], "the result", process)
        if measured is not None:
            measured.wait_for_change(client, call.id)
            measured.show(call.id)


class _Measured:
    """Measures one call, for --timing.

    Args:
        process: The run of `ddp`.
        settings: The settings of the connection.
        sub: The publication and its arguments, as in the shell, whose first change is awaited; None for no publication.

    Raises:
        CommandError: `sub` is not valid.
    """

    def __init__(self, process: Process, settings: ConnectionSettings, sub: str | None) -> None:
        from ..shell.call_timing import CallTimer

        self._process = process
        self._sub = None if sub is None else read_publication(sub, "--sub")
        self._timer: CallTimer = CallTimer(process.needed_recorder(settings.url), follows_changes=sub is not None)

    def prepare(self, client: Client) -> None:
        """Make the subscription, and send a ping and a probe. The call must follow at once."""
        wait_for_session(client, self._process)
        if self._sub is not None:
            name, params = self._sub
            ready = client.subscribe(name, *params).ready
            wait_for_outcome(ready, client, self._process, f"ready for {name!r}")
        # One ping before the others, which do not wait for its answer.
        wait_for_outcome(client.ping(), client, self._process, "answer to a ping")
        self._timer.probe(client)

    def wait_for_change(self, client: Client, call_id: str) -> None:
        """Wait for the first change of a document, if there is a subscription. The call is done."""
        if self._sub is None:
            return
        # Meteor sends the changes that a method makes before `updated` (S45), which has arrived. Writes of which Meteor does not
        # know, such as those of a program that the method starts, may need a moment more.
        clock, limit = self._process.clock, self._process.deadline
        end = clock.now() + _SETTLING
        end = end if limit is None else min(end, limit)

        def has_changed() -> bool:
            with self._timer.timing() as timing:
                return timing.has_changed(call_id)

        with EventQueue[None](self._process.clock) as queue:
            forget = client.on_event(lambda _: queue.put(None))
            while not has_changed() and client.status.state is not ConnectionState.FAILED:
                if not queue.take_all(end) and clock.now() >= end:
                    self._process.console.note("no document has changed, though the call is done")
                    break
            forget()

    def show(self, call_id: str) -> None:
        """Print the times on standard error."""
        with self._timer.timing() as timing:
            connect, login, times = timing.connect_times(), timing.login_time(), timing.call_times(call_id)
        if times is None:
            return
        console = self._process.console
        if console.output_format is OutputFormat.JSON:
            tree: dict[str, JSONValue] = {
                "connect_ms": None if connect is None else connect.as_json(),
                "login_ms": None if login is None else round(login * 1000, 3),
                **times.as_json(),
            }
            console.error_tree({"timing": tree})
            return
        from ..analysis.timing import timing_lines

        console.error_lines(timing_lines(connect, login, times, with_change=self._sub is not None))


def _part(result: EJSONValue, path: str, method: str) -> EJSONValue:
    from ..text.formatting import Limits, format_value
    from ..text.literals import part_of

    name = f"the result of {method!r}"
    try:
        return part_of(result, f"{name}{path}", len(name))
    except CommandError as error:
        # Not a usage error, because the server has run the method. A second call for the rest may not be possible.
        wrong = DDPError(f"--get: {error}")
        wrong.add_note(
            f"the whole result is {format_value(result, width=1 << 30, limits=Limits(items=20, characters=500, depth=5))}"
        )
        raise wrong from None


def _show_frames(method: str, params: list[EJSONValue], process: Process, settings: ConnectionSettings) -> None:
    """Print the frames of a call as the client would send them (C1, C10, A4)."""
    from ..protocol.accounts import password_login, resume_login
    from ..protocol.secrets import mask

    session = ClientSession(lambda: 0.0)
    credential = find_credential(process, settings)
    if credential is not None:
        login = (
            password_login(credential.user or "", credential.password)
            if credential.token is None
            else resume_login(credential.token)
        )
        session.call("login", [login])
    session.call(method, params)
    session.connection_made(0.0)
    for text in session.texts_to_send():
        process.console.message(mask(text))
    process.console.note("nothing was sent")
