"""The places of files, and text that no file may contain."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
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


def test_the_top_level_has_only_the_agreed_entries() -> None:
    assert {name.split("/")[0] for name in _files()} <= TOP_LEVEL


def test_each_folder_of_the_package_has_a_folder_of_tests() -> None:
    files = _files()
    folders = {
        Path(name).relative_to("ddpshell").parent for name in files if re.fullmatch(r"ddpshell/.*[^_]\.py", name)
    }
    tests = {Path(name).relative_to("tests").parent for name in files if re.fullmatch(r"tests/.*test_\w+\.py", name)}
    assert folders - tests == set()


#: Marks of unfinished tests and code.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b|mark\.(ski" r"p|xfai" r"l)\b")


def found_in(files: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
    """Return the lines that match, each with its file."""
    return [
        f"{file}: {line}"
        for file in files
        if pattern.search(text := (TOP / file).read_text())
        for line in text.splitlines()
        if pattern.search(line)
    ]


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    here = re.compile(f"{OF_A_MACHINE.pattern}|{re.escape(str(TOP.parent))}/")
    assert [line for line in found_in(_files(), here) if "OF_A_MACHINE" not in line] == []


def test_nothing_is_marked_as_unfinished() -> None:
    assert found_in((file for file in _files() if file.endswith(".py")), UNFINISHED) == []


@pytest.mark.parametrize(
    ("pattern", "parts"),  # in parts, because this file is searched, too
    [
        (OF_A_MACHINE, ["see /ho", "me/me/ddpshell"]),
        (OF_A_MACHINE, ["https://regis", "try.example.org/x"]),
        (UNFINISHED, ["# TO", "DO: later"]),
        (UNFINISHED, ["@pytest.mark.ski", "p"]),
    ],
)
def test_a_forbidden_line_is_found(tmp_path: Path, pattern: re.Pattern[str], parts: list[str]) -> None:
    file = tmp_path / "file"
    line = "".join(parts)
    file.write_text(f"first\n{line}\nlast\n")
    assert found_in([str(file)], pattern) == [f"{file}: {line}"]
