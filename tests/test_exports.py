"""A package exports exactly the names that its `__init__` imports, and a name with an underscore stays in its module.

A module exports the names that it defines without an underscore. It has `__all__` only if it also exports names of other
modules, or if a test reads the list. Ruff checks that the lists are sorted, and that their names exist.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.machine import TOP

PACKAGE = TOP / "ddpshell"
PACKAGES = sorted(PACKAGE.rglob("__init__.py"))
MODULES = sorted(file for file in PACKAGE.rglob("*.py") if not file.name.startswith("__"))


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def listed(tree: ast.Module) -> list[str] | None:
    """Return the names in `__all__`; None without one, and no names if it is imported from another module."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and "__all__" in [alias.name for alias in node.names]:
            return []
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def defined(tree: ast.Module) -> set[str]:
    """Return the public names that are defined at the top level."""
    names: list[str] = []
    for node in tree.body:
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                names.append(name)
            case ast.Assign(targets):
                names += [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            case ast.AnnAssign(ast.Name(name)):
                names.append(name)
    # TYPE_CHECKING belongs to the type checker, even if it is not imported from `typing`.
    return {name for name in names if not name.startswith("_") or name == "__version__"} - {"TYPE_CHECKING"}


def taken(file: Path, tree: ast.Module) -> list[tuple[Path, str]]:
    """Return the names imported from other modules of the package, each with its folder or file."""
    return [
        (file.parents[node.level - 1].joinpath(*(node.module or "").split(".")), alias.asname or alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    ]


def offers(module: Path, name: str) -> bool:
    """Return whether a module exports the name, or a package contains a module with that name."""
    if module.is_dir():
        if (module / name).is_dir() or (module / f"{name}.py").exists():
            return True
        module /= "__init__"
    tree = _parsed(module.with_suffix(".py"))
    names = listed(tree)
    return name in (defined(tree) if names is None else names)


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), file.name)


@pytest.mark.parametrize("file", PACKAGES, ids=_name)
def test_a_package_exports_exactly_the_names_that_it_defines_or_imports(file: Path) -> None:
    tree = _parsed(file)
    offered = defined(tree) | {name for _, name in taken(file, tree)}
    assert sorted(listed(tree) or []) == sorted(offered)


@pytest.mark.parametrize("file", PACKAGES, ids=_name)
def test_a_package_imports_only_names_that_its_modules_export(file: Path) -> None:
    assert [(module, name) for module, name in taken(file, _parsed(file)) if not offers(module, name)] == []


@pytest.mark.parametrize("file", MODULES, ids=_name)
def test_a_module_imports_no_name_with_an_underscore_from_another(file: Path) -> None:
    assert [name for _, name in taken(file, _parsed(file)) if name.startswith("_") and not name.endswith("__")] == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        pytest.param("def f(): ...\nasync def g(): ...\nclass C: ...", {"f", "g", "C"}, id="definitions"),
        pytest.param("A = 1\nB: int = 2\nC, D = 3, 4\n_E = 5", {"A", "B", "C", "D"}, id="assignments"),
        pytest.param("import os\nfrom .x import y\nif True:\n  z = 1", set(), id="not its own"),
        pytest.param("__version__ = '1'\n__all__ = ['x']", {"__version__"}, id="dunders"),
    ],
)
def test_the_definitions_of_a_module_are_found(source: str, names: set[str]) -> None:
    assert defined(ast.parse(source)) == names
