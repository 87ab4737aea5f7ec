"""The interactive shell: read a line, run it, show its answer, and read the next one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

from ..exceptions import CommandError
from ..text.literals import read_file, text_of
from ..text.palette import StyledText
from ..text.prose import plural
from .dispatch import dispatch_text
from .parser import is_private, parse
from .script import run_script
from .settings import Settings
from .state import Shell
from .terminal.display import Display, ScreenDisplay
from .terminal.printer import Printer

#: Seconds that a shell which is left waits for the answers of pending calls.
ANSWER_TIMEOUT = 3.0


def interact(
    make: Callable[[Display], Shell],
    settings: Settings,
    history_path: Path,
    *,
    startup: Path | None = None,
    is_dumb: bool = False,
    is_tour: bool = False,
) -> None:
    """Run a shell on the terminal until the user leaves.

    Args:
        make: Makes the shell for a display. The shell connects when its first prompt is visible.
        settings: The shell's settings.
        history_path: The file with the lines that were typed.
        startup: The file with commands to run first; it need not exist.
        is_dumb: The terminal cannot move its cursor.
        is_tour: Play the tour of the demo server, in place of what the user types.
    """
    # prompt_toolkit is slow to load, and scripts do not need it.
    from .terminal.modes import quiet
    from .terminal.output import PlainScreen, TerminalOutput, has_256_colors, is_terminal, standard_output
    from .terminal.prompt import Prompt, ShellHistory

    can_draw = not is_dumb and not is_tour
    screen: TerminalOutput | PlainScreen = standard_output() if can_draw else PlainScreen(sys.stdout)
    settings.is_rich = not can_draw or has_256_colors(os.environ)
    if is_dumb:
        settings.change("color", "off")
    printer = Printer(screen, lambda: settings.is_on("color"), styles=lambda: settings.styles)
    display = ScreenDisplay(printer, settings)
    with quiet(sys.stdin) if can_draw else nullcontext(), closing(printer):
        printer.start()
        shell = make(display)
        history = ShellHistory(history_path, display.warn)

        def on_first_prompt() -> None:
            if not is_opened:
                shell.link.open_in_background()
            # The first completion does not have to wait for it.
            threading.Thread(target=shell.names.load_history, name="ddp names", daemon=True).start()

        prompt: Prompt | PlainPrompt
        if isinstance(screen, TerminalOutput):
            prompt = Prompt(shell, printer, screen, history, when_drawn=on_first_prompt)
        else:
            from .terminal.plain_prompt import PlainPrompt, TourPrompt

            if is_tour:
                keys = sys.stdin if is_terminal(sys.stdin, sys.stdout) else None
                prompt = TourPrompt(shell, printer, screen, keys, lambda: settings.is_on("color"))
                shell.link.open(None)
            else:
                prompt = PlainPrompt(shell, printer, screen, sys.stdin, history.append_string)
        if not is_tour:
            shell.typed_lines = history.oldest_first
            shell.names.use_history(history.oldest_first, history_path.with_name("unknown-names"))
        shell.terminal = prompt
        with shell.interrupts.installed():
            is_opened = is_tour or _run_startup(shell, startup)
            if is_dumb and not is_opened:
                shell.link.open_in_background()
            run_shell(shell, prompt.read)


def _run_startup(shell: Shell, path: Path | None) -> bool:
    """Run the commands of `startup.ddp` without waiting for their answers. Returns whether the shell connects already."""
    if path is None or not path.exists():
        return False
    try:
        text = text_of(read_file(str(path)), str(path))
    except CommandError as error:
        shell.display.failure(None, error)
        return False
    if not parse(text):
        return False
    shell.link.open_in_background()
    shell.names.learn(text)
    run_script(shell, [text], path.name, waits=False)
    return True


def run_shell(shell: Shell, read: Callable[[], str]) -> None:
    """Run lines until the user leaves. Then wait a moment for pending answers, and leave the server.

    Args:
        shell: The shell.
        read: Reads a command that is typed. It raises KeyboardInterrupt if the user discarded the line with Ctrl-C, and
            EOFError if there are no more lines.
    """
    try:
        while not shell.is_leaving:
            try:
                text = read()
            except KeyboardInterrupt:
                continue
            except EOFError:
                break
            _run(shell, text)
            shell.interrupts.is_pending = False
        _leave(shell)
    finally:
        # A signal may end the loop, and logins must still be ended.
        shell.close()


def _run(shell: Shell, text: str) -> None:
    if not text.strip():
        return
    is_logged = not is_private(text)
    if is_logged:
        shell.names.learn(text)
    try:
        dispatch_text(shell, text, is_logged=is_logged)
    except KeyboardInterrupt:
        pending = len(shell.jobs.pending)
        continues = plural(pending, "command continues", "commands continue")
        note = f"; {continues}, see `pending`" if pending else ""
        shell.display.note([("note", f"stopped waiting{note}")])
    except Exception as error:  # noqa: BLE001 - a bug in a command must not end the user's session
        bug = CommandError(f"{type(error).__name__}: {error}; this is a bug in ddp, please report it")
        shell.display.failure(None, bug)


def _leave(shell: Shell) -> None:
    """Wait a moment for pending answers, and report the calls that stay without one."""
    shell.interrupts.is_pending = False
    client = shell.link.current_client
    due = {job.number for job in shell.jobs.pending if job.wait_on_exit}
    try:
        if due and client is not None and client.status.is_connected:
            shell.display.note([("note", f"waiting for {plural(len(due), 'answer')}; press Ctrl-C to leave now")])
            shell.wait(due, ANSWER_TIMEOUT)
    except KeyboardInterrupt:
        pass
    shell.settle()
    left = [job for job in shell.jobs.pending if job.wait_on_exit]
    if left:
        unsent = 0 if client is None else client.status.unsent
        text: StyledText = [("hint", "left without an answer: "), ("", ", ".join(job.what for job in left[:10]))]
        if unsent:
            text.append(("note", f" ({unsent} never sent)"))
        shell.display.note(text)
    for job in left:
        # A program that does not end by itself would outlive the shell.
        if job.cancel is not None:
            job.cancel()
    shell.display.flush()
