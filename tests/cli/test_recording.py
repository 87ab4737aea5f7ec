from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ddpshell.analysis.files import open_frames
from ddpshell.analysis.recording import Frame
from tests.cli.conftest import Command
from tests.loopback import LoopbackServer
from tests.machine import TOP

ALICE = ["login", "alice", "--password-file", "-", "--no-login"]


def messages(file: Path) -> list[str]:
    with open_frames(str(file)) as frames:
        return [json.loads(entry.text)["msg"] for entry in frames.entries if isinstance(entry, Frame)]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["call", "upper", "x"], id="call"),
        pytest.param(["sub", "tasks"], id="sub"),
        pytest.param(["ping", "-c", "1"], id="ping"),
        pytest.param(["batch", "{calls}"], id="batch"),
        pytest.param(["run", "{script}"], id="run"),
        pytest.param(["shell"], id="shell"),
    ],
)
def test_every_command_that_connects_can_be_recorded(
    ddp: Command, words: list[str], tmp_path: Path, server: LoopbackServer
) -> None:
    (tmp_path / "calls").write_text('["upper","x"]\n')
    (tmp_path / "script").write_text("call upper x\n")
    names = {"calls": tmp_path / "calls", "script": tmp_path / "script"}
    file = tmp_path / "a.ddprec"
    ran = ddp("-u", server.url, "--record", str(file), *[word.format(**names) for word in words], stdin=b"ping\n")
    assert ran.code == 0
    found = messages(file)
    assert found[0] == "connect"
    assert "connected" in found
    assert len(found) > 2
    assert json.loads(ddp("read", str(file)).out)["lint"] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("with_secrets", [False, True])
def test_a_login_is_recorded_without_its_secrets_unless_the_user_asks(
    ddp: Command, tmp_path: Path, server: LoopbackServer, home: Path, with_secrets: bool
) -> None:
    file = tmp_path / "a.ddprec"
    options = ["--record", str(file), *(["--with-secrets"] if with_secrets else [])]
    words = ["-u", server.url.replace("//", "//ann:S3CRET@"), "-H", "Cookie: S3CRET", *options]
    ran = ddp(*words, "login", "alice", "--password-file", "-", stdin=b"wonderland\n")
    assert ran.code == 0, ran.err
    [saved] = (home / "state/ddpshell/logins").rglob("*.json")
    token = json.loads(saved.read_text())["token"]
    digest = hashlib.sha256(b"wonderland").hexdigest()
    data = file.read_text()
    assert "login" in data
    assert [secret in data for secret in (token, digest)] == [with_secrets, with_secrets]
    if not with_secrets:
        assert "S3CRET" not in data


def test_a_killed_process_leaves_a_readable_file(tmp_path: Path, server: LoopbackServer) -> None:
    file = tmp_path / "a.ddprec"
    command = [sys.executable, "-m", "ddpshell", "-u", server.url, "sub", "tasks", "--follow", "--record", str(file)]
    process = subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, env=os.environ)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert sorted(messages(file)[:4]) == ["added", "connect", "connected", "sub"]


def test_a_file_that_cannot_be_written_is_a_usage_error(ddp: Command, tmp_path: Path, server: LoopbackServer) -> None:
    ran = ddp("-u", server.url, "call", "upper", "x", "--record", str(tmp_path / "missing/a"))
    assert (ran.code, ran.out) == (2, "")
    assert "--record: cannot write" in ran.err


def test_with_secrets_is_an_error_without_record(ddp: Command, server: LoopbackServer) -> None:
    ran = ddp("-u", server.url, "call", "upper", "x", "--with-secrets")
    assert (ran.code, ran.out) == (2, "")
    assert "--with-secrets needs --record FILE" in ran.err
