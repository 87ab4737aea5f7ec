"""Commands from a file or a pipe: one after another, each when the one before is answered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from msgspec import Struct

from ..exceptions import DDPError, DDPTimeout
from ..protocol.server_error import quoted
from ..text.tokens import TokenKind
from .dispatch import dispatch
from .parser import Line, parse
from .registry import Role
from .state import Shell
from .terminal.continuation import Continuation

__all__ = ["Done", "run_script", "saved_lines"]

# Commands whose arguments are numbers of other commands.
_BY_NUMBER = frozenset({"cancel", "full", "unsub", "unwatch", "wait"})
_NUMBER = re.compile(r"([\[$]?)([0-9]{1,9})")


# Seconds for a program behind a pipe to read an answer that is taken when the time is over.
_GRACE = 1.0


class Done(Struct, frozen=True):
    """How far a script got.

    Args:
        commands: How many were run.
        error: The first error, or None.
    """

    commands: int
    error: BaseException | None


def run_script(
    shell: Shell,
    lines: Iterable[str],
    name: str = "",
    *,
    keep_going: bool = False,
) -> Done:
    """Run commands; results and errors are shown by the shell's display.

    Lines are run as they come, so they may come from a pipe whose other end is somebody's program. `Shell.time_left`
    is the time for all of them together.

    Args:
        shell: What runs them.
        lines: The script; a command may stretch over several lines.
        name: The script's, for errors.
        keep_going: Go on after an error.

    Returns:
        How many there were, and the first error. What was under way at an error, goes on.

    Raises:
        OSError: Results cannot be written.
    """
    commands = 0
    first: BaseException | None = None
    for number, text in _whole(lines):
        for line in parse(text):
            where = f"{name or 'script'}, line {number + text.count(chr(10), 0, line.start)}"
            if shell.time_left() == 0:
                late = DDPTimeout("not run, since the time is over")
                shell.display.failure(None, late, where=where)
                return Done(commands, first or late)
            commands += 1
            with shell.located(where):
                error = _run(shell, line)
            shell.display.flush()
            first = first or error
            if (error is not None and not keep_going) or shell.is_leaving:
                return Done(commands, first)
    return Done(commands, first)


def _run(shell: Shell, line: Line) -> BaseException | None:
    try:
        job = dispatch(shell, line)
        if job is None:
            return None
        if not shell.wait({job}) and not (shell.settle({job}) and shell.jobs.wait({job}, _GRACE)):
            raise DDPTimeout(f"no answer to {line.words[0].text} when the time was over{_refusal(shell)}")
    except DDPError as error:
        shell.display.failure(None, error, where=shell.where)
        return error
    return shell.jobs.error(job)


def _refusal(shell: Shell) -> str:
    return "" if shell.made_client is None else quoted(shell.made_client.status.refusal)


def _whole(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Texts that are complete, and the numbers of the lines at which they begin."""
    continuation = Continuation()
    text: list[str] = []
    begin = 1
    for number, line in enumerate(lines, start=1):
        if not text:
            begin = number
        text.append(line)
        if not continuation.goes_on(line.removesuffix("\n")):
            yield begin, "".join(text)
            text = []
    if text:
        yield begin, "".join(text)


def saved_lines(shell: Shell) -> list[str]:
    """The commands of a session as a script: with the numbers that they will have then, if some were left out.

    A command that needs the number of one that was left out is left out too.
    """
    saved: list[str] = []
    numbers: dict[int, int] = {}
    last = 0
    for index, text in enumerate(shell.lines):
        before, after = shell.line_numbers.get(index, (0, 0))
        renumbered = _renumbered(shell, text, numbers) if shell.line_numbers else text
        if renumbered is None:
            continue
        saved.append(renumbered)
        for number in range(before + 1, after + 1):
            last += 1
            numbers[number] = last
    return saved


def _renumbered(shell: Shell, text: str, numbers: dict[int, int]) -> str | None:
    """A command with other numbers of commands; None if it has one that is not known."""
    places: list[int] = []
    for line in parse(text):
        command = shell.registry.get(line.words[0].text)
        for word in line.words[1:]:
            places += [token.start for token in word.tokens if token.kind is TokenKind.VARIABLE]
        if command is not None and command.name in _BY_NUMBER:
            for previous, word in pairwise(line.words):
                option = command.option(previous.text)
                is_value = option is not None and option.role is not Role.FLAG
                # A variable has been found already.
                if not is_value and not word.text.startswith("$"):
                    places.append(word.start)
    for place in sorted(places, reverse=True):
        match = _NUMBER.match(text, place)
        if match is None:
            continue
        number = numbers.get(int(match[2]))
        if number is None:
            return None
        text = f"{text[: match.start(2)]}{number}{text[match.end(2) :]}"
    return text
