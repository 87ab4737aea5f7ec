"""Commands about the shell itself: settings, files, history, help."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from ...ejson import EJSONValue
from ...exceptions import CommandError
from ...text.escaping import escape_text
from ...text.formatting import format_value
from ...text.palette import StyledText
from ...text.prose import plural
from ..registry import Command, CommandName, Count, File, Flag, Number, Registry, Setting, Text, Value, command
from ..replies import Documents, Message, Result
from ..state import Shell
from .accounts import login, logout, whoami
from .calls import apply, call, cancel, pending, sub, subs, unsub, wait
from .data import collections, count, find, unwatch, watch
from .session import connect, debug, disconnect, ping, reconnect, status

__all__ = [
    "clear",
    "command_help",
    "echo",
    "exit_",
    "full",
    "general_help",
    "help_",
    "history",
    "save",
    "set_",
    "shell_registry",
    "source",
]


@command(
    examples=[
        ("set", "all settings"),
        ("set output table", "results as tables"),
        ("set editing vi", "edit the line as vi does"),
    ],
    labels={"text": "VALUE"},
)
def set_(shell: Shell, setting: Setting | None = None, text: Text | None = None) -> Message:
    """Show or change settings, for this session."""
    if setting is not None and text is not None:
        shell.settings.change(setting, text)
    if setting is not None:
        found = shell.settings.find(setting)
        meaning = f": {found.summary}" if text is None else ""
        return Message(
            [("", f"{found.name} is {shell.settings[found.name]}"), ("note", meaning)], is_answer=text is None
        )
    lines: StyledText = []
    for item, value in shell.settings:
        choices = f" ({' '.join(item.choices)})" if item.choices else ""
        lines += [("option", f"{item.name:9}"), ("", f"{value:8}"), ("note", f"{item.summary}{choices}\n")]
    ink, last = lines[-1]
    return Message([*lines[:-1], (ink, last.rstrip("\n"))])


@command(examples=[("source setup.ddp", "run its lines, one after another")])
def source(shell: Shell, file: File) -> Message:
    """Run the commands in a file, each when the one before is answered.

    The first error ends it. Ctrl-C does too. `save` writes such a file.
    """
    from ..script import run_script

    path = Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CommandError(f"cannot read {file}: {reason}") from None
    with shell.current.in_file(file):
        done = run_script(shell, io.StringIO(text), file)
    ended = "" if done.error is None else "; the last one failed, and the rest was not run"
    note = f"{file}: {plural(done.commands, 'command')}{ended}"
    return Message([("note", note)], is_answer=False, error=done.error)


@command(
    examples=[("save session.ddp", "for `source` to run again")],
    options={"force": "write over a file that is there"},
)
def save(shell: Shell, file: File, *, force: Flag = False) -> Message:
    """Write the commands of this session to a file.

    Those that hold secrets, begin with a space, or could not be run are left out. One result goes to a file with `echo $3 > FILE`.
    """
    from ..script import session_script

    path = Path(file).expanduser()
    lines = session_script(shell)
    text = "".join([f"{line}\n" for line in lines])
    try:
        with path.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise CommandError(f"{file} is there already; save {file} --force writes over it") from None
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror or error}") from None
    count = sum(not line.startswith("#") for line in lines)
    return Message([("note", f"{file}: {plural(count, 'command')}")], is_answer=False)


@command(examples=[("history", "the last 20 lines"), ("history 100", "the last 100"), ("history --find tasks", "with this text in them")],
    options={"find": "only lines that hold this text"},
)  # fmt: skip
def history(shell: Shell, count: Count = 20, *, find: Text | None = None) -> Message:
    """Show what was typed before.

    Ctrl-R searches in it. A line that begins with a space does not get into it, nor does one with a secret.
    """
    lines = [line for line in shell.log.typed_lines() if find is None or find in line]
    shown = lines[-count:] if count else []
    if not shown:
        return Message([("note", "nothing yet" if find is None else f"nothing with {find}")])
    return Message([("", "\n".join(shown))])


@command(
    examples=[
        ("echo $3.title", "a part of a result"),
        ("echo $_ > result.json", "the last result to a file"),
        ("echo [1, $_]", "a value made of others"),
    ],
    labels={"values": "VALUE"},
)
def echo(shell: Shell, *values: Value) -> Message | Result:
    """Show values: those of variables, or what a literal means.

    Strings are shown without quotes; one value that is no string goes to files and programs as JSON.
    """
    if len(values) == 1 and not isinstance(values[0], str):
        return Result(values[0])
    return Message([("", " ".join([_text(value) for value in values]))])


def _text(value: EJSONValue) -> str:
    return escape_text(value) if isinstance(value, str) else format_value(value, width=sys.maxsize)


@command(examples=[("clear", "Ctrl-L does the same")])
def clear(shell: Shell) -> None:
    """Clear the screen."""
    if shell.terminal is not None:
        shell.terminal.clear()


@command(examples=[("full", "the last result"), ("full 3", "that of [3]")])
def full(shell: Shell, number: Number | None = None) -> Result | Documents:
    """Show all of a result, however long it is.

    It is shown as it was before: documents one a line, or as a table. `set items` and `set length` say how much is shown of all others.
    """
    return shell.results.in_full(number)


@command(examples=[("help", "all commands"), ("help call", "one of them, with examples")])
def help_(shell: Shell, command: CommandName | None = None) -> Message:
    """Show what there is to type."""
    if command is None:
        return Message(general_help(shell.registry))
    found = shell.registry.get(command)
    if found is None:
        similar = shell.registry.similar(command)
        raise CommandError(
            f"no command {command[:40]}; {f'did you mean {similar}?' if similar else '`help` lists all'}"
        )
    return Message(command_help(found))


@command(examples=[("exit", "Ctrl-D does the same")])
def exit_(shell: Shell) -> None:
    """Leave.

    What is under way is given a moment to be answered; Ctrl-C leaves at once.
    """
    shell.is_leaving = True


_NOTES = (
    ("$_ $3 $3.title[0]", "the last result, that of [3], a part of it"),
    ("@FILE", "in place of a value: the one in a file"),
    ("COMMAND | PROGRAM", "the answer as JSON to a program, such as jq"),
    ("COMMAND > FILE", "the answer to a file; >> adds to it"),
    ("Tab  Ctrl-R  Ctrl-X Ctrl-E", "complete, search the history, edit in $EDITOR"),
    ("Ctrl-C  Ctrl-D", "clear the line or stop waiting; leave"),
)


#: Beyond so many columns, what an example means stands above it.
_EXAMPLE = 46


def general_help(registry: Registry) -> StyledText:
    """All commands, one line each."""
    text: StyledText = []
    column = max(len(name) for name in registry.names()) + 2
    for heading, commands in registry.groups.items():
        text.append(("heading", f"{heading}\n"))
        for item in commands:
            text += [("command", f"  {item.name:{column}}"), ("", f"{item.summary}\n")]
    text.append(("heading", "Keys and signs\n"))
    for keys, meaning in _NOTES:
        text += [("option", f"  {keys:28}"), ("", f"{meaning}\n")]
    text += [("note", "`help COMMAND` says more, with examples.")]
    return text


def command_help(command: Command) -> StyledText:
    """One command: usage, what it does, examples, options."""
    name, space, rest = command.usage.partition(" ")
    # Lines end where the source's do; the display breaks them where the window ends.
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", command.details)]
    paragraphs[0] = f"{command.summary} {paragraphs[0]}".rstrip()
    text: StyledText = [("command", name), ("", f"{space}{rest}\n\n"), ("", "\n\n".join(paragraphs) + "\n")]
    if command.examples:
        text.append(("heading", "\nExamples\n"))
        column = max(len(line) for line, _ in command.examples) + 2
        for line, meaning in command.examples:
            if column <= _EXAMPLE:
                text += [("option", f"  {line:{column}}"), ("note", f"# {meaning}\n")]
            else:
                text += [("note", f"  # {meaning}\n"), ("option", f"  {line}\n")]
    if command.options:
        text.append(("heading", "\nOptions\n"))
        usages = [option.usage.strip("[]") for option in command.options]
        column = max(map(len, usages)) + 2
        for option, usage in zip(command.options, usages, strict=True):
            text += [("option", f"  {usage:{column}}"), ("", f"{command.options_help.get(option.name, '')}\n")]
    ink, last = text[-1]
    return [*text[:-1], (ink, last.rstrip("\n"))]


def shell_registry() -> Registry:
    """A registry with all commands."""
    return Registry(
        {
            "Calls and subscriptions": [call, apply, sub, unsub, subs, pending, cancel, wait],
            "Documents": [collections, find, count, watch, unwatch],
            "Server": [connect, disconnect, reconnect, status, ping, login, logout, whoami, debug],
            "Shell": [set_, source, save, history, echo, full, clear, help_, exit_],
        }
    )
