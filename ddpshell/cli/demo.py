"""`ddp demo`: any other command against a server that lives no longer than it."""

from __future__ import annotations

import click

from .commands import Command, Group, process_of
from .options import CONNECTION_OPTIONS, OUTPUT_OPTIONS

__all__ = ["demo"]


def _demo(words: tuple[str, ...]) -> None:
    ctx = click.get_current_context()
    process = process_of(ctx)
    from ..server.demo import demo_server

    process.when_server_runs()
    with demo_server().running() as server:
        process.given["url"] = server.url
        if not {"login", "token_file"} & process.given.keys():
            # What is saved, or in the environment, is for servers that stay.
            process.given["no_login"] = True
        group = ctx.find_root().command
        assert isinstance(group, Group)
        with group.make_context(ctx.find_root().info_name, list(words) or ["shell"], obj=process) as inner:
            group.invoke(inner)


demo = Command(
    "demo",
    callback=_demo,
    help=("Run COMMAND against a demo server of its own, which ends with it. Without a command, open the shell."),
    short_help="Run COMMAND against a demo server of its own.",
    context_settings={"allow_interspersed_args": False},
    params=[
        click.Argument(["words"], metavar="[COMMAND]...", nargs=-1, type=click.UNPROCESSED),
        *(option for option in CONNECTION_OPTIONS if option.name not in ("url", "profile")),
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ('ddp demo call upper "Hello, World!"', "call a method"),
        ("ddp demo call types", "see what values there are"),
        ("ddp demo", "open the shell, and play"),
    ],
)
