"""Scripts of users, run by bash, with `ddp` as a command.

The scripts of the manual are run in various situations. The other scripts check their results themselves.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ddpshell
from ddpshell.server.demo import TASKS
from tests.cli.conftest import finished
from tests.fault_proxy import After, Close, Direction, Fault, FaultProxy
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.machine import TOP, program, unavailable
from tests.meteor import MeteorServer
from tests.readme import read

FOLDER = TOP / "tests/scripts"

#: The scripts of the manual, by name.
PAGE = TOP / "ddpshell/manual/scripts.md"
QUOTED = {block.file: block.text for block in read(PAGE.read_text()) if str(block.file).endswith(".sh")}

ALL = sorted(FOLDER.glob("*.sh"))
SCRIPTS = [path for path in ALL if path.name not in QUOTED and path.name != "json.sh"]


@pytest.mark.parametrize("name", QUOTED)
def test_the_manual_quotes_a_script_unchanged(name: str) -> None:
    assert (FOLDER / name).read_text() == QUOTED[name]


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.name)
def test_shellcheck_finds_no_problem(script: Path) -> None:
    program = Path(sys.executable).with_name("shellcheck")
    if not program.exists():
        unavailable("shellcheck is not installed")
    # -x also checks the files that a script includes.
    ran = subprocess.run(
        [program, "-xs", "bash", "-P", "SCRIPTDIR", script], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for PATH with `ddp` in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "ddp"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{TOP}" exec "{sys.executable}" -m ddpshell "$@"\n')
    command.chmod(0o755)
    return folder


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(programs: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a script with bash in an empty folder. The script is killed at the end of the test."""
    processes: list[subprocess.Popen[str]] = []

    def begin(script: Path | str, *words: str, **settings: str) -> subprocess.Popen[str]:
        paths = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(
            ["bash", FOLDER / script, *words], cwd=tmp_path, env={**os.environ, **paths, **settings}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_checks_of_a_script_succeed(script: Path, start: Start) -> None:
    with LoopbackServer() as server:
        assert finished(start(script, DDP_URL=server.url), timeout=120) == (
            0,
            "",
            "",
        )  # some scripts start `ddp` fifty times


def test_a_failed_check_of_a_script_is_reported(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "wrong.sh"
    script.write_text(f'. {TOP}/tests/scripts/json.sh\nsame "the number" 4 "$(ddp sub tasks --count)"\n')
    with LoopbackServer() as server:
        assert finished(start(script, DDP_URL=server.url)) == (1, "", "the number: expected\n4\nbut it is\n3\n")


def test_the_scripts_work_without_jq() -> None:
    program = f". {TOP}/tests/scripts/json.sh; command() {{ false; }}; field a.b"
    lines = '{"a":{"b":"text"}}\n{"a":{"b":[1,null]}}\n{"a":null}\n{"b":true}\n'
    ran = subprocess.run(["bash", "-c", program], input=lines, capture_output=True, text=True, check=True)
    assert ran.stdout == "text\n[1, null]\nnull\nnull\n"


# ------------------------------------------------------------------------------------------ scripts of the manual


@pytest.fixture
def _jq() -> None:
    program("jq")


@pytest.fixture(params=["demo", "Meteor"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _jq: None) -> Iterator[str]:
    """The URL of a demo server and of a real Meteor server with the same three tasks. It is also the default of `ddp`."""
    with LoopbackServer() if request.param == "demo" else request.getfixturevalue("meteor_tasks") as server:
        monkeypatch.setenv("DDP_URL", server.url)
        yield server.url


@pytest.fixture
def meteor_tasks(meteor_server: MeteorServer) -> contextlib.AbstractContextManager[MeteorServer]:
    """The real Meteor server, with the tasks of the demo."""
    with ddpshell.Client(meteor_server.url) as client:
        client.call("reset").result(PATIENCE)
        for task in TASKS:
            client.call("insert", dict(task)).result(PATIENCE)
    return contextlib.nullcontext(meteor_server)


def tasks(url: str) -> list[str]:
    """The ids of all tasks."""
    with ddpshell.Client(url) as client:
        client.subscribe("tasks").ready.result(PATIENCE)
        return sorted([str(task["_id"]) for task in client.collection("tasks").find()])


@pytest.mark.usefixtures("url")
class TestHealth:
    def test_a_healthy_server_is_reported(self, start: Start) -> None:
        ran = finished(start("health.sh"))
        assert ran.code == 0
        assert re.fullmatch(r"OK - round trip [\d.]+ ms\n", ran.out)
        assert ran.err == ""

    def test_an_unhealthy_server_is_reported(self, start: Start) -> None:
        def refuse(conversation: Conversation) -> None:
            conversation.finish(conversation.expect("method"), error={"error": 500, "reason": "Out of order"})

        with ScriptedServer(converse(refuse)) as server:
            assert finished(start("health.sh", DDP_URL=server.url)) == (
                1,
                "WARNING - ddp: error: Out of order [500]\n",
                "",
            )

    @pytest.mark.parametrize(
        ("where", "code", "out"),
        [
            pytest.param(
                "localhost:1", 2, "CRITICAL - ddp: error: localhost:1 refused the connection\n", id="no server"
            ),
            pytest.param("http:/", 3, "UNKNOWN - ddp: error: invalid server URL", id="an invalid address"),
        ],
    )
    def test_an_unreachable_server_is_reported(self, start: Start, where: str, code: int, out: str) -> None:
        ran = finished(start("health.sh", DDP_URL=where))
        assert (ran.code, ran.err) == (code, "")
        assert ran.out.startswith(out)


class TestNightly:
    def test_the_nightly_script_shows_only_changes(self, start: Start, url: str, tmp_path: Path) -> None:
        first = finished(start("nightly.sh", "tasks", "tasks"))
        assert (first.code, first.err) == (0, "")
        assert [line[:10] for line in first.out.splitlines()[1:]] == ['> {"_id":"', '> {"_id":"', '> {"_id":"']
        assert finished(start("nightly.sh", "tasks", "tasks")) == (0, "", "")
        with ddpshell.Client(url) as client:
            client.call("/tasks/update", {"_id": "a"}, {"$set": {"title": "rest"}}).result(PATIENCE)
        changed = finished(start("nightly.sh", "tasks", "tasks"))
        assert (changed.code, changed.err) == (0, "")
        assert [line[0] for line in changed.out.splitlines()] == ["1", "<", "-", ">"]
        assert '"title":"rest"' in changed.out.splitlines()[3]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "tasks"]

    def test_a_failed_nightly_script_does_not_change_its_file(self, start: Start, url: str, tmp_path: Path) -> None:
        (tmp_path / "kept").write_text("as it was\n")
        ran = finished(start("nightly.sh", "kept", "nope"))
        assert (ran.code, ran.out) == (1, "")
        assert "Subscription 'nope' not found" in ran.err
        assert (tmp_path / "kept").read_text() == "as it was\n"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "kept"]


class TestBulk:
    """Each document is inserted once. Documents that the server rejects are written to a file."""

    def test_the_bulk_script_inserts_all_documents_that_the_server_accepts(
        self, start: Start, url: str, tmp_path: Path
    ) -> None:
        documents = [{"_id": f"t{number}", "title": "\u2028 x"} for number in range(100)]
        documents[50]["locked"] = "yes"
        (tmp_path / "new").write_text("".join(f"{json.dumps(document)}\n" for document in documents))
        assert finished(start("bulk.sh", "new")) == (1, "", "      1 Access denied [403]\n")
        assert (tmp_path / "new.failed").read_text() == json.dumps(documents[50]) + "\n"
        assert tasks(url) == sorted(["a", "b", "c", *(f"t{number}" for number in range(100) if number != 50)])

    def test_the_bulk_script_continues_after_a_lost_connection(self, start: Start, url: str, tmp_path: Path) -> None:
        (tmp_path / "new").write_text("".join(f'{{"_id": "t{number}"}}\n' for number in range(200)))
        port = urllib.parse.urlsplit(url).port
        assert port is not None
        with FaultProxy(port) as proxy:
            proxy.plan(
                [Fault(After(Direction.DOWN, messages=50), Close())],
                [Fault(After(Direction.DOWN, messages=90), Close())],
            )
            ran = finished(start("bulk.sh", "new", DDP_URL=proxy.url))
        assert (ran.code, ran.out) == (0, "")
        assert ran.err.count("ddp: error: ") == 2
        assert len(tasks(url)) == 203
        assert not (tmp_path / "new.failed").exists()


class TestUntilDone:
    def test_the_until_done_script_waits_for_the_document(self, start: Start, url: str) -> None:
        process = start("until-done.sh", "b")
        with ddpshell.Client(url) as client:
            client.call("/tasks/update", {"_id": "b"}, {"$set": {"done": True}}).result(PATIENCE)
        assert finished(process) == (0, "b is done\n", "")

    def test_the_until_done_script_ends_at_its_timeout(self, start: Start, url: str) -> None:
        ran = finished(start("until-done.sh", "b", "0.7"))
        assert ran == (5, "b is not done after 0.7 s\n", "ddp: error: no document matched within 0.7 s\n")

    def test_the_until_done_script_treats_any_text_as_an_id(self, start: Start, url: str) -> None:
        assert finished(start("until-done.sh", '", $where: "', "0.1")).code == 5


class TestOnChange:
    def test_the_on_change_script_reports_each_change(self, start: Start, url: str) -> None:
        process = start("on-change.sh")
        assert process.stdout is not None
        assert process.stdout.readline() == "done: write a client\n"
        with ddpshell.Client(url) as client:
            client.call("/tasks/update", {"_id": "b"}, {"$set": {"done": True}}).result(PATIENCE)
        assert process.stdout.readline() == "done: write a server\n"
        os.killpg(process.pid, signal.SIGINT)
        assert finished(process).code == 130

    @pytest.mark.usefixtures("_jq")
    def test_the_on_change_script_reconnects(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        with LoopbackServer() as server:
            monkeypatch.setenv("DDP_URL", server.url)
            process = start("on-change.sh")
            assert process.stdout is not None
            assert process.stdout.readline() == "done: write a client\n"
            server.drop()
            with ddpshell.Client(server.url) as client:
                client.call("setTask", "b", {"done": True}).result(PATIENCE)
            assert process.stdout.readline() == "done: write a server\n"


class TestCI:
    def test_the_ci_script_is_logged_in_only_while_it_runs(self, start: Start, url: str, tmp_path: Path) -> None:
        assert finished(start("ci.sh", PASSWORD="wonderland")) == (0, "deploying as alice\n", "")
        assert tasks(url) == ["a", "b", "c", "release"]
        assert [path.name for path in tmp_path.iterdir()] == ["bin"]

    @pytest.mark.usefixtures("url")
    def test_the_ci_script_does_nothing_after_a_rejected_login(self, start: Start, tmp_path: Path) -> None:
        ran = finished(start("ci.sh", PASSWORD="looking-glass"))
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.startswith("ddp: error: Incorrect password [403]\n")
        assert [path.name for path in tmp_path.iterdir()] == ["bin"]
