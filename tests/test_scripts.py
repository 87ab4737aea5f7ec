"""Scripts as users write them, run by bash, with `ddp` as a command: they say themselves what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loopback import LoopbackServer
from tests.machine import TOP

SCRIPTS = sorted(path for path in (TOP / "tests/scripts").glob("*.sh") if path.name != "json.sh")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for PATH with `ddp` in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "ddp"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{TOP}" exec "{sys.executable}" -m ddpshell "$@"\n')
    command.chmod(0o755)
    return folder


def run(script: Path, programs: Path, server: LoopbackServer) -> tuple[int, str, str]:
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "DDP_URL": server.url}
    ran = subprocess.run(
        ["bash", script],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_script_finds_all_as_it_should_be(script: Path, programs: Path) -> None:
    with LoopbackServer() as server:
        assert run(script, programs, server) == (0, "", "")


def test_a_script_that_finds_something_else_says_so(programs: Path, tmp_path: Path) -> None:
    script = tmp_path / "wrong.sh"
    script.write_text(f'. {TOP}/tests/scripts/json.sh\nsame "the number" 4 "$(ddp sub tasks --count)"\n')
    with LoopbackServer() as server:
        assert run(script, programs, server) == (1, "", "the number: expected\n4\nbut it is\n3\n")


def test_the_scripts_do_without_jq() -> None:
    program = f". {TOP}/tests/scripts/json.sh; command() {{ false; }}; field a.b"
    lines = '{"a":{"b":"text"}}\n{"a":{"b":[1,null]}}\n{"a":null}\n{"b":true}\n'
    ran = subprocess.run(["bash", "-c", program], input=lines, capture_output=True, text=True, check=True)
    assert ran.stdout == "text\n[1, null]\nnull\nnull\n"
