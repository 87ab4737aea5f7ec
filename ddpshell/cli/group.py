"""The group of the commands of `ddp`, as click knows it, and the classes of commands and groups.

The classes add to click's: sections of help, arguments such as `-1`, modules that are imported when they are needed.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from .options import MARK, Rows, flag, process_of, shared_options, spelling
from .output import OutputFormat
from .process import ExactText, ExitCode, Process

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


# Commands of other programs, and what they are called here.
_ELSEWHERE = {"subscribe": "sub", "version": "--version"}

# A word that is certainly the address of a server: a URL, this machine, an IP address, or a domain with a port.
_CERTAIN_SERVER = re.compile(
    r"(?:https?|wss?)://|(?:localhost|(?:[0-9]{1,3}\.){3}[0-9]{1,3})(?::[0-9]+)?(?:/|$)"
    r"|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?(?:/|$)|[\w-]+(?:\.[\w-]+)+:[0-9]+(?:/|$)"
)
# A word that is the address of a server where no other word with a colon or a number makes sense: `host:3000`, `:3000`, `3000`.
_SERVER = re.compile(rf"{_CERTAIN_SERVER.pattern}|[\w.-]*:[0-9]+(?:/|$)|[0-9]{{2,5}}$")
# A word that may be a host: with a command after it, it is one.
_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)+(?:/|$)")

# A word that is a number. No option begins with a digit.
_NUMBER = re.compile(r"-(?:[0-9]|\.[0-9]|Infinity$)")


def _as_url(server: str) -> str:
    """Return a server as the user means it: a port alone is one of this machine."""
    port = re.fullmatch(r":?([0-9]+)(/.*)?", server)
    return f"localhost:{port[1]}{port[2] or ''}" if port else server


def _show_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        assert isinstance(ctx.command, _Described), "click has no other contexts here"
        # Help is written as results are, so that a full disk is an error here as well.
        process_of(ctx).console.write(ctx.command.help_text(ctx, is_brief=param is _BRIEF_HELP))
        ctx.exit()


_BRIEF_HELP = click.Option(
    ["-h", "brief_help"],
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_help,
    help="Show this help, without the options that commands share.",
)
_HELP = click.Option(
    ["--help"], is_flag=True, expose_value=False, is_eager=True, callback=_show_help, help="Show the complete help."
)


class _Described(click.Command):
    """A command or a group.

    Args:
        name: The name to type.
        notes: Sections of the help before the options, by heading.
        more_notes: Sections after the options, which only the complete help has.
        examples: Command lines for the first section of the help, and what they do.
        attributes: Further arguments of click's class.
    """

    def __init__(
        self,
        name: str,
        *,
        notes: Mapping[str, Rows] | None = None,
        more_notes: Mapping[str, Rows] | None = None,
        examples: Rows = (),
        **attributes: Any,
    ) -> None:
        super().__init__(name, **attributes)
        self.notes = notes or {}
        self.more_notes = more_notes or {}
        self.examples = examples

    def make_parser(self, ctx: click.Context) -> Any:
        """Make click's parser, with a change: numbers are not options."""
        parser = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_numbers(args: list[str]) -> tuple[dict[str, Any], list[str], list[click.Parameter]]:
            given = list(args)
            try:
                values, rest, order = parse([MARK + word if _NUMBER.match(word) else word for word in args])
            except click.UsageError as error:
                error.ctx = ctx
                raise
            values, rest = {name: _unmarked(value) for name, value in values.items()}, _unmarked(rest)
            self._name_before_texts(values)
            if not ctx.resilient_parsing:
                for param in order:
                    if isinstance(param, click.Option) and param.is_flag and not isinstance(param.flag_value, bool):
                        process_of(ctx).alternatives.setdefault(str(param.name), []).append(spelling(param))
                self.check_words(ctx, given, values, rest)
            return values, rest, order

        # click has no public way to change this.
        parser.parse_args = parse_numbers  # type: ignore[method-assign]
        return parser

    def _name_before_texts(self, values: dict[str, Any]) -> None:
        """Let METHOD be the first word that is not the value of -S, as in `ddp call -S text METHOD`."""
        names = [str(param.name) for param in self.params if isinstance(param, click.Argument)]
        if len(names) == 2 and isinstance(values.get(names[0]), ExactText):
            # Without further words, the value is not a tuple, but click's mark of a value that is not set.
            others = values[names[1]]
            words = [values[names[0]], *(others if isinstance(others, tuple | list) else ())]
            at = next((number for number, word in enumerate(words) if not isinstance(word, ExactText)), None)
            if at is None:
                del values[names[0]]
            else:
                values[names[0]] = words.pop(at)
            values[names[1]] = words

    def check_words(self, ctx: click.Context, given: list[str], values: Mapping[str, Any], rest: Sequence[str]) -> None:
        """Check the words of the command line, before their values are read.

        Args:
            ctx: The context.
            given: The words.
            values: The parsed values by the names of the parameters.
            rest: The words that no parameter takes.

        Raises:
            click.UsageError: The words mean something else than the user expects.
        """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return all parameters, with `-h` and `--help`."""
        return [*super().get_params(ctx), _BRIEF_HELP, _HELP]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return None: the help options are among the parameters."""
        return None

    def help_text(self, ctx: click.Context, *, is_brief: bool) -> str:
        """Return the help: usage and text, examples, notes, options by section, more notes.

        Args:
            ctx: The context of the command.
            is_brief: Leave out the shared options, and say so.
        """
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        if self.examples:
            column = max([len(command) for command, _ in self.examples])
            with formatter.section("Examples"):
                # Not wrapped, so that a command line can be copied.
                for command, what in self.examples:
                    formatter.write(f"  {command.ljust(column)}  # {what}\n")
        own = {heading: list(rows) for heading, rows in self.notes.items()}
        shared: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if isinstance(param, click.Option) and record is not None:
                section = getattr(param, "section", None)
                rows = shared.setdefault(section, []) if section else own.setdefault("Options", [])
                rows.append(record)
        shared.update({heading: list(rows) for heading, rows in self.more_notes.items()})
        for heading, rows in (own if is_brief else {**own, **shared}).items():
            with formatter.section(heading):
                formatter.write_dl(rows)
        if is_brief and shared:
            formatter.write_paragraph()
            more = f"For more ({', '.join(shared).lower()}), see {ctx.command_path} --help."
            fits = len(more) <= formatter.width or isinstance(self, Group)
            formatter.write_text(more if fits else f"For more, see {ctx.command_path} --help.")
        return formatter.getvalue().rstrip("\n")


class Command(_Described):
    """A subcommand. Its function gets the `Process` and the parameters, and returns the exit code, or None for 0."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command, if it accepts all options that are in front of its name."""
        process = process_of(ctx)
        known = {param.name for param in self.params}
        for param in ctx.find_root().command.params:
            is_of_demo = param.name == "url" and "is_demo" in process.options
            if param.name in process.options and param.name not in known and not is_of_demo:
                raise click.UsageError(f"{ctx.command_path} does not take {spelling(param)}", ctx)
        for flags in process.alternatives.values():
            if len(set(flags)) > 1:
                both = " and ".join(sorted(set(flags)))
                raise click.UsageError(f"{both} cannot be used together; leave out both to allow either", ctx)
        process.configure()
        assert self.callback is not None, "each command has a function"
        if code := ctx.invoke(self.callback, process, **ctx.params):
            ctx.exit(code)

    def check_words(self, ctx: click.Context, given: list[str], values: Mapping[str, Any], rest: Sequence[str]) -> None:
        """Reject a server in the place of an argument: servers are named with -u."""
        names = {param.name for param in self.params}
        positions = [param for param in self.params if isinstance(param, click.Argument)]
        process = process_of(ctx)
        if positions and "URL" in positions[0].make_metavar(ctx):
            return
        if "url" not in names or process.options.keys() & {"url", "profile"} or {"url", "profile"} & values.keys():
            return
        first = values.get(positions[0].name or "") if positions else next(iter(rest), None)
        if not isinstance(first, str) or not (_CERTAIN_SERVER if positions else _SERVER).match(first):
            return
        at = given.index(first)
        meant = process.command_with(given, [*given[:at], "-u", _as_url(first), *given[at + 1 :]])
        raise click.UsageError(f"{first!r} is a server; did you mean `{meant}`?", ctx)


class Group(_Described, click.Group):
    """A command with subcommands, each in a module of the same name that is imported when the command is needed.

    Args:
        name: The name to type.
        commands: The subcommands with their descriptions, so that the list of commands needs no module.
        notes: Sections of the help after the options.
        attributes: Further arguments of click's class.
    """

    def __init__(
        self, name: str, *, commands: Mapping[str, str], notes: Mapping[str, Rows] | None = None, **attributes: Any
    ) -> None:
        super().__init__(
            name,
            notes={"Commands": list(commands.items())},
            more_notes=notes,
            invoke_without_command=True,
            subcommand_metavar="COMMAND [ARG]...",
            callback=self.run_alone,
            **attributes,
        )
        self._descriptions = commands

    def run_alone(self) -> None:
        """Run the default command, if there is no other."""
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            command = self.get_command(ctx, "shell")
            assert command is not None, "the shell is the default command"
            with command.make_context("shell", [], parent=ctx) as inner:
                command.invoke(inner)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(self._descriptions)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; return None if the name is unknown."""
        if cmd_name not in self._descriptions:
            return None
        command = self.load(cmd_name)
        assert isinstance(command, Command | Group)
        return command

    def load(self, name: str) -> object:
        """Import a command of the list."""
        return getattr(importlib.import_module(f".commands.{name}", __package__), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the words begin with. The error for an unknown name suggests another."""
        name, *rest = args
        command = self.get_command(ctx, name)
        if command is not None or ctx.resilient_parsing:
            return name, command, rest
        raise self.unknown(args, ctx)

    def unknown(self, args: Sequence[str], ctx: click.Context) -> click.UsageError:
        """Return the error for an unknown command, which suggests another one."""
        from ..text.prose import closest

        name, *rest = args
        meant = _ELSEWHERE.get(name) or closest(name, self._descriptions)
        if _SERVER.match(name) or (_DOMAIN.match(name) and rest and rest[0] in self._descriptions):
            # The demo has its own server.
            words = ["demo", *args] if "is_demo" in process_of(ctx).options else args
            meant = process_of(ctx).command_with(words, ["-u", _as_url(name), *rest])
            return click.UsageError(f"{name!r} is not a command; did you mean `{meant}`?", ctx)
        server = str(process_of(ctx).options.get("url"))
        if server in self._descriptions:
            meant = process_of(ctx).command_with([server, *args], ["localhost:3000", server, *args])
            return click.UsageError(f"-u/--url needs a server before {server!r}; did you mean `{meant}`?", ctx)
        advice = f"did you mean {meant}?" if meant else f"to call a method, type: ddp call {name or 'METHOD'}"
        return click.UsageError(f"unknown command {name!r}; {advice}", ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the commands and options that begin like that."""
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=text) for name, text in self._descriptions.items() if name.startswith(incomplete)
        ]
        # click's own method for groups imports each command.
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


def _unmarked(value: Any) -> Any:
    if isinstance(value, ExactText):
        return value
    if isinstance(value, str):
        return value.removeprefix(MARK)
    if isinstance(value, (list, tuple)):
        return type(value)([_unmarked(item) for item in value])
    return value


# ------------------------------------------------------------------------------------------------- the group of all


class _Ddp(Group):
    """The group. It shows the version after all options are read, because -o changes how."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, or show the version."""
        if not ctx.params.pop("version"):
            return super().invoke(ctx)
        process = process_of(ctx)
        process.configure()
        if process.console.output_format is OutputFormat.JSON:
            process.console.result({"ddp": __version__, "python": sys.version.split()[0]})
        else:
            process.console.write(f"ddp {__version__}")
        return None


ddp = _Ddp(
    "ddp",
    commands={
        "shell": "Open the shell (also: ddp without a command).",
        "call": "Call a method and print its result.",
        "sub": "Subscribe, and print the documents or follow them.",
        "ping": "Measure round trips to the server.",
        "doctor": "Find out why a server cannot be reached.",
        "batch": "Make many calls, from lines of JSON.",
        "run": "Run commands of the shell from a file.",
        "bench": "Load a server with many clients, and measure how it answers.",
        "read": "Show what a recording or a HAR file contains.",
        "weigh": "Show how many bytes a publication sends.",
        "audit": "Find secrets in what a server sends.",
        "login": "Log in and save the login.",
        "logout": "Log out.",
        "whoami": "Show the user you are logged in as.",
        "config": "Show the settings, and where each comes from.",
        "serve": "Run a DDP server from a file or a recording, or a demo server.",
        "tap": "Show what a browser and a server say, as a proxy between them.",
        "demo": "Run a command with a demo server.",
        "completion": "Print a completion script for a shell.",
        "help": "Show a page of the manual, or list its topics.",
    },
    help="Call methods and follow data on servers that speak DDP, Meteor's protocol.",
    params=[
        flag("--version", "Show the version; with -o json also Python's."),
        *shared_options(),
    ],
    examples=[
        ("ddp demo", "try it: open the shell with a demo server"),
        ("ddp -u localhost:3000", "open the shell for a server"),
        ("ddp -u localhost:3000 call upper Hello", "call a method"),
        ("ddp serve", "run a demo server"),
    ],
    notes={
        "Exit codes": [
            ("0", "success"),
            ("1", "the server answered with an error, or a check failed (weigh, audit)"),
            ("2", "usage error: an invalid option, value, URL or file"),
            ("3", "could not connect"),
            ("4", "not logged in, or the server rejected the login"),
            ("5", "timeout"),
            ("6", "connection lost; the server may or may not have run the call"),
            ("7", "the local system failed: disk full, output closed, too many open files"),
            ("130, 143", "stopped by Ctrl-C, by SIGTERM"),
        ],
        "Environment": [
            ("DDP_URL", "the server, if there is no -u or -p"),
            ("DDP_TOKEN", "a login token for the server in DDP_URL; other users of this machine may see it"),
            ("DDP_CONFIG", "the config file, if it is not the one below"),
            ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "the proxy for wss, for ws, for both; also in lower case"),
            ("NO_PROXY", "where to use no proxy: hosts, domains, networks (10.0.0.0/8), host:port, or * for all"),
            ("SSL_CERT_FILE", "trusted certificate authorities, if there is no --cacert"),
            ("NO_COLOR, FORCE_COLOR", "never use colors; always use colors"),
        ],
        "Files": [
            ("~/.config/ddpshell/config.toml", "the config file; see ddp config -h"),
            ("~/.local/state/ddpshell/logins/", "saved logins"),
            ("~/.local/state/ddpshell/history", "the history of the shell"),
        ],
    },
)


def run_command(words: Sequence[str], process: Process) -> int:
    """Run a command line with click, and return the exit code. Errors are raised.

    Args:
        words: The words after `ddp`.
        process: The run of `ddp`.
    """
    try:
        with ddp.make_context("ddp", list(words), obj=process) as ctx:
            ddp.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return ExitCode.DONE


def context_of(name: str, process: Process) -> click.Context:
    """Return the context of a command that was read without click, so that an error can show the usage of the command."""
    root = click.Context(ddp, info_name="ddp", obj=process)
    command = ddp.get_command(root, name)
    assert command is not None, "it was read"
    return click.Context(command, root, name)
