"""Completions and suggestions for a line that the user types, and adapters of both for prompt_toolkit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from msgspec import Struct
from prompt_toolkit.auto_suggest import AutoSuggest
from prompt_toolkit.auto_suggest import Suggestion as AutoSuggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from ...ejson import EJSONValue
from ...exceptions import CommandError
from ...text.escaping import escape_line, quote
from ...text.grammar import CONSTRUCTORS
from ...text.literals import Expected, Reading, as_name, read
from ..names import Names
from ..parser import Line, Word, parse
from ..registry import Command, Parameter, Registry, Role, given
from ..settings import SETTINGS

_MAX_SUGGESTIONS = 200


class Suggestion(NamedTuple):
    """A text that can be inserted.

    Args:
        text: The text.
        start: The position from which it replaces the typed text.
        about: A short description.
    """

    text: str
    start: int
    about: str = ""


class _Known(Struct, frozen=True):
    """The sources of the suggestions."""

    registry: Registry
    names: Names
    variables: Callable[[], list[str]]
    value: Callable[[str], EJSONValue]
    choices: Callable[[str], Iterable[str]]


# A result with the path to a part of it, or the letters of another word.
_WORD_END = re.compile(r"\$(?:[0-9]+|[A-Za-z_]\w*)(?:\.[\w$]*|\[[0-9]*\]?)*\Z|[\w$.]*\Z")

# A result or a part of it, and the last step of the path, which may be half-typed.
_PATH = re.compile(r"(\$.+?)(\.[\w$]*|\[[0-9]*)\Z", re.DOTALL)

# Items of an array that are suggested.
_MAX_ITEMS = 20

_MESSAGES = (
    "method result updated sub ready nosub added changed removed ping pong connect connected failed error".split()
)

_OPERATORS = {
    "$gt": "greater", "$gte": "greater or equal", "$lt": "less", "$lte": "less or equal", "$ne": "not equal",
    "$in": "in an array", "$nin": "not in an array", "$exists": "the field exists", "$regex": "matches",
    "$not": "does not match", "$all": "has all items of an array", "$size": "an array of this length",
    "$elemMatch": "an item matches", "$mod": "[divisor, remainder]", "$type": "has a type",
    "$and": "all selectors match", "$or": "a selector matches", "$nor": "no selector matches",
}  # fmt: skip


# The operators that stand beside fields. The others stand in the braces of a field.
_LOGICAL = {"$and", "$or", "$nor"}


def suggestions(
    text: str,
    registry: Registry,
    names: Names,
    variables: Callable[[], list[str]] = list,
    value: Callable[[str], EJSONValue] = lambda name: None,
    choices: Callable[[str], Iterable[str]] = lambda label: (),
) -> list[Suggestion]:
    """Return the suggestions for the end of a text.

    Args:
        text: The text before the cursor.
        registry: The commands.
        names: The names of methods, publications, collections and fields that the shell has seen.
        variables: Returns the names of the variables with results.
        value: Returns the value of a variable or of a part of it, or raises CommandError.
        choices: Returns the words for a parameter with this label: `USER`, `URL|PROFILE`.
    """
    known = _Known(registry, names, variables, value, choices)
    lines = parse(text)
    if not lines or not {"\n", ";"}.isdisjoint(text[lines[-1].end :]):
        return (
            [] if text.rpartition("\n")[2].lstrip().startswith("#") else list(_suggest_commands(known, "", len(text)))
        )
    line = lines[-1]
    return list(islice(_suggest_in_line(known, line), _MAX_SUGGESTIONS))


def _suggest_in_line(known: _Known, line: Line) -> Iterator[Suggestion]:
    text = line.text
    if line.redirection is not None:
        if line.redirection.operator != "|" and line.redirection.end == len(text):
            yield from _suggest_files(line.redirection.target, line.redirection.target_start)
        return
    last = line.words[-1]
    # The word at the cursor. It is empty if the cursor is after a space.
    typed = last if last.end == len(text) else Word(len(text), len(text), "")
    before = line.words[:-1] if typed is last else line.words
    if not before:
        yield from _suggest_commands(known, typed.text, typed.start)
        return
    command = known.registry.get(before[0].text)
    if command is None:
        return
    words = list(given(command, [*before[1:], typed]))
    subjects = [
        word.name for word, of, _ in words[:-1] if of is not None and of.role in (Role.COLLECTION, Role.SETTING)
    ]
    subject = subjects[0] if subjects else None
    typed, parameter, is_name = words[-1]
    if typed.is_literal:
        yield from _suggest_in_literal(known, typed, text, parameter.role if parameter else Role.VALUE, subject)
    elif is_name or (typed.text == "-" and not (parameter and parameter.is_option)):
        yield from _suggest_options(command, before, typed)
    elif parameter is not None:
        yield from _suggest_word(known, typed, parameter, subject)


# ------------------------------------------------------------------------------------------------------- words


def _suggest_commands(known: _Known, prefix: str, start: int) -> Iterator[Suggestion]:
    for command in known.registry:
        if command.name.startswith(prefix):
            yield Suggestion(command.name, start, command.summary)


def _suggest_options(command: Command, before: Iterable[Word], typed: Word) -> Iterator[Suggestion]:
    given = {word.text for word in before}
    for option in command.options:
        if option.option.startswith(typed.text) and option.option not in given:
            yield Suggestion(option.option, typed.start, command.options_help.get(option.name, ""))
    if "--help".startswith(typed.text) and typed.text != "-":
        yield Suggestion("--help", typed.start, f"explain {command.name}")


def _suggest_word(known: _Known, typed: Word, parameter: Parameter, subject: str | None) -> Iterator[Suggestion]:
    prefix, start = typed.text, typed.start
    match parameter.role:
        case Role.METHOD | Role.PUBLICATION | Role.COLLECTION:
            yield from _suggest_names(known.names.of(parameter.role), prefix, start)
        case Role.COMMAND:
            yield from _suggest_commands(known, prefix, start)
            topics = known.registry.topics.items()
            yield from (Suggestion(name, start, about) for name, about in topics if name.startswith(prefix))
        case Role.SETTING:
            yield from (
                Suggestion(name, start, setting.summary)
                for name, setting in SETTINGS.items()
                if name.startswith(prefix)
            )
        case Role.FILE:
            yield from _suggest_files(prefix, start)
        case Role.TEXT:
            yield from _suggest_texts(known, parameter, prefix, start, subject)
        case Role.VALUE | Role.SELECTOR | Role.FIELDS if typed.file is not None:
            yield from _suggest_files(prefix[1:], start + 1)
        case Role.FIELDS:
            # A list of fields with commas, each with an optional sign.
            head = re.match(r"(?:.*,)?[-+]?", prefix)
            done = head.end() if head else 0
            yield from _suggest_names(known.names.fields(subject), prefix[done:], start + done)
        case Role.VALUE | Role.SELECTOR if prefix:
            yield from _suggest_values(known, prefix, start)
        case _:
            return


def _suggest_texts(
    known: _Known, parameter: Parameter, prefix: str, start: int, subject: str | None
) -> Iterator[Suggestion]:
    """Suggest words with a fixed meaning: switches, values of settings, filters for frames."""
    choices: Iterable[str] = ()
    if parameter.label == "on|off":
        choices = ("on", "off")
    elif parameter.label == "TYPE|NAME":
        choices = [*_MESSAGES, *known.names.of(Role.METHOD), *known.names.of(Role.PUBLICATION)]
    elif subject in SETTINGS:
        choices = SETTINGS[subject].choices
    else:
        choices = known.choices(parameter.label)
    yield from _suggest_names(choices, prefix, start)


def _suggest_names(names: Iterable[str], prefix: str, start: int) -> Iterator[Suggestion]:
    lowered = prefix.lower()
    for name in names:
        if name.lower().startswith(lowered):
            yield Suggestion(as_name(name), start)


def _suggest_files(prefix: str, start: int) -> Iterator[Suggestion]:
    folder, slash, name = prefix.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(folder + slash) or ".") as entries:  # noqa: PTH111 - the user typed this text
            found = sorted((entry.name, entry.is_dir()) for entry in islice(entries, 5000))
    except OSError:
        return
    for entry, is_folder in found:
        if entry.startswith(name) and (name.startswith(".") or not entry.startswith(".")) and entry.isprintable():
            path = f"{folder}{slash}{entry}{'/' if is_folder else ''}"
            yield Suggestion(path if " " not in path else quote(path), start)


# ---------------------------------------------------------------------------------------------------- literals


def _suggest_in_literal(
    known: _Known, typed: Word, text: str, role: Role, collection: str | None
) -> Iterator[Suggestion]:
    if not typed.is_open and (typed.problem is None or typed.problem.position != len(text)):
        last = typed.tokens[-1] if typed.tokens else None
        if typed.text.startswith("$"):
            yield from _suggest_values(known, typed.text, typed.start)
            return
        if last is None or last.end != len(text) or not re.match(r"[\w$.[]", last.text):
            return
    end = _WORD_END.search(text)
    assert end, "the pattern matches the empty text"
    start = max(end.start(), typed.start)
    prefix = text[start:]
    reading = read(text[:start], typed.start, lambda _: None, lambda _: b"")
    if any(token.is_open for token in reading.tokens) or (reading.problem and not reading.is_open):
        return
    if reading.expected is Expected.KEY:
        is_in_field = role is Role.SELECTOR and _is_in_field(reading)
        if prefix.startswith("$") or (is_in_field and not prefix):
            yield from (
                Suggestion(f"{name}: ", start, about)
                for name, about in _OPERATORS.items()
                if name.startswith(prefix) and (role is not Role.SELECTOR or (name in _LOGICAL) is not is_in_field)
            )
        else:
            for suggestion in _suggest_names(known.names.fields(collection), prefix, start):
                yield suggestion._replace(text=f"{suggestion.text}: ")
    elif reading.expected is Expected.VALUE and prefix:
        yield from _suggest_values(known, prefix, start)


def _is_in_field(reading: Reading) -> bool:
    """Whether a key in a selector is within the braces of a field, where operators are expected: `{n: {`."""
    outer = reading.brackets[-2] if len(reading.brackets) > 1 else None
    return outer is not None and outer.key is not None and (not outer.key.startswith("$") or outer.key == "$not")


def _suggest_parts(known: _Known, base: str, step: str, start: int) -> Iterator[Suggestion]:
    """Suggest the fields and the items of a result."""
    try:
        value = known.value(base)
    except CommandError:
        return
    if isinstance(value, Mapping):
        names = [f".{key}" for key in value if re.fullmatch(r"[\w$]+", key)]
    elif isinstance(value, list):
        names = [f"[{index}]" for index in range(min(len(value), _MAX_ITEMS))]
    else:
        return
    for name in names:
        # After a dot, the items of an array are offered in its place.
        if name.startswith(step) or (step == "." and name.startswith("[")):
            yield Suggestion(f"{base}{name}", start)


def _suggest_values(known: _Known, prefix: str, start: int) -> Iterator[Suggestion]:
    path = _PATH.match(prefix)
    if path is not None:
        yield from _suggest_parts(known, path[1], path[2], start)
        return
    if prefix.startswith("$"):
        yield from (Suggestion(name, start, "a result") for name in known.variables() if name.startswith(prefix))
        return
    constants = [name for name in ("true", "false", "null", "Infinity", "NaN") if name.startswith(prefix)]
    for name, constructor in CONSTRUCTORS.items():
        # After `t`, a user means `true`, not `Text`.
        if name.startswith(prefix) or (not constants and name.lower().startswith(prefix.lower())):
            yield Suggestion(f"{name}(", start, constructor.usage)
    yield from (Suggestion(name, start) for name in constants if name != prefix)


# --------------------------------------------------------------------------------------------------- the adapter


class LineCompleter(Completer):
    """Completes lines in prompt_toolkit.

    Args:
        suggest: Returns the suggestions for the end of a text, as `suggestions` does.
    """

    def __init__(self, suggest: Callable[[str], list[Suggestion]]) -> None:
        self._suggest = suggest

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield the completions at the cursor. While the user types, complete only a word that has begun."""
        text = document.text_before_cursor
        if len(text) > 20_000:
            return
        for suggestion in self._suggest(text):
            typed = text[suggestion.start :]
            if suggestion.text == typed or (not complete_event.completion_requested and not typed):
                continue
            yield Completion(
                suggestion.text,
                start_position=suggestion.start - len(text),
                display=escape_line(suggestion.text),
                display_meta=escape_line(suggestion.about),
            )


class LineSuggester(AutoSuggest):
    """Suggests the rest of the line, which prompt_toolkit shows in gray: from the history, or the only possible completion.

    Args:
        suggest: Returns the suggestions for the end of a text, as `suggestions` does.
        names: The names that the shell has seen.
    """

    def __init__(self, suggest: Callable[[str], list[Suggestion]], names: Names) -> None:
        self._suggest = suggest
        self._names = names

    def get_suggestion(self, buffer: Buffer, document: Document) -> AutoSuggestion | None:
        """Return the rest of the line, or None."""
        text = document.text
        if not text.strip() or len(text) > 2000:
            return None
        for line in reversed(buffer.history.get_strings()):
            if line.startswith(text) and len(line) > len(text) and not self._names.is_unknown_in(line):
                return AutoSuggestion(line[len(text) :])
        found = self._suggest(text)
        if len(found) == 1:
            typed = text[found[0].start :]
            if typed and found[0].text.startswith(typed) and found[0].text != typed:
                return AutoSuggestion(found[0].text[len(typed) :])
        return None
