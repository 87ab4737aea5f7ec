"""Looking up the addresses of a host, within a time limit."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from ddpshell.client.network.waiting import Interrupted, Waiter, look_up_host, lookup_problem
from ddpshell.clock import SystemClock
from tests.client.conftest import CONNECT_TIMEOUT, ClientThread, failure
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
def test_an_ip_address_needs_no_lookup(waiter: Waiter, host: str, address: tuple[object, ...]) -> None:
    """No name server is asked, so the call returns at once."""
    assert [found[4] for found in look_up_host(host, 80, socket.AF_UNSPEC, waiter, 0)] == [address]


def test_localhost_is_looked_up_without_a_thread(waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(threading, "Thread")
    assert {found[4][0] for found in look_up_host("localhost", 80, socket.AF_INET, waiter, 0)} == {"127.0.0.1"}


def test_the_reason_of_a_failed_lookup_is_reported(waiter: Waiter) -> None:
    with pytest.raises(socket.gaierror) as unknown:
        look_up_host("nowhere.invalid", 80, socket.AF_UNSPEC, waiter, None)
    assert lookup_problem(unknown.value) == unknown.value.strerror
    with pytest.raises(UnicodeError, match="idna") as unheard_of:
        look_up_host("\udcff.example", 80, socket.AF_UNSPEC, waiter, None)
    assert lookup_problem(unheard_of.value) == "it is not a valid host name"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that answers only after the test."""
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
def test_a_lookup_ends_at_the_deadline(client_thread: ClientThread) -> None:
    """R7."""
    attempt = client_thread.connect("ws://slow.test:3000")
    client_thread.clock.wait_until_waiting(deadline=client_thread.clock.now() + CONNECT_TIMEOUT)
    client_thread.clock.advance(CONNECT_TIMEOUT)
    error = failure(attempt)
    assert str(error) == "cannot find the host 'slow.test': no answer in time"
    assert error.retryable


@pytest.mark.usefixtures("silent")
def test_an_interruption_ends_a_lookup_at_once(client_thread: ClientThread) -> None:
    attempt = client_thread.connect("ws://slow.test:3000")
    client_thread.clock.wait_until_waiting()
    client_thread.client.waiter.interrupt()
    assert isinstance(attempt.exception(PATIENCE), Interrupted)
