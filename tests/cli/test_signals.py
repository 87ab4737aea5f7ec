"""A signal does not end what must not be left half done; two do."""

from __future__ import annotations

import signal
import threading

import pytest

from ddpshell.cli.exit_codes import Terminated
from ddpshell.cli.process import terminable
from ddpshell.cli.signals import unbroken

BOTH = pytest.mark.parametrize(
    ("number", "error"),
    [
        pytest.param(signal.SIGINT, KeyboardInterrupt, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, Terminated, id="SIGTERM"),
    ],
)


def work(steps: list[str], *signals: signal.Signals) -> None:
    """Get signals while what must not be broken is done."""
    with terminable(), unbroken():
        for number in signals:
            signal.raise_signal(number)
        steps.append("done all the same")


@BOTH
def test_one_signal_waits_for_the_end(number: signal.Signals, error: type[BaseException]) -> None:
    steps: list[str] = []
    with pytest.raises(error):
        work(steps, number)
    assert steps == ["done all the same"]


@BOTH
def test_two_do_not(number: signal.Signals, error: type[BaseException]) -> None:
    steps: list[str] = []
    with pytest.raises(error):
        work(steps, number, number)
    assert steps == []


def test_afterwards_all_is_as_it_was() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with unbroken():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_have_no_signals_to_put_off() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with unbroken():
                pass
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == []
