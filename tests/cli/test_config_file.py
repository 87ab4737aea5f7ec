"""The config file is read, and each mistake in it is reported with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddpshell.cli.config_file import Config, read_config
from ddpshell.cli.option_table import SETTINGS
from ddpshell.cli.options import CONNECTION_OPTIONS
from ddpshell.exceptions import CommandError


def read(folder: Path, text: str) -> Config:
    file = folder / "config.toml"
    file.write_text(text)
    return read_config(str(file))


def test_every_kind_of_setting_is_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [default]
        timeout = 60
        reconnect = true

        [servers.prod]
        url = "wss://app.example.com"
        login = "ann"
        cacert = "company.pem"
        cert = "/etc/ann.pem"
        key = "~/ann.key"
        passphrase-file = "key.txt"
        user-agent = "me/1"
        ipv6 = true
        headers = { X-Team = "red", Authorization = "Bearer x" }
        connect-timeout = 2.5

        [servers."a.b".cookies]
        session = "1"
        [servers."a.b"]
        url = "localhost"
        """,
    )
    assert config.default.values == {"timeout": 60.0, "reconnect": True}
    prod = config.profile("prod")
    assert prod.name == "[servers.prod]"
    assert prod.values == {
        "url": "wss://app.example.com",
        "login": "ann",
        "cacert": str(tmp_path / "company.pem"),
        "cert": "/etc/ann.pem",
        "key": str(Path.home() / "ann.key"),
        "passphrase-file": str(tmp_path / "key.txt"),
        "user-agent": "me/1",
        "ipv6": True,
        "headers": {"X-Team": "red", "Authorization": "Bearer x"},
        "connect-timeout": 2.5,
    }
    assert config.profile("a.b").values == {"url": "localhost", "cookies": {"session": "1"}}


def test_an_empty_or_missing_file_has_no_settings(tmp_path: Path) -> None:
    config = read(tmp_path, "")
    assert (config.default.values, config.servers) == ({}, {})
    assert read_config(str(tmp_path / "nowhere")).servers == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[default]\ntimeuot = 5", "line 2, [default]: unknown setting 'timeuot'; did you mean timeout?", id="a misspelled key"),
        pytest.param("# x\n[default]\n\n'xyz' = 5", "line 4, [default]: unknown setting 'xyz'", id="an unknown key"),
        pytest.param("[defualt]", "line 1: unknown section 'defualt'; did you mean default?", id="a misspelled section"),
        pytest.param("[server.a]\nurl = 'x'", "line 1: unknown section 'server'; did you mean servers?", id="a section for a server without the s"),
        pytest.param("url = 'x'", "line 1: url must be in [default] or in a [servers.NAME] section", id="a key outside of sections"),
        pytest.param("[default]\nurl = 5", "line 2, [default]: url must be text in quotes", id="not a string"),
        pytest.param("[default]\nurl = ''", "line 2, [default]: url must be text in quotes", id="an empty text"),
        pytest.param("[default]\ntimeout = '5'", "line 2, [default]: timeout must be a number of seconds", id="not a number"),
        pytest.param("[default]\ntimeout = true", "line 2, [default]: timeout must be a number of seconds", id="a flag for a number"),
        pytest.param("[default]\ntimeout = -5", "line 2, [default]: timeout: -5 is not a valid number of seconds; use 0 for no limit", id="a negative number"),
        pytest.param("[default]\nno-retry = 1", "line 2, [default]: no-retry must be true or false", id="not a flag"),
        pytest.param("[servers.a]\nurl = 'x'\nheaders = 'A: b'", "line 3, [servers.a]: headers must be a table of strings", id="not a table"),
        pytest.param("[servers.a]\nurl = 'x'\nheaders = { A = 5 }", "line 3, [servers.a]: headers must be a table of strings", id="a table of numbers"),
        pytest.param('[servers.a]\nurl = "x"\nheaders = { A = "secret\\n" }', "line 3, [servers.a]: headers: must look like 'Name: value'", id="a header of two lines"),
        pytest.param("[servers.a]\nurl = 'x'\n[servers.a.cookies]\na = 'secret;'", "[servers.a]: cookies: must look like name=value", id="not a cookie"),
        pytest.param("[servers.a]\nlogin = 'ann'", "line 1, [servers.a]: url is missing", id="a server without an address"),
        pytest.param("[default]\nlogin = 'ann'", "line 2, [default]: login is for one server; put it into a [servers.NAME] section with the url of that server", id="a user of every server"),
        pytest.param("[default]\ninsecure = true", "line 2, [default]: insecure is for one server", id="trust in every server"),
        pytest.param("[servers]\na = 'x'", "[servers.a] must be a section", id="a server that is not a section"),
        pytest.param("default = 5", "[default] must be a section", id="a default that is not a section"),
        pytest.param("[default\n", "is not valid TOML: Expected", id="not TOML"),
        pytest.param("[default]\na = " + "[" * 5000, "is not valid TOML: ", id="nested too deeply"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(CommandError) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "config.toml"))
    assert problem in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot read .*: Is a directory"):
        read_config(str(tmp_path))
    (tmp_path / "x").write_bytes(b"a = '\xff'")
    with pytest.raises(CommandError, match="not UTF-8 text: invalid byte at position 5"):
        read_config(str(tmp_path / "x"))


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        pytest.param("", "it has no servers", id="a file without servers"),
        pytest.param("[servers.prod]\nurl='a'\n[servers.test]\nurl='b'", "its servers are: prod, test; did you mean prod?", id="a similar name"),
    ],
)  # fmt: skip
def test_an_unknown_profile_is_reported_with_the_known_profiles(tmp_path: Path, text: str, advice: str) -> None:
    with pytest.raises(CommandError) as raised:
        read(tmp_path, text).profile("prd")
    assert str(raised.value).startswith("unknown profile 'prd': ")
    assert str(raised.value).endswith(advice)


def test_settings_have_the_names_of_options() -> None:
    names = {name.removeprefix("--") for option in CONNECTION_OPTIONS for name in option.opts}
    assert {name for name in SETTINGS if name not in names} == {"headers", "cookies", "color", "confirm", "allow"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_any_text_is_a_config_file_or_raises_our_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_config(str(file))
    except CommandError:
        return
