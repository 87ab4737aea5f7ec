"""Scripts: run the commands of a file or a pipe one after another, and write a session as a script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from ..exceptions import DDPError, DDPTimeout
from ..protocol.server_error import quoted
from ..text.grammar import TokenKind
from .dispatch import dispatch
from .parser import Continuation, Line, parse
from .registry import given
from .state import Shell

# Commands whose arguments are the numbers of other commands.
_TAKES_NUMBERS = frozenset({"cancel", "full", "unsub", "unwatch", "wait"})
_NUMBER = re.compile(r"([\[$]?)([0-9]{1,9})")
_NAME = re.compile(r"\$([A-Za-z]\w*|_\w+)")

# Seconds that a program after `|` gets for reading a result that came without a confirmation.
_PROGRAM_TIMEOUT = 1.0


class ScriptOutcome(Struct, frozen=True):
    """How far a script got.

    Args:
        commands: How many commands were run.
        error: The first error, or None.
    """

    commands: int
    error: BaseException | None


def run_script(
    shell: Shell, lines: Iterable[str], name: str = "", *, keep_going: bool = False, waits: bool = True
) -> ScriptOutcome:
    """Run the commands of a script. The shell's display shows results and errors.

    Lines are run as they come, so they may come from a pipe that stays open. All of them together may take as long as
    `Hooks.time_left` says.

    Args:
        shell: The shell that runs them.
        lines: The script. A command may span several lines.
        name: The name of the script, for errors.
        keep_going: Continue after an error.
        waits: Run each command after the answer to the one before.

    Returns:
        How far the script got. Commands that are pending when an error ends the script continue.

    Raises:
        OSError: Results cannot be written.
    """
    commands = 0
    first: BaseException | None = None
    name = name or "script"
    for number, text in _complete_texts(lines):
        left = parse(text)
        while left:
            line = left.pop(0)
            where = f"{name}, line {number + text.count(chr(10), 0, line.start)}"
            if shell.hooks.time_left() == 0:
                late = DDPTimeout("not run: the time limit was reached")
                shell.display.failure(None, late, where=where)
                return ScriptOutcome(commands, first or late)
            commands += 1
            try:
                with shell.current.located(where):
                    error = _run(shell, line, waits=waits)
            except KeyboardInterrupt:
                if left:
                    shell.display.note([("note", f"{where}: stopped here; the rest was not run")])
                raise
            shell.display.flush()
            first = first or error
            if (error is not None and not keep_going) or shell.is_leaving:
                return ScriptOutcome(commands, first)
    return ScriptOutcome(commands, first)


def _run(shell: Shell, line: Line, *, waits: bool) -> BaseException | None:
    try:
        job = dispatch(shell, line)
        if job is None or not waits:
            return None
        if not shell.wait({job}) and not (shell.settle({job}) and shell.jobs.wait({job}, _PROGRAM_TIMEOUT)):
            client = shell.link.current_client
            refusal = "" if client is None else quoted(client.status.refusal)
            raise DDPTimeout(f"no answer to {line.words[0].text} within the time limit{refusal}")
    except DDPError as error:
        shell.display.failure(None, error, where=shell.current.where)
        return error
    return shell.jobs.pop_error(job)


def _complete_texts(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Join lines until nothing is open. Gives each text with the number of its first line."""
    continuation = Continuation()
    text: list[str] = []
    first = 1
    for number, line in enumerate(lines, start=1):
        if not text:
            first = number
        text.append(line)
        if not continuation.continues_after(line.removesuffix("\n")):
            yield first, "".join(text)
            text = []
    if text:
        yield first, "".join(text)


def session_script(shell: Shell) -> list[str]:
    """The logged commands as a script, with the numbers that its commands will have.

    A command that refers to a command which was not logged is left out.
    """
    saved: list[str] = []
    numbers: dict[int, int] = {}
    variables: set[str] = set()
    last = 0
    for command in shell.logged:
        if not _variables(command.text) <= variables:
            continue
        renumbered = _renumbered(shell, command.text, numbers)
        if renumbered is None:
            continue
        saved.append(renumbered)
        variables |= {line.variable for line in parse(command.text) if line.variable is not None}
        for number in range(command.first + 1, command.last + 1):
            last += 1
            numbers[number] = last
    return saved


def _variables(text: str) -> set[str]:
    """The names of the variables in a command."""
    found = set()
    for line in parse(text):
        for word in line.words:
            for token, following in zip(word.tokens, [*word.tokens[1:], None], strict=False):
                is_key = following is not None and following.kind is TokenKind.COLON
                name = None if is_key or token.kind is not TokenKind.VARIABLE else _NAME.match(token.text)
                if name is not None:
                    found.add(name[1])
    return found


def _renumbered(shell: Shell, text: str, numbers: dict[int, int]) -> str | None:
    """A command with the new numbers of the commands that it refers to; None if one of them is missing."""
    places: list[int] = []
    for line in parse(text):
        command = shell.registry.get(line.words[0].text)
        for word in line.words[1:]:
            places += [token.start for token in word.tokens if token.kind is TokenKind.VARIABLE]
        if command is not None and command.name in _TAKES_NUMBERS:
            for word, parameter, _ in given(command, line.words[1:]):
                # Variables have been found above.
                if parameter is not None and not parameter.is_option and not word.text.startswith("$"):
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
