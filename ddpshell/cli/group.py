"""The group of the commands of `ddp`, as click knows it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from .. import __version__
from .command_classes import Group
from .options import process_of, shared_options
from .output import OutputFormat
from .process import ExitCode, Process

__all__ = ["context_of", "ddp", "run_command"]


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


# The key of `ctx.meta` for --version.
_VERSION = f"{__name__}.version"


def _ask_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[_VERSION] = value


class _Ddp(Group):
    """The group. It shows the version after all options are read, because -o changes how."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, or show the version."""
        if not ctx.meta[_VERSION]:
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
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            callback=_ask_version,
            help="Show the version; with -o json also Python's.",
        ),
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
