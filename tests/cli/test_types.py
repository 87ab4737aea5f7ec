"""Values of options are checked and converted."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.cli.options import PROFILE, ValueType
from ddpshell.cli.types import (
    Cookie,
    FileName,
    Header,
    OutputFile,
    PositiveNumber,
    ReadableFile,
    Seconds,
    SecretFile,
    SettingType,
    Text,
    TimeLimit,
)
from ddpshell.exceptions import CommandError

OPTION = click.Option(["--x"])
CONTEXT = click.Context(click.Command("x"))


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_any_number_of_seconds_is_read_unchanged(seconds: float) -> None:
    assert Seconds().read(repr(seconds)) == seconds


@pytest.mark.parametrize("text", ["x", "", "-1", "nan", "inf", "1e999"])
def test_an_invalid_duration_is_rejected(text: str) -> None:
    with pytest.raises(CommandError):
        Seconds().read(text)


@pytest.mark.parametrize(("kind", "hint"), [(Seconds(), ""), (TimeLimit(), "; use 0 for no limit")])
def test_only_a_time_limit_can_be_switched_off_with_0(kind: Seconds, hint: str) -> None:
    with pytest.raises(CommandError) as caught:
        kind.read("-1")
    assert caught.value.message == f"-1 is not a valid number of seconds{hint}"


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (PositiveNumber(), "x", "'x' is not a valid number"),
        (PositiveNumber(), "0", "0 is not a number above 0"),
        (PositiveNumber(), "nan", "'nan' is not a valid number"),
        (PositiveNumber(or_zero=True), "-1", "-1 is not a number of 0 or more"),
        (Text(), "a\udcff", "is not UTF-8 text"),
    ],
)
def test_the_error_names_an_invalid_value(kind: SettingType, text: str, problem: str) -> None:
    with pytest.raises(CommandError) as caught:
        kind.read(text)
    assert caught.value.message == problem


def test_a_file_name_can_have_any_bytes() -> None:
    assert FileName().read("a\udcff") == "a\udcff"


@pytest.mark.parametrize("kind", [Text(), FileName(), ReadableFile(), OutputFile(), SecretFile()])
def test_text_and_file_names_must_not_be_empty(kind: Text) -> None:
    with pytest.raises(CommandError, match="must not be empty"):
        kind.read("")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        pytest.param("a=b", ("a", "b"), id="plain"),
        pytest.param("a=", ("a", ""), id="empty"),
        pytest.param('a="x y=z,1"', ("a", '"x y=z,1"'), id="characters that servers use"),
    ],
)
def test_a_cookie_is_a_name_and_a_value(text: str, pair: tuple[str, str]) -> None:
    assert Cookie().read(text) == (pair,)


@pytest.mark.parametrize("text", ["secret", "=secret", "a b=secret", "a=secret;b=1", "a=secret\r\nX: y", "a=sécret"])
def test_an_invalid_cookie_is_rejected_and_not_shown(text: str) -> None:
    with pytest.raises(CommandError) as raised:
        Cookie().read(text)
    assert "cret" not in raised.value.message


class TestFiles:
    def test_headers_can_come_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "headers"
        file.write_text("# ours\n\nAuthorization: Bearer x\n  X-Team:red  \r\n")
        assert Header().read(f"@{file}") == (("Authorization", "Bearer x"), ("X-Team", "red"))

    def test_an_invalid_line_is_reported_with_its_number(self, tmp_path: Path) -> None:
        file = tmp_path / "headers"
        file.write_text("A: b\nsecret\n")
        with pytest.raises(CommandError) as raised:
            Header().read(f"@{file}")
        assert raised.value.message.startswith(f"{file}, line 2, must look like 'Name: value'")
        assert "secret" not in raised.value.message

    @pytest.mark.parametrize("content", [None, b"\xff"], ids=["a missing file", "not UTF-8"])
    def test_a_file_that_cannot_be_read_is_reported(self, tmp_path: Path, content: bytes | None) -> None:
        file = tmp_path / "headers"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(CommandError):
            Header().read(f"@{file}")

    def test_a_file_must_be_readable(self, tmp_path: Path) -> None:
        file = tmp_path / "x"
        file.write_text("")
        assert ReadableFile().read(str(file)) == str(file)
        with pytest.raises(CommandError, match="cannot read"):
            ReadableFile().read(str(tmp_path / "y"))
        with pytest.raises(CommandError, match="cannot read"):
            ReadableFile().read("-")

    def test_a_secret_can_come_from_standard_input(self) -> None:
        assert SecretFile().read("-") == "-"


class TestCompletion:
    def test_files_are_completed_by_the_shell(self) -> None:
        assert [item.type for item in ValueType(ReadableFile()).shell_complete(CONTEXT, OPTION, "a")] == ["file"]

    @pytest.mark.parametrize(
        ("content", "typed", "names"),
        [
            pytest.param('[servers.prod]\nurl="a"\n[servers.test]\nurl="b"', "", ["prod", "test"], id="all profiles"),
            pytest.param(
                '[servers.prod]\nurl="a"\n[servers.test]\nurl="b"', "t", ["test"], id="profiles with a prefix"
            ),
            pytest.param("rubbish", "", [], id="an invalid file"),
            pytest.param(None, "", [], id="a missing file"),
        ],
    )
    def test_profiles_of_the_config_file_are_completed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, typed: str, names: list[str]
    ) -> None:
        file = tmp_path / "config.toml"
        if content is not None:
            file.write_text(content)
        monkeypatch.setenv("DDP_CONFIG", str(file))
        assert [item.value for item in PROFILE.shell_complete(CONTEXT, OPTION, typed)] == names
