"""A pseudo-terminal in which programs with a prompt are measured."""

from __future__ import annotations

import re
import select
import time
from types import TracebackType
from typing import Self

import pexpect

from tests.benchmarks.programs import environment

__all__ = ["Terminal", "plain"]

_PROMPT = re.compile(r":\d+>")
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78])")
_WHERE = b"\x1b[6n"  # a program asks for the cursor position, and a terminal answers


def plain(output: bytes) -> str:
    """The text that a program wrote, without escape sequences for the cursor and colors."""
    return _SEQUENCE.sub("", output.decode(errors="replace"))


class Terminal:
    """A program in a terminal of 30 lines and 100 columns. The end of the `with` block ends the program.

    `output` has all output of the program, and `started` the time of its start (seconds of `time.perf_counter`).
    """

    def __init__(self, command: list[str]) -> None:
        self.output = bytearray()
        self.started = time.perf_counter()
        self._child: pexpect.spawn[bytes] = pexpect.spawn(
            command[0], command[1:], env=environment(), dimensions=(30, 100), echo=False, timeout=30
        )
        self._child.delaybeforesend = None
        self._child.delayafterread = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close(force=True)

    def press(self, keys: str) -> None:
        self._child.send(keys)

    def read(self, seconds: float) -> bytes:
        """Wait for output of the program, and return it. Returns b"" if there is no output within the seconds."""
        if not select.select([self._child.child_fd], [], [], seconds)[0]:
            return b""
        try:
            written: bytes = self._child.read_nonblocking(1 << 20, timeout=0)
        except pexpect.EOF:
            raise AssertionError(f"the program ended: {plain(bytes(self.output))}") from None
        if _WHERE in written:
            self._child.send("\x1b[1;1R")
        self.output += written
        return written

    def wait_for(self, pattern: re.Pattern[str] = _PROMPT, *, seconds: float = 30) -> float:
        """Wait until the pattern matches the whole output of the program, and return the time of the match."""
        deadline = time.perf_counter() + seconds
        while not pattern.search(plain(bytes(self.output))):
            assert self.read(deadline - time.perf_counter()), (
                f"the expected output is missing: {plain(bytes(self.output))}"
            )
        return time.perf_counter()
