"""What a name may have meant that the server does not know. DDP does not tell what names there are, but some are known."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import MethodError
from ..protocol.server_error import is_unknown_name
from .folders import state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..exceptions import ServerError
    from .process import Process

__all__ = ["advise_name", "typed_before", "unknown_names"]


def advise_name(error: ServerError, name: str, process: Process) -> None:
    """Note on the error which name may be meant: one of the server's, where it runs here, or of the shell's history.

    Args:
        error: What the server answered with.
        name: Of what was called or subscribed to.
        process: The run of the command.
    """
    if not is_unknown_name(error):
        return
    from ..logins import server_of
    from ..shell.commands.shell import shell_registry
    from ..shell.names import Names
    from ..shell.registry import Role
    from .credentials import endpoint_of
    from .settings import ConnectionSettings

    role = Role.METHOD if isinstance(error, MethodError) else Role.PUBLICATION
    names = Names(shell_registry())
    server = server_of(endpoint_of(ConnectionSettings.of(process.given)))
    names.server = lambda: server
    names.use_history(lambda: typed_before(state_folder()), unknown_names(state_folder()))
    for known in process.methods if role is Role.METHOD else process.publications:
        names.mark_known(role, known)
    similar = names.similar(role, name)
    if similar is not None:
        error.add_note(f"did you mean {similar}?")


def unknown_names(folder: str | None) -> Path:
    """The file with the names that servers did not know, when they were typed in the shell."""
    return Path(folder or os.devnull) / "unknown-names"


def typed_before(folder: str | None) -> Iterator[str]:
    """What was typed in the shell, oldest first, from the file where prompt_toolkit keeps it, without loading that.

    Args:
        folder: Where the history is, or is not.
    """
    lines: list[str] = []
    with (
        contextlib.suppress(OSError),
        (Path(folder or os.devnull) / "history").open(encoding="utf-8", errors="replace") as file,
    ):
        for line in file:
            if line.startswith("+"):
                lines.append(line[1:])
            elif lines:
                yield "".join(lines)
                lines = []
    if lines:
        yield "".join(lines)
