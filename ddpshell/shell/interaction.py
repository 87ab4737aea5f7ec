"""The shell on a terminal, put together."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from .repl import run_shell
from .settings import Settings
from .state import Shell
from .terminal.display import Display, ScreenDisplay
from .terminal.printer import Printer

__all__ = ["interact"]


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
    from .terminal.plain_prompt import PlainPrompt, PlainScreen

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
