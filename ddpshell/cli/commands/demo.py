"""`ddp demo`: runs any other command with a demo server, which ends with the command."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, ShellComplete

from ...exceptions import CommandError, InvalidURL
from ..group import Command, Group
from ..options import flag, process_of, shared_options
from ..process import Process
from ..settings import ConnectionSettings, resolve

if TYPE_CHECKING:
    from ...server import Server


def _demo(process: Process, words: tuple[str, ...], leaky: bool, tour: bool) -> None:
    if tour and words:
        raise click.UsageError("--tour cannot be used with COMMAND")
    process.server_role = "demo"
    with _server(is_leaky=leaky).running() as server:
        process.options["url"] = server.url
        process.methods, process.publications = server.method_names, server.publication_names
        # Saved logins and tokens in the environment are for other servers.
        process.options["is_demo"] = True
        try:
            resolve(process.options, os.environ)
        except (CommandError, InvalidURL) as error:
            # A user who tries the demo first need not repair the file first.
            process.console.warning(f"{error}; the demo runs without the config file")
            process.options["has_no_config"] = True
        if tour:
            from ..shell_session import interact_with

            interact_with(process, ConnectionSettings.of(process.options), is_tour=True)
            return
        ctx = click.get_current_context()
        group = ctx.find_root().command
        assert isinstance(group, Group)
        with group.make_context(ctx.find_root().info_name, list(words) or ["shell"], obj=process) as inner:
            group.invoke(inner)


def _server(*, is_leaky: bool) -> Server:
    if is_leaky:
        from ...server.leaky_demo import leaky_demo_server

        return leaky_demo_server()
    from ...server.demo import demo_server

    return demo_server()


class _Demo(Command):
    """A command with another command in its arguments, which completion knows too."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Complete the options of `ddp demo`, or the words of the other command."""
        if not ctx.params.get("words"):
            return super().shell_complete(ctx, incomplete)
        return _inner_completions(ctx, incomplete)


class _Words(click.Argument):
    """COMMAND and the words after it."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Complete the words of the other command."""
        return _inner_completions(ctx, incomplete)


def _inner_completions(ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    group = ctx.find_root().command
    words = list(ctx.params.get("words") or ())
    names = [name for name in _names(ctx, words) if name.startswith(incomplete)]
    if names:
        return [CompletionItem(name) for name in names]
    return ShellComplete(group, {"obj": process_of(ctx)}, "ddp", "").get_completions(words, incomplete)


def _names(ctx: click.Context, words: list[str]) -> Collection[str]:
    """Return the names for METHOD or NAME. The demo server's names are known without a connection."""
    argument = {"call": "method", "sub": "name", "weigh": "name", "audit": "name"}.get(words[0]) if words else None
    group = ctx.find_root().command
    command = group.get_command(ctx, words[0]) if argument is not None and isinstance(group, Group) else None
    if argument is None or command is None:
        return ()
    with command.make_context(words[0], words[1:], parent=ctx, resilient_parsing=True) as inner:
        if inner.params.get(argument) is not None:
            return ()
    server = _server(is_leaky=bool(ctx.params.get("leaky")))
    return server.method_names if argument == "method" else server.publication_names


demo = _Demo(
    "demo",
    callback=_demo,
    help="Start a demo server, run COMMAND with it, and stop the server. Without COMMAND, open the shell.",
    context_settings={"allow_interspersed_args": False},
    params=[
        flag("--leaky", "Start a shop that sends too much, to see what `ddp audit` finds."),
        _Words(["words"], metavar="[COMMAND]...", nargs=-1, type=click.UNPROCESSED),
        flag("--tour", "Play the first ten minutes with the shell, step by step. Enter runs the next command."),
        *shared_options(without=["url", "profile"]),
    ],
    examples=[
        ("ddp demo call upper 'Hello, World!'", "call a method"),
        ("ddp demo call types", "see all types of values"),
        ("ddp demo", "open the shell"),
        ("ddp demo --tour", "see what the shell can do"),
        ("ddp demo --leaky sub staff", "see a server that sends too much"),
    ],
)
