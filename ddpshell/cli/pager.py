"""A pager: the program that shows a long text a screen at a time."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Mapping

__all__ = ["overflows", "page"]

# -F leaves at once if it fits after all, -I ignores case in searches, -R lets colours through, and -X leaves the text
# on the screen.
_DEFAULT = "less -FIRX"

# What `sh` ends with for a program that cannot be run, or that there is not.
_NOT_RUN = (126, 127)

# A program with its arguments, and nothing that only a shell understands.
_SIMPLE = re.compile(r"[\w./+:, -]+")

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def overflows(text: str, lines: int, columns: int) -> bool:
    """Whether a text needs more than a screen, of which the last line is for the prompt; not to the letter.

    Args:
        text: With or without colours.
        lines: Of the screen; 0 where nobody knows, and then nothing does.
        columns: Of the screen.
    """
    if not lines:
        return False
    if text.count("\n") >= lines:
        return True
    return sum([1 + max(0, len(line) - 1) // columns for line in _COLOUR.sub("", text).splitlines()]) >= lines


def page(text: bytes, terminal: int | None, environment: Mapping[str, str]) -> bool:
    """Show a text in the user's pager, and wait until they leave it.

    Args:
        text: As the terminal is to have it.
        terminal: Its number as a file; None for standard output.
        environment: `PAGER` in it is a command for sh; `cat`, or nothing, for no pager.

    Returns:
        Whether there was one. If not, the text is not shown.
    """
    command = environment.get("PAGER", _DEFAULT)
    if command.strip() in ("", "cat"):
        return False
    import shutil
    import subprocess

    is_program = shutil.which(command.split()[0], path=environment.get("PATH")) is not None
    if command == _DEFAULT and not is_program:
        return False
    if is_program and _SIMPLE.fullmatch(command):
        # In the shell's place, so that it is the pager that we can end.
        command = f"exec {command}"
    # For a PAGER that is only a name; as git has it.
    settings = {"LESS": "FRX", "LV": "-c", **environment}
    # It is the pager's now, where it ends a search. Not SIG_IGN, which the pager would be born with.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        process = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=terminal, env=settings)
        try:
            # Whoever leaves it early has seen enough.
            with contextlib.suppress(BrokenPipeError):
                process.communicate(text)
        except BaseException:
            # SIGTERM. The pager tidies the terminal up.
            process.terminate()
            process.wait()
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    return process.returncode not in _NOT_RUN
