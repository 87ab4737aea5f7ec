"""The help, made of what the registry knows."""

from __future__ import annotations

import re

from ..text.palette import StyledText
from .registry import Command, Registry

__all__ = ["command_help", "general_help"]

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
        for command in commands:
            text += [("command", f"  {command.name:{column}}"), ("", f"{command.summary}\n")]
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
