"""Windows for the shell: a buffer for the editor alone, and a real pseudo-terminal."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import pexpect
import pyte

from ddpshell.clock import SystemClock
from tests.loopback import PATIENCE
from tests.machine import TOP

# Sequences that move the cursor, or set modes and colors.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|.)")

__all__ = ["Buffer", "Window", "assert_all_ticks", "rows_of"]


def rows_of(text: str, *, columns: int = 80, lines: int = 24) -> list[str]:
    """The rows of a window after a text is written to it, without the empty rows at the bottom."""
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(text.replace("\r\n", "\n").replace("\n", "\r\n"))
    rows = [row.rstrip() for row in screen.display]
    while rows and not rows[-1]:
        rows.pop()
    return rows


class Buffer(io.StringIO):
    """Standard output. A test can wait for a text in it."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def write(self, text: str) -> int:
        with self._changed:
            written = super().write(text)
            self._changed.notify_all()
        return written

    def wait_for(self, seen: Callable[[str], bool] | str) -> str:
        """Wait until the whole output contains a text or satisfies a condition. Returns the output."""
        look = seen if callable(seen) else lambda text: seen in text
        with self._changed:
            assert self._changed.wait_for(lambda: look(self.getvalue()), PATIENCE), rows_of(self.getvalue())
            return self.getvalue()


class Window:
    """A program in a pseudo-terminal, and the screen that a user would see.

    `written` has all bytes of the output, and `plain` has its text without control sequences. The end of the `with` block
    ends the program.

    Args:
        arguments: The arguments of `ddp`.
        environment: Environment variables that differ from those of the test.
        program: Another program than `ddp`.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        lines: int = 24,
        environment: dict[str, str] | None = None,
        program: list[str] | None = None,
    ) -> None:
        self.written = bytearray()
        self.plain = ""
        #: Whether to maintain the screen. That is slower than most programs write.
        self.is_looking = True
        self._rest = ""  # the start of an incomplete sequence
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._screen = pyte.HistoryScreen(columns, lines, history=5000)
        self._stream = pyte.ByteStream(self._screen)
        command = [*(program or [sys.executable, "-m", "ddpshell"]), *arguments]
        self.child: pexpect.spawn[bytes] = pexpect.spawn(
            command[0],
            command[1:],
            cwd=str(TOP),
            env={**os.environ, **(environment or {})},
            dimensions=(lines, columns),
            echo=True,
            timeout=PATIENCE,
        )
        self.child.delaybeforesend = None
        self.child.delayafterread = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.close(force=True)

    def press(self, keys: str) -> None:
        """Type keys."""
        data = keys.encode()
        # In pieces, because the terminal's buffer is small, and the output of the program must be read meanwhile.
        for start in range(0, len(data), 512):
            self.child.send(data[start : start + 512])
            self._read(0)

    def paste(self, text: str) -> None:
        """Paste a text, as a terminal with bracketed paste does."""
        self.press(f"\x1b[200~{text}\x1b[201~")

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self._screen.resize(lines, columns)
        self.child.setwinsize(lines, columns)

    @property
    def rows(self) -> list[str]:
        """The visible rows."""
        rows = [row.rstrip() for row in self._screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def all_rows(self) -> list[str]:
        """The visible rows, and above them the rows that have scrolled away."""
        above = [
            "".join(line[column].data for column in range(self._screen.columns)).rstrip()
            for line in self._screen.history.top
        ]
        return [*above, *self.rows]

    @property
    def text(self) -> str:
        """All rows as one text."""
        return "\n".join(self.all_rows)

    def wait_for(self, seen: Callable[[], bool] | str) -> None:
        """Wait until a text is or was visible, or a condition is true."""
        look = seen if callable(seen) else lambda: seen in self.plain or seen in "\n".join(self.rows)
        clock = SystemClock()
        deadline = clock.now() + PATIENCE
        while not look():
            assert self._read(max(0.0, deadline - clock.now()) or -1), f"{seen!r} did not appear:\n{self.text}"

    def interrupt_until(self, text: str, command: str = "") -> None:
        """Press Ctrl-C until a text is visible. A Ctrl-C can get lost while another program gets the terminal.

        Args:
            text: The text.
            command: A command to type first. A terminal discards a line with a Ctrl-C before the shell has read the line.
        """
        for _ in range(50):
            if command:
                self.press(f"{command}\r")
                self._read(0.2)
            self.press("\x03")
            while text not in self.plain and self._read(0.2):
                pass
            if text in self.plain:
                return
        raise AssertionError(f"{text!r} did not appear:\n{self.text}")

    def wait_for_prompt(self, typed: str = "") -> None:
        """Wait until the row of the cursor is a prompt with this text, and the cursor is at its end."""
        pattern = re.compile(rf"^\S*> {re.escape(typed)}$" if typed else r"^\S*>$")

        def is_there() -> bool:
            row = self._screen.display[self._screen.cursor.y].rstrip()
            return bool(pattern.match(row)) and self._screen.cursor.x >= len(row)

        self.wait_for(is_there)

    def wait_for_end(self) -> int | None:
        """Wait until the program has ended. Returns its exit code."""
        while self._read(PATIENCE):
            pass
        self.child.close()
        return self.child.exitstatus

    def _read(self, seconds: float) -> bool:
        """Read some output. Returns False at its end or after a timeout. With 0 seconds, do not wait."""
        if seconds < 0:
            return False
        try:
            data = self.child.read_nonblocking(1 << 16, timeout=seconds)
        except pexpect.EOF:
            return False
        except pexpect.TIMEOUT:
            return seconds == 0
        self.written += data
        if self.is_looking:
            self._stream.feed(data)
        text = self._rest + self._decode(data)
        cut = text.rfind("\x1b", max(0, len(text) - 20))
        whole, self._rest = (text, "") if cut < 0 else (text[:cut], text[cut:])
        self.plain += _SEQUENCE.sub("", whole).replace("\r\n", "\n")
        return True


@contextlib.contextmanager
def thread(function: Callable[[], object]) -> Iterator[None]:
    """Call a function on another thread during a `with` block. If it fails, the test fails."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    running = threading.Thread(target=run)
    running.start()
    try:
        yield
    finally:
        running.join(PATIENCE * 2)
        if errors:
            raise errors[0]


def assert_all_ticks(window: Window) -> None:
    """Check that each frame of the publication `ticker`, and each change, was shown in order.

    Frames and changes that are missing because the machine is too slow must have been counted.
    """
    frames = [int(found) for found in re.findall(r'"fields":\{"n":(\d+)', window.plain)]
    changes = [int(found) for found in re.findall(r'~ ticks/tick \{"n": (\d+)', window.plain)]
    dropped = re.findall(r"\.\.\. ([\d,]+) lines? w\w+ not shown", window.plain)
    missing = 0
    for numbers in (frames, changes):
        assert numbers == sorted(set(numbers)), "numbers are shown in order, and none of them twice"
        missing += numbers[-1] - len(numbers)
    assert missing <= sum(int(count.replace(",", "")) for count in dropped)
    assert len(frames) > 100
