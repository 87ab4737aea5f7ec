"""The pytest plugin, in a project that uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.machine import ENVIRONMENT, TOP

PROJECT = """
import json, websocket

def call(url, method, *params):
    connection = websocket.create_connection(url, timeout=20)
    connection.send('{"msg":"connect","version":"1","support":["1"]}')
    connection.send(json.dumps({"msg": "method", "id": "1", "method": method, "params": params}))
    while (message := json.loads(connection.recv()))["msg"] != "result":
        pass
    connection.shutdown()
    return message["result"]

def test_a_server_has_the_methods_of_the_test(ddp_server):
    ddp_server.method("upper")(lambda text: text.upper())
    assert call(ddp_server.url, "upper", "x") == "X"

def test_the_demo_server_is_another_server(ddp_demo_server, ddp_server):
    assert call(ddp_demo_server.url, "add", 1, 2) == 3
    assert ddp_server.method_names == []
"""


def test_a_project_gets_servers_from_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["ddpshell.server.testing"]\n')
    (tmp_path / "test_project.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
