"""The help: an overview that fits a screen, topics, and one command with its examples."""

from __future__ import annotations

import re

from msgspec import Struct

from ...exceptions import CommandError
from ...text.palette import StyledText
from ...text.prose import closest
from ..registry import Command, CommandName, Registry, command
from ..replies import Message, aligned
from ..state import Shell

__all__ = ["TOPICS", "Topic", "command_help", "general_help", "help_"]


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
        usage = _short_usage(item).removeprefix(item.name)
        rows.append(([("command", item.name), ("", usage)], [("", item.summary)]))
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


def _short_usage(item: Command) -> str:
    return " ".join([item.name, *(parameter.usage for parameter in item.arguments)])


def _all_commands(registry: Registry) -> StyledText:
    text: StyledText = []
    column = max(len(name) for name in registry.names()) + 2
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
