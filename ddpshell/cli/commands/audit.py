"""`ddp audit`: finds secrets and e-mail addresses in what a server sends to a client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from ... import ejson
from ...analysis.access import SEVERITIES, Leaks
from ...analysis.exchanges import Exchanges, Subscription
from ...analysis.files import open_frames
from ...analysis.recording import Entry, Frame
from ...client import Awaitable, Client, ConnectionState
from ...ejson import EJSONValue, JSONValue
from ...exceptions import CommandError, ConnectionLost, DDPTimeout, EJSONError, RecordingError, SubscriptionError
from ...protocol.messages import Added, AddedBefore
from ...protocol.secrets import MASK
from ...protocol.server_error import is_unknown_name
from ...text.prose import plural
from ..call_arguments import check_text, earlier_lines, read_arguments, read_publication, suggest_name
from ..connection import connected, wait_for_session
from ..credentials import endpoint_of
from ..event_queue import EventQueue
from ..group import Command
from ..options import ARGUMENTS, GRAMMAR, PUBLICATION_NAME, option, shared_options
from ..process import CheckFailed, Process, Progress
from ..settings import ConnectionSettings, settings_of, state_file
from ..types import FileName

_Publication: TypeAlias = tuple[str, Sequence[EJSONValue]]

# Seconds that the server has to send documents for which no client asks.
_SETTLING = 0.5

# Seconds without a message after which the rest of the publications is not waited for.
_SILENCE = 5.0

_HISTORY = "history"


def _audit(process: Process, name: str | None, words: tuple[str, ...], as_strings: bool, names: str | None) -> None:
    settings = settings_of(process)
    if names is not None and name is not None:
        raise click.UsageError("give either a publication or --names FILE")
    publications: list[_Publication] = []
    if name is not None:
        check_text(name, "NAME")
        params = read_arguments(words, process, as_strings=as_strings)
        publications.append((name, params))
    elif names is not None:
        publications += read_names(names)
        if not publications:
            process.console.warning(f"there are no publications in {names}")
    elif "is_demo" in process.options:
        publications += [(known, []) for known in process.publications]
    _Audit(process, settings, publications, is_named=name is not None).run()


class _Audit:
    """Subscribes to publications, and checks all that arrives.

    Args:
        process: The run of `ddp`.
        settings: The settings of the connection.
        publications: The publications with their arguments.
        is_named: Whether the user has typed the name, so that an unknown one is an error.
    """

    def __init__(
        self,
        process: Process,
        settings: ConnectionSettings,
        publications: Sequence[_Publication],
        *,
        is_named: bool,
    ) -> None:
        self._process = process
        self._settings = settings
        self._publications = publications
        self._is_named = is_named
        self._exchanges, self._leaks = Exchanges(), Leaks()
        self._subs: dict[Subscription, None] = {}
        # The time of the last document, or of the last request.
        self._active = process.clock.now()
        self._is_late = False
        self._refusals: list[SubscriptionError] = []
        self._progress = Progress(process.console, process.clock, delay=1, prints_at_end=True)

    def run(self) -> None:
        """Make the audit, and print its results.

        Raises:
            CheckFailed: There are findings, or the server refused all publications.
            DDPTimeout: The time limit was over before the end, and there are no findings yet.
            SubscriptionError: The server refused the publication that the user has typed, and there are no findings.
            DDPError: The audit could not be made.
        """
        process = self._process
        with (
            process.observed_frames(self._settings.url, self._observe),
            self._progress,
            EventQueue[None](process.clock) as queue,
            connected(process, self._settings, keep_documents=False) as client,
            queue,
        ):
            wait_for_session(client, process)
            settled = process.clock.now() + _SETTLING
            while process.clock.now() < settled:
                queue.take_all(settled)
            # One after another, because data messages do not say which publication they are from. A server does not send
            # a document again that the client has from another publication (S55), so each one is ended first.
            for name, params in self._publications:
                if self._is_late:
                    break
                subscription = client.subscribe(name, *params)
                self._wait_for(subscription.ready, client, queue)
                error = subscription.error
                if isinstance(error, SubscriptionError):
                    if self._is_named and is_unknown_name(error):
                        suggest_name(error, name, process, endpoint_of(self._settings))
                        raise error
                    self._refusals.append(error)
                subscription.stop()
                self._wait_for(subscription.gone, client, queue)
        self._report()

    def _wait_for(self, future: Awaitable[Any], client: Client, queue: EventQueue[None]) -> None:
        """Wait until a future is done, or nothing has arrived for some time, or the time limit is over."""
        clock, limit = self._process.clock, self._process.deadline
        self._active = clock.now()
        future.add_done_callback(lambda _: queue.put(None))
        while not future.done():
            end = self._active + _SILENCE
            end = end if limit is None else min(end, limit)
            if not queue.take_all(end) and clock.now() >= end:
                self._is_late = end == limit
                break
        if client.status.state is ConnectionState.FAILED:
            raise client.status.error or ConnectionLost("the connection was lost")

    def _observe(self, entry: Entry) -> None:
        view = self._exchanges.receive(entry)
        self._leaks.receive(view)
        for step in view.steps:
            if isinstance(step.exchange, Subscription):
                self._subs[step.exchange] = None
                # An endless stream of changes does not show that a publication will be ready.
                if isinstance(view.message, Added | AddedBefore):
                    self._active = self._process.clock.now()
        if isinstance(entry, Frame):
            self._progress.show(0, self._describe)

    def _describe(self, seconds: float) -> Iterable[str]:
        answered = sum(sub.is_answered for sub in self._subs)
        documents = sum(sub.documents for sub in self._subs)
        return [f"{answered} of {plural(len(self._publications), 'publication')}", plural(documents, "document")]

    def _report(self) -> None:
        console, subs = self._process.console, self._subs
        findings = self._leaks.findings()
        if console.is_for_programs:
            console.tree({
                "user": self._leaks.user,
                "findings": [finding.as_json() for finding in findings],
                "publications": [_publication(sub) for sub in subs],
            })  # fmt: skip
        else:
            with console.paged():
                console.table(
                    {
                        "severity": finding.severity,
                        "rule": finding.rule,
                        "where": f"{finding.collection}.{finding.path}" if finding.path else finding.collection,
                        "documents": finding.documents,
                        "first": "(all)" if finding.id is None else finding.id,
                        "publication": ", ".join(finding.publications) or "(none)",
                    }
                    for finding in findings
                )
        for sub in subs:
            if sub.error is not None:
                # Without findings, this refusal of the publication that the user has typed is the error below.
                if findings or not self._is_named:
                    console.note(f"the server refused {sub.name}: {sub.error}")
            elif sub.ready is None:
                console.warning(f"{sub.name} was not ready; what it sent until then was checked")
        who = "without a login" if self._leaks.user is None else f"as the user {self._leaks.user}"
        documents = plural(sum(sub.documents for sub in subs), "document")
        if subs:
            console.note(f"checked {who}: {plural(len(subs), 'publication')} with {documents}")
        else:
            console.note(f"checked {who} only what the server sends without a subscription; name publications for more")
        if findings:
            counts = Counter(finding.severity for finding in findings)
            shares = ", ".join([f"{counts[severity]:,} {severity}" for severity in SEVERITIES if counts[severity]])
            raise CheckFailed(f"{plural(len(findings), 'finding')}: {shares}")
        if self._refusals and len(self._refusals) == len(self._publications):
            if self._is_named:
                raise self._refusals[0]
            raise CheckFailed("no publication was checked, because the server refused all of them")
        if self._is_late:
            count = f"{len(subs)} of {plural(len(self._publications), 'publication')}"
            raise DDPTimeout(f"the audit did not end within {self._process.timeout:g} s, in which {count} were checked")


def _publication(sub: Subscription) -> JSONValue:
    status = "ready" if sub.ready is not None else "refused" if sub.error is not None else "not ready"
    error = None if sub.error is None else str(sub.error)
    return {"name": sub.name, "status": status, "documents": sub.documents, "bytes": sub.bytes, "error": error}


# -------------------------------------------------------------------------------------------------------------- names


def read_names(file: str) -> list[_Publication]:
    """Read publications with their arguments from a recording, a HAR file, the shell's history or lines of text.

    Args:
        file: The file; `history` is that of the shell, unless there is a file with that name.

    Raises:
        CommandError: The file cannot be read, or a line is not valid.
    """
    path = Path(file).expanduser()
    if file == _HISTORY and not path.exists():
        path = Path(state_file(_HISTORY) or _HISTORY)
    try:
        with path.open("rb") as opened:
            start = opened.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        if start.startswith(b"{"):
            found = list(_recorded(str(path)))
        elif start.startswith((b"+", b"# 20")):
            found = list(_typed(path))
        else:
            found = list(_listed(path, file))
    except (OSError, RecordingError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        wrong = CommandError(
            f"--names: {file!r} is not UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else f"--names: cannot read {file!r}: {reason}"
        )
        wrong.add_note(
            "give a recording, a HAR file, a text file with a publication and its arguments in each line, or history"
        )
        raise wrong from None
    return list({(name, ejson.dumps(list(params), canonical=True)): (name, params) for name, params in found}.values())


def _recorded(path: str) -> Iterator[_Publication]:
    subs: dict[Subscription, None] = {}
    with open_frames(path) as frames:
        for view in Exchanges().views(frames.entries):
            subs.update((step.exchange, None) for step in view.steps if isinstance(step.exchange, Subscription))
    for sub in subs:
        if MASK in sub.params or (sub.error is not None and is_unknown_name(sub.error)):
            continue
        try:
            params = ejson.loads(sub.params)
        except EJSONError:
            continue
        yield sub.name, params if isinstance(params, list) else []


def _typed(path: Path) -> Iterator[_Publication]:
    for text in earlier_lines(path):
        command, _, rest = text.strip().partition(" ")
        if command in ("sub", "subscribe") and rest.strip():
            try:
                yield read_publication(rest.strip(), "--names")
            except CommandError:
                # It may refer to a variable, or be a typing error.
                continue


def _listed(path: Path, file: str) -> Iterator[_Publication]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield read_publication(text, f"line {number} of {file}")


audit = Command(
    "audit",
    callback=_audit,
    help=(
        "Find password hashes, tokens, keys and e-mail addresses in what a server sends to a client: without a "
        "subscription, and for the publication NAME or those in FILE. The exit code is 1 if there are any, or if the server "
        "refuses all publications. For servers that you may test."
    ),
    params=[
        click.Argument(["name"], metavar="[NAME]", required=False, type=PUBLICATION_NAME),
        *ARGUMENTS,
        option(
            "--names",
            "FILE",
            "Audit all publications in a recording, a HAR file, or a text file with a publication and its arguments in "
            "each line; history stands for the shell's history.",
            type=FileName(),
        ),
        *shared_options("Time limit in seconds for the whole audit; 0 for no limit. [default: 30]"),
    ],
    notes={
        "Arguments": GRAMMAR,
        "Rules": [
            ("password-hash", "bcrypt, argon2, scrypt and others, or a digest in a field with such a name"),
            ("password", "text in a field with such a name"),
            ("services", "the field in which Meteor keeps a user's logins"),
            ("token, key", "login tokens, JWT, private keys, keys of well-known services, and fields with such names"),
            ("email", "an e-mail address that is not the user's own"),
            ("unsolicited", "a collection that is sent without a subscription"),
        ],
        "Results": [
            (
                "-o json",
                '{"user":...,"findings":[{"severity","collection","id","path","rule",...}],"publications":[...]}',
            )
        ],
    },
    examples=[
        ("ddp audit", "what each client gets without a subscription"),
        ("ddp audit tasks '{done: false}'", "one publication"),
        ("ddp audit --names app.ddprec", "all publications in a recording"),
    ],
)
