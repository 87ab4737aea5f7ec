"""Packages from npm, as a folder's package-lock.json names them, installed when first needed."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.machine import ENVIRONMENT

__all__ = ["NpmError", "install"]


class NpmError(Exception):
    """The packages cannot be had here; the text says why, in npm's own words where it has any."""


def install(folder: Path) -> Path:
    """Install what `folder` locks, unless that was done, and return its node_modules.

    Safe in several processes at once: the others wait for the first.

    Raises:
        NpmError: There is no npm here, or it failed.
    """
    lock, modules = folder / "package-lock.json", folder / "node_modules"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # Git gives files the time of their checkout, so times say nothing of what is installed.
        wanted = hashlib.sha256(held.read()).hexdigest()
        stamp = modules / ".installed"
        if not (stamp.exists() and stamp.read_text() == wanted):
            _npm_ci(folder)
            modules.mkdir(exist_ok=True)  # npm makes none for an empty lock
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
