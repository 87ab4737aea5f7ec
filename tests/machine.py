"""The machine that runs the tests: its programs, and the tests that need something it lacks."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest

__all__ = [
    "ENVIRONMENT",
    "IN_CI",
    "TOP",
    "Interrupted",
    "forked",
    "interrupting_another_thread",
    "needs_fork",
    "processor_time",
    "program",
    "unavailable",
]

#: The repository's top folder.
TOP = Path(__file__).parents[1]

#: The environment from before the tests, which pip and npm need to reach their registries. Each test has a clean one.
ENVIRONMENT = dict(os.environ)

IN_CI = bool(ENVIRONMENT.get("CI"))


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

# Seconds after which a forked process counts as hung.
_PATIENCE = 10


def unavailable(reason: str, *, in_ci: bool = IN_CI) -> NoReturn:
    """Skip the current test because something is missing; in CI, where nothing may be missing, fail it."""
    if in_ci:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(name: str, package: str = "", *, in_ci: bool = IN_CI) -> str:
    """Find a program that users have and the project does not need: a shell, `jq`, `man`.

    In CI a missing program is installed. If that fails, the test is skipped.

    Args:
        name: Name of the program.
        package: Name of Debian's package, if it is not the program's name.
        in_ci: Whether to install a missing program.
    """
    if shutil.which(name) is None and in_ci:
        _install(package or name)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@functools.cache
def _install(package: str) -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    for words in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        subprocess.run(
            [apt, "--quiet", *words],
            env={**ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=300, check=False,
        )  # fmt: skip


def processor_time(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forked(action: Callable[[], object]) -> str:
    """Run a function in a forked process, and return its outcome as text; a process that hangs is killed."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        # Python warns about forking a process with threads, which is what these tests try.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_PATIENCE)
            outcome = f"gives {action()!r}"
        except BaseException as error:  # noqa: BLE001  # SystemExit must not run the rest of the tests
            outcome = f"{type(error).__name__}: {error}"
        os.write(theirs, outcome.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as pipe:
        outcome = pipe.read()
    os.waitpid(child, 0)
    return outcome or "hangs"


class Interrupted(BaseException):
    """A signal arrived."""


@contextlib.contextmanager
def interrupting_another_thread() -> Iterator[None]:
    """Send a signal while the main thread waits; its handler raises `Interrupted`.

    Another thread receives it, so the system does not end the main thread's wait. The same happens, though it is
    harder to arrange, with a signal that arrives just before the wait begins.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    def send() -> None:
        asleep.wait(0.05)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    asleep = threading.Event()
    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        asleep.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
