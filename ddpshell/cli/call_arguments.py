"""How the name and the arguments of a call or a subscription are read, and which name the user may have meant.

Most arguments are plain words. The functions for other arguments import the grammar of literals, which takes as long to load
as a plain argument takes to be sent and answered. Only an error or completion needs the names that the shell has learned.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from .. import ejson
from ..ejson import EJSONValue
from ..ejson.convert import loss_note
from ..exceptions import CommandError, EJSONError, MethodError, ServerError
from ..protocol.server_error import is_unknown_name
from ..protocol.urls import Endpoint
from ..text.escaping import quote
from .output import END_KEYS
from .process import ExactText, Process, file_errors, usage_error
from .settings import state_file

if TYPE_CHECKING:
    from pathlib import Path

    from ..shell.names import Names


def read_arguments(words: Sequence[str], process: Process, *, as_strings: bool) -> list[EJSONValue]:
    """Read the arguments of a call, and print a note if JavaScript cannot represent one of them exactly.

    `@file` is the value in a file, `-` (or `@-`) the value on standard input, and `@@x` the string `@x`. Any other word is a
    literal if it can be read as one, and otherwise a string. If there is a `--params`, it has the arguments.

    Args:
        words: The arguments, as typed.
        process: The run of `ddp`.
        as_strings: Whether all words are strings, even `@file`, `@@x` and `-`.

    Raises:
        CommandError: A literal is not valid, or a file cannot be read. The message names the argument.
        DDPTimeout: Standard input, or a pipe in the place of a file, did not end in time.
    """
    values: list[EJSONValue] = []
    if process.params is not None:
        if words or as_strings:
            raise usage_error(f"--params has all arguments, so it cannot be used with {'ARG' if words else '-s'}")
        value = _read_word(process.params, "--params", process)
        if not isinstance(value, list):
            raise CommandError("--params must be an array of all arguments, such as '[\"Hello\", 5]'")
        values = value
    if not as_strings and len(words) > 1:
        _note_split_object(words, process)
    for number, word in enumerate(words, start=1):
        name = f"argument {number}"
        is_text = as_strings or isinstance(word, ExactText)
        if is_text or word.startswith("@@"):
            check_text(word, name)
            values.append(str(word) if is_text else word[1:])
            continue
        try:
            value = _read_word(word, name, process)
        except CommandError as error:
            if word != "-" and not word.startswith("@"):
                _advise_quotes(error, words, number - 1, process)
            raise
        if value == word and (meant := likely_meant(word)) is not None:
            process.console.note(f"{name} is sent as the text {quote(word)}; {meant}")
        values.append(value)
    note_losses(values, "an argument", process, is_sent=True)
    return values


def _read_word(word: str, name: str, process: Process) -> EJSONValue:
    """Read a literal, plain text, the file after an @, or standard input for `-`."""
    check_text(word, name)
    if word == "-" or word.startswith("@"):
        shown = "standard input" if word in ("-", "@-") else word[1:]
        value = _value(_read_source(word, shown, name, process), f"{name} ({shown})")
    else:
        value = _value(word, name, process)
    try:
        # Report a value that cannot be sent, such as one that is nested too deeply, with the number of its argument.
        ejson.encode(value)
    except EJSONError as error:
        raise CommandError(f"{name}: {error}") from None
    return value


# A field of an object, as it is left when the shell has expanded {a: 1, b: 2} to two words.
_FIELD = r"(?s)([A-Za-z_$][\w$]*):(?!/)(.+)"

# Text that had quotes in JSON, before the shell removed them.
_BARE_TEXT = r"(?<=[:\[,])(\s*)([^\s\"'{}\[\],:][^\"'{}\[\],:]*?)(\s*)(?=[,}\]])"


# Objects that are typed have fewer words.
_MAX_PIECES = 100


def _note_split_object(words: Sequence[str], process: Process) -> None:
    """Print a note if the shell has expanded the braces of an object: `{a:1,b:2}` is `a:1 b:2` then."""
    for start in range(len(words)):
        pieces: list[str] = []
        end = start
        while end < len(words) and not isinstance(words[end], ExactText):
            if pieces and _open_brackets(pieces[-1]) > 0:
                # The shell splits at each comma, also at those in an array.
                pieces[-1] += f",{words[end]}"
            elif re.fullmatch(_FIELD, words[end]):
                pieces.append(words[end])
            else:
                break
            end += 1
        if end - start < 2 or _open_brackets(pieces[-1]):
            continue
        fields = [match for piece in pieces if (match := re.fullmatch(_FIELD, piece))]
        whole = "{" + ", ".join([f"{field[1]}: {_requoted(field[2])}" for field in fields]) + "}"
        process.console.note(
            f"arguments {start + 1} {'and' if end == start + 2 else 'to'} {end} look like one object that the shell has taken apart; "
            f"if so, put it in quotes: {process.command_with(words[start:end], [whole])}"
        )
        return


def _open_brackets(text: str) -> int:
    return sum(text.count(bracket) for bracket in "[{(") - sum(text.count(bracket) for bracket in ")]}")


def _requoted(text: str) -> str:
    """Return a value that has lost its quotes as a literal."""
    from ..text.literals import opens_literal, parse_argument

    try:
        return text if not isinstance(parse_argument(text), str) or opens_literal(text) else quote(text)
    except CommandError:
        return quote(text)


def _advise_quotes(error: CommandError, words: Sequence[str], start: int, process: Process) -> None:
    """Add to an error about a literal the command with the quotes that the shell has removed, if that is the reason."""
    for end in range(start + 1, min(len(words), start + _MAX_PIECES) + 1):
        text = " ".join(words[start:end])
        for meant in (text, re.sub(_BARE_TEXT, lambda bare: f"{bare[1]}{_requoted(bare[2])}{bare[3]}", text)):
            if _is_value(meant) and (end > start + 1 or meant != text):
                error.add_note(f"did you mean `{process.command_with(words[start:end], [meant])}`?")
                return


def _is_value(text: str) -> bool:
    from ..text.literals import parse_argument

    try:
        parse_argument(text)
    except CommandError:
        return False
    return True


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


_CONSTANT_NAMES = {
    "true": "true", "false": "false", "null": "null", "none": "null", "nil": "null", "undefined": "null",
    "nan": "NaN", "infinity": "Infinity", "inf": "Infinity", "-infinity": "-Infinity",
}  # fmt: skip

# Numbers as they are written elsewhere: 1,000 and 1_000, +5, .5 and 5., 0x1f.
_NUMBER = r"[+-]?[0-9]{1,3}(?:[,_'][0-9]{3})+(?:\.[0-9]+)?|\+[0-9]+(?:\.[0-9]+)?|-?[0-9]+,"


def likely_meant(word: str) -> str | None:
    """Return what to write if a word, which is sent as text, looks like a mistyped value; None if it is plain text."""
    lowered = word.lower()
    for name, constant in _CONSTANT_NAMES.items():
        is_typo = len(name) > 3 and (lowered == name[:-1] or (lowered != name and sorted(lowered) == sorted(name)))
        if lowered == name or is_typo:
            return f"for the constant, write {constant}"
    if word.isidentifier():
        return None
    if re.fullmatch(_NUMBER, word):
        digits = re.sub(r"[,_'+]", "", word)
        return f"for the number, write {int(digits) if digits.lstrip('-').isdecimal() else float(digits):.15g}"
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", word):
        return f"for the number, write {int(word, 16)}"
    if word[:1] in "\u201c\u201d\u201e\u2018\u2019\u00ab" and len(word) > 1:
        return "if its quotes are not part of the text, write '\"...\"'"
    from ..text.grammar import CONSTRUCTORS

    opened = re.match(r"(?:new\s+)?([A-Za-z]+)\(", word)
    constructor = opened and {name.lower(): name for name in CONSTRUCTORS}.get(opened[1].lower())
    if opened and constructor:
        return f"for the value, write {constructor}({word[opened.end() :]}"
    if re.match(r"[A-Za-z_$][\w$]*:=", word):
        return "an object is written as '{name: value}'"
    return None


def _value(text: str, name: str, process: Process | None = None) -> EJSONValue:
    """Read a value. Only with `process` it can read files, so that a value in a file cannot name another file."""
    if text.isidentifier() and text.lower() not in _CONSTANT_NAMES:
        return text
    from ..text.literals import parse_argument, read_file

    def read_bytes(path: str) -> bytes:
        assert process is not None, "without it there are no files"
        return process.read_in_time(lambda: read_file(path), f"end of {path}")

    try:
        return parse_argument(text, read_bytes if process is not None else None)
    except CommandError as error:
        if error.position is not None and "\n" in text:
            name += f", line {text.count(chr(10), 0, error.position) + 1}"
        raise CommandError(f"{name}: {error}", error.text, error.position) from None


def _read_source(word: str, shown: str, name: str, process: Process) -> str:
    """Read the text of the file after an @, or of standard input for `-`."""
    from ..text.literals import read_text

    # The text of --params is an array, never a string.
    hint = "" if name == "--params" else f"; write @{word} for the string {word}"
    file: str | int = os.path.expanduser(word[1:])
    if word in ("-", "@-"):
        process.claim_standard_input(name)
        if sys.stdin is None:
            raise CommandError("standard input is closed")
        if sys.stdin.isatty():
            process.console.note(f"reading one value from the terminal; press {END_KEYS} on an empty line to end it")
        file, hint = sys.stdin.fileno(), ""
    elif word == "@":
        raise CommandError(f"{name}: the name of a file is missing after @{hint}")

    def read() -> str:
        with open(file, "rb", closefd=isinstance(file, str)) as opened:
            return read_text(opened, f"{name} ({shown})")

    with file_errors(f"{name}: cannot read {shown}", hint):
        return process.read_in_time(read, f"end of {shown}")


def read_publication(text: str, where: str) -> tuple[str, list[EJSONValue]]:
    """Read the name and the arguments of a publication, as the shell does.

    Args:
        text: The name and the arguments.
        where: What the text comes from, for errors.

    Raises:
        CommandError: The text is not valid.
    """
    from ..shell.parser import parse
    from ..text.grammar import TokenKind

    lines = parse(text)
    if len(lines) != 1 or lines[0].redirection is not None:
        raise CommandError(f"{where}: give one publication with its arguments, such as 'tasks {{done: false}}'")
    [line] = lines
    if line.problem is not None:
        raise CommandError(f"{where}: {line.problem}")
    name, *words = line.words
    if any(word.file is not None or any(token.kind is TokenKind.FILE for token in word.tokens) for word in words):
        raise CommandError(f"{where} does not read files")
    return name.name, [word.value for word in words]


# ----------------------------------------------------------------------------------------------------- did you mean ...?

# DDP cannot list the names of methods and publications, but the shell's history has some.


def suggest_name(error: ServerError, name: str, process: Process, endpoint: Endpoint) -> None:
    """Add a note with a similar name to an error about an unknown name.

    Args:
        error: The server's error.
        name: The name of the method or publication.
        process: The run of `ddp`, which knows the names of a server in this process.
        endpoint: The address of the server.
    """
    if not is_unknown_name(error):
        return
    from ..shell.registry import Role

    role = Role.METHOD if isinstance(error, MethodError) else Role.PUBLICATION
    names = _names_of_history()
    server = endpoint.server
    names.server = lambda: server
    for known in process.methods if role is Role.METHOD else process.publications:
        names.mark_known(role, known)
    similar = names.similar(role, name)
    if similar is not None:
        error.add_note(f"did you mean {similar}?")


def earlier_names(role: str) -> list[str]:
    """Return the names that were typed in the shell, the latest first.

    Args:
        role: METHOD or PUBLICATION.
    """
    from ..shell.registry import Role

    return _names_of_history().of(Role[role])


def _names_of_history() -> Names:
    from pathlib import Path

    from ..shell.commands.shell import shell_registry
    from ..shell.names import Names

    history = Path(state_file("history") or f"{os.devnull}/history")
    names = Names(shell_registry())
    names.use_history(lambda: earlier_lines(history), history.with_name("unknown-names"))
    return names


def earlier_lines(history: Path) -> Iterator[str]:
    """Read what was typed in the shell, oldest first, without importing prompt_toolkit, which writes the file.

    Args:
        history: The file, which need not exist.
    """
    lines: list[str] = []
    with contextlib.suppress(OSError), history.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("+"):
                lines.append(line[1:])
            elif lines:
                yield "".join(lines)
                lines = []
    if lines:
        yield "".join(lines)
