"""The words behind the name of a method or a publication: how they are declared, and what help says of them."""

from __future__ import annotations

import click

from .command_classes import Rows

__all__ = ["GRAMMAR", "STRING_OPTION", "WORDS"]

WORDS = click.Argument(["words"], metavar="[ARG]...", nargs=-1)

STRING_OPTION = click.Option(
    ["-s", "--string", "as_strings"], is_flag=True, help="Take each ARG as a string, just as it stands."
)

#: What a word may look like, and what it means then.
GRAMMAR: Rows = [
    ("5  -1  true  null", "numbers and constants of JSON"),
    ("Hello  http://x", "a string: anything that is no literal"),
    ("""'"5"'""", "a string that would be something else"),
    ("'{a: [1, 2]}'", "JSON; keys need no quotes, strings may have single ones"),
    ("""'Date("2026-01-02")'""", "Date Binary RegExp ObjectID Decimal Custom; Infinity NaN"),
    ("""'{"$date": 0}'""", "EJSON"),
    ("@FILE  -", "one value, read from a file or from standard input"),
    ("@@x", "the string @x"),
    ("--", "what follows is no option (-1 needs none)"),
]
