"""`ddp sub` prints the documents of a subscription, or follows them until the condition of the command line is met."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ddpshell
from ddpshell.cli import subscription
from ddpshell.cli.document_lines import ChangeLines, CountLines, DocumentCopies, DocumentLines, Lines, TableLines
from ddpshell.cli.event_queue import EventQueue
from ddpshell.cli.output import Console, OutputFormat, Stream
from ddpshell.cli.process import GivenOptions
from ddpshell.cli.settings import ConnectionSettings
from ddpshell.client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ddpshell.clock import SystemClock
from ddpshell.ejson import ObjectID
from ddpshell.ejson.convert import loss_note
from ddpshell.exceptions import EJSONError
from ddpshell.protocol.codec import DocumentID
from ddpshell.protocol.documents import Documents
from ddpshell.protocol.messages import Added, AddedBefore, Changed, DataMessage, MovedBefore, Raw, Removed
from ddpshell.server import Options
from ddpshell.server.demo import demo_server
from ddpshell.text.escaping import escape_json
from tests.cli.conftest import Command, finished
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.meteor import MeteorServer
from tests.strategies import json_trees, keys, wire_ids

TASKS = """\
{"msg":"added","collection":"tasks","id":"a","fields":{"title":"write a client","done":true,"n":1}}
{"msg":"added","collection":"tasks","id":"b","fields":{"title":"write a server","done":false,"n":2}}
{"msg":"added","collection":"tasks","id":"c","fields":{"title":"write the tests","done":false,"n":3}}
"""


def messages(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.usefixtures("server")
class TestSnapshot:
    @pytest.mark.parametrize(
        ("words", "out"),
        [
            pytest.param(["tasks"], TASKS, id="the added documents"),
            pytest.param(["tasks", "{n: {$gt: 2}}"], TASKS.splitlines(keepends=True)[2], id="of a publication with arguments"),
            pytest.param(["tasks", "-o", "raw"], TASKS, id="raw"),
            pytest.param(["part", "-s", "5"], '{"msg":"added","collection":"parts","id":"doc","fields":{}}\n', id="arguments as strings"),
            pytest.param(["--docs", "items", "2"], '{"_id":"id0","n":0,"s":"item 0"}\n{"_id":"id1","n":1,"s":"item 1"}\n', id="whole documents"),
            pytest.param(["-o", "pretty", "items", "1"], '+ items/id0 {"n": 0, "s": "item 0"}\n', id="pretty"),
            pytest.param(["-o", "pretty", "--docs", "items", "1"], '{"_id": "id0", "n": 0, "s": "item 0"}\n', id="whole documents, pretty"),
            pytest.param(["-o", "table", "items", "2"], "_id  n  s\n---  -  ------\nid0  0  item 0\nid1  1  item 1\n", id="a table"),
            pytest.param(["-o", "table", "items", "0"], "", id="an empty table"),
            pytest.param(["--count", "items", "12"], "12\n", id="the number"),
            pytest.param(["--count", "items", "0"], "0\n", id="the number 0"),
            pytest.param(["--count", "-o", "table", "items", "3"], "3\n", id="the number, as a table"),
            pytest.param(["--collection", "tasks", "tasks"], TASKS, id="of a collection"),
            pytest.param(["--collection", "items", "tasks"], "", id="of another collection"),
            pytest.param(["--collection", "x", "--collection", "items", "--count", "items", "3"], "3\n", id="of two collections"),
            pytest.param(["stopsItself"], '{"msg":"added","collection":"brief","id":"x","fields":{"here":true}}\n', id="of a publication that ends"),
        ],
    )  # fmt: skip
    def test_the_documents_at_ready_are_printed(self, ddp: Command, words: list[str], out: str) -> None:
        assert ddp("sub", *words) == (0, out, "")

    def test_ids_of_all_kinds_are_exact(self, ddp: Command) -> None:
        ids = [message["id"] for message in messages(ddp("sub", "oddIds").out)]
        oid = "0123456789abcdef01234567"
        assert ids == [{"$type": "oid", "$value": oid}, oid, "-dash", "~tilde", "{brace", 42, True, ""]

    def test_a_terminal_gets_the_format_for_people(self, terminal: Callable[..., str]) -> None:
        assert terminal("sub", "--color", "never", "items", "1") == '+ items/id0 {"n": 0, "s": "item 0"}\n'

    def test_a_subscription_that_is_not_ready_in_time_is_an_error_without_output(self, ddp: Command) -> None:
        ran = ddp("sub", "neverReady", "--timeout", "0.2")
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.startswith(
            "ddp: error: no ready for 'neverReady' within 0.2 s; the server may still be working on it\n"
        )


class TestErrors:
    @pytest.mark.usefixtures("server")
    @pytest.mark.parametrize("options", [[], ["--follow"], ["--until", "{a: 1}"], ["--count"]])
    @pytest.mark.parametrize(
        ("name", "err"),
        [
            pytest.param("nope", "ddp: error: Subscription 'nope' not found [404]\n", id="404"),
            pytest.param(
                "bad", 'ddp: error: denied [403]\nddp: details: {"why": "always"}\n', id="an error with details"
            ),
            pytest.param("crashes", "ddp: error: Internal server error [500]\n", id="500"),
        ],
    )
    def test_a_refused_subscription_is_reported(self, ddp: Command, options: list[str], name: str, err: str) -> None:
        assert ddp("sub", "-q", *options, name) == (1, "", err)

    @pytest.mark.parametrize(
        ("words", "err"),
        [
            pytest.param([], "missing NAME", id="no name"),
            pytest.param(["x", "--docs", "--events"], "--events and --docs cannot be used together", id="documents and messages"),
            pytest.param(["x", "--count", "--events"], "--events and --count cannot be used together", id="a number and messages"),
            pytest.param(["x", "-o", "table", "--events"], "-o table cannot show changes", id="a table of events"),
            pytest.param(["x", "--docs", "--count"], "--docs and --count cannot be used together", id="two formats"),
            pytest.param(["x", "--live", "--count"], "--live cannot be used with other options", id="a live number"),
            pytest.param(["x", "-o", "table", "--follow"], "-o table cannot show changes; use it without --follow", id="a table with --follow"),
            pytest.param(["x", "-o", "table", "--until", "{}"], "-o table cannot show", id="a table with --until"),
            pytest.param(["x", "--until", "{a: "], "--until: missing a value", id="an invalid literal"),
            pytest.param(["x", "--until", "{a: {$near: 1}}"], "--until: ", id="an unknown operator"),
            pytest.param(["x", "--until", "[1]"], "--until: a selector must be", id="not a selector"),
            pytest.param(["x", "{a"], "argument 1: ", id="an invalid argument"),
            pytest.param(["x\udcff"], "NAME is not UTF-8 text", id="not UTF-8"),
        ],
    )  # fmt: skip
    def test_an_invalid_command_line_is_reported_before_anything_is_sent(
        self, ddp: Command, words: list[str], err: str
    ) -> None:
        ran = ddp("sub", "-u", "localhost:1", *words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"ddp: error: {err}")

    def test_an_unreachable_server_is_reported_with_a_hint(self, ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DDP_URL", "localhost:1")
        ran = ddp("sub", "x", "--follow")
        assert (ran.code, ran.out) == (3, "")
        assert "(use -u URL for another server)" in ran.err

    def test_a_subscription_that_ends_before_it_is_ready_is_an_error(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            server.send(msg="nosub", id=server.expect("sub")["id"])

        for options in ([], ["--follow"]):
            with ScriptedServer(converse(talk)) as server:
                ran = ddp("sub", "-u", server.url, "x", *options)
            assert (ran.code, ran.out) == (1, "")
            assert ran.err == "ddp: error: 'x' ended before all of its documents arrived [stopped]\n"


@pytest.mark.usefixtures("server")
class TestFollowing:
    def test_changes_are_printed_as_they_come(self, start: Callable[..., subprocess.Popen[str]]) -> None:
        process = start("sub", "ticker", "5", "--follow")
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(6)]
        assert [line["fields"]["n"] for line in lines] == list(range(6))
        assert (lines[0]["msg"], lines[1]["msg"]) == ("added", "changed")
        assert (lines[1]["cleared"], lines[2]["cleared"]) == (["fifth"], [])
        process.send_signal(signal.SIGINT)
        assert finished(process).code == 130

    def test_removed_documents_are_printed(
        self, start: Callable[..., subprocess.Popen[str]], server: LoopbackServer
    ) -> None:
        process = start("sub", "tasks", "--follow", "--docs")
        counting = start("sub", "tasks", "-f", "--count")
        following = start("sub", "tasks", "-f")
        streams = [process.stdout, counting.stdout, following.stdout]
        assert [stream.readline() for stream in streams if stream is not None][1] == "3\n"
        for stream in (process.stdout, following.stdout):
            assert stream is not None
            stream.readline()
            stream.readline()
        with ddpshell.Client(server.url) as client:
            client.call("removeTask", "a").result(timeout=20)
            client.call("setTask", "b", {"n": 7}).result(timeout=20)
        assert process.stdout is not None
        assert process.stdout.readline() == '{"_id":"b","title":"write a server","done":false,"n":7}\n'
        assert counting.stdout is not None
        assert counting.stdout.readline() == "2\n"
        assert following.stdout is not None
        assert following.stdout.readline() == '{"msg":"removed","collection":"tasks","id":"a"}\n'
        assert (
            following.stdout.readline()
            == '{"msg":"changed","collection":"tasks","id":"b","fields":{"n":7},"cleared":[]}\n'
        )

    def test_the_command_ends_when_the_server_stops_the_subscription(self, ddp: Command) -> None:
        ran = ddp("sub", "stopsItself", "50", "--follow")
        assert ddp("sub", "stopsItself", "50", "--live").out == ran.out, "without a terminal, --live is like --follow"
        assert ran.code == 0
        assert [message["msg"] for message in messages(ran.out)] == ["added", "removed"]
        assert ran.err == "ddp: note: the server stopped 'stopsItself'\n"

    def test_a_subscription_that_fails_later_is_an_error(self, ddp: Command) -> None:
        ran = ddp("sub", "failsLater", "50", "--follow")
        assert (ran.code, ran.err) == (1, "ddp: error: it failed in the end [later]\n")

    def test_following_ends_after_the_timeout(self, ddp: Command) -> None:
        ran = ddp("sub", "tasks", "--follow", "--timeout", "0.3")
        assert (ran.code, ran.out) == (5, TASKS)
        assert ran.err.startswith("ddp: error: stopped following 'tasks' after 0.3 s\n")

    def test_the_default_timeout_does_not_limit_following(self, ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        usual = ConnectionSettings.of

        def shorter(given: GivenOptions) -> ConnectionSettings:
            settings = usual(given)
            assert settings.timeout == 30
            return msgspec.structs.replace(settings, timeout=0.3)

        monkeypatch.setattr(ConnectionSettings, "of", staticmethod(shorter))
        assert ddp("sub", "neverReady", "--follow").code == 5
        assert ddp("sub", "stopsItself", "600", "--follow").code == 0
        assert ddp("sub", "stopsItself", "600", "--until", "{here: false}").code == 5

    def test_verbose_reports_that_the_subscription_is_ready(self, ddp: Command) -> None:
        err = ddp("sub", "-v", "stopsItself", "50", "--follow").err
        assert "ddp: note: 'stopsItself' is ready, documents: 1\n" in err


@pytest.mark.parametrize("words", [["--follow"], ["--events"]])
def test_a_pausing_consumer_loses_neither_the_connection_nor_a_line(
    start: Callable[..., subprocess.Popen[str]], words: list[str]
) -> None:
    """H2, H5: pings are answered while the consumer does not read, and no document is lost when it reads again."""
    serving = demo_server(Options(heartbeat_interval=1.5, heartbeat_timeout=1.5))
    pings: queue.SimpleQueue[str] = queue.SimpleQueue()
    serving.on_frame(lambda frame: pings.put("") if "ping" in frame.text and not frame.is_sent else None)
    with LoopbackServer(serving) as server:
        process = start("sub", "items", "40000", "-u", server.url, *words)
        # Without answers to these pings, the server would close the connection.
        for _ in range(4):
            pings.get(timeout=PATIENCE)
        assert len(server.server.connections) == 1
        assert process.stdout is not None
        for number in range(40_000):
            assert json.loads(process.stdout.readline())["id"] == f"id{number}"
        process.send_signal(signal.SIGINT)
        ran = finished(process)
        assert ran.err in ("", "ddp: error: interrupted\n")


def test_a_large_text_counts_as_many_small_ones_when_the_consumer_is_slow() -> None:
    held: list[bool] = []
    with EventQueue[Any](SystemClock(), capacity=20) as waiting:
        waiting.hold = held.append
        listen = subscription.listener(waiting, ["c"])
        listen(DocumentAdded("other", "a", {}, b"x" * 30_000))
        for number in range(9):
            listen(DocumentAdded("c", str(number), {}, b"{}"))
        assert not held
        listen(DocumentChanged("c", "a", {}, (), b"x" * 30_000))
        assert held == [True]


class TestEvents:
    """K33, K34: Rocket.Chat's streams send the same change of a document again and again, and never add the document."""

    TYPING = '{"msg":"changed","collection":"stream-notify-room","id":"id","fields":{"eventName":"r/typing","args":["bob",true]}}'

    def printed(self, ddp: Command, *texts: str, words: tuple[str, ...] = ()) -> list[str]:
        """Subscribe to a stream that sends these messages, and return the printed lines."""

        def talk(server: Conversation) -> None:
            subscription = server.expect("sub")
            server.send(msg="ready", subs=[subscription["id"]])
            for text in texts:
                server.send_text(text)
            server.send(msg="nosub", id=subscription["id"])
            server.wait_closed()

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("sub", "stream-notify-room", "r/typing", "false", "--events", "-q", "-u", server.url, *words)
        assert (ran.code, ran.err) == (0, "")
        return ran.out.splitlines()

    def test_each_message_is_printed_unchanged_on_a_line(self, ddp: Command) -> None:
        other = self.TYPING.replace("true", "false")
        dated = self.TYPING.replace("true", '{"$date":1.0}')
        texts = [self.TYPING, self.TYPING, other, self.TYPING, dated]
        assert self.printed(ddp, *texts) == texts

    def test_messages_of_all_kinds_are_printed_unchanged(self, ddp: Command) -> None:
        texts = [
            '{"msg":"added","collection":"c","id":"-1","fields":{"a":{"$date":0}},"unknown":[]}',
            '{"msg":"added","collection":"c","id":"-1","fields":{"a":{"$date":0}}}',
            '{"id":"-1","msg":"changed","collection":"c"}',
            '{"msg":"changed","collection":"c","id":"-1","cleared":["a","b"]}',
            '{"msg":"removed","collection":"c","id":"never added"}',
            '{"msg":"addedBefore","collection":"c","id":"x","before":null}',
            '{"msg":"movedBefore","collection":"c","id":"x","before":"-1"}',
        ]
        assert self.printed(ddp, *texts) == texts
        assert self.printed(ddp, *texts, words=("--follow", "-o", "pretty")) == texts

    def test_messages_can_be_limited_to_one_collection(self, ddp: Command) -> None:
        other = '{"msg":"removed","collection":"x","id":"a"}'
        assert self.printed(ddp, other, self.TYPING, words=("--collection", "stream-notify-room")) == [self.TYPING]

    def test_control_characters_in_a_message_are_replaced_or_escaped(self, ddp: Command) -> None:
        text = '{"msg": "removed",\r\n"collection": "x",\t"id": "a\\u001b\\n\x9b"}'
        assert self.printed(ddp, text) == ['{"msg": "removed", "collection": "x", "id": "a\\u001b\\n\\u009b"}']

    def test_until_ends_the_messages_when_a_document_matches(self, ddp: Command) -> None:
        words = ("--until", "{args: 'ann'}")
        assert self.printed(ddp, self.TYPING, self.TYPING.replace("bob", "ann"), self.TYPING, words=words)[:2] == [
            self.TYPING,
            self.TYPING.replace("bob", "ann"),
        ]


@pytest.mark.usefixtures("server")
class TestUntil:
    def test_the_command_ends_when_a_document_matches(self, ddp: Command) -> None:
        ran = ddp("sub", "ticker", "5", "--until", "{n: {$gte: 3}}")
        assert (ran.code, ran.err) == (0, "")
        assert [message["fields"]["n"] for message in messages(ran.out)] == [0, 1, 2, 3]

    def test_a_document_that_matches_before_ready_ends_the_command(self, ddp: Command) -> None:
        ran = ddp("sub", "tasks", "--docs", "--until", "{title: {$what: 1}, n: 1}", "-o", "json")
        assert ran.code == 2
        ran = ddp("sub", "tasks", "--docs", "--until", "{n: 1}")
        assert (ran.code, ran.out) == (0, '{"_id":"a","title":"write a client","done":true,"n":1}\n')

    @pytest.mark.parametrize(
        ("words", "out"),
        [
            pytest.param(["tasks", "--until", "{}"], "1\n", id="the first document"),
            pytest.param(["items", "5", "--until", "{n: 2}"], "3\n", id="a later document"),
            pytest.param(["ticker", "5", "--until", "{n: 2}"], "1\n", id="a change"),
        ],
    )
    def test_count_prints_the_number_of_documents_at_the_end(self, ddp: Command, words: list[str], out: str) -> None:
        assert ddp("sub", *words, "--count") == (0, out, "")

    def test_an_id_is_a_selector(self, ddp: Command) -> None:
        assert len(messages(ddp("sub", "tasks", "--until", "b").out)) == 2

    def test_a_document_of_another_collection_does_not_end_the_command(self, ddp: Command) -> None:
        ran = ddp("sub", "tasks", "--until", "{n: 1}", "--collection", "items", "--timeout", "0.3")
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.startswith("ddp: error: no document matched within 0.3 s\n")

    def test_a_subscription_that_ends_before_a_match_is_an_error(self, ddp: Command) -> None:
        ran = ddp("sub", "stopsItself", "50", "--until", "{here: false}")
        assert ran.code == 1
        assert ran.err == "ddp: error: the server stopped 'stopsItself' before a document matched [stopped]\n"


class TestConnection:
    def test_without_reconnect_a_lost_connection_ends_the_command(
        self, start: Callable[..., subprocess.Popen[str]], server: LoopbackServer
    ) -> None:
        process = start("sub", "tasks", "--follow")
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        server.drop()
        ran = finished(process)
        assert (ran.code, ran.out) == (6, "")
        assert ran.err.endswith("ddp: hint: with --reconnect, ddp connects again after a lost connection\n")

    def test_with_reconnect_changes_made_meanwhile_are_printed_as_changes(
        self, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        def first(server: Conversation) -> None:
            sub = server.expect("sub")["id"]
            for id_ in "ab":
                server.send(msg="added", collection="c", id=id_, fields={"n": 1})
            server.send(msg="ready", subs=[sub])
            server.drop()

        def second(server: Conversation) -> None:
            sub = server.expect("sub")["id"]
            server.send(msg="added", collection="c", id="b", fields={"n": 2})
            server.send(msg="added", collection="c", id="d", fields={})
            server.send(msg="ready", subs=[sub])

        with ScriptedServer(converse(first), converse(second, "another-session")) as server:
            process = start("sub", "-u", server.url, "x", "--follow", "--reconnect")
            assert process.stdout is not None
            lines = [json.loads(process.stdout.readline()) for _ in range(5)]
            process.send_signal(signal.SIGTERM)
            ran = finished(process)
        assert [(line["msg"], line["id"]) for line in lines[:2]] == [("added", "a"), ("added", "b")]
        assert sorted((line["msg"], line["id"]) for line in lines[2:]) == [
            ("added", "d"),
            ("changed", "b"),
            ("removed", "a"),
        ]
        assert ran.code == 143
        assert re.search(r"note: connected: new session another-session", ran.err)


class TestPipes:
    @pytest.mark.usefixtures("server")
    def test_sub_ends_when_its_reader_is_gone_even_if_no_document_changes(
        self, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        process = start("sub", "tasks", "--follow")
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""

    @pytest.mark.usefixtures("server")
    @pytest.mark.parametrize("options", [[], ["--follow"], ["--count"]])
    def test_a_full_disk_is_reported(self, start: Callable[..., subprocess.Popen[str]], options: list[str]) -> None:
        with open("/dev/full", "w") as full:  # noqa: PTH123 - not a path of a test folder
            ran = finished(start("sub", "tasks", *options, stdout=full))
        assert ran.code == 7
        assert ran.err == "ddp: error: cannot write to standard output: No space left on device\n"

    @pytest.mark.parametrize(
        ("number", "code"),
        [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")],
    )
    def test_an_interruption_closes_the_connection_in_order(
        self, start: Callable[..., subprocess.Popen[str]], number: signal.Signals, code: int
    ) -> None:
        processes: list[subprocess.Popen[str]] = []
        said: list[object] = []

        def talk(server: Conversation) -> None:
            server.send(msg="ready", subs=[server.expect("sub")["id"]])
            processes[0].send_signal(number)
            said.append(server.expect("disconnect"))
            said.append(server.wait_closed())

        with ScriptedServer(converse(talk)) as server:
            processes.append(start("sub", "-u", server.url, "x", "--follow"))
            ran = finished(processes[0])
        assert ran == (code, "", "")
        assert said == [{"msg": "disconnect"}, 1000]

    def test_an_interruption_does_not_cut_a_line(self, start: Callable[..., subprocess.Popen[str]]) -> None:
        # The line does not fit into the pipe, so the signal comes while it is being written.
        long = "x" * 300_000

        def talk(server: Conversation) -> None:
            sub = server.expect("sub")["id"]
            server.send(msg="added", collection="c", id="a", fields={"long": long})
            server.send(msg="ready", subs=[sub])

        with ScriptedServer(converse(talk)) as server:
            process = start("sub", "-u", server.url, "x", "--follow")
            assert process.stdout is not None
            first = os.read(process.stdout.fileno(), 1)
            process.send_signal(signal.SIGTERM)
            ran = finished(process)
        assert ran.code == 143
        assert json.loads(first.decode() + ran.out)["fields"] == {"long": long}


class TestAgainstMeteor:
    @pytest.mark.parametrize(
        ("words", "code", "out"),
        [
            pytest.param(["--docs", "items", "1"], 0, '{"_id":"id0","n":0,"s":"item 0","d":{"$date":0}}\n', id="documents"),
            pytest.param(["--count", "items", "1000"], 0, "1000\n", id="many documents"),
            pytest.param(["stopsItself"], 0, '{"msg":"added","collection":"brief","id":"x","fields":{"here":true}}\n', id="a publication that ends"),
            pytest.param(["bad"], 1, "", id="a publication that refuses"),
            pytest.param(["crashes"], 1, "", id="a publication that crashes"),
            pytest.param(["nope"], 1, "", id="an unknown publication"),
            pytest.param(["membersOnly"], 1, "", id="a publication for other users"),
            pytest.param(["--timeout", "0.3", "neverReady"], 5, "", id="a publication that is never ready"),
        ],
    )  # fmt: skip
    def test_the_documents_of_a_real_server_are_printed(
        self, ddp: Command, meteor_server: MeteorServer, words: list[str], code: int, out: str
    ) -> None:
        ran = ddp("sub", "-u", meteor_server.url, *words)
        assert (ran.code, ran.out) == (code, out)

    def test_changes_of_a_real_server_are_followed_until_a_document_matches(
        self, ddp: Command, meteor_server: MeteorServer
    ) -> None:
        ran = ddp("sub", "-u", meteor_server.url, "ticker", "5", "--until", "{n: 5, fifth: true}")
        assert ran.code == 0
        assert messages(ran.out)[1] == {
            "msg": "changed",
            "collection": "ticks",
            "id": "tick",
            "fields": {"n": 1},
            "cleared": ["fifth"],
        }


# ------------------------------------------------------------ changes


OID = ObjectID("0123456789abcdef01234567")


ADDED = DocumentAdded("tasks", "a", {"n": 1, "done": False})


def ids(copies: DocumentCopies) -> list[object]:
    return [document["_id"] for _, documents in copies.collections() for document in documents]


class TestDocumentCopies:
    def test_a_change_replaces_and_clears_fields(self) -> None:
        copies = DocumentCopies()
        assert copies.apply(ADDED) == {"_id": "a", "n": 1, "done": False}
        assert copies.apply(DocumentChanged("tasks", "a", {"n": 2}, ("done",))) == {"_id": "a", "n": 2}
        assert list(copies.collections()) == [("tasks", [{"_id": "a", "n": 2}])]

    def test_a_removed_document_is_deleted_and_so_is_an_empty_collection(self) -> None:
        copies = DocumentCopies()
        copies.apply(ADDED)
        assert copies.apply(DocumentRemoved("tasks", "a")) is None
        assert (copies.count, list(copies.collections())) == (0, [])

    def test_ids_that_are_equal_in_python_are_different_documents(self) -> None:
        copies = DocumentCopies()
        every: tuple[DocumentID, ...] = (1, True, "1", OID, OID.hex)
        for id_ in every:
            copies.apply(DocumentAdded("odd", id_, {}))
        assert copies.count == len(every)

    @pytest.mark.parametrize(
        ("before", "order"),
        [
            pytest.param("a", ["c", "a", "b"], id="to the beginning"),
            pytest.param("b", ["a", "c", "b"], id="between two documents"),
            pytest.param(None, ["a", "b", "c"], id="to the end"),
            pytest.param("unheard-of", ["a", "b", "c"], id="before an unknown document"),
        ],
    )
    def test_a_document_can_move(self, before: str | None, order: list[str]) -> None:
        copies = DocumentCopies()
        for id_ in "abc":
            copies.apply(DocumentAdded("ordered", id_, {}))
        assert copies.apply(DocumentMoved("ordered", "c", before)) == {"_id": "c"}
        assert ids(copies) == order

    @given(
        st.lists(
            st.tuples(st.sampled_from("xyz"), st.sampled_from("abc"), st.sampled_from("ACRBM"), st.sampled_from("abc")),
            max_size=30,
        )
    )
    def test_the_copies_equal_the_documents_of_the_client(self, steps: list[tuple[str, str, str, str]]) -> None:
        copies = DocumentCopies()

        def tell(event: DocumentEvent) -> None:
            copies.apply(event)

        documents = Documents(tell)
        documents.watched = True
        for number, (collection, id_, kind, other) in enumerate(steps):
            fields = Raw(json.dumps({f"f{number % 3}": number}).encode())
            messages: dict[str, DataMessage] = {
                "A": Added(collection=collection, id=id_, fields=fields),
                "C": Changed(collection=collection, id=id_, fields=fields, cleared=("f0",)),
                "R": Removed(collection=collection, id=id_),
                "B": AddedBefore(collection=collection, id=id_, fields=fields, before=other),
                "M": MovedBefore(collection=collection, id=id_, before=other),
            }
            documents.apply(messages[kind])
        for name in "xyz":
            assert dict(copies.collections()).get(name, []) == list(documents.scan(name))


class TestSnapshots:
    """The fast way makes lines from the texts of documents. The lines must have the values of those that are made from values.

    The fast way may spell a number or a character as the server does, such as 1e2 for 100.0.
    """

    @staticmethod
    def lines(
        paper: Paper, texts: dict[str, str], kind: type[ChangeLines | DocumentLines], *, is_fast: bool
    ) -> tuple[str, bool]:
        documents, failed = Documents(lambda _: None), False
        for id_, text in texts.items():
            try:
                documents.apply(Added(collection="c\u202e", id=id_, fields=Raw(text.encode())))
            except EJSONError:
                failed = True
        notes: list[str] = []

        def note(values: Iterable[Any]) -> bool:
            found = loss_note(values, "a document")
            notes.extend([found] if found is not None else [])
            return found is not None

        snapshots, copies = documents.snapshot(), DocumentCopies()
        if is_fast:
            assert kind(paper).print_snapshots(snapshots, note)
        else:
            for name, snapshot in snapshots.items():
                for document in snapshot.documents():
                    copies.add(name, document)
                    if not notes:
                        note(document.values())
            changes = kind(paper)
            changes.print_all(copies)
            changes.flush(note)
        lines = paper.read().splitlines()
        for line in lines:
            assert escape_json(line) == line
            compact = line.replace("\\ud800", "?")
            assert msgspec.json.format(compact, indent=-1) == compact, "there are no spaces between tokens"
        # 1, 1.0 and True are equal, but their texts are not.
        return repr([json.loads(line) for line in lines]), bool(notes) or failed

    @given(
        st.dictionaries(
            wire_ids().filter(lambda id_: not id_.startswith("~")),
            st.tuples(
                st.dictionaries(keys() | st.just("_id"), json_trees(max_leaves=8), max_size=4),
                st.booleans(),
                st.sampled_from([None, 1]),
            ),
            max_size=6,
        )
    )
    def test_both_ways_print_the_same_lines_of_random_documents(
        self, tmp_path_factory: pytest.TempPathFactory, documents: dict[str, tuple[Any, bool, int | None]]
    ) -> None:
        texts = {
            id_.replace("\ud800", ""): json.dumps(tree, ensure_ascii=is_ascii, indent=indent).replace(
                "\ud800", "\\ud800"
            )
            for id_, (tree, is_ascii, indent) in documents.items()
        }
        with (tmp_path_factory.mktemp("out") / "out").open("a") as file:
            paper = Paper(file)
            paper.configure(OutputFormat.JSON)
            for kind in (ChangeLines, DocumentLines):
                fast, slow = (self.lines(paper, texts, kind, is_fast=is_fast) for is_fast in (True, False))
                assert fast == slow

    @pytest.mark.parametrize("kind", [ChangeLines, DocumentLines])
    def test_an_id_that_is_a_large_integer_is_noted(
        self, paper: Paper, kind: type[ChangeLines | DocumentLines]
    ) -> None:
        """E20, I10."""
        paper.configure(OutputFormat.JSON)
        for fields in ("{}", '{"n":-0}'):
            _, is_noted = self.lines(paper, {"a": "{}", "~9007199254740993": fields}, kind, is_fast=True)
            assert is_noted

    def test_large_documents_are_printed_one_by_one(self, paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
        paper.configure(OutputFormat.JSON)
        written: list[str] = []
        monkeypatch.setattr(paper, "write", written.append)
        documents = Documents(lambda _: None)
        for number, size in enumerate([1, 1, 600_000, 600_000]):
            documents.apply(Added(collection="c", id=str(number), fields=Raw(b'{"s":"%s"}' % (b"x" * size))))
        assert ChangeLines(paper).print_snapshots(documents.snapshot(), lambda _: False)
        assert [json.loads(line)["id"] for line in written] == ["0", "1", "2", "3"]

    @pytest.mark.parametrize(
        "value",
        [
            '{"$date":0}', '{"$date":-1}', '{"$date":-0}', '{"$date": 5}', '{"$date":1.5}', '{"$date":999999999999999}',
            '{"$date":"2026-01-02"}', '{"$date":null}', '{"$binary":"AQ=="}', '{"$binary":"AQ"}', '{"$InfNaN":0}', '{"$InfNaN":-1}',
            '{"$escape":{"$date":1}}', '{"$escape":{"a":1}}', '{"$type":"oid","$value":"0123456789abcdef01234567"}',
            '{"$type":"oid","$value":"0123456789ABCDEF01234567"}', '{"$value":"0123456789abcdef01234567","$type":"oid"}',
            '{"$type":"Decimal","$value":"1.10"}', '{"$type":"Decimal","$value":"1E+2"}', '{"$type":"x","$value":[1]}',
            '{"$regexp":"a","$flags":"ig"}', '{"$regexp":"a","$flags":"gx"}', '{"\\u0024date":1}', '{"$date":1,"$date":2}',
            '{"$date":1,"a":2}', '"$"', "-0", "-0.0", "[-0]", "[1,-0]", " -0", "1.0", "1e2", "1E400", "1.50", "9007199254740993",
            "0.12345678901234567", "12345678901234567890123", '"\\u0041\\/"', '"\\ud800"', '"\\ud83d\\ude00"', '"\x7f\x9b\u2028\u202e"',
            '"\\u0007"', '{"a":1,"a":2}', '{"_id":1}', "[ 1 , 2 ]", '{ "a, b" : [ 1 ,\n{} ] }',
            '{"_id":1,"a":{"_id":2}}', '"\\u005fid"', "-0e5", "-0.00", "-0.5", "1e99", "1e100", "1E+309", "-1e400", '"1e400 -0"',
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("beside", ["", '"d":{"$date":1767323045678},'])
    def test_both_ways_print_the_same_value(self, tmp_path: Path, value: str, beside: str) -> None:
        texts = {
            "a": '{"n":1}',
            "b": f'{{{beside}"v":{value}}}',
            "c": '{"n":2}',
            "d": '{"\\u005fid":1,"_id":2}',
            "e": "{}",
        }
        with (tmp_path / "out").open("a") as file:
            paper = Paper(file)
            paper.configure(OutputFormat.JSON)
            for kind in (ChangeLines, DocumentLines):
                fast, slow = (self.lines(paper, texts, kind, is_fast=is_fast) for is_fast in (True, False))
                assert fast == slow


class TestTexts:
    """Changes are printed from the texts of messages. The lines must have the values of those that are made from values."""

    @staticmethod
    def lines(paper: Paper, messages: list[DataMessage], *, emits_texts: bool) -> tuple[str, bool]:
        events: list[DocumentEvent] = []
        documents, lines, notes = Documents(events.append), ChangeLines(paper), list[str]()

        def note(values: Iterable[Any]) -> None:
            found = loss_note(values, "a document")
            notes.extend([found] if found is not None else [])

        documents.watched, documents.emits_texts = True, emits_texts
        is_refused = False
        for message in messages:
            try:
                documents.apply(message)
            except EJSONError:
                is_refused = True
        for event in events:
            if isinstance(event, DocumentAdded | DocumentChanged):
                note(event.fields.values())
            lines.print_change(event, None, DocumentCopies())
        lines.flush(note)
        return repr([json.loads(line) for line in paper.read().splitlines()]), bool(notes) or is_refused

    @given(
        st.lists(
            st.tuples(
                st.sampled_from("ab"),
                st.sampled_from([Added, Changed, Removed]),
                st.dictionaries(st.sampled_from(["n", "s", "_id"]), json_trees(max_leaves=4), max_size=3),
                st.sampled_from([(), ("n",), ("n", "other")]),
            ),
            max_size=8,
        )
    )
    def test_random_messages_print_the_same_values(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        steps: list[tuple[str, type[Added | Changed | Removed], dict[str, Any], tuple[str, ...]]],
    ) -> None:
        messages: list[DataMessage] = []
        for id_, kind, fields, cleared in steps:
            text = Raw(json.dumps(fields).encode())
            if kind is Added:
                messages.append(Added(collection="c", id=id_, fields=text))
            elif kind is Changed:
                messages.append(Changed(collection="c", id=id_, fields=text, cleared=cleared))
            else:
                messages.append(Removed(collection="c", id=id_))
        with (tmp_path_factory.mktemp("out") / "out").open("a") as file:
            paper = Paper(file)
            paper.configure(OutputFormat.JSON)
            fast, slow = (self.lines(paper, messages, emits_texts=emits) for emits in (True, False))
        assert fast == slow

    def test_the_text_is_printed_if_all_values_in_it_are_new(self, paper: Paper) -> None:
        paper.configure(OutputFormat.JSON)
        events: list[DocumentEvent] = []
        documents = Documents(events.append)
        documents.watched = documents.emits_texts = True
        documents.apply(Added(collection="c", id="a", fields=Raw(b'{"n": 1e2, "s": "x"}')))
        documents.apply(Changed(collection="c", id="a", fields=Raw(b'{"n": 1e3}')))
        documents.apply(Changed(collection="c", id="a", fields=Raw(b'{"n":1e4,"s":"x"}')))
        documents.apply(Changed(collection="c", id="a", fields=Raw(b'{"n":1e4}')))
        documents.apply(Changed(collection="c", id="a", fields=Raw(b'{"n":1e5,"s":"y"}'), cleared=("s",)))
        lines = ChangeLines(paper)
        for event in events:
            lines.print_change(event, None, DocumentCopies())
        lines.flush(lambda _: None)
        assert paper.read().splitlines() == [
            '{"msg":"added","collection":"c","id":"a","fields":{"n":1e2,"s":"x"}}',
            '{"msg":"changed","collection":"c","id":"a","fields":{"n":1e3},"cleared":[]}',
            '{"msg":"changed","collection":"c","id":"a","fields":{"n":10000.0},"cleared":[]}',
            '{"msg":"changed","collection":"c","id":"a","fields":{"n":100000.0},"cleared":["s"]}',
        ]


# ------------------------------------------------------------------------------------------------------ the lines
class Paper(Console):
    """A console whose output is a file."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self.file = file
        self.out = Stream(file)

    def read(self) -> str:
        written = Path(self.file.name).read_text()
        os.truncate(self.file.fileno(), 0)
        return written


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Paper]:
    with (tmp_path / "out").open("a") as file:
        yield Paper(file)


def follow(lines: Lines, events: list[DocumentEvent], ready_after: int = 0) -> None:
    copies = DocumentCopies()
    for number, event in enumerate(events):
        if number == ready_after:
            lines.begin_changes(copies)
        document = copies.apply(event)
        lines.print_change(event, document, copies)
    lines.flush(lambda _: None)


EVENTS: list[DocumentEvent] = [
    ADDED,
    DocumentAdded("tasks", OID, {}),
    DocumentChanged("tasks", "a", {"n": 2}, ("done",)),
    DocumentChanged("tasks", "a", {"when": OID}, ()),
    DocumentMoved("tasks", "a", OID),
    DocumentMoved("tasks", "a", None),
    DocumentRemoved("tasks", "a"),
]


JSON = """\
{"msg":"added","collection":"tasks","id":"a","fields":{"n":1,"done":false}}
{"msg":"added","collection":"tasks","id":{"$type":"oid","$value":"0123456789abcdef01234567"},"fields":{}}
{"msg":"changed","collection":"tasks","id":"a","fields":{"n":2},"cleared":["done"]}
{"msg":"changed","collection":"tasks","id":"a","fields":{"when":{"$type":"oid","$value":"0123456789abcdef01234567"}},"cleared":[]}
{"msg":"movedBefore","collection":"tasks","id":"a","before":{"$type":"oid","$value":"0123456789abcdef01234567"}}
{"msg":"movedBefore","collection":"tasks","id":"a","before":null}
{"msg":"removed","collection":"tasks","id":"a"}
"""


PRETTY = """\
+ tasks/a {"n": 1, "done": false}
+ tasks/ObjectID("0123456789abcdef01234567") {}
~ tasks/a {"n": 2} without done
~ tasks/a {"when": ObjectID("0123456789abcdef01234567")}
> tasks/a moved before ObjectID("0123456789abcdef01234567")
> tasks/a moved to the end
- tasks/a
"""


@pytest.mark.parametrize(
    ("output", "text"),
    [
        pytest.param(OutputFormat.JSON, JSON, id="json"),
        pytest.param(OutputFormat.AUTO, JSON, id="auto, on a pipe"),
        pytest.param(OutputFormat.RAW, JSON, id="raw"),
        pytest.param(OutputFormat.PRETTY, PRETTY, id="pretty"),
    ],
)
def test_each_change_is_a_line(paper: Paper, output: OutputFormat, text: str) -> None:
    paper.configure(output)
    follow(ChangeLines(paper), EVENTS)
    assert paper.read() == text


def test_control_characters_in_names_ids_and_fields_are_escaped(paper: Paper) -> None:
    events: list[DocumentEvent] = [
        DocumentAdded("\x1b[2Jc", "\u202eid", {"\x07": "\x9b"}),
        DocumentChanged("\x1b[2Jc", "\u202eid", {}, ("\x07",)),
    ]
    for output in (OutputFormat.JSON, OutputFormat.PRETTY):
        paper.configure(output)
        follow(ChangeLines(paper), events)
        written = paper.read()
        assert len(written.splitlines()) == 2
        assert written.replace("\n", "").isprintable()


def test_changes_are_colored_if_colors_are_used(paper: Paper) -> None:
    paper.configure(OutputFormat.PRETTY, "always")
    follow(ChangeLines(paper), EVENTS)
    assert "\x1b[32m+ tasks/a \x1b[0m" in paper.read()


def test_each_added_or_changed_document_is_printed_whole(paper: Paper) -> None:
    follow(DocumentLines(paper), [ADDED, DocumentChanged("tasks", "a", {"n": 2}, ("done",)), EVENTS[-1]])
    assert paper.read() == '{"_id":"a","n":1,"done":false}\n{"_id":"a","n":2}\n'


def test_the_number_is_printed_at_ready_and_whenever_it_changes(paper: Paper) -> None:
    events: list[DocumentEvent] = [
        *(DocumentAdded("tasks", str(number), {}) for number in range(4)),
        DocumentChanged("tasks", "1", {"n": 5}, ()),
        DocumentAdded("others", "1", {}),
        DocumentRemoved("tasks", "3"),
    ]
    follow(CountLines(paper), events, ready_after=3)
    assert paper.read() == "3\n4\n5\n4\n"


def test_tables_of_several_collections_have_their_names(paper: Paper) -> None:
    paper.configure(OutputFormat.TABLE)
    copies = DocumentCopies()
    TableLines(paper).print_all(copies)
    assert paper.read() == ""
    copies.apply(DocumentAdded("tasks", "a", {"n": 1}))
    TableLines(paper).print_all(copies)
    assert paper.read() == "_id  n\n---  -\na    1\n"
    copies.apply(DocumentAdded("\x1bpeople", "b", {}))
    TableLines(paper).print_all(copies)
    assert paper.read() == "tasks:\n_id  n\n---  -\na    1\n\n\\x1bpeople:\n_id\n---\nb\n"


@pytest.mark.usefixtures("server")
class TestSelection:
    """Options select the part of the documents that is printed."""

    @pytest.mark.parametrize(
        ("words", "out"),
        [
            (["--fields", "title", "--sort", "-n", "--limit", "1"],
             '{"msg":"added","collection":"tasks","id":"c","fields":{"title":"write the tests"}}\n'),
            (["--docs", "--fields", "n"], '{"_id":"a","n":1}\n{"_id":"b","n":2}\n{"_id":"c","n":3}\n'),
            (["--docs", "--fields", "-title,-done", "--sort", "{done: -1, n: -1}"],
             '{"_id":"a","n":1}\n{"_id":"c","n":3}\n{"_id":"b","n":2}\n'),
            (["--docs", "--fields", "{_id: 0, n: 1}", "--limit", "2"], '{"n":1}\n{"n":2}\n'),
            (["-o", "table", "--fields", "n", "--limit", "1"], "_id  n\n---  -\na    1\n"),
            (["--limit", "9", "--docs", "--fields", "n", "--sort", "-n"], '{"_id":"c","n":3}\n{"_id":"b","n":2}\n{"_id":"a","n":1}\n'),
        ],
    )  # fmt: skip
    def test_options_select_fields_order_and_number_of_the_documents(
        self, ddp: Command, words: list[str], out: str
    ) -> None:
        assert ddp("sub", "tasks", *words) == (0, out, "")

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (["--sort", "n", "--follow"], "--sort needs all documents"),
            (["--sort", "n", "--until", "{n: 1}"], "--sort needs all documents"),
            (["--sort", "{$x: 1}"], "--sort: '$x' is not the name of a field"),
            (["--sort", "$x"], "--sort: '$x' is not the name of a field; write, for example, title or title,-n"),
            (["--sort", "n,-"], "--sort: '-' is not the name of a field"),
            (["--sort", ","], "--sort: ',' is not the name of a field"),
            (["--fields", " , "], "--fields: ' , ' is not the name of a field"),
            (["--fields", ""], "--fields: must not be empty"),
            (["--until", ""], "--until: must not be empty"),
            (["--collection", ""], "--collection: must not be empty"),
            (["--as", ""], "--as: must not be empty"),
            (["--sort", "{n: "], "--sort: "),
            (["--fields", "a,-b"], "--fields: "),
            (["--fields", "-_id"], "--fields without _id needs --docs or -o table"),
            (["--fields", "n", "--count"], "--fields and --count cannot be used together"),
            (["--limit", "1", "--count"], "--limit and --count cannot be used together"),
            (["--fields", "n", "--events"], "--fields and --events cannot be used together"),
            (["--limit", "0"], "--limit: 0 is not in the range"),
        ],
    )
    def test_an_invalid_selection_is_reported(self, ddp: Command, words: list[str], error: str) -> None:
        ran = ddp("sub", "tasks", *words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"ddp: error: {error}")

    @pytest.mark.parametrize("option", ["--follow", "--events"])
    def test_limit_ends_following_after_that_many_changes(self, ddp: Command, option: str) -> None:
        ran = ddp("sub", "ticker", option, "--limit", "3")
        assert (ran.code, ran.err) == (0, "")
        assert [json.loads(line)["msg"] for line in ran.out.splitlines()] == ["added", "changed", "changed"]

    def test_a_change_without_a_selected_field_is_not_printed(self, ddp: Command) -> None:
        """Only the ticker's first message and every fifth one have the field. The messages between them are not counted."""
        ran = ddp("sub", "ticker", "--follow", "--fields", "fifth", "--limit", "3")
        changes = [json.loads(line) for line in ran.out.splitlines()]
        assert [(change["msg"], change["fields"], change.get("cleared")) for change in changes] == [
            ("added", {"fifth": True}, None),
            ("changed", {}, ["fifth"]),
            ("changed", {"fifth": True}, []),
        ]
