"""`ddp help` lists the topics of the manual, shows a page, and shows the help of a command."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import ddpshell
from ddpshell.cli.commands.help import topics
from ddpshell.cli.group import ddp as group
from tests.cli.conftest import Command

FOLDER = Path(ddpshell.__file__).parent / "manual"
PAGES = {name: text for rows in topics().values() for name, text in rows.items()}


def test_every_topic_has_a_page_and_every_page_is_a_topic() -> None:
    assert set(PAGES) == {file.stem for file in FOLDER.glob("*.md")} - {"README"}


def test_no_topic_has_the_name_of_a_command() -> None:
    assert set(PAGES) & set(group.list_commands(click.Context(group))) == set()


def test_the_topics_are_listed_with_one_line_each(ddp: Command) -> None:
    ran = ddp("help")
    assert (ran.code, ran.err) == (0, "")
    for name, text in PAGES.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", ran.out, re.MULTILINE), name
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_plain_text_on_a_pipe(ddp: Command, name: str) -> None:
    ran = ddp("help", name)
    assert (ran.code, ran.err) == (0, "")
    heading, _, _ = (FOLDER / f"{name}.md").read_text().partition("\n")
    assert ran.out.startswith(f"{heading.removeprefix('# ')}\n\n")
    assert "\x1b" not in ran.out
    assert "```" not in ran.out
    assert "<!--" not in ran.out


def test_headings_have_a_color_on_a_terminal(terminal: Callable[..., str]) -> None:
    assert "\x1b[1;94mErrors and exit codes\x1b[0m" in terminal("help", "errors", "--no-pager", "--color", "always")


def test_a_long_page_is_paged_on_a_terminal(terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "echo paged; cat > /dev/null; true")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "24")
    assert terminal("help", "tour").strip() == "paged"


def test_the_help_of_a_command_is_shown_with_the_pages_about_it(ddp: Command) -> None:
    ran = ddp("help", "call")
    assert ran.out == ddp("call", "--help").out + "\nSee also: ddp help calls\n"


def test_an_unknown_topic_is_an_error_that_names_a_similar_topic(ddp: Command) -> None:
    ran = ddp("help", "selector")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("ddp: error: unknown topic 'selector'; did you mean selectors?\n")
    assert "`ddp help` lists the topics" in ddp("help", "xyzzy").err


def test_topics_and_commands_are_completed() -> None:
    ctx = click.Context(group, obj=None)
    command = group.get_command(ctx, "help")
    assert command is not None
    [argument] = [param for param in command.params if isinstance(param, click.Argument)]
    with click.Context(command, parent=ctx) as inner:
        assert [item.value for item in argument.shell_complete(inner, "ca")] == ["calls", "call"]
        assert [item.value for item in argument.shell_complete(inner, "sel")] == ["selectors"]


def test_every_page_begins_with_a_paragraph_and_an_example() -> None:
    for name in PAGES:
        first, *_ = re.split(r"^## ", (FOLDER / f"{name}.md").read_text(), flags=re.MULTILINE)
        assert re.match(r"# .+\n\n\S", first), name
        assert "```" in first, name
