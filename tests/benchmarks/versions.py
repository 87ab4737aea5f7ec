"""The versions of the measured programs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from tests.benchmarks.programs import DDP, NODE

__all__ = ["machine", "versions"]

_PYTHON = ("click", "msgspec", "prompt_toolkit", "pygments", "websocket-client", "websockets")
_NPM = ("ddp", "simpleddp", "ws")
_METEOR = "1.9.3"  # the version that tests/meteor/boot.js starts


def machine() -> Mapping[str, str | int | None]:
    """The kind of the machine."""
    return {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}


def versions() -> Mapping[str, str]:
    """The versions of this package and of the other programs, by name."""
    ours = subprocess.run([*DDP, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    node = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")
    modules = Path(__file__).parent / "node_modules"
    packages = {name: json.loads((modules / name / "package.json").read_text())["version"] for name in _NPM}
    return {
        "ddpshell": ours,
        "Python": platform.python_version(),
        **{name: metadata.version(name) for name in _PYTHON},
        "Node": node,
        **{f"npm {name}": version for name, version in packages.items()},
        "Meteor": _METEOR,
    }
