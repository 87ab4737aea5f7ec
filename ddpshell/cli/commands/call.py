"""`ddp call`: one method call."""

from __future__ import annotations

import click

from ...exceptions import MethodError
from ..call_arguments import GRAMMAR, STRING_OPTION, WORDS, SeenName, check_text, note_losses, read_arguments
from ..command_classes import Command, process_of
from ..options import CONNECTION_OPTIONS, OUTPUT_OPTIONS
from ..output import OutputError
from ..settings import ConnectionSettings

__all__ = ["call"]


def _call(method: str, words: tuple[str, ...], as_strings: bool) -> None:
    process = process_of(click.get_current_context())
    settings = ConnectionSettings.of(process.options)
    process.timeout = settings.timeout
    check_text(method, "METHOD")
    params = read_arguments(words, process, as_strings=as_strings)
    note_losses(params, "an argument", process, is_sent=True)
    # Loading the client takes a third of the time. Completion and errors in the command line do not need it.
    from ..connection import connected, wait_for_outcome

    with connected(process, settings) as client:
        call = client.apply(method, params, retry=settings.retry)
        try:
            result = wait_for_outcome(call, client, process, f"result of {method!r}")
        except MethodError as error:
            from ..credentials import endpoint_of
            from ..did_you_mean import suggest_name

            suggest_name(error, method, process, endpoint_of(settings))
            raise
        # Printed before the connection is closed, which may take a moment.
        if call.has_result:
            try:
                with process.console.paged():
                    process.console.result(result)
            except OutputError as error:
                raise OutputError(error.errno, f"{error.strerror}; the server has run {method!r}") from None
            note_losses([result], "the result", process)


call = Command(
    "call",
    callback=_call,
    help="Call a method and print its result.",
    params=[
        click.Argument(["method"], metavar="METHOD", type=SeenName("METHOD")),
        WORDS,
        STRING_OPTION,
        *CONNECTION_OPTIONS,
        *OUTPUT_OPTIONS,
    ],
    notes={"Arguments": GRAMMAR},
    examples=[
        ("ddp call upper Hello", "with a string"),
        ("ddp call /tasks/insert '{title: \"write\"}'", "with an object"),
        ("ddp call types | jq .object", "use a result in a program"),
    ],
)
