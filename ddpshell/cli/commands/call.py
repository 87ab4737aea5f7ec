"""`ddp call`: its options. `method_call.py` has what it does."""

from __future__ import annotations

from typing import Any

import click

from ..command_classes import Command, process_of
from ..options import ARGUMENTS, CONNECTION_OPTIONS, GRAMMAR, OUTPUT_OPTIONS, SeenName

__all__ = ["call"]


def _call(method: str, words: tuple[str, ...], **options: Any) -> None:
    from ..method_call import call_method  # completion and the help do not need the client

    call_method(process_of(click.get_current_context()), method, words, **options)


def _steps(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    if path is None:
        return None
    from ...text.literals import is_path

    steps = path if path.startswith((".", "[")) else f".{path}"
    if not is_path(steps):
        raise click.BadParameter(f"{path!r} is not a path, such as title, owner.name or [0].title", ctx, param)
    return steps


call = Command(
    "call",
    callback=_call,
    help="Call a method and print its result.",
    params=[
        click.Argument(["method"], metavar="METHOD", type=SeenName("METHOD")),
        *ARGUMENTS,
        click.Option(
            ["--timing"],
            is_flag=True,
            help="Show on stderr where the time went: connecting, login, network, the server's queue, the method. Sends a "
            "ping and a call of a method that does not exist.",
        ),
        click.Option(
            ["--sub"],
            metavar="PUBLICATION",
            help="With --timing, subscribe before the call, and measure when the first document changes. With arguments: "
            "--sub 'tasks {done: false}'.",
        ),
        click.Option(
            ["--get", "path"],
            callback=_steps,
            metavar="PATH",
            help="Print only a part of the result, such as title, owner.name or [0].title.",
        ),
        click.Option(
            ["--dry-run"],
            is_flag=True,
            help="Print the frames that would be sent, with secrets masked, and send nothing.",
        ),
        *CONNECTION_OPTIONS,
        *OUTPUT_OPTIONS,
    ],
    notes={"Arguments": GRAMMAR},
    examples=[
        ("ddp call upper Hello", "with a string"),
        ("ddp call /tasks/insert '{title: \"write\"}'", "with an object"),
        ("ddp call slow 200 --timing", "show where the time went"),
        ("ddp call types --get object", "print a part of the result"),
        ('ddp call upper -S "$name"', "with text that may look like anything"),
    ],
)
