"""`ddp call`: one method call."""

from __future__ import annotations

import click

from ...exceptions import MethodError
from ..call_arguments import GRAMMAR, STRING_OPTION, WORDS, SeenName
from ..command_classes import Command, process_of
from ..options import CONNECTION_OPTIONS, OUTPUT_OPTIONS
from ..settings import ConnectionSettings

__all__ = ["call"]


def _call(method: str, words: tuple[str, ...], as_strings: bool) -> None:
    process = process_of(click.get_current_context())
    settings = ConnectionSettings.of(process.given)
    process.timeout = settings.timeout
    # What is wrong with the command line is said before anything is sent; and only then is the network loaded.
    from ..call_arguments import check_text, note_losses, read_arguments
    from ..connection import connected, outcome

    check_text(method, "METHOD")
    params = read_arguments(words, process, as_strings=as_strings)
    note_losses(params, "an argument", process, is_sent=True)
    with connected(process, settings) as client:
        call = client.apply(method, params, retry=settings.retry)
        try:
            result = outcome(call, client, process, f"result of {method!r}")
        except MethodError as error:
            from ..did_you_mean import advise_name

            advise_name(error, method, process)
            raise
        # Shown before the goodbye, which may take its time.
        if call.has_result:
            with process.console.paged():
                process.console.result(result)
            note_losses([result], "the result", process)


call = Command(
    "call",
    callback=_call,
    help="Call a method of the server and print its result.",
    params=[
        click.Argument(["method"], metavar="METHOD", type=SeenName("METHOD")),
        WORDS,
        STRING_OPTION,
        *CONNECTION_OPTIONS,
        *OUTPUT_OPTIONS,
    ],
    notes={"Arguments": GRAMMAR},
    examples=[
        ("ddp call upper Hello", "a string"),
        ("ddp call /tasks/insert '{title: \"write\"}'", "an object"),
        ("ddp call types | jq .object", "JSON for programs"),
    ],
)
