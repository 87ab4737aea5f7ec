"""Where files are, and text that no file may contain."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.machine import ENVIRONMENT, TOP

TOP_LEVEL = set("ddpshell tests completions pyproject.toml README.md .ci .gitignore LICENSE CHANGELOG.md".split())

#: Addresses of registries, and folders of a developer's machine.
OF_A_MACHINE = re.compile(
    r"\b(registry|files)\.\w+\.(org|com)\b|\"resolved\":|(?<![\w.$}/~])/(home|root|Users|work)/\w"
)


def _files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=TOP, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in listing.split("\0") if name and (TOP / name).exists())


FILES = _files()


def test_the_top_level_has_only_the_agreed_entries() -> None:
    assert {name.split("/")[0] for name in FILES} <= TOP_LEVEL


def test_each_folder_of_the_package_has_a_folder_of_tests() -> None:
    folders = {
        Path(name).relative_to("ddpshell").parent for name in FILES if re.fullmatch(r"ddpshell/.*[^_]\.py", name)
    }
    tests = {Path(name).relative_to("tests").parent for name in FILES if re.fullmatch(r"tests/.*test_\w+\.py", name)}
    assert folders - tests == set()


@pytest.mark.parametrize("file", FILES)
def test_no_file_names_a_folder_of_the_machine_it_was_written_on(file: str) -> None:
    text = (TOP / file).read_text()
    found = [line for line in text.splitlines() if OF_A_MACHINE.search(line) or str(TOP.parent) + "/" in line]
    assert [line for line in found if "OF_A_MACHINE" not in line] == []


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".py")])
def test_nothing_is_marked_as_unfinished(file: str) -> None:
    later = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b|mark\.(ski" r"p|xfai" r"l)\b")
    assert [line for line in (TOP / file).read_text().splitlines() if later.search(line)] == []
