"""Options win over the environment, the environment over the profile, and the profile over the defaults."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import click
import pytest

from ddpshell.cli.process import GivenOptions
from ddpshell.cli.settings import (
    ConnectionSettings,
    Identity,
    ResolvedSettings,
    ResolvedValue,
    config_file,
    is_there,
    resolve,
    state_file,
)
from ddpshell.exceptions import CommandError, InvalidURL

Resolve = Callable[..., ResolvedSettings]


@pytest.fixture
def merge(tmp_path: Path) -> Resolve:
    """`merge(given, "config", VARIABLE="value")` resolves these settings."""

    def call(given: GivenOptions | None = None, config: str | None = None, **environment: str) -> ResolvedSettings:
        if config is not None:
            (tmp_path / "config.toml").write_text(config)
            environment["DDP_CONFIG"] = str(tmp_path / "config.toml")
        return resolve(given or {}, {"HOME": str(tmp_path), **environment})

    return call


BOTH = "[default]\nurl = 'd:1'\ntimeout = 4\n[servers.p]\nurl = 'p:1'\ntimeout = 3\n[servers.q]\nurl = 'q:1'\n"


class TestURL:
    @pytest.mark.parametrize(
        ("given", "config", "environment", "url", "origin"),
        [
            pytest.param({"url": "o:1"}, BOTH, {"DDP_URL": "e:1"}, "o:1", "--url", id="the option"),
            pytest.param({"profile": "p"}, BOTH, {"DDP_URL": "e:1"}, "p:1", "[servers.p]", id="a profile wins over the environment"),
            pytest.param({}, BOTH, {"DDP_URL": "e:1"}, "e:1", "$DDP_URL", id="the environment"),
            pytest.param({}, BOTH, {}, "d:1", "[default]", id="the default section"),
            pytest.param({}, BOTH, {"DDP_URL": ""}, "d:1", "[default]", id="an empty variable is ignored"),
            pytest.param({}, None, {}, "localhost:3000", "default", id="the default"),
        ],
    )  # fmt: skip
    def test_the_url_comes_from_option_environment_or_file(
        self,
        merge: Resolve,
        given: GivenOptions,
        config: str | None,
        environment: dict[str, str],
        url: str,
        origin: str,
    ) -> None:
        assert merge(given, config, **environment).values["url"] == ResolvedValue(url, origin)

    def test_a_url_and_a_profile_cannot_be_used_together(self, merge: Resolve) -> None:
        with pytest.raises(click.UsageError, match="-u/--url and -p/--profile cannot be used together"):
            merge({"url": "a", "profile": "p"}, BOTH)


@pytest.mark.parametrize(
    ("given", "value", "origin"),
    [
        pytest.param({"timeout": 2.0, "profile": "p"}, 2.0, "--timeout", id="the option"),
        pytest.param({"profile": "p"}, 3.0, "[servers.p]", id="the profile"),
        pytest.param({"profile": "q"}, 4.0, "[default]", id="the default section"),
        pytest.param({}, 4.0, "[default]", id="the default section without a profile"),
    ],
)
def test_a_setting_comes_from_option_profile_or_default_section(
    merge: Resolve, given: GivenOptions, value: float, origin: str
) -> None:
    assert merge(given, BOTH).values["timeout"] == ResolvedValue(value, origin)


@pytest.mark.parametrize(
    ("given", "config", "version", "origin"),
    [
        pytest.param({"ip_version": 4}, "[default]\nipv6 = true", 4, "--ipv4", id="the option"),
        pytest.param({"profile": "p"}, "[default]\nipv6 = true\n[servers.p]\nurl = 'p'\nipv4 = true", 4, "[servers.p]", id="the profile"),
        pytest.param({}, "[default]\nipv6 = true", 6, "[default]", id="the default section"),
        pytest.param({}, "[default]\nipv4 = false", None, "default", id="a flag that is off"),
    ],
)  # fmt: skip
def test_the_ip_version_comes_from_option_profile_or_default_section(
    merge: Resolve, given: GivenOptions, config: str, version: int | None, origin: str
) -> None:
    assert merge(given, config).values["ip-version"] == ResolvedValue(version, origin)


def test_ipv4_and_ipv6_cannot_both_be_set(merge: Resolve) -> None:
    with pytest.raises(CommandError, match="ipv4 and ipv6 cannot both be true"):
        merge({}, "[default]\nipv4 = true\nipv6 = true")


def test_settings_that_nothing_sets_have_their_defaults(merge: Resolve) -> None:
    resolved = merge()
    assert {setting.origin for setting in resolved.values.values()} == {"default"}
    assert resolved.connection() == ConnectionSettings(
        url="localhost:3000", timeout=30.0, connect_timeout=10.0, reconnect=None, retry=True, headers=(), origin=None,
        user_agent="ddpshell", cacert=None, cert=None, key=None, passphrase_file=None, insecure=False, servername=None,
        proxy=None, ip_version=None, identity=Identity("saved"),
    )  # fmt: skip


def test_every_setting_of_a_profile_is_used_for_the_connection(merge: Resolve) -> None:
    config = """
        [servers.p]
        url = "p:1"
        timeout = 0
        connect-timeout = 1
        reconnect = false
        no-retry = true
        headers = { A = "b" }
        cookies = { c = "d", e = "f" }
        origin = "o"
        user-agent = "u"
        cacert = "/ca"
        cert = "/cert"
        key = "/key"
        passphrase-file = "/secret"
        insecure = true
        servername = "s"
        proxy = "http://x:1"
        ipv4 = true
        login = "ann"
        """
    assert merge({"profile": "p"}, config).connection() == ConnectionSettings(
        url="p:1", timeout=None, connect_timeout=1.0, reconnect=False, retry=False,
        headers=(("A", "b"), ("Cookie", "c=d; e=f")), origin="o", user_agent="u", cacert="/ca", cert="/cert",
        key="/key", passphrase_file="/secret", insecure=True, servername="s", proxy="http://x:1", ip_version=4,
        identity=Identity("saved", "ann", origin="[servers.p]"),
    )  # fmt: skip


class TestPersonal:
    CONFIG = """
        [default]
        url = "https://a.example.com/websocket"
        login = "ann"
        headers = { Authorization = "secret" }
        insecure = true
        timeout = 5
        """

    @pytest.mark.parametrize(
        ("url", "is_same"),
        [
            pytest.param("https://a.example.com/websocket", True, id="the same URL"),
            pytest.param("wss://A.example.com:443", True, id="the same server"),
            pytest.param("http://a.example.com", False, id="without TLS"),
            pytest.param("https://b.example.com", False, id="another host"),
            pytest.param("https://a.example.com:444", False, id="another port"),
            pytest.param("https://a.example.com/other", False, id="another path"),
            pytest.param("https://a.example.com/sockjs", True, id="the same server through SockJS"),
            pytest.param("https://a.example.com/sockjs-other", False, id="a path that begins like SockJS"),
        ],
    )
    def test_personal_settings_for_a_server_are_not_used_for_another(
        self, merge: Resolve, url: str, *, is_same: bool
    ) -> None:
        for settings in (merge({"url": url}, self.CONFIG), merge({}, self.CONFIG, DDP_URL=url)):
            connection = settings.connection()
            assert connection.headers == ((("Authorization", "secret"),) if is_same else ())
            assert connection.insecure is is_same
            assert connection.identity.user == ("ann" if is_same else None)
            assert connection.timeout == 5

    def test_an_invalid_url_is_reported_with_its_origin(self, merge: Resolve) -> None:
        with pytest.raises(CommandError, match=r"\[default\] in the config file: invalid server URL"):
            merge({"url": "x"}, "[default]\nurl = 'ftp://x'")


class TestPairs:
    CONFIG = "[servers.p]\nurl = 'p'\nheaders = { A = '1', B = '2' }\n[servers.p.cookies]\nc = '3'\n"

    def test_headers_of_options_and_of_a_profile_are_combined(self, merge: Resolve) -> None:
        resolved = merge({"profile": "p", "headers": (("C", "9"),)}, self.CONFIG)
        assert [setting.value for setting in resolved.headers] == [("C", "9"), ("A", "1"), ("B", "2")]
        assert [setting.origin for setting in resolved.headers] == ["-H", "[servers.p]", "[servers.p]"]

    def test_a_header_of_an_option_replaces_that_of_the_profile(self, merge: Resolve) -> None:
        resolved = merge({"profile": "p", "headers": (("a", "9"), ("a", "8")), "cookies": (("c", "7"),)}, self.CONFIG)
        assert [setting.value for setting in resolved.headers] == [("a", "9"), ("a", "8"), ("B", "2")]
        assert resolved.connection().headers[-1] == ("Cookie", "c=7")


class TestProxy:
    PROFILE = "[default]\nproxy = 'd:1'\n[servers.p]\nurl = 'example.com'\nproxy = 'p:1'\n"
    NONE = "[default]\nproxy = 'd:1'\n[servers.p]\nurl = 'example.com'\nno-proxy = true\n"

    @pytest.mark.parametrize(
        ("given", "config", "environment", "proxy", "origin"),
        [
            pytest.param({"proxy": "o:1", "profile": "p"}, PROFILE, {"HTTP_PROXY": "e:1"}, "o:1", "--proxy", id="the option"),
            pytest.param({"no_proxy": True, "profile": "p"}, PROFILE, {"HTTP_PROXY": "e:1"}, None, "--no-proxy", id="the opposite option"),
            pytest.param({"profile": "p"}, PROFILE, {"HTTP_PROXY": "e:1"}, "p:1", "[servers.p]", id="the profile"),
            pytest.param({"profile": "p"}, NONE, {"HTTP_PROXY": "e:1"}, None, "[servers.p]", id="a profile without a proxy"),
            pytest.param({"url": "example.com"}, PROFILE, {"HTTP_PROXY": "e:1"}, "e:1", "$HTTP_PROXY", id="the environment"),
            pytest.param({"url": "example.com"}, PROFILE, {}, "d:1", "[default]", id="the default section"),
            pytest.param({"url": "example.com"}, None, {}, None, "default", id="no proxy"),
            pytest.param({"url": "example.com"}, PROFILE, {"HTTP_PROXY": "e:1", "NO_PROXY": "example.com"}, None, "not used for this machine or hosts in $NO_PROXY", id="NO_PROXY excludes the proxy of the environment"),
            pytest.param({"url": "example.com"}, PROFILE, {"NO_PROXY": "example.com"}, None, "not used for this machine or hosts in $NO_PROXY", id="NO_PROXY excludes the proxy of the default section"),
            pytest.param({"url": "localhost"}, PROFILE, {"HTTP_PROXY": "e:1"}, None, "not used for this machine or hosts in $NO_PROXY", id="U20: this machine"),
            pytest.param({"url": "localhost", "proxy": "o:1"}, None, {"NO_PROXY": "*"}, "o:1", "--proxy", id="NO_PROXY does not exclude the proxy of an option"),
            pytest.param({"profile": "p"}, PROFILE, {"NO_PROXY": "*"}, "p:1", "[servers.p]", id="NO_PROXY does not exclude the proxy of a profile"),
            pytest.param({"url": "wss://example.com"}, None, {"HTTP_PROXY": "e:1"}, None, "default", id="HTTP_PROXY is not for wss"),
        ],
    )  # fmt: skip
    def test_the_proxy_comes_from_option_profile_environment_or_default_section(
        self,
        merge: Resolve,
        given: GivenOptions,
        config: str | None,
        environment: dict[str, str],
        proxy: str | None,
        origin: str,
    ) -> None:
        assert merge(given, config, **environment).proxy == ResolvedValue(proxy, origin)

    @pytest.mark.parametrize(
        ("given", "environment", "origin"),
        [
            pytest.param({"proxy": "ftp://u:secret@h"}, {}, "--proxy", id="option"),
            pytest.param({"url": "example.com"}, {"ALL_PROXY": "ftp://u:secret@h"}, "$ALL_PROXY", id="environment"),
        ],
    )
    def test_an_invalid_proxy_is_reported_with_its_origin(
        self, merge: Resolve, given: GivenOptions, environment: dict[str, str], origin: str
    ) -> None:
        with pytest.raises(InvalidURL) as raised:
            merge(given, **environment)
        assert f"(from {origin})" in str(raised.value)
        assert "secret" not in str(raised.value)


class TestIdentity:
    SAVED = "[servers.p]\nurl = 'p'\nlogin = 'ann'\n"
    TOKEN = "[servers.p]\nurl = 'p'\ntoken-file = '/t'\n"

    @pytest.mark.parametrize(
        ("given", "config", "environment", "identity"),
        [
            pytest.param({}, None, {}, Identity("saved"), id="the user who logged in last"),
            pytest.param({"no_login": True}, None, {"DDP_TOKEN": "t"}, Identity("anonymous", origin="--no-login"), id="anonymous"),
            pytest.param({"token_file": "f"}, None, {"DDP_TOKEN": "t"}, Identity("token", file="f", origin="--token-file"), id="a token"),
            pytest.param({"login": "bob", "profile": "p"}, SAVED, {"DDP_TOKEN": "t"}, Identity("saved", "bob", origin="--login"), id="a user"),
            pytest.param({"login": "bob", "password_file": "f"}, None, {}, Identity("password", "bob", "f", "--login"), id="a user and a password"),
            pytest.param({"profile": "p", "password_file": "f"}, SAVED, {}, Identity("password", "ann", "f", "--password-file"), id="a password for the profile's user"),
            pytest.param({"profile": "p"}, SAVED, {"DDP_TOKEN": "t"}, Identity("token", origin="$DDP_TOKEN"), id="the environment wins over the profile"),
            pytest.param({"profile": "p"}, SAVED, {}, Identity("saved", "ann", origin="[servers.p]"), id="the profile's user"),
            pytest.param({"profile": "p"}, TOKEN, {}, Identity("token", file="/t", origin="[servers.p]"), id="the profile's token"),
            pytest.param({"url": "a"}, None, {"DDP_TOKEN": "t", "DDP_URL": "ws://a/websocket"}, Identity("token", origin="$DDP_TOKEN"), id="the environment's token is for its server"),
            pytest.param({"url": "b"}, None, {"DDP_TOKEN": "t", "DDP_URL": "ws://a/websocket"}, Identity("saved"), id="the environment's token is not for another server"),
        ],
    )  # fmt: skip
    def test_the_login_comes_from_option_environment_or_profile(
        self, merge: Resolve, given: GivenOptions, config: str | None, environment: dict[str, str], identity: Identity
    ) -> None:
        assert merge(given, config, **environment).identity == identity

    @pytest.mark.parametrize(
        "given",
        [
            pytest.param({"no_login": True, "login": "a"}, id="anonymous and a user"),
            pytest.param({"no_login": True, "token_file": "f"}, id="anonymous with a token"),
            pytest.param({"token_file": "f", "login": "a"}, id="a token and a user"),
            pytest.param({"token_file": "f", "password_file": "g"}, id="a token and a password"),
            pytest.param({"proxy": "a", "no_proxy": True}, id="a proxy and no proxy"),
        ],
    )
    def test_contradictory_options_are_rejected(self, merge: Resolve, given: GivenOptions) -> None:
        with pytest.raises(click.UsageError, match="cannot be used together"):
            merge(given)


class TestFile:
    def test_a_profile_without_a_file_is_reported(self, merge: Resolve, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match=f"there is no config file {tmp_path}/.config/ddpshell/config.toml"):
            merge({"profile": "p"})

    def test_the_file_named_by_the_environment_must_exist(self, merge: Resolve) -> None:
        with pytest.raises(CommandError, match=r"the config file /nowhere in \$DDP_CONFIG does not exist"):
            merge(DDP_CONFIG="/nowhere")
        merge(DDP_CONFIG="/dev/null")

    def test_without_a_home_there_is_no_config_file(self) -> None:
        assert resolve({}, {"HOME": "nowhere"}).values["url"].value == "localhost:3000"


# ----------------------------------------------------------------------------------------------------------- the files

# Files are where the XDG specification says, also on macOS; on Windows they are in its own folders.


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
