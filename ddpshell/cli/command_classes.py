"""Commands and groups as `ddp` has them: help by sections, words like `-1` as arguments, modules loaded when needed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import click

from .process import Process

__all__ = ["Command", "Group", "Rows", "process_of", "spelling"]

#: Two columns of help: what is typed, and what it is.
Rows: TypeAlias = Sequence[tuple[str, str]]

# What other programs have commands for, or call them.
_ELSEWHERE = {"help": "--help", "subscribe": "sub", "version": "--version"}

# No option begins with a digit, so this is a number or a text; never an option.
_NUMBER = re.compile(r"-(?:[0-9]|\.[0-9]|Infinity$)")

# Marks such a word while click's parser looks for options. No argument of a process can hold it.
_MARK = "\0"


def process_of(ctx: click.Context) -> Process:
    """The run of the command that a context belongs to."""
    process = ctx.find_object(Process)
    assert process is not None, "a context is made with its Process"
    return process


def spelling(param: click.Parameter) -> str:
    """What to call a parameter in an error: `-u/--url`, `METHOD`."""
    if isinstance(param, click.Option):
        return "/".join([*param.opts, *param.secondary_opts])
    return param.make_metavar(click.get_current_context(silent=True) or click.Context(click.Command("ddp"))).strip(
        "[]."
    )


def _show_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        assert isinstance(ctx.command, _Described), "click has no other contexts here"
        # Written as results are written, so that a full disk is noticed here as well.
        process_of(ctx).console.write(ctx.command.help_text(ctx, is_brief=param is _BRIEF_HELP))
        ctx.exit()


_BRIEF_HELP = click.Option(
    ["-h", "brief_help"],
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_help,
    help="Show a short help.",
)
_HELP = click.Option(
    ["--help"], is_flag=True, expose_value=False, is_eager=True, callback=_show_help, help="Show all of the help."
)


class _Described(click.Command):
    """What our commands and groups have in common.

    Args:
        notes: Sections for the help, by heading.
        examples: Command lines for its beginning, and what they do.
    """

    def __init__(
        self, name: str, *, notes: Mapping[str, Rows] | None = None, examples: Rows = (), **attributes: Any
    ) -> None:
        super().__init__(name, **attributes)
        self.notes = dict(notes or {})
        self.examples = examples

    def make_parser(self, ctx: click.Context) -> Any:
        """Make click's parser, but for what `_NUMBER` matches: that is no option; and one dash is a short option."""
        parser = super().make_parser(ctx)
        parse, process = parser.parse_args, parser._process_opts  # noqa: SLF001 - see below

        def process_short(word: str, state: Any) -> None:
            # click tries `-u` as a long option first, and makes an error with suggestions that nobody sees: a fiftieth of
            # the time of a call.
            (process if word.startswith("--") else parser._match_short_opt)(word, state)  # noqa: SLF001

        def parse_numbers(args: list[str]) -> tuple[dict[str, Any], list[str], list[click.Parameter]]:
            values, rest, order = parse([_MARK + word if _NUMBER.match(word) else word for word in args])
            return {name: _unmarked(value) for name, value in values.items()}, _unmarked(rest), order

        # click has no other place for them.
        parser.parse_args = parse_numbers  # type: ignore[method-assign]
        parser._process_opts = process_short  # type: ignore[method-assign, assignment]  # noqa: SLF001
        return parser

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """All that it takes, `-h` and `--help` among it."""
        return [*super().get_params(ctx), _BRIEF_HELP, _HELP]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Ours are among the parameters."""
        return None

    def help_text(self, ctx: click.Context, *, is_brief: bool) -> str:
        """The help: usage and text, examples, notes, options by section, more notes.

        Args:
            ctx: That of the command.
            is_brief: Leave out what most commands share, and say so.
        """
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        if self.examples:
            column = max([len(command) for command, _ in self.examples])
            with formatter.section("Examples"):
                # Not wrapped: a command line is copied as it stands.
                for command, what in self.examples:
                    formatter.write(f"  {command.ljust(column)}  # {what}\n")
        own = {heading: list(rows) for heading, rows in self.first_notes(ctx).items()}
        shared: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if isinstance(param, click.Option) and record is not None:
                section = getattr(param, "section", None)
                rows = shared.setdefault(section, []) if section else own.setdefault("Options", [])
                rows.append(record)
        shared.update({heading: list(rows) for heading, rows in self.last_notes().items()})
        for heading, rows in (own if is_brief else {**own, **shared}).items():
            with formatter.section(heading):
                formatter.write_dl(rows)
        if is_brief and shared:
            formatter.write_paragraph()
            formatter.write_text(f"{ctx.command_path} --help also shows: {', '.join(shared).lower()}.")
        return formatter.getvalue().rstrip("\n")

    def first_notes(self, ctx: click.Context) -> Mapping[str, Rows]:
        """Sections that stand before the options: what the arguments are."""
        return self.notes

    def last_notes(self) -> Mapping[str, Rows]:
        """Sections that stand behind them."""
        return {}


class Command(_Described):
    """A subcommand."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, unless it was given an option that it has no use for."""
        process = process_of(ctx)
        known = {param.name for param in self.params}
        for param in ctx.find_root().command.params:
            if param.name in process.given and param.name not in known:
                raise click.UsageError(f"{spelling(param)} means nothing to {ctx.command_path}", ctx)
        process.configure()
        return super().invoke(ctx)


class Group(_Described, click.Group):
    """A command with subcommands, each in a module of its own that is loaded when it is asked for.

    Args:
        lazy: The modules of this package by the names of the commands in them. A command and its module have the same
            name.
    """

    def __init__(self, name: str, *, lazy: Sequence[str], **attributes: Any) -> None:
        super().__init__(
            name,
            invoke_without_command=True,
            subcommand_metavar="COMMAND [ARG]...",
            callback=self._without_command,
            **attributes,
        )
        self._lazy = tuple(lazy)

    def _without_command(self) -> None:
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            command = self.get_command(ctx, "shell")
            assert command is not None, "the shell is what there is without a command"
            with command.make_context("shell", [], parent=ctx) as inner:
                command.invoke(inner)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they were declared."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None if there is none of that name."""
        if cmd_name not in self._lazy:
            return None
        command = getattr(importlib.import_module(f".commands.{cmd_name}", __package__), cmd_name)
        assert isinstance(command, Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the words begin with; of one that there is not, say what may be meant."""
        name, *rest = args
        command = self.get_command(ctx, name)
        if command is not None or ctx.resilient_parsing:
            return name, command, rest
        from difflib import get_close_matches

        meant = _ELSEWHERE.get(name) or next(iter(get_close_matches(name, self._lazy, n=1)), None)
        advice = f"did you mean {meant}?" if meant else f"a method is called with: ddp call {name}"
        raise click.UsageError(f"no command {name!r}; {advice}", ctx)

    def first_notes(self, ctx: click.Context) -> Mapping[str, Rows]:
        """The commands."""
        commands = [(name, self.get_command(ctx, name)) for name in self._lazy]
        return {"Commands": [(name, command.get_short_help_str(66)) for name, command in commands if command]}

    def last_notes(self) -> Mapping[str, Rows]:
        """The notes."""
        return self.notes


def _unmarked(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix(_MARK)
    if isinstance(value, (list, tuple)):
        return type(value)([_unmarked(item) for item in value])
    return value
