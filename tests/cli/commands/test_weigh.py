from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ddpshell.ejson import Date
from ddpshell.server import Subscription
from tests.benchmarks import programs
from tests.cli.conftest import Command
from tests.fault_proxy import DOWN, UP, FaultProxy
from tests.loopback import LoopbackServer
from tests.machine import TOP
from tests.meteor import MeteorServer


@pytest.mark.parametrize("publication", [["tasks"], ["items", "500"], ["mixed"]])
def test_the_bytes_equal_those_that_a_proxy_counts(ddp: Command, publication: list[str]) -> None:
    server = LoopbackServer()

    @server.server.publish
    def mixed(sub: Subscription) -> None:
        sub.added("users", "u", {"näme\n": "é😀", "at": Date(0), "nested": {"a": [1, {"b": None}]}})
        sub.added("logs", "l", {"text": "x" * 3000})
        sub.changed("users", "u", {"at": Date(1)}, ["nested"])
        sub.removed("logs", "l")
        sub.added("logs", "m", {})
        sub.ready()

    with server, FaultProxy(server.port, record=True) as proxy:
        weight = json.loads(ddp("weigh", *publication, "-u", proxy.url).out)
        proxy.wait_idle()
        [texts] = proxy.texts(DOWN)
        assert [message["msg"] for message in proxy.messages(UP)[0]][:2] == ["connect", "sub"]
    data = [text for text in texts if re.match(r'\{"msg":"(?:added|changed|removed)"', text)]
    assert data
    assert weight["bytes"] == sum(len(text.encode()) for text in data)
    assert weight["documents"] == sum('"msg":"added"' in text for text in data)
    assert sum(collection["bytes"] for collection in weight["collections"]) == weight["bytes"]
    for collection in weight["collections"]:
        wanted: dict[str, int] = {}
        for text in data:
            message = json.loads(text)
            if message["collection"] == collection["collection"]:
                for name, value in message.get("fields", {}).items():
                    written = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in (name, value)]
                    assert ":".join(written) in text
                    wanted[name] = wanted.get(name, 0) + sum(len(one.encode()) for one in written)
        assert {field["field"]: field["bytes"] for field in collection["fields"]} == wanted


def test_the_users_document_is_counted(ddp: Command, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland")
    words = ["--login", "alice", "--password-file", str(tmp_path / "password")]
    with LoopbackServer() as server, FaultProxy(server.port, record=True) as proxy:
        weight = json.loads(ddp("weigh", "tasks", "-u", proxy.url, *words).out)
        proxy.wait_idle()
        [texts] = proxy.texts(DOWN)
    ready = next(number for number, text in enumerate(texts) if '"ready"' in text)
    data = [text for text in texts[:ready] if '"collection"' in text]
    assert sum(len(text.encode()) for text in data) == weight["bytes"]
    assert {one["collection"] for one in weight["collections"]} == {"tasks", "users"}


def test_the_bytes_of_a_real_meteor_server_equal_those_that_a_proxy_counts(
    ddp: Command, meteor_server: MeteorServer
) -> None:
    with FaultProxy(meteor_server.port, record=True) as proxy:
        weight = json.loads(ddp("weigh", "oddIds", "-u", proxy.url).out)
        proxy.wait_idle()
        [texts] = proxy.texts(DOWN)
    sizes = [len(text.encode()) for text in texts if json.loads(text).get("msg") == "added"]
    assert (weight["documents"], weight["bytes"]) == (len(sizes), sum(sizes))
    assert len(sizes) > 5


def test_people_get_tables_with_a_bar_for_each_share(terminal: Callable[..., str], server: LoopbackServer) -> None:
    shown = terminal("weigh", "tasks", "--no-pager", "--color", "never")
    assert re.search(r"^tasks: ready after [\d.]+ ms, 3 documents, 300 bytes$", shown, re.MULTILINE)
    assert re.search(r"^field +documents +bytes +% +share$", shown, re.MULTILINE)
    assert re.search(r"^title +3 +70 +23\.3 +#{7}$", shown, re.MULTILINE)
    assert re.search(r"^\(messages\) +3 +186 +62\.0 +#{19}$", shown, re.MULTILINE)
    assert 'largest: "c" 101, "b" 100, "a" 99' in shown


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param(["--max-bytes", "250"], "tasks: 300 bytes, 50 more than --max-bytes 250", id="bytes"),
        pytest.param(["--max-documents", "1"], "tasks: 3 documents, 2 more than --max-documents 1", id="documents"),
        pytest.param(["--max-ready", "0.00001"], r"tasks: [\d.]+ s, [\d.]+ more than --max-ready 1e-05", id="ready"),
        pytest.param(["--max-documents", "0", "--max-bytes", "299"], r"tasks: 300 bytes, 1 more .*; 3 documents, 3 more .*", id="documents and bytes"),
    ],
)  # fmt: skip
def test_a_publication_over_its_limit_fails_and_the_error_has_the_figures(
    ddp: Command, words: list[str], problem: str
) -> None:
    ran = ddp("weigh", "tasks", *words)
    assert ran.code == 1
    assert json.loads(ran.out)["bytes"] == 300
    assert re.fullmatch(f"ddp: error: {problem}\n", ran.err)
    error = json.loads(ddp("weigh", "tasks", *words, "-o", "json").err)
    assert (error["kind"], error["error"]) == ("check", "check")


@pytest.fixture
def endless() -> Iterator[LoopbackServer]:
    """A server with a publication that is never ready."""
    server = LoopbackServer()

    @server.server.publish
    def endless(sub: Subscription) -> None:
        sub.added("logs", "a", {"n": 1})

    with server:
        yield server


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--max-ready", "0.1"], r"endless is still not ready: 0\.\d+ s, 0\.\d+ more than --max-ready 0\.1"),
        (["--max-documents", "0"], r"endless is still not ready: 1 document, 1 more than --max-documents 0"),
    ],
)
def test_a_publication_that_is_never_ready_exceeds_a_limit(
    ddp: Command, endless: LoopbackServer, words: list[str], problem: str
) -> None:
    run = ddp("weigh", "endless", "-u", endless.url, "--timeout", "0.4", *words)
    assert (run.code, run.out) == (1, "")
    assert re.search(problem, run.err), run.err


def test_a_ready_limit_above_the_timeout_is_not_exceeded(ddp: Command, endless: LoopbackServer) -> None:
    run = ddp("weigh", "endless", "-u", endless.url, "--timeout", "0.2", "--max-ready", "9", "--max-documents", "1")
    assert run.code == 5


@pytest.mark.usefixtures("server")
def test_a_publication_within_its_limits_succeeds(ddp: Command) -> None:
    ran = ddp("weigh", "tasks", "--max-bytes", "300", "--max-documents", "3", "--max-ready", "0")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.usefixtures("server")
def test_the_weight_is_compared_with_an_earlier_weight(ddp: Command, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(ddp("weigh", "items", "2").out)
    compared = json.loads(ddp("weigh", "items", "3", "--against", str(old)).out)
    assert set(compared) == {"old", "new", "changes"}
    assert {"what": "items.n", "number": "bytes", "old": 8, "new": 12} in compared["changes"]
    shown = ddp("weigh", "items", "3", "--against", str(old), "-o", "table").out
    assert re.search(r"^items.n +documents +2 +3$", shown, re.MULTILINE)
    other = ddp("weigh", "tasks", "--against", str(old))
    assert other.err == "ddp: note: the old weight is that of 'items'\n"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"publication": "x"}',
        "weight",
        '{"publication": 1, "collections": []}',
        '{"publication": "x", "collections": [5]}',
    ],
)
def test_a_file_that_is_not_a_weight_is_a_usage_error(ddp: Command, tmp_path: Path, text: str) -> None:
    (tmp_path / "old").write_text(text)
    ran = ddp("weigh", "tasks", "--against", str(tmp_path / "old"))
    assert (ran.code, "is not a weight, as `ddp weigh -o json` prints it" in ran.err) == (2, True)


@pytest.mark.usefixtures("server")
def test_errors_of_the_server_are_reported_as_by_sub(ddp: Command) -> None:
    refused = ddp("weigh", "bad")
    assert (refused.code, refused.out) == (1, "")
    assert "denied" in refused.err
    assert ddp("weigh", "neverReady", "--timeout", "0.05").code == 5


@pytest.mark.usefixtures("server")
def test_the_frames_can_be_recorded(ddp: Command, tmp_path: Path) -> None:
    file = str(tmp_path / "a.ddprec")
    weight = json.loads(ddp("weigh", "tasks", "--record", file).out)
    [sub] = json.loads(ddp("read", file).out)["subs"]
    assert (sub["bytes"], sub["documents"]) == (weight["bytes"], weight["documents"])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_documents() -> None:
    def peak(documents: int) -> int:
        command = [sys.executable, "-m", "ddpshell", "weigh", "plain", str(documents), "-u", url]
        with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            weight: dict[str, Any] = json.loads(process.stdout.read())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
        assert (weight["documents"], status) == (documents, 0)
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    with programs.feeder(plain=60_000) as url:
        assert peak(60_000) - peak(2_000) < 8_000_000
