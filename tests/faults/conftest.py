"""Servers that the trials of one file share, each with a fault proxy before it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.fault_proxy import FaultProxy
from tests.faults.trial import Bench
from tests.faults.worlds import MeteorWorld, OurWorld


@pytest.fixture(autouse=True)
def _no_thread_left(home: object) -> Iterator[None]:
    """Check that only the threads of the shared servers remain."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith("ddp-server"):
            thread.join(timeout=10)
            assert not thread.is_alive(), f"{thread.name} still runs"


@contextmanager
def _bench(name: str, size: int, request: pytest.FixtureRequest) -> Iterator[Bench]:
    world: OurWorld | MeteorWorld
    if name == "meteor":
        world = MeteorWorld(size, request.getfixturevalue("meteor_server"))
    else:
        world = OurWorld(size, grace_period=15.0 if name == "resuming" else 0.0)
    world.start()
    try:
        with FaultProxy(world.port) as proxy:
            yield Bench(world, proxy)
    finally:
        world.stop()


@pytest.fixture(scope="module", params=["resuming", "forgetful", "meteor"])
def large(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Servers with 100 documents in each subscription: the embedded server with and without resumption, and Meteor."""
    with _bench(request.param, 100, request) as bench:
        yield bench


@pytest.fixture(scope="module", params=["resuming", "forgetful", "meteor"])
def small(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Servers with three documents in each subscription: the embedded server with and without resumption, and Meteor."""
    with _bench(request.param, 3, request) as bench:
        yield bench


@pytest.fixture(scope="module")
def ours(request: pytest.FixtureRequest) -> Iterator[Callable[[bool], Bench]]:
    """The embedded server with three documents in each subscription: `ours(True)` resumes sessions, `ours(False)` does not."""
    with _bench("resuming", 3, request) as resuming, _bench("forgetful", 3, request) as forgetful:
        yield lambda resumes: resuming if resumes else forgetful
