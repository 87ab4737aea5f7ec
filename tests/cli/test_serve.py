"""The embedded server runs until it is told to end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Callable

import pytest

from tests.cli.conftest import Command, finished


def url_of(process: subprocess.Popen[str]) -> str:
    """Wait until the server says where it is."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.match(r"ddp: note: serving at (ws://\S+); Ctrl-C ends it$", line):
            return found[1]
    raise AssertionError("it does not serve")


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")],
)
def test_it_serves_until_it_is_told_to_end(
    ddp: Command, start: Callable[..., subprocess.Popen[str]], number: signal.Signals, code: int
) -> None:
    process = start("serve", "--port", "0")
    url = url_of(process)
    assert url.startswith("ws://127.0.0.1:")
    assert ddp("call", "-u", url, "upper", "x") == (0, '"X"\n', "")
    assert ddp("call", "-u", url, "crash").code == 1
    process.send_signal(number)
    ran = finished(process)
    assert (ran.code, ran.out) == (code, "")
    # What the client was not told is here.
    assert "RuntimeError: internal, and not for the client" in ran.err


def test_it_says_what_there_is_to_call(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("serve", "--port", "0")
    url_of(process)
    assert process.stderr is not None
    assert " upper " in process.stderr.readline()
    assert " tasks " in process.stderr.readline()
    assert process.stderr.readline().startswith("ddp: note: try it: ddp call -u ws://127.0.0.1:")


def test_a_port_that_is_taken_is_told(ddp: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ran = ddp("serve", "--port", str(port))
    assert ran == (
        2,
        "",
        f"ddp: error: cannot listen on 127.0.0.1, port {port}: Address already in use; --port 0 takes a free one\n",
    )


def test_an_address_of_another_machine_is_told(ddp: Command) -> None:
    ran = ddp("serve", "--host", "192.0.2.1")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "ddp: warning: 192.0.2.1 can be reached from the network, and the demo asks nobody who they are",
        "ddp: error: cannot listen on 192.0.2.1, port 3000: Cannot assign requested address",
    ]


def test_a_name_that_is_none_is_told(ddp: Command) -> None:
    ran = ddp("serve", "--host", "nowhere.invalid", "-q")
    assert ran.code == 2
    assert ran.err.startswith("ddp: error: cannot listen on nowhere.invalid, port 3000: ")
