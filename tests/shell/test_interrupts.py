"""Ctrl-C ends a wait, whenever it is pressed, and nothing else."""

from __future__ import annotations

import signal
import threading

import pytest

from ddpshell.shell.interrupts import Interrupts
from tests.loopback import PATIENCE


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_wait_is_ended() -> None:
    interrupts = Interrupts()
    with interrupts.installed(), pytest.raises(KeyboardInterrupt), interrupts.allowed():
        press()


def test_a_wait_that_has_begun_is_ended_from_outside() -> None:
    interrupts = Interrupts()
    main = threading.main_thread().ident
    assert main is not None
    killer = threading.Thread(target=signal.pthread_kill, args=[main, signal.SIGINT])

    def wait() -> None:
        with interrupts.allowed():
            killer.start()
            threading.Event().wait(PATIENCE)

    with interrupts.installed(), pytest.raises(KeyboardInterrupt):
        wait()
    killer.join()


def test_elsewhere_it_waits_for_the_next_wait() -> None:
    interrupts = Interrupts()
    with interrupts.installed():
        press()
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            raise AssertionError("it was pressed before")
        with interrupts.allowed():
            pass


def test_what_was_meant_for_something_else_is_forgotten() -> None:
    interrupts = Interrupts()
    with interrupts.installed():
        press()
        interrupts.forget()
        with interrupts.allowed():
            pass


def test_a_key_that_nobody_noticed_counts() -> None:
    interrupts = Interrupts()
    interrupts.remember()
    with pytest.raises(KeyboardInterrupt), interrupts.allowed():
        pass


def test_afterwards_it_is_pythons_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts().installed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
