"""Banned phrases occur in no text that a user or a reader of the code can see, and names of tests are clear."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import TOP

#: Banned phrases, and the replacement for each.
BANNED = {
    r"(?<!\bthere )(?<!\bThere )\b(?:is|are|was|were|be) no(?! (?:longer|more|one\b|need|way)\b) [a-z]": "is not a ..., or: there is no ...",
    r"(?<!\bthere )(?<!\bThere )\b(?:is|are|was|were) none\b": "there is no ..., or: is not a ...",
    r"\b(?:nobody|somebody|anybody|whoever|whomever)\b": "name the person: the user, the caller, the server",
    r"\bwho one is\b|\bwho to be\b": "the user that you are logged in as",
    r"\bof (?:before|old|ours|yours|theirs)\b": "earlier, or: the project's",
    r"\bmeans nothing to\b": "does not take",
    r"(?:^|[.:;] )(?:Is|Are|Was|Were|Has|Had|Does|Did) (?:the|a|an|it|there) [^.?!]*[a-z],": "if ...",
    r": It (?:is|was|cannot|could not|does not|did not|has)(?: be| been| have)?(?: one| not)?\.(?:\s|$)": "the whole condition",
    r"\bWhat (?:passes|is wanted|comes of it|counts)\b": "name the noun",
    r"\bthere already\b|\bwrites over\b": "already exists; overwrite",
    r"\bstay so\b|\ba text of\b|\btaken back\b|\btake back\b": "plain verb",
    r"\bcolours?\b|\bcoloured\b|\bbehaviours?\b|\brecognis|\bnormalis|\binitialis|\bspecialis|\bcentre\b|\bneighbour": "American",
    r"\bcancelled\b|\bcancelling\b": "American spelling: canceled",
}

_PATTERNS = {re.compile(pattern, re.MULTILINE): advice for pattern, advice in BANNED.items()}

#: Names in code, which other projects spell: `CancelledError`, `Future.cancelled()`.
_CODE = re.compile(r"`[^`\n]*`|\b\w+\.\w+\b|\b\w*_\w*\b|\b[A-Z]\w*[a-z][A-Z]\w*\b")


def _python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Comments, strings and docstrings, and the names of tests, each with its line."""
    comment, last = "", 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            # A sentence can continue on the next line.
            if token.start[0] == last + 1 and comment:
                comment += " " + token.string.lstrip("#: ")
            else:
                if comment:
                    yield last, comment
                comment = token.string.lstrip("#: ")
            last = token.start[0]
    if comment:
        yield last, comment
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield (
                node.lineno,
                re.sub(r"(?<!\n)\n[ ]*(?=\S)(?!\w+:$)", " ", node.value) if node.value.count("\n") else node.value,
            )
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.removeprefix("test_").replace("_", " ")


def banned_phrases(text: str) -> list[str]:
    """Return the banned phrases in a text, each with its replacement."""
    if text == "colour":
        return []  # the shell accepts it as the name of its setting
    text = _CODE.sub("", text)
    return [f"{match[0]!r}: {advice}" for pattern, advice in _PATTERNS.items() for match in pattern.finditer(text)]


def _files() -> list[Path]:
    found = [*TOP.glob("*.md"), *(TOP / "completions").iterdir(), *(TOP / ".ci").iterdir(), TOP / "pyproject.toml"]
    for folder in ("ddpshell", "tests"):
        found += [file for file in (TOP / folder).rglob("*") if file.suffix in (".py", ".md", ".sh", ".js")]
    return sorted(file for file in found if "node_modules" not in file.parts and file.name != Path(__file__).name)


def found_in(file: Path) -> list[str]:
    """Return the banned phrases in a file, each with its line."""
    name, source = file.relative_to(TOP).as_posix(), file.read_text()
    texts = _python_texts(source) if name.endswith(".py") else enumerate(source.splitlines(), start=1)
    return [f"{name}:{line}: {phrase}" for line, text in texts for phrase in banned_phrases(text)]


def test_no_text_has_a_banned_phrase() -> None:
    assert [found for file in _files() for found in found_in(file)] == []


@pytest.mark.parametrize(
    "text",
    [
        "foo is no value", "What is none of them", "nobody is asked", "servers of old", "Is the token refused, it is forgotten.",
        "OSError: It cannot be.", "OSError: It is not.", "clock: What passes.", "f.ddp is there already", "the call is cancelled",
        "Show it in colour",
    ],
)  # fmt: skip
def test_a_banned_phrase_is_found(text: str) -> None:
    assert banned_phrases(text)


@pytest.mark.parametrize(
    "text",
    ["there is no value", "it is no longer used", "`Future.cancelled` is true", "If the token is refused, it is forgotten."],
)  # fmt: skip
def test_a_plain_phrase_is_left_alone(text: str) -> None:
    assert banned_phrases(text) == []


#: Why the name of a test does not say what is broken when the test fails.
UNCLEAR = {
    r"test_(?:he|it|its|one_that|such|these|they|this|those)_": "begin with the noun instead of a pronoun",
    r"\w+_ones?$(?<!_one_by_one)": "end with the noun instead of `one`",
    r"test_[^_]+(?:_[^_]+)?$": "write a sentence, which has at least three words",
}


def problems_of_name(name: str) -> list[str]:
    """Return the problems of a test's name."""
    return [problem for pattern, problem in UNCLEAR.items() if re.match(pattern, name)]


def test_the_name_of_each_test_is_a_sentence_with_nouns() -> None:
    names = {
        (file.relative_to(TOP).as_posix(), name)
        for file in (TOP / "tests").rglob("test_*.py")
        if "node_modules" not in file.parts
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert [(*place, problems) for place in sorted(names) if (problems := problems_of_name(place[1]))] == []


@pytest.mark.parametrize(
    "name",
    [
        "test_it_ends_after_a_timeout",
        "test_these_are_equal",
        "test_a_rejected_login_keeps_the_current_one",
        "test_documents_move",
    ],
)
def test_an_unclear_name_of_a_test_is_found(name: str) -> None:
    assert len(problems_of_name(name)) == 1


@pytest.mark.parametrize(
    "name", ["test_an_item_ends_the_wait", "test_items_are_read_one_by_one", "test_one_client_cannot_use_all_threads"]
)
def test_a_clear_name_of_a_test_has_no_problems(name: str) -> None:
    assert problems_of_name(name) == []
