"""A simulated user who types while many frames are printed."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping

from tests.benchmarks.terminal import Terminal, plain

__all__ = ["RATE", "typed"]

#: Frames per second.
RATE = 1000

# Keys that occur neither in frames nor in the prompt nor in control sequences.
_KEYS = "QUVWYZ"
_CLEAR = "\x15"
_FRAME = re.compile(r'<- [^\n]*"n":(\d+)')
# Seconds between keys, as of a fast typist, and between words.
_PAUSE, _REST = 0.05, 0.3


def typed(command: list[str], count: int) -> Mapping[str, float]:
    """Type into the shell while `count` changes arrive. Each of them is a frame on the screen.

    Returns:
        `p95`: the milliseconds within which 95 of 100 keys were visible. `lost`: the number of frames that were never visible.
    """
    with Terminal([*command, "--debug"]) as terminal:
        terminal.wait_for()
        terminal.wait_for(re.compile("connected"))
        terminal.press(f"sub ticks {RATE} {count}\r")
        terminal.wait_for(re.compile("changed"))
        times = []
        last = f'"n":{count}'.encode()
        while last not in _uncoloured(terminal.output[-20_000:]):
            for key in _KEYS:
                times.append(_echo(terminal, key))
                _watch(terminal, _PAUSE)
            terminal.press(_CLEAR)
            _watch(terminal, _REST)
        shown = {int(number) for number in _FRAME.findall(plain(bytes(terminal.output)))}
    return {
        "p95": statistics.quantiles(times, n=20, method="inclusive")[-1] * 1000,
        "lost": len(set(range(1, count + 1)) - shown),
    }


def _uncoloured(output: bytearray) -> bytes:
    return plain(bytes(output)).replace(" ", "").encode()


def _echo(terminal: Terminal, key: str) -> float:
    """Press a key, and return the seconds until the key is visible."""
    pressed = time.perf_counter()
    terminal.press(key)
    while key.encode() not in terminal.read(10):
        assert time.perf_counter() < pressed + 10, plain(bytes(terminal.output[-5000:]))
    return time.perf_counter() - pressed


def _watch(terminal: Terminal, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        terminal.read(left)
