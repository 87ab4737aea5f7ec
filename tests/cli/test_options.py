"""An option has the same meaning before and after the command's name."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ddpshell.cli.group import ddp as group
from ddpshell.cli.options import CONNECTION_OPTIONS, OUTPUT_OPTIONS, SharedOption
from ddpshell.cli.process import GivenOptions, Process
from ddpshell.cli.settings import ConnectionSettings
from ddpshell.cli.types import Cookie, Header, ReadableFile
from tests.cli.conftest import Command
from tests.loopback import LoopbackServer

FILE = __file__

#: For each shared option: its words, and its value.
TYPED: dict[str, tuple[list[str], object]] = {
    "url": (["-u", "h:1"], "h:1"),
    "timeout": (["--timeout", "1.5"], 1.5),
    "connect_timeout": (["--connect-timeout", "0"], 0.0),
    "wait_for_server": (["--wait-for-server", "5"], 5.0),
    "max_message": (["--max-message", "1.5M"], 3 << 19),
    "reconnect": (["--no-reconnect"], False),
    "no_retry": (["--no-retry"], True),
    "headers": (["-H", "X-A: b c "], (("X-A", "b c"),)),
    "origin": (["--origin", "http://o"], "http://o"),
    "cacert": (["--cacert", FILE], FILE),
    "cert": (["--cert", FILE], FILE),
    "key": (["--key", FILE], FILE),
    "insecure": (["--insecure"], True),
    "servername": (["--servername", "s"], "s"),
    "profile": (["-p", "prod"], "prod"),
    "cookies": (["--cookie", "a=b"], (("a", "b"),)),
    "user_agent": (["--user-agent", "u"], "u"),
    "passphrase_file": (["--passphrase-file", "-"], "-"),
    "proxy": (["--proxy", "p:1"], "p:1"),
    "ip_version": (["--ipv6", "--ipv4"], 4),
    "no_proxy": (["--no-proxy"], True),
    "login": (["--login", "ann"], "ann"),
    "password_file": (["--password-file", "-"], "-"),
    "token_file": (["--token-file", FILE], FILE),
    "no_login": (["--no-login"], True),
    "record": (["--record", "a.ddprec"], "a.ddprec"),
    "with_secrets": (["--with-secrets"], True),
    "output": (["-o", "raw"], "raw"),
    "color": (["--color", "never"], "never"),
    "debug": (["-d"], True),
    "verbose": (["-v"], 1),
    "quiet": (["-q"], 1),
    "no_pager": (["--no-pager"], True),
}

SHARED = [*CONNECTION_OPTIONS, *OUTPUT_OPTIONS]


def given(*words: str) -> GivenOptions:
    """Parse a command line, and return the given options without running the command."""
    process = Process()
    with group.make_context("ddp", list(words), obj=process) as ctx:
        rest = [*ctx._protected_args, *ctx.args]  # noqa: SLF001 - where click keeps the subcommand until it is invoked
        name, command, words_behind = group.resolve_command(ctx, rest)
        assert command is not None
        command.make_context(name, words_behind, parent=ctx).close()
    return process.options


@pytest.mark.parametrize("option", SHARED, ids=lambda option: str(option.opts[-1]))
def test_an_option_works_before_and_after_the_command(option: SharedOption) -> None:
    assert option.name is not None
    typed, value = TYPED[option.name]
    assert given(*typed, "call", "m") == {option.name: value}
    assert given("call", *typed, "m") == {option.name: value}
    assert given("call", "m", "5", *typed) == {option.name: value}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["-u", "a", "call", "-u", "b", "m"], {"url": "b"}, id="the last of two values"),
        pytest.param(
            ["--reconnect", "call", "--no-reconnect", "m"], {"reconnect": False}, id="the last of opposite flags"
        ),
        pytest.param(["-v", "call", "-vv", "m"], {"verbose": 3}, id="counted flags"),
        pytest.param(
            ["-H", "A: 1", "call", "-H", "B: 2", "m", "-H", "C:3"],
            {"headers": (("A", "1"), ("B", "2"), ("C", "3"))},
            id="repeated headers",
        ),
        pytest.param(["call", "m"], {}, id="no options"),
    ],
)
def test_options_before_and_after_the_command_are_combined(words: list[str], expected: GivenOptions) -> None:
    assert given(*words) == expected


@pytest.mark.parametrize(
    ("words", "error"),
    [
        pytest.param(["--timeout", "x"], "--timeout: 'x' is not a number of seconds", id="text instead of a number"),
        pytest.param(["--timeout", "nan"], "--timeout: nan is not a valid number of seconds", id="not a number"),
        pytest.param(["--timeout", "inf"], "--timeout: inf is not a valid number of seconds", id="infinite"),
        pytest.param(["--connect-timeout", "-1"], "--connect-timeout: -1 is not a valid number of seconds", id="negative"),
        pytest.param(["--max-message", "0"], "--max-message: '0' is not a size, such as 500K, 100M or 2G", id="size 0"),
        pytest.param(["--max-message", "1T"], "--max-message: '1T' is not a size, such as 500K, 100M or 2G", id="unknown unit"),
        pytest.param(["-H", "no colon"], "-H/--header: must look like 'Name: value'", id="a header without a colon"),
        pytest.param(["-H", "A: b\r\nC: d"], "-H/--header: must look like 'Name: value'", id="two headers in one"),
        pytest.param(["--origin", "x\r\nA: b"], "--origin: must be in Latin letters, without line breaks", id="a header in an origin"),
        pytest.param(["--user-agent", "x\nA: b"], "--user-agent: must be in Latin letters", id="a header in a user agent"),
        pytest.param(["-H", "A B: c"], "-H/--header: must look like 'Name: value'", id="a name with a space"),
        pytest.param(["-H", "upgrade: h2c"], "-H/--header: the header upgrade is part of the WebSocket handshake", id="a header of the handshake"),
        pytest.param(["-H", "Sec-WebSocket-Key: x"], "-H/--header: the header Sec-WebSocket-Key is part of", id="another header of the handshake"),
        pytest.param(["-H", "Content-Length: 3"], "-H/--header: the header Content-Length is part of", id="the length of a body"),
        pytest.param(["-H", "Host: a", "-H", "host: b"], "the Host header can be given only once", id="two hosts"),
        pytest.param(["--cacert", "/nowhere"], "--cacert: cannot read '/nowhere': No such file", id="a missing file"),
        pytest.param(["--key", FILE], "--key needs --cert", id="a key without its certificate"),
        pytest.param(["--color", "maybe"], "--color: 'maybe' is not one of", id="an unknown choice"),
        pytest.param(["-u", "ftp://h"], "invalid server URL 'ftp://h'", id="an unknown scheme"),
        pytest.param(["-u", ""], "invalid server URL ''", id="an empty URL"),
        pytest.param(["--proxy", "ftp://u:s@h"], "invalid proxy URL 'ftp://***@h'", id="an unknown scheme of a proxy"),
        pytest.param(["--token-file", "/nowhere"], "--token-file: cannot read '/nowhere'", id="a missing token file"),
        pytest.param(["--password-file", FILE], "--password-file needs --login USER", id="a password without a user"),
        pytest.param(["--cookie", "x"], "--cookie: must look like name=value", id="an invalid cookie"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_rejected_before_anything_is_sent(ddp: Command, words: list[str], error: str) -> None:
    ran = ddp("call", "m", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"ddp: error: {error}")


def test_a_header_that_is_rejected_is_not_shown(ddp: Command) -> None:
    assert "secret" not in ddp("call", "m", "-H", "secret\x01").err


@pytest.mark.parametrize(
    ("given", "environment", "url"),
    [
        pytest.param({}, {}, "localhost:3000", id="the default"),
        pytest.param({}, {"DDP_URL": "e:1"}, "e:1", id="the environment"),
        pytest.param({}, {"DDP_URL": ""}, "localhost:3000", id="an empty variable is ignored"),
        pytest.param({"url": "o:1"}, {"DDP_URL": "e:1"}, "o:1", id="the option"),
    ],
)
def test_the_url_comes_from_the_option_the_environment_or_the_default(
    given: GivenOptions, environment: dict[str, str], url: str
) -> None:
    assert ConnectionSettings.of(given, environment).url == url


def test_limits_have_their_defaults_and_zero_means_no_limit() -> None:
    settings = ConnectionSettings.of({}, {})
    assert (settings.timeout, settings.connect_timeout, settings.retry) == (30, 10, True)
    assert ConnectionSettings.of({"timeout": 0.0}, {}).timeout is None


def test_no_option_takes_a_secret_as_its_value() -> None:
    """Other users of the machine can see command lines. Options for secrets take the name of a file, or - for standard input."""
    context = group.make_context("ddp", [], obj=Process(), resilient_parsing=True)
    commands = [group, *filter(None, [group.get_command(context, name) for name in group.list_commands(context)])]
    options = {
        name: param for command in commands for param in command.params for name in (*param.opts, *param.secondary_opts)
    }
    secrets = {name for name in options if re.match("--(pass|token|secret|code|key|cookie|header|auth)", name)}
    kinds = {name: getattr(options[name].type, "kind", None) for name in secrets}
    assert {name for name, kind in kinds.items() if not isinstance(kind, ReadableFile)} == {"--cookie", "--header"}
    # Headers and cookies are not always secrets. Both options take @FILE as well.
    assert isinstance(kinds["--cookie"], Cookie)
    assert isinstance(kinds["--header"], Header)
    assert {"--password-file", "--token-file", "--passphrase-file", "--code-file"} <= secrets


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(click.UsageError):
        ConnectionSettings.of({"key": "k"}, {})
    assert ConnectionSettings.of({"key": "k", "cert": "c"}, {}).key == "k"


def test_headers_and_origin_reach_the_server(ddp: Command, server: LoopbackServer) -> None:
    ran = ddp("call", "headers", "-H", "Host: app.example.com", "-H", "User-Agent: me", "-H", "X-Real-IP:1.2.3.4")
    assert ran.code == 0
    assert '"host":"app.example.com"' in ran.out
    assert '"user-agent":"me"' in ran.out
    assert '"x-real-ip":"1.2.3.4"' in ran.out


def test_a_file_option_can_name_a_file_in_the_home_folder(home: Path) -> None:
    (home / "ca.pem").write_text("")
    assert given("call", "--cacert", "~/ca.pem", "m") == {"cacert": str(home / "ca.pem")}
