"""`ddp batch`: many calls over one connection. Each line of input is a call, each line of output its answer."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import click
from msgspec import Struct

from ... import ejson
from ...advice import Place
from ...client import Client
from ...client.events import CallAnswered, CallFinished, ConnectionFailed, Event
from ...ejson import EJSONValue
from ...ejson.convert import loss_note
from ...ejson.json_text import JSONValue
from ...ejson.plain_text import plain_texts
from ...exceptions import CommandError, ConnectionLost, DDPError, EJSONError
from ...protocol.codec import ejson_text, ejson_value
from ...protocol.messages import Raw
from ...text.prose import plural
from ..call_lines import LineReader, parse_requests
from ..connection import connected, timeout_error, unconfirmed_note, wait_for_session
from ..errors import error_tree, failure
from ..event_queue import EventQueue, InputFile
from ..group import Command
from ..options import AT_LEAST_1, ValueType, flag, option, shared_options
from ..output import END_KEYS, Console, OutputError, OutputFormat
from ..process import ExitCode, Process, Progress, Terminated
from ..settings import settings_of
from ..types import FileName, OutputFile, PositiveNumber

# Results of so many bytes are not collected further, but printed.
_MOST_TOGETHER = 1 << 20

# How many answers may wait for an earlier one, for each call that may be sent at the same time.
_AHEAD = 10


def _batch(
    process: Process, file: str, jobs: int, unordered: bool, fail_fast: bool, rate: float | None, retry_file: str | None
) -> int:
    # The time limit is for connecting. Each call has the same limit.
    settings = settings_of(process)
    console = process.console
    if console.output_format in (OutputFormat.TABLE, OutputFormat.RAW):
        raise click.UsageError(f"ddp batch does not take -o {console.output_format.value}, only json and pretty")

    def listen(event: Event) -> None:
        if isinstance(event, CallFinished):
            queue.put(event)
        elif isinstance(event, ConnectionFailed):
            queue.put(None)

    with (
        _opened(file, process) as number,
        contextlib.closing(InputFile(number)) as source,
        _retries(retry_file, number, console) as retries,
        # The items are the ends of calls, and None if the connection has failed for good.
        EventQueue["CallFinished | None"](process.clock, console.out.fd) as queue,
        connected(process, settings, listen) as client,
        queue,
    ):
        progress = Progress(console, process.clock, _size(number))
        options = _Options(jobs, rate, settings.retry, not unordered, fail_fast)
        work = _Work(client, process, queue, LineReader(source), progress, retries, options)
        try:
            wait_for_session(client, process)
            work.run()
        except OutputError as error:
            sent = f"calls that were sent: {work.done + work.unanswered}, of which {work.done} were answered"
            raise OutputError(error.errno, f"{error.strerror}; {sent}") from None
        except (KeyboardInterrupt, Terminated):
            progress.clear()
            if work.unanswered:
                console.note(f"calls without an answer, which the server may or may not have run: {work.unanswered}")
            raise
        finally:
            progress.clear()
            work.keep_rest(can_read=_size(number) > 0)
        if work.failed:
            console.note(f"{plural(work.done, 'call')}, {work.failed:,} failed")
            return ExitCode.SERVER_ERROR
        return ExitCode.DONE


@contextlib.contextmanager
def _opened(file: str, process: Process) -> Iterator[int]:
    """Open the file and give its number."""
    if file == "-":
        if sys.stdin is None:
            raise CommandError("standard input is closed")
        if sys.stdin.isatty():
            process.console.note(f"reading calls from the terminal, one on each line; press {END_KEYS} to end")
        process.claim_standard_input("the calls")
        yield sys.stdin.fileno()
        return
    try:
        # A folder is an error here, and not only after connecting.
        opened = Path(file).expanduser().open("rb", buffering=0)
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None
    with opened:
        yield opened.fileno()


@contextlib.contextmanager
def _retries(path: str | None, source: int, console: Console) -> Iterator[Callable[[bytes], object] | None]:
    """Give a function that writes a line to the file of --retry-file; None if there is none."""
    if path is None:
        yield None
        return
    try:
        # Not truncated yet, because it may be the file with the calls.
        with Path(path).open("ab", buffering=0) as file:
            if os.path.samestat(os.fstat(source), os.fstat(file.fileno())):
                raise CommandError(f"--retry-file must not be the file with the calls, {path}")
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.truncate(0)
            count = 0

            def write(line: bytes) -> None:
                nonlocal count
                file.write(line + b"\n")
                count += 1

            try:
                yield write
            finally:
                if count:
                    console.note(f"{path} has {plural(count, 'line')} to try again: ddp batch {shlex.quote(path)}")
    except OSError as error:
        if error.filename is None:
            raise
        raise CommandError(f"--retry-file: cannot write {path}: {error.strerror}") from None


def _size(number: int) -> int:
    """Return the size of a regular file in bytes, or 0."""
    status = os.fstat(number)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


class _Entry(Struct, eq=False):
    """A line and its answer.

    Args:
        line: The number of the line, from 1.
        text: The line, if it may have to be tried again.
        method: The name of the method.
        tags: Further keys of the answer.
        deadline: The end of the wait, in seconds of the clock; None for no limit.
        answer: `result`, `error`, or nothing if the method returned nothing; None until it is known. A result is a text if it can
            be printed as it is.
    """

    line: int
    text: bytes
    method: str = ""
    tags: dict[str, JSONValue] = {}
    deadline: float | None = None
    answer: dict[str, EJSONValue | Raw] | None = None


class _Options(Struct, frozen=True):
    """How to make the calls.

    Args:
        jobs: The most calls to have sent at the same time.
        rate: The most calls to send in a second; None for no limit.
        retry: Whether a call may be sent twice.
        is_ordered: Print answers in the order of the lines.
        fail_fast: Send nothing more after an error.
    """

    jobs: int
    rate: float | None
    retry: bool
    is_ordered: bool
    fail_fast: bool


class _Work:
    """All calls of one run.

    Args:
        client: The client that makes the calls.
        process: The run of `ddp`.
        queue: Receives the ends of the calls.
        reader: Reads the lines.
        progress: Shows the progress.
        retries: Writes a line that failed to the file of --retry-file; None if there is none.
        options: How to make the calls.
    """

    def __init__(
        self,
        client: Client,
        process: Process,
        queue: EventQueue[CallFinished | None],
        reader: LineReader,
        progress: Progress,
        retries: Callable[[bytes], object] | None,
        options: _Options,
    ) -> None:
        #: The number of calls with an answer.
        self.done = 0
        #: The number of calls that ended with an error.
        self.failed = 0
        self._client = client
        self._process = process
        self._queue = queue
        self._reader = reader
        self._progress = progress
        # Lines that are read, but not parsed yet.
        self._lines: deque[bytes] = deque()
        self._line = 0
        # The sent calls by id, in the order of sending, which is the order of their deadlines.
        self._sent: dict[str, _Entry] = {}
        # Entries to print, in this order.
        self._due: deque[_Entry] = deque()
        # For what a note about lost precision was printed: once for arguments and once for results is enough.
        self._noted: set[str] = set()
        # Seconds between two calls, and when the next call may be sent.
        self._interval = 1 / options.rate if options.rate else 0.0
        self._next_start = process.clock.now()
        self._retries = retries
        self._options = options
        # Why no more lines are read.
        self._obstacle: BaseException | None = None

    @property
    def unanswered(self) -> int:
        """The number of calls that were sent and have no answer."""
        return len(self._sent)

    def run(self) -> None:
        """Make the calls and print their answers.

        Raises:
            TransportError: The connection was lost and will not be restored.
            CommandError: A line is too long.
            OSError: The file cannot be read, or the reader of the output is gone.
        """
        while True:
            while (may_start := self._may_start()) and self._lines and (room := self._room()):
                self._start([self._lines.popleft() for _ in range(min(room, len(self._lines)))])
            self._write_due()
            may_read = may_start and not self._lines and not self._reader.is_at_end
            if not self._sent and not may_read and not (may_start and self._lines):
                break
            if self._sent or may_read or not self._is_due():
                self._wait(self._reader.file if may_read and len(self._sent) < self._options.jobs else None)
            self._progress.show(self._reader.position, self._describe)
        if self._obstacle is not None:
            if self._lines or not self._reader.is_at_end:
                self._process.console.note(f"the lines after line {self._line} were not sent")
            raise self._obstacle

    def _describe(self, seconds: float) -> list[str]:
        parts = [f"{self.done:,} calls", f"{self.done / seconds:,.0f}/s"]
        return [*parts, f"{self.failed:,} failed"] if self.failed else parts

    def keep_rest(self, *, can_read: bool) -> None:
        """Write the lines without an answer to the file of --retry-file, also those that were not sent.

        Args:
            can_read: Whether the input is a file on a disk, whose other lines can be read now.
        """
        if self._retries is None:
            return
        left = {entry.line: entry for entry in [*self._due, *self._sent.values()]}
        for line in sorted(left):
            answer = left[line].answer
            if answer is None or "error" in answer:
                self._retries(left[line].text)
        while self._lines or (can_read and not self._reader.is_at_end):
            for text in filter(None, self._lines):
                self._retries(text)
            self._lines.clear()
            if can_read and not self._reader.is_at_end:
                self._lines.extend(self._reader.read())

    def _may_start(self) -> bool:
        """Whether nothing has happened that ends the sending of calls."""
        return self._obstacle is None and not (self._options.fail_fast and self.failed)

    def _is_due(self) -> bool:
        """Whether --rate allows a call now."""
        return not self._interval or self._process.clock.now() >= self._next_start

    def _room(self) -> int:
        """Return how many calls may be sent now, whose answers may wait for earlier ones."""
        if not self._is_due():
            return 0
        if len(self._due) >= self._options.jobs * _AHEAD:
            self._write_due()
        room = self._room_besides_rate()
        return min(room, 1) if self._interval or self._options.fail_fast else room

    def _room_besides_rate(self) -> int:
        return min(self._options.jobs - len(self._sent), self._options.jobs * _AHEAD - len(self._due))

    def _start(self, texts: list[bytes]) -> None:
        lines = [(number, text) for number, text in enumerate(texts, self._line + 1) if text]
        self._line += len(texts)
        now = self._process.clock.now()
        if self._interval and lines:
            # A pause is not made up for later.
            self._next_start = max(self._next_start + self._interval, now)
        deadline = None if self._process.timeout is None else now + self._process.timeout
        entries: list[_Entry] = []
        calls: list[tuple[str, Raw]] = []
        for (number, text), request in zip(lines, parse_requests([text for _, text in lines]), strict=True):
            entry = _Entry(number, text if self._retries is not None else b"", deadline=deadline)
            if self._options.is_ordered:
                self._due.append(entry)
            try:
                if isinstance(request, CommandError):
                    raise request
                entry.tags = request.tags
                params = request.params
                text_of_params = params if isinstance(params, Raw) else ejson_text(params)
            except (CommandError, EJSONError) as error:
                error = error if isinstance(error, CommandError) else CommandError(str(error))
                self._answer(entry, _error(error, self._process))
                continue
            if not isinstance(params, Raw):
                self._note_losses(params, "an argument", number, is_sent=True)
            entry.method = request.method
            entries.append(entry)
            calls.append((request.method, text_of_params))
        try:
            ids = self._client.send_calls(calls, retry=self._options.retry)
        except DDPError as error:
            for entry in entries:
                self._answer(entry, _error(error, self._process))
        else:
            self._sent.update(zip(ids, entries, strict=True))

    def _note_losses(self, values: Iterable[object], where: str, line: int, *, is_sent: bool = False) -> None:
        if where in self._noted:
            return

        note = loss_note(values, f"{where} of line {line}", is_sent=is_sent)
        if note is not None:
            self._noted.add(where)
            self._progress.clear()
            self._process.console.note(note)

    def _wait(self, file: InputFile | None) -> None:
        first = next(iter(self._sent.values()), None)
        deadline = first.deadline if first is not None else None
        # The time of the next call may have come since `_room` looked at the clock. Then the wait ends at once.
        if self._lines and self._interval and self._may_start() and self._room_besides_rate() > 0:
            deadline = self._next_start if deadline is None else min(deadline, self._next_start)
        events, is_readable = self._queue.take_all_or_read(file, deadline)
        if None in events:
            self._obstacle = self._client.status.error or ConnectionLost("the connection was lost")
        self._receive([event for event in events if event is not None])
        if is_readable:
            try:
                self._lines.extend(self._reader.read())
            except (CommandError, OSError) as error:
                self._obstacle = error
        self._expire()

    def _receive(self, events: Sequence[CallFinished | CallAnswered]) -> None:
        # The others are answers that came too late, and logins.
        events = [event for event in events if event.id in self._sent]
        texts = iter(plain_texts([bytes(event.result) for event in events if event.has_result]))
        for event in events:
            error: BaseException | None = event.error
            answer: dict[str, EJSONValue | Raw] = {}
            if event.has_result:
                text = next(texts)
                try:
                    answer = {"result": ejson_value(event.result) if text is None else text}
                except EJSONError as problem:
                    error = problem
            entry = self._sent.pop(event.id)
            self._answer(entry, answer if error is None else _error(error, self._process))

    def _expire(self) -> None:
        now = self._process.clock.now()
        while self._sent:
            call_id, entry = next(iter(self._sent.items()))
            if entry.deadline is None or now < entry.deadline:
                return
            what = f"result of {entry.method!r}"
            if (answer := self._client.unconfirmed_answer(call_id)) is not None:
                self._process.console.note(f"line {entry.line}: {unconfirmed_note(what, self._process)}")
                self._receive([answer])
                continue
            late = timeout_error(what, self._client, self._process)
            self._answer(self._sent.pop(call_id), _error(late, self._process))

    def _answer(self, entry: _Entry, answer: dict[str, EJSONValue | Raw]) -> None:
        self.done += 1
        self.failed += "error" in answer
        entry.answer = answer
        if not self._options.is_ordered:
            self._due.append(entry)

    def _write_due(self) -> None:
        """Write the answers that need not wait for earlier ones, in one piece."""
        due = list(itertools.takewhile(lambda entry: entry.answer is not None, self._due))
        if due:
            self._write(due)
        for entry in due:
            self._due.popleft()
            answer = entry.answer or {}
            if self._retries is not None and "error" in answer:
                self._retries(entry.text)
            if "result" in answer and not isinstance(answer["result"], Raw):
                self._note_losses([answer["result"]], "the result", entry.line)

    def _write(self, entries: list[_Entry]) -> None:
        console = self._process.console
        if console.output_format is OutputFormat.PRETTY:
            for entry in entries:
                answer = {
                    key: ejson_value(value) if isinstance(value, Raw) else value
                    for key, value in (entry.answer or {}).items()
                }
                console.result({"line": entry.line, **entry.tags, **answer})
            return
        trees: list[dict[str, JSONValue | Raw]] = []
        size = 0
        for entry in entries:
            answer = entry.answer or {}
            result = answer.get("result")
            # Errors are JSON, not EJSON (C28).
            if isinstance(result, Raw):
                size += len(bytes(result))
            elif "result" in answer:
                answer = {"result": ejson.encode(result)}
            trees.append({"line": entry.line, **entry.tags, **cast("dict[str, JSONValue | Raw]", answer)})
            if size > _MOST_TOGETHER:
                console.trees(trees)
                trees, size = [], 0
        if trees:
            console.trees(trees)


def _error(error: BaseException, process: Process) -> dict[str, EJSONValue | Raw]:
    return {"error": error_tree(failure(error, Place.SCRIPT, process=process))}


batch = Command(
    "batch",
    callback=_batch,
    help=(
        "Make a call for each line of FILE, or of standard input, over one connection, and print an answer for each. "
        "An error does not stop the other calls, but the exit code is then 1."
    ),
    params=[
        click.Argument(["file"], metavar="[FILE]", default="-", type=ValueType(FileName())),
        option("-j --jobs", "N", "Make up to N calls at the same time.", type=AT_LEAST_1, default=10),
        flag("--unordered", "Print answers as they arrive, not in the order of the lines."),
        flag("--fail-fast", "Send nothing more after the first error."),
        option("--rate", "N", "Send at most N calls a second. [default: no limit]", type=PositiveNumber()),
        option(
            "--retry-file",
            "FILE",
            "Write the lines that failed, or have no answer, to this file, which `ddp batch` can read.",
            type=OutputFile(),
        ),
        *shared_options("Time limit for each call in seconds; 0 for no limit. [default: 30]"),
    ],
    notes={
        "Each line of input": [
            ('["upper", "Hello"]', "a method and its arguments in EJSON"),
            ('{"method": "upper", "params": ["Hello"], "id": 7}', "the same, with any JSON as id for the answer"),
            ('["m", {when: Date("2026-01-02")}]', "values as in the arguments of ddp call"),
        ],
        "Each line of output": [
            ('{"line":1,"result":"HELLO"}', "the number of the line, and the result if there is one"),
            ('{"line":2,"id":7,"error":{...}}', "error has error, reason, details and kind, as with -o json"),
        ],
    },
    examples=[
        ("ddp batch calls.ndjson > answers.ndjson", "calls from a file"),
        ("""jq -c '["upper", .name]' users.json | ddp batch -j 50""", "calls from a program"),
        ("ddp batch --fail-fast < migration.ndjson", "stop at the first error"),
    ],
)
