"""Every error has an exit code, and the codes are those of the README."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddpshell import exceptions
from ddpshell.cli.process import ExitCode, Terminated, exit_code, kind
from ddpshell.exceptions import (
    ClientClosed,
    CommandError,
    ConnectError,
    ConnectionLost,
    DDPError,
    DDPTimeout,
    EJSONError,
    InvalidURL,
    LoginError,
    LoginNeeded,
    MessageTooLarge,
    MethodError,
    NegotiationError,
    OutcomeUnknown,
    QueryError,
    RateLimited,
    RemoteProtocolError,
    SubscriptionError,
    TwoFactorError,
)
from tests.cli.conftest import Command
from tests.loopback import (
    PATIENCE,
    Conversation,
    Script,
    ScriptedServer,
    close_after,
    converse,
    http_answer,
    refuse_version,
    silent_websocket,
)
from tests.machine import TOP


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        pytest.param(MethodError(404), 1, "server", id="a method's error"),
        pytest.param(SubscriptionError(403), 1, "server", id="a subscription's error"),
        pytest.param(RateLimited("too-many-requests"), 1, "server", id="too many calls"),
        pytest.param(LoginError(403), 4, "login", id="a refused login"),
        pytest.param(TwoFactorError("no-2fa-code"), 4, "login", id="a login without its second factor"),
        pytest.param(LoginNeeded("x"), 4, "login", id="a login needed"),
        pytest.param(EJSONError("x"), 1, "unreadable", id="a result that cannot be read"),
        pytest.param(RemoteProtocolError("x"), 1, "unreadable", id="an answer that is not DDP"),
        pytest.param(CommandError("x"), 2, "usage", id="an invalid argument"),
        pytest.param(MessageTooLarge("x", 1), 1, "unreadable", id="an answer that is too large"),
        pytest.param(QueryError("x"), 2, "usage", id="an invalid selector"),
        pytest.param(InvalidURL("x", "y"), 2, "usage", id="an invalid URL"),
        pytest.param(OSError(28, "full"), 7, "system", id="a full disk"),
        pytest.param(ConnectError("x"), 3, "connect", id="no connection"),
        pytest.param(ConnectError("x", problem="certificate files"), 2, "usage", id="an invalid certificate file"),
        pytest.param(NegotiationError("1", "9"), 3, "connect", id="no common version"),
        pytest.param(DDPTimeout("x"), 5, "timeout", id="a timeout"),
        pytest.param(ConnectionLost("x"), 6, "lost", id="a lost connection"),
        pytest.param(OutcomeUnknown("m", "x"), 6, "lost", id="a call with an unknown outcome"),
        pytest.param(ClientClosed("x"), 6, "lost", id="a client that was closed"),
        pytest.param(KeyError("x"), 70, "internal", id="a bug"),
        pytest.param(KeyboardInterrupt(), 130, "interrupted", id="Ctrl-C"),
        pytest.param(Terminated(), 143, "terminated", id="SIGTERM"),
    ],
)
def test_an_error_has_an_exit_code_and_a_kind(error: BaseException, code: int, word: str) -> None:
    assert (exit_code(error), kind(error)) == (code, word)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("cls", [CommandError, ConnectError])
def test_a_failure_of_the_local_system_has_code_7_in_any_error(
    cls: type[CommandError | ConnectError], number: int
) -> None:
    error = cls("cannot read x")
    # `raise ... from None` in an `except` sets the context as well.
    error.__context__ = OSError(number, "x")
    assert (exit_code(error), kind(error)) == (7, "system")


# Imports everything that the command needs before it connects. Importing a module opens a file, too.
_LIMITED = """
import resource, sys
import ddpshell.cli.connection, ddpshell.cli.event_queue
from ddpshell.cli.commands import batch, call, sub
from ddpshell.cli.main import main
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
main()
"""


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("limit", [4, 5, 7, 9])
@pytest.mark.parametrize("words", [["call", "upper", "@text"], ["batch", "text"], ["sub", "tasks"]])
def test_too_many_open_files_are_a_failure_of_the_local_system(tmp_path: Path, words: list[str], limit: int) -> None:
    text = tmp_path / "text"
    text.write_text('["upper", "a"]')
    command = [sys.executable, "-c", _LIMITED, str(limit), *words]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=PATIENCE, check=False
    )
    assert (ran.returncode, ran.stdout) == (7, "")
    assert "Too many open files" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "hint" not in ran.stderr


def test_signals_have_the_exit_codes_of_shells() -> None:
    assert ExitCode.INTERRUPTED == 128 + 2
    assert ExitCode.TERMINATED == 128 + 15


@pytest.mark.parametrize("name", exceptions.__all__)
def test_no_error_of_the_library_is_reported_as_a_bug(name: str) -> None:
    cls = getattr(exceptions, name)
    assert exit_code(cls.__new__(cls)) is not ExitCode.INTERNAL
    assert issubclass(cls, DDPError)


# -------------------------------------------------------------------------------------------- every command

# For each request: its words on the command line, its line in a script, and its line in a batch.
_CALL = (["call", "m"], "call m", '["m"]')
_SUB = (["sub", "s"], "sub s", None)
_PING = (["ping", "-c", "1", "-W", "20"], "ping", None)


def _answering(**answer: object) -> Script:
    """Return the script of a server that answers the first request."""

    def talk(server: Conversation) -> None:
        request = server.receive()
        server.send(**{"id": request["id"], **answer})
        if request["msg"] == "method":
            server.send(msg="updated", methods=[request["id"]])

    return converse(talk)


def _silent(server: Conversation) -> None:
    server.receive()


_NOT_CONNECTED = [
    pytest.param(http_answer(403), 3, id="HTTP 403"),
    pytest.param(refuse_version("9"), 3, id="version"),
    pytest.param(silent_websocket, 5, id="never connected"),
]
_UNANSWERED = [
    pytest.param(close_after(1), 6, id="closed"),
    pytest.param(_answering(msg="error", reason="Parse error"), 1, id="C76"),
]


def _ends(ddp: Command, folder: Path, script: Script, request: tuple[list[str], str, str | None]) -> dict[str, int]:
    """Return the exit code of a request as a command, in a script, in a file of a script, and as a line of a batch."""
    words, line, batched = request
    file = folder / "script.ddp"
    file.write_text(line)
    with ScriptedServer(*[script] * 4) as server:
        options = ["-u", server.url, "--timeout", "1", "--max-message", "100K"]
        codes = {
            "command": ddp(*words, *options).code,
            "run": ddp("run", *options, stdin=line.encode()).code,
            "source": ddp("run", *options, stdin=f"source {file}".encode()).code,
        }
        if batched is not None:
            ran = ddp("batch", *options, stdin=batched.encode())
            answer = json.loads(ran.out) if ran.out else {}
            kinds = {"server": 1, "unreadable": 1, "usage": 2, "connect": 3, "login": 4, "timeout": 5, "lost": 6}
            codes["batch"] = kinds[answer["error"]["kind"]] if "error" in answer else ran.code
    return codes


@pytest.mark.parametrize(("script", "code"), [*_NOT_CONNECTED, *_UNANSWERED])
@pytest.mark.parametrize("request_", [_CALL, _SUB, _PING], ids=["call", "sub", "ping"])
def test_a_failed_connection_has_the_same_code_in_every_command(
    ddp: Command, tmp_path: Path, request_: tuple[list[str], str, str | None], script: Script, code: int
) -> None:
    if request_ is _PING and script is _UNANSWERED[1].values[0]:
        pytest.skip("a ping is not a request that can be refused")
    codes = _ends(ddp, tmp_path, script, request_)
    assert codes == dict.fromkeys(codes, code)


def _without_session(request: str) -> Script:
    """Return the script of a server that drops the connection before `connected`, after the request if there is one."""

    def script(server: Conversation) -> None:
        server.upgrade()
        server.expect("connect")
        if request:
            server.expect(request)
        server.drop()

    return script


@pytest.mark.parametrize(
    ("request_", "script", "code"),
    [
        pytest.param((*_CALL[:2], None), _without_session("method"), 6, id="call"),
        pytest.param(_SUB, _without_session("sub"), 3, id="sub"),
        pytest.param(_PING, _without_session(""), 3, id="ping"),
    ],
)
def test_a_call_without_a_session_is_the_only_request_that_may_have_run(
    ddp: Command, tmp_path: Path, request_: tuple[list[str], str, str | None], script: Script, code: int
) -> None:
    """C6: the call was sent together with `connect`."""
    codes = _ends(ddp, tmp_path, script, request_)
    assert codes == dict.fromkeys(codes, code)


def test_a_call_that_still_waits_for_connected_has_not_run(ddp: Command) -> None:
    with ScriptedServer(*[_without_session("")] * 2) as server:
        assert ddp("call", "m", "--no-retry", "-u", server.url).code == 3
        assert ddp("batch", "-u", server.url, stdin=b'["m"]').code == 3
        assert [len(conversation.received) for conversation in server.conversations] == [1, 1]


def test_a_call_that_waits_for_a_login_has_not_run(ddp: Command, tmp_path: Path) -> None:
    """A51: the call waits for the login, also if the server refuses it."""
    secret = tmp_path / "secret"
    secret.write_text("T")
    heard: list[str] = []

    def drop(server: Conversation) -> None:
        server.upgrade()
        heard.extend(server.receive().get("method", "connect") for _ in range(2))
        server.drop()

    words = ["call", "m", "--token-file", str(secret)], ["login", "ann", "--password-file", str(secret)]
    with ScriptedServer(drop, drop) as server:
        assert [ddp(*each, "-u", server.url).code for each in words] == [3, 3]
    assert heard == ["connect", "login"] * 2


@pytest.mark.parametrize(
    ("request_", "script", "code"),
    [
        pytest.param(_CALL, _answering(msg="result", error={"error": "e"}), 1, id="method error"),
        pytest.param(_CALL, _answering(msg="result", result={"$binary": "!"}), 1, id="unreadable result"),
        pytest.param(_CALL, _answering(msg="result"), 0, id="C15"),
        pytest.param(_CALL, _answering(msg="result", result="x" * 200_000), 1, id="a result that is too large"),
        pytest.param(
            _SUB,
            _answering(msg="added", collection="c", fields={"a": "x" * 200_000}),
            1,
            id="a document that is too large",
        ),
        pytest.param(_CALL, converse(_silent), 5, id="no result"),
        pytest.param(_SUB, _answering(msg="nosub", error={"error": "e"}), 1, id="nosub with error"),
        pytest.param(_SUB, _answering(msg="nosub"), 1, id="C35: nosub without error before ready"),
        pytest.param(_SUB, converse(_silent), 5, id="no ready"),
    ],
)
def test_an_answer_has_the_same_code_in_every_command(
    ddp: Command, tmp_path: Path, request_: tuple[list[str], str, str | None], script: Script, code: int
) -> None:
    codes = _ends(ddp, tmp_path, script, request_)
    assert codes == dict.fromkeys(codes, code)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        pytest.param((["call", "m", "{a: "], "call m {a: ", None), 2, id="broken literal"),
        pytest.param((["call", "m", '{"$date": "x"}'], 'call m {"$date": "x"}', '["m", {"$date": "x"}]'), 2, id="EJSON"),
        pytest.param((["call", "m", "@/nowhere/file"], "call m @/nowhere/file", None), 2, id="missing file"),
        pytest.param((["sub", "s", "--until", "{a: {$in: 5}}"], "count s {a: {$in: 5}}", None), 2, id="bad selector"),
        pytest.param((["sub", "s", "--until", "{a: {$x: 5}}"], "find s {a: {$x: 5}}", None), 2, id="unknown operator"),
        pytest.param((["sub", "s", "--until", "{a: {$regex: '('}}"], "watch s {a: {$regex: '('}}", None), 2, id="bad regex"),
        pytest.param((["call"], "call", "[]"), 2, id="no name"),
        pytest.param((["call", "m", "--proxy", "x://y"], "connect x://y", None), 2, id="bad URL"),
        pytest.param((["nonsense"], "nonsense", "{}"), 2, id="no command"),
    ],
)  # fmt: skip
def test_a_usage_error_has_the_same_code_in_every_command(
    ddp: Command, tmp_path: Path, request_: tuple[list[str], str, str | None], code: int
) -> None:
    codes = _ends(ddp, tmp_path, converse(lambda server: None), request_)
    assert codes == dict.fromkeys(codes, code)


def test_a_rejected_login_has_the_same_code_in_every_command(ddp: Command, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("T")
    refused = _answering(msg="result", error={"error": 403, "reason": "You've been logged out by the server."})
    with ScriptedServer(*[refused] * 5) as server:
        options = ["-u", server.url, "--token-file", str(token)]
        codes = [ddp(*words, *options).code for words in (["call", "m"], ["sub", "s"], ["ping", "-c", "1"])]
        codes += [ddp(word, *options, stdin=text).code for word, text in (("run", b"call m"), ("batch", b'["m"]'))]
    assert codes == [4] * 5


def test_a_ping_in_a_script_waits_for_the_connection(ddp: Command) -> None:
    with ScriptedServer(converse(lambda server: server.send(msg="pong", id=server.expect("ping")["id"]))) as server:
        ran = ddp("run", "-u", server.url, stdin=b"ping")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("pong, ")
