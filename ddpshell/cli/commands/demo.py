"""`ddp demo`: any other command against a server that lives no longer than it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from ..command_classes import Command, Group, process_of
from ..options import CONNECTION_OPTIONS, OUTPUT_OPTIONS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["demo"]


def _demo(words: tuple[str, ...]) -> None:
    ctx = click.get_current_context()
    process = process_of(ctx)
    from ...server.demo import demo_server

    process.when_server_runs()
    with demo_server().running() as server:
        process.options["url"] = server.url
        process.methods, process.publications = server.method_names, server.publication_names
        # What is saved, or in the environment, is for servers that stay.
        process.options["is_demo"] = True
        group = ctx.find_root().command
        assert isinstance(group, Group)
        with group.make_context(ctx.find_root().info_name, list(words) or ["shell"], obj=process) as inner:
            group.invoke(inner)


class _Demo(Command):
    """A command that has all other commands in it, to complete as well."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """What may follow: our own options, as long as there is no other command."""
        if not ctx.params.get("words"):
            return super().shell_complete(ctx, incomplete)
        return _inner_completions(ctx, incomplete)


class _Words(click.Argument):
    """COMMAND, and all that follows it."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """What may follow."""
        return _inner_completions(ctx, incomplete)


def _inner_completions(ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem, ShellComplete

    group = ctx.find_root().command
    words = list(ctx.params.get("words") or ())
    names = [name for name in _names(ctx, words) if name.startswith(incomplete)]
    if names:
        return [CompletionItem(name) for name in names]
    return ShellComplete(group, {"obj": process_of(ctx)}, "ddp", "").get_completions(words, incomplete)


def _names(ctx: click.Context, words: list[str]) -> Collection[str]:
    """What METHOD and NAME can be: this server's are known without asking anybody."""
    argument = {"call": "method", "sub": "name"}.get(words[0]) if words else None
    group = ctx.find_root().command
    command = group.get_command(ctx, words[0]) if argument is not None and isinstance(group, Group) else None
    if argument is None or command is None:
        return ()
    with command.make_context(words[0], words[1:], parent=ctx, resilient_parsing=True) as inner:
        if inner.params.get(argument) is not None:
            return ()
    from ...server.demo import demo_server

    server = demo_server()
    return server.method_names if argument == "method" else server.publication_names


demo = _Demo(
    "demo",
    callback=_demo,
    help=("Run COMMAND against a demo server of its own, which ends with it. Without a command, open the shell."),
    short_help="Run COMMAND against a demo server of its own.",
    context_settings={"allow_interspersed_args": False},
    params=[
        _Words(["words"], metavar="[COMMAND]...", nargs=-1, type=click.UNPROCESSED),
        *(option for option in CONNECTION_OPTIONS if option.name not in ("url", "profile")),
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ('ddp demo call upper "Hello, World!"', "call a method"),
        ("ddp demo call types", "see what values there are"),
        ("ddp demo", "open the shell, and play"),
    ],
)
