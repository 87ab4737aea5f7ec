"""Where a thread is, told by the application's code and not by what it calls."""

from __future__ import annotations

import threading

from ddpshell.server.places import place_of

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
