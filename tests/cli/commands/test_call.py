"""A method is called once, and its result or its error is printed."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from ddpshell import Client, DDPTimeout
from ddpshell.server import Server, Subscription
from tests.cli.conftest import Command, Run
from tests.loopback import Conversation, LoopbackServer, ScriptedServer, close_after, converse

LARGE = "9007199254740993"
FRAME = re.compile(r"\d\d:\d\d:\d\d\.\d\d\d (->|<-) (\{.*\})")


@pytest.mark.usefixtures("server")
class TestResults:
    @pytest.mark.parametrize(
        ("words", "out"),
        [
            pytest.param(["upper", "Hello, World!"], '"HELLO, WORLD!"\n', id="a string"),
            pytest.param(["add", "2", "-3"], "-1\n", id="numbers"),
            pytest.param(["null"], "null\n", id="C15: null"),
            pytest.param(["nothing"], "", id="C15: no result"),
        ],
    )
    def test_the_result_of_a_method_is_printed(self, ddp: Command, words: list[str], out: str) -> None:
        assert ddp("call", *words) == (0, out, "")

    def test_printed_values_can_be_read_as_arguments_unchanged(self, ddp: Command) -> None:
        first = ddp("call", "-q", "types").out
        again = ddp("call", "-q", "identity", "-", stdin=first.encode())
        assert again == (0, first, "")
        pretty = ddp("call", "-q", "-o", "pretty", "types").out
        assert ddp("call", "-q", "identity", "-", stdin=pretty.encode()).out == first

    @pytest.mark.parametrize(
        ("words", "stdin", "notes"),
        [
            pytest.param(["call", "identity", LARGE], "", ["an argument", "the result"], id="call"),
            pytest.param(["batch"], f'["identity",{LARGE}]\n' * 3, ["an argument of line 1", "the result of line 1"], id="batch"),
            pytest.param(["run"], f"call identity {LARGE}", ["an argument", "the result"], id="run"),
            pytest.param(["run"], f"apply identity [{LARGE}]", ["an argument", "the result"], id="run, apply"),
            pytest.param(["run"], f"sub part {{n: {LARGE}}}", ["an argument"], id="run, sub"),
            pytest.param(["sub", "part", f"{{n: {LARGE}}}"], "", ["an argument"], id="sub"),
            pytest.param(["sub", "large"], "", ["a document"], id="sub, documents"),
            pytest.param(["run"], "sub large\nfind large", ["a document"], id="run, documents"),
        ],
    )  # fmt: skip
    def test_large_integers_are_reported_in_arguments_results_and_documents(
        self, ddp: Command, words: list[str], stdin: str, notes: list[str]
    ) -> None:
        """E20: JavaScript rounds such integers."""
        server = Server()

        @server.method
        def identity(value: object) -> object:
            return value

        @server.publish
        def part(sub: Subscription, selector: object) -> None:
            sub.ready()

        @server.publish
        def large(sub: Subscription) -> None:
            for number in range(2):
                sub.added("large", str(number), {"n": [int(LARGE)]})
            sub.ready()

        with server.running():
            ran = ddp(*words, "-u", server.url, stdin=stdin.encode())
        assert ran.code == 0
        assert [line.partition(f"{LARGE} in ")[2] for line in ran.err.splitlines()] == [
            f"{place} is beyond 2^53, where JavaScript rounds integers" for place in notes
        ]

    def test_large_integers_are_exact_with_a_note(self, ddp: Command) -> None:
        ran = ddp("call", "identity", "{n: [9007199254740993]}")
        assert (ran.code, ran.out) == (0, '{"n":[9007199254740993]}\n')
        assert ran.err == (
            "ddp: note: 9007199254740993 in an argument is beyond 2^53, where JavaScript rounds integers\n"
            "ddp: note: 9007199254740993 in the result is beyond 2^53, where JavaScript rounds integers\n"
        )
        assert ddp("call", "-q", "identity", "9007199254740993").err == ""
        assert ddp("call", "identity", "9007199254740992", "-o", "json").err == ""


@pytest.mark.usefixtures("server")
class TestPartOfResult:
    @pytest.mark.parametrize(
        ("path", "out"),
        [("[0].n", "5\n"), ("[0].t[1]", '"y"\n'), ("[0]", '{"n":5,"t":["x","y"]}\n'), (".[0]", None), ("[1]", "7\n")],
    )
    def test_get_prints_a_part_of_the_result(self, ddp: Command, path: str, out: str | None) -> None:
        ran = ddp("call", "echo", "{n: 5, t: [x, y]}".replace("x, y", '"x", "y"'), "7", "--get", path)
        assert (ran.code, ran.out) == ((0, out) if out is not None else (2, ""))

    def test_the_first_name_needs_no_dot(self, ddp: Command) -> None:
        for path in ("a.b", ".a.b"):
            assert ddp("call", "identity", '{a: {b: "c"}}', "--get", path, "-o", "raw").out == "c\n"

    @pytest.mark.parametrize(
        ("path", "error"),
        [
            ("b", "--get: the result of 'identity' has no field b"),
            ("a.b", "--get: the result of 'identity'.a is not an object or an array, so it has no part b"),
        ],
    )
    def test_a_part_that_is_missing_ends_with_code_1(self, ddp: Command, path: str, error: str) -> None:
        """It is not a usage error, because the server has already run the method."""
        ran = ddp("call", "identity", "{a: 1}", "--get", path)
        hint = 'ddp: hint: the whole result is {"a": 1}'
        assert (ran.code, ran.out, ran.err) == (1, "", f"ddp: error: {error}\n{hint}\n")
        assert ddp("call", "nothing", "--get", path).code == 1

    @pytest.mark.parametrize("path", ["", "a b", "[x]", "a..b", "a["])
    def test_an_invalid_path_is_found_before_anything_is_sent(self, ddp: Command, path: str) -> None:
        assert ddp("call", "m", "-u", "127.0.0.1:1", "--get", path).code == 2


def test_a_dry_run_prints_the_frames_and_sends_nothing(ddp: Command, tmp_path: Path) -> None:
    """C1, C10, A1: no server listens at the URL, and secrets are masked."""
    (tmp_path / "password").write_text("wonderland")
    words = ["-u", "127.0.0.1:1", "--login", "ann", "--password-file", str(tmp_path / "password")]
    ran = ddp("call", "resetPassword", "-S", "t0ken", "{a: 1}", "--dry-run", *words)
    assert (ran.code, ran.err) == (0, "ddp: note: nothing was sent\n")
    assert [json.loads(line) for line in ran.out.splitlines()] == [
        {"msg": "connect", "version": "1", "support": ["1", "pre2", "pre1"]},
        {"msg": "method", "id": "1", "method": "login", "params": [{"user": {"username": "ann"}, "password": "***"}]},
        {"msg": "method", "id": "2", "method": "resetPassword", "params": ["***", "***"]},
    ]
    assert ddp("call", "m", "{a:", "--dry-run").code == 2


@pytest.mark.usefixtures("server")
class TestErrors:
    @pytest.mark.parametrize(
        ("words", "err"),
        [
            pytest.param(
                ["nope"],
                "ddp: error: Method 'nope' not found [404]\nddp: hint: check the spelling; names are case-sensitive\n",
                id="404",
            ),
            pytest.param(
                ["fail", "-q"],
                'ddp: error: This method always fails [demo-failure]\nddp: details: {"hint": "call another one", "at": 1}\n',
                id="with details",
            ),
            pytest.param(["upper", "5", "-q"], "ddp: error: Match failed [400]\n", id="400"),
            pytest.param(["fail", "7", "-q", "-o", "json"], '{"error":7,"reason":"This method always fails","details":{"hint":"call another one","at":1},"kind":"server"}\n', id="C28: the code is a number"),
            pytest.param(["hostileError"], 'ddp: error: \\x1b]52;c;Zm9v\\x07 reason [\\x1b[31mred]\nddp: details: {"\\u202edetail": "\\x9b2J"}\n', id="hostile"),
        ],
    )  # fmt: skip
    def test_an_error_of_the_server_is_reported(self, ddp: Command, words: list[str], err: str) -> None:
        assert ddp("call", *words) == (1, "", err)

    def test_an_internal_error_of_the_server_has_no_details(self, ddp: Command) -> None:
        ran = ddp("call", "crash")
        assert ran.code == 1
        assert "look in its log" in ran.err

    def test_a_connection_lost_during_a_call_leaves_the_outcome_unknown(self, ddp: Command) -> None:
        ran = ddp("call", "kick")
        assert (ran.code, ran.out) == (6, "")
        assert ran.err.startswith("ddp: error: outcome of 'kick' unknown: ")
        assert "find out whether it ran" in ran.err

    def test_a_call_that_takes_too_long_times_out(self, ddp: Command) -> None:
        ran = ddp("call", "slow", "60000", "--timeout", "0.8")
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.startswith(
            "ddp: error: no result of 'slow' within 0.8 s; the server may still be working on it\n"
        )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param({"reason": "Parse error"}, "Parse error", id="C76"),
        pytest.param({"error": "Unknown method"}, '{"msg":"error","error":"Unknown method"}', id="C77"),
    ],
)
def test_an_error_that_names_no_request_is_the_answer_to_the_only_request(
    ddp: Command, error: dict[str, str], said: str
) -> None:
    def talk(server: Conversation) -> None:
        server.receive_text()
        server.send(msg="error", **error)

    with ScriptedServer(converse(talk), converse(talk), converse(talk)) as server:
        ran = ddp("call", "-u", server.url, "m", "--timeout", "20")
        assert (ran.code, ran.out, ran.err) == (1, "", f"ddp: error: {said} [bad-request]\n")
        ran = ddp("sub", "-u", server.url, "s", "--timeout", "20")
        assert (ran.code, ran.out, ran.err) == (1, "", f"ddp: error: {said} [bad-request]\n")
        ran = ddp("run", "-u", server.url, "--timeout", "20", stdin=b"call m")
        where = "standard input, line 1: "
        assert (ran.code, ran.out, ran.err) == (1, "", f"ddp: error: {where}{said} [bad-request]\n")


def test_a_timeout_quotes_what_the_server_rejected(ddp: Command) -> None:
    """C76: two calls are outstanding, so it is not known which one the server rejected."""

    def talk(server: Conversation) -> None:
        server.receive_text()
        server.receive_text()
        server.send(msg="error", reason="Nope")

    said = "; the server refused a message: Nope"
    with ScriptedServer(converse(talk), converse(talk), converse(talk)) as server:
        options = ["-u", server.url, "--timeout", "0.8"]
        ran = ddp("batch", *options, stdin=b'["a"]\n["b"]\n')
        reasons = [json.loads(line)["error"]["reason"] for line in ran.out.splitlines()]
        assert (ran.code, reasons) == (1, [f"no result of '{name}' within 0.8 s{said}" for name in "ab"])
        with Client(server.url) as client:
            call, ready = client.call("a"), client.subscribe("s").ready
            with pytest.raises(DDPTimeout, match="the server refused a message: Nope"):
                call.result(0.5)
            with pytest.raises(DDPTimeout, match="the server refused a message: Nope"):
                ready.result(0.5)


class TestUnconfirmed:
    """C78, C79: a broken server sends `result` and never `updated`."""

    NOTE = "has arrived, but the server did not confirm the writes within 0.8 s"

    @pytest.mark.parametrize("extra", [{}, {"msg": "updated", "id": "1"}], ids=["no updated", "C78: updated with id"])
    def test_an_unconfirmed_result_is_shown_with_a_note(self, ddp: Command, extra: dict[str, str]) -> None:
        def talk(server: Conversation) -> None:
            server.send(msg="result", id=server.expect("method")["id"], result="kept")
            if extra:
                server.send(**extra)

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("call", "-u", server.url, "m", "--timeout", "0.8")
        assert (ran.code, ran.out) == (0, '"kept"\n')
        assert ran.err.endswith(f"ddp: note: the result of 'm' {self.NOTE}\n")

    def test_an_unconfirmed_error_is_reported_as_that_error(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            server.send(msg="result", id=server.expect("method")["id"], error={"error": "e", "reason": "Kept"})

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("call", "-u", server.url, "m", "--timeout", "0.8")
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.endswith("ddp: error: Kept [e]\n")

    def test_an_unconfirmed_answer_without_a_result_succeeds(self, ddp: Command) -> None:
        """C15: a result may be absent."""

        def talk(server: Conversation) -> None:
            server.send(msg="result", id=server.expect("method")["id"])

        with ScriptedServer(converse(talk), converse(talk)) as server:
            assert ddp("call", "-q", "-u", server.url, "m", "--timeout", "0.8") == (0, "", "")
            assert ddp("run", "-qq", "-u", server.url, "--timeout", "0.8", stdin=b"call m") == (0, "", "")

    def test_a_batch_shows_unconfirmed_results_with_a_note(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            first, second = server.expect("method"), server.expect("method")
            server.send(msg="result", id=first["id"], result=1)
            server.finish(second, result=2)

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("batch", "-u", server.url, "--timeout", "0.8", stdin=b'["m"]\n["n"]\n')
        assert (ran.code, ran.out) == (0, '{"line":1,"result":1}\n{"line":2,"result":2}\n')
        assert ran.err == f"ddp: note: line 1: the result of 'm' {self.NOTE}\n"

    @pytest.mark.parametrize("line", ["call m", "apply m []"])
    def test_a_script_shows_an_unconfirmed_result_with_a_note(self, ddp: Command, line: str) -> None:
        def talk(server: Conversation) -> None:
            server.send(msg="result", id=server.expect("method")["id"], result="kept")

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("run", "-u", server.url, "--timeout", "0.8", stdin=line.encode())
        assert (ran.code, ran.out) == (0, '"kept"\n')
        assert "the server answered call m, but did not confirm its writes\n" in ran.err

    def test_settle_accepts_an_unconfirmed_result_in_the_library(self) -> None:
        def talk(server: Conversation) -> None:
            server.send(msg="result", id=server.expect("method")["id"], result="kept")
            server.expect("method")

        with ScriptedServer(converse(talk)) as server, Client(server.url) as client:
            call = client.call("m")
            assert not call.settle()
            with pytest.raises(
                DDPTimeout, match="the result of 'm' has arrived, but the server did not confirm the writes"
            ):
                call.result(1)
            assert call.settle()
            assert call.result(0) == "kept"
            assert call.has_result
            assert not call.settle()
            other = client.call("n")
            with pytest.raises(DDPTimeout, match="no result of 'n'"):
                other.result(0.1)
            assert not other.settle()


def test_an_unreadable_answer_is_reported(ddp: Command) -> None:
    def talk(server: Conversation) -> None:
        server.finish(server.expect("method"), result={"$binary": "!"})

    with ScriptedServer(converse(talk)) as server:
        ran = ddp("call", "-u", server.url, "m")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("ddp: error: the answer is not valid: ")


def test_a_lone_surrogate_can_be_sent_and_received(ddp: Command) -> None:
    def talk(server: Conversation) -> None:
        call = server.receive_text()
        assert '"params":["\\ud800"]' in call
        server.send_text('{"msg":"result","id":"1","result":"\\ud800"}')
        server.send(msg="updated", methods=["1"])

    with ScriptedServer(converse(talk)) as server:
        assert ddp("call", "-u", server.url, "m", '"\\ud800"') == (0, '"\\ud800"\n', "")


def test_a_result_with_ten_thousand_levels_causes_no_traceback(ddp: Command) -> None:
    def talk(server: Conversation) -> None:
        server.receive_text()
        server.send_text('{"msg":"result","id":"1","result":' + "[" * 10_000 + "]" * 10_000 + "}")
        server.send(msg="updated", methods=["1"])

    with ScriptedServer(converse(talk)) as server:
        ran = ddp("call", "-u", server.url, "m", "--timeout", "2")
    assert ran.out == ""
    assert ran.code in (1, 5)
    assert "Traceback" not in ran.err


class TestResending:
    def test_with_reconnect_a_lost_call_is_sent_again(self, ddp: Command) -> None:
        def answer(server: Conversation) -> None:
            server.finish(server.expect("method"), result="second time")

        with ScriptedServer(close_after(1), converse(answer)) as server:
            ran = ddp("call", "--reconnect", "-u", server.url, "m")
        assert (ran.code, ran.out) == (0, '"second time"\n')
        assert [line.split(":")[2] for line in ran.err.splitlines()] == [
            " not connected",
            " next attempt in 0.0 s",
            " connected",
        ]

    def test_no_retry_reports_a_lost_call_as_unknown(self, ddp: Command) -> None:
        with ScriptedServer(close_after(1), converse(lambda server: None)) as server:
            ran = ddp("call", "--reconnect", "--no-retry", "-u", server.url, "m")
        assert (ran.code, ran.out) == (6, "")
        assert "outcome of 'm' unknown" in ran.err

    def test_without_reconnect_a_lost_call_is_not_sent_again(self, ddp: Command) -> None:
        with ScriptedServer(close_after(1)) as server:
            assert ddp("call", "-u", server.url, "m").code == 6
            assert len(server.conversations) == 1


@pytest.mark.usefixtures("server")
class TestWatching:
    def test_debug_shows_each_frame_on_standard_error(self, ddp: Command) -> None:
        ran = ddp("-d", "call", "add", "1", "2")
        assert (ran.code, ran.out) == (0, "3\n")
        matches = [FRAME.fullmatch(line) for line in ran.err.splitlines()]
        frames = [(match[1], json.loads(match[2])["msg"]) for match in matches if match]
        assert len(frames) == len(matches)
        # The call is sent as soon as it is made, which may be before `connected` (C6).
        assert frames[0] == ("->", "connect")
        assert sorted(frames[1:3]) == [("->", "method"), ("<-", "connected")]
        assert sorted(frames[3:5]) == [("<-", "result"), ("<-", "updated")]

    def test_debug_masks_secrets(self, ddp: Command) -> None:
        ran = ddp("-d", "call", "login", '{user: {username: "ann"}, password: "hunter2"}')
        assert '"method":"login"' in ran.err
        assert "hunter2" not in ran.err

    def test_verbose_shows_the_steps_of_connecting(self, ddp: Command, server: LoopbackServer) -> None:
        err = ddp("call", "-v", "upper", "x").err.splitlines()
        assert err[0] == f"ddp: note: connecting to {server.url}"
        assert re.fullmatch(r"ddp: note: connected: new session \w{17}, \d+ ms", err[1])

    def test_quiet_wins_over_verbose(self, ddp: Command) -> None:
        assert ddp("call", "-v", "-q", "upper", "x") == (0, '"X"\n', "")


def test_an_unexpected_error_message_of_the_server_is_reported(ddp: Command) -> None:
    def talk(server: Conversation) -> None:
        server.send(msg="error", reason="Bad \x1b[2J request", offendingMessage={"msg": "nonsense"})
        server.finish(server.expect("method"), result=1)

    with ScriptedServer(converse(talk)) as server:
        ran = ddp("call", "-u", server.url, "m")
    assert (ran.code, ran.out) == (0, "1\n")
    assert ran.err.startswith("ddp: warning: ")
    assert "\\x1b[2J" in ran.err


# ------------------------------------------------------------------------------------------------------------- timing


def timing(ran: Run) -> dict[str, Any]:
    """The times that a command printed on standard error."""
    tree = json.loads(ran.err.splitlines()[0])
    assert list(tree) == ["timing"]
    found = tree["timing"]
    assert isinstance(found, dict)
    return found


class Delays:
    """A server that takes a known time in each phase of a call. The time is real, because a test cannot move the clock of a network."""

    network, login, queue, run, fence, change = 0.1, 0.15, 0.2, 0.25, 0.15, 0.1

    def __init__(self) -> None:
        self._never = threading.Event()

    def wait(self, seconds: float) -> None:
        assert not self._never.wait(seconds)

    def pong(self, server: Conversation) -> None:
        ping = server.receive()
        assert ping["msg"] == "ping"
        self.wait(self.network)
        server.send(msg="pong", id=ping["id"])

    def __call__(self, server: Conversation) -> None:
        login = server.expect("method")
        self.wait(self.login)
        server.finish(login, result={"id": "u", "token": "t", "tokenExpires": {"$date": 9e12}})
        sub = server.expect("sub")
        server.send(msg="added", collection="tasks", id="a", fields={})
        server.send(msg="ready", subs=[sub["id"]])
        self.pong(server)
        self.pong(server)
        probe, call = server.expect("method"), server.expect("method")
        self.wait(self.queue)
        server.send(msg="result", id=probe["id"], error={"error": 404})
        self.wait(self.run)
        server.send(msg="result", id=call["id"], result="done")
        self.wait(self.fence)
        server.send(msg="updated", methods=[call["id"]])
        self.wait(self.change)
        server.send(msg="changed", collection="tasks", id="a", fields={"done": True})


class TestTiming:
    @pytest.mark.slow
    def test_each_phase_is_measured_within_five_percent(self, ddp: Command, tmp_path: Path) -> None:
        delays = Delays()
        (tmp_path / "token").write_text("t\n")
        sums = {
            "login_ms": delays.login,
            "network_ms": delays.network,
            "queue_ms": delays.queue,
            "run_ms": delays.run,
            "fence_ms": delays.fence,
            "result_ms": delays.network + delays.queue + delays.run,
            "updated_ms": delays.network + delays.queue + delays.run + delays.fence,
            "first_change_ms": delays.network + delays.queue + delays.run + delays.fence + delays.change,
        }

        def wrong() -> set[str]:
            with ScriptedServer(converse(delays)) as server:
                words = ["--timing", "--sub", "tasks {done: false}", "--token-file", str(tmp_path / "token")]
                ran = ddp("call", "-u", server.url, "-o", "json", "save", *words)
                [conversation] = server.conversations
            assert (ran.code, ran.out) == (0, '"done"\n')
            subs = [json.loads(text) for text in conversation.received if '"msg":"sub"' in text]
            assert [(sub["name"], sub["params"]) for sub in subs] == [("tasks", [{"done": False}])]
            found = timing(ran)
            return {name for name, seconds in sums.items() if abs(found[name] - seconds * 1000) > max(5, seconds * 50)}

        # Another program may delay one phase of a run, but rarely the same phase in every run.
        always_wrong = set(sums)
        for _ in range(10):
            always_wrong &= wrong()
            if not always_wrong:
                break
        assert always_wrong == set()

    def test_the_request_that_delayed_the_call_is_named(self, ddp: Command) -> None:
        server = Server()
        never = threading.Event()

        @server.method
        def save() -> int:
            return 1

        @server.publish
        def large(sub: Subscription) -> None:
            sub.ready()
            # The server starts the call when this function returns.
            assert not never.wait(0.1)
            sub.added("large", "a", {})

        with server.running():
            found = timing(ddp("call", "-u", server.url, "-o", "json", "save", "--timing", "--sub", "large"))
        [blocker] = found["queued_behind"]
        assert blocker["sub"] == "large"
        assert blocker["ms"] == pytest.approx(found["queue_ms"], abs=1)
        assert found["first_change_ms"] > 0

    @pytest.mark.slow
    @pytest.mark.parametrize("limit", ["0", "600"])
    def test_a_call_without_a_change_ends_soon_with_a_note(
        self, ddp: Command, server: LoopbackServer, limit: str
    ) -> None:
        # S45: changes come before `updated`.
        ran = ddp("call", "upper", "x", "--timing", "--sub", "tasks", "--timeout", limit)
        assert (ran.code, ran.out) == (0, '"X"\n')
        note, *lines = ran.err.splitlines()
        assert note == "ddp: note: no document has changed, though the call is done"
        assert lines[-1].split()[:3] == ["first", "change", "unknown"]

    def test_all_phases_have_a_key_and_inferred_ones_are_listed(self, ddp: Command, server: LoopbackServer) -> None:
        found = timing(ddp("call", "-o", "json", "upper", "x", "--timing"))
        assert list(found["connect_ms"]) == ["total", "dns", "tcp", "tls", "upgrade", "ddp"]
        assert found["connect_ms"]["tls"] is None
        assert list(found) == [
            "connect_ms", "login_ms", "network_ms", "queue_ms", "queued_behind", "run_ms", "result_ms", "fence_ms",
            "updated_ms", "first_change_ms", "inferred",
        ]  # fmt: skip
        assert (found["login_ms"], found["first_change_ms"]) == (None, None)

    def test_the_times_are_on_standard_error_and_the_result_is_as_without_them(
        self, ddp: Command, server: LoopbackServer
    ) -> None:
        ran = ddp("call", "upper", "x", "--timing")
        assert (ran.code, ran.out) == (0, '"X"\n')
        lines = ran.err.splitlines()
        assert lines[0] == "timing in milliseconds:"
        assert [line.split()[0] for line in lines[1:]] == ["connect", "network", "queue", "run", "result", "updated"]

    def test_a_call_that_fails_is_measured_before_its_error(self, ddp: Command, server: LoopbackServer) -> None:
        ran = ddp("call", "-o", "json", "fail", "--timing")
        assert ran.code == 1
        first, second = map(json.loads, ran.err.splitlines())
        assert first["timing"]["result_ms"] > 0
        assert second["kind"] == "server"

    def test_the_probe_cannot_change_anything_because_the_server_has_no_such_method(
        self, ddp: Command, tmp_path: Path, server: LoopbackServer
    ) -> None:
        file = str(tmp_path / "a.ddprec")
        assert ddp("call", "upper", "x", "--timing", "--record", file).code == 0
        read = json.loads(ddp("read", file).out)
        assert [(call["method"], call["count"], call["errors"]) for call in read["calls"]] == [
            ("ddpshell-timing-probe", 1, 1),
            ("upper", 1, 0),
        ]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(["--sub", "tasks"], "--sub needs --timing", id="without --timing"),
            pytest.param(["--timing", "--sub", "tasks {"], "--sub: ", id="an unterminated value"),
            pytest.param(["--timing", "--sub", "tasks > file"], "--sub: give one publication", id="an output"),
            pytest.param(["--timing", "--sub", ""], "--sub: must not be empty", id="an empty text"),
            pytest.param(["--timing", "--sub", " "], "--sub: give one publication", id="no argument"),
            pytest.param(["--timing", "--sub", "tasks @file"], "--sub does not read files", id="a file"),
        ],
    )
    def test_a_publication_that_is_not_valid_is_refused(self, ddp: Command, words: list[str], message: str) -> None:
        ran = ddp("call", "-u", "localhost:1", "save", *words)
        assert ran.code == 2
        assert message in ran.err
