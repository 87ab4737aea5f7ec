"""The name and the arguments of a call or a subscription: their parameters, their help, and how arguments are read."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import ejson
from ..ejson import EJSONValue
from ..ejson.convert import loss_note
from ..exceptions import CommandError, DDPTimeout, EJSONError
from ..text.escaping import quote
from ..text.literals import opens_literal, parse_argument, read, read_text
from .command_classes import Rows
from .process import Process

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["GRAMMAR", "STRING_OPTION", "WORDS", "SeenName", "check_text", "note_losses", "read_arguments"]

WORDS = click.Argument(["words"], metavar="[ARG]...", nargs=-1)


STRING_OPTION = click.Option(
    ["-s", "--string", "as_strings"], is_flag=True, help="Send each ARG unchanged, as a string."
)


#: The section of the help about arguments.
GRAMMAR: Rows = [
    ("5  -1  true  null", "a number or a constant, as in JSON"),
    ("Hello  http://x", "a string: any other text needs no quotes"),
    ("""'"5"'""", 'the string "5", not the number'),
    ("'{a: [1, 2]}'", "JSON; keys need no quotes, strings may be in single quotes"),
    ("""'Date("2026-01-02")'""", "also Binary, RegExp, ObjectID, Decimal, Custom, Infinity, NaN"),
    ("""'{"$date": 0}'""", "EJSON"),
    ("@FILE  -", "the value in a file; the value on standard input"),
    ("@@x", "the string @x"),
    ("--", "the words after this are arguments, even if they begin with -"),
]


_STANDARD_INPUT = "standard input"


def read_arguments(words: Sequence[str], process: Process, *, as_strings: bool) -> list[EJSONValue]:
    """Read the arguments of a call.

    `@file` is the value in a file, `-` (or `@-`) the value on standard input, and `@@x` the string `@x`. Any other word is a
    literal if it can be read as one, and otherwise a string.

    Args:
        words: The arguments, as typed.
        process: The run of `ddp`.
        as_strings: Whether all words are strings, even `@file`, `@@x` and `-`.

    Raises:
        CommandError: A literal is not valid, or a file cannot be read. The message names the argument.
        DDPTimeout: Standard input, or a pipe in the place of a file, did not end in time.
    """
    values: list[EJSONValue] = []
    if not as_strings:
        _note_split_object(words, process)
    for number, word in enumerate(words, start=1):
        name = f"argument {number}"
        check_text(word, name)
        if as_strings:
            values.append(word)
        elif word in ("-", "@-"):
            process.claim_standard_input(name)
            values.append(_value(_read_standard_input(process), f"{name} ({_STANDARD_INPUT})"))
        elif word.startswith("@@"):
            values.append(word[1:])
        elif word.startswith("@"):
            values.append(_value(_read_file(word[1:], name, process), f"{name} ({word[1:]})"))
        else:
            try:
                values.append(_value(word, name))
            except CommandError as error:
                _advise_quotes(error, words, number - 1, process)
                raise
        try:
            # Report a value that cannot be sent, such as one that is nested too deeply, with the number of its argument.
            ejson.encode(values[-1])
        except EJSONError as error:
            raise CommandError(f"{name}: {error}") from None
    return values


# A field of an object, as it is left when the shell has expanded {a: 1, b: 2} to two words.
_FIELD = re.compile(r"([A-Za-z_$][\w$]*):(?!/)(.+)", re.DOTALL)

# Text that had quotes in JSON, before the shell removed them.
_BARE_TEXT = re.compile(r"(?<=[:\[,])(\s*)([^\s\"'{}\[\],:][^\"'{}\[\],:]*?)(\s*)(?=[,}\]])")


# Objects that are typed have fewer words.
_MAX_PIECES = 100


def _note_split_object(words: Sequence[str], process: Process) -> None:
    """Print a note if the shell has expanded the braces of an object: `{a:1,b:2}` is `a:1 b:2` then."""
    for start in range(len(words)):
        end = start
        while end < len(words) and _FIELD.fullmatch(words[end]):
            end += 1
        if end - start < 2:
            continue
        fields = [match for word in words[start:end] if (match := _FIELD.fullmatch(word))]
        whole = "{" + ", ".join([f"{field[1]}: {_requoted(field[2])}" for field in fields]) + "}"
        process.console.note(
            f"arguments {start + 1} {'and' if end == start + 2 else 'to'} {end} look like one object that the shell has taken apart; "
            f"if so, put it in quotes: {process.command_with(words[start:end], [whole])}"
        )
        return


def _requoted(text: str) -> str:
    """Return a value that has lost its quotes as a literal."""
    try:
        return text if not isinstance(parse_argument(text), str) or opens_literal(text) else quote(text)
    except CommandError:
        return quote(text)


def _advise_quotes(error: CommandError, words: Sequence[str], start: int, process: Process) -> None:
    """Add to an error about a literal the command with the quotes that the shell has removed, if that is the reason."""
    for end in range(start + 1, min(len(words), start + _MAX_PIECES) + 1):
        text = " ".join(words[start:end])
        for meant in (text, _BARE_TEXT.sub(lambda bare: f"{bare[1]}{_requoted(bare[2])}{bare[3]}", text)):
            if read(meant).problem is None and (end > start + 1 or meant != text):
                error.add_note(f"did you mean `{process.command_with(words[start:end], [meant])}`?")
                return


def check_text(word: str, name: str) -> None:
    """Check that a word is valid text.

    Args:
        word: The word. Python decodes bytes that are not UTF-8 as lone surrogates.
        name: The name of the argument for the error message.

    Raises:
        CommandError: The word is not UTF-8.
    """
    try:
        word.encode()
    except UnicodeEncodeError:
        raise CommandError(f'{name} is not UTF-8 text; write binary data as Binary("base64")') from None


def note_losses(values: Iterable[object], where: str, process: Process, *, is_sent: bool = False) -> bool:
    """Print a note if JavaScript cannot represent some of these values exactly (see `loss_note`).

    Returns:
        Whether a note was printed.
    """
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
    """Return `, line N` for an error in text of several lines, otherwise ""."""
    if error.position is None or "\n" not in error.text:
        return ""
    return f", line {error.text.count(chr(10), 0, error.position) + 1}"


def _read_file(path: str, name: str, process: Process) -> str:
    if not path:
        raise CommandError(f"{name}: the name of a file is missing after @; write @@ for the string @")
    try:
        from pathlib import Path

        with process.interrupting(f"end of {path}"), Path(path).expanduser().open("rb") as file:
            return read_text(file, f"{name} ({path})")
    except DDPTimeout:  # is an OSError too
        raise
    except OSError as error:
        hint = f"; write @@{path} for the string @{path}"
        raise CommandError(f"{name}: cannot read {path}: {error.strerror or error}{hint}") from None


def _read_standard_input(process: Process) -> str:
    if sys.stdin is None:
        raise CommandError("standard input is closed")
    if sys.stdin.isatty():
        process.console.note("reading one value from the terminal; press Ctrl-D on an empty line to end it")
    try:
        with (
            process.interrupting(f"end of {_STANDARD_INPUT}"),
            os.fdopen(sys.stdin.fileno(), "rb", closefd=False) as file,
        ):
            return read_text(file, _STANDARD_INPUT)
    except DDPTimeout:  # is an OSError too
        raise
    except OSError as error:
        raise CommandError(f"cannot read {_STANDARD_INPUT}: {error.strerror or error}") from None


class SeenName(click.ParamType[str]):
    """The name of a method or a publication. DDP cannot list names, so completion offers those typed earlier in the shell.

    Args:
        role: METHOD or PUBLICATION.
    """

    name = "name"

    def __init__(self, role: str) -> None:
        self._role = role

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept any text."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Complete with earlier names, the latest first."""
        from click.shell_completion import CompletionItem

        from .did_you_mean import earlier_names

        found = [name for name in earlier_names(self._role) if name.startswith(incomplete)]
        # Completion cannot add quotes, so it leaves out names that need them.
        return [CompletionItem(name) for name in found if re.fullmatch(r"[\w./:@%+-]+", name)]
