"""The addresses of a host are known in time, or given up in time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from ddpshell.client.network.addresses import look_up_host, lookup_problem
from ddpshell.client.network.waiting import Interrupted, Waiter
from ddpshell.clock import SystemClock
from tests.client.conftest import CONNECT_TIMEOUT, Patient, failure
from tests.loopback import PATIENCE


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    with contextlib.closing(Waiter(SystemClock())) as waiter:
        yield waiter


@pytest.mark.parametrize(
    ("host", "address"),
    [
        pytest.param("127.0.0.1", ("127.0.0.1", 80), id="IPv4"),
        pytest.param("::1", ("::1", 80, 0, 0), id="IPv6"),
        pytest.param("127.1", ("127.0.0.1", 80), id="a short form"),
    ],
)
def test_an_address_is_its_own(waiter: Waiter, host: str, address: tuple[object, ...]) -> None:
    """And nobody is asked, so that it may not take any time."""
    assert [found[4] for found in look_up_host(host, 80, socket.AF_UNSPEC, waiter, 0)] == [address]


def test_for_this_machine_nobody_waits(waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(threading, "Thread")
    assert {found[4][0] for found in look_up_host("localhost", 80, socket.AF_INET, waiter, 0)} == {"127.0.0.1"}


def test_why_there_is_none_is_told(waiter: Waiter) -> None:
    with pytest.raises(socket.gaierror) as unknown:
        look_up_host("nowhere.invalid", 80, socket.AF_UNSPEC, waiter, None)
    assert lookup_problem(unknown.value) == unknown.value.strerror
    with pytest.raises(UnicodeError, match="idna") as unheard_of:
        look_up_host("\udcff.example", 80, socket.AF_UNSPEC, waiter, None)
    assert lookup_problem(unheard_of.value) == "it is not a valid host name"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that answers when the test is over."""
    over = threading.Event()
    asked: list[threading.Thread] = []

    def never(*arguments: object) -> list[tuple[object, ...]]:
        asked.append(threading.current_thread())
        assert over.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_NONAME, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    yield
    over.set()
    for thread in asked:
        thread.join(PATIENCE)


@pytest.mark.usefixtures("silent")
def test_a_resolver_that_does_not_answer_is_given_up_at_the_deadline(patient: Patient) -> None:
    """R7."""
    attempt = patient.connect("ws://slow.test:3000")
    patient.clock.wait_until_waiting(deadline=patient.clock.now() + CONNECT_TIMEOUT)
    patient.clock.advance(CONNECT_TIMEOUT)
    error = failure(attempt)
    assert str(error) == "cannot find the host 'slow.test': no answer in time"
    assert error.retryable


@pytest.mark.usefixtures("silent")
def test_an_interruption_ends_the_question_at_once(patient: Patient) -> None:
    attempt = patient.connect("ws://slow.test:3000")
    patient.clock.wait_until_waiting()
    patient.client.waiter.interrupt()
    assert isinstance(attempt.exception(PATIENCE), Interrupted)
