from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests import machine, npm

EMPTY = {
    "name": "x",
    "version": "0.0.0",
    "lockfileVersion": 3,
    "requires": True,
    "packages": {"": {"name": "x", "version": "0.0.0"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if shutil.which("npm") is None:
        machine.unavailable("npm is not installed")
    (tmp_path / "package.json").write_text(json.dumps({"name": "x", "version": "0.0.0"}))
    (tmp_path / "package-lock.json").write_text(json.dumps(EMPTY))
    return tmp_path


def test_packages_are_installed_once_for_each_lock(folder: Path) -> None:
    modules = npm.install(folder)
    (modules / "mark").touch()
    npm.install(folder)
    assert (modules / "mark").exists()
    (folder / "package-lock.json").write_text(json.dumps(EMPTY, indent=1))
    npm.install(folder)
    assert not (modules / "mark").exists()


def test_a_failure_of_npm_is_reported_with_its_output(folder: Path) -> None:
    (folder / "package.json").write_text("{")
    with pytest.raises(npm.NpmError, match="EJSONPARSE"):
        npm.install(folder)


def test_a_missing_npm_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(npm.NpmError, match="npm is not installed"):
        npm.install(folder)
