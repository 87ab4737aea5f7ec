"""The lines that say what a server did."""

from __future__ import annotations

import pytest

from ddpshell.cli.process import Process
from ddpshell.cli.server_log import ServerLog, outcome, what
from ddpshell.server import Activity, Server
from ddpshell.server.activity import ActivityKind
from tests.server.wire import WireClient


def activity(
    kind: ActivityKind = "method", name: str = "m", count: int = 0, error: str | float | None = None
) -> Activity:
    return Activity(kind, name, count, 0.001, error, "session", "127.0.0.1")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        pytest.param(activity(name="upper", count=1), "upper(1 argument)", id="a call"),
        pytest.param(activity(name="a.b/c-d", count=2), "a.b/c-d(2 arguments)", id="usual names are not quoted"),
        pytest.param(activity(), "m()", id="no arguments"),
        pytest.param(activity("sub", "tasks"), "sub tasks", id="a subscription"),
        pytest.param(activity("sub", "tasks", 1), "sub tasks(1 argument)", id="with an argument"),
        pytest.param(activity("nosub", "tasks"), "unsub tasks", id="its end"),
        pytest.param(activity(name=""), '""()', id="no name at all"),
        pytest.param(activity(name="upper()  ok"), '"upper()  ok"()', id="a name that looks like a line"),
        pytest.param(activity(name="\x1b[2J\n\u202e"), r'"\x1b[2J\n\u202e"()', id="a hostile name"),
        pytest.param(activity(name="x" * 1000), "x" * 80 + "...()", id="a long name"),
    ],
)
def test_what_was_called_is_said_and_cannot_pass_for_something_else(item: Activity, text: str) -> None:
    assert what(item) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "ok"),
        (404, "error 404"),
        ("not-found", "error not-found"),
        ("\x1b[31m\nred", r"error \x1b[31m\nred"),
        ("e" * 1000, "error " + "e" * 80),
    ],
)
def test_what_came_of_it_is_said(error: str | int | None, text: str) -> None:
    assert outcome(activity(error=error)) == text


@pytest.mark.parametrize("colour", ["never", "always"])
def test_errors_are_red_where_there_is_colour(colour: str, capfd: pytest.CaptureFixture[str]) -> None:
    process = Process()
    process.console.configure(colour=colour)
    server = Server()
    ServerLog(process, shows_frames=False).watch(server)
    with server.running(), WireClient(server.url) as client:
        client.call_error("nope")
    error = "\x1b[31merror 404\x1b[0m" if colour == "always" else "error 404"
    assert f" nope()  {error}  " in capfd.readouterr().err
