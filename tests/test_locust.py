"""Load tests with Locust: in one process, in several, and distributed, with and without Locust's patch of the standard library.

Locust changes the standard library when it is imported, so the tests run it only in separate processes.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ddpshell.server.demo import demo_server
from tests.loopback import PATIENCE, LoopbackServer
from tests.machine import TOP
from tests.meteor import MeteorServer
from tests.readme import README, read

pytestmark = pytest.mark.slow

MANUAL = TOP / "ddpshell/manual/load.md"

#: The test ends when these rows have requests: a number of seconds would be too short for a busy machine.
WATCH = """
import json, pathlib
import gevent
from locust import events

@events.test_start.add_listener
def watch(environment, **_):
    def end():
        while True:
            gevent.sleep(0.1)
            rows = environment.stats.entries.items()
            numbers = {f"{kind} {name}".strip(): row.num_requests for (name, kind), row in rows}
            if all(numbers.get(name, 0) >= least for name, least in {needed}.items()):
                environment.runner.quit()
                return
    if type(environment.runner).__name__ != "WorkerRunner":
        gevent.spawn(end)

@events.quitting.add_listener
def save(environment, **_):
    errors = [(error.method, error.name, error.parse_error(error.error)) for error in environment.stats.errors.values()]
    pathlib.Path("failures.json").write_text(json.dumps(errors))
"""

USER = """
{before}
from locust import constant, task
from ddpshell.locust import DDPUser
from ddpshell.exceptions import DDPError

class Visitor(DDPUser):
    host = "{url}"
    wait_time = constant(0.05)
    timeout = 5
    {body}
"""

#: A request of each kind.
ALL_KINDS = """
    def on_start(self):
        self.ddp.login("alice", password="wonderland")
        self.ddp.subscribe("tasks")

    @task
    def work(self):
        assert self.ddp.call("upper", "a") == "A"
        with self.ddp.change("tasks"):
            self.ddp.call("/tasks/update", {"_id": "a"}, {"$inc": {"n": 1}})
        try:
            self.ddp.call("nope")
        except DDPError:
            pass
"""


def locustfile(folder: Path, server: LoopbackServer, body: str, needed: dict[str, int], before: str = "") -> Path:
    """Write a locustfile. The load test ends when each row has this number of requests."""
    file = folder / "locustfile.py"
    text = USER.replace("{before}", before).replace("{url}", server.url).replace("{body}", body.strip())
    file.write_text(text + WATCH.replace("{needed}", repr(needed)))
    return file


def start(file: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--skip-log-setup", *words],
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": str(TOP), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(process: subprocess.Popen[str]) -> dict[str, dict[str, Any]]:
    """Wait for Locust, and return the rows of its statistics by `call NAME`."""
    out, err = process.communicate(timeout=3 * PATIENCE)
    # With --processes, each process also prints its own statistics, which are empty.
    found = re.findall(r"^\[\n.*?^\]", out, re.DOTALL | re.MULTILINE)
    assert found, (out, err)
    return {f"{row['method']} {row['name']}".strip(): row for row in json.loads(found[-1])}


def check_all_kinds(found: dict[str, dict[str, Any]], users: int) -> None:
    assert set(found) == {
        "connect", "call login", "sub tasks", "call upper", "change tasks", "call /tasks/update", "call nope"
    }  # fmt: skip
    assert [found[name]["num_requests"] for name in ("connect", "call login", "sub tasks")] == [users] * 3
    assert found["call nope"]["num_failures"] == found["call nope"]["num_requests"] > 0
    assert found["call upper"]["num_failures"] == 0
    # Each change is delivered to all users.
    assert found["change tasks"]["num_requests"] >= found["call /tasks/update"]["num_requests"]
    # `{"msg":"result","id":"2","result":"A"}`, where the id has one to three digits.
    upper = found["call upper"]
    assert 38 <= upper["total_content_length"] / upper["num_requests"] <= 41


@pytest.mark.parametrize(
    ("before", "environment"),
    [
        pytest.param("", {}, id="Locust first"),
        pytest.param("import ddpshell; ddpshell.Client", {}, id="patched after the import"),
        pytest.param("from gevent import monkey; monkey.patch_all(); import ddpshell", {}, id="patched before"),
        pytest.param("", {"LOCUST_SKIP_MONKEY_PATCH": "1"}, id="not patched"),
    ],
)
def test_each_request_is_a_row(
    server: LoopbackServer, tmp_path: Path, before: str, environment: dict[str, str]
) -> None:
    file = locustfile(tmp_path, server, ALL_KINDS, {"call nope": 3, "sub tasks": 3}, before)
    found = rows(start(file, "-u", "3", "-r", "3", "-t", "60s", "--json", **environment))
    check_all_kinds(found, 3)


def test_requests_of_two_workers_are_added_up(server: LoopbackServer, tmp_path: Path) -> None:
    file = locustfile(tmp_path, server, ALL_KINDS, {"call nope": 4, "sub tasks": 4})
    port = free_port()
    workers = [start(file, "--worker", "--master-port", port) for _ in range(2)]
    try:
        words = ["--master", "--master-bind-port", port, "--expect-workers", "2", "-u", "4", "-r", "4", "-t", "60s"]
        check_all_kinds(rows(start(file, *words, "--json")), 4)
        for worker in workers:
            worker.communicate(timeout=PATIENCE)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_calls_that_are_killed_at_the_end_are_not_counted(server: LoopbackServer, tmp_path: Path) -> None:
    body = """
    @task
    def work(self):
        self.ddp.call("upper", "a")
        self.ddp.call("slow", 60000)
"""
    file = locustfile(tmp_path, server, body, {"call upper": 2})
    found = rows(start(file, "-u", "2", "-r", "2", "-t", "60s", "--json"))
    assert set(found) == {"connect", "call upper"}
    assert found["call upper"]["num_requests"] == 2


def test_a_latency_ends_when_the_frame_arrives(server: LoopbackServer, tmp_path: Path) -> None:
    """The user's greenlet runs again only after another one has computed for a while."""
    body = """
    def on_start(self):
        def compute(event):
            end = time.perf_counter() + 2
            while type(event).__name__ == "CallFinished" and time.perf_counter() < end:
                pass

        self.ddp.client.on_event(compute)
        self.ddp.call("upper", "a")

    @task
    def rest(self):
        pass
"""
    file = locustfile(tmp_path, server, body, {"call upper": 1}, "import time")
    assert rows(start(file, "-u", "1", "-t", "60s", "--json"))["call upper"]["max_response_time"] < 1500


def test_errors_are_reported_with_their_codes(server: LoopbackServer, tmp_path: Path) -> None:
    cut = 0

    @server.server.method("cut")
    def _() -> None:
        nonlocal cut
        cut += 1
        if cut == 1:
            server.drop()

    body = """
    timeout = 0.5

    def on_start(self):
        for request in (
            lambda: self.ddp.call("cut"),
            lambda: self.ddp.subscribe("nope"),
            lambda: self.ddp.login("alice", password="wrong"),
            lambda: self.ddp.call("slow", 60000),
        ):
            try:
                request()
            except DDPError:
                pass
        with self.ddp.change("tasks"):
            pass

    @task
    def rest(self):
        pass
"""
    file = locustfile(tmp_path, server, body, {"change tasks": 1})
    found = rows(start(file, "-u", "1", "-t", "60s", "--json"))
    assert found["connect"]["num_requests"] == 3
    assert {tuple(error) for error in json.loads((tmp_path / "failures.json").read_text())} == {
        ("connect", "", "disconnected"),
        ("call", "cut", "disconnected"),
        ("call", "slow", "timeout"),
        ("sub", "nope", "404"),
        ("call", "login", "403"),
        ("change", "tasks", "missing"),
    }


def test_refused_connections_are_counted(tmp_path: Path) -> None:
    with LoopbackServer() as server:
        file = locustfile(tmp_path, server, "@task\n    def work(self): self.ddp.call('upper', 'a')", {"connect": 2})
    found = rows(start(file, "-u", "2", "-r", "2", "-t", "60s", "--json"))
    assert set(found) == {"connect"}
    assert found["connect"]["num_failures"] == found["connect"]["num_requests"] >= 2


def test_importing_the_library_does_not_load_locust() -> None:
    code = "import sys, ddpshell; ddpshell.Client; print('gevent' in sys.modules, 'locust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True, capture_output=True, text=True)
    assert done.stdout == "False False\n"


def test_without_locust_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['locust'] = None; import ddpshell.locust"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, check=False, capture_output=True, text=True)
    assert "ModuleNotFoundError: ddpshell.locust needs Locust: pip install 'ddpshell[locust]'" in done.stderr


def test_a_call_that_timed_out_without_a_connection_is_never_sent(server: LoopbackServer, tmp_path: Path) -> None:
    runs: list[None] = []

    @server.server.method
    def run() -> None:
        runs.append(None)

    body = """
    timeout = 0.3

    def on_start(self):
        self.ddp.client.disconnect()
        while self.ddp.client._session.state.value == "connected":
            gevent.sleep(0.01)
        try:
            self.ddp.call("run")
        except DDPError:
            pass
        self.ddp.client.reconnect()

    @task
    def work(self):
        self.ddp.call("upper", "a")
"""
    found = rows(start(locustfile(tmp_path, server, body, {"call upper": 3}), "-u", "1", "-t", "60s", "--json"))
    assert found["call run"]["num_failures"] == 1
    assert runs == []


class TestManual:
    """The locustfiles of the README and of the manual run against the demo server and against Meteor."""

    @pytest.fixture(params=[README, MANUAL], ids=["README", "manual"])
    def file(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        [text] = [block.text for block in read(request.param.read_text()) if block.comment == "file: locustfile.py"]
        file = tmp_path / "locustfile.py"
        needed = {"sub tasks": 2, "call upper": 1} | ({"change tasks": 1} if "change" in text else {})
        file.write_text(text + WATCH.replace("{needed}", repr(needed)))
        return file

    def check(self, file: Path, url: str, *words: str) -> None:
        found = rows(start(file, "-u", "2", "-r", "2", "-t", "60s", "--host", url, "--json", *words))
        assert {"connect", "sub tasks", "call upper"} <= set(found)
        assert [name for name, row in found.items() if row["num_failures"]] == []

    def test_the_locustfiles_run_against_the_demo_server(self, file: Path) -> None:
        # One of the two files is enough for several processes, which take long to start.
        port = free_port()
        processes = (
            ()
            if "change" in file.read_text()
            else ("--processes", "2", "--master-bind-port", port, "--master-port", port)
        )
        with LoopbackServer(demo_server()) as server:
            self.check(file, server.url, *processes)

    @pytest.mark.node
    def test_the_locustfiles_run_against_meteor(self, file: Path, meteor_server: MeteorServer) -> None:
        self.check(file, meteor_server.url)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return str(sock.getsockname()[1])
