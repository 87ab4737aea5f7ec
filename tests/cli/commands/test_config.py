"""`ddp config` shows each setting with its value and origin, but no secret."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.loopback import LoopbackServer

FILE = """
[default]
timeout = 60

[servers.prod]
url = "https://ann:hunter2@app.example.com"
login = "ann"
headers = { Authorization = "Bearer hunter2" }
cookies = { session = "hunter2" }
proxy = "http://bob:hunter2@proxy:3128"
"""


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "config/ddpshell/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(FILE)
    return path


@pytest.mark.usefixtures("file")
def test_each_value_has_its_origin(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDP_URL", "localhost:9")
    ran = ddp("config", "--connect-timeout", "3")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert told["url"] == {"value": "localhost:9", "origin": "$DDP_URL"}
    assert told["connect-timeout"] == {"value": 3.0, "origin": "--connect-timeout"}
    assert told["timeout"] == {"value": 60.0, "origin": "[default]"}
    assert told["insecure"] == {"value": False, "origin": "default"}


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("form", ["json", "pretty"])
def test_config_shows_no_secret(ddp: Command, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("DDP_TOKEN", "hunter2")
    ran = ddp("config", "-p", "prod", "-o", form, "-H", "X: hunter2")
    assert ran.code == 0
    assert "hunter2" not in ran.out
    for shown in ("https://***@app.example.com", "http://***@proxy:3128", "headers.X", "cookies.session", "$DDP_TOKEN"):
        assert shown in ran.out


@pytest.mark.usefixtures("file")
def test_people_get_a_table_of_settings(ddp: Command) -> None:
    lines = ddp("config", "-p", "prod", "-o", "pretty").out.splitlines()
    assert lines[0] == "url                    https://***@app.example.com  [servers.prod]"
    assert "timeout                60                           [default]" in lines
    assert "cert                   -                            default" in lines
    assert lines[-1] == "login                  ann                          [servers.prod], not saved"


def test_config_shows_the_login_that_other_commands_use(ddp: Command, server: LoopbackServer) -> None:
    ddp("login", "alice", "--password-file", "-", stdin=b"wonderland")
    told = json.loads(ddp("config").out)["login"]
    assert told["value"] == "alice"
    assert told["origin"].startswith("saved, until 20")
    for words, row in (
        (["--no-login"], ["login", None, "--no-login"]),
        (["--token-file", __file__], ["token-file", __file__, "--token-file"]),
        (["--login", "bob", "--password-file", "-"], ["login", "bob", "--login"]),
        (["--login", "bob"], ["login", "bob", "--login, not saved"]),
    ):
        name, value, origin = row
        assert json.loads(ddp("config", *words).out)[str(name)] == {"value": value, "origin": origin}
    assert server.sessions == 1


@pytest.mark.usefixtures("file")
def test_the_servers_are_listed(ddp: Command) -> None:
    assert ddp("config", "--list").out == '{"prod":{"url":"https://***@app.example.com","login":"ann"}}\n'
    assert ddp("config", "--list", "-o", "pretty").out == "prod  https://***@app.example.com  ann\n"
    assert ddp("config", "--list", "--path").code == 2


def test_a_note_reports_that_there_are_no_servers(ddp: Command, home: Path) -> None:
    path = home / "config/ddpshell/config.toml"
    assert ddp("config", "--list", "-o", "pretty") == (
        0, "", f"ddp: note: there is no config file; it would be {path}\n",
    )  # fmt: skip
    assert ddp("config", "--list") == (0, "{}\n", "")
    path.parent.mkdir(parents=True)
    path.touch()
    assert ddp("config", "--list", "-o", "pretty") == (0, "", f"ddp: note: there is no [servers.NAME] in {path}\n")


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The text that the editor appends to the file; at first it is empty."""
    added = tmp_path / "added"
    added.touch()
    script = tmp_path / "editor"
    script.write_text(f'#!/bin/sh\ncat {added} >> "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    monkeypatch.delenv("VISUAL", raising=False)
    return added


def test_the_file_is_edited_and_checked(ddp: Command, home: Path, editor: Path) -> None:
    path = home / "config/ddpshell/config.toml"
    # A new file has only an example in comments.
    assert ddp("config", "--edit") == (0, "", "")
    assert "# [servers.prod]" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ddp("config", "--list").out == "{}\n"
    editor.write_text("[servers.here]\nurl = 'localhost:1'\n")
    assert ddp("config", "--edit") == (0, "", "")
    assert ddp("config", "--list").out == '{"here":{"url":"localhost:1","login":null}}\n'
    editor.write_text("[servers.there]\nurrl = 'localhost:1'\n")
    ran = ddp("config", "--edit")
    assert (ran.code, ran.out) == (2, "")
    assert "[servers.there]: unknown setting 'urrl'; did you mean url?" in ran.err


def test_an_example_that_is_uncommented_is_a_config_file(ddp: Command, home: Path, editor: Path) -> None:
    path = home / "config/ddpshell/config.toml"
    ddp("config", "--edit")
    path.write_text(re.sub("(?m)^# ([a-z[])", r"\1", path.read_text()))
    assert json.loads(ddp("config", "-p", "prod").out)["url"]["value"] == "wss://app.example.com"


def test_an_editor_that_fails_and_a_file_that_cannot_be_made_are_reported(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, editor: Path
) -> None:
    monkeypatch.setenv("EDITOR", "false")
    ran = ddp("config", "--edit")
    assert (ran.code, ran.out) == (2, "")
    assert "false" in ran.err
    monkeypatch.setenv("XDG_CONFIG_HOME", "/dev/null")
    ran = ddp("config", "--edit")
    assert ran == (2, "", "ddp: error: cannot write /dev/null/ddpshell/config.toml: Not a directory\n")


def test_the_place_of_the_file_is_reported(ddp: Command, home: Path) -> None:
    path = home / "config/ddpshell/config.toml"
    assert ddp("config", "--path") == (0, f"{path}\n", "")
    ran = ddp("config", "-o", "pretty")
    assert ran.err == f"ddp: note: there is no config file; it would be {path}\n"


def test_a_missing_home_folder_is_reported(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "nowhere")
    ran = ddp("config", "--path")
    assert (ran.code, ran.out) == (2, "")
    assert "$DDP_CONFIG can name one" in ran.err


@pytest.mark.parametrize("command", [["config"], ["call", "m"], ["whoami"]])
def test_a_mistake_in_the_file_is_reported_by_every_command(ddp: Command, file: Path, command: list[str]) -> None:
    file.write_text("[default]\ntimeuot = 5\n")
    ran = ddp(*command)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"ddp: error: {file}, line 2, [default]: unknown setting 'timeuot'; did you mean timeout?\n"


def test_a_profile_is_used_by_a_command(ddp: Command, file: Path, server: LoopbackServer) -> None:
    file.write_text(f"[servers.here]\nurl = '{server.url}'\n")
    assert ddp("-p", "here", "call", "upper", "x") == (0, '"X"\n', "")
    assert ddp("call", "-p", "here", "upper", "x") == (0, '"X"\n', "")
    ran = ddp("call", "-p", "her", "upper", "x")
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean here?" in ran.err


def test_a_demo_needs_no_profile(ddp: Command) -> None:
    assert ddp("demo", "call", "-p", "x", "upper", "x").code == 2
    assert ddp("demo", "config").code == 0


@pytest.mark.parametrize("variable", ["DDP_TOKEN", "DDP_URL"])
def test_a_demo_ignores_the_url_and_token_of_the_environment(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "nowhere.invalid")
    assert ddp("demo", "call", "upper", "x") == (0, '"X"\n', "")


class TestChanges:
    """`get`, `set` and `unset`."""

    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "folder" / "config.toml"
        monkeypatch.setenv("DDP_CONFIG", str(path))
        return path

    def test_a_new_file_is_private_and_has_the_settings(self, ddp: Command, file: Path) -> None:
        for words in (
            ["set", "timeout", "60"],
            ["set", "url", "wss://app.example.com", "-p", "prod"],
            ["set", "servers.prod.login", "ann"],
            ["set", "headers.X-Team", 'a "b"', "-p", "prod"],
            ["set", "insecure", "yes", "-p", "prod"],
            ["set", "servers.a b.url", "h"],
        ):
            assert ddp("config", *words).code == 0
        assert file.read_text() == (
            '[default]\ntimeout = 60\n\n[servers.prod]\nurl = "wss://app.example.com"\nlogin = "ann"\n'
            'headers.X-Team = "a \\"b\\""\ninsecure = true\n\n[servers."a b"]\nurl = "h"\n'
        )
        assert file.stat().st_mode & 0o777 == 0o600
        for words, out in (
            (["timeout"], "60\n"),
            (["url", "-p", "prod"], '"wss://app.example.com"\n'),
            (["servers.prod.url", "-o", "raw"], "wss://app.example.com\n"),
            (["insecure", "-p", "prod"], "true\n"),
            (["cacert"], "null\n"),
        ):
            assert ddp("config", "get", *words) == (0, out, "")

    @pytest.mark.parametrize(
        ("before", "words", "after"),
        [
            ("[default]\n  timeout=5 # why\n", ["set", "timeout", "7.5"], "[default]\ntimeout = 7.5 # why\n"),
            ("# a\n[default]\ntimeout = 5\n\n# b\n[servers.x]\nurl='#'", ["set", "reconnect", "on"],
             "# a\n[default]\ntimeout = 5\nreconnect = true\n\n# b\n[servers.x]\nurl='#'"),
            ("[servers.x]\nurl = '#'  # c", ["set", "url", "h", "-p", "x"], '[servers.x]\nurl = "h"  # c\n'),
            ('[servers.x]\nurl = """\nh""" # c\n', ["set", "url", "i", "-p", "x"], '[servers.x]\nurl = "i" # c\n'),
            ("[ servers . 'x' ]\nurl = 'h'\n[servers.x.headers]\nA = 'b'\n", ["set", "headers.A", "c", "-p", "x"],
             "[ servers . 'x' ]\nurl = 'h'\n[servers.x.headers]\nA = \"c\"\n"),
            ("[servers.x]\nurl = 'h'\nheaders.A = 'b'\n", ["unset", "headers.A", "-p", "x"], "[servers.x]\nurl = 'h'\n"),
            ("[default]\ntimeout = 5\n", ["unset", "timeout"], "[default]\n"),
            ("# a\r\n[default]\r\ntimeout = 5 # b\r\n\r\n[servers.x]\r\nurl = 'h'\r\n", ["set", "timeout", "7"],
             "# a\r\n[default]\r\ntimeout = 7 # b\r\n\r\n[servers.x]\r\nurl = 'h'\r\n"),
            ("[servers.x]\r\nurl = 'h'", ["set", "timeout", "5"],
             "[servers.x]\r\nurl = 'h'\r\n\r\n[default]\r\ntimeout = 5\r\n"),
            ("[servers.x]\r\nurl = 'h'", ["set", "login", "ann", "-p", "x"],
             "[servers.x]\r\nurl = 'h'\r\nlogin = \"ann\"\r\n"),
            ("# \x85\u2028[\n[servers.x]\nurl = 'h'\n", ["set", "login", "ann", "-p", "x"],
             "# \x85\u2028[\n[servers.x]\nurl = 'h'\nlogin = \"ann\"\n"),
            ("[servers.'my ]\"']\nurl = 'h'\n", ["set", "login", "ann", "-p", 'my ]"'],
             "[servers.'my ]\"']\nurl = 'h'\nlogin = \"ann\"\n"),
            ("[servers.x]\nurl = 'h'", ["set", "timeout", "5"], "[servers.x]\nurl = 'h'\n\n[default]\ntimeout = 5\n"),
        ],
    )  # fmt: skip
    def test_a_change_keeps_the_rest_of_the_file(
        self, ddp: Command, file: Path, before: str, words: list[str], after: str
    ) -> None:
        file.parent.mkdir()
        file.write_bytes(before.encode())
        assert ddp("config", *words).code == 0
        assert file.read_bytes() == after.encode()

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (["set", "tiemout", "5"], "unknown setting 'tiemout'; did you mean timeout?"),
            (["set", "timeout", "x"], "timeout: 'x' is not a number of seconds"),
            (["set", "url", "ftp://h"], "invalid server URL 'ftp://h'"),
            (["set", "proxy", "ftp://h"], "invalid proxy"),
            (["set", "insecure", "maybe", "-p", "x"], "insecure: must be true or false, not 'maybe'"),
            (["set", "cacert", "/nowhere"], "cacert: cannot read '/nowhere'"),
            (["set", "headers", "A: b"], "write headers.NAME for one of the headers"),
            (["set", "timeout.x", "5"], "unknown setting 'timeout.x'"),
            (["set", "headers.A", "c", "-p", "x"], "headers.A cannot be changed in the form in which"),
            (["set", "login", "ann", "-p", "new"], ", [servers.new]: url is missing"),
            (["unset", "url", "-p", "x"], ", [servers.x]: url is missing"),
            (["unset", "timeout"], "timeout is not set in [default]"),
            (["set", "timeout"], "write: ddp config set KEY VALUE"),
            (["get"], "write: ddp config get KEY"),
            (["get", "timeout", "5"], "write: ddp config get KEY"),
            (["set", "timeout", "5", "--list"], "set cannot be used with --edit, --list and --path"),
            (["set", "timeout", "5", "--login", "ann"], "ddp config set does not take --login"),
            (["get", "nope"], "unknown setting 'nope'"),
            (["frob", "x"], "get|set|unset: 'frob' is not one of"),
        ],
    )
    def test_an_invalid_change_is_reported_and_does_not_change_the_file(
        self, ddp: Command, file: Path, words: list[str], error: str
    ) -> None:
        file.parent.mkdir()
        text = "[servers.x]\nurl = 'h'\nheaders = { A = 'b' }\n"
        file.write_text(text)
        ran = ddp("config", *words)
        assert (ran.code, ran.out) == (2, "")
        assert error in ran.err.splitlines()[0]
        assert file.read_text() == text
        assert list(file.parent.iterdir()) == [file]


def test_the_config_file_has_the_settings_of_the_shell(ddp: Command, file: Path) -> None:
    ran = ddp("config", "set", "shell.theme", "LIGHT")
    assert (ran.code, ran.err) == (0, f"ddp: note: set theme in [shell] of {file}\n")
    assert ddp("config", "set", "shell.items", "7").code == 0
    assert ddp("config", "set", "shell.timing", "full").code == 0
    assert ddp("config", "set", "shell.menu", "typing").code == 0
    assert ddp("config", "set", "shell.pager", "off").code == 0
    assert file.read_text().endswith(
        '[shell]\ntheme = "light"\nitems = 7\ntiming = "full"\nmenu = "typing"\npager = false\n'
    )
    told = json.loads(ddp("config").out)
    assert told["shell.theme"] == {"value": "light", "origin": "[shell]"}
    assert told["shell.pager"] == {"value": "off", "origin": "[shell]"}
    assert "shell.editing" not in told
    assert ddp("config", "get", "shell.editing", "-o", "pretty").out == "emacs\n"
    assert ddp("config", "get", "shell.theme", "-o", "pretty").out == "light\n"
    assert ddp("config", "unset", "shell.theme").code == 0
    assert "shell.theme" not in json.loads(ddp("config").out)
    for name, value, error in (
        ("shell.theme", "pink", "invalid theme pink: use auto, dark, light, plain"),
        ("shell.them", "dark", "unknown setting them; did you mean theme?"),
        ("shell.items", "0", "invalid items 0: use a whole number, 1 or more"),
    ):
        ran = ddp("config", "set", name, value)
        assert ran.code == 2
        assert error in ran.err


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('theme = "pink"', "line 12, [shell]: invalid theme pink"),
        ("theme = 5", 'theme must be "auto" or "dark" or "light" or "plain"'),
        ("pager = 5", "pager must be true or false"),
        ('items = "5"', "items must be a whole number, 1 or more"),
        ("itms = 5", "unknown setting 'itms'; did you mean items?"),
    ],
)
def test_a_mistake_in_the_section_of_the_shell_has_its_line(ddp: Command, file: Path, line: str, error: str) -> None:
    file.write_text(f"{FILE}[shell]\n{line}\n")
    ran = ddp("config")
    assert ran.code == 2
    assert error in ran.err


def test_the_settings_of_a_server_for_the_prompt_can_be_changed(ddp: Command, file: Path) -> None:
    assert ddp("config", "set", "color", "red", "-p", "prod").code == 0
    assert ddp("config", "set", "confirm", "yes", "-p", "prod").code == 0
    assert ddp("config", "set", "allow", "tasks.*, users.get", "-p", "prod").code == 0
    assert 'color = "red"\nconfirm = true\nallow = ["tasks.*", "users.get"]\n' in file.read_text()
    # A TOML array is accepted too. Otherwise the brackets would be part of a pattern, which would never match.
    assert ddp("config", "set", "allow", '["tasks.*", "users.get"]', "-p", "prod").code == 0
    assert 'allow = ["tasks.*", "users.get"]\n' in file.read_text()
    for text in ('["tasks.*"', "[5]", "[]", "", ","):
        ran = ddp("config", "set", "allow", text, "-p", "prod")
        assert (ran.code, ran.err.splitlines()[0]) == (
            2, "ddp: error: allow: must be names that are separated by commas, such as tasks.*,users.get"
        )  # fmt: skip
    told = json.loads(ddp("config", "-p", "prod").out)
    assert told["color"] == {"value": "red", "origin": "[servers.prod]"}
    assert told["allow"] == {"value": ["tasks.*", "users.get"], "origin": "[servers.prod]"}
    assert json.loads(ddp("config").out)["confirm"] == {"value": False, "origin": "default"}
    assert re.search(
        r"^allow +tasks\.\*, users\.get +\[servers\.prod\]$",
        ddp("config", "-p", "prod", "-o", "pretty").out,
        re.MULTILINE,
    )
    ran = ddp("config", "set", "color", "pink", "-p", "prod")
    assert (ran.code, "'pink' is not a color; use red, green" in ran.err) == (2, True)
    ran = ddp("config", "set", "confirm", "true")
    assert "confirm is for one server; put it into a [servers.NAME] section" in ran.err
