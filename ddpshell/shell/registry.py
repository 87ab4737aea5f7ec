"""Commands: typed functions, and what everything else needs to know of them.

    @command(examples=[('call upper "Hello"', "one argument")])
    def call(shell: Shell, method: Method, *params: Value, no_retry: Flag = False) -> Reply: ...

Dispatch, help, completion, colours and "did you mean" all read the same `Registry`, which is made of such functions.
A function's docstring is its command's help. A parameter's annotation says how its words are read and what to suggest
for it; a keyword-only one is an option.
"""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, NamedTuple, TypeAlias

from ..ejson import EJSONValue
from ..exceptions import CommandError
from .parser import Line, Redirection, Word

__all__ = [
    "Collection",
    "Command",
    "CommandName",
    "Count",
    "Examples",
    "Fields",
    "File",
    "Flag",
    "Invocation",
    "Method",
    "Number",
    "Parameter",
    "Publication",
    "ReadFile",
    "Registry",
    "Role",
    "Seconds",
    "Selector",
    "Setting",
    "Text",
    "Value",
    "command",
]


class Role(Enum):
    """What a parameter is for; the values are what to call one in usage and help."""

    METHOD = "METHOD"
    PUBLICATION = "PUBLICATION"
    COLLECTION = "COLLECTION"
    SELECTOR = "SELECTOR"
    VALUE = "VALUE"
    FIELDS = "FIELDS"
    TEXT = "TEXT"
    NUMBER = "NUMBER"
    COUNT = "N"
    SECONDS = "S"
    FILE = "FILE"
    COMMAND = "COMMAND"
    SETTING = "SETTING"
    FLAG = ""


Method = Annotated[str, Role.METHOD]
Publication = Annotated[str, Role.PUBLICATION]
Collection = Annotated[str, Role.COLLECTION]
Selector = Annotated[Any, Role.SELECTOR]
Value = Annotated[Any, Role.VALUE]
Fields = Annotated[Any, Role.FIELDS]
Text = Annotated[str, Role.TEXT]
Number = Annotated[int, Role.NUMBER]
Count = Annotated[int, Role.COUNT]
Seconds = Annotated[float, Role.SECONDS]
File = Annotated[str, Role.FILE]
CommandName = Annotated[str, Role.COMMAND]
Setting = Annotated[str, Role.SETTING]
Flag = Annotated[bool, Role.FLAG]

#: Reads the value in a file, by its name; raises CommandError.
ReadFile: TypeAlias = Callable[[str], EJSONValue]

#: Lines to type, and what they do.
Examples: TypeAlias = Sequence[tuple[str, str]]


class Parameter(NamedTuple):
    """What a command takes.

    Args:
        name: Of the function's parameter.
        role: How it is read.
        is_optional: It may be left out.
        is_repeated: It takes all words that are left.
        is_option: It is given by name, `--like-this`.
        label: What to call it in the usage.
    """

    name: str
    role: Role
    is_optional: bool
    is_repeated: bool
    is_option: bool
    label: str

    @property
    def option(self) -> str:
        """How it is typed, if it is an option."""
        return "--" + self.name.replace("_", "-")

    @property
    def usage(self) -> str:
        """How it stands in the usage line."""
        if self.is_option:
            return f"[{self.option}]" if self.role is Role.FLAG else f"[{self.option} {self.label}]"
        if self.is_repeated:
            return f"[{self.label}]..." if self.is_optional else f"{self.label}..."
        return f"[{self.label}]" if self.is_optional else self.label


class Command:
    """One command.

    Args:
        function: What to run: with the shell, then with the arguments.
        examples: Lines to type.
        labels: What to call parameters in the usage, where their role's name says too little.
        options: What the options do, by the names of the parameters.
        is_numbered: Whether its answers may come later, or can be used as `$1`: they are shown with a number.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        examples: Examples,
        labels: dict[str, str],
        options: dict[str, str],
        *,
        is_numbered: bool,
    ) -> None:
        self.function = function
        self.name = function.__name__.rstrip("_")
        self.examples = examples
        self.options_help = options
        self.is_numbered = is_numbered
        self._labels = labels

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return inspect.cleandoc(self.function.__doc__ or "").partition("\n")[0]

    @property
    def details(self) -> str:
        """The rest of its help, with the lines as they stand in the source."""
        return inspect.cleandoc(self.function.__doc__ or "").partition("\n")[2].strip()

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it takes, in order."""
        hints = typing.get_type_hints(self.function, include_extras=True)
        return tuple(
            _parameter(parameter, hints[name], self._labels)
            for name, parameter in list(inspect.signature(self.function).parameters.items())[1:]
        )

    @property
    def arguments(self) -> list[Parameter]:
        """Those of the parameters that are no options."""
        return [parameter for parameter in self.parameters if not parameter.is_option]

    @property
    def options(self) -> list[Parameter]:
        """Those of the parameters that are."""
        return [parameter for parameter in self.parameters if parameter.is_option]

    @property
    def usage(self) -> str:
        """Its name, and what it takes."""
        return " ".join([self.name, *(parameter.usage for parameter in self.parameters)])

    def option(self, name: str) -> Parameter | None:
        """The option that is typed so."""
        return next((option for option in self.options if option.option == name), None)

    def argument(self, index: int) -> Parameter | None:
        """What the argument at an index is, counted without options; None if there is none so far behind."""
        arguments = self.arguments
        if index < len(arguments):
            return arguments[index]
        return arguments[-1] if arguments and arguments[-1].is_repeated else None


def command(
    *,
    examples: Examples = (),
    labels: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    is_numbered: bool = False,
) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function; see `Command` for the arguments. Its docstring is its help, the first line by itself."""

    def decorate(function: Callable[..., Any]) -> Command:
        return Command(function, examples, labels or {}, options or {}, is_numbered=is_numbered)

    return decorate


def _parameter(parameter: inspect.Parameter, hint: Any, labels: dict[str, str]) -> Parameter:
    role = next(item for hinted in _flattened(hint) for item in hinted.__metadata__ if isinstance(item, Role))
    is_repeated = parameter.kind is inspect.Parameter.VAR_POSITIONAL
    return Parameter(
        name=parameter.name,
        role=role,
        is_optional=is_repeated or parameter.default is not inspect.Parameter.empty,
        is_repeated=is_repeated,
        is_option=parameter.kind is inspect.Parameter.KEYWORD_ONLY,
        label=labels.get(parameter.name, role.value),
    )


def _flattened(hint: Any) -> Iterator[Any]:
    """The annotated types of a hint, which may be a union with None."""
    if hasattr(hint, "__metadata__"):
        yield hint
    else:
        for part in typing.get_args(hint):
            yield from _flattened(part)


# ----------------------------------------------------------------------------------------------- invocations


class Invocation(NamedTuple):
    """A line that can be run.

    Args:
        command: What to run.
        positional: The arguments, in order.
        options: Those given by name.
        line: Where it came from.
    """

    command: Command
    positional: tuple[Any, ...]
    options: dict[str, Any]
    line: Line

    @property
    def redirection(self) -> Redirection | None:
        """Where its output goes, if not to the screen."""
        return self.line.redirection

    def run(self, shell: Any) -> Any:
        """Run it; what it returns is for the display."""
        return self.command.function(shell, *self.positional, **self.options)


class Registry:
    """All commands of one shell, by name.

    Args:
        groups: The commands by headings, for the help.
    """

    def __init__(self, groups: dict[str, Iterable[Command]]) -> None:
        self.groups = {heading: tuple(commands) for heading, commands in groups.items()}
        self._commands = {command.name: command for commands in self.groups.values() for command in commands}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def get(self, name: str) -> Command | None:
        """The command of this name."""
        return self._commands.get(name)

    def names(self) -> list[str]:
        """All names, in order."""
        return list(self._commands)

    def similar(self, name: str) -> str | None:
        """The name that may have been meant."""
        starts = [other for other in self._commands if len(name) > 1 and other.startswith(name.lower())]
        if len(starts) == 1:
            return starts[0]
        return next(iter(get_close_matches(name.lower(), self._commands, n=1)), None)

    def find(self, line: Line) -> Command:
        """The command that a line begins with.

        Raises:
            CommandError: There is none; the message says what may have been meant.
        """
        word = line.words[0]
        found = self.get(word.text)
        if found is None:
            similar = self.similar(word.text)
            advice = f"did you mean {similar}?" if similar else "`help` lists all"
            raise CommandError(f"no command {word.text[:40]}; {advice}", line.text, word.start)
        return found

    def bind(self, line: Line, read_file: ReadFile | None = None) -> Invocation:
        """Find out what a line means.

        Args:
            line: The line.
            read_file: What reads files that hold arguments; without it, those arguments are None.

        Raises:
            CommandError: No such command, or it does not take such words. `position` says where that shows.
        """
        found = self.find(line)
        if line.problem is not None:
            raise line.problem
        return _bind(found, line, read_file)


def _bind(found: Command, line: Line, read_file: ReadFile | None) -> Invocation:
    words: list[Word] = []
    options: dict[str, Any] = {}
    pending = list(line.words[1:])
    while pending:
        word = pending.pop(0)
        if word.text == "--":
            words += pending
            break
        if word.text.startswith("--"):
            name, equals, rest = word.text.partition("=")
            option = found.option(name)
            if option is None:
                raise CommandError(_unknown_option(found, name), line.text, word.start)
            if option.role is Role.FLAG:
                if equals:
                    raise CommandError(f"{name} takes no value", line.text, word.start + len(name))
                options[option.name] = True
                continue
            if equals:
                # A literal behind the sign would have been cut at its first space.
                value = Word(word.start + len(name) + 1, word.end, rest, rest)
            elif pending:
                value = pending.pop(0)
            else:
                raise CommandError(f"{name} needs a value: {option.usage.strip('[]')}", line.text, word.end)
            options[option.name] = _read(option, value, line.text, read_file)
        else:
            words.append(word)
    return Invocation(found, tuple(_positional(found, words, line, read_file)), options, line)


def _positional(found: Command, words: list[Word], line: Line, read_file: ReadFile | None) -> Iterator[Any]:
    for index, word in enumerate(words):
        parameter = found.argument(index)
        if parameter is None:
            most = f"no more than that: {found.usage}" if found.usage != found.name else "no arguments"
            raise CommandError(f"{found.name} takes {most}", line.text, word.start)
        yield _read(parameter, word, line.text, read_file)
    for parameter in found.arguments[len(words) :]:
        if not parameter.is_optional:
            end = line.words[-1].end
            raise CommandError(f"{parameter.label} is missing: {found.usage}", line.text, end)


def _unknown_option(found: Command, name: str) -> str:
    known = [option.option for option in found.options]
    similar = get_close_matches(name, known, n=1)
    if similar:
        return f"no option {name}; did you mean {similar[0]}?"
    has = f"{found.name} has {' '.join(known)}" if known else f"{found.name} has no options"
    return f"no option {name}; {has}; behind -- it is text"


def _read(parameter: Parameter, word: Word, text: str, read_file: ReadFile | None) -> Any:
    """What a word means for a parameter."""
    if parameter.role in (Role.VALUE, Role.SELECTOR, Role.FIELDS):
        if word.file is not None:
            if read_file is None:
                return None
            word = word._replace(value=_in_file(word, text, read_file))
        elif word.text == "-":
            raise CommandError("there is no standard input here; @FILE reads a file, '-' is the text", text, word.start)
    match parameter.role:
        case Role.VALUE | Role.FIELDS:
            return word.value
        case Role.SELECTOR:
            return _selector(word, text)
        case Role.NUMBER:
            return _number(
                word, text, f"{parameter.label} is the number of a command, such as 3 for what is shown as [3]"
            )
        case Role.COUNT:
            return _number(word, text, f"{parameter.label} is a whole number")
        case Role.SECONDS:
            if isinstance(word.value, (int, float)) and not isinstance(word.value, bool) and word.value >= 0:
                return float(min(word.value, sys.float_info.max))
            raise CommandError(f"{word.text[:40]} is not a valid number of seconds", text, word.start)
        case _:
            return word.name


def _in_file(word: Word, text: str, read_file: ReadFile) -> EJSONValue:
    try:
        return read_file(word.file or "")
    except CommandError as error:
        if error.position is None:
            raise CommandError(error.message, text, word.start) from None
        raise


def _selector(word: Word, text: str) -> EJSONValue:
    # A bare word is an id, as Mongo's own shells and Meteor take it.
    if isinstance(word.value, (list, bool)) or word.value is None:
        raise CommandError("a selector is an object, such as {done: false}, or an id", text, word.start)
    return word.value


def _number(word: Word, text: str, advice: str) -> int:
    # As it is shown, [3], as the value is called, $3, or plain.
    digits = word.text.strip("[]$")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9:
        raise CommandError(advice, text, word.start)
    return int(digits)
