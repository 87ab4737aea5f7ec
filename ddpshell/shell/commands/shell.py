"""Commands for the shell itself: settings, scripts, history, help. And the registry of all commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from ...exceptions import CommandError
from ...text.escaping import escape_line, escape_text
from ...text.formatting import format_value
from ...text.literals import read_file, text_of
from ...text.palette import StyledText
from ...text.prose import closest, plural
from ..outputs import ending
from ..registry import Command, CommandName, Count, File, Flag, Number, Registry, Setting, Text, Value, command
from ..replies import Documents, Message, Result, aligned, note
from ..script import run_script, session_script
from ..state import Shell
from .accounts import login, logout, whoami
from .calls import apply, call, cancel, pending, sub, subs, unsub, wait
from .data import collections, count, find, live, unwatch, watch
from .session import connect, debug, disconnect, names, ping, reconnect, record, status


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
    text = text_of(read_file(file), file)
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
    return note(f"{file}: {plural(commands, 'command')}")


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
    lines = [line for line in shell.typed_lines() if find is None or find in line]
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
    texts = [
        escape_text(value) if isinstance(value, str) else format_value(value, width=sys.maxsize) for value in values
    ]
    return Message([("", " ".join(texts))])


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
    shell.interrupts.is_pending = False
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


# ------------------------------------------------------------------------------------------------------------- the help


@command(
    examples=[
        ("help", "show the most useful commands, and the names of all"),
        ("help call", "explain one command, with examples"),
        ("help keys", "explain a topic: commands, keys, values, selectors"),
    ],
    labels={"command": "COMMAND|TOPIC"},
    aliases=("?", r"\?", r"\h", "help()"),
)
def help_(shell: Shell, command: CommandName | None = None) -> Message:
    """Show an overview, or explain a command or a topic.

    `COMMAND --help` explains a command too.
    """
    if command is None:
        return Message(general_help(shell.registry))
    if command == "commands":
        return Message(_all_commands(shell.registry))
    if command in TOPICS:
        return Message(_topic_text(TOPICS[command]))
    try:
        return Message(command_help(shell.registry.named(command)))
    except CommandError:
        similar = closest(command.lower(), TOPICS)
        if not similar:
            raise
        raise CommandError(f"unknown command or topic {command[:40]}; did you mean {similar}?") from None


class Topic(Struct, frozen=True):
    """A topic of the help.

    Args:
        summary: What it explains.
        rows: Things to type, and what they mean. A row with one of both empty is a heading or a sentence.
    """

    summary: str
    rows: tuple[tuple[str, str], ...] = ()


#: The topics by name.
TOPICS = {
    "commands": Topic("all commands, with a sentence about each"),
    "keys": Topic(
        "the keys for editing a line, and signs such as | and $1",
        (
            ("Tab", "complete a command, a name, an option, a field or a result"),
            ("Up  Ctrl-R", "go back in the history; search it"),
            ("Right", "accept the suggestion in gray"),
            ("Alt-Enter", "start another line; Enter does it while a bracket is open"),
            ("Ctrl-X Ctrl-E", "edit the line in $EDITOR"),
            ("Ctrl-C", "clear the line, or stop waiting; calls that were sent continue"),
            ("Ctrl-D", "leave the shell"),
            ("", ""),
            ("$_  $3  $3.title[0]", "the last result, the result of [3], a part of it"),
            ("x = call METHOD", "keep the result as $x"),
            ("COMMAND; COMMAND", "commands in one line; each waits for the answer to the one before"),
            ("COMMAND | PROGRAM", "send the answer as JSON to a program, such as jq"),
            ("COMMAND > FILE", "write the answer to a file; >> appends"),
            ("!PROGRAM", "run a program of the system"),
            ("# TEXT", "a comment; a line that begins with a space is not in the history"),
        ),
    ),
    "values": Topic(
        "how the VALUEs of a command are written",
        (
            ("5  -1.5e3  true  null", "numbers and constants; Infinity and NaN too"),
            ("Hello", "text; a word that is not another value"),
            ("\"two words\"  'it'", 'text in quotes; "5" is text too'),
            ("{a: 1, 'b c': [2,]}", "an object; keys need no quotes"),
            ('Date("2026-01-02")', "a date; Date() is now, Date(0) counts milliseconds from 1970"),
            ('ObjectID("...")', "24 hexadecimal digits"),
            ('RegExp("^a", "i")', "a pattern; /^a/i inside brackets"),
            ('Binary("AQID")', "bytes, as base64"),
            ('Decimal("1.10")', "an exact decimal number"),
            ('Custom("type", 1)', "a type of the application"),
            ('{"$date": 0}', "EJSON's own forms mean what they mean in EJSON"),
            ("$_  $3.title  $name", "results; see `help keys`"),
            ("@tasks.json  @@x", "the value in a file; the text @x"),
            ("Text(@notes.md)", "the text of a file; Binary(@photo.png) its bytes"),
            ("", ""),
            ("", "What the shell shows can be pasted back. `echo VALUE` shows how a value is read."),
        ),
    ),
    "selectors": Topic(
        "the queries of find, count and watch",
        (
            ("find tasks", "all documents in the local collection"),
            ("find tasks a", "the document with the id a"),
            ("{done: false, n: 2}", "both fields are equal"),
            ("{n: {$gt: 1, $lte: 9}}", "$gt $gte $lt $lte $ne compare"),
            ("{n: {$in: [1, 2]}}", "one of these; $nin: none of them"),
            ("{title: /^write/i}", 'a pattern; or {$regex: "^write"}'),
            ("{owner: {$exists: true}}", "there is such a field; $type: it has this type"),
            ('{"owner.name": "ann"}', 'a field of a field; "tags.0" is an item of an array'),
            ('{tags: "red"}', "an item of the array is equal"),
            ('{tags: {$all: ["a"]}}', "all of these items; $size: so many items"),
            ("{items: {$elemMatch: {}}}", "one item matches all of this"),
            ("{$or: [{n: 1}, {n: 2}]}", "one matches; $and: all do, $nor: none does"),
            ("{n: {$not: {$gt: 1}}}", "the opposite"),
            ("", ""),
            ("--sort done,-n", "sort by done, then by n from the greatest"),
            ("--fields title,n", "show these fields only; -secret: all but this one"),
            ("--skip 10 --limit 5", "show a part"),
        ),
    ),
}

# The commands that the overview explains. A newcomer needs no others.
_FIRST = ("call", "sub", "find", "watch", "login", "status", "set", "exit")

# If the examples are wider, their explanations go above them.
_EXAMPLE_WIDTH = 46


def general_help(registry: Registry) -> StyledText:
    """The most useful commands, the names of all, and the topics. It fits 24 rows together with the prompt."""
    rows: list[tuple[StyledText, StyledText]] = []
    for item in filter(None, map(registry.get, _FIRST)):
        arguments = "".join([f" {parameter.usage}" for parameter in item.arguments])
        rows.append(([("command", item.name), ("", arguments)], [("", item.summary)]))
    groups: list[tuple[StyledText, StyledText]] = [
        ([("", heading)], [("command", " ".join(item.name for item in commands))])
        for heading, commands in registry.groups.items()
    ]
    topics: list[tuple[StyledText, StyledText]] = [
        ([("option", f"help {name}")], [("", topic.summary)]) for name, topic in TOPICS.items()
    ]
    return [
        *aligned(rows, indent="  "),
        ("heading", "\nAll commands\n"),
        *aligned(groups, indent="  "),
        ("heading", "\nTopics\n"),
        *aligned(topics, indent="  "),
        ("note", "\n`help COMMAND` explains a command, with examples."),
    ]


def _all_commands(registry: Registry) -> StyledText:
    text: StyledText = []
    column = max(len(item.name) for item in registry) + 2
    for heading, commands in registry.groups.items():
        text.append(("heading", f"{heading}\n"))
        for item in commands:
            text += [("command", f"  {item.name:{column}}"), ("", f"{item.summary}\n")]
    return [*text, ("note", "`help COMMAND` explains a command, with examples.")]


def _topic_text(topic: Topic) -> StyledText:
    column = max(len(sign) for sign, _ in topic.rows) + 2
    text: StyledText = [("heading", f"{topic.summary[0].upper()}{topic.summary[1:]}\n")]
    for sign, meaning in topic.rows:
        text += [("option", f"  {sign:{column}}" if sign else ""), ("", f"{meaning}\n")]
    return [*text[:-1], ("", text[-1][1].removesuffix("\n"))]


def command_help(command: Command) -> StyledText:
    """One command: usage, explanation, examples and options."""
    name, space, rest = command.usage.partition(" ")
    # The display wraps the paragraphs to the width of the terminal.
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", command.details)]
    paragraphs[0] = f"{command.summary} {paragraphs[0]}".rstrip()
    text: StyledText = [("command", name), ("", f"{space}{rest}\n\n"), ("", "\n\n".join(paragraphs))]
    if command.examples:
        text += [("", "\n"), ("heading", "\nExamples")]
        column = max(len(line) for line, _ in command.examples) + 2
        for line, meaning in command.examples:
            if column <= _EXAMPLE_WIDTH:
                text += [("option", f"\n  {line:{column}}"), ("note", f"# {meaning}")]
            else:
                text += [("note", f"\n  # {meaning}"), ("option", f"\n  {line}")]
    if command.options:
        text += [("", "\n"), ("heading", "\nOptions")]
        rows: list[tuple[StyledText, StyledText]] = [
            ([("option", option.usage.strip("[]"))], [("", command.options_help.get(option.name, ""))])
            for option in command.options
        ]
        text += [("", "\n"), *aligned(rows, indent="  ")]
    return text


# -------------------------------------------------------------------------------------------------------- the registry


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
