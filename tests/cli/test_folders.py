"""Files are where the XDG specification says, also on macOS; on Windows they are in its own folders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from ddpshell.cli.settings import config_file, is_there, state_file

Find: TypeAlias = Callable[[Mapping[str, str]], str | None]

#: The functions, and the folder of each file below a home folder.
PLACES = [
    pytest.param(config_file, ".config/ddpshell/config.toml", id="config"),
    pytest.param(lambda environment: state_file("history", environment), ".local/state/ddpshell/history", id="history"),
    pytest.param(lambda environment: state_file("logins", environment), ".local/state/ddpshell/logins", id="logins"),
]


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("variables", [{}, {"XDG_CONFIG_HOME": "/x/c", "XDG_STATE_HOME": "/x/s"}], ids=["home", "xdg"])
def test_files_are_where_the_specification_says(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str]
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    config, state = ("/x/c", "/x/s") if variables else ("/h/ann/.config", "/h/ann/.local/state")
    environment = {"HOME": "/h/ann", **variables}
    assert config_file(environment) == f"{config}/ddpshell/config.toml"
    assert state_file("history", environment) == f"{state}/ddpshell/history"
    assert state_file("logins", environment) == f"{state}/ddpshell/logins"


@pytest.mark.parametrize(("find", "place"), PLACES)
def test_a_file_of_an_earlier_version_is_found_on_macos(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, find: Find, place: str
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    environment = {"HOME": str(tmp_path)}
    new, old = tmp_path / place, tmp_path / "Library/Application Support/ddpshell" / Path(place).name
    old.parent.mkdir(parents=True)
    assert find(environment) == str(new)
    old.touch()
    assert find(environment) == str(old)
    new.parent.mkdir(parents=True)
    assert find(environment) == str(old)
    new.touch()
    assert find(environment) == str(new)


@pytest.mark.parametrize(("find", "place"), PLACES)
def test_files_on_windows_are_in_its_folders_or_in_those_of_an_earlier_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, find: Find, place: str
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    home, name = tmp_path / "ann", Path(place).name
    environment = {"HOME": str(home), "APPDATA": str(tmp_path / "roaming"), "LOCALAPPDATA": str(tmp_path / "local")}
    new = tmp_path / ("roaming" if name == "config.toml" else "local") / "ddpshell" / name
    assert find(environment) == str(new)
    (home / place).parent.mkdir(parents=True)
    (home / place).touch()
    assert find(environment) == str(home / place)


@pytest.mark.parametrize("path", ["relative/path", ".", "", " "])
def test_a_relative_path_is_ignored(path: str) -> None:
    environment = {"HOME": "/h/ann", "XDG_STATE_HOME": path, "XDG_CONFIG_HOME": path}
    assert state_file("history", environment) == "/h/ann/.local/state/ddpshell/history"
    assert config_file(environment) == "/h/ann/.config/ddpshell/config.toml"


def test_a_home_that_is_not_an_absolute_path_is_ignored() -> None:
    assert state_file("history", {"HOME": "nowhere"}) is None
    assert state_file("logins", {"HOME": "nowhere"}) is None
    assert config_file({"HOME": "nowhere"}) is None


def test_a_variable_names_the_config_file(home: Path) -> None:
    assert config_file({"DDP_CONFIG": "/etc/ddp.toml"}) == "/etc/ddp.toml"
    assert config_file({"DDP_CONFIG": "~/ddp.toml"}) == f"{home}/ddp.toml"


def test_a_folder_exists_or_not(tmp_path: Path) -> None:
    assert is_there(str(tmp_path))
    assert not is_there(str(tmp_path / "x"))


def test_a_file_in_place_of_a_folder_counts_as_existing(tmp_path: Path) -> None:
    """The file cannot be read as a folder, which must be reported."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert is_there(str(tmp_path / "file/logins"))
    assert is_there(str(tmp_path / "link"))
    assert not is_there(str(tmp_path / "file/ddpshell/logins"))
    assert not is_there("/dev/null/.local/state/ddpshell/logins")
