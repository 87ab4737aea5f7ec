"""DDP clients of other projects work with this server as with Meteor's."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ddpshell.server import Server
from ddpshell.server.demo import demo_server
from ddpshell.server.stand_in import StandIn
from tests import npm
from tests.machine import ENVIRONMENT, TOP, unavailable
from tests.server.test_stand_in import record

CLIENTS = Path(__file__).parent / "npm_clients"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def modules() -> Path:
    try:
        return npm.install(TOP / "tests" / "benchmarks")
    except npm.NpmError as error:
        unavailable(str(error))


class ServerProcess:
    """A `ddp serve` process that can be killed or terminated, and restarted on the same port."""

    def __init__(self) -> None:
        self.port = 0
        self._ends = [signal.SIGKILL, signal.SIGTERM]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "ddpshell", "serve", "--port", str(self.port)]
        self._process = subprocess.Popen(
            command, cwd=TOP, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"serving at ws://127.0.0.1:(\d+)/", line):
                self.port = int(found[1])
                # The log is not needed, but it must not fill the pipe.
                self._reader = threading.Thread(target=self._process.stderr.read)
                self._reader.start()
                return
        raise AssertionError("`ddp serve` did not start")

    def end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(20)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def restart(self) -> None:
        """Restart the server: the first time after SIGKILL, as in a crash, then after SIGTERM, as in a deployment."""
        self.end(self._ends.pop(0))
        self.start()


@pytest.fixture
def server_process() -> Iterator[ServerProcess]:
    process = ServerProcess()
    yield process
    process.end(signal.SIGKILL)


def run(
    program: str,
    port: int,
    modules: Path,
    restart: Callable[[], object] = lambda: None,
    *,
    arguments: Sequence[str] = (),
) -> dict[str, list[Any]]:
    """Run a client, and restart the server when it asks for it. Returns its output, by the first word of each line."""
    node = shutil.which("node")
    if node is None:
        unavailable("node is not installed")
    seen: dict[str, list[Any]] = {}
    with subprocess.Popen(
        [node, os.fspath(CLIENTS / program), str(port), *arguments],
        env={**ENVIRONMENT, "NODE_PATH": os.fspath(modules)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        late = threading.Timer(60, client.kill)
        late.start()
        assert client.stdout is not None
        assert client.stderr is not None
        for line in client.stdout:
            name, *values = json.loads(line)
            if name == "restart":
                restart()
            else:
                seen[name] = values
        errors = client.stderr.read()
        late.cancel()
    assert client.returncode == 0, (seen, errors)
    return seen


@pytest.mark.parametrize("sockjs", [False, True])
@pytest.mark.parametrize("greeting", [False, True])
def test_ddp_calls_subscribes_logs_in_and_reconnects(
    start: Callable[[Server], Server], modules: Path, sockjs: bool, greeting: bool
) -> None:
    """With and without a request for /sockjs/info, and with and without the greeting (K5, K6, U6, U14)."""
    seen = run("ddp.js", start(demo_server(greeting=greeting)).port, modules, arguments=["sockjs"] * sockjs)
    assert seen == {
        "upper": ["HELLO"],
        "bytes": [3],
        "date": [True],
        "fail": [{"error": "demo-failure", "reason": "This method always fails"}],
        "nope": [{"error": 404, "reason": "Method 'nope' not found"}],
        "tasks": [["a", "b", "c"], ["added a", "added b", "added c"]],
        "events": [["changed b n", "removed c"], 7],
        "login": ["alice-in-wonderland"],
        "user": ["alice"],
        "again": ["AFTER"],
    }


def test_ddp_gets_the_same_from_a_stand_in_as_from_the_recorded_server(
    start: Callable[[Server], Server], modules: Path, tmp_path: Path
) -> None:
    seen: list[dict[str, list[Any]]] = []

    def session(url: str) -> None:
        seen.append(run("ddp.js", urlsplit(url).port or 0, modules, arguments=["once"]))

    answers = record(tmp_path / "recording", demo_server(), session)
    session(start(StandIn(answers, speed=0).server).url)
    assert seen[0] == seen[1]
    assert len(seen[0]) == 9


def test_simpleddp_calls_subscribes_and_renews_its_subscriptions_after_a_reconnect(
    start: Callable[[Server], Server], modules: Path
) -> None:
    """simpleddp waits for the answer to an unsub with an id that the new session does not have (K6, S26)."""
    seen = run("simpleddp.js", start(demo_server()).port, modules)
    assert seen == {
        "upper": ["HELLO"],
        "bytes": [3],
        "date": [True],
        "fail": ["demo-failure"],
        "nope": [404],
        "tasks": [["write a server", "write the tests"]],
        "changed": [["write a client", "write a server"]],
        "again": ["AFTER", ["write a client", "write a server"]],
        "stopped": [[]],
    }


def test_ddp_reconnects_after_the_server_is_killed_or_terminated(server_process: ServerProcess, modules: Path) -> None:
    """The user of ddp renews the subscription and the login on a server without earlier data (K5)."""
    seen = run("ddp_restart.js", server_process.port, modules, server_process.restart)
    alice = "alice-in-wonderland"
    assert seen == {f"life {life}": [alice, alice, ["a", "b", "c"], ["a", "b"], life, "alice"] for life in (1, 2, 3)}


def test_simpleddp_reconnects_after_the_server_is_killed_or_terminated(
    server_process: ServerProcess, modules: Path
) -> None:
    """simpleddp renews its subscription. The server refuses the token, because logins are only in memory, so simpleddp logs in again (K6, A27)."""
    seen = run("simpleddp_restart.js", server_process.port, modules, server_process.restart)
    alice, refused = "alice-in-wonderland", ["loginResumeFailed", 403]
    assert seen == {
        "life 1": [alice, "password", alice, ["write a server", "write the tests"]],
        "life 2": [refused, alice, ["life 2", "write a server"]],
        "life 3": [refused, alice, ["life 3", "write a server"]],
        "logged out": [None],
    }


def test_simpleddp_logs_in_with_its_token_if_the_server_still_has_it(
    start: Callable[[Server], Server], modules: Path
) -> None:
    """A `Server` keeps its users and documents when it is stopped and started again (A4)."""
    server = start(demo_server())
    port = server.port

    def restart() -> None:
        server.stop()
        server.start(port=port)

    seen = run("simpleddp_restart.js", port, modules, restart)
    alice, resumed = "alice-in-wonderland", ["loginResume", "resume"]
    assert seen == {
        "life 1": [alice, "password", alice, ["write a server", "write the tests"]],
        "life 2": [resumed, alice, ["life 2", "write a server"]],
        "life 3": [resumed, alice, ["life 3", "write a server"]],
        "logged out": [None],
    }
