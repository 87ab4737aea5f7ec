"""Packages from npm, as locked by a folder's package-lock.json, installed when they are first needed."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.machine import ENVIRONMENT

__all__ = ["NpmError", "install"]


class NpmError(Exception):
    """The packages cannot be installed. The text has the reason, with npm's output if there is any."""


def install(folder: Path) -> Path:
    """Install the packages that `folder` locks, unless they are installed, and return its node_modules.

    Several processes can call this at once: the others wait for the first.

    Raises:
        NpmError: npm is not installed, or it failed.
    """
    lock, modules = folder / "package-lock.json", folder / "node_modules"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # Git gives files the time of their checkout, so times do not show what is installed.
        wanted = hashlib.sha256(held.read()).hexdigest()
        stamp = modules / ".installed"
        if not (stamp.exists() and stamp.read_text() == wanted):
            _npm_ci(folder)
            modules.mkdir(exist_ok=True)  # npm creates no folder for an empty lock
            stamp.write_text(wanted)
    return modules


def _npm_ci(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NpmError("npm is not installed")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NpmError(f"npm ci in {folder.name} took more than {error.timeout:.0f} s") from None
    if done.returncode:
        raise NpmError(f"npm ci in {folder.name} failed:\n{done.stdout.strip()}")
