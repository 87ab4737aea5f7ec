"""What may be meant by what is being typed: rules on a half-typed line, and a thin adapter for prompt_toolkit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from prompt_toolkit.auto_suggest import AutoSuggest
from prompt_toolkit.auto_suggest import Suggestion as AutoSuggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from ...text.escaping import escape_line, quote
from ...text.literals import CONSTRUCTORS, Expected, as_name, read
from ..names import Names
from ..parser import Line, Word, parse
from ..registry import Command, Parameter, Registry, Role
from ..settings import SETTINGS

__all__ = ["LineCompleter", "LineSuggest", "Suggestion", "suggestions"]

_MOST = 200


class Suggestion(NamedTuple):
    """Something to insert.

    Args:
        text: What.
        start: From where in the text on it replaces what is there.
        about: What it is, in a few words; safe to show.
    """

    text: str
    start: int
    about: str = ""


class _Known(NamedTuple):
    """What suggestions are made of."""

    registry: Registry
    names: Names
    variables: Callable[[], list[str]]


_WORD_END = re.compile(r"[\w$.]*\Z")

_MESSAGES = (
    "method result updated sub ready nosub added changed removed ping pong connect connected failed error".split()
)

_OPERATORS = {
    "$gt": "greater", "$gte": "greater or equal", "$lt": "less", "$lte": "less or equal", "$ne": "not equal",
    "$in": "one of an array", "$nin": "none of an array", "$exists": "is there at all", "$regex": "matches",
    "$not": "does not match", "$all": "holds all of an array", "$size": "an array of so many items",
    "$elemMatch": "an item matches", "$mod": "[divisor, remainder]", "$type": "is of a type",
    "$and": "all of several selectors", "$or": "one of several selectors", "$nor": "none of several selectors",
}  # fmt: skip


def suggestions(
    text: str, registry: Registry, names: Names, variables: Callable[[], list[str]] = list
) -> list[Suggestion]:
    """What to suggest at the end of a text.

    Args:
        text: What stands before the cursor.
        registry: The commands.
        names: What has been learnt.
        variables: Gives the names of results.
    """
    known = _Known(registry, names, variables)
    lines = parse(text)
    if not lines or "\n" in text[lines[-1].end :]:
        return [] if text.rpartition("\n")[2].lstrip().startswith("#") else list(_commands(known, "", len(text)))
    line = lines[-1]
    return list(islice(_in_line(known, line), _MOST))


def _in_line(known: _Known, line: Line) -> Iterator[Suggestion]:
    text = line.text
    if line.redirection is not None:
        if line.redirection.operator != "|" and line.redirection.end == len(text):
            yield from _files(line.redirection.target, line.redirection.target_start)
        return
    last = line.words[-1]
    # What is typed at the moment: the last word, or one that has not begun.
    typed = last if last.end == len(text) else Word(len(text), len(text), "")
    before = line.words[:-1] if typed is last else line.words
    if not before:
        yield from _commands(known, typed.text, typed.start)
        return
    command = known.registry.get(before[0].text)
    if command is None:
        return
    parameter, collection = _meant(command, before[1:])
    if typed.is_literal:
        yield from _in_literal(known, typed, text, parameter.role if parameter else Role.VALUE, collection)
    elif typed.text.startswith("-") and not (parameter and parameter.is_option):
        yield from _options(command, before, typed)
    elif parameter is not None:
        yield from _in_word(known, typed, parameter, collection)


def _meant(command: Command, words: Iterable[Word]) -> tuple[Parameter | None, str | None]:
    """What the word behind these is, and the collection that they name."""
    index = 0
    collection = None
    awaited: Parameter | None = None
    for word in words:
        if awaited is not None:
            awaited = None
        elif word.text.startswith("--"):
            option = command.option(word.text)
            awaited = option if option is not None and option.role is not Role.FLAG else None
        else:
            parameter = command.argument(index)
            if parameter is not None and parameter.role is Role.COLLECTION:
                collection = word.name
            index += 1
    return awaited or command.argument(index), collection


# ------------------------------------------------------------------------------------------------------- words


def _commands(known: _Known, prefix: str, start: int) -> Iterator[Suggestion]:
    for command in known.registry:
        if command.name.startswith(prefix):
            yield Suggestion(command.name, start, command.summary)


def _options(command: Command, before: Iterable[Word], typed: Word) -> Iterator[Suggestion]:
    given = {word.text for word in before}
    for option in command.options:
        if option.option.startswith(typed.text) and option.option not in given:
            yield Suggestion(option.option, typed.start, command.options_help.get(option.name, ""))


def _in_word(known: _Known, typed: Word, parameter: Parameter, collection: str | None) -> Iterator[Suggestion]:
    prefix, start = typed.text, typed.start
    match parameter.role:
        case Role.METHOD | Role.PUBLICATION | Role.COLLECTION:
            yield from _named(known.names.of(parameter.role), prefix, start)
        case Role.COMMAND:
            yield from _commands(known, prefix, start)
        case Role.SETTING:
            yield from (
                Suggestion(name, start, setting.summary)
                for name, setting in SETTINGS.items()
                if name.startswith(prefix)
            )
        case Role.FILE:
            yield from _files(prefix, start)
        case Role.TEXT:
            yield from _texts(known, parameter, prefix, start)
        case Role.VALUE | Role.SELECTOR | Role.FIELDS if typed.file is not None:
            yield from _files(prefix[1:], start + 1)
        case Role.FIELDS:
            # Several of them with commas, each with a sign.
            head = re.match(r"(?:.*,)?[-+]?", prefix)
            done = head.end() if head else 0
            yield from _named(known.names.fields(collection), prefix[done:], start + done)
        case Role.VALUE | Role.SELECTOR if prefix:
            yield from _values(known, prefix, start)
        case _:
            return


def _texts(known: _Known, parameter: Parameter, prefix: str, start: int) -> Iterator[Suggestion]:
    """Words of a few commands that are no names: switches, values of settings, filters of frames."""
    choices: Iterable[str] = ()
    if parameter.label == "on|off":
        choices = ("on", "off")
    elif parameter.label == "TYPE|NAME":
        choices = [*_MESSAGES, *known.names.of(Role.METHOD), *known.names.of(Role.PUBLICATION)]
    elif parameter.label == "VALUE":
        choices = dict.fromkeys(choice for setting in SETTINGS.values() for choice in setting.choices)
    yield from _named(choices, prefix, start)


def _named(names: Iterable[str], prefix: str, start: int) -> Iterator[Suggestion]:
    lowered = prefix.lower()
    for name in names:
        if name.lower().startswith(lowered):
            yield Suggestion(as_name(name), start)


def _files(prefix: str, start: int) -> Iterator[Suggestion]:
    folder, slash, name = prefix.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(folder + slash) or ".") as entries:  # noqa: PTH111 - of a text, as typed
            found = sorted((entry.name, entry.is_dir()) for entry in islice(entries, 5000))
    except OSError:
        return
    for entry, is_folder in found:
        if entry.startswith(name) and (name.startswith(".") or not entry.startswith(".")) and entry.isprintable():
            path = f"{folder}{slash}{entry}{'/' if is_folder else ''}"
            yield Suggestion(path if " " not in path else quote(path), start)


# ---------------------------------------------------------------------------------------------------- literals


def _in_literal(known: _Known, typed: Word, text: str, role: Role, collection: str | None) -> Iterator[Suggestion]:
    if not typed.is_open and (typed.problem is None or typed.problem.position != len(text)):
        last = typed.tokens[-1] if typed.tokens else None
        if typed.text.startswith("$"):
            yield from _values(known, typed.text, typed.start)
        elif last is None or last.end != len(text) or not re.match(r"[\w$]", last.text):
            return
    end = _WORD_END.search(text)
    assert end, "it matches the empty text"
    start = max(end.start(), typed.start)
    prefix = text[start:]
    reading = read(text[:start], typed.start, lambda _: None)
    if any(token.is_open for token in reading.tokens) or (reading.problem and not reading.is_open):
        return
    if reading.expected is Expected.KEY:
        if prefix.startswith("$"):
            yield from (
                Suggestion(f"{name}: ", start, about) for name, about in _OPERATORS.items() if name.startswith(prefix)
            )
        else:
            for suggestion in _named(known.names.fields(collection), prefix, start):
                yield suggestion._replace(text=f"{suggestion.text}: ")
    elif reading.expected is Expected.VALUE and prefix:
        yield from _values(known, prefix, start)


def _values(known: _Known, prefix: str, start: int) -> Iterator[Suggestion]:
    if prefix.startswith("$"):
        yield from (Suggestion(name, start, "a result") for name in known.variables() if name.startswith(prefix))
        return
    for name, constructor in CONSTRUCTORS.items():
        if name.lower().startswith(prefix.lower()):
            yield Suggestion(f"{name}(", start, constructor.usage)
    for name in ("true", "false", "null", "Infinity", "NaN"):
        if name.startswith(prefix) and name != prefix:
            yield Suggestion(name, start)


# --------------------------------------------------------------------------------------------------- the adapter


class LineCompleter(Completer):
    """The same for prompt_toolkit.

    Args:
        registry: The commands.
        names: What has been learnt.
        variables: Gives the names of results.
    """

    def __init__(self, registry: Registry, names: Names, variables: Callable[[], list[str]]) -> None:
        self._registry = registry
        self._names = names
        self._variables = variables

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Give what to insert at the cursor; while typing, only where something was begun."""
        text = document.text_before_cursor
        if len(text) > 20_000:
            return
        for suggestion in suggestions(text, self._registry, self._names, self._variables):
            typed = text[suggestion.start :]
            if suggestion.text == typed or (not complete_event.completion_requested and not typed):
                continue
            yield Completion(
                suggestion.text,
                start_position=suggestion.start - len(text),
                display=escape_line(suggestion.text),
                display_meta=escape_line(suggestion.about),
            )


class LineSuggest(AutoSuggest):
    """Suggests how the line may end.

    Args:
        registry: The commands.
        names: What has been learnt.
        variables: Gives the names of results.
    """

    def __init__(self, registry: Registry, names: Names, variables: Callable[[], list[str]]) -> None:
        self._registry = registry
        self._names = names
        self._variables = variables

    def get_suggestion(self, buffer: Buffer, document: Document) -> AutoSuggestion | None:
        """Give what is missing at the end of the text."""
        text = document.text
        if not text.strip() or len(text) > 2000:
            return None
        for line in reversed(buffer.history.get_strings()):
            if line.startswith(text) and len(line) > len(text) and not self._names.is_unknown_in(line):
                return AutoSuggestion(line[len(text) :])
        found = suggestions(text, self._registry, self._names, self._variables)
        if len(found) == 1:
            typed = text[found[0].start :]
            if typed and found[0].text.startswith(typed) and found[0].text != typed:
                return AutoSuggestion(found[0].text[len(typed) :])
        return None
