"""Who one is in the shell, and what a server is told of that which was meant for another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import ddp_apart
from tests.loopback import LoopbackServer
from tests.meteor import MeteorServer
from tests.proxies import HTTPProxy
from tests.shell.window import Window


def test_a_script_can_log_in(meteor_server: MeteorServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland\n")
    done = ddp_apart(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password", script="call whoami\n"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 10
    (tmp_path / "password").write_text("wrong\n")
    done = ddp_apart(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password", script="call whoami\n"
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stdout == ""


def test_the_shell_logs_in_with_what_the_options_say(meteor_server: MeteorServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland\n")
    with Window(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password"
    ) as window:  # fmt: skip
        window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
        (tmp_path / "password").write_text("wrong\n")
    with Window("-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password") as window:
        window.wait_for("was refused")
        window.press("call upper a\r")
        window.wait_for('[1] "A"')


def test_headers_of_one_server_are_not_sent_to_another() -> None:
    with LoopbackServer() as one, LoopbackServer() as other:
        script = f"call headers\nconnect {other.url}\ncall headers\n"
        done = ddp_apart("-u", one.url, "-H", "Accept-Language: s3cret", script=script)
        first, second = done.stdout.splitlines()
        assert "s3cret" in first
        assert "s3cret" not in second


def log_in(server: LoopbackServer) -> None:
    done = ddp_apart("login", "alice", "-u", server.url, "--password-file", "-", script="wonderland\n")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["environment", "option"])
def test_whether_there_is_a_proxy_is_found_out_for_each_server(kind: str) -> None:
    """U20: none of the environment's for this machine, wherever one comes from."""
    with LoopbackServer() as server, HTTPProxy(hosts={"ddp.invalid": ("127.0.0.1", server.port)}) as proxy:
        script = f"call upper a\nconnect {server.url}\ncall upper b\nconnect ddp.invalid\ncall upper c\n"
        words, environment = (["--proxy", proxy.url], {}) if kind == "option" else ([], {"ALL_PROXY": proxy.url})
        done = ddp_apart("-u", "ddp.invalid", *words, script=script, **environment)
        assert (done.returncode, done.stdout) == (0, '"A"\n"B"\n"C"\n')
        named = [host for host, _ in proxy.targets]
    assert named == ["ddp.invalid", *(["127.0.0.1"] if kind == "option" else []), "ddp.invalid"]


def test_a_saved_login_counts_in_the_shell_from_its_start_until_a_logout(home: Path) -> None:
    with LoopbackServer() as server:
        log_in(server)
        with Window("-u", server.url) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            window.press("call whoami\r")
            window.wait_for('[1] "alice-in-wonderland"')
            window.press("logout\r")
            window.wait_for("[2] logged out alice")
        assert ddp_apart("whoami", "-u", server.url, script="").returncode == 4


def tokens(server: LoopbackServer) -> int:
    """How many logins of alice's the server knows."""
    [user] = server.server.accounts.users.find({"username": "alice"})
    return len(user["services"]["resume"]["loginTokens"])  # type: ignore[index,call-overload,arg-type]  # a document's shape


def test_a_login_by_password_for_the_shell_ends_with_it(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wonderland\n")
    with LoopbackServer() as server:
        words = ["-u", server.url, "--login", "alice", "--password-file", str(password)]
        assert ddp_apart(*words, script="call whoami\n").stdout == '"alice-in-wonderland"\n'
        assert tokens(server) == 0
        with Window(*words) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            assert tokens(server) == 1
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert tokens(server) == 0
        # Another login, made in there to stay, does.
        with Window(*words) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            window.press("login alice\r")
            window.wait_for("Password of alice:")
            window.press("wonderland\r")
            window.wait_for("logged in as alice, until")
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert ddp_apart("call", "whoami", "-u", server.url, script="").stdout == '"alice-in-wonderland"\n'


def test_a_login_in_the_shell_counts_for_every_command_of_that_server(home: Path) -> None:
    with LoopbackServer() as server, LoopbackServer() as other:
        with Window("-u", server.url) as window:
            window.wait_for("connected to")
            window.press("login alice\r")
            window.wait_for("Password of alice:")
            window.press("wonderland\r")
            window.wait_for("[1] logged in as alice, until")
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert ddp_apart("call", "whoami", "-u", server.url, script="").stdout == '"alice-in-wonderland"\n'
        script = f"call whoami\nconnect {server.url}\ncall whoami\n"
        assert ddp_apart("-u", other.url, script=script).stdout == 'null\n"alice-in-wonderland"\n'
        assert ddp_apart("-u", other.url, "--no-login", script=script).stdout == "null\nnull\n"
        with Window("-u", other.url) as window:
            window.wait_for("connected to")
            window.press(f"connect {server.url}\r")
            window.wait_for(lambda: "· alice ·" in window.rows[-1])


def test_a_saved_login_that_is_refused_is_told_and_the_shell_goes_on(home: Path) -> None:
    with LoopbackServer() as server:
        log_in(server)
        [file] = (home / "state/ddpshell/logins").iterdir()
        file.write_text(re.sub('"token": "[^"]*"', '"token": "of another time"', file.read_text()))
        with Window("-u", server.url, columns=120) as window:
            window.wait_for("was refused: ")
            window.wait_for("`login alice` logs in")
            window.press("call whoami\r")
            window.wait_for("[1] null")
        assert ddp_apart("-u", server.url, script="call whoami\n").returncode == 4


def test_a_demos_login_ends_with_the_demo(home: Path) -> None:
    with Window("demo") as window:
        window.wait_for("connected to")
        window.press("login alice\r")
        window.wait_for("Password of alice:")
        window.press("wonderland\r")
        window.wait_for("[1] logged in as alice, for this session")
    assert not (home / "state/ddpshell/logins").exists()
