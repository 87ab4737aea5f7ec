"""The rule book, `ddpshell/protocol/RULES.md`: every cited rule exists, and every rule names the files that follow or test it."""

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


def _sources() -> list[Path]:
    files = [*(TOP / "ddpshell").rglob("*.py"), *(TOP / "tests").rglob("*.py")]
    return [file for file in files if "node_modules" not in file.parts]


@pytest.fixture(scope="module")
def citations() -> dict[str, set[str]]:
    """Each cited rule, and the files that cite it."""
    found: dict[str, set[str]] = {}
    for file in _sources():
        for rule in _CITATION.findall(file.read_text()):
            found.setdefault(rule, set()).add(file.relative_to(TOP).as_posix())
    return found


def test_each_item_of_the_rule_book_is_a_rule() -> None:
    lines = [line for line in BOOK.read_text().splitlines() if line.startswith("- ")]
    assert [line for line in lines if not _RULE.match(line)] == []


def test_each_rule_id_is_used_once() -> None:
    ids = re.findall(r"^- \*\*([A-Z]\d+)\*\*", BOOK.read_text(), re.MULTILINE)
    assert sorted(ids) == sorted(set(ids))


def test_each_cited_rule_exists(citations: dict[str, set[str]]) -> None:
    known = {*_rules(), "C0"}  # the control characters C0
    assert {rule: files for rule, files in citations.items() if rule not in known} == {}


def test_each_rule_is_cited_in_the_files_that_the_book_names(citations: dict[str, set[str]]) -> None:
    kept = {
        (rule, file if file.startswith("tests/") else f"ddpshell/{file}")
        for rule, match in _rules().items()
        for file in re.findall(r"[^`, ]+", match[4] or "")
    }
    assert sorted(kept - {(rule, file) for rule, files in citations.items() for file in files}) == []
