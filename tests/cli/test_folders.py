"""Files are where the XDG specification, and platformdirs, say."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from ddpshell.cli.folders import config_file, is_there, logins_folder, state_folder


@pytest.mark.parametrize("variables", [{}, {"XDG_CONFIG_HOME": "/x/c", "XDG_STATE_HOME": "/x/s"}], ids=["home", "xdg"])
def test_they_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    dirs = platformdirs.PlatformDirs("ddpshell", appauthor=False)
    assert config_file() == f"{dirs.user_config_dir}/config.toml"
    assert state_folder() == dirs.user_state_dir
    assert logins_folder() == f"{dirs.user_state_dir}/logins"


@pytest.mark.parametrize("path", ["relative/path", ".", "", " "])
def test_a_relative_path_is_ignored(path: str) -> None:
    environment = {"HOME": "/h/ann", "XDG_STATE_HOME": path, "XDG_CONFIG_HOME": path}
    assert state_folder(environment) == "/h/ann/.local/state/ddpshell"
    assert config_file(environment) == "/h/ann/.config/ddpshell/config.toml"


def test_a_home_that_is_not_an_absolute_path_is_ignored() -> None:
    assert state_folder({"HOME": "nowhere"}) is None
    assert logins_folder({"HOME": "nowhere"}) is None
    assert config_file({"HOME": "nowhere"}) is None


def test_a_variable_names_the_config_file(home: Path) -> None:
    assert config_file({"DDP_CONFIG": "/etc/ddp.toml"}) == "/etc/ddp.toml"
    assert config_file({"DDP_CONFIG": "~/ddp.toml"}) == f"{home}/ddp.toml"


def test_what_is_there_is_there(tmp_path: Path) -> None:
    assert is_there(str(tmp_path))
    assert not is_there(str(tmp_path / "x"))


def test_what_is_in_the_place_of_a_folder_is_there(tmp_path: Path) -> None:
    """It cannot be read, which must be said."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert is_there(str(tmp_path / "file/logins"))
    assert is_there(str(tmp_path / "link"))
    assert not is_there(str(tmp_path / "file/ddpshell/logins"))
    assert not is_there("/dev/null/.local/state/ddpshell/logins")
