"""If a connection fails for any reason, the command ends in time, with the right code, one line and a hint."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from ddpshell.clock import SystemClock
from ddpshell.server.demo import demo_server
from tests.cli.conftest import Command, finished
from tests.loopback import (
    PATIENCE,
    Conversation,
    LoopbackServer,
    ScriptedServer,
    accept_then_close,
    converse,
    http_answer,
    refuse_version,
    silent_tcp,
    silent_websocket,
)
from tests.machine import TOP, unavailable
from tests.meteor import MeteorServer
from tests.proxies import HTTPProxy, Proxy, SOCKSProxy


def garbage(server: Conversation) -> None:
    """Answer the upgrade, and then send bytes that are not a WebSocket frame."""
    server.upgrade()
    server.expect("connect")
    server.expect("method")
    server.send_bytes(b"\xff" * 64)
    server.hold()


def close_early(server: Conversation) -> None:
    """Close the connection after the first messages, instead of sending `connected`."""
    server.upgrade()
    server.expect("connect")
    server.expect("method")
    server.close(4001, "go away")


def no_http(server: Conversation) -> None:
    """Answer in a protocol that is not HTTP."""
    server.send_bytes(b"220 mail.example.com ESMTP\r\n")
    server.hold()


@pytest.mark.parametrize(
    ("script", "code", "line"),
    [
        pytest.param(http_answer(200, "OK", "<html>"), 3, "HTTP 200 OK: <html>", id="a web page"),
        pytest.param(http_answer(404, "Not Found", "no such \x1b[2J app"), 3, "HTTP 404 Not Found: no such \\x1b[2J app", id="404"),
        pytest.param(http_answer(503, "Busy"), 3, "HTTP 503 Busy", id="503"),
        pytest.param(http_answer(301, "Moved", Location="https://example.com"), 3, "HTTP 301", id="a redirect"),
        pytest.param(no_http, 3, "is not a WebSocket server", id="not HTTP"),
        pytest.param(silent_tcp, 3, "did not answer the upgrade in time", id="a silent port"),
        pytest.param(silent_websocket, 6, "did not send `connected` in time", id="C6, C8: a silent WebSocket"),
        pytest.param(close_early, 6, "closed the connection (code 4001: go away)", id="C6: closed before `connected`"),
        pytest.param(refuse_version("0"), 3, "version negotiation failed; server requested version 0", id="C4: a version refused"),
        pytest.param(garbage, 6, "invalid WebSocket frame", id="C6: garbage"),
    ],
)  # fmt: skip
def test_a_failed_connection_is_reported_in_one_line_with_a_hint(
    ddp: Command, script: Callable[[Conversation], object], code: int, line: str
) -> None:
    clock = SystemClock()
    began = clock.now()
    with ScriptedServer(script) as server:
        ran = ddp("call", "--connect-timeout", "0.3", "-u", server.url, "m")
        took = clock.now() - began
    assert (ran.code, ran.out) == (code, "")
    first, *hints = ran.err.splitlines()
    assert first.startswith("ddp: error: ")
    assert line in first
    assert [hint.startswith("ddp: hint: ") for hint in hints] == [True]
    assert took < 1.3


def going(server: Conversation) -> None:
    """Close the connection with a code and a reason at the first request."""
    server.establish()
    while server.receive()["msg"] not in ("method", "sub", "ping"):
        pass
    server.close(4001, "go \x1b away")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["call", "upper", "x"], id="call"),
        pytest.param(["call", "upper", "x", "--no-retry", "--reconnect"], id="a call that is not sent again"),
        pytest.param(["call", "upper", "x", "-o", "json"], id="JSON"),
        pytest.param(["batch"], id="batch"),
        pytest.param(["run"], id="run"),
        pytest.param(["ping", "-c", "1"], id="ping"),
        pytest.param(["sub", "tasks"], id="sub"),
        pytest.param(["sub", "tasks", "--follow"], id="sub --follow"),
        pytest.param(["login", "ann", "--password-file", "PASSWORD"], id="login"),
    ],
)
def test_the_code_and_the_reason_of_a_close_frame_are_quoted(ddp: Command, tmp_path: Path, words: list[str]) -> None:
    """U22: Meteor always sends code 1000. Another code comes from a proxy or another kind of server, and tells the cause."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    words = [str(password) if word == "PASSWORD" else word for word in words]
    script = {"batch": b'["upper", "x"]\n', "run": b"sub tasks\nwait\n"}.get(words[0], b"")
    with ScriptedServer(going) as server:
        ran = ddp(*words, "-u", server.url, stdin=script)
    assert ran.code == 6
    assert "the server closed the connection (code 4001: go " in ran.err + ran.out
    assert "\x1b" not in ran.err + ran.out


def compressing(server: Conversation) -> None:
    """Agree to an extension that was not offered."""
    server.upgrade({"Sec-WebSocket-Extensions": "permessage-deflate"})
    server.wait_closed()


def test_nothing_is_sent_to_a_server_that_breaks_the_handshake(ddp: Command) -> None:
    """RFC 6455, section 4.1: the client must fail such a connection."""
    with ScriptedServer(compressing) as server:
        ran = ddp("call", "upper", "x", "-u", server.url, "--reconnect")
        assert server.conversations[0].received == []
    assert ran.code == 3
    assert "selected the WebSocket extension 'permessage-deflate', which was not offered" in ran.err


@pytest.mark.parametrize("script", [silent_tcp, silent_websocket])
def test_the_timeout_of_the_command_includes_the_connection(
    ddp: Command, script: Callable[[Conversation], object]
) -> None:
    clock = SystemClock()
    began = clock.now()
    with ScriptedServer(script) as server:
        ran = ddp("call", "--timeout", "0.2", "-u", server.url, "m")
        took = clock.now() - began
        assert ran.err.startswith(f"ddp: error: no connection to {server.url} within 0.2 s")
    assert (ran.code, ran.out) == (5, "")
    assert took < 1.2


@pytest.mark.parametrize("seconds", ["3000000", "1e10", "1e300"])
def test_any_number_of_seconds_is_a_limit(ddp: Command, server: LoopbackServer, tmp_path: Path, seconds: str) -> None:
    """Waiting functions of the system have limits; 3,000,000 s are more than 2^31 ms."""
    limits = ("--timeout", seconds, "--connect-timeout", seconds, "-u", server.url)
    assert ddp("call", *limits, "upper", "x") == (0, '"X"\n', "")
    assert ddp("call", *limits, "upper", "-", stdin=b"x") == (0, '"X"\n', "")
    assert ddp("sub", *limits, "tasks", "--until", "{}").code == 0
    assert ddp("ping", *limits, "-c", "2", "-i", "0", "-W", seconds).code == 0
    assert ddp("batch", *limits, stdin=b'["upper", "x"]').out == '{"line":1,"result":"X"}\n'
    script = f"call upper x\nwait --timeout {seconds}\n".encode()
    assert ddp("run", *limits, stdin=script) == (0, '"X"\n', "")


def test_repeated_attempts_to_connect_end_at_the_timeout(ddp: Command) -> None:
    with ScriptedServer(accept_then_close) as server:
        ran = ddp("call", "--reconnect", "--timeout", "0.3", "-u", server.url, "m")
    assert ran.code == 5
    assert "closed the connection" in ran.err.splitlines()[-2]


def test_frames_that_are_not_ddp_are_ignored(ddp: Command) -> None:
    def talk(server: Conversation) -> None:
        for text in ("", "rubbish", "[]", '"x"', "{}", '{"msg":"unheard of"}', '{"server_id":"0"}', "[" * 10_000):
            server.send_text(text)
        server.finish(server.expect("method"), result=1)

    with ScriptedServer(converse(talk)) as server:
        assert ddp("call", "-qq", "-u", server.url, "m") == (0, "1\n", "")


@pytest.mark.parametrize("connected", ['{"msg":"connected"}', '{"msg":"connected","session":7}'])
def test_greetings_and_sessions_of_other_servers_cause_no_warning(ddp: Command, connected: str) -> None:
    """C9, C71, U23: an unknown message is reported as a note, and only with `-v`."""

    def talk(server: Conversation) -> None:
        server.upgrade()
        server.send_text('{"msg":"server_id","server_id":"0"}')
        server.expect("connect")
        server.send_text(connected)
        server.send_text('{"msg":"unheard of"}')
        server.finish(server.expect("method"), result=1)

    with ScriptedServer(talk, talk) as server:
        assert ddp("call", "-u", server.url, "m") == (0, "1\n", "")
        ran = ddp("call", "-v", "-u", server.url, "m")
    assert "ddp: note: connected: new session without an id, " in ran.err
    assert "ddp: note: ignored a message from the server: unknown message 'unheard of'" in ran.err
    assert "server_id" not in ran.err
    assert "warning" not in ran.err


def test_a_server_that_suggests_versions_in_turn_is_rejected(ddp: Command) -> None:
    """C4: a version that the client proposed once is not proposed again."""
    with ScriptedServer(*map(refuse_version, ("pre1", "pre2", "pre1"))) as server:
        ran = ddp("call", "-u", server.url, "m")
    assert (ran.code, ran.out) == (3, "")
    assert "version negotiation failed; server requested version pre1" in ran.err


def test_a_closed_port_is_reported(ddp: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ran = ddp("call", "-u", f"127.0.0.1:{port}", "m")
    assert ran[:2] == (3, "")
    assert ran.err == (
        f"ddp: error: 127.0.0.1:{port} refused the connection\nddp: hint: is the server running there? "
        f"Find the cause: ddp doctor 127.0.0.1:{port}\n"
    )


@pytest.mark.parametrize("words", [["call", "upper", "x"], ["run", "-"], ["batch"], ["sub", "tasks", "--count"]])
def test_a_server_that_starts_later_is_waited_for(
    start: Callable[..., subprocess.Popen[str]], words: list[str]
) -> None:
    """The time is not part of --timeout, and nothing is recorded or sent before the server starts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stdin = {"run": "call upper x\n", "batch": '["upper", "x"]\n'}.get(words[0], "")
    process = start(
        *words, "-u", f"127.0.0.1:{port}", "--wait-for-server", "60", "--timeout", "30", stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    note = process.stderr.readline()
    assert note == f"ddp: note: waiting for the server: 127.0.0.1:{port} refused the connection\n"
    server = demo_server()
    server.start("127.0.0.1", port)
    try:
        ran = finished(process)
    finally:
        server.stop()
    assert ran.code == 0
    assert ran.out in ('"X"\n', '{"line":1,"result":"X"}\n', "3\n")


def test_a_server_that_does_not_start_in_time_is_reported(ddp: Command) -> None:
    ran = ddp("call", "m", "-u", "127.0.0.1:1", "--wait-for-server", "0.1", "--timeout", "0.01")
    assert (ran.code, ran.err.splitlines()[:2]) == (
        3,
        [
            "ddp: note: waiting for the server: 127.0.0.1:1 refused the connection",
            "ddp: error: 127.0.0.1:1 refused the connection",
        ],
    )


def test_a_permanent_failure_is_not_retried_by_wait_for_server(ddp: Command) -> None:
    with ScriptedServer(http_answer(404, "Not Found")) as server:
        ran = ddp("call", "m", "-u", server.url, "--wait-for-server", "60")
    assert (ran.code, ran.err.count("waiting")) == (3, 0)


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (["call", "m"], ""),
        (["ping"], ""),
        (["sub", "tasks"], ""),
        (["batch"], '["m"]\n'),
        (["run"], "call m\n"),
        ([], "call m\n"),
        (["login", "ann", "--password-file", "FILE"], ""),
        (["call", "m", "--timeout", "0.001", "--reconnect"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_connection_error_ends_with_the_doctor_command_for_its_server(
    ddp: Command, tmp_path: Path, words: list[str], script: str
) -> None:
    """The command has the options that affect the connection, but no secrets."""
    (tmp_path / "password").write_text("secret\n")
    words = [str(tmp_path / "password") if word == "FILE" else word for word in words]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://ann:secret@127.0.0.1:{port}/x"
    ran = ddp(*words, "-u", url, "--ipv4", "--servername", "a b", "-H", "X-Key: secret", stdin=script.encode())
    hint = next(line for line in reversed(ran.err.splitlines()) if line.startswith("ddp: hint: "))
    command = f"ddp doctor --servername 'a b' --ipv4 'http://***@127.0.0.1:{port}/x'"
    assert hint.lower().endswith(f"find the cause: {command}")
    assert "secret" not in ran.err


def test_the_doctor_command_names_the_server_as_the_user_did(
    ddp: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = home / "config/ddpshell/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[servers.prod]\nurl = "127.0.0.1:{port}"\n')
    assert ddp("-p", "prod", "call", "m").err.endswith("ddp doctor -p prod\n")
    monkeypatch.setenv("DDP_URL", f"ws://127.0.0.1:{port}/here")
    assert ddp("call", "m").err.endswith(f"ddp doctor ws://127.0.0.1:{port}/here\n")


def test_the_doctor_is_suggested_for_a_refused_version_but_not_for_a_slow_method(ddp: Command) -> None:
    with ScriptedServer(refuse_version("9")) as other:
        assert ddp("call", "m", "-u", other.url).err.endswith(f"ddp doctor {other.url}\n")
    with ScriptedServer(converse(lambda conversation: conversation.wait_closed())) as other:
        ran = ddp("call", "m", "--timeout", "1", "-u", other.url)
    assert (ran.code, "doctor" in ran.err) == (5, False)


def test_the_error_explains_u_if_the_user_named_no_server(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("DDP_URL", f"127.0.0.1:{listener.getsockname()[1]}")
    assert "(use -u URL for another server)" in ddp("call", "m").err


def test_an_unknown_host_is_reported(ddp: Command) -> None:
    ran = ddp("call", "-u", "nowhere.invalid", "m")
    assert ran.code == 3
    assert ran.err.startswith("ddp: error: cannot find the host 'nowhere.invalid'")


def test_a_silent_name_server_is_given_up_in_time(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def silent(*arguments: object) -> None:
        over.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    clock = SystemClock()
    began = clock.now()
    try:
        ran = ddp("call", "-u", "slow.test", "--connect-timeout", "0.2", "m")
        took = clock.now() - began
    finally:
        over.set()
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("ddp: error: cannot find the host 'slow.test': no answer in time\n")
    assert took < 1.2


def test_errors_are_objects_for_programs(ddp: Command) -> None:
    with ScriptedServer(http_answer(404, "Not Found")) as server:
        ran = ddp("call", "-o", "json", "-u", server.url, "m")
    assert ran.code == 3
    assert ran.err.startswith('{"error":"connect","reason":"')
    assert '"details":{"status":404,"hint":"' in ran.err
    assert ran.err.endswith('},"kind":"connect"}\n')
    assert ran.err.count("\n") == 1


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> ssl.SSLContext:
    """The TLS context of a server with a certificate for ddp.example.com."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("ddp.example.com").configure_cert(context)
    return context


class TestTLS:
    @staticmethod
    def answer(server: Conversation) -> None:
        server.finish(server.expect("method"), result=1)

    def test_a_certificate_of_an_unknown_authority_is_rejected(self, ddp: Command, secure: ssl.SSLContext) -> None:
        with ScriptedServer(converse(self.answer), tls=secure) as server:
            ran = ddp("call", "-u", server.url, "m")
        assert (ran.code, ran.out) == (3, "")
        assert "is not trusted" in ran.err
        assert "--cacert" in ran.err

    def test_the_authority_and_the_expected_name_can_be_set(
        self, ddp: Command, secure: ssl.SSLContext, authority: trustme.CA
    ) -> None:
        with authority.cert_pem.tempfile() as file, ScriptedServer(converse(self.answer), tls=secure) as server:
            words = ["call", "-u", server.url, "--cacert", file, "m"]
            assert ddp(*words).code == 3
            assert ddp(*words, "--servername", "ddp.example.com") == (0, "1\n", "")

    def test_insecure_accepts_any_certificate_with_a_warning(self, ddp: Command, secure: ssl.SSLContext) -> None:
        with ScriptedServer(converse(self.answer), tls=secure) as server:
            ran = ddp("call", "-u", server.url, "--insecure", "m")
        assert (ran.code, ran.out) == (0, "1\n")
        assert (
            ran.err
            == "ddp: warning: --insecure: the server's certificate is not checked, so another server could pose as this one\n"
        )

    def test_insecure_is_not_saved_with_a_login(self, ddp: Command, secure: ssl.SSLContext) -> None:
        def talk(server: Conversation) -> None:
            login = {"id": "a", "token": "t0ken", "tokenExpires": {"$date": 1 << 42}}
            server.finish(server.expect("method"), result=login)

        with ScriptedServer(converse(talk), tls=secure) as server:
            words = ["-u", server.url]
            assert ddp("login", "ann", "--insecure", "--password-file", "-", *words, stdin=b"x").code == 0
            ran = ddp("call", "m", *words)
        assert (ran.code, ran.out) == (3, "")
        assert "is not trusted" in ran.err

    def test_the_client_certificate_is_sent_to_a_server_that_asks(
        self, ddp: Command, secure: ssl.SSLContext, authority: trustme.CA
    ) -> None:
        authority.configure_trust(secure)
        secure.verify_mode = ssl.CERT_REQUIRED
        ours = authority.issue_cert("client.example.com")
        with (
            ours.cert_chain_pems[0].tempfile() as cert,
            ours.private_key_pem.tempfile() as key,
            ScriptedServer(converse(self.answer), tls=secure) as server,
        ):
            words = ["call", "-qq", "--insecure", "-u", server.url, "m"]
            assert ddp(*words).code == 3
            assert ddp(*words, "--cert", cert, "--key", key) == (0, "1\n", "")

    @pytest.fixture
    def demanding(self, secure: ssl.SSLContext, authority: trustme.CA, tmp_path: Path) -> list[str]:
        """Make the server require a certificate, and return options for one whose key has a passphrase."""
        authority.configure_trust(secure)
        secure.verify_mode = ssl.CERT_REQUIRED
        ours = authority.issue_cert("client.example.com")
        cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        ours.cert_chain_pems[0].write_to_path(cert)
        private = serialization.load_pem_private_key(ours.private_key_pem.bytes(), None)
        key.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"open sesame"),
            )
        )
        return ["-qq", "--insecure", "--cert", str(cert), "--key", str(key)]

    def test_the_passphrase_of_a_key_comes_from_a_file_or_standard_input(
        self, ddp: Command, secure: ssl.SSLContext, demanding: list[str], tmp_path: Path
    ) -> None:
        file = tmp_path / "passphrase"
        file.write_text("open sesame\n")
        with ScriptedServer(converse(self.answer), tls=secure) as server:
            words = ["call", "m", "-u", server.url, *demanding, "--passphrase-file"]
            assert ddp(*words, str(file)) == (0, "1\n", "")
            assert ddp(*words, "-", stdin=b"open sesame\n") == (0, "1\n", "")
            ran = ddp(*words, "-", stdin=b"open barley\n")
        assert (ran.code, ran.out) == (2, "")
        assert "cannot use the certificate files" in ran.err
        assert "barley" not in ran.err

    @pytest.mark.parametrize("words", [["call", "m"], ["shell"]])
    def test_the_passphrase_of_a_key_is_asked_for_at_a_terminal(
        self,
        start: Callable[..., subprocess.Popen[str]],
        secure: ssl.SSLContext,
        demanding: list[str],
        words: list[str],
    ) -> None:
        with ScriptedServer(converse(self.answer), tls=secure) as server:
            options = [*words, "-u", server.url, *demanding]
            child = pexpect.spawn(
                sys.executable, ["-m", "ddpshell", *options], cwd=str(TOP), encoding="utf-8", timeout=PATIENCE,
                env={**os.environ, "TERM": "dumb"},
            )  # fmt: skip
            child.expect("Passphrase of .*key.pem: ")
            child.sendline("open sesame")
            if words == ["shell"]:
                child.expect("127.0.0.1:[0-9]+> ")
                child.sendline("call m")
                child.expect(r"\[1\] 1")
                child.sendline("exit")
            child.expect(pexpect.EOF)
            assert child.before is not None
            assert "sesame" not in child.before
            child.close()
            assert child.exitstatus == 0
            # Without a terminal, the error says that the passphrase cannot be asked for.
            ran = finished(start("call", "m", "-u", server.url, *demanding, start_new_session=True))
        assert ran.code == 4
        assert "there is no terminal to ask at: Passphrase of " in ran.err

    def test_the_systems_authorities_can_be_named_by_a_variable(
        self, ddp: Command, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with authority.cert_pem.tempfile() as file, ScriptedServer(converse(self.answer), tls=context) as server:
            monkeypatch.setenv("SSL_CERT_FILE", file)
            assert ddp("call", "-u", server.url, "m") == (0, "1\n", "")
            monkeypatch.delenv("SSL_CERT_FILE")
            assert ddp("call", "-u", server.url, "m").code == 3

    @pytest.mark.parametrize("path", ["/nowhere", "/"])
    def test_a_variable_that_names_a_missing_file_is_reported_before_connecting(
        self, ddp: Command, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        ran = ddp("call", "-u", "wss://127.0.0.1:1", "m")
        assert ran.code == 2
        assert ran.err.startswith(f"ddp: error: $SSL_CERT_FILE names {path!r}, which cannot be read: ")
        # The variable is checked only if it would be used.
        for words in (["-u", "ws://127.0.0.1:1"], ["-u", "wss://127.0.0.1:1", "--insecure"]):
            assert ddp("call", *words, "m").code == 3

    def test_a_certificate_without_its_key_is_reported_before_connecting(
        self, ddp: Command, authority: trustme.CA
    ) -> None:
        ours = authority.issue_cert("client.example.com")
        with ours.cert_chain_pems[0].tempfile() as cert, ours.private_key_and_cert_chain_pem.tempfile() as both:
            ran = ddp("call", "-u", "wss://127.0.0.1:1", "--cert", cert, "m")
            assert ddp("call", "-u", "wss://127.0.0.1:1", "--cert", both, "m").code == 3
            # The missing key is reported without TLS as well.
            assert ddp("call", "-u", "127.0.0.1:1", "--cert", cert, "m").code == 2
        assert (ran.code, ran.err) == (
            2, f"ddp: error: {cert} has no private key; name its file too: --cert {cert} --key FILE\n"
        )  # fmt: skip

    def test_a_server_with_tls_at_a_url_without_tls_is_reported(self, ddp: Command, secure: ssl.SSLContext) -> None:
        with ScriptedServer(converse(self.answer), tls=secure) as server:
            ran = ddp("call", "-u", f"ws://127.0.0.1:{server.port}", "m")
        assert (ran.code, ran.out) == (3, "")
        assert "wss: or https:" in ran.err

    def test_a_server_without_tls_is_reported(self, ddp: Command, server: LoopbackServer) -> None:
        ran = ddp("call", "-u", f"wss://127.0.0.1:{server.port}", "m")
        assert ran.code == 3
        assert ran.err.startswith("ddp: error: no TLS with ")

    def test_a_certificate_file_without_a_certificate_is_reported(self, ddp: Command, secure: ssl.SSLContext) -> None:
        with ScriptedServer(converse(self.answer), tls=secure) as server:
            ran = ddp("call", "-u", server.url, "--cacert", __file__, "m")
        assert ran.code == 2
        assert "cannot use the certificate files" in ran.err
        assert "ddp doctor" not in ran.err


class TestProxy:
    @pytest.fixture(params=[HTTPProxy, SOCKSProxy], ids=["HTTP", "SOCKS5"])
    def proxy(self, request: pytest.FixtureRequest, server: LoopbackServer) -> Iterator[Proxy]:
        """A proxy that knows the host ddp.invalid, with and without credentials."""
        with request.param("ann", "hunter2", hosts={"ddp.invalid": ("127.0.0.1", server.port)}) as proxy:
            yield proxy

    def test_a_call_goes_through_the_named_proxy(self, ddp: Command, proxy: Proxy) -> None:
        assert ddp("call", "-qq", "-u", "ddp.invalid", "--proxy", proxy.url, "upper", "x") == (0, '"X"\n', "")
        assert proxy.targets == [("ddp.invalid", 80)]

    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
    def test_a_call_goes_through_the_proxy_of_the_environment(
        self, ddp: Command, monkeypatch: pytest.MonkeyPatch, proxy: Proxy, variable: str
    ) -> None:
        monkeypatch.setenv(variable, proxy.url)
        assert ddp("call", "-u", "ddp.invalid", "upper", "x") == (0, '"X"\n', "")
        for words in (["--no-proxy"], ["-u", "ddp.invalid:81"]):
            monkeypatch.setenv("NO_PROXY", ".invalid:81")
            ran = ddp("call", "-u", "ddp.invalid", *words, "upper", "x")
            assert (ran.code, ran.out) == (3, "")
            assert "cannot find the host 'ddp.invalid'" in ran.err
        assert len(proxy.targets) == 1

    @pytest.mark.parametrize(
        ("listed", "goes_through"),
        [
            pytest.param("", True, id="an empty list"),
            pytest.param("*", False, id="a star"),
            pytest.param("example.invalid", False, id="the parent domain"),
            pytest.param(".example.invalid", False, id="the parent domain, after a dot"),
            pytest.param("other.invalid, example.invalid", False, id="a domain in a list"),
            pytest.param("ample.invalid", True, id="the end of a domain"),
            pytest.param(".ample.invalid", True, id="the end of a domain, after a dot"),
            pytest.param("www.example.invalid:3000", False, id="the same port"),
            pytest.param("www.example.invalid:3001", True, id="another port"),
            pytest.param("10.0.0.0/8", True, id="a network"),
        ],
    )
    @pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
    def test_hosts_in_no_proxy_are_reached_without_a_proxy(
        self, ddp: Command, monkeypatch: pytest.MonkeyPatch, server: LoopbackServer, variable: str, listed: str,
        *, goes_through: bool,
    ) -> None:  # fmt: skip
        with HTTPProxy(hosts={"www.example.invalid": ("127.0.0.1", server.port)}) as proxy:
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            monkeypatch.setenv(variable, listed)
            ran = ddp("call", "-u", "www.example.invalid:3000", "upper", "x")
        assert ran.code == (0 if goes_through else 3)
        assert proxy.targets == ([("www.example.invalid", 3000)] if goes_through else [])

    def test_a_real_meteor_server_is_reached_through_a_proxy(
        self, ddp: Command, meteor_server: MeteorServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with HTTPProxy("ann", "hunter2", hosts={"meteor.invalid": ("127.0.0.1", meteor_server.port)}) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            assert ddp("call", "-u", "http://meteor.invalid", "upper", "x") == (0, '"X"\n', "")
            assert ddp("call", "-u", "http://meteor.invalid/sockjs", "upper", "x") == (0, '"X"\n', "")

    def test_a_loopback_server_is_reached_without_a_proxy_unless_the_proxy_is_named(
        self, ddp: Command, monkeypatch: pytest.MonkeyPatch, proxy: Proxy
    ) -> None:
        """U20: a proxy of the environment is not used for loopback addresses."""
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert ddp("call", "upper", "x").code == 0
        assert proxy.targets == []
        assert ddp("call", "--proxy", proxy.url, "upper", "x").code == 0
        assert [host for host, _ in proxy.targets] == ["127.0.0.1"]

    def test_the_proxy_may_speak_tls_itself(
        self, ddp: Command, server: LoopbackServer, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        hosts = {"ddp.invalid": ("127.0.0.1", server.port)}
        with authority.cert_pem.tempfile() as file, HTTPProxy("ann", "hunter2", hosts, context) as proxy:
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            assert ddp("call", "-u", "ddp.invalid", "--cacert", file, "upper", "x") == (0, '"X"\n', "")
            ran = ddp("call", "-u", "ddp.invalid", "upper", "x")
        assert (ran.code, ran.out) == (3, "")
        assert f"the certificate of the proxy {proxy.address} is not trusted" in ran.err

    def test_the_credentials_of_a_proxy_are_never_shown(self, ddp: Command, proxy: Proxy) -> None:
        words = ["call", "-u", "ddp.invalid", "-d", "-v", "upper", "x", "--proxy"]
        shown = ddp(*words, proxy.url).err
        assert f"ddp: note: connecting through the proxy {proxy.scheme}://***@{proxy.address}\n" in shown
        assert (
            "ddp: warning: other users of this machine can see the password in --proxy; put it into $ALL_PROXY or"
            in shown
        )
        ran = ddp(*words, proxy.url.replace("hunter2", "hunter3"))
        assert ran.code == 3
        assert f"ddp: error: the proxy {proxy.address} " in ran.err
        assert "hunter" not in shown + ran.err


class TestHandshake:
    def test_headers_cookies_origin_and_user_agent_are_sent(self, ddp: Command, tmp_path: Path) -> None:
        headers = tmp_path / "headers"
        headers.write_text("X-One: 1\nX-Two: 2\n")
        seen: list[dict[str, str]] = []

        def talk(server: Conversation) -> None:
            seen.append(server.headers)
            server.finish(server.expect("method"), result=1)

        with ScriptedServer(converse(talk)) as server:
            words = [
                "-H",
                f"@{headers}",
                "--cookie",
                "a=b",
                "--cookie",
                "c=d e",
                "--user-agent",
                "me/1",
                "--origin",
                "o",
            ]
            assert ddp("call", "m", "-u", server.url, *words) == (0, "1\n", "")
            assert ddp("call", "m", "-u", server.url) == (0, "1\n", "")
        assert {name: seen[0][name] for name in ("x-one", "x-two", "cookie", "user-agent", "origin")} == {
            "x-one": "1", "x-two": "2", "cookie": "a=b; c=d e", "user-agent": "me/1", "origin": "o",
        }  # fmt: skip
        assert seen[1]["user-agent"] == "ddpshell"
        assert not {"cookie", "origin"} & seen[1].keys()

    @pytest.mark.parametrize("words", [["sub", "p"], ["call", "m"], ["call", "m", "-S", "x"]], ids=" ".join)
    def test_headers_are_read_once_from_a_pipe(self, ddp: Command, words: list[str]) -> None:
        """The shell makes a pipe for `-H @<(PROGRAM)`."""
        seen: list[str | None] = []

        def talk(server: Conversation) -> None:
            seen.append(server.headers.get("x-one"))
            if words[0] == "call":
                server.finish(server.expect("method"), result=1)
            else:
                server.send(msg="ready", subs=[server.expect("sub")["id"]])

        reading, writing = os.pipe()
        with ScriptedServer(converse(talk)) as server:
            os.write(writing, b"X-One: 1\n")
            os.close(writing)
            assert ddp(*words, "-u", server.url, "-H", f"@/dev/fd/{reading}").code == 0
            os.close(reading)
        assert seen == ["1"]

    def test_an_invalid_header_from_a_pipe_is_an_error(self, ddp: Command) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"no colon\n")
        os.close(writing)
        ran = ddp("call", "m", "-H", f"@/dev/fd/{reading}")
        os.close(reading)
        assert (ran.code, "must look like 'Name: value'" in ran.err) == (2, True)

    def test_ipv4_or_ipv6_can_be_required(self, ddp: Command, server: LoopbackServer) -> None:
        assert ddp("call", "--ipv4", "upper", "x") == (0, '"X"\n', "")
        ran = ddp("call", "--ipv6", "upper", "x")
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.startswith("ddp: error: cannot find an IPv6 address of the host '127.0.0.1'")
        # The options --ipv4 and --ipv6 do not make -4 and -6 options.
        assert ddp("call", "add", "-4", "-6") == (0, "-10\n", "")

    def test_the_target_of_a_redirect_is_reported_and_not_followed(self, ddp: Command, server: LoopbackServer) -> None:
        moved = http_answer(302, "Found", "moved", Location=f"http://127.0.0.1:{server.port}/websocket")
        with ScriptedServer(moved) as other:
            ran = ddp("call", "-u", other.url, "upper", "x")
        assert (ran.code, ran.out) == (3, "")
        first, hint = ran.err.splitlines()
        assert first.endswith(" answered the upgrade with HTTP 302 Found: moved")
        assert hint.startswith(
            f"ddp: hint: the server redirects to http://127.0.0.1:{server.port}/websocket: use that address; "
        )
        assert server.sessions == 0

    def test_an_ipv6_address_is_in_brackets(self, ddp: Command) -> None:
        server = demo_server()
        try:
            server.start("::1", 0)
        except OSError as error:
            unavailable(f"no IPv6 on this machine: {error}")
        try:
            assert ddp("call", "-u", f"[::1]:{server.port}", "upper", "x") == (0, '"X"\n', "")
            assert ddp("call", "-u", f"http://[::1]:{server.port}/sockjs", "upper", "x") == (0, '"X"\n', "")
        finally:
            server.stop()


#: Failures of all kinds, of a server whose URL has a password.
ENDS = [
    pytest.param(http_answer(401, "Unauthorized", "no"), [], id="refused"),
    pytest.param(silent_tcp, ["--connect-timeout", "0.2"], id="silent"),
    pytest.param(accept_then_close, [], id="closed"),
    pytest.param(refuse_version("0"), [], id="another version"),
    pytest.param(garbage, [], id="garbage"),
    pytest.param(converse(lambda server: server.drop()), [], id="lost"),
]


@pytest.mark.parametrize(("script", "words"), ENDS)
@pytest.mark.parametrize("form", ["auto", "json"])
def test_the_password_in_an_address_is_never_shown(
    ddp: Command, script: Callable[[Conversation], object], words: list[str], form: str
) -> None:
    with ScriptedServer(script) as server:
        url = f"http://ann:hunter2@127.0.0.1:{server.port}"
        ran = ddp("call", "m", "-u", url, "-d", "-vv", "-o", form, *words)
    assert ran.code in (3, 6)
    assert "hunter2" not in ran.out + ran.err
    assert "ddp: warning: other users of this machine can see the password in --url; put it into $DDP_URL or" in ran.err


def test_the_report_of_a_bug_shows_no_password(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise ValueError

    monkeypatch.setattr("ddpshell.cli.connection.make_client", fail)
    monkeypatch.setenv("DDP_URL", "ann:hunter2@127.0.0.1:1")
    ran = ddp("call", "m", "--proxy", "http://ann:hunter3@127.0.0.1:1", "-H", "Authorization: hunter4")
    assert "Traceback" in ran.err
    assert "hunter" not in ran.err
