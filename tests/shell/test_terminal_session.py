"""Longer sessions in a real pseudo-terminal, as a person has them: what is seen, kept and saved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import LoopbackServer
from tests.shell.window import Window


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def window(server: LoopbackServer) -> Iterator[Window]:
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for("connected to")
        window.wait_for_prompt()
        yield window


def test_the_toolbar_shows_how_things_are_when_an_answer_is_shown(window: Window) -> None:
    window.press("call slow 500\r")
    window.wait_for(lambda: "1 pending" in window.rows[-1])
    window.wait_for("[1] 500")
    assert "pending" not in window.rows[-1]


def test_in_vi_mode_escape_and_enter_are_two_keys(window: Window) -> None:
    """Many press them quickly, and a terminal sends the same bytes for Alt-Enter."""
    window.press("set editing vi\r")
    window.wait_for("editing is vi")
    window.press("call upper quick\x1b\r")
    window.wait_for('[1] "QUICK"')
