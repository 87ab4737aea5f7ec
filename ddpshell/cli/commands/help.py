"""`ddp help`: the pages of the manual, and the help of each command.

The pages use a part of Markdown: headings, paragraphs, lists of one level, tables and fenced blocks; in a line, code, bold text
and links. Comments are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from ...text.palette import StyledText, plain, terminal_text
from ...text.prose import cell_width, closest, wrapped
from ..group import Command, Group
from ..options import OUTPUT_OPTIONS, NameType
from ..output import Console
from ..process import Process

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


# ------------------------------------------------------------------------------------------------------------ Markdown

_BLOCK = re.compile(
    r"<!-- .* -->\n"
    r"|(?P<marks>\#+)\ (?P<heading>.*)\n"
    r"|```.*\n(?P<code>(?:.*\n)*?)```\n"
    r"|(?P<table>(?:\|.*\n)+)"
    r"|(?P<list>(?:(?:-\ |\ \ ).*\n)+)"
    r"|(?P<paragraph>(?:(?!```|\||-\ |<!--|\#).+\n)+)",
    re.VERBOSE,
)
# The least columns for the last column of a table.
_LEAST_ROOM = 18
_INLINE = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<bold>.+?)\*\*|\[(?P<link>[^\]]+)\]\([^)]*\)")
# A line that the reader types, in a block of code.
_TYPED = re.compile(r"\$ |\S*> ")


def render_markdown(text: str, width: int, *, code_mark: str) -> StyledText:
    """Lay a text out for a terminal.

    Args:
        text: The Markdown.
        width: The columns of the terminal. Code is not wrapped.
        code_mark: The text around code within a line; empty where colors show what is code.
    """
    result: StyledText = []
    for block in _BLOCK.finditer(text if text.endswith("\n") else f"{text}\n"):
        if block["heading"]:
            lines = [wrapped([("command", block["heading"])], width)]
        elif block["code"] is not None:
            lines = [[("name" if _TYPED.match(line) else "", f"    {line}")] for line in block["code"].splitlines()]
        elif block["table"]:
            lines = list(_table(block["table"], width, code_mark))
        elif block["list"]:
            items = re.split(r"^- ", block["list"], flags=re.MULTILINE)[1:]
            lines = [_hanging(_inline(_joined(item), code_mark), [("", "- ")], width) for item in items]
        elif block["paragraph"]:
            lines = [wrapped(_inline(_joined(block["paragraph"]), code_mark), width)]
        else:
            continue
        if result:
            result.append(("", "\n"))
        for line in lines:
            result += [*line, ("", "\n")]
    return result


def _joined(text: str) -> str:
    return " ".join(text.split())


def _inline(text: str, code_mark: str) -> StyledText:
    result: StyledText = []
    end = 0
    for found in _INLINE.finditer(text):
        result.append(("", text[end : found.start()]))
        if found["code"]:
            result.append(("option", f"{code_mark}{found['code']}{code_mark}"))
        else:
            result.append(("name", found["bold"]) if found["bold"] else ("", found["link"]))
        end = found.end()
    return [*result, ("", text[end:])]


def _hanging(text: StyledText, first: StyledText, width: int) -> StyledText:
    """Wrap a text after a first piece, so that all of its lines begin in the same column."""
    indent = cell_width(plain(first))
    return [
        *first,
        *((style, piece.replace("\n", "\n" + " " * indent)) for style, piece in wrapped(text, width - indent)),
    ]


def _table(text: str, width: int, code_mark: str) -> Iterator[StyledText]:
    """Lay out a table: its first line holds the headings, which can be empty; its second one holds only dashes.

    Where the last column would have too little room, each row has a line for each cell.
    """
    first, _, *rows = [
        [_inline(cell.strip().replace(r"\|", "|"), code_mark) for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        for line in text.splitlines()
    ]
    if any(plain(cell) for cell in first):
        rows.insert(0, [[("heading", plain(cell))] for cell in first])
    widths = [max([cell_width(plain(cell)) for cell in column]) for column in zip(*rows, strict=True)]
    start = 2 + sum([column + 2 for column in widths[:-1]])
    is_wide = start + min(widths[-1], _LEAST_ROOM) <= width
    for row in rows:
        if is_wide:
            line: StyledText = [("", "  ")]
            for cell, column in zip(row[:-1], widths, strict=False):
                line += [*cell, ("", " " * (column - cell_width(plain(cell)) + 2))]
            yield _hanging(row[-1], line, width)
        else:
            for number, cell in enumerate(row):
                yield _hanging(cell, [("", "    " if number else "  ")], width)
