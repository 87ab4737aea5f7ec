"""`ddp ping`: round trips, one after another, and what they come to: ping(8) for DDP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from ...text.escaping import escape_line
from ..command_classes import Command, process_of
from ..exit_codes import ExitCode, Terminated
from ..options import OUTPUT_OPTIONS, connection_options
from ..output import OutputFormat
from ..process import Process
from ..settings import ConnectionSettings
from ..types import Seconds

if TYPE_CHECKING:
    from ...client import Client
    from ...ejson.json_text import JSONValue
    from ..event_queue import EventQueue

__all__ = ["Summary", "ping", "summary_of"]


def _ping(count: int | None, interval: float, wait: float) -> None:
    ctx = click.get_current_context()
    process = process_of(ctx)
    settings = ConnectionSettings.of(process.options)
    if process.console.output_format is OutputFormat.TABLE:
        raise click.UsageError("ddp ping does not take -o table, only pretty and json")
    process.timeout = settings.timeout
    from ..connection import connected, wait_for_session
    from ..event_queue import EventQueue

    with (
        EventQueue[_Answer](process.clock, process.console.out.fd) as queue,
        connected(process, settings) as client,
        queue,
    ):
        wait_for_session(client, process)
        pings = _Pings(client, process, queue)
        signal: BaseException | None = None
        try:
            pings.run(count, interval, wait)
        except (KeyboardInterrupt, Terminated) as interruption:
            # With -c it ends before it was to; without, this is how it ends.
            signal = interruption if count is not None or isinstance(interruption, Terminated) else None
            if process.console.err.is_terminal:
                # The cursor stands behind the terminal's ^C.
                process.console.error_lines([""])
        pings.summarise()
        if signal is not None:
            raise signal
        if pings.failure is not None:
            raise pings.failure
        if not pings.times:
            ctx.exit(ExitCode.SERVER_ERROR)


class _Answer(Struct, frozen=True):
    """One ping, and what became of it.

    Args:
        number: Its place, from 1.
        future: The seconds that it took.
    """

    number: int
    future: Future[float]


class _Pings:
    """The pings of one run.

    Args:
        client: What sends them; a session stands.
        process: The run of the command.
        queue: For the answers.
    """

    def __init__(self, client: Client, process: Process, queue: EventQueue[_Answer]) -> None:
        #: Seconds that each ping took that came back.
        self.times: list[float] = []
        #: Why there could be no more of them.
        self.failure: BaseException | None = None
        self._sent = 0
        self._awaited = 0
        self._client = client
        self._process = process
        self._queue = queue
        self._is_text = process.console.shown_as is OutputFormat.PRETTY
        self._began = process.clock.now()

    def run(self, count: int | None, interval: float, wait: float) -> None:
        """Send pings, and tell what comes back.

        Args:
            count: How many; None for ever.
            interval: Seconds from one to the next; 0 sends the next when the one before is back.
            wait: Seconds to wait for the last ones.
        """
        clock = self._process.clock
        # The default limits how long the session may take; a limit that was given is one for all of it.
        end = self._process.deadline if "timeout" in self._process.options else None
        due = last = clock.now()
        while self.failure is None:
            now = clock.now()
            if end is not None and now >= end:
                from ...exceptions import DDPTimeout

                self.failure = DDPTimeout(f"pinged for {self._process.timeout:g} s")
                return
            is_done = count is not None and self._sent >= count
            if is_done and (not self._awaited or now >= last + wait):
                return
            if not is_done and now >= due and (interval or not self._awaited):
                self._send()
                last = now
                # From when it was due, not from when it was sent: the pace is kept, and what was missed is not made up.
                due = max(due + interval, now)
                continue
            next_moment = last + wait if is_done else due if interval else None
            moments = [moment for moment in (next_moment, end) if moment is not None]
            for answer in self._queue.take_all(min(moments, default=None)):
                self._receive(answer)

    def summarise(self) -> None:
        """Write what they come to."""
        summary = summary_of(self._sent, self.times)
        seconds = self._process.clock.now() - self._began
        if self._is_text:
            self._write_text(summary, seconds)
        else:
            self._process.console.tree(summary.as_json())

    def _send(self) -> None:
        self._sent += 1
        self._awaited += 1
        answer = _Answer(self._sent, self._client.ping())
        answer.future.add_done_callback(lambda _: self._queue.put(answer))

    def _receive(self, answer: _Answer) -> None:
        from ...client import ConnectionState

        self._awaited -= 1
        error = answer.future.exception()
        if error is None:
            seconds = answer.future.result()
            self.times.append(seconds)
            self._write(answer.number, seconds)
            return
        status = self._client.status
        if status.state is ConnectionState.FAILED:
            self.failure = status.error
        self._process.console.note(f"no answer to ping {answer.number}: {error}")

    def _write(self, number: int, seconds: float) -> None:
        console = self._process.console
        if self._is_text:
            console.write(f"pong from {_host(self._client)}: seq={number} time={_milliseconds(seconds)} ms")
        else:
            console.tree({"seq": number, "ms": round(seconds * 1000, 3)})

    def _write_text(self, summary: Summary, seconds: float) -> None:
        lost = f"{100 * summary.lost / summary.sent:.3g}" if summary.sent else "0"
        lines = [
            f"--- {_host(self._client)} ping statistics ---",
            f"{summary.sent} sent, {summary.received} received, {summary.lost} lost ({lost}%), {seconds:.1f} s",
        ]
        if summary.spread is not None:
            numbers = "/".join(_milliseconds(value) for value in summary.spread)
            lines.append(f"rtt min/avg/max/mdev = {numbers} ms")
        self._process.console.write("\n".join(lines))


def _host(client: Client) -> str:
    return escape_line(client.status.url)


def _milliseconds(seconds: float) -> str:
    """In as many digits as ping(8) has them."""
    milliseconds = seconds * 1000
    return (
        f"{milliseconds:.3f}" if milliseconds < 1 else f"{milliseconds:.{max(0, 2 - int(math.log10(milliseconds)))}f}"
    )


class Summary(Struct, frozen=True):
    """What pings come to.

    Args:
        sent: How many there were.
        received: How many came back.
        spread: Least, mean and most of the seconds they took, and their standard deviation; None where none came back.
    """

    sent: int
    received: int
    spread: tuple[float, float, float, float] | None

    @property
    def lost(self) -> int:
        """How many did not come back."""
        return self.sent - self.received

    def as_json(self) -> JSONValue:
        """The same for programs, times in milliseconds."""
        times = [None] * 4 if self.spread is None else [round(value * 1000, 3) for value in self.spread]
        return {
            "sent": self.sent,
            "received": self.received,
            "lost": self.lost,
            **dict(zip(("min", "avg", "max", "mdev"), times, strict=True)),
        }


def summary_of(sent: int, times: Sequence[float]) -> Summary:
    """Add up the seconds of the pings that came back."""
    if not times:
        return Summary(sent, 0, None)
    mean = math.fsum(times) / len(times)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in times) / len(times))
    return Summary(sent, len(times), (min(times), mean, max(times), deviation))


ping = Command(
    "ping",
    callback=_ping,
    help=(
        "Measure DDP round trips, and sum them up, as ping(8) does for packets. "
        "It goes on until Ctrl-C, which is its proper end: the exit code is then 0 if any answer came, else 1. "
        "With -c, Ctrl-C before the end is 130."
    ),
    short_help="Measure round trips.",
    params=[
        click.Option(["-c", "--count"], type=click.IntRange(min=1), metavar="N", help="Stop after so many."),
        click.Option(
            ["-i", "--interval"],
            type=Seconds(),
            default=1.0,
            metavar="S",
            help="Seconds from one to the next; 0 sends the next when the one before is back. [default: 1]",
        ),
        click.Option(
            ["-W", "--wait"],
            type=Seconds(),
            default=10.0,
            metavar="S",
            help="Seconds to wait for the last answers. [default: 10]",
        ),
        *connection_options(
            "Seconds until the session must stand, 0 for no limit. [default: 30] If given, also those until it ends."
        ),
        *OUTPUT_OPTIONS,
    ],
    notes={
        "Output on a pipe": [
            ("each answer", '{"seq":1,"ms":0.412}'),
            ("at the end", '{"sent":3,"received":3,"lost":0,"min":...} and avg, max, mdev, in ms'),
        ],
        "Exit codes": [
            ("0", "an answer came back"),
            ("1", "none did"),
            ("3  5  6", "no connection; the --timeout that was given; connection lost"),
            ("130", "Ctrl-C before -c was reached"),
        ],
    },
    examples=[
        ("ddp ping", "until Ctrl-C"),
        ("ddp ping -c 3 -i 0.2", "three, quickly"),
        ("ddp ping -c 10 -i 0 | tail -1 | jq .avg", "a number for programs"),
    ],
)
