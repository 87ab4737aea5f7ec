"""The parameters of commands, and those that they share: click's options for the rows of the table, and the arguments of a call.

A shared option can be before and after the command's name. If it is in both places, the last one counts; options that
can be repeated add up.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from ..exceptions import CommandError
from .option_table import CONNECTION_ROWS, OUTPUT_ROWS, OptionRow
from .process import ExactText, Process
from .types import SETTING_TYPES, FileName, Pairs, SettingType

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


#: The rows of a section of help: what to type, and what it means.
Rows: TypeAlias = Sequence[tuple[str, str]]

#: Hides a number such as -1 from click's parser, which would take it for an option. No argument of a process can contain it.
MARK = "\0"


def process_of(ctx: click.Context) -> Process:
    """Return the run that a context belongs to."""
    process = ctx.find_object(Process)
    assert process is not None, "each context is made with a Process"
    return process


def spelling(param: click.Parameter) -> str:
    """Return the name of a parameter for error messages: `-u/--url`, `METHOD`."""
    if isinstance(param, click.Option):
        return "/".join([*param.opts, *param.secondary_opts])
    return param.make_metavar(click.get_current_context(silent=True) or click.Context(click.Command("ddp"))).strip(
        "[]."
    )


#: The type of a number of things.
AT_LEAST_1 = click.IntRange(min=1)


class ValueType(click.ParamType[Any]):
    """click's form of a type.

    Args:
        kind: The type.
    """

    name = "value"

    def __init__(self, kind: SettingType) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a value."""
        try:
            return self.kind.read(value)
        except CommandError as error:
            # The cause can be a failure of the local system.
            raise click.BadParameter(error.message, ctx, param) from error.__cause__

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Let the shell complete names of files."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")] if isinstance(self.kind, FileName) else []


class NameType(click.ParamType[str]):
    """Any text, for which completion offers names.

    Args:
        names: Returns the names, or the names with their descriptions.
    """

    name = "name"

    def __init__(self, names: Callable[[click.Context], Sequence[str] | Mapping[str, str]]) -> None:
        self._names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept any text."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return the names that begin like that."""
        from click.shell_completion import CompletionItem

        names = self._names(ctx)
        texts = names if isinstance(names, Mapping) else dict.fromkeys(names)
        return [CompletionItem(name, help=text) for name, text in texts.items() if name.startswith(incomplete)]


class _SectionOption(click.Option):
    """An option with a section of the help.

    Args:
        names: The spellings.
        section: The heading in the complete help, for an option that the brief help leaves out.
        attributes: Further arguments of click's class.
    """

    def __init__(self, names: Sequence[str], *, section: str = "", **attributes: Any) -> None:
        super().__init__(names, **attributes)
        self.section = section


def option(
    names: str,
    metavar: str,
    help: str,  # noqa: A002 - as click calls it
    *,
    type: SettingType | click.ParamType[Any] = SETTING_TYPES["text"],  # noqa: A002
    **attributes: Any,
) -> click.Option:
    """Make an option with a value.

    Args:
        names: The spellings, and the parameter's name if it is not that of the long option, separated by spaces.
        metavar: The value in the help.
        help: What the option does. A default is added.
        type: The type of the value. By default it is text that is not empty.
        attributes: Further arguments of `_SectionOption`.
    """
    attributes |= {"type": ValueType(type) if isinstance(type, SettingType) else type, "metavar": metavar, "help": help}
    if "default" in attributes:
        attributes["help"] += f" [default: {attributes['default']}]"
    return _SectionOption(names.split(), **attributes)


def flag(names: str, help: str) -> click.Option:  # noqa: A002 - as click calls it
    """Make an option without a value; see `option`."""
    return click.Option(names.split(), is_flag=True, help=help)


class _TextOption(click.Option):
    """An option whose value is an argument in this place, as an `ExactText`."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser put the value among the arguments."""
        super().add_to_parser(parser, ctx)

        def process(value: str, state: Any) -> None:
            state.largs.append(ExactText(value.removeprefix(MARK)))

        # click has no public way to keep the order of options and arguments.
        for name in self.opts:
            parser._short_opt[name].process = process  # noqa: SLF001


# ------------------------------------------------------------------------------------------------- the shared options


class SharedOption(_SectionOption):
    """An option that commands share. Its value goes to `Process.options`, not to the command's function.

    Args:
        row: The row of the table.
        text: The help text, if it is not that of the row.
    """

    def __init__(self, row: OptionRow, text: str | None = None) -> None:
        attributes: dict[str, Any] = {}
        match row.kind:
            case "flag":
                attributes["is_flag"] = True
                if row.flag_value is not None:
                    attributes["flag_value"] = row.flag_value
                elif "/" in row.names[-1]:
                    attributes["default"] = None
            case "count":
                attributes["count"] = True
            case "choice":
                attributes["type"] = click.Choice(row.choices)
            case "profile":
                attributes["type"] = PROFILE
            case kind:
                attributes["type"] = ValueType(SETTING_TYPES[kind])
        if text is None:
            default = f"{row.unset:g}" if isinstance(row.unset, float) else str(row.unset or "")
            default = row.default_help or default
            text = f"{row.help} [default: {default}]" if default else row.help
        super().__init__(
            row.names,
            help=text,
            metavar=row.metavar,
            multiple=row.is_repeated,
            expose_value=False,
            callback=_collect,
            section=row.section,
            **attributes,
        )


def _profiles(ctx: click.Context) -> Sequence[str]:
    from .settings import find_config

    # The command itself reports what is wrong with the file.
    with contextlib.suppress(CommandError):
        if (config := find_config({})) is not None:
            return sorted(config.servers)
    return ()


#: The type of the name of a server in the config file.
PROFILE = NameType(_profiles)


def _collect(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if ctx.get_parameter_source(param.name) is not click.core.ParameterSource.COMMANDLINE:
        return
    given = process_of(ctx).options
    if isinstance(value, str) and value.startswith("-") and _is_option(value, ctx):
        raise click.BadOptionUsage(
            param.opts[-1], f"Option '{spelling(param)}' requires an argument before {value!r}.", ctx
        )
    if param.name in ("url", "profile") and "is_demo" in given:
        raise click.UsageError(f"the demo has its own server, so {spelling(param)} is not possible after `demo`", ctx)
    if isinstance(param.type, ValueType) and isinstance(param.type.kind, Pairs):
        # One option with @FILE can have several pairs.
        value = tuple([pair for pairs in value for pair in pairs])
    before = given.get(param.name)
    if before is not None and param.multiple:
        value = (*before, *value)
    elif before is not None and isinstance(param, click.Option) and param.count:
        value += before
    given[param.name] = value


def _is_option(word: str, ctx: click.Context) -> bool:
    """Return whether a word is an option, so that it is not the value of another."""
    name = word.partition("=")[0]
    return any(name in (*param.opts, *param.secondary_opts) for param in ctx.command.get_params(ctx))


CONNECTION_OPTIONS = [SharedOption(row) for row in CONNECTION_ROWS]
OUTPUT_OPTIONS = [SharedOption(row) for row in OUTPUT_ROWS]


def shared_options(timeout: str | None = None, *, without: Collection[str] = ()) -> list[SharedOption]:
    """Return the options of a command that connects.

    Args:
        timeout: The help text of `--timeout`, if it has another meaning.
        without: The names of options that the command does not have.
    """
    connection = [
        SharedOption(row, timeout) if row.option == "timeout" and timeout is not None else option
        for row, option in zip(CONNECTION_ROWS, CONNECTION_OPTIONS, strict=True)
        if row.option not in without
    ]
    return [*connection, *OUTPUT_OPTIONS]


# ------------------------------------------------------------------------------------------- the arguments of a call


def _seen_names(role: str) -> Sequence[str]:
    from .call_arguments import earlier_names

    # Completion cannot add quotes, so it leaves out names that need them.
    return [name for name in earlier_names(role) if re.fullmatch(r"[\w./:@%+-]+", name)]


#: The types of the names of methods and publications. DDP cannot list names, so completion offers those typed earlier in the
#: shell, the latest first.
METHOD_NAME = NameType(lambda ctx: _seen_names("METHOD"))
PUBLICATION_NAME = NameType(lambda ctx: _seen_names("PUBLICATION"))


def _keep_params(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        process_of(ctx).params = value


_SECTION = "All ARGs"

#: The parameters of a command for the arguments of a call or a subscription: `words` and `as_strings`, for `read_arguments`.
ARGUMENTS: list[click.Parameter] = [
    # Without conversion, so that the values of -S can be told from other words.
    click.Argument(["words"], metavar="[ARG]...", nargs=-1, type=click.UNPROCESSED),
    _TextOption(
        ["-S", "texts"],
        metavar="TEXT",
        expose_value=False,
        multiple=True,
        help="An ARG that is exactly this string, whatever it contains. For text that a script passes on. Can be repeated.",
    ),
    _SectionOption(
        ["-s", "--string", "as_strings"], section=_SECTION, is_flag=True, help="Send each ARG unchanged, as a string."
    ),
    _SectionOption(
        ["--params"],
        section=_SECTION,
        metavar="JSON",
        expose_value=False,
        callback=_keep_params,
        help="All arguments as one array, in place of ARGs; @FILE reads it from a file, - from standard input.",
    ),
]

#: The section of the help about arguments.
GRAMMAR: Rows = [
    ("5  -1  true  null", "a number or a constant, as in JSON"),
    ("Hello  http://x", "a string: any other text needs no quotes"),
    ("""'"5"'""", 'the string "5", not the number'),
    ("'{a: [1, 2]}'", "JSON; keys need no quotes"),
    ("""'Date("2026-01-02")'""", "also Binary, RegExp, ObjectID, Decimal, Custom, NaN"),
    ("""'{"$date": 0}'""", "EJSON"),
    ("@FILE  -", "the value in a file; the value on standard input"),
    ("'Text(@FILE)'", "the text of a file; Binary(@FILE) is its bytes"),
    ("@@x", "the string @x"),
    ("--", "the words after this are arguments, not options"),
]
