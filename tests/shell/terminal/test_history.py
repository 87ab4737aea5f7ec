"""The history file: private, without secrets, and limited in size."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ddpshell.shell.terminal import prompt as prompt_module
from ddpshell.shell.terminal.prompt import ShellHistory


def history_of(path: Path) -> tuple[ShellHistory, list[str]]:
    complaints: list[str] = []
    return ShellHistory(path, complaints.append), complaints


def test_the_next_session_has_the_lines_of_earlier_sessions(tmp_path: Path) -> None:
    path = tmp_path / "state/ddpshell/history"
    first, complaints = history_of(path)
    for line in ("call upper 'a'", "find t {a: 1,\n  b: 2}"):
        first.append_string(line)
    again, _ = history_of(path)
    assert again.oldest_first() == ["call upper 'a'", "find t {a: 1,\n  b: 2}"]
    assert complaints == []


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state/ddpshell/history"
    history_of(path)[0].append_string("status")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_readable_file_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.touch(mode=0o644)
    history_of(path)[0].append_string("status")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("line", ["login ann", " call upper x", "call x {password: 'p'}", "  ", ""])
def test_lines_with_secrets_go_neither_to_the_file_nor_to_the_memory(tmp_path: Path, line: str) -> None:
    history, _ = history_of(tmp_path / "history")
    history.append_string(line)
    assert history.get_strings() == []
    assert not (tmp_path / "history").exists()


def test_a_file_that_cannot_be_written_causes_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history, complaints = history_of(tmp_path / "file/history")
    history.append_string("status")
    history.append_string("help")
    assert history.get_strings() == ["status", "help"]
    assert len(complaints) == 1
    assert complaints[0].startswith("the history is not saved: ")


def test_a_file_that_cannot_be_read_causes_a_warning(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    history, complaints = history_of(tmp_path / "history")
    assert history.oldest_first() == []
    assert len(complaints) == 1


def test_a_file_that_is_too_large_loses_its_older_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_module, "SIZE_LIMIT", 2000)
    path = tmp_path / "history"
    history, _ = history_of(path)
    for number in range(100):
        history.append_string(f"call upper {number}")
    kept = history_of(path)[0].oldest_first()
    assert kept[-1] == "call upper 99"
    assert 5 < len(kept) < 50
    assert all(line.startswith("call upper ") for line in kept)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
