"""Transcripts: what somebody typed and what was shown, compared with what a program shows, and recorded.

Compared are lines. `...` stands for any text in a line, and alone on a line for any lines. These may differ, as long as
each is of its kind: durations (`3 ms`), times, ids of 17 letters and digits, the first four of a session's, the day until
which a login lasts, numbers of 13 digits (milliseconds since the epoch), and how many spaces there are side by side.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pexpect
import pyte

from ddpshell.clock import SystemClock

__all__ = ["Mismatch", "TerminalSession", "compare", "matches"]


class Mismatch(AssertionError):
    """What happened is not what the transcript says."""


_KINDS = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "<time>"),
    (re.compile(r"\buntil \d{4}-\d\d-\d\d\b"), "until <day>"),
    (re.compile(r"\b\d{13}\b"), "<milliseconds>"),
    (re.compile(r"\b[2-9A-HJ-NP-TW-Za-km-z]{17}\b"), "<id>"),
    (re.compile(r"\bsession [2-9A-HJ-NP-TW-Za-km-z]{4}\.\.\."), "session <id>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s)\b"), r"<duration> \2"),
    (re.compile(r"(?<=\S)  +"), "  "),
    # As wide as the prompt above.
    (re.compile(r"^ *\.\.\. "), "  ... "),
]


_UNIT = re.compile(r"(?<=<duration> )(ms|s)\b")


def _normal(text: str, *, any_unit: bool = False) -> str:
    lines = []
    for line in text.splitlines():
        for kind, name in _KINDS:
            line = kind.sub(name, line)  # noqa: PLW2901 - it stays the same line
        if any_unit:
            line = _UNIT.sub("s", line)  # noqa: PLW2901
        lines.append(line.rstrip() + "\n")
    return "".join(lines)


def matches(expected: str, actual: str, *, any_unit: bool = False) -> bool:
    """Whether what was shown is what was expected, but for what may differ.

    Args:
        expected: What the transcript says.
        actual: What was shown.
        any_unit: Durations may be of any length: people think before they type.
    """
    pattern = re.escape(_normal(expected, any_unit=any_unit))
    pattern = re.sub(r"^\\\.\\\.\\\.\\?\n", r"(.*\n)*", pattern, flags=re.MULTILINE).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, _normal(actual, any_unit=any_unit)) is not None


def compare(what: str, expected: str, actual: str) -> None:
    """Raise a `Mismatch` that shows the difference, if there is one."""
    if not matches(expected, actual):
        lines = difflib.ndiff(_normal(expected).splitlines(), _normal(actual).splitlines())
        raise Mismatch("\n".join([what, *lines]))


# ------------------------------------------------------------------------------------------------------ at a terminal

#: No line of a transcript may be lost at the top.
_LINES, _COLUMNS = 300, 80
#: Seconds in which nothing comes when all has come, as far as a recording can know.
_QUIET = 0.7

# What is typed stands behind a prompt, or behind the sign that a line goes on.
_TYPED = re.compile(r"(\S*> | *\.\.\. )(.*)")
# What is typed behind these is not shown.
_QUESTION = re.compile(r"(?:Password|One-time code)\b[^\n]*:")


class TerminalSession:
    """A program with a prompt, in a pseudo-terminal.

    Args:
        command: For bash.
        folder: Where it runs.
        environment: All of it.
        patience: How long it may take to show something, in seconds.
        ours: Makes a transcript's text what it is on this machine: its ports.
        theirs: The other way round.
    """

    def __init__(
        self,
        command: str,
        folder: Path,
        environment: dict[str, str],
        patience: float,
        ours: Callable[[str], str],
        theirs: Callable[[str], str],
    ) -> None:
        self._command = command
        self._patience = patience
        self._ours = ours
        self._theirs = theirs
        variables = [f"{name}={value}" for name, value in environment.items()]
        self._child: pexpect.spawn[bytes] = pexpect.spawn(
            "env", ["-i", *variables, "bash", "-c", f"exec {ours(command)}"],
            cwd=str(folder), dimensions=(_LINES, _COLUMNS),
        )  # fmt: skip
        self._child.delaybeforesend = None
        self._screen = _Screen(self._child)
        self._stream = pyte.ByteStream(self._screen)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close(force=True)

    def follow(self, lines: list[str], unseen: list[str]) -> None:
        """Type what a transcript says, each line once the screen shows what stands above it.

        Args:
            lines: The transcript, without the command.
            unseen: What is typed where it is not shown, in order.

        Raises:
            Mismatch: The screen shows something else.
        """
        for number, prompt, typed in _inputs(lines, unseen):
            self._wait_for(lines[:number], prompt)
            self._send(typed)
        self._wait_for(lines, None)
        # More than was expected is a difference too.
        while self._read(_QUIET):
            self._wait_for(lines, None)

    def record(self, lines: list[str], unseen: list[str]) -> list[str]:
        """Type what a transcript says, each line when the prompt is back and nothing comes any more.

        Returns:
            What the screen shows then.

        Raises:
            Mismatch: There is no such prompt.
        """
        clock = SystemClock()
        for _, prompt, typed in _inputs(lines, unseen):
            deadline = clock.now() + self._patience
            while self._read(_QUIET) or self._row.strip() != prompt.strip():
                if clock.now() > deadline:
                    raise self._difference([prompt])
            self._send(typed)
        while self._read(self._patience):
            pass
        return self._above

    @property
    def _above(self) -> list[str]:
        """What can be seen above the cursor's row."""
        return [self._theirs(row.rstrip()) for row in self._screen.display[: self._screen.cursor.y]]

    @property
    def _row(self) -> str:
        return self._theirs(self._screen.display[self._screen.cursor.y].rstrip())

    def _wait_for(self, expected: list[str], prompt: str | None) -> None:
        clock = SystemClock()
        deadline = clock.now() + self._patience
        while not (self._shows(expected) and (prompt is None or self._row.strip() == prompt.strip())):
            if not self._read(max(0.0, deadline - clock.now())):
                raise self._difference([*expected, *([] if prompt is None else [prompt])])

    def _shows(self, expected: list[str]) -> bool:
        return matches("\n".join(expected), "\n".join(self._above), any_unit=True)

    def _send(self, typed: str) -> None:
        self._child.send(self._ours(typed) + "\r")

    def _read(self, seconds: float) -> bool:
        """Read what comes; False if nothing does in time, or the program has ended."""
        try:
            self._stream.feed(self._child.read_nonblocking(65536, timeout=seconds))
        except (pexpect.EOF, pexpect.TIMEOUT):
            return False
        return True

    def _difference(self, expected: list[str]) -> Mismatch:
        shown = [self._theirs(row.rstrip()) for row in self._screen.display]
        while shown and not shown[-1]:
            shown.pop()
        lines = difflib.ndiff(_normal("\n".join(expected)).splitlines(), _normal("\n".join(shown)).splitlines())
        return Mismatch("\n".join([f"$ {self._command}", *lines, "and there it ended, or waits"]))


def _inputs(lines: list[str], unseen: list[str]) -> Iterator[tuple[int, str, str]]:
    """The numbers of the lines that end with something typed, the prompts before it, and what it is."""
    secrets = iter(unseen)
    for number, line in enumerate(lines):
        if typed := _TYPED.fullmatch(line):
            yield number, typed[1], typed[2]
        elif _QUESTION.fullmatch(line):
            yield number, line, next(secrets)


class _Screen(pyte.Screen):
    def __init__(self, program: pexpect.spawn[bytes]) -> None:
        super().__init__(_COLUMNS, _LINES)
        self._program = program

    def write_process_input(self, data: str) -> None:
        """Answer a program's question, such as where the cursor is."""
        self._program.send(data)
