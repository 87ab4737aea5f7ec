"""What the terminal does with typed keys, and questions to the user."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

try:
    import termios
except ImportError:
    # This is Windows. Its console shows typed keys only while a program reads a line, so `quiet` and `sane` do nothing.
    _termios: Any = None
else:
    _termios = termios


_LFLAG = 3  # the index of the local modes in the attributes of termios

# Characters of an answer; more than any password has.
_MAX_ANSWER = 1 << 16


def has_modes() -> bool:
    """Return whether the terminal can stop showing typed keys. If not, only `ask_at_terminal` hides them."""
    return _termios is not None


def quiet(file: IO[Any]) -> contextlib.AbstractContextManager[None]:
    """Turn off the echo of typed keys during a `with` block. Ctrl-C still works.

    Between two prompts, the terminal would show the keys in the middle of the output. The next prompt shows them instead.
    """
    return _local_modes(file, off=("ECHO", "ICANON"))


def hidden(file: IO[Any]) -> contextlib.AbstractContextManager[None]:
    """Turn off the echo during a `with` block that reads a secret."""
    return _local_modes(file, off=("ECHO",), when="TCSADRAIN")


@contextlib.contextmanager
def sane(file: IO[Any]) -> Iterator[None]:
    """Turn the usual terminal modes back on during a `with` block, for another program. This is the opposite of `quiet`."""
    with _local_modes(file, on=("ECHO", "ICANON", "ISIG")):
        try:
            yield
        finally:
            sys.stdout.flush()


def ask_at_terminal(question: str, *, is_hidden: bool) -> str:
    """Ask a question at the terminal of the process, and return the line that the user types.

    Args:
        question: The question, without control characters.
        is_hidden: Whether to hide what the user types.

    Raises:
        OSError: There is no terminal.
    """
    if _termios is None:
        return _ask_in_console(question, is_hidden=is_hidden)
    with Path("/dev/tty").open("r+b", buffering=0) as terminal:
        try:
            # TCSAFLUSH discards what was typed before the question.
            with _local_modes(terminal, off=("ECHO",) if is_hidden else (), when="TCSAFLUSH"):
                terminal.write(question.encode())
                # Unbuffered, because the terminal returns one line at a time anyway.
                line = terminal.readline(_MAX_ANSWER)
        finally:
            if is_hidden:
                terminal.write(b"\n")
    return line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _ask_in_console(question: str, *, is_hidden: bool) -> str:
    """Ask in the console of Windows, key by key."""
    import msvcrt

    console: Any = msvcrt
    # This fails if there is no console.
    Path("CONIN$").open("rb", buffering=0).close()
    for character in question:
        console.putwch(character)
    typed = ""
    while (key := console.getwch()) not in ("\r", "\n"):
        if key == "\x03":
            raise KeyboardInterrupt
        if key in ("\0", "\xe0"):
            # An arrow key or a function key, which sends a second code.
            console.getwch()
        elif key == "\b":
            if typed and not is_hidden:
                for character in "\b \b":
                    console.putwch(character)
            typed = typed[:-1]
        else:
            typed += key
            if not is_hidden:
                console.putwch(key)
    for character in "\r\n":
        console.putwch(character)
    return typed


@contextlib.contextmanager
def _local_modes(
    file: IO[Any], *, on: tuple[str, ...] = (), off: tuple[str, ...] = (), when: str = "TCSANOW"
) -> Iterator[None]:
    if _termios is None:
        yield
        return
    descriptor = file.fileno()
    before = _termios.tcgetattr(descriptor)
    changed = _termios.tcgetattr(descriptor)
    for name in on:
        changed[_LFLAG] |= getattr(_termios, name)
    for name in off:
        changed[_LFLAG] &= ~getattr(_termios, name)
    _termios.tcsetattr(descriptor, getattr(_termios, when), changed)
    try:
        yield
    finally:
        _termios.tcsetattr(descriptor, getattr(_termios, when), before)
