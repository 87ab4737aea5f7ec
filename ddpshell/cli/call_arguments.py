"""The words behind the name of a method or a publication: how they are declared, and what help says of them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from .. import ejson
from ..ejson import EJSONValue
from ..ejson.convert import loss_note
from ..exceptions import CommandError, DDPTimeout, EJSONError
from ..text.literals import parse_argument, read_text
from .command_classes import Rows
from .process import Process

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["GRAMMAR", "STRING_OPTION", "WORDS", "SeenName", "check_text", "note_losses", "read_arguments"]

WORDS = click.Argument(["words"], metavar="[ARG]...", nargs=-1)


STRING_OPTION = click.Option(
    ["-s", "--string", "as_strings"], is_flag=True, help="Take each ARG as a string, just as it stands."
)


#: What a word may look like, and what it means then.
GRAMMAR: Rows = [
    ("5  -1  true  null", "numbers and constants of JSON"),
    ("Hello  http://x", "a string: anything that is no literal"),
    ("""'"5"'""", "a string that would be something else"),
    ("'{a: [1, 2]}'", "JSON; keys need no quotes, strings may have single ones"),
    ("""'Date("2026-01-02")'""", "Date Binary RegExp ObjectID Decimal Custom; Infinity NaN"),
    ("""'{"$date": 0}'""", "EJSON"),
    ("@FILE  -", "one value, read from a file or from standard input"),
    ("@@x", "the string @x"),
    ("--", "what follows is no option (-1 needs none)"),
]


_STANDARD_INPUT = "standard input"


def read_arguments(words: Iterable[str], process: Process, *, as_strings: bool) -> list[EJSONValue]:
    """Read the arguments of a call.

    `@file` is a value read from a file, `-` (or `@-`) one from standard input, `@@x` the string `@x`; anything else
    a literal if it is one, and a string if not.

    Args:
        as_strings: All words are strings, just as they stand: `@file`, `@@x` and `-` too.

    Raises:
        CommandError: A literal that is none, a file that cannot be read. The message says which argument.
        DDPTimeout: Standard input, or a pipe in place of a file, does not end.
    """
    values: list[EJSONValue] = []
    sources: set[str] = set()
    for number, word in enumerate(words, start=1):
        name = f"argument {number}"
        check_text(word, name)
        if as_strings:
            values.append(word)
        elif word in ("-", "@-"):
            if _STANDARD_INPUT in sources:
                raise CommandError(f"{name}: standard input can be read only once")
            sources.add(_STANDARD_INPUT)
            values.append(_value(_read_standard_input(process), f"{name} ({_STANDARD_INPUT})"))
        elif word.startswith("@@"):
            values.append(word[1:])
        elif word.startswith("@"):
            values.append(_value(_read_file(word[1:], name, process), f"{name} ({word[1:]})"))
        else:
            values.append(_value(word, name))
        try:
            # Too deep, for example: better said here than where the call is made.
            ejson.encode(values[-1])
        except EJSONError as error:
            raise CommandError(f"{name}: {error}") from None
    return values


def check_text(word: str, name: str) -> None:
    """Refuse what is no text.

    Raises:
        CommandError: The bytes of the word are no UTF-8; Python has put halves of surrogate pairs in their place.
    """
    try:
        word.encode()
    except UnicodeEncodeError:
        raise CommandError(f'{name} is not UTF-8 text; binary data goes in as Binary("base64")') from None


def note_losses(values: Iterable[object], where: str, process: Process, *, is_sent: bool = False) -> bool:
    """Write a note if a server in JavaScript changes something in these values (see `loss_note`); say whether it does."""
    note = loss_note(values, where, is_sent=is_sent)
    if note is not None:
        process.console.note(note)
    return note is not None


def _value(text: str, name: str) -> EJSONValue:
    try:
        return parse_argument(text)
    except CommandError as error:
        raise CommandError(f"{name}{_line_of(error)}: {error}", error.text, error.position) from None


def _line_of(error: CommandError) -> str:
    """Which line is meant, where there are several."""
    if error.position is None or "\n" not in error.text:
        return ""
    return f", line {error.text.count(chr(10), 0, error.position) + 1}"


def _read_file(path: str, name: str, process: Process) -> str:
    if not path:
        raise CommandError(f"{name}: @ must be followed by a file's name; the text @ is written @@")
    try:
        from pathlib import Path

        with process.interrupting(f"end of {path}"), Path(path).expanduser().open("rb") as file:
            return read_text(file, f"{name} ({path})")
    except DDPTimeout:  # which is an OSError too
        raise
    except OSError as error:
        hint = f"; for the text @{path} itself, write @@{path}"
        raise CommandError(f"{name}: cannot read {path}: {error.strerror or error}{hint}") from None


def _read_standard_input(process: Process) -> str:
    if sys.stdin is None:
        raise CommandError("standard input is closed")
    if sys.stdin.isatty():
        process.console.note("reading one value from the terminal; end it with Ctrl-D on a line of its own")
    try:
        with (
            process.interrupting(f"end of {_STANDARD_INPUT}"),
            os.fdopen(sys.stdin.fileno(), "rb", closefd=False) as file,
        ):
            return read_text(file, _STANDARD_INPUT)
    except DDPTimeout:  # which is an OSError too
        raise
    except OSError as error:
        raise CommandError(f"cannot read {_STANDARD_INPUT}: {error.strerror or error}") from None


class SeenName(click.ParamType[str]):
    """The name of a method or a publication: no server tells what there are, but some have been typed in the shell.

    Args:
        role: The name of a `Role` of the shell's.
    """

    name = "name"

    def __init__(self, role: str) -> None:
        self._role = role

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Any text is one."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Those that have been typed, the latest first."""
        from click.shell_completion import CompletionItem

        from ..shell.commands.shell import shell_registry
        from ..shell.names import Names
        from ..shell.registry import Role
        from .did_you_mean import typed_before, unknown_names
        from .folders import state_folder

        names = Names(shell_registry())
        names.use_history(lambda: typed_before(state_folder()), unknown_names(state_folder()))
        found = [name for name in names.of(Role[self._role]) if name.startswith(incomplete)]
        # A word of the command line has neither spaces nor quotes around it.
        return [CompletionItem(name) for name in found if re.fullmatch(r"[\w./:@%+-]+", name)]
