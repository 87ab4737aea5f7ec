"""The commands: typed functions, from which dispatch, help, completion and highlighting learn what can be typed.

    @command(examples=[('call upper "Hello"', "one argument")])
    def call(shell: Shell, method: Method, *params: Value, no_retry: Flag = False) -> Reply: ...

A `Registry` is made of such functions. The docstring of a function is the help of its command. The annotation of a
parameter says how a word is read, and what completion suggests for it. A keyword-only parameter is an option.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Annotated, Any, NamedTuple, TypeAlias

from msgspec import Struct

from ..ejson import EJSONValue
from ..exceptions import CommandError
from ..text.prose import closest
from .parser import Line, Word


class Role(Enum):
    """The kind of a parameter. The value is its name in usage lines."""

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

#: Reads the value in the file with this name, or raises CommandError.
ReadFile: TypeAlias = Callable[[str], EJSONValue]

#: Commands to type, and what they do.
Examples: TypeAlias = Sequence[tuple[str, str]]


class Parameter(Struct, frozen=True):
    """A parameter of a command.

    Args:
        name: The name of the function's parameter.
        role: Its kind.
        is_optional: It may be left out.
        is_repeated: It takes all remaining words.
        is_option: It is given by name, `--like-this`.
        label: Its name in the usage line.
    """

    name: str
    role: Role
    is_optional: bool
    is_repeated: bool
    is_option: bool
    label: str

    @property
    def option(self) -> str:
        """The word that gives it, if it is an option."""
        return "--" + self.name.replace("_", "-")

    @property
    def usage(self) -> str:
        """Its part of the usage line."""
        if self.is_option:
            return f"[{self.option}]" if self.role is Role.FLAG else f"[{self.option} {self.label}]"
        if self.is_repeated:
            return f"[{self.label}]..." if self.is_optional else f"{self.label}..."
        return f"[{self.label}]" if self.is_optional else self.label


class Command(Struct, eq=False, dict=True):
    """One command.

    Args:
        function: Runs the command. Its first argument is the shell.
        examples: Commands to type.
        labels: Names of parameters in the usage line, where the role's name says too little.
        options_help: Explanations of the options, by the names of their parameters.
        name: Its name, if that is not the name of the function.
        aliases: The names that other shells have for it. They are not listed.
        is_numbered: Show the answer with a number, because it may come later, or can be used as `$1`.
        fills_screen: It draws on the whole terminal, so that `|` and `>` have nothing to write.
    """

    function: Callable[..., Any]
    examples: Examples = ()
    labels: dict[str, str] = {}
    options_help: dict[str, str] = {}
    name: str = ""
    aliases: Sequence[str] = ()
    is_numbered: bool = False
    fills_screen: bool = False

    def __post_init__(self) -> None:
        self.name = self.name or self.function.__name__.rstrip("_")

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return inspect.cleandoc(self.function.__doc__ or "").partition("\n")[0]

    @property
    def details(self) -> str:
        """The rest of the help, with the line breaks of the source."""
        return inspect.cleandoc(self.function.__doc__ or "").partition("\n")[2].strip()

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters, in order."""
        hints = typing.get_type_hints(self.function, include_extras=True)
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return tuple(_parameter(parameter, hints[parameter.name], self.labels) for parameter in parameters)

    @property
    def arguments(self) -> list[Parameter]:
        """The parameters that are not options."""
        return [parameter for parameter in self.parameters if not parameter.is_option]

    @property
    def options(self) -> list[Parameter]:
        """The parameters that are options."""
        return [parameter for parameter in self.parameters if parameter.is_option]

    @property
    def usage(self) -> str:
        """The name of the command and its parameters."""
        return " ".join([self.name, *(parameter.usage for parameter in self.parameters)])

    def option(self, name: str) -> Parameter | None:
        """The option that is given by this word; None if there is no such option."""
        return next((option for option in self.options if option.option == name), None)

    def argument(self, index: int) -> Parameter | None:
        """The parameter for the argument at an index, options not counted; None if there are too many arguments."""
        arguments = self.arguments
        if index < len(arguments):
            return arguments[index]
        return arguments[-1] if arguments and arguments[-1].is_repeated else None


def command(*, options: dict[str, str] | None = None, **details: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a command from a function, with explanations of its options; see `Command` for the other arguments."""
    return lambda function: Command(function, options_help=options or {}, **details)


def _parameter(parameter: inspect.Parameter, hint: Any, labels: dict[str, str]) -> Parameter:
    # The hint of an optional parameter is a union with None.
    role = next(part.__metadata__[0] for part in (hint, *typing.get_args(hint)) if hasattr(part, "__metadata__"))
    is_repeated = parameter.kind is inspect.Parameter.VAR_POSITIONAL
    return Parameter(
        name=parameter.name,
        role=role,
        is_optional=is_repeated or parameter.default is not inspect.Parameter.empty,
        is_repeated=is_repeated,
        is_option=parameter.kind is inspect.Parameter.KEYWORD_ONLY,
        label=labels.get(parameter.name, role.value),
    )


# ----------------------------------------------------------------------------------------------- invocations


class Invocation(Struct, frozen=True):
    """A command with its arguments.

    Args:
        command: The command.
        positional: The arguments, in order.
        options: The options, by the names of their parameters.
        line: The line that was typed.
    """

    command: Command
    positional: tuple[Any, ...]
    options: dict[str, Any]
    line: Line

    def run(self, shell: Any) -> Any:
        """Run the command, and return its reply."""
        return self.command.function(shell, *self.positional, **self.options)


# What people of other shells type, and the command that they mean.
_MEANT = {
    "show": "collections",
    "ls": "collections",
    "dir": "collections",
    "use": "connect",
    "open": "connect",
    "select": "find",
    "db": "find",
    "jobs": "pending",
    "man": "help",
    "cls": "clear",
    "sh": "!COMMAND",
    "system": "!COMMAND",
    "run": "source",
    "load": "source",
    "print": "echo",
    "method": "call",
    "listen": "sub",
    "su": "login",
    "time": "set timing full",
}


class Registry:
    """All commands of one shell, by name.

    Args:
        groups: The commands, by their headings in the help.
        topics: The other topics of the help, and what they explain.
    """

    def __init__(self, groups: dict[str, Iterable[Command]], topics: dict[str, str] | None = None) -> None:
        self.topics = topics or {}
        self.groups = {heading: tuple(commands) for heading, commands in groups.items()}
        self._commands = {command.name: command for commands in self.groups.values() for command in commands}
        self._aliases = {alias: command for command in self for alias in command.aliases}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def get(self, name: str) -> Command | None:
        """The command with this name; None if there is no such command."""
        return self._commands.get(name) or self._aliases.get(name)

    def named(self, name: str) -> Command:
        """The command with this name.

        Raises:
            CommandError: There is no such command. The message suggests one.
        """
        found = self.get(name)
        if found is None:
            lowered = name.lower()
            starts = [other for other in self._commands if len(name) > 1 and other.startswith(lowered)]
            similar = _MEANT.get(lowered) or (starts[0] if len(starts) == 1 else closest(lowered, self._commands))
            advice = f"did you mean {similar}?" if similar else "`help` lists all commands"
            raise CommandError(f"unknown command {name[:40]}; {advice}")
        return found

    def find(self, line: Line) -> Command:
        """The command that a line begins with.

        Raises:
            CommandError: There is no such command. The message suggests one, and has the place in the line.
        """
        word = line.words[0]
        if not word.text:
            example = f"{line.variable} = call METHOD"
            raise CommandError(f"missing command after =; for example: {example}", line.text, word.start)
        try:
            return self.named(word.text)
        except CommandError as error:
            raise CommandError(error.message, line.text, word.start) from None

    def bind(self, line: Line, read_file: ReadFile | None = None) -> Invocation:
        """Find the command of a line, and read its arguments.

        Args:
            line: The line.
            read_file: Reads the files that hold arguments. Without it, such arguments are None.

        Raises:
            CommandError: There is no such command, or an argument is not valid. The error has the place in the line.
        """
        found = self.find(line)
        help_ = self.get("help")
        if help_ is not None and asks_for_help(line):
            return Invocation(help_, (found.name,), {}, line)
        if line.problem is not None:
            raise line.problem
        return _bind(found, line, read_file)


def asks_for_help(line: Line) -> bool:
    """Whether a line has the option `--help`, which every command has."""
    options = itertools.takewhile(lambda word: word.text != "--", line.words[1:])
    return any(word.text == "--help" and not word.is_literal for word in options)


class Given(NamedTuple):
    """A word after the name of a command, and what it gives.

    Args:
        word: The word. `--name=value` counts as two words.
        parameter: The parameter; None for an unknown option, an argument too many, or `--`.
        is_name: The word is the name of an option, or `--`.
    """

    word: Word
    parameter: Parameter | None
    is_name: bool = False


def given(found: Command | None, words: Iterable[Word]) -> Iterator[Given]:
    """Find out what each word after the name of a command gives, also in a half-typed or invalid line.

    Args:
        found: The command; None if there is no such command.
        words: The words.
    """
    index = 0
    awaited: Parameter | None = None
    are_options_over = False
    for word in words:
        if awaited is not None:
            yield Given(word, awaited)
            awaited = None
        elif are_options_over or not word.text.startswith("--"):
            yield Given(word, found.argument(index) if found else None)
            index += 1
        else:
            name, equals, rest = word.text.partition("=")
            option = found.option(name) if found else None
            end = word.start + len(name)
            yield Given(Word(word.start, end, name, name), option, is_name=True)
            are_options_over = name == "--"
            if equals:
                # Only a word without spaces can follow the = sign, so it cannot be a literal.
                yield Given(Word(end + 1, word.end, rest, rest), option)
            elif option is not None and option.role is not Role.FLAG:
                awaited = option


def _bind(found: Command, line: Line, read_file: ReadFile | None) -> Invocation:
    arguments: list[Any] = []
    options: dict[str, Any] = {}
    awaited: Parameter | None = None
    for word, parameter, is_name in given(found, line.words[1:]):
        if is_name and word.text == "--":
            continue
        if parameter is None:
            problem = f"too many arguments; usage: {found.usage}"
            if is_name:
                problem = _unknown_option(found, word.text)
            elif found.usage == found.name:
                problem = f"{found.name} does not take arguments"
            raise CommandError(problem, line.text, word.start)
        if is_name and parameter.role is not Role.FLAG:
            awaited = parameter
        elif is_name:
            options[parameter.name] = True
        elif parameter.role is Role.FLAG:
            raise CommandError(f"{parameter.option} does not take a value", line.text, word.start - 1)
        elif parameter.is_option:
            options[parameter.name] = _read(parameter, word, line.text, read_file)
            awaited = None
        else:
            arguments.append(_read(parameter, word, line.text, read_file))
    if awaited is not None:
        problem = f"{awaited.option} needs a value: {awaited.usage.strip('[]')}"
        raise CommandError(problem, line.text, line.words[-1].end)
    for parameter in found.arguments[len(arguments) :]:
        if not parameter.is_optional:
            problem = f"missing {parameter.label}; usage: {found.usage}"
            raise CommandError(problem, line.text, line.words[-1].end)
    return Invocation(found, tuple(arguments), options, line)


def _unknown_option(found: Command, name: str) -> str:
    known = [option.option for option in found.options]
    similar = closest(name, known)
    if similar:
        return f"unknown option {name}; did you mean {similar}?"
    if (found.name, name) == ("sub", "--live"):
        return "unknown option --live; `live PUBLICATION` shows a table that changes in place"
    options = f"the options of {found.name} are {' '.join(known)}" if known else f"{found.name} has no options"
    return f"unknown option {name}; {options}; after -- it is an argument"


def _read(parameter: Parameter, word: Word, text: str, read_file: ReadFile | None) -> Any:
    """The value of a word for a parameter."""
    value = word.value

    def error(message: str) -> CommandError:
        return CommandError(message, text, word.start)

    if parameter.role in (Role.VALUE, Role.SELECTOR, Role.FIELDS):
        if word.file is not None:
            if read_file is None:
                return None
            try:
                value = read_file(word.file)
            except CommandError as problem:
                raise problem if problem.position is not None else error(problem.message) from None
        elif word.text == "-":
            raise error("the shell does not read standard input; @FILE reads a file, and '-' is the text -")
    match parameter.role:
        case Role.SELECTOR if isinstance(value, (list, bool)) or value is None:
            # A word without quotes is an id, as in Meteor.
            raise error("a selector must be an object, such as {done: false}, or an id")
        case Role.VALUE | Role.FIELDS | Role.SELECTOR:
            return value
        case Role.NUMBER | Role.COUNT:
            # A number may be written as [3], as $3, or as 3.
            digits = word.text.strip("[]$")
            if digits.isascii() and digits.isdecimal() and len(digits) <= 9:
                return int(digits)
            wanted = "a whole number, 0 or more"
            if parameter.role is Role.NUMBER:
                wanted = "the number of a command, such as 3 for [3]"
            raise error(f"{parameter.label} must be {wanted}")
        case Role.SECONDS:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
                return float(min(value, sys.float_info.max))
            raise error(f"{word.text[:40]} is not a valid number of seconds")
        case _:
            return word.name
