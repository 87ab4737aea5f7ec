"""Every example can be pasted into an interactive bash, zsh or fish: each shell passes on the same words.

Here `ddp` and the other programs are stubs, which record their arguments and their standard input.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pexpect
import pytest

from tests.machine import program
from tests.readme import DOCUMENTS, commands, read
from tests.test_help import EXAMPLES, FILES

#: Seconds that a shell may take for a line.
_PATIENCE = 60

#: Programs that the examples run, and that must have no effect in the test.
_PROGRAMS = ("ddp", "jq", "locust", "python", "python3", "bash", ".venv/bin/ddp", ".venv/bin/pip", ".venv/bin/python")

# Writes its name, its arguments, and its input unless that is the terminal, to a new file.
_STUB = """#!/bin/sh
if [ "$1" = --mark ]; then echo "mark""ed $2"; exit; fi
{ printf '%s\\0' "${0##*/}" "$@"; [ -t 0 ] || cat; } > "$RECORDED/$$"
"""


def _lines() -> list[str]:
    found: list[str] = list(EXAMPLES)
    for document in DOCUMENTS:
        for block in read(document.read_text()):
            if block.language == "":
                found += block.text.splitlines()
            elif block.is_at_terminal or block.language == "text":
                found += [line[2:] for line in block.text.splitlines() if re.match(r"\$ \w", line)]
            elif block.language == "console":
                found += [command for command, _ in commands(block.text)]
    return list(dict.fromkeys(found))


#: All examples. The lines that a single shell understands are those that set up its completion.
LINES = _lines()


def _is_for(line: str, shell: str) -> bool:
    found = re.search(r"completion (bash|zsh|fish|powershell)\b", line)
    return found is None or found[1] == shell


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name in _PROGRAMS:
        # Names with a folder are used from the folder where the reader is.
        stub = tmp_path / "work" / name if "/" in name else tmp_path / "bin" / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(_STUB)
        stub.chmod(0o755)
    (tmp_path / "recorded").mkdir()
    for name in (*FILES, "again.ndjson", "shop.ddprec"):
        (tmp_path / "work" / name).write_text("x\n")
    return {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "RECORDED": str(tmp_path / "recorded"),
        "name": "Ann",
    }


def _recorded(environment: dict[str, str]) -> list[str]:
    """The calls that the stubs recorded since the last time. The programs of a pipe run at the same time, in any order."""
    found = []
    for file in Path(environment["RECORDED"]).iterdir():
        found.append(file.read_text().replace(environment["HOME"], "HOME"))
        file.unlink()
    return sorted(found)


_SHELLS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "--private", "-i"]}


# The calls of each line in a script, where `!` has no special meaning.
_expected: dict[str, list[str]] = {}


def _in_a_script(line: str, environment: dict[str, str], work: Path) -> list[str]:
    if line not in _expected:
        subprocess.run(
            [program("bash"), "-c", line], env=environment, cwd=work, stdin=subprocess.DEVNULL, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_PATIENCE,
        )  # fmt: skip
        _expected[line] = _recorded(environment)
    return _expected[line]


@pytest.mark.slow
@pytest.mark.terminal
@pytest.mark.parametrize("shell", _SHELLS)
def test_an_interactive_shell_passes_on_the_same_words(environment: dict[str, str], tmp_path: Path, shell: str) -> None:
    work = tmp_path / "work"
    child = pexpect.spawn(
        program(shell), _SHELLS[shell], env={**environment, "TERM": "dumb"}, cwd=str(work), encoding="utf-8",
        timeout=_PATIENCE, dimensions=(40, 500), maxread=65536,
    )  # fmt: skip
    child.delaybeforesend = None
    differences = []
    for number, line in enumerate(LINES):
        if not _is_for(line, shell):
            continue
        expected = _in_a_script(line, environment, work)
        child.send(f"{line}\r")
        child.send(f"ddp --mark {number}\r")
        child.expect_exact(f"marked {number}")
        if (actual := _recorded(environment)) != expected:
            differences.append((line, expected, actual))
    child.close(force=True)
    assert differences == []


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.terminal
def test_an_example_that_cannot_be_pasted_is_found(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    """History expansion, patterns that match nothing, comments at a prompt, and an exit code."""
    broken = {"bash": 'ddp call m "a!!"', "zsh": "ddp call m [1] # one", "fish": "ddp call m a?b"}
    monkeypatch.setattr("tests.test_pasting.LINES", ["ddp call m", broken[shell]])
    with pytest.raises(AssertionError) as caught:
        test_an_interactive_shell_passes_on_the_same_words(environment, tmp_path, shell)
    assert "call" in str(caught.value)
