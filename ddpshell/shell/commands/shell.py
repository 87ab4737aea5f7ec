"""Commands for the shell itself: settings, scripts, history, help. And the registry of all commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ...ejson import EJSONValue
from ...exceptions import CommandError
from ...text.escaping import escape_line, escape_text
from ...text.formatting import format_value
from ...text.palette import StyledText
from ...text.prose import plural
from ..outputs import ending
from ..registry import Count, File, Flag, Number, Registry, Setting, Text, Value, command
from ..replies import Documents, Message, Result, aligned
from ..script import read_script, run_script, session_script
from ..state import Shell
from .accounts import login, logout, whoami
from .calls import apply, call, cancel, pending, sub, subs, unsub, wait
from .data import collections, count, find, live, unwatch, watch
from .help import TOPICS, help_
from .session import connect, debug, disconnect, names, ping, reconnect, record, status

__all__ = [
    "clear",
    "echo",
    "exit_",
    "full",
    "history",
    "save",
    "set_",
    "shell_registry",
    "source",
]


@command(
    examples=[
        ("set", "show all settings"),
        ("set output table", "show results as tables"),
        ("set editing vi --save", "edit the line with the keys of vi, also in later sessions"),
    ],
    labels={"text": "VALUE"},
    options={"save": "keep the setting in the config file, for later sessions"},
)
def set_(shell: Shell, setting: Setting | None = None, text: Text | None = None, *, save: Flag = False) -> Message:
    """Show or change settings.

    A change lasts until you leave the shell. With --save, it is written to `[shell]` in the config file.
    """
    if save and setting is None:
        raise CommandError("--save needs a setting: set NAME VALUE --save")
    if save and shell.hooks.save_setting is None:
        raise CommandError("settings cannot be saved here")
    if setting is None:
        rows: list[tuple[StyledText, StyledText]] = []
        for item, value in shell.settings:
            choices = f" ({' '.join(item.choices)})" if item.choices and item.choices != ("on", "off") else ""
            rows.append(([("option", item.name)], [("", f"{value:8}"), ("note", f"{item.summary}{choices}")]))
        return Message(aligned(rows, gap=1))
    if text is not None:
        shell.settings.change(setting, text)
    found = shell.settings.find(setting)
    if save and shell.hooks.save_setting is not None:
        file = shell.hooks.save_setting(found.name, shell.settings[found.name])
        saved = f"{found.name} is {shell.settings[found.name]}"
        return Message([("", saved), ("note", f", saved in {escape_line(file)}")], is_answer=False)
    meaning = f": {found.summary}" if text is None else ""
    return Message([("", f"{found.name} is {shell.settings[found.name]}"), ("note", meaning)], is_answer=text is None)


@command(examples=[("source setup.ddp", "run the commands in setup.ddp")])
def source(shell: Shell, file: File) -> Message:
    """Run the commands in a file.

    Each command runs when the one before is answered. The first error, or Ctrl-C, ends the script. `save` writes such a
    file.
    """
    text = read_script(file)
    with shell.current.in_file(file):
        outcome = run_script(shell, [text], file)
    ended = "" if outcome.error is None else "; the last one failed, so the rest was not run"
    return Message([("note", f"{file}: {plural(outcome.commands, 'command')}{ended}")], False, outcome.error)


@command(
    examples=[("save session.ddp", "write a file that `source` can run")],
    options={"force": "overwrite an existing file"},
)
def save(shell: Shell, file: File, *, force: Flag = False) -> Message:
    """Write the commands of this session to a file.

    Commands that hold secrets, begin with a space, or failed to run are left out. To write one result to a file, use
    `echo $3 > FILE`.
    """
    lines = session_script(shell)
    try:
        with Path(file).expanduser().open("w" if force else "x", encoding="utf-8") as opened:
            opened.writelines(f"{line}\n" for line in lines)
    except FileExistsError:
        raise CommandError(f"{file} already exists; `save {file} --force` overwrites it") from None
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror or error}") from None
    commands = sum(not line.startswith("#") for line in lines)
    return Message([("note", f"{file}: {plural(commands, 'command')}")], is_answer=False)


@command(
    examples=[
        ("history", "show the last 20 lines"),
        ("history 100", "show the last 100 lines"),
        ("history --find tasks", "show lines that contain tasks"),
    ],
    options={"find": "show only lines that contain TEXT"},
)
def history(shell: Shell, count: Count = 20, *, find: Text | None = None) -> Message:
    """Show the lines that you typed.

    Ctrl-R searches them. Lines that begin with a space or hold a secret are not recorded.
    """
    lines = [line for line in shell.log.typed_lines() if find is None or find in line]
    shown = lines[-count:] if count else []
    if not shown:
        return Message([("note", "the history is empty" if find is None else f"no line contains {find}")])
    return Message([("", "\n".join(shown))])


@command(
    examples=[
        ("echo $3.title", "show a part of a result"),
        ("echo $_ > result.json", "write the last result to a file"),
        ("echo [1, $_]", "show a value made of others"),
    ],
    labels={"values": "VALUE"},
)
def echo(shell: Shell, *values: Value) -> Message | Result:
    """Show values.

    Use it for results, such as `$3`, and to see how a VALUE is read. Strings are shown without quotes. A file or a program
    gets a single value as JSON, unless it is a string.
    """
    if len(values) == 1:
        return Result(values[0], is_text=True)
    return Message([("", " ".join([_text(value) for value in values]))])


def _text(value: EJSONValue) -> str:
    return escape_text(value) if isinstance(value, str) else format_value(value, width=sys.maxsize)


@command(examples=[("clear", "the same as Ctrl-L")])
def clear(shell: Shell) -> None:
    """Clear the screen."""
    if shell.terminal is not None:
        shell.terminal.clear()


@command(
    examples=[("!ls", "list the files in this folder"), ("!git log | head", "use the system's shell")],
    labels={"command_line": "PROGRAM"},
    name="!",
)
def program(shell: Shell, command_line: Text) -> None:
    """Run a program of the system.

    The program has the terminal until it ends. `COMMAND | PROGRAM` gives it an answer to read.
    """
    shell.display.flush()
    with shell.handed_over_terminal():
        # The program gets Ctrl-C too, and decides whether to end.
        code = subprocess.run(command_line, shell=True, check=False).returncode  # noqa: S602 - the user typed it
    shell.interrupts.forget()
    if code:
        raise CommandError(f"{command_line[:80]} {ending(code)}")


@command(examples=[("full", "show the last result"), ("full 3", "show the result of [3]")])
def full(shell: Shell, number: Number | None = None) -> Result | Documents:
    """Show a result in full length.

    Other commands shorten long results: see `set items` and `set length`.
    """
    return shell.results.in_full(number)


@command(examples=[("exit", "the same as Ctrl-D")], aliases=("quit", "q", ":q", r"\q", "exit()", "quit()"))
def exit_(shell: Shell) -> None:
    """Leave the shell.

    Pending calls get a moment to be answered; Ctrl-C leaves at once.
    """
    shell.is_leaving = True


def shell_registry() -> Registry:
    """Make a registry with all commands."""
    return Registry(
        {
            "Calls": [call, apply, pending, cancel, wait],
            "Subscriptions": [sub, unsub, subs, live],
            "Documents": [collections, find, count, watch, unwatch],
            "Server": [connect, disconnect, reconnect, status, ping, debug, record],
            "Users": [login, logout, whoami],
            "Shell": [set_, source, save, names, history, echo, full, program, clear, help_, exit_],
        },
        {name: topic.summary for name, topic in TOPICS.items()},
    )
