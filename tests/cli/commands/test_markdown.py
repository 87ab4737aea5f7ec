"""Markdown is formatted for terminals of any width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ddpshell
from ddpshell.cli.commands.help import render_markdown
from ddpshell.text.palette import plain
from ddpshell.text.prose import cell_width


@pytest.mark.parametrize(
    ("markdown", "lines"),
    [
        pytest.param("# Title\n\nText.\n", ["Title", "", "Text."], id="a heading"),
        pytest.param("one\ntwo three four five\n", ["one two three", "four five"], id="a paragraph"),
        pytest.param("- one two three four\n  five\n- six\n", ["- one two three", "  four five", "- six"], id="a list"),
        pytest.param(
            "```console\n$ ddp call a b c d e f\n# 1\n\n2\n```\nText",
            ["    $ ddp call a b c d e f", "    # 1", "", "    2", "", "Text"],
            id="code is not wrapped, and has no headings",
        ),
        pytest.param(
            "| a | b |\n| --- | --- |\n| long | x \\| y z w |\n",
            ["  a", "    b", "  long", "    x | y z w"],
            id="a table that is too wide",
        ),
        pytest.param("| a | b |\n|-|-|\n| c | d `e` |\n", ["  a  b", "  c  d `e`"], id="a table"),
        pytest.param("| | |\n| --- | --- |\n| a | b |\n", ["  a  b"], id="a table without headings"),
        pytest.param("<!-- file: x -->\n```text\nx\n```\n", ["    x"], id="a comment"),
        pytest.param("`a` **b** [c](d.md)\n", ["`a` b c"], id="code, bold text and a link"),
        pytest.param("2 * 3 ** 4\n", ["2 * 3 ** 4"], id="signs that mark nothing"),
        pytest.param("", [], id="an empty text"),
    ],
)
def test_a_block_is_laid_out_for_a_narrow_terminal(markdown: str, lines: list[str]) -> None:
    assert [line.rstrip() for line in plain(render_markdown(markdown, 15, code_mark="`")).splitlines()] == lines


def test_the_last_column_of_a_table_is_wrapped() -> None:
    shown = plain(render_markdown("| -x | one two three four five |\n|-|-|\n", 24, code_mark="`"))
    assert shown == "  -x  one two three four\n      five\n"


def test_headings_code_and_typed_text_have_styles() -> None:
    styled = render_markdown("# A\n\n`b` c\n\n```console\n$ d\ne\n```\n", 80, code_mark="")
    assert [piece for piece in styled if piece[0]] == [("command", "A"), ("option", "b"), ("name", "    $ d")]


@pytest.mark.parametrize("width", [20, 60, 100])
def test_every_page_of_the_manual_fits(width: int) -> None:
    """Only code and single words are wider than the terminal."""
    for page in (Path(ddpshell.__file__).parent / "manual").glob("*.md"):
        for line in plain(render_markdown(page.read_text(), width, code_mark="`")).splitlines():
            is_code, is_table = line.startswith("    "), line.startswith("  ")
            assert cell_width(line) <= width or is_code or is_table or " " not in line.strip("- "), (page.name, line)


def test_no_word_of_a_page_is_lost() -> None:
    for page in (Path(ddpshell.__file__).parent / "manual").glob("*.md"):
        text = re.sub(r"^(```|<!--).*$|\]\(.*?\)|^\|[ |-]+$", "", page.read_text(), flags=re.MULTILINE).replace("`", "")
        shown = plain(render_markdown(page.read_text(), 40, code_mark=""))
        assert re.findall(r"\w+", shown) == re.findall(r"\w+", text), page.name
