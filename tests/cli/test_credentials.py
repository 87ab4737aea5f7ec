"""Credentials are found before anything is sent, and are never shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ddpshell.advice import Place, advice, login_command
from ddpshell.cli.credentials import Credential, find_credential, read_secret, server_options
from ddpshell.cli.process import Process
from ddpshell.cli.settings import ConnectionSettings
from ddpshell.exceptions import CommandError, LoginError, LoginNeeded


def settings(process: Process, **environment: str) -> ConnectionSettings:
    return ConnectionSettings.of(process.options, environment)


@pytest.mark.parametrize(
    ("given", "command"),
    [
        pytest.param({}, "ddp login ann", id="the default server"),
        pytest.param({"url": "h:1"}, "ddp login ann -u h:1", id="another server"),
        pytest.param({"url": "a:b@h:1"}, "ddp login ann -u '***@h:1'", id="a URL with a password"),
        pytest.param({"profile": "my prod"}, "ddp login ann -p 'my prod'", id="a profile with a space in its name"),
    ],
)
def test_the_login_command_names_the_server(given: dict[str, object], command: str) -> None:
    process = Process()
    process.options.update(given)
    assert login_command("ann", server_options(process)) == command


def test_an_anonymous_user_has_no_credential() -> None:
    process = Process()
    assert find_credential(process, settings(process)) is None
    process.options["no_login"] = True
    assert find_credential(process, settings(process)) is None


def test_a_user_without_a_saved_login_is_an_error() -> None:
    process = Process()
    process.options["login"] = "ann"
    with pytest.raises(LoginNeeded, match="no saved login of 'ann'") as raised:
        find_credential(process, settings(process))
    assert advice(raised.value, Place.COMMAND_LINE) == "ddp login ann"


def test_a_token_of_a_file_is_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken\nmore")
    process = Process()
    process.options["token_file"] = str(file)
    credential = find_credential(process, settings(process))
    assert credential is not None
    assert credential.token == "t0ken"
    assert "t0ken" not in repr(credential)


def test_the_error_of_a_rejected_login_names_the_login_and_has_advice() -> None:
    error = Credential("the login of 'ann'", "ended", "t0ken").rejection(LoginError(403, "logged out"))
    assert str(error) == "the server rejected the login of 'ann': logged out [403]"
    assert advice(error, Place.COMMAND_LINE, ["-u", "h"]) == "log in again: ddp login USER -u h"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        pytest.param(b"pw", "pw", id="a line"),
        pytest.param(b"pw\n", "pw", id="a line with its newline"),
        pytest.param(b"pw\r\nx", "pw", id="the first of two lines"),
        pytest.param(b" p w \n", " p w ", id="spaces"),
        pytest.param(b"\xef\xbb\xbfpw", "pw", id="a byte order mark"),
        pytest.param("pässwörd\n".encode(), "pässwörd", id="letters that are not ASCII"),
    ],
)
def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path, content: bytes, secret: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert read_secret(str(file), "password", Process()) == secret


@pytest.mark.parametrize("prepare", [Path.mkdir, Path.touch], ids=["a folder", "an empty file"])
def test_a_file_without_a_password_is_reported(tmp_path: Path, prepare: Callable[[Path], object]) -> None:
    file = tmp_path / "secret"
    prepare(file)
    with pytest.raises(CommandError, match="password"):
        read_secret(str(file), "password", Process())


def test_a_secret_on_standard_input_is_read_once_for_all_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets").write_text("first\nsecond\n")
    process = Process()
    with (tmp_path / "secrets").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert [read_secret("-", "password", process) for _ in range(2)] == ["first", "first"]
        with pytest.raises(CommandError, match="--token-file: standard input can be read only once"):
            read_secret("-", "token", process)
