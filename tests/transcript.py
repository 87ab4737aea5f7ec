"""Transcripts of terminal sessions: what a user types and sees. They are compared with a program's output, and recorded.

Texts are compared line by line. `...` stands for any text in a line, and alone on a line for any number of lines. Some parts
may differ, as long as they are of the same kind: durations (`3 ms`), times, ids of 17 letters and digits, the first four
characters of a session id, the expiration date of a login, numbers of 13 digits (milliseconds since the epoch), and the
number of spaces between words.
"""

from __future__ import annotations

import difflib
import itertools
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
    """The output differs from the transcript."""


_KINDS = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "<time>"),
    (re.compile(r"\buntil \d{4}-\d\d-\d\d\b"), "until <day>"),
    (re.compile(r"\b\d{13}\b"), "<milliseconds>"),
    (re.compile(r"\b[2-9A-HJ-NP-TW-Za-km-z]{17}\b"), "<id>"),
    (re.compile(r"\bsession [2-9A-HJ-NP-TW-Za-km-z]{4}\.\.\."), "session <id>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s)\b"), r"<duration> \2"),
    (re.compile(r"(?<=\S)  +"), "  "),
    # The continuation prompt is as wide as the prompt above it.
    (re.compile(r"^ *\.\.\. "), "  ... "),
]


_UNIT = re.compile(r"(?<=<duration> )(ms|s)\b")


def _normal(text: str, *, any_unit: bool = False) -> str:
    lines = []
    for line in text.splitlines():
        for kind, name in _KINDS:
            line = kind.sub(name, line)  # noqa: PLW2901 - it is still the same line
        if any_unit:
            line = _UNIT.sub("s", line)  # noqa: PLW2901
        lines.append(line.rstrip() + "\n")
    return "".join(lines)


def matches(expected: str, actual: str, *, any_unit: bool = False) -> bool:
    """Return whether the output matches a transcript.

    Args:
        expected: The text of the transcript.
        actual: The output.
        any_unit: Accept durations of any length: users think before they type.
    """
    pattern = re.escape(_normal(expected, any_unit=any_unit))
    pattern = re.sub(r"^\\\.\\\.\\\.\\?\n", r"(.*\n)*", pattern, flags=re.MULTILINE).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, _normal(actual, any_unit=any_unit)) is not None


def compare(what: str, expected: str, actual: str) -> None:
    """Raise a `Mismatch` with the difference, if there is one."""
    if not matches(expected, actual):
        lines = difflib.ndiff(_normal(expected).splitlines(), _normal(actual).splitlines())
        raise Mismatch("\n".join([what, *lines]))


# ------------------------------------------------------------------------------------------------------ at a terminal

#: The size of the terminal; all lines of a transcript must fit.
_LINES, _COLUMNS = 300, 80
#: Seconds without output after which a program has printed everything.
_QUIET = 0.7

# The user's input follows a prompt, or the prompt of a continuation line.
_TYPED = re.compile(r"(\S*> | *\.\.\. )(.*)")
# Input after these questions is not displayed.
_QUESTION = re.compile(r"(?:Password|One-time code)\b[^\n]*:")


class TerminalSession:
    """A program with a prompt, in a pseudo-terminal.

    Args:
        command: The command, for bash.
        folder: The working directory.
        environment: All environment variables.
        patience: Seconds to wait for output.
        ours: Replaces the ports of a transcript by those of this test.
        theirs: Replaces the ports of this test by those of the transcript.
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
        """Type the input of a transcript, each line when the screen shows everything before it.

        Args:
            lines: The lines of the transcript, without the command.
            unseen: The input that is not displayed, in order.

        Raises:
            Mismatch: The screen differs from the transcript.
        """
        for number, prompt, typed in _inputs(lines, unseen):
            self._wait_for(lines[:number], prompt)
            self._send(typed)
        self._wait_for(lines, None)
        # Additional output is a difference, too.
        while self._read(_QUIET):
            self._wait_for(lines, None)

    def record(self, lines: list[str], unseen: list[str]) -> list[str]:
        """Type the input of a transcript, each line when the prompt is back and the output has ended.

        Returns:
            The lines on the screen at the end.

        Raises:
            Mismatch: An expected prompt does not appear.
        """
        prompt = ""
        for _, prompt, typed in _inputs(lines, unseen):
            if not self._settles_at(prompt):
                raise self._difference([prompt])
            self._send(typed)
        self._settles_at(prompt)
        return self._above

    def styled_lines(self) -> list[list[tuple[pyte.screens.Char, str]]]:
        """The lines of the screen, each as runs of text with one style, up to the last line that is not empty."""
        lines = []
        for y in range(_LINES):
            row = [self._screen.buffer[y][x] for x in range(_COLUMNS)]
            runs = itertools.groupby(row, key=lambda char: char._replace(data=""))
            lines.append([(style, self._theirs("".join(char.data for char in run))) for style, run in runs])
        while lines and not "".join(text for _, text in lines[-1]).strip():
            lines.pop()
        return lines

    @property
    def _above(self) -> list[str]:
        """The lines above the cursor."""
        return [self._theirs(row.rstrip()) for row in self._screen.display[: self._screen.cursor.y]]

    @property
    def _row(self) -> str:
        return self._theirs(self._screen.display[self._screen.cursor.y].rstrip())

    def _settles_at(self, prompt: str) -> bool:
        """Read until the prompt is back and the output has ended; return whether it is, in time."""
        clock = SystemClock()
        deadline = clock.now() + self._patience
        while self._read(_QUIET) or self._row.strip() != prompt.strip():
            if self._child.flag_eof or clock.now() > deadline:
                return False
        return True

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
        """Read some output; return False if there is none in time, or if the program has ended."""
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
        return Mismatch("\n".join([f"$ {self._command}", *lines, "the program ended here, or waits for input"]))


def _inputs(lines: list[str], unseen: list[str]) -> Iterator[tuple[int, str, str]]:
    """Return the line number, the prompt and the input of each line that ends with input."""
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
        """Answer a query of the program, such as the position of the cursor."""
        self._program.send(data)
