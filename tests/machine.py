"""What the machine offers that runs the tests, and what a test does without it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["ENVIRONMENT", "IN_CI", "TOP", "unavailable"]

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
