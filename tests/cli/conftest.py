"""Fixtures that run the command, in the test's process or in another one, and a server for it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import pytest

from ddpshell.cli.main import run
from tests.loopback import PATIENCE, LoopbackServer
from tests.machine import TOP


class Run(NamedTuple):
    """The result of one run of the command."""

    code: int
    out: str
    err: str


class Command(Protocol):
    """`ddp("call", "upper", "x")`, in the test's process."""

    def __call__(self, *words: str, stdin: bytes | Path | IO[bytes] = b"") -> Run: ...


def ddp_apart(*arguments: str, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in another process, with a script as standard input."""
    return subprocess.run(
        [sys.executable, "-m", "ddpshell", *arguments],
        cwd=TOP,
        env={**os.environ, **environment},
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def ddp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command line in this process, with files as its streams."""

    def command(*words: str, stdin: bytes | Path | IO[bytes] = b"") -> Run:
        given = tmp_path / "stdin"
        if isinstance(stdin, bytes):
            given.write_bytes(stdin)
            stdin = given
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        with (
            stdin.open("rb") if isinstance(stdin, Path) else stdin as stdin_file,
            out.open("w") as out_file,
            err.open("w") as err_file,
            monkeypatch.context() as patch,
        ):
            patch.setattr(sys, "stdin", stdin_file)
            patch.setattr(sys, "stdout", out_file)
            patch.setattr(sys, "stderr", err_file)
            code = run(words)
        # Newlines are not translated.
        return Run(code, out.read_bytes().decode(), err.read_bytes().decode())

    return command


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Run a command line in this process, with a terminal as standard output and error. Returns the text on the terminal."""
    master, slave = pty.openpty()

    def command(*words: str) -> str:
        shown: list[bytes] = []

        def read() -> None:
            # A pseudo-terminal buffers only a few screens until it is read.
            while not shown or not shown[-1].endswith(b"\0"):
                shown.append(os.read(master, 1 << 16))

        reader = threading.Thread(target=read)
        reader.start()
        with os.fdopen(slave, "w", encoding="utf-8", closefd=False) as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", file)
            patch.setattr(sys, "stderr", file)
            try:
                run(words)
            finally:
                os.write(slave, b"\0")
                reader.join(PATIENCE)
        return b"".join(shown)[:-1].decode().replace("\r\n", "\n")

    yield command
    os.close(master)
    os.close(slave)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    """The demo server. Commands without -u connect to it."""
    with LoopbackServer() as running:
        monkeypatch.setenv("DDP_URL", running.url)
        yield running


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command as a process, which is killed at the end of the test."""
    processes: list[subprocess.Popen[str]] = []

    def command(*words: str, **settings: object) -> subprocess.Popen[str]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
        process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]  # the streams are among them
            [sys.executable, "-m", "ddpshell", *words], cwd=TOP, text=True, **streams
        )
        processes.append(process)
        return process

    yield command
    for process in processes:
        process.kill()
        process.communicate(timeout=PATIENCE)


def finished(process: subprocess.Popen[str], timeout: float = PATIENCE) -> Run:
    """Wait for a process to end. If a signal ended it, the code is the one that a shell reports."""
    out, err = process.communicate(timeout=timeout)
    code = process.returncode
    return Run(code if code >= 0 else 128 - code, out or "", err or "")
