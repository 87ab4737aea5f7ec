"""`ddp help`: the pages of the manual, and the help of each command."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ...text.markdown import render_markdown
from ...text.palette import terminal_text
from ...text.prose import closest
from ..group import Command, Group
from ..options import OUTPUT_OPTIONS, NameType
from ..output import Console
from ..process import Process

__all__ = ["help", "topics"]

_FOLDER = Path(__file__).parents[2] / "manual"

# The widest lines that are easy to read.
_MAX_WIDTH = 100


def topics() -> dict[str, dict[str, str]]:
    """Return the topics with their descriptions, grouped by heading, as the index of the manual lists them."""
    group: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for line in (_FOLDER / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            group = groups[line.removeprefix("## ")] = {}
        elif found := re.fullmatch(r"- \[(.+)\]\((.+)\.md\): (.+)", line):
            group[found[2]] = found[3]
    return groups


def _help(process: Process, topic: str | None) -> None:
    ctx = click.get_current_context()
    group = ctx.find_root().command
    assert isinstance(group, Group)
    pages = _pages()
    command = group.get_command(ctx, topic or "")
    if topic is None:
        text = _rendered(_list(group.list_commands(ctx)), process.console)
    elif topic in pages:
        text = _rendered((_FOLDER / f"{topic}.md").read_text(encoding="utf-8"), process.console)
    elif isinstance(command, Command | Group):
        with command.make_context(topic, [], parent=ctx.find_root(), resilient_parsing=True) as inner:
            text = command.help_text(inner, is_brief=False)
        for name, description in pages.items():
            if f"`ddp {topic}`" in description:
                text += f"\n\nSee also: ddp help {name}"
    else:
        similar = closest(topic, [*pages, *group.list_commands(ctx)])
        advice = f"did you mean {similar}?" if similar else "`ddp help` lists the topics"
        raise click.UsageError(f"unknown topic {topic!r}; {advice}")
    with process.console.paged():
        process.console.write(text)


def _list(commands: list[str]) -> str:
    """Return the list of topics as Markdown."""
    sections = [
        f"## {heading}\n\n| | |\n| --- | --- |\n" + "".join(f"| {name} | {text} |\n" for name, text in rows.items())
        for heading, rows in topics().items()
    ]
    return "\n".join(
        [
            "`ddp help TOPIC` shows a page of the manual. `ddp help COMMAND` shows the help of a command.\n",
            *sections,
            f"## Commands\n\n{', '.join(commands)}\n",
        ]
    )


def _rendered(markdown: str, console: Console) -> str:
    has_color = console.colors_out
    styled = render_markdown(markdown, min(console.out.width, _MAX_WIDTH), code_mark="" if has_color else "`")
    return terminal_text(styled, color=has_color).rstrip("\n")


def _names(ctx: click.Context) -> dict[str, str]:
    """Return the pages and the commands with their descriptions."""
    group = ctx.find_root().command
    assert isinstance(group, Group)
    return {**_pages(), **{name: f"The command ddp {name}." for name in group.list_commands(ctx)}}


def _pages() -> dict[str, str]:
    return {name: text for rows in topics().values() for name, text in rows.items()}


help = Command(  # noqa: A001 - a command and its module have the same name
    "help",
    callback=_help,
    help="Show a page of the manual, or the help of a command. Without TOPIC, list all topics.",
    params=[
        click.Argument(["topic"], metavar="[TOPIC]", required=False, type=NameType(_names)),
        *(option for option in OUTPUT_OPTIONS if option.name in ("color", "no_pager")),
    ],
    examples=[
        ("ddp help", "list the topics"),
        ("ddp help values", "how to write arguments"),
        ("ddp help call", "the help of ddp call"),
    ],
)
