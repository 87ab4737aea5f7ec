"""A saved login is used by every command for its server and for no other, and no secret is ever shown."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ddpshell.clock import SystemClock
from ddpshell.server import MethodError, Server
from ddpshell.server.contexts import MethodInvocation
from ddpshell.server.meteor.accounts import User
from tests.cli.conftest import Command, finished
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.machine import TOP
from tests.meteor import MeteorServer
from tests.proxies import HTTPProxy
from tests.shell.window import Window

ALICE = "alice-in-wonderland"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with alice's password."""
    file = tmp_path / "password"
    file.write_text("wonderland\nanother line\n")
    return file


@pytest.fixture
def saved(home: Path) -> Callable[[], list[Path]]:
    """The files of saved logins."""
    return lambda: sorted((home / "state/ddpshell/logins").glob("*"))


def test_a_login_is_saved_and_used_by_later_commands(ddp: Command, server: LoopbackServer, secret: Path) -> None:
    ran = ddp("login", "alice", "--password-file", str(secret))
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith(f"ddp: note: logged in as alice ({ALICE}) at ws://127.0.0.1:{server.port}, until 20")
    assert ddp("call", "whoami") == (0, f'"{ALICE}"\n', "")
    assert ddp("call", "--no-login", "whoami") == (0, "null\n", "")


def test_a_login_whose_writes_are_not_confirmed_is_kept(
    ddp: Command, secret: Path, saved: Callable[[], list[Path]]
) -> None:
    """C79: a server can send `result` without `updated`; the token is valid all the same."""

    def log_in(server: Conversation) -> None:
        login = {"id": "u1", "token": "T", "tokenExpires": {"$date": 4_000_000_000_000}, "type": "password"}
        server.send(msg="result", id=server.expect("method")["id"], result=login)

    with ScriptedServer(*[converse(log_in)] * 4) as server:
        options = ["-u", server.url, "--timeout", "0.3"]
        ran = ddp("login", "ann", "--password-file", str(secret), *options)
        assert (ran.code, len(saved())) == (0, 1)
        assert (
            "the answer to the login has arrived, but the server did not confirm the writes within 0.3 s\n" in ran.err
        )
        assert "logged in as ann" in ran.err
        ran = ddp("whoami", *options)
        assert (ran.code, json.loads(ran.out)["id"]) == (0, "u1")
        ran = ddp("call", "m", *options)
        assert (ran.code, ran.out) == (5, "")
        assert "it was not sent, because it waits for an earlier call" in ran.err
        ran = ddp("run", *options, stdin=b"whoami")
        assert "the server did not confirm the writes" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["alice"], id="a name"),
        pytest.param(["alice@example.com"], id="an address"),
        pytest.param([ALICE, "--id"], id="an id"),
        pytest.param(["--login", "alice"], id="--login"),
    ],
)
@pytest.mark.usefixtures("server")
def test_a_user_has_several_names(ddp: Command, words: list[str], secret: Path) -> None:
    assert ddp("login", *words, "--password-file", str(secret)).code == 0
    for name in ("alice", "alice@example.com", ALICE):
        assert ddp("call", "whoami", "--login", name).out == f'"{ALICE}"\n'


def test_the_login_is_found_for_every_spelling_of_the_url(ddp: Command, server: LoopbackServer, secret: Path) -> None:
    ddp("login", "alice", "--password-file", str(secret))
    for url in (f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}/sockjs"):
        assert ddp("call", "whoami", "-u", url).out == f'"{ALICE}"\n'


def test_the_token_is_sent_to_no_other_server(ddp: Command, server: LoopbackServer, secret: Path) -> None:
    heard: list[list[str]] = []

    def talk(server: Conversation) -> None:
        server.finish(server.expect("method"), result=1)
        heard.append(server.received)

    ddp("login", "alice", "--password-file", str(secret))
    assert ddp("call", "whoami").out == f'"{ALICE}"\n'
    with ScriptedServer(converse(talk)) as other:
        for url in (other.url, f"http://localhost:{other.port}", f"ws://127.0.0.1:{other.port}/prefix"):
            assert ddp("call", "-u", url, "m").code == 0
    assert [message for messages in heard for message in messages if '"login"' in message] == []


@pytest.mark.usefixtures("server")
def test_only_the_user_can_read_the_file(ddp: Command, secret: Path, saved: Callable[[], list[Path]]) -> None:
    ddp("login", "alice", "--password-file", str(secret))
    [file] = saved()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "wonderland" not in file.read_text().replace(ALICE, "")
    file.chmod(0o644)
    ran = ddp("call", "whoami")
    assert ran.out == f'"{ALICE}"\n'
    assert ran.err == f"ddp: warning: others can read the login saved in {file}: chmod 600 {file}\n"


def test_a_second_login_ends_the_first_on_the_server(
    ddp: Command, server: LoopbackServer, secret: Path, saved: Callable[[], list[Path]], tmp_path: Path
) -> None:
    """`ddp logout` must delete the whole login."""

    def tokens() -> int:
        [user] = server.server.accounts.users.find({"username": "alice"})
        return len(user["services"]["resume"]["loginTokens"])

    for _ in range(3):
        ran = ddp("login", "alice", "--password-file", str(secret))
        assert (ran.code, ran.err.count("\n")) == (0, 1)
        assert tokens() == 1
    assert ddp("whoami").code == 0
    # A second login with the same token does not end the first one.
    [file] = saved()
    token = tmp_path / "token"
    token.write_text(json.loads(file.read_text())["token"])
    assert ddp("login", "--token-file", str(token)).code == 0
    assert tokens() == 1
    assert ddp("logout").code == 0
    assert tokens() == 0
    # A login that the server has already ended can be replaced.
    assert ddp("login", "alice", "--password-file", str(secret)).code == 0
    [file] = saved()
    tree = json.loads(file.read_text())
    file.write_text(json.dumps({**tree, "token": "ended-long-ago"}))
    ran = ddp("login", "alice", "--password-file", str(secret))
    assert (ran.code, ran.err.count("\n")) == (0, 1)


def test_several_users_can_log_in_at_one_server(ddp: Command, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("pw")
    with LoopbackServer(_server(ann=User("pw", id="a"), bob=User("pw", id="b"))) as server:
        url = ["-u", server.url]
        for user in ("ann", "bob"):
            ddp("login", user, *url, "--password-file", str(password))
        # The last login is used unless another user is named.
        assert ddp("call", "whoami", *url).out == '"b"\n'
        assert ddp("call", "whoami", *url, "--login", "ann").out == '"a"\n'
        ran = ddp("call", "whoami", *url, "--login", "eve")
        assert (ran.code, ran.out) == (4, "")
        assert "there are logins of: ann, bob" in ran.err
        assert f"ddp: hint: ddp login eve -u {server.url}\n" in ran.err


class TestSecrets:
    @pytest.mark.usefixtures("server")
    def test_a_password_comes_from_standard_input(self, ddp: Command) -> None:
        assert ddp("login", "alice", "--password-file", "-", stdin=b"wonderland\r\nmore").code == 0

    @pytest.mark.usefixtures("server")
    def test_a_wrong_password_changes_nothing(self, ddp: Command, secret: Path) -> None:
        ddp("login", "alice", "--password-file", str(secret))
        ran = ddp("login", "alice", "--password-file", "-", stdin=b"through the looking-glass")
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.startswith("ddp: error: Incorrect password [403]\nddp: hint: check user name and password")
        assert ddp("call", "whoami").out == f'"{ALICE}"\n'

    @pytest.mark.usefixtures("server")
    def test_an_error_is_an_object_for_programs(self, ddp: Command) -> None:
        ran = ddp("login", "alice", "--password-file", "-", "-o", "json", stdin=b"x")
        assert ran.err == '{"error":403,"reason":"Incorrect password","details":null,"kind":"login"}\n'

    @pytest.mark.parametrize(
        ("stdin", "error"),
        [
            pytest.param(b"", "missing password: the first line of standard input is empty", id="no input"),
            pytest.param(b"\nwonderland", "missing password: the first line of standard input is empty", id="an empty line"),
            pytest.param(b"\xff\n", "the password in standard input is not UTF-8 text", id="bytes"),
        ],
    )  # fmt: skip
    @pytest.mark.usefixtures("server")
    def test_an_unusable_password_is_reported(self, ddp: Command, stdin: bytes, error: str) -> None:
        ran = ddp("login", "alice", "--password-file", "-", stdin=stdin)
        assert ran.code == 2
        assert ran.err.startswith(f"ddp: error: {error}")

    def test_login_with_password_file_is_for_one_command(
        self, ddp: Command, server: LoopbackServer, secret: Path, saved: Callable[[], list[Path]]
    ) -> None:
        words = ["call", "whoami", "--login", "alice", "--password-file", str(secret)]
        assert ddp(*words) == (0, f'"{ALICE}"\n', "")
        assert saved() == []
        [user] = server.server.accounts.users.find({"username": "alice"})
        assert user["services"]["resume"]["loginTokens"] == []
        secret.write_text("wrong")
        ran = ddp(*words)
        assert (ran.code, ran.out) == (4, "")
        assert "the server rejected the login of 'alice': Incorrect password" in ran.err

    def test_a_login_for_one_command_ends_with_the_command(self, ddp: Command, secret: Path) -> None:
        """Without the logout, the token would stay valid for 90 days, although it is not saved."""
        ended: list[dict[str, object]] = []

        def talk(server: Conversation) -> None:
            login = server.expect("method")
            digest = hashlib.sha256(b"wonderland").hexdigest()
            assert login["params"] == [
                {"user": {"username": "alice"}, "password": {"digest": digest, "algorithm": "sha-256"}}
            ]
            server.finish(login, result={"id": "a", "token": "t0ken", "tokenExpires": {"$date": 1 << 42}})
            server.finish(server.expect("method"), result=1)
            ended.append(server.expect("method"))
            server.finish(ended[-1])

        with ScriptedServer(converse(talk)) as server:
            words = ["call", "m", "-u", server.url, "--login", "alice", "--password-file", str(secret)]
            assert ddp(*words) == (0, "1\n", "")
        assert [call["method"] for call in ended] == ["logout"]

    def test_a_command_does_not_wait_long_for_an_unanswered_logout(self, ddp: Command, secret: Path) -> None:
        def talk(server: Conversation) -> None:
            server.finish(
                server.expect("method"), result={"id": "a", "token": "t0ken", "tokenExpires": {"$date": 1 << 42}}
            )
            server.finish(server.expect("method"), result=1)
            server.expect("method")

        clock = SystemClock()
        with ScriptedServer(converse(talk)) as server:
            began = clock.now()
            words = ["call", "m", "-u", server.url, "--login", "alice", "--password-file", str(secret)]
            assert ddp(*words) == (0, "1\n", "")
            assert clock.now() - began < 3

    @pytest.mark.parametrize("kind", ["saved", "token"])
    def test_a_login_for_one_command_keeps_earlier_logins(
        self,
        ddp: Command,
        server: LoopbackServer,
        secret: Path,
        saved: Callable[[], list[Path]],
        tmp_path: Path,
        kind: str,
    ) -> None:
        ddp("login", "alice", "--password-file", str(secret))
        token = tmp_path / "token"
        token.write_text(json.loads(saved()[0].read_text())["token"])
        for _ in range(2):
            assert (
                ddp("call", "whoami", *(["--token-file", str(token)] if kind == "token" else [])).out == f'"{ALICE}"\n'
            )
        assert ddp("call", "whoami", "--login", "alice", "--password-file", str(secret)).out == f'"{ALICE}"\n'
        assert ddp("call", "whoami").out == f'"{ALICE}"\n'

    @pytest.mark.usefixtures("server")
    def test_no_frame_shows_a_secret(self, ddp: Command, secret: Path, saved: Callable[[], list[Path]]) -> None:
        shown = ddp("-d", "login", "alice", "--password-file", str(secret)).err
        shown += ddp("-d", "call", "whoami").err
        token = saved()[0].read_text().split('"token": "')[1].split('"')[0]
        assert '"login"' in shown
        assert token not in shown
        assert "wonderland" not in shown.replace(ALICE, "")

    def test_a_token_is_imported(self, ddp: Command, server: LoopbackServer, secret: Path, tmp_path: Path, saved: Callable[[], list[Path]]) -> None:  # fmt: skip
        ddp("login", "alice", "--password-file", str(secret))
        [file] = saved()
        token = tmp_path / "token"
        token.write_text(file.read_text().split('"token": "')[1].split('"')[0])
        file.unlink()
        # A token can be used by one command, or saved for all of them.
        assert ddp("call", "whoami", "--token-file", str(token)).out == f'"{ALICE}"\n'
        assert saved() == []
        assert ddp("login", "ann", "--token-file", str(token)).err.startswith("ddp: note: logged in as alice ")
        assert ddp("call", "whoami", "--login", "alice").out == f'"{ALICE}"\n'

    @pytest.mark.usefixtures("server")
    def test_a_token_comes_from_the_environment(
        self, ddp: Command, monkeypatch: pytest.MonkeyPatch, secret: Path, saved: Callable[[], list[Path]]
    ) -> None:
        ddp("login", "alice", "--password-file", str(secret))
        [file] = saved()
        monkeypatch.setenv("DDP_TOKEN", file.read_text().split('"token": "')[1].split('"')[0])
        file.unlink()
        assert ddp("call", "whoami").out == f'"{ALICE}"\n'
        monkeypatch.setenv("DDP_TOKEN", "earlier token")
        ran = ddp("call", "whoami")
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.startswith("ddp: error: the server rejected the token of $DDP_TOKEN: ")

    def test_a_login_without_encryption_shows_a_warning(
        self, ddp: Command, server: LoopbackServer, secret: Path
    ) -> None:
        with HTTPProxy(hosts={"ddp.invalid": ("127.0.0.1", server.port)}) as proxy:
            way = ["-u", "ddp.invalid", "--proxy", proxy.url]
            warning = "ddp: warning: ws://ddp.invalid/websocket is not encrypted: others on the network can take over the login"
            assert ddp("login", "alice", "--password-file", str(secret), *way).err.startswith(f"{warning}\nddp: note: ")
            assert ddp("call", "whoami", *way) == (0, f'"{ALICE}"\n', f"{warning}\n")
            assert ddp("call", "whoami", *way, "--no-login") == (0, "null\n", "")


class TestEnd:
    @pytest.mark.usefixtures("server")
    def test_a_login_that_the_server_has_ended_is_reported(
        self, ddp: Command, secret: Path, server: LoopbackServer
    ) -> None:
        ddp("login", "alice", "--password-file", str(secret))
        for user in server.server.accounts.users.find():
            server.server.accounts.users.update(str(user["_id"]), {"$set": {"services.resume.loginTokens": []}})
        ran = ddp("call", "whoami")
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.startswith(
            f"ddp: error: the server rejected the login of 'alice' saved for ws://127.0.0.1:{server.port}: You've been logged out"
        )
        assert ran.err.endswith("ddp: hint: log in again: ddp login alice\n")

    def test_an_expired_login_is_not_sent(
        self, ddp: Command, server: LoopbackServer, secret: Path, saved: Callable[[], list[Path]]
    ) -> None:
        ddp("login", "alice", "--password-file", str(secret))
        sessions = server.sessions
        _set_end(saved()[0], "2026-01-01T00:00:00+00:00")
        ran = ddp("call", "whoami")
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.startswith("ddp: error: the login of 'alice' saved for ")
        assert "has expired\nddp: hint: ddp login alice\n" in ran.err
        assert server.sessions == sessions

    @pytest.mark.usefixtures("server")
    def test_a_login_that_expires_soon_is_reported(
        self, ddp: Command, secret: Path, saved: Callable[[], list[Path]]
    ) -> None:
        from datetime import timedelta

        from ddpshell.clock import SystemClock

        ddp("login", "alice", "--password-file", str(secret))
        for left, word in ((timedelta(days=2, hours=1), "in 2 days"), (timedelta(hours=30, minutes=1), "in 30 hours")):
            _set_end(saved()[0], (SystemClock().wall() + left).isoformat())
            ran = ddp("call", "whoami")
            assert ran == (
                0, f'"{ALICE}"\n', f"ddp: note: the saved login of 'alice' expires {word}; to renew it: ddp login alice\n"
            )  # fmt: skip
        with Window("shell") as window:
            window.wait_for("expires in 30 hours; to renew it: `login alice`")
        _set_end(saved()[0], (SystemClock().wall() + timedelta(days=3, minutes=1)).isoformat())
        assert ddp("call", "whoami").err == ""


class TestTwoFactors:
    @pytest.fixture
    def url(self) -> Iterator[str]:
        with LoopbackServer(_server(bob=User("pw", id="b", code="123456"))) as server:
            yield server.url

    def test_a_code_comes_from_a_file(self, ddp: Command, url: str, tmp_path: Path) -> None:
        code = tmp_path / "code"
        code.write_text("123456\n")
        words = ["login", "bob", "-u", url, "--password-file", "-", "--code-file", str(code)]
        assert ddp(*words, stdin=b"pw").code == 0
        assert ddp("call", "whoami", "-u", url).out == '"b"\n'
        code.write_text("654321")
        ran = ddp(*words, stdin=b"pw")
        assert (ran.code, ran.out) == (4, "")
        assert "[invalid-2fa-code]" in ran.err

    def test_without_a_code_the_error_names_the_option_for_it(
        self, start: Callable[..., subprocess.Popen[str]], url: str, tmp_path: Path
    ) -> None:
        password = tmp_path / "password"
        password.write_text("pw")
        words = ["login", "bob", "-u", url, "--password-file", str(password)]
        ran = finished(start(*words, start_new_session=True))
        assert (ran.code, ran.out) == (4, "")
        assert "there is no terminal to ask at: One-time code\nddp: hint: --code-file" in ran.err

    def test_password_and_code_cannot_both_come_from_standard_input(self, ddp: Command, url: str) -> None:
        words = ["login", "bob", "-u", url, "--password-file", "-", "--code-file", "-"]
        assert ddp(*words, stdin=b"pw\n123456").code == 2

    def test_a_command_with_a_password_alone_reports_the_missing_code(self, ddp: Command, url: str) -> None:
        ran = ddp("call", "m", "-u", url, "--login", "bob", "--password-file", "-", stdin=b"pw")
        assert ran.code == 4
        assert "[no-2fa-code]" in ran.err


def rocket_chat(code: str = "123456") -> Server:
    """A stand-in whose logins need a second factor in Rocket.Chat's form (K35)."""
    server = Server()
    digest = hashlib.sha256(b"pw").hexdigest()

    @server.method
    def login(this: MethodInvocation, options: dict[str, Any]) -> dict[str, Any]:
        totp = options.get("totp")
        first = options if totp is None else totp["login"]
        if "resume" not in options:
            assert first["user"] == {"username": "bob"}
            if first["password"]["digest"] != digest:
                raise MethodError(403, "User not found")
            if totp is None:
                details = {"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]}
                raise MethodError("totp-required", "TOTP Required", details)
            if totp["code"] == "999999":
                raise MethodError("totp-max-attempts", "TOTP Maximun Failed Attempts Reached")
            if totp["code"] != code:
                raise MethodError("totp-invalid", "TOTP Invalid", {"method": "totp"})
            assert totp == {"code": code, "login": {"user": {"username": "bob"}, "password": first["password"]}}
        this.set_user_id("b")
        return {"id": "b", "token": "t" * 43, "tokenExpires": datetime(2099, 1, 1, tzinfo=UTC)}

    @server.method
    def whoami(this: MethodInvocation) -> str | None:
        return this.user_id

    return server


class TestRocketChat:
    """K35: Rocket.Chat has its own error codes, and the second login contains the first one."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        with LoopbackServer(rocket_chat()) as server:
            yield server.url

    def test_a_code_comes_from_a_file(self, ddp: Command, url: str, tmp_path: Path) -> None:
        code = tmp_path / "code"
        code.write_text("123456\n")
        words = ["login", "bob", "-u", url, "--password-file", "-", "--code-file", str(code)]
        ran = ddp(*words, "-d", stdin=b"pw")
        assert ran.code == 0
        assert "123456" not in ran.err
        assert ddp("call", "whoami", "-u", url).out == '"b"\n'

    @pytest.mark.parametrize(
        ("code", "error", "hint"),
        [
            pytest.param("654321", "TOTP Invalid [totp-invalid]", "the account has two factors", id="wrong"),
            pytest.param("999999", "Reached [totp-max-attempts]", "too many wrong codes", id="wrong too often"),
        ],
    )
    def test_a_wrong_code_is_reported(
        self, ddp: Command, url: str, tmp_path: Path, code: str, error: str, hint: str
    ) -> None:
        (tmp_path / "code").write_text(code)
        words = ["login", "bob", "-u", url, "--password-file", "-", "--code-file", str(tmp_path / "code")]
        ran = ddp(*words, stdin=b"pw")
        assert (ran.code, ran.out) == (4, "")
        assert error in ran.err
        assert f"hint: {hint}" in ran.err

    def test_a_wrong_password_does_not_ask_for_a_code(self, ddp: Command, url: str) -> None:
        ran = ddp("login", "bob", "-u", url, "--password-file", "-", stdin=b"no")
        assert ran.code == 4
        assert "[403]" in ran.err

    def test_a_command_with_a_password_alone_reports_the_missing_code(self, ddp: Command, url: str) -> None:
        ran = ddp("call", "m", "-u", url, "--login", "bob", "--password-file", "-", stdin=b"pw")
        assert ran.code == 4
        assert "[totp-required]" in ran.err
        assert "ddp login asks for the code" in ran.err

    def test_login_asks_for_the_code(self, ddp: Command, url: str) -> None:
        child = TestTerminal.spawn("login", "bob", "-u", url)
        for question, answer in (
            ("Password of bob at .*: ", "pw"),
            ("One-time code: ", "111111"),
            ("the server rejected this code: .*One-time code: ", "123 456"),
        ):
            child.expect(question)
            child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert ddp("call", "whoami", "-u", url).out == '"b"\n'


class TestTerminal:
    """Questions are asked at the terminal, also if standard input is something else."""

    @staticmethod
    def spawn(*words: str) -> pexpect.spawn[str]:
        return pexpect.spawn(
            sys.executable, ["-m", "ddpshell", *words], cwd=str(TOP), encoding="utf-8", timeout=PATIENCE
        )

    @pytest.mark.usefixtures("server")
    def test_user_and_password_are_asked_for_and_the_password_is_not_shown(self, ddp: Command) -> None:
        child = self.spawn("login")
        child.expect_exact("User: ")
        child.sendline("alice")
        child.expect("Password of alice at ws://127.0.0.1:[0-9]+/websocket: ")
        child.sendline("wonderland")
        child.expect(pexpect.EOF)
        child.close()
        assert child.before is not None
        assert "wonderland" not in child.before.replace(ALICE, "")
        assert f"logged in as alice ({ALICE})" in child.before
        assert child.exitstatus == 0
        assert ddp("call", "whoami").out == f'"{ALICE}"\n'

    def test_the_warning_of_a_missing_encryption_precedes_the_password(self) -> None:
        child = self.spawn("login", "alice", "-u", "ddp.invalid")
        child.expect_exact("Password of alice at ws://ddp.invalid/websocket: ")
        assert child.before is not None
        assert (
            "ws://ddp.invalid/websocket is not encrypted: others on the network can take over the login" in child.before
        )
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()

    def test_a_wrong_code_is_asked_for_again(self, ddp: Command) -> None:
        with LoopbackServer(_server(bob=User("pw", id="b", code="123456"))) as server:
            child = self.spawn("login", "bob", "-u", server.url)
            for question, answer in (
                ("Password of bob at .*: ", "pw"),
                ("One-time code: ", "111111"),
                ("the server rejected this code: .*One-time code: ", "123 456"),
            ):
                child.expect(question)
                child.sendline(answer)
            child.expect(pexpect.EOF)
            child.close()
            assert child.exitstatus == 0
            assert ddp("call", "whoami", "-u", server.url).out == '"b"\n'

    @pytest.mark.usefixtures("server")
    def test_ctrl_c_restores_the_modes_of_the_terminal(self) -> None:
        child = pexpect.spawn("sh", cwd=str(TOP), encoding="utf-8", timeout=PATIENCE)
        child.setecho(True)
        child.sendline(f"PS1='ready> '; {sys.executable} -m ddpshell login alice")
        child.expect("Password of alice at .*: ")
        child.sendintr()
        # Ctrl-C reaches the shell as well, which shows a new prompt.
        child.expect("ready> ")
        child.sendline("echo code $?")
        child.expect("code 130")
        child.sendline("stty -a | tr ' ' '\\n' | grep 'echo;\\?$'")
        child.expect("\r\n(-?echo);?\r\n")
        assert isinstance(child.match, re.Match)
        assert child.match[1] == "echo"
        child.close()

    @pytest.mark.usefixtures("server")
    def test_an_empty_answer_is_rejected(self) -> None:
        child = self.spawn("login", "alice")
        child.expect("Password of alice at .*: ")
        child.sendline("")
        child.expect("nothing was typed")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 4

    @pytest.mark.usefixtures("server")
    def test_without_a_terminal_the_error_names_the_option_for_the_password(
        self, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        ran = finished(start("login", "alice", start_new_session=True))
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.startswith("ddp: error: there is no terminal to ask at: Password of alice")
        assert ran.err.endswith(
            "ddp: hint: --password-file FILE reads the password from a file, - from standard input\n"
        )


class TestHome:
    @pytest.mark.usefixtures("server")
    def test_a_login_that_cannot_be_saved_is_ended(
        self, ddp: Command, monkeypatch: pytest.MonkeyPatch, secret: Path, server: LoopbackServer
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
        ran = ddp("login", "alice", "--password-file", str(secret))
        assert (ran.code, ran.out) == (7, "")
        assert ran.err.startswith("ddp: error: cannot save the login, so it was ended: ")
        [user] = server.server.accounts.users.find({"username": "alice"})
        assert user["services"]["resume"]["loginTokens"] == []

    @pytest.mark.parametrize("state", [None, "relative/state"])
    def test_files_are_written_only_into_the_folders_of_ddp(
        self, server: LoopbackServer, home: Path, tmp_path: Path, secret: Path, state: str | None
    ) -> None:
        """The specification says to ignore relative paths."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        environment |= {"PYTHONPATH": str(TOP), "DDP_URL": server.url}
        if state is not None:
            environment |= {"XDG_STATE_HOME": state, "XDG_CONFIG_HOME": state, "XDG_CACHE_HOME": state}
        work = tmp_path / "work"
        work.mkdir()
        for words in (
            ["login", "alice", "--password-file", str(secret)],
            ["call", "upper", "x"],
            ["sub", "tasks", "-d"],
            ["run"],
            ["config"],
            ["demo", "call", "upper", "x"],
            ["completion", "bash"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "ddpshell", *words], cwd=work, env=environment, input="call upper x\n",
                capture_output=True, text=True, check=True, timeout=PATIENCE,
            )  # fmt: skip
            assert done.stdout or words[0] == "login"
        written = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
        assert [re.sub("[0-9a-f]{32}", "HASH", path) for path in written] == [".local/state/ddpshell/logins/HASH.json"]
        assert list(work.iterdir()) == []

    @pytest.mark.usefixtures("server")
    def test_without_a_home_commands_work(self, ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", "/nowhere")
        assert ddp("call", "upper", "x") == (0, '"X"\n', "")


def test_a_server_without_accounts_is_reported(ddp: Command) -> None:
    with LoopbackServer(Server()) as server:
        ran = ddp("login", "ann", "-u", server.url, "--password-file", "-", stdin=b"pw")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == "ddp: error: this server does not support logins: it has no accounts\n"


def test_calls_after_a_lost_connection_have_the_same_user(ddp: Command, secret: Path) -> None:
    """A call is sent again only as the same user."""

    def first(server: Conversation) -> None:
        server.finish(server.expect("method"), result={"id": "x", "token": "t"})
        server.expect("method")
        server.drop()

    def second(server: Conversation) -> None:
        login = server.expect("method")
        assert (login["method"], login["params"]) == ("login", [{"resume": "t"}])
        server.finish(login, error={"error": 403, "reason": "logged out"})
        server.wait_closed()

    with ScriptedServer(converse(first), converse(second, "another-session")) as server:
        words = ["call", "m", "-u", server.url, "--reconnect", "--login", "alice", "--password-file", str(secret)]
        ran = ddp(*words)
    # The method may have run when it was sent first, as the right user.
    assert (ran.code, ran.out) == (6, "")
    assert "outcome of 'm' unknown" in ran.err


@pytest.mark.parametrize(
    ("words", "stdin", "code"),
    [
        pytest.param(["sub", "p", "--follow"], b"", 4, id="sub"),
        pytest.param(["sub", "p", "--until", "{}"], b"", 4, id="sub --until"),
        pytest.param(["run", "--keep-going"], b"call m\ncall other\n", 6, id="run"),
        pytest.param(["batch"], b'{"method": "m"}\n{"method": "other"}\n', None, id="batch"),
    ],
)
def test_requests_of_a_user_are_not_sent_without_the_login(
    ddp: Command, secret: Path, words: list[str], stdin: bytes, code: int | None
) -> None:
    """A54: neither the earlier requests nor later ones are sent."""

    def first(server: Conversation) -> None:
        server.finish(server.expect("method"), result={"id": "x", "token": "t"})
        server.expect("sub" if words[0] == "sub" else "method")
        server.drop()

    def second(server: Conversation) -> None:
        server.finish(server.expect("method"), error={"error": 403, "reason": "logged out"})
        server.wait_closed()

    with ScriptedServer(converse(first), converse(second, "another-session")) as server:
        user = ["--login", "alice", "--password-file", str(secret)]
        ran = ddp(*words, "-u", server.url, "--reconnect", *user, stdin=stdin)
        methods = [json.loads(text).get("method") for text in server.conversations[1].received]
    assert ran.code == code or (code is None and ran.code != 0)
    assert "logged out" in ran.out + ran.err
    assert "m" not in methods
    assert "other" not in methods


def test_a_real_meteor_server_accepts_logins_and_logouts(ddp: Command, meteor_server: MeteorServer) -> None:
    url = ["-u", meteor_server.url]
    assert ddp("login", "alice@example.com", *url, "--password-file", "-", stdin=b"wonderland").code == 0
    user_id = ddp("call", "whoami", *url).out
    assert user_id != "null\n"
    assert ddp("whoami", *url).out.startswith(f'{{"id":{user_id.strip()},"username":"alice","emails":[')
    assert ddp("logout", *url).code == 0
    assert ddp("whoami", *url).code == 4
    ran = ddp("login", "alice", *url, "--password-file", "-", stdin=b"wrong")
    assert ran.code == 4
    assert "[403]" in ran.err


def _server(**users: User) -> Server:
    """A server for these users, with a method that returns the user of the connection."""
    server = Server(users=users)

    @server.method
    def whoami(this: MethodInvocation) -> object:
        return this.user_id

    return server


def _set_end(file: Path, end: str) -> None:
    before, _, rest = file.read_text().partition('"expires": "')
    file.write_text(f'{before}"expires": "{end}{rest[rest.index(chr(34)) :]}')


class TestBrokenStore:
    """An unreadable login is an error; commands do not run without a login instead."""

    @pytest.mark.usefixtures("server")
    @pytest.mark.parametrize(
        "prepare",
        [
            pytest.param(lambda folder, file: file.write_text("{"), id="an incomplete file"),
            pytest.param(lambda folder, file: file.write_text("[]"), id="another shape"),
            pytest.param(lambda folder, file: file.write_bytes(b""), id="an empty file"),
            pytest.param(lambda folder, file: file.unlink() or file.mkdir(), id="a folder in place of a file"),
            pytest.param(lambda folder, file: file.unlink() or folder.rmdir() or folder.touch(), id="a file in place of the folder"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "words",
        [["call", "upper", "x"], ["sub", "tasks"], ["batch"], ["run"], ["whoami"], ["logout"], ["call", "upper", "x", "--login", "alice"]],
        ids=" ".join,
    )  # fmt: skip
    def test_commands_end_with_4_if_the_login_is_unreadable(
        self,
        ddp: Command,
        secret: Path,
        saved: Callable[[], list[Path]],
        words: list[str],
        prepare: Callable[[Path, Path], object],
    ) -> None:
        assert ddp("login", "alice", "--password-file", str(secret)).code == 0
        [file] = saved()
        prepare(file.parent, file)
        ran = ddp(*words, stdin=b'{"method": "upper", "params": ["x"]}\n')
        assert (ran.code, ran.out) == (4, "")
        assert f"{file.parent}" in ran.err
        # --no-login does not read the file.
        assert ddp("call", "upper", "x", "--no-login") == (0, '"X"\n', "")

    @pytest.mark.usefixtures("server")
    def test_the_next_login_repairs_it(self, ddp: Command, secret: Path, saved: Callable[[], list[Path]]) -> None:
        assert ddp("login", "alice", "--password-file", str(secret)).code == 0
        [file] = saved()
        file.write_text("{")
        assert ddp("config").code == 0
        ran = ddp("call", "upper", "x")
        assert "ddp: hint: ddp login USER saves a new login; --no-login ignores saved logins" in ran.err
        assert ddp("login", "alice", "--password-file", str(secret)).code == 0
        assert ddp("call", "upper", "x") == (0, '"X"\n', "")

    @pytest.mark.usefixtures("server")
    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")
    def test_the_files_of_another_user_are_not_silently_ignored(
        self, ddp: Command, server: LoopbackServer, secret: Path
    ) -> None:
        """Only the owner can read the home folder, because pytest creates it so."""
        assert ddp("login", "alice", "--password-file", str(secret)).code == 0
        # The other user may not be able to read the checkout and the standard library, so everything is loaded before.
        code = (
            "import importlib, os, pkgutil, shlex, sys, textwrap, traceback, ddpshell\n"
            "for module in pkgutil.walk_packages(ddpshell.__path__, 'ddpshell.'):\n"
            "    module.name.endswith(('__main__', '.locust')) or importlib.import_module(module.name)\n"
            "from ddpshell.cli.main import main\n"
            "sys.argv[1:] = ['call', 'upper', 'x']\n"
            "os.setuid(65534)\n"
            "main()\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(TOP), "DDP_URL": server.url},
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout) == (4, ""), ran.stderr
        assert "cannot be read" in ran.stderr
        assert "Permission denied" in ran.stderr


def test_the_saved_logins_are_listed_without_asking_a_server(ddp: Command, server: LoopbackServer) -> None:
    assert ddp("login", "--list") == (0, "", "ddp: note: there are no saved logins\n")
    server.server.accounts.add("bob", "builder")
    for user, password in (("bob", b"builder"), ("alice", b"wonderland")):
        assert ddp("login", user, "--password-file", "-", stdin=password).code == 0
    address = f"ws://127.0.0.1:{server.port}"
    ran = ddp("login", "--list")
    logins = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.code, ran.err) == (0, "")
    assert [(login["user"], login["server"], login["expired"]) for login in logins] == [
        ("bob", address, False), ("alice", address, False)
    ]  # fmt: skip
    assert "token" not in ran.out
    rows = ddp("login", "--list", "-o", "pretty", "-u", server.url).out.splitlines()
    assert rows[0].startswith(f"bob    {address}  until 20")
    assert rows[1].startswith(f"alice  {address}  until 20")
    assert ddp("login", "--list", "-u", "other:1").err == "ddp: note: there are no saved logins for ws://other:1\n"
    assert ddp("login", "ann", "--list").code == 2
