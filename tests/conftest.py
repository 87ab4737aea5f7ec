"""Fixtures for every test: a clean environment, a check for remaining threads, and servers on loopback."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from ddpshell.server.meteor import accounts
from tests import machine, meteor, npm
from tests.loopback import LoopbackServer
from tests.meteor import MeteorServer

# There is no deadline: the time of an example depends more on the machine's other work than on the code.
# In CI the examples are the same every time, so a failure is caused by the change and can be repeated.
hypothesis.settings.register_profile(
    "quick", max_examples=100, deadline=None, print_blob=True, derandomize=machine.IN_CI
)
hypothesis.settings.register_profile("deep", max_examples=2000, deadline=None, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deep", action="store_true", help="give property tests twenty times as many examples")


#: Modules whose tests start processes or try many schedules, which takes seconds.
_SLOW_MODULES = (
    "tests/analysis/test_har",
    "tests/analysis/test_html_page",
    "tests/cli/commands/",
    "tests/cli/test_connection",
    "tests/cli/test_exit_codes",
    "tests/faults/",
    "tests/server/test_connection",
    "tests/server/test_fuzz",
    "tests/server/test_load",
    "tests/server/test_testing",
    "tests/shell/test_replies",
    "tests/test_command_line",
    "tests/test_fault_proxy",
    "tests/test_help",
    "tests/test_packaging",
    "tests/test_platforms",
    "tests/test_scripts",
)

#: Fixtures and modules of tests that need Node, and of those that need a pseudo-terminal.
_NODE = {"_meteor_installed", "meteor_url", "_node"}
_NODE_MODULES = ("tests/meteor/", "tests/benchmarks/", "tests/server/test_npm_clients", "tests/test_npm")
_TERMINAL = {"window", "terminal", "open_window"}
_TERMINAL_MODULES = (
    "tests/shell/test_terminal",
    "tests/test_completions",
    "tests/shell/test_interaction",
    "tests/test_readme",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `python -m tests fast` leaves out."""
    for item in items:
        fixtures, path = set(getattr(item, "fixturenames", ())), item.nodeid
        if path.startswith(_SLOW_MODULES):
            item.add_marker("slow")
        if fixtures & _NODE or path.startswith(_NODE_MODULES) or "Meteor" in path or "meteor" in path:
            item.add_marker("node")
        if "browser" in fixtures:
            item.add_marker("slow")
        if fixtures & _TERMINAL or path.startswith(_TERMINAL_MODULES):
            item.add_marker("terminal")


def pytest_configure(config: pytest.Config) -> None:
    # In a background job SIGINT is ignored from the start, and the programs that tests start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.load_profile("deep" if config.getoption("--deep") else "quick")


# ------------------------------------------------------------------------------------------------ the environment

#: Variables that change how a program looks or where it connects.
_CHANGES_PROGRAMS = {
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "COLUMNS",
    "EDITOR",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "PAGER",
    "VISUAL",
}


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def home(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder for each test, in an environment without the developer's variables."""
    folder = next(_homes)
    folder.mkdir()
    for name in os.environ:
        if name in _CHANGES_PROGRAMS or name.startswith(("DDP_", "LC_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm-256color")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _cheap_hashes() -> Iterator[None]:
    """Passwords are hashed at the lowest cost: thousands of servers with users are started, each for one test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(accounts)["_SCRYPT"], "n", 2)
        yield


# ---------------------------------------------------------------------------------------------------- the threads


@pytest.fixture(autouse=True)
def _no_thread_left(home: Path) -> Iterator[None]:
    """A test fails if a thread remains at its end: a closed client or server must have ended its threads."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon or thread.name.startswith("ddp"):
            thread.join(timeout=10)
            assert not thread.is_alive(), f"{thread.name} is still running"


# ---------------------------------------------------------------------------------------------------- the servers


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """The demo server, for this test alone."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture(scope="session")
def _meteor_installed() -> None:
    try:
        meteor.install()
    except npm.NpmError as error:
        machine.unavailable(f"no real Meteor server: {error}")


@pytest.fixture(scope="session")
def meteor_server(_meteor_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeteorServer]:
    """A real Meteor server that tests share. Never stop it, and call its method `reset` if its tasks matter."""
    server = MeteorServer(tmp_path_factory.mktemp("meteor") / "stderr")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_meteor_server(_meteor_installed: None, tmp_path: Path) -> Iterator[Callable[..., MeteorServer]]:
    """A function that starts a real Meteor server for this test alone: `own_meteor_server(DDP_HEARTBEAT_INTERVAL="500")`."""
    servers: list[MeteorServer] = []

    def start(**settings: str) -> MeteorServer:
        server = MeteorServer(tmp_path / f"meteor-{len(servers)}.stderr", settings)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()
