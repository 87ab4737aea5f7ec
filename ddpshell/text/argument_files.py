"""Values in files, for arguments such as `@tasks.json`."""

from __future__ import annotations

from typing import BinaryIO

from ..ejson import EJSONValue
from ..exceptions import CommandError
from .literals import parse_argument

__all__ = ["MAX_SIZE", "read_value", "text_of"]

#: Bytes that fit in a message (U17). More of a file would be read for nothing, and some files have no end.
MAX_SIZE = 64 << 20


def read_value(name: str) -> EJSONValue:
    """Read a file that holds one literal, or text.

    Raises:
        CommandError: It cannot be read, or what it holds opens like a literal and is none: then `text` and `position`
            are those of the file.
    """
    if not name:
        raise CommandError("a file's name belongs behind @; the text @ is written @@")
    from pathlib import Path  # takes 3 ms to load, and few arguments are files

    try:
        with Path(name).expanduser().open("rb") as file:
            text = text_of(file, name)
    except OSError as error:
        raise CommandError(f"cannot read {name}: {error.strerror or error}; the text itself is @@{name}") from None
    try:
        return parse_argument(text)
    except CommandError as error:
        line = text.count("\n", 0, error.position or 0) + 1
        raise CommandError(f"{name}, line {line}: {error.message}", error.text, error.position) from None


def text_of(file: BinaryIO, name: str) -> str:
    """Read a text, without the newline that ends a text file.

    Args:
        file: Where it is; no more of it is read than fits in a message.
        name: What to call it.

    Raises:
        CommandError: It is longer than that, or no text.
    """
    data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise CommandError(f"{name} is larger than any message may be ({MAX_SIZE >> 20} MiB)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text, from byte {error.start} on") from None
    return text.removesuffix("\n").removesuffix("\r")
