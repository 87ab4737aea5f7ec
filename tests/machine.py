"""What the machine offers that runs the tests, and what a test does without it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["ENVIRONMENT", "IN_CI", "TOP", "program", "unavailable"]

#: The repository's top folder.
TOP = Path(__file__).parents[1]

#: The environment as it was found, with what pip and npm need to reach their registries. A test's own is clean.
ENVIRONMENT = dict(os.environ)

IN_CI = bool(ENVIRONMENT.get("CI"))


def unavailable(reason: str, *, in_ci: bool = IN_CI) -> NoReturn:
    """Skip the test at hand for want of something; in CI, where nothing may be wanting, fail it."""
    if in_ci:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(name: str, package: str = "", *, in_ci: bool = IN_CI) -> str:
    """Find a program that users have, and we do not need: a shell, `jq`, `man`.

    In CI it is installed where it is missing. A test that cannot have it is skipped.

    Args:
        name: The program's.
        package: Debian's package of it, if that is called otherwise.
        in_ci: Whether to install it.
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
