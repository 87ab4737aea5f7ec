"""Read, run, show, and again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..exceptions import CommandError
from ..text.palette import StyledText
from ..text.prose import plural
from .dispatch import dispatch_text
from .parser import is_private
from .settings import Settings
from .state import Shell
from .terminal.display import Display, ScreenDisplay
from .terminal.printer import Printer

__all__ = ["Reader", "interact", "run_shell"]

#: Seconds that calls under way have when the user leaves.
PATIENCE = 3.0


class Reader(Protocol):
    """What lines come from."""

    def read(self) -> str:
        """Read what a person types.

        Raises:
            KeyboardInterrupt: It is given up.
            EOFError: There will be no more.
        """
        ...


def run_shell(shell: Shell, reader: Reader) -> None:
    """Run what is typed, until the user leaves; then wait a moment for what is due, and leave the server."""
    try:
        while not shell.is_leaving:
            try:
                text = reader.read()
            except KeyboardInterrupt:
                continue
            except EOFError:
                break
            _run(shell, text)
            shell.interrupts.forget()
        _leave(shell)
    finally:
        # A signal may end it as well, and the server has a goodbye coming all the same.
        shell.close()


def _run(shell: Shell, text: str) -> None:
    if not text.strip():
        return
    is_kept = not is_private(text)
    if is_kept:
        shell.names.learn(text)
    try:
        dispatch_text(shell, text, is_kept=is_kept)
    except KeyboardInterrupt:
        under_way = len(shell.jobs.pending)
        note = f"; {plural(under_way, 'command goes', 'commands go')} on, `pending` lists them" if under_way else ""
        shell.display.note([("note", f"stopped waiting{note}")])
    except Exception as error:  # noqa: BLE001 - a fault of ours must not cost somebody's session
        fault = CommandError(f"{type(error).__name__}: {error}; this is a fault of ddp itself: please report it")
        shell.display.failure(None, fault)


def _leave(shell: Shell) -> None:
    """See that nothing which is due is lost, and say what is."""
    shell.interrupts.forget()
    client = shell.made_client
    due = {job.number for job in shell.jobs.pending if not job.may_be_left}
    try:
        if due and client is not None and client.status.is_connected:
            shell.display.note([("note", f"waiting for {plural(len(due), 'answer')}; Ctrl-C leaves at once")])
            shell.wait(due, PATIENCE)
    except KeyboardInterrupt:
        pass
    shell.settle()
    left = [job for job in shell.jobs.pending if not job.may_be_left]
    if left:
        unsent = 0 if client is None else client.status.unsent
        text: StyledText = [("hint", "left without an answer: "), ("", ", ".join(job.what for job in left[:10]))]
        if unsent:
            text.append(("note", f" ({unsent} never sent)"))
        shell.display.note(text)
    for job in left:
        # A program that has no end would go on without us.
        if job.cancel is not None:
            job.cancel()
    shell.display.flush()


def interact(
    make: Callable[[Display], Shell], settings: Settings, history_path: Path, *, is_dumb: bool = False
) -> None:
    """Have a person use a shell, until they leave.

    Args:
        make: Makes the shell, for a display. It connects when there is a prompt.
        settings: Its settings.
        history_path: Where what is typed is kept.
        is_dumb: The terminal cannot move its cursor.
    """
    if is_dumb:
        _interact_plainly(make, settings, history_path)
    else:
        _interact_fully(make, settings, history_path)


def _interact_fully(make: Callable[[Display], Shell], settings: Settings, history_path: Path) -> None:
    from .terminal.history import ShellHistory
    from .terminal.output import TerminalOutput, quiet
    from .terminal.prompt import Prompt

    output = TerminalOutput.from_pty(sys.stdout, enable_bell=False)
    assert isinstance(output, TerminalOutput), "it is made by the class itself"
    printer = Printer(output, lambda: settings.is_on("color"))
    display = ScreenDisplay(printer, settings)
    with quiet(sys.stdin):
        printer.start()
        try:
            shell = make(display)
            history = ShellHistory(history_path, display.warn)

            def begin() -> None:
                shell.open_soon()
                # So that the first completion need not wait for it.
                threading.Thread(target=shell.names.recall, name="ddp names", daemon=True).start()

            shell.terminal = prompt = Prompt(shell, printer, output, history, when_drawn=begin)
            shell.past = history.oldest_first
            shell.names.begin_with(history.oldest_first, history_path.with_name("unknown-names"))
            with shell.interrupts.installed():
                run_shell(shell, prompt)
        finally:
            printer.close()


def _interact_plainly(make: Callable[[Display], Shell], settings: Settings, history_path: Path) -> None:
    from .terminal.history import ShellHistory
    from .terminal.output import PlainScreen
    from .terminal.prompt import PlainPrompt

    settings.change("color", "off")
    screen = PlainScreen(sys.stdout)
    printer = Printer(screen, lambda: settings.is_on("color"))
    display = ScreenDisplay(printer, settings)
    printer.start()
    try:
        shell = make(display)
        history = ShellHistory(history_path, display.warn)
        shell.terminal = prompt = PlainPrompt(shell, printer, screen, sys.stdin, history.append_string)
        shell.past = history.oldest_first
        shell.names.begin_with(history.oldest_first, history_path.with_name("unknown-names"))
        shell.open_soon()
        with shell.interrupts.installed():
            run_shell(shell, prompt)
    finally:
        printer.close()
