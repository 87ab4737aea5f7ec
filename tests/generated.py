"""The files in `completions/`, which `python -m tests.generated` writes from the command."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from ddpshell import __version__
from ddpshell.cli.commands.completion import SHELLS, script
from ddpshell.cli.group import Command, Group, ddp
from ddpshell.cli.options import Rows, SharedOption
from ddpshell.cli.process import Process
from tests.machine import TOP

__all__ = ["FOLDER", "generated", "manual"]

FOLDER = TOP / "completions"


def generated() -> dict[str, str]:
    """The text of each file, by its name."""
    return {**{name: script(shell, ddp) for shell, name in SHELLS.items()}, "ddp.1": manual()}


def manual() -> str:
    """The manual page ddp(1). It has no date, so that it depends only on the command."""
    ctx = click.Context(ddp, info_name="ddp", obj=Process())
    lines = [f'.TH DDP 1 "" "ddpshell {_version()}" "User Commands"']
    lines += [".SH NAME", f"ddp \\- {_text(_sentence(ddp.help))}"]
    lines += [".SH SYNOPSIS", ".B ddp", _text(" ".join(ddp.collect_usage_pieces(ctx)))]
    lines += [
        ".SH DESCRIPTION",
        _text("Without a command, ddp opens an interactive shell, or runs the shell's commands from standard input."),
        _text("Options may stand before and after the command. Those of all commands are described at the end."),
    ]
    lines += [".SH COMMANDS"]
    for name in ddp.list_commands(ctx):
        command = ddp.get_command(ctx, name)
        assert isinstance(command, Command | Group)
        inner = click.Context(command, info_name=name, parent=ctx)
        lines += _command(command, inner)
        if isinstance(command, Group):
            for kind in command.list_commands(inner):
                subcommand = command.get_command(inner, kind)
                assert isinstance(subcommand, Command)
                lines += _command(subcommand, click.Context(subcommand, info_name=kind, parent=inner))
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in ddp.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            sections.setdefault(getattr(param, "section", "General"), []).append(record)
    lines.append(".SH OPTIONS")
    for heading, rows in sections.items():
        lines += [f'.SS "{heading}"', *_rows(rows)]
    for heading, notes in ddp.more_notes.items():
        lines += [f'.SH "{heading.upper()}"', *_rows(notes)]
    lines += [".SH EXAMPLES", *_examples(ddp.examples)]
    return "\n".join(lines) + "\n"


def _command(command: Command | Group, ctx: click.Context) -> Iterator[str]:
    yield f'.SS "{_text(" ".join([ctx.command_path, *command.collect_usage_pieces(ctx)]))}"'
    yield _text(command.help or "")
    for heading, rows in command.notes.items():
        yield from (".PP", f"{_text(heading)}:", *_rows(rows))
    own = [
        record
        for param in command.params
        if isinstance(param, click.Option)
        and not isinstance(param, SharedOption)
        and (record := param.get_help_record(ctx))
    ]
    yield from _rows(own)
    if command.examples:
        yield from (".PP", "Examples:", *_examples(command.examples))


def _rows(rows: Rows) -> Iterator[str]:
    for term, what in rows:
        yield from (".TP", f".B {_text(term)}", _text(what))


def _examples(examples: Rows) -> Iterator[str]:
    for line, what in examples:
        yield from (".TP", f".B {_text(line)}", _text(what))


def _text(text: str) -> str:
    """Text that is escaped for roff, so that no character is an instruction."""
    escaped = re.sub(r"[\\\-'\"^~`]", lambda match: _ESCAPES[match[0]], text)
    return f"\\&{escaped}" if escaped.startswith((".", "\\(aq")) else escaped


_ESCAPES = {
    "\\": "\\e", "-": "\\-", "'": "\\(aq", '"': "\\(dq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga",
}  # fmt: skip


def _sentence(text: str | None) -> str:
    text = (text or "").removesuffix(".")
    return text[:1].lower() + text[1:]


def _version() -> str:
    """The text without parts that change between releases."""
    return re.match(r"[0-9.]*[0-9]", __version__)[0]  # type: ignore[index]  # every version begins with numbers


if __name__ == "__main__":
    for name, text in generated().items():
        (FOLDER / name).write_text(text)
