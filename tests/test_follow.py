"""The program of the manual's page about the library that keeps a copy of a publication in a database."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpshell.clock import SystemClock
from ddpshell.server import Collection, Cursor, Server, Subscription
from tests.loopback import PATIENCE
from tests.machine import ENVIRONMENT, TOP
from tests.readme import read

pytestmark = pytest.mark.slow


class Follower:
    """The program, with its database."""

    def __init__(self, folder: Path) -> None:
        [text] = [
            block.text for block in read((TOP / "ddpshell/manual/library.md").read_text()) if block.file == "follow.py"
        ]
        self._program = folder / "follow.py"
        self._program.write_text(text)
        self._file = folder / "tasks.db"

    def start(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(self._program), url, str(self._file)],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for(self, tasks: Collection) -> None:
        """Wait until the database has exactly these documents."""
        wanted = sorted(document["n"] for document in tasks.find().fetch())
        clock = SystemClock()
        deadline = clock.now() + PATIENCE
        while (found := self._numbers()) != wanted:
            assert self.process.poll() is None, self.process.communicate()
            assert clock.now() < deadline, (found, wanted)

    def _numbers(self) -> list[int]:
        database = sqlite3.connect(self._file, timeout=PATIENCE)
        try:
            return sorted(json.loads(row)["n"] for (row,) in database.execute("SELECT task FROM tasks"))
        except sqlite3.OperationalError:
            return []  # there is no table yet
        finally:
            database.close()


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    follower = Follower(tmp_path)
    yield follower
    follower.kill()


def serving(tasks: Collection, port: int = 0) -> Server:
    server = Server()

    @server.publish("tasks")
    def publish(_: Subscription) -> Cursor:
        return tasks.find()

    server.start(port=port)
    return server


def test_the_copy_becomes_equal_whichever_process_is_killed(follower: Follower) -> None:
    tasks = Collection("tasks")
    for number in range(5):
        tasks.insert({"_id": str(number), "n": number})
    server = serving(tasks)
    follower.start(server.url)
    follower.wait_for(tasks)
    tasks.update("0", {"$set": {"n": 100}})
    tasks.remove("1")
    tasks.insert({"_id": "new", "n": 7})
    follower.wait_for(tasks)

    # Documents change and vanish while the program is stopped.
    follower.kill()
    tasks.remove("2")
    tasks.update("3", {"$set": {"n": 300}})
    follower.start(server.url)
    follower.wait_for(tasks)

    # Documents also change and vanish while the server is stopped.
    port = server.port
    server.stop()
    tasks.remove("4")
    tasks.insert({"_id": "late", "n": 8})
    server = serving(tasks, port)
    follower.wait_for(tasks)

    follower.process.send_signal(signal.SIGTERM)
    _, printed = follower.process.communicate(timeout=PATIENCE)
    assert printed == "stopped\n"
    assert follower.process.returncode == 0
    server.stop()


def test_a_server_without_the_publication_ends_the_program(follower: Follower) -> None:
    server = Server()
    server.start(port=0)
    follower.start(server.url)
    _, printed = follower.process.communicate(timeout=PATIENCE)
    assert follower.process.returncode == 1
    assert printed.endswith("Subscription 'tasks' not found [404]\n")
    server.stop()
