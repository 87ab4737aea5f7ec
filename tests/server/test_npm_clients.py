"""Clients that we did not write connect to our server, and notice no difference."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddpshell.server import Server
from ddpshell.server.demo import demo_server
from tests import npm
from tests.machine import ENVIRONMENT, TOP, unavailable

CLIENTS = Path(__file__).parent / "npm_clients"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def modules() -> Path:
    try:
        return npm.install(TOP / "tests" / "benchmarks")
    except npm.NpmError as error:
        unavailable(str(error))


def run(program: str, server: Server, modules: Path) -> dict[str, list[Any]]:
    """Run a client; return what it printed by the first word of each line."""
    node = shutil.which("node")
    if node is None:
        unavailable("node is not installed")
    done = subprocess.run(
        [node, os.fspath(CLIENTS / program), str(server.port)],
        env={**ENVIRONMENT, "NODE_PATH": os.fspath(modules)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line[0]: line[1:] for line in lines}


def test_ddp_calls_subscribes_logs_in_and_comes_back(start: Callable[[Server], Server], modules: Path) -> None:
    """K5, K6: and is closed in between."""
    seen = run("ddp.js", start(demo_server()), modules)
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


def test_simpleddp_calls_subscribes_and_comes_back_with_its_subscriptions(
    start: Callable[[Server], Server], modules: Path
) -> None:
    """K6: it waits for the answer to an unsub of an id that the new session never had (S26)."""
    seen = run("simpleddp.js", start(demo_server()), modules)
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
