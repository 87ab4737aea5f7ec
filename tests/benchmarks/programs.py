"""Run measured programs, and the servers for them."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests import npm
from tests.machine import ENVIRONMENT, TOP

__all__ = [
    "CLIENTS",
    "DDP",
    "NODE",
    "PYTHON",
    "Listening",
    "distant",
    "embedded",
    "environment",
    "feeder",
    "figures",
    "install",
    "largest",
    "reported",
    "tapped",
    "timed",
]

_FOLDER = Path(__file__).parent

#: The folder of the client programs.
CLIENTS = _FOLDER / "clients"

PYTHON = sys.executable
NODE = "node"

#: The command next to this Python if pip installed it, otherwise the command of the checkout.
DDP = [found] if (found := shutil.which("ddp", path=str(Path(sys.executable).parent))) else [PYTHON, "-m", "ddpshell"]


def install() -> None:
    """Install the clients from npm.

    Raises:
        NpmError: The clients cannot be installed.
    """
    npm.install(_FOLDER)


def environment(**settings: str) -> dict[str, str]:
    """The environment of a typical user: Python can cache bytecode, no variable of ddp is set, and the home folder is empty."""
    kept = {
        name: value
        for name, value in ENVIRONMENT.items()
        if not name.startswith(("DDP_", "COVERAGE_", "PYTHON", "XDG_")) and not name.lower().endswith("_proxy")
    }
    return {**kept, "HOME": _home().name, "PYTHONPATH": str(TOP), "TERM": "xterm-256color", **settings}


@functools.cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ddpshell-benchmarks-")


class Listening(NamedTuple):
    """A server in another process."""

    url: str
    pid: int


@contextlib.contextmanager
def feeder(**counts: int) -> Iterator[str]:
    """Start a feeder with prepared documents for each publication, and yield its URL."""
    with _listening("feeder", *(f"{publication}={count}" for publication, count in counts.items())) as server:
        yield server.url


def embedded() -> contextlib.AbstractContextManager[Listening]:
    """Start the server of this package."""
    return _listening("embedded")


@contextlib.contextmanager
def distant(url: str) -> Iterator[str]:
    """Start a proxy that delays the bytes of a server, and yield its URL."""
    with _listening("distant", str(urlsplit(url).port)) as proxy:
        yield proxy.url


@contextlib.contextmanager
def tapped(url: str) -> Iterator[str]:
    """Start `ddp tap` for a server, and yield its URL."""
    command = [*DDP, "tap", "--listen", "0", "--to", url]
    with subprocess.Popen(
        command,
        env=environment(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        found = re.search(r"open http://(\S+) instead", process.stderr.readline())
        assert found is not None
        yield f"ws://{found[1]}/websocket"
        process.terminate()


@contextlib.contextmanager
def _listening(module: str, *arguments: str) -> Iterator[Listening]:
    command = [PYTHON, "-m", f"tests.benchmarks.{module}", *arguments]
    with subprocess.Popen(
        command, cwd=TOP, env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("LISTENING "), line
        yield Listening(f"ws://127.0.0.1:{line.split()[1]}/websocket", process.pid)
        process.communicate(timeout=20)


def timed(command: list[str], expected: str | Callable[[str], bool]) -> dict[str, float]:
    """Run a program, and return its time. Its output must be the expected text, or satisfy the condition."""
    started = time.perf_counter()
    done = subprocess.run(
        command, env=environment(), text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    seconds = time.perf_counter() - started
    is_right = done.stdout == expected if isinstance(expected, str) else expected(done.stdout)
    assert (is_right, done.returncode) == (True, 0), f"{command}: {done.stdout}{done.stderr}"
    return {"time": seconds * 1000}


# The system counts the memory of the process that starts a program as the program's own, so a small process starts it.
_WITH_MEMORY = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
print(used.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def largest(command: list[str], expected: int) -> dict[str, float]:
    """Run a program that prints as many lines as expected, and return the most memory that it has held."""
    done = subprocess.run(
        [PYTHON, "-c", _WITH_MEMORY, *command],
        env=environment(),
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    *errors, kilobytes = done.stderr.splitlines()
    lines = done.stdout.count("\n")
    assert (lines, done.returncode) == (expected, 0), f"{command} printed {lines} lines; {errors}"
    return {"memory": int(kilobytes) * 1024 / 1e6}


def first_line(command: list[str], expected: str) -> float:
    """Run a program, and return the milliseconds from its start to its first line, which must be the expected one."""
    started = time.perf_counter()
    with subprocess.Popen(
        command, env=environment(), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
    assert line == expected, f"{command}: {line}"
    return seconds * 1000


def reported(command: list[str], count: int) -> dict[str, float]:
    """Run a program that measures its own time. It prints the seconds, and after the end of its input the number of items."""
    with subprocess.Popen(
        command, env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        seconds = process.stdout.readline()
        memory = _resident(process.pid) if seconds else 0
        done, _ = process.communicate(timeout=60)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    assert int(done) == count, f"{command} has done {done}"
    return {"rate": count / float(seconds), "memory": memory}


def figures(command: list[str], *, seconds: float = 120) -> list[dict[str, float]]:
    """Run a program that prints its figures, one JSON object per line."""
    done = subprocess.run(
        command, env=environment(), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=seconds, check=True
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def _resident(pid: int) -> float:
    """The resident memory of a process in MB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
