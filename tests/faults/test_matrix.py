"""Every fault, under every load, on every server: nothing is lost, reported twice, or left open."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.fault_proxy import (
    AT_ONCE,
    DOWN,
    UP,
    After,
    Close,
    Drip,
    Fault,
    Inject,
    Reset,
    Stall,
    Swallow,
    binary_frame,
    close_frame,
    text_frame,
)
from tests.faults.trial import Bench, Trial


@dataclass(frozen=True)
class Case:
    """The faults of one test.

    Args:
        now: The faults of the connection on which the load begins.
        then: The faults of each later connection.
        drops: How many lost connections and failed attempts the client must report; None for any number.
    """

    now: Sequence[Fault]
    then: Sequence[Sequence[Fault]] = ()
    drops: int | None = 1


UNAVAILABLE = Inject(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

CASES = {
    # Connections that end, at all kinds of places.
    "closed between the client's messages": Case([Fault(After(UP, messages=7), Close())]),
    "closed between the server's messages": Case([Fault(After(DOWN, messages=9), Close())]),
    "closed in the middle of the client's message": Case([Fault(After(UP, bytes=333), Close())]),
    "closed in the middle of the server's message": Case([Fault(After(DOWN, bytes=777), Close())]),
    "reset after the client's first message": Case([Fault(After(UP, messages=1), Reset())]),
    "reset in the middle of the client's message": Case([Fault(After(UP, bytes=1001), Reset())]),
    "reset in the middle of the server's message": Case([Fault(After(DOWN, bytes=101), Reset())]),
    "closed with a close frame": Case([Fault(After(DOWN, messages=5), Inject(close_frame(1000)))]),
    "closed at once": Case([Fault(AT_ONCE, Close())]),
    # Connections that end silently (H4, H5, C8).
    "half open after the client's messages": Case([Fault(After(UP, messages=5), Swallow())]),
    "half open in the middle of the server's message": Case([Fault(After(DOWN, bytes=500), Swallow())]),
    "half open, and so is the next, before the handshake": Case(
        [Fault(After(UP, messages=3), Swallow())], [[Fault(AT_ONCE, Swallow())]], drops=2
    ),
    "half open, and so is the next, after the handshake": Case(
        [Fault(After(DOWN, messages=3), Swallow())], [[Fault(After(UP, messages=1), Swallow())]], drops=2
    ),
    "half open, and so is the next, in the middle of its documents": Case(
        [Fault(AT_ONCE, Swallow())], [[Fault(After(DOWN, messages=20), Swallow())]], drops=2
    ),
    # Delays, and invalid data.
    "stalled for a while": Case([Fault(After(DOWN, messages=4), Stall())], drops=0),
    "one byte at a time": Case([Fault(AT_ONCE, Drip(4000))], drops=0),
    "a text that is not DDP": Case(
        [
            Fault(After(DOWN, messages=2), Inject(text_frame("garbage"))),
            Fault(After(DOWN, messages=3), Inject(text_frame("[1]") + text_frame("{}") + text_frame('{"msg":"?"}'))),
        ],
        drops=0,
    ),
    "a binary message": Case([Fault(After(DOWN, messages=2), Inject(binary_frame(b"\0\xff")))], drops=0),
    "a text that is not UTF-8": Case([Fault(After(DOWN, messages=3), Inject(b"\x81\x01\xff"))]),
    "bytes that are not a frame": Case([Fault(After(DOWN, messages=3), Inject(b"\xff\xff\xff\xff"))]),
    "bytes that announce a huge frame": Case(
        [Fault(After(DOWN, messages=3), Inject(b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"))]
    ),
    "bytes to the server that are not a frame": Case(
        [Fault(After(UP, messages=3), Inject(b"\xff" * 20, UP))], drops=None
    ),
    # Faults while the client reconnects.
    "closed, and no server for a while": Case(
        [Fault(After(UP, messages=9), Close())], [[Fault(AT_ONCE, Close())]] * 4, drops=5
    ),
    "closed, and refused by a proxy for a while": Case(
        [Fault(After(DOWN, messages=9), Reset())], [[Fault(AT_ONCE, UNAVAILABLE), Fault(AT_ONCE, Close())]] * 3, drops=4
    ),
    "closed again in the middle of the handshake": Case(
        [Fault(After(UP, messages=4), Close())],
        [[Fault(After(UP, bytes=50), Close())], [Fault(After(DOWN, bytes=50), Reset())]],
        drops=3,
    ),
    "closed again before `connected`": Case(
        [Fault(After(UP, messages=4), Close())], [[Fault(After(UP, messages=1), Close())]] * 3, drops=4
    ),
    "closed again and again in the middle of the documents": Case(
        [Fault(After(DOWN, messages=6), Reset())],
        [[Fault(After(DOWN, messages=number), Reset())] for number in (2, 3, 9, 75, 200, 450)],
        drops=None,
    ),
    "closed again after resent messages": Case(
        [Fault(After(UP, messages=30), Close())],
        [[Fault(After(UP, messages=number), Close())] for number in (2, 3, 6, 10)],
        drops=None,
    ),
}


@dataclass(frozen=True)
class Load:
    """The requests during a fault."""

    calls: bool = False
    subscriptions: bool = False
    login: bool = False


LOADS = {
    "calls": Load(calls=True),
    "documents": Load(subscriptions=True),
    "everything, logged in": Load(calls=True, subscriptions=True, login=True),
}


def fifty_calls(trial: Trial) -> None:
    """Make calls with and without retry, calls whose runs are counted, and `wait` calls."""
    kinds = ["echo"] * 20 + ["add"] * 20 + ["boom"] * 5 + ["slow"] * 5
    chance = random.Random(5)
    chance.shuffle(kinds)
    for number, kind in enumerate(kinds):
        trial.call(kind, retry=number % 4 != 3, wait=number in (20, 40), early=number % 9 == 0)


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS.keys())
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_fault_loses_a_request(large: Bench, case: Case, load: Load) -> None:
    """R2-R4, C13, C22, C23, C38, C55, C58, C62, A51, A55."""
    with large.trial(login=load.login) as trial:
        trial.begin()
        if load.subscriptions:
            trial.subscribe_to_all()
        before = trial.drops
        fired = len(large.proxy.fired)
        large.proxy.plan(*case.then)
        large.proxy.strike(*case.now)
        if load.calls:
            fifty_calls(trial)
        if load.subscriptions:
            for _ in range(3):
                trial.change()
        trial.bring_about(fired + len(case.now) + sum(len(faults) for faults in case.then))
        if load.subscriptions:
            for _ in range(3):
                trial.change()
        trial.settle()
        trial.check()
        if case.drops is not None:
            assert trial.drops - before == case.drops
