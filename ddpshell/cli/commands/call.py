"""`ddp call`: its options. `method_call.py` has what it does."""

from __future__ import annotations

from typing import Any

import click

from ..group import Command
from ..options import ARGUMENTS, GRAMMAR, METHOD_NAME, flag, option, shared_options
from ..process import Process


def _call(process: Process, method: str, words: tuple[str, ...], **options: Any) -> None:
    from ..method_call import call_method  # completion and the help do not need the client

    call_method(process, method, words, **options)


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
        click.Argument(["method"], metavar="METHOD", type=METHOD_NAME),
        *ARGUMENTS,
        flag(
            "--timing",
            "Show on stderr where the time went: connecting, login, network, the server's queue, the method. Sends a "
            "ping and a call of a method that does not exist.",
        ),
        option(
            "--sub",
            "PUBLICATION",
            "With --timing, subscribe before the call, and measure when the first document changes. With arguments: "
            "--sub 'tasks {done: false}'.",
        ),
        option(
            "--get path",
            "PATH",
            "Print only a part of the result, such as title, owner.name or [0].title.",
            callback=_steps,
        ),
        flag("--dry-run", "Print the frames that would be sent, with secrets masked, and send nothing."),
        *shared_options(),
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
