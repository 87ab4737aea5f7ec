"""The arguments in docstrings match the signatures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.machine import TOP

FILES = sorted(file.relative_to(TOP).as_posix() for file in (TOP / "ddpshell").rglob("*.py"))

_Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def described_arguments(docstring: str) -> list[str]:
    """The names in the `Args:` section of a docstring, in order."""
    lines = docstring.split("\n")
    if "Args:" not in (line.strip() for line in lines):
        return []
    start = next(index for index, line in enumerate(lines) if line.strip() == "Args:")
    margin = len(lines[start]) - len(lines[start].lstrip())
    names: list[str] = []
    for line in lines[start + 1 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= margin:
            break
        if match := re.match(rf" {{{margin + 4}}}\*{{0,2}}(\w[\w, *]*):", line):
            names += re.split(r",\s*\**", match[1])
    return names


def parameters(node: _Documented) -> list[str]:
    """The names of the parameters of a function, of a class's `__init__`, or the fields of a class of values."""
    if isinstance(node, ast.ClassDef):
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name in ("__init__", "__new__"):
                return parameters(item)
        return [
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        ]
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument.arg for argument in named if argument is not None]


def unknown_arguments(source: str) -> Iterator[str]:
    """Each described argument that the signature does not have, and each description in another order."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _Documented) and (docstring := ast.get_docstring(node)):
            described, known = described_arguments(docstring), parameters(node)
            if isinstance(node, ast.ClassDef) and node.bases and not known:
                continue  # the signature is inherited
            yield from (f"{node.name}: {name}" for name in described if name not in known)
            places = [known.index(name) for name in described if name in known]
            if places != sorted(places):
                yield f"{node.name}: order of {', '.join(described)}"


def test_each_described_argument_exists() -> None:
    found = {file: list(unknown_arguments((TOP / file).read_text())) for file in FILES}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param('def f(a, b):\n    """F.\n\n    Args:\n        a: One.\n        b: Two.\n    """', [], id="right"),
        pytest.param('def f(a):\n    """F.\n\n    Args:\n        x: One.\n    """', ["f: x"], id="unknown name"),
        pytest.param(
            'def f(a, b):\n    """F.\n\n    Args:\n        b: One.\n        a: Two.\n    """', ["f: order of b, a"], id="order"
        ),
        pytest.param('class C:\n    """C.\n\n    Args:\n        x: One.\n    """\n    y: int', ["C: x"], id="field"),
        pytest.param(
            'class C:\n    """C.\n\n    Args:\n        x: One.\n    """\n    def __init__(self, x): ...', [], id="init"
        ),
    ],
)  # fmt: skip
def test_a_wrong_description_is_found(source: str, found: list[str]) -> None:
    assert list(unknown_arguments(source)) == found
