"""Reads the usual command lines of `ddp call` and of the shell without click, which takes a fifth of the time of a call.

It reads only what has no second meaning, and leaves everything else to click, above all each error.
`tests/cli/test_simple_command.py` compares both.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from .option_table import CONNECTION_ROWS, OUTPUT_ROWS
from .process import GivenOptions

__all__ = ["SimpleCommand", "read_simple_command"]

# The options whose value is used as it is typed, or has no value.
_ROWS = {
    name: row
    for row in (*CONNECTION_ROWS, *OUTPUT_ROWS)
    if row.kind in ("text", "url", "choice", "count", "flag") and row.flag_value is None and "/" not in row.names[-1]
    for name in row.spellings
}


class SimpleCommand(Struct, frozen=True):
    """A command line.

    Args:
        name: `call` or `shell`.
        words: For a call, the method and the arguments.
        options: The shared options.
    """

    name: str
    words: Sequence[str]
    options: GivenOptions


def read_simple_command(words: Sequence[str]) -> SimpleCommand | None:
    """Read a command line; return None if it is another command, or only click can read it.

    Args:
        words: The words after `ddp`.
    """
    options: GivenOptions = {}
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            others.append(word)
            continue
        name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        row = _ROWS.get(name)
        if row is None:
            return None
        if row.kind in ("flag", "count"):
            if joined:
                return None
            options[row.option] = True if row.kind == "flag" else options.get(row.option, 0) + 1
            continue
        value = value if joined else next(rest, "-")
        if not value or value.startswith("-") or (row.choices and value not in row.choices):
            return None
        options[row.option] = value
    if not others:
        return SimpleCommand("shell", others, options)
    if len(others) < 2 or others[0] != "call":
        return None
    # Without a server, a method that may be the address of one is an error.
    if "url" not in options and (not others[1].isidentifier() or others[1] == "localhost"):
        return None
    return SimpleCommand("call", others[1:], options)
