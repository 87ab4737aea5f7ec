"""Where a thread is, told by the application's code and not by what it method_calls."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from functools import partial

from ddpshell.server import method_calls
from ddpshell.server.errors import check
from ddpshell.server.stack_frames import application_part, place_of

PATIENCE = 20.0


def test_a_thread_in_a_library_is_where_the_application_called_it() -> None:
    started, release = threading.Event(), threading.Event()

    def handler() -> None:
        started.set()
        release.wait(PATIENCE)

    thread = threading.Thread(target=handler)
    thread.start()
    assert started.wait(PATIENCE)
    line = handler.__code__.co_firstlineno + 2
    assert place_of(thread) == f"{__file__}, line {line}, in handler"
    release.set()
    thread.join()


def test_a_thread_that_is_nowhere_in_it_is_told_by_its_name() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="waiting")
    assert place_of(thread) == "waiting"
    thread.start()
    assert place_of(thread) == "waiting"
    release.set()
    thread.join()


def names(error: BaseException) -> list[str]:
    return [place.name for place in traceback.extract_tb(application_part(error.__traceback__))]


def raised(function: Callable[[], object]) -> BaseException:
    _, error = method_calls.outcome(function)
    assert error is not None
    return error


def test_how_the_server_came_to_the_application_is_left_out_and_what_that_called_is_not() -> None:
    def handler() -> None:
        check(1, str)

    assert names(raised(handler)) == ["handler", "check"]


def test_a_traceback_without_the_application_is_left_as_it_is() -> None:
    assert names(raised(lambda: None.x)) == ["<lambda>"]  # type: ignore[attr-defined]  # that is the point
    assert names(raised(partial(check, 1, str))) == ["outcome", "check"]
