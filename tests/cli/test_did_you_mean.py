"""If the server does not know a name, a similar name is suggested: one that was typed, or that an embedded server has."""

from __future__ import annotations

from pathlib import Path

import pytest
from prompt_toolkit.history import FileHistory

from ddpshell.cli.call_arguments import earlier_lines, suggest_name
from ddpshell.cli.process import Process
from ddpshell.exceptions import MethodError, ServerError, SubscriptionError
from ddpshell.protocol.urls import parse_url
from tests.cli.conftest import Command

UNKNOWN_METHOD = "Method 'uper' not found"
UNKNOWN_PUBLICATION = "Subscription 'tusks' not found"


def history(home: Path, *lines: str) -> Path:
    """Write a history file as the shell does, and return its folder."""
    folder = home / "state/ddpshell"
    folder.mkdir(parents=True)
    kept = FileHistory(str(folder / "history"))
    for line in lines:
        kept.store_string(line)
    return folder


@pytest.mark.parametrize(
    ("error", "name", "advice"),
    [
        pytest.param(MethodError(404, UNKNOWN_METHOD), "uper", ["did you mean upper?"], id="a method"),
        pytest.param(SubscriptionError(404, UNKNOWN_PUBLICATION), "tusks", ["did you mean tasks?"], id="a publication"),
        pytest.param(MethodError(404, "Method 'tusks' not found"), "tusks", [], id="a publication is not a method"),
        pytest.param(MethodError(404, "Method 'zzz' not found"), "zzz", [], id="no similar name"),
        pytest.param(MethodError(404, "Post not found"), "uper", [], id="another reason for 404"),
        pytest.param(MethodError(403, UNKNOWN_METHOD), "uper", [], id="another error"),
    ],
)
@pytest.mark.parametrize("is_typed", [True, False], ids=["names in the history", "names of an embedded server"])
def test_a_similar_known_name_is_suggested(
    home: Path, error: ServerError, name: str, advice: list[str], is_typed: bool
) -> None:
    process = Process()
    if is_typed:
        history(home, 'call upper "x"', "sub tasks {\n  done: false\n}", "no command at all (")
    else:
        process.methods, process.publications = ["add", "upper"], ["items", "tasks"]
    error.__dict__.pop("__notes__", None)
    suggest_name(error, name, process, parse_url("localhost:3000"))
    assert getattr(error, "__notes__", []) == advice


def test_history_lines_are_read_unchanged(home: Path) -> None:
    lines = ["call a", "call b {\n\n+ 1}", " ", "call ünï"]
    assert [text.removesuffix("\n") for text in earlier_lines(history(home, *lines) / "history")] == lines


@pytest.mark.parametrize("history", ["/nowhere/history", "/dev/null/history"])
def test_a_missing_history_has_no_lines(history: str) -> None:
    assert list(earlier_lines(Path(history))) == []


def test_names_of_the_demo_server_are_suggested(ddp: Command) -> None:
    assert ddp("demo", "call", "uper", "x") == (
        1,
        "",
        "ddp: error: Method 'uper' not found [404]\nddp: hint: did you mean upper?\n",
    )
    assert ddp("demo", "sub", "tusks").err.endswith("ddp: hint: did you mean tasks?\n")
