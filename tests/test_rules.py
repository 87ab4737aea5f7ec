"""The rule book, `ddpshell/protocol/RULES.md`: every rule that is cited exists, and every rule says where it is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.machine import TOP

BOOK = TOP / "ddpshell/protocol/RULES.md"

_RULE = re.compile(r"^- \*\*([A-Z]\d+)\*\* (.+?) (\((?:Kept in|Tested in) (.+)\)|\(Not kept: .+\))$")
_CITATION = re.compile(r"(?<![\w&.#-])([UHCREIASK]\d{1,2})(?![\w.])")


def _rules() -> dict[str, re.Match[str]]:
    lines = [line for line in BOOK.read_text().splitlines() if line.startswith("- ")]
    return {match[1]: match for match in (_RULE.match(line) for line in lines) if match is not None}


RULES = _rules()


def _sources() -> list[Path]:
    return sorted([*(TOP / "ddpshell").rglob("*.py"), *(TOP / "tests").rglob("*.py")])


CITATIONS: dict[str, set[str]] = {}
for _file in _sources():
    if "node_modules" not in _file.parts:
        for _found in _CITATION.finditer(_file.read_text()):
            CITATIONS.setdefault(_found[1], set()).add(_file.relative_to(TOP).as_posix())


def test_each_line_of_the_book_is_a_rule_or_says_something_else() -> None:
    lines = [line for line in BOOK.read_text().splitlines() if line.startswith("- ")]
    assert [line for line in lines if not _RULE.match(line)] == []


def test_each_rule_stands_once() -> None:
    ids = re.findall(r"^- \*\*([A-Z]\d+)\*\*", BOOK.read_text(), re.MULTILINE)
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("rule", sorted(set(CITATIONS) - {"C0"}))  # the control characters C0
def test_each_cited_rule_exists(rule: str) -> None:
    assert rule in RULES, f"cited in {', '.join(sorted(CITATIONS[rule]))}"


@pytest.mark.parametrize("rule", sorted(rule for rule, match in RULES.items() if match[4]))
def test_each_rule_is_cited_where_the_book_says_that_it_is_kept(rule: str) -> None:
    for name in RULES[rule][4].split(", "):
        file = name.strip("`")
        path = file if file.startswith("tests/") else f"ddpshell/{file}"
        assert path in CITATIONS.get(rule, set())
