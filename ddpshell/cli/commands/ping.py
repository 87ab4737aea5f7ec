"""`ddp ping`: measures round trips and prints statistics, as ping(8) does."""

from __future__ import annotations

import math
from concurrent.futures import Future
from typing import TypeAlias

import click
from msgspec import Struct

from ...client import Client, ConnectionState
from ...ejson.json_text import JSONValue
from ...exceptions import DDPTimeout
from ...text.charts import Bin, bins_of, histogram_lines, line_of_blocks
from ...text.escaping import escape_line
from ...text.prose import milliseconds
from ..connection import connected, wait_for_session
from ..event_queue import EventQueue
from ..group import Command
from ..options import AT_LEAST_1, flag, option, shared_options
from ..output import OutputFormat
from ..process import ExitCode, Process, Terminated
from ..settings import settings_of
from ..types import Seconds


def _ping(process: Process, count: int | None, interval: float, wait: float, histogram: bool) -> int:
    settings = settings_of(process)
    if process.console.output_format is OutputFormat.TABLE:
        raise click.UsageError("ddp ping does not take -o table, only pretty and json")

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
            # Ctrl-C is the usual end, but with -c it is an early one.
            signal = interruption if count is not None or isinstance(interruption, Terminated) else None
            if process.console.err.is_terminal:
                # The cursor is after the ^C that the terminal shows.
                process.console.error_lines([""])
        pings.summarize(histogram=histogram)
        if signal is not None:
            raise signal
        if pings.failure is not None:
            raise pings.failure
        return ExitCode.DONE if pings.times else ExitCode.SERVER_ERROR


# The number of a ping, from 1, and the seconds until its answer.
_Answer: TypeAlias = tuple[int, Future[float]]


class _Pings:
    """The pings of one run.

    Args:
        client: A client with an open session.
        process: The run of `ddp`.
        queue: Receives the answers.
    """

    def __init__(self, client: Client, process: Process, queue: EventQueue[_Answer]) -> None:
        #: The seconds until each answer, by the number of the ping.
        self.times: dict[int, float] = {}
        #: The error that ended the run, if there was one.
        self.failure: BaseException | None = None
        self._sent = 0
        self._awaited = 0
        self._client = client
        self._process = process
        self._queue = queue
        self._is_text = process.console.shown_as is OutputFormat.PRETTY
        self._began = process.clock.now()

    def run(self, count: int | None, interval: float, wait: float) -> None:
        """Send pings and print their answers.

        Args:
            count: The number of pings; None for no limit.
            interval: Seconds from one ping to the next; 0 to send the next one after each answer.
            wait: Seconds to wait for the last answers.
        """
        clock = self._process.clock
        # The default limits only the time to connect; --timeout limits the whole run.
        end = self._process.deadline if "timeout" in self._process.options else None
        due = last = clock.now()
        while self.failure is None:
            now = clock.now()
            if end is not None and now >= end:
                self.failure = DDPTimeout(f"stopped after {self._process.timeout:g} s")
                return
            is_done = count is not None and self._sent >= count
            if is_done and (not self._awaited or now >= last + wait):
                return
            if not is_done and now >= due and (interval or not self._awaited):
                self._send()
                last = now
                # Counted from when the ping was due, to keep the pace; pings that were missed are not sent later.
                due = max(due + interval, now)
                continue
            next_moment = last + wait if is_done else due if interval else None
            moments = [moment for moment in (next_moment, end) if moment is not None]
            for number, answer in self._queue.take_all(min(moments, default=None)):
                self._receive(number, answer)

    def summarize(self, *, histogram: bool) -> None:
        """Print the statistics, and with `histogram` how often each round trip occurred."""
        summary = Summary(self._sent, tuple(self.times.values()))
        console = self._process.console
        if not self._is_text:
            console.tree(summary.as_json(histogram=histogram))
            return
        self._write_text(summary)
        bins = summary.bins if histogram else []
        if bins and self._draws:
            console.write("\n".join(["round trips in ms:", *histogram_lines(bins, console.out.width - 1)]))
        elif bins:
            console.write("\n".join([f"{one.low:g} - {one.high:g} ms: {one.count}" for one in bins]))

    @property
    def _draws(self) -> bool:
        return self._process.console.out.can_show("█×")

    def _send(self) -> None:
        self._sent += 1
        self._awaited += 1
        number = self._sent
        self._client.ping().add_done_callback(lambda answer: self._queue.put((number, answer)))

    def _receive(self, number: int, answer: Future[float]) -> None:
        self._awaited -= 1
        error = answer.exception()
        if error is None:
            seconds = self.times[number] = answer.result()
            console = self._process.console
            if self._is_text:
                console.write(f"pong from {_host(self._client)}: seq={number} time={_milliseconds(seconds)} ms")
            else:
                console.tree({"seq": number, "ms": milliseconds(seconds)})
            return
        status = self._client.status
        if status.state is ConnectionState.FAILED:
            self.failure = status.error
        self._process.console.note(f"no answer to ping {number}: {error}")

    def _write_text(self, summary: Summary) -> None:
        seconds = self._process.clock.now() - self._began
        lost = f"{100 * summary.lost / summary.sent:.3g}" if summary.sent else "0"
        lines = [
            f"--- {_host(self._client)} ping statistics ---",
            f"{summary.sent} sent, {summary.received} received, {summary.lost} lost ({lost}%), {seconds:.1f} s",
        ]
        spread = summary.spread
        if spread is not None:
            numbers = "/".join(_milliseconds(value) for value in spread)
            lines.append(f"rtt min/avg/max/mdev = {numbers} ms")
            if self._sent > 1 and self._draws:
                lines.append(self._drawn(self._process.console.out.width - 1))
        self._process.console.write("\n".join(lines))

    def _drawn(self, width: int) -> str:
        times = [self.times.get(number) for number in range(1, self._sent + 1)]
        blocks, size = line_of_blocks(times, width - 4)
        if size > 1:
            note = f"  each block: the slowest of {size + 1:,}"
            blocks, size = line_of_blocks(times, width - 4 - len(note))
            blocks += f"  each block: the slowest of {size:,}"
        return f"rtt {blocks}"


def _host(client: Client) -> str:
    return escape_line(client.status.url)


def _milliseconds(seconds: float) -> str:
    """Format with as many digits as ping(8)."""
    milliseconds = seconds * 1000
    return (
        f"{milliseconds:.3f}" if milliseconds < 1 else f"{milliseconds:.{max(0, 2 - int(math.log10(milliseconds)))}f}"
    )


class Summary(Struct, frozen=True):
    """Statistics of pings.

    Args:
        sent: The number of pings.
        times: The seconds until each answer.
    """

    sent: int
    times: tuple[float, ...]

    @property
    def received(self) -> int:
        """The number of answers."""
        return len(self.times)

    @property
    def lost(self) -> int:
        """The number of pings without an answer."""
        return self.sent - self.received

    @property
    def spread(self) -> tuple[float, float, float, float] | None:
        """Minimum, mean, maximum and standard deviation of the times; None without answers."""
        if not self.times:
            return None
        mean = math.fsum(self.times) / len(self.times)
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in self.times) / len(self.times))
        return min(self.times), mean, max(self.times), deviation

    @property
    def bins(self) -> list[Bin]:
        """A histogram of the times in milliseconds. It counts rounded times, so that its limits agree with the printed times."""
        return bins_of([round(seconds * 1000, 3) for seconds in self.times])

    def as_json(self, *, histogram: bool) -> dict[str, JSONValue]:
        """Return the statistics for programs, with times in milliseconds."""
        spread = self.spread
        times = [None] * 4 if spread is None else [milliseconds(value) for value in spread]
        tree: dict[str, JSONValue] = {
            "sent": self.sent,
            "received": self.received,
            "lost": self.lost,
            **dict(zip(("min", "avg", "max", "mdev"), times, strict=True)),
        }
        if histogram:
            tree["histogram"] = [[one.low, one.high, one.count] for one in self.bins]
        return tree


ping = Command(
    "ping",
    callback=_ping,
    help=(
        "Measure DDP round trips and print statistics, as ping(8) does for packets. "
        "Runs until Ctrl-C; the exit code is then 0 if there was an answer, otherwise 1."
    ),
    params=[
        option("-c --count", "N", "Stop after N pings.", type=AT_LEAST_1),
        option(
            "-i --interval",
            "S",
            "Seconds between pings; 0 to send the next one after each answer.",
            type=Seconds(),
            default=1,
        ),
        option("-W --wait", "S", "Seconds to wait for the last answers.", type=Seconds(), default=10),
        flag("--histogram", "Print also how often each round trip occurred."),
        *shared_options(
            "Time limit for connecting in seconds; 0 for no limit. If given, it also ends the run. [default: 30]"
        ),
    ],
    notes={
        "Output to a pipe": [
            ("each answer", '{"seq":1,"ms":0.412}'),
            ("statistics", '{"sent":3,"received":3,"lost":0,"min":...}, also avg, max, mdev, in ms'),
            ("--histogram", 'also "histogram":[[0.2,0.4,17],...]: from, up to, and how many'),
        ],
        "Exit codes": [
            ("0", "there was an answer"),
            ("1", "there was no answer"),
            ("3, 5, 6", "could not connect; --timeout is over; connection lost"),
            ("130", "stopped by Ctrl-C before the number of -c was reached"),
        ],
    },
    examples=[
        ("ddp ping", "send pings until Ctrl-C"),
        ("ddp ping -c 3 -i 0.2", "send three pings quickly"),
        ("ddp ping -c 500 -i 0 --histogram", "show how the round trips are distributed"),
        ("ddp ping -c 10 -i 0 | tail -1 | jq .avg", "print the average time"),
    ],
)
