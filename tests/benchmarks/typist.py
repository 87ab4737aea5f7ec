"""Somebody who types while the screen is flooded."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping

from tests.benchmarks.terminal import Terminal, plain

__all__ = ["RATE", "typed"]

#: Frames a second.
RATE = 1000

# Keys that neither the frames nor the prompt, nor what moves the cursor, has in it.
_KEYS = "QUVWYZ"
_CLEAR = "\x15"
_FRAME = re.compile(r'<- [^\n]*"n":(\d+)')
# Seconds between keys, as fast as people are who type well, and between words.
_PAUSE, _REST = 0.05, 0.3


def typed(command: list[str], count: int) -> Mapping[str, float]:
    """Type into the shell while so many changes come, each of which is a frame on the screen.

    Returns:
        `p95`: within how many milliseconds 95 of 100 keys could be seen. `lost`: frames that never could.
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
    """Press a key, and wait until it can be seen; in seconds."""
    pressed = time.perf_counter()
    terminal.press(key)
    while key.encode() not in terminal.read(10):
        assert time.perf_counter() < pressed + 10, plain(bytes(terminal.output[-5000:]))
    return time.perf_counter() - pressed


def _watch(terminal: Terminal, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        terminal.read(left)
