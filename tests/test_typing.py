"""The examples of the README and the manual pass the strict type checks of mypy, and of the editors that use pyright."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import npm
from tests.machine import ENVIRONMENT, TOP, unavailable
from tests.readme import DOCUMENTS, read

pytestmark = [pytest.mark.slow, pytest.mark.node]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each example."""
    folder = tmp_path_factory.mktemp("examples")
    for document in DOCUMENTS:
        for block in read(document.read_text()):
            if block.language == "python":
                (folder / f"{document.stem.replace('-', '_')}_{block.line}.py").write_text(block.text)
    return folder


def test_mypy_finds_nothing(examples: Path) -> None:
    files = map(str, sorted(examples.glob("*.py")))
    run([sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={examples / 'cache'}", *files])


def test_pyright_finds_nothing(examples: Path) -> None:
    """This includes the code in `api.py`, for which pyright must evaluate the type of EJSON values."""
    (examples / "api.py").write_text((TOP / "tests/typing/api.py").read_text())
    (examples / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict", "include": ["*.py"]}))
    try:
        modules = npm.install(TOP / "tests/typing")
    except npm.NpmError as error:
        unavailable(str(error))
    run(["node", str(modules / "pyright/index.js"), "--pythonpath", sys.executable, "--project", str(examples)])


def run(command: list[str]) -> None:
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
