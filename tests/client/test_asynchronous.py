"""Futures of the client in tasks of asyncio, changes as an iterator, and clients that are not closed."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

import ddpshell
from ddpshell import Client, events
from ddpshell.client.asynchronous import Change
from ddpshell.exceptions import ConnectionLost, MethodError, QueryError
from tests.client.test_collection import Played, added, changed, playing, removed
from tests.fakes import PATIENCE, FakeClock, ScriptedConnector
from tests.loopback import LoopbackServer
from tests.machine import ENVIRONMENT


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    async with asyncio.timeout(PATIENCE):
        return [await anext(changes) for _ in range(count)]


async def turn() -> None:
    """Let each task run until it waits."""
    await asyncio.sleep(0)  # noqa: TID251 - not for any time


def answer(played: Played, **outcome: Any) -> None:
    """Answer the call that the client sent."""
    call = played.server.pull_message()
    played.push({"msg": "result", "id": call["id"], **outcome}, {"msg": "updated", "methods": [call["id"]]})


class TestAwait:
    def test_awaiting_a_call_returns_its_result_or_raises_its_error(self) -> None:
        async def run(played: Played) -> None:
            waiting = asyncio.create_task(result(played.client, "upper"))
            await turn()
            answer(played, result="HELLO")
            assert await waiting == "HELLO"
            done = played.client.call("upper")
            answer(played, result="DONE")
            assert await done == "DONE"  # the loop does not run another turn
            failing = asyncio.create_task(result(played.client, "fail"))
            await turn()
            answer(played, error={"error": 404})
            with pytest.raises(MethodError):
                await failing

        with playing() as played:
            asyncio.run(run(played))

    def test_many_calls_wake_the_loop_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def run(played: Played) -> None:
            loop = asyncio.get_running_loop()
            waiting = asyncio.gather(*(result(played.client, "m") for _ in range(100)))
            await turn()
            ids = [played.server.pull_message()["id"] for _ in range(100)]
            wakes: list[object] = []
            original = loop.call_soon_threadsafe

            def call_soon_threadsafe(*args: Any) -> object:
                wakes.append(args)
                return original(*args)

            monkeypatch.setattr(loop, "call_soon_threadsafe", call_soon_threadsafe)
            results = [{"msg": "result", "id": id_, "result": n} for n, id_ in enumerate(ids)]
            # All calls are answered while the loop does not run.
            played.push(*results, {"msg": "updated", "methods": ids})
            assert await waiting == list(range(100))
            assert len(wakes) <= 1

        with playing() as played:
            asyncio.run(run(played))

    def test_canceling_the_task_cancels_a_call_that_is_not_sent(self) -> None:
        async def run(client: Client) -> None:
            call = client.call("m")
            task = asyncio.create_task(wait(call))
            await turn()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert call.cancelled()

        with Client("", clock=FakeClock(), connector=ScriptedConnector()) as client:
            asyncio.run(run(client))

    def test_stopping_a_subscription_before_it_is_ready_cancels_the_waiting_task(self) -> None:
        async def run(played: Played) -> None:
            subscription = played.client.subscribe("tasks")
            task = asyncio.create_task(wait(subscription.ready))
            await turn()
            subscription.stop()
            with pytest.raises(asyncio.CancelledError):
                await task

        with playing() as played:
            asyncio.run(run(played))

    def test_an_ended_loop_does_not_affect_the_next_loop(self) -> None:
        """A call can be done after the end of the loop in which a task waited for the call."""

        async def leave(client: Client) -> None:
            task = asyncio.create_task(wait(client.call("m")))
            await turn()
            task.cancel()

        with playing() as played:
            asyncio.run(leave(played.client))
            answer(played, result=1)
            asyncio.run(leave(played.client))

    def test_async_with_closes_the_client(self, server: LoopbackServer) -> None:
        async def run() -> Client:
            async with ddpshell.Client(server.url) as client:
                assert await client.call("upper", "hello") == "HELLO"
                assert await client.ping() > 0
            return client

        client = asyncio.run(run())
        with pytest.raises(ddpshell.ClientClosed):
            client.call("upper", "x").result()

    def test_asyncio_is_imported_only_if_it_is_used(self, server: LoopbackServer) -> None:
        program = f"""
import sys, ddpshell
with ddpshell.Client({server.url!r}) as client:
    client.call("upper", "x").result(timeout={PATIENCE})
    client.subscribe("tasks").ready.result(timeout={PATIENCE})
    client.collection("tasks").find()
print("asyncio" in sys.modules)
"""
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert ran.stdout == "False\n"

    @pytest.mark.parametrize("is_answered", [True, False])
    def test_an_ended_loop_is_garbage_collected(self, is_answered: bool) -> None:
        async def run(played: Played) -> None:
            ended.append(weakref.ref(asyncio.get_running_loop()))
            waiting = asyncio.create_task(result(played.client, "upper"))
            await turn()
            if is_answered:
                answer(played, result="HELLO")
                await waiting

        ended: list[weakref.ref[asyncio.AbstractEventLoop]] = []
        with playing() as played:
            for _ in range(3):
                asyncio.run(run(played))
            gc.collect()
            assert [loop() for loop in ended] == [None] * 3


class TestChanges:
    def test_documents_and_then_their_changes_arrive_in_order(self) -> None:
        async def run(played: Played) -> None:
            changes = played.tasks.changes()
            assert await take(changes, 1) == [events.DocumentAdded("tasks", "a", {"n": 1})]
            played.push(added("b", n=2), changed("a", ("n",), title="one"), removed("b"))
            assert await take(changes, 3) == [
                events.DocumentAdded("tasks", "b", {"n": 2}),
                events.DocumentChanged("tasks", "a", {"title": "one"}, ("n",)),
                events.DocumentRemoved("tasks", "b"),
            ]
            await changes.aclose()

        with playing(added("a", n=1)) as played:
            asyncio.run(run(played))

    def test_with_a_selector_only_changes_of_matching_documents_arrive(self) -> None:
        async def run(played: Played) -> None:
            changes = played.tasks.changes({"n": {"$gt": 1}})
            assert await take(changes, 1) == [events.DocumentAdded("tasks", "b", {"n": 2})]
            played.push(changed("a", n=5), changed("b", n=0))
            assert await take(changes, 2) == [
                events.DocumentAdded("tasks", "a", {"n": 5}),
                events.DocumentRemoved("tasks", "b"),
            ]
            await changes.aclose()
            with pytest.raises(QueryError):
                played.tasks.changes({"$nope": 1})

        with playing(added("a", n=1), added("b", n=2)) as played:
            asyncio.run(run(played))

    def test_changes_over_the_limit_are_dropped_and_counted(self) -> None:
        """The present documents do not count for the limit."""

        async def run(played: Played) -> None:
            changes = played.tasks.changes(limit=2)
            await take(changes, 5)
            played.push(*(changed("0", n=number) for number in range(20)))
            missing = [await anext(changes) for _ in range(8)]
            assert missing == [
                *(events.DocumentChanged("tasks", "0", {"n": number}, ()) for number in range(7)),
                events.ChangesDropped("tasks", 13),
            ]
            played.push(changed("0", n=100))
            assert await take(changes, 1) == [events.DocumentChanged("tasks", "0", {"n": 100}, ())]
            await changes.aclose()

        with playing(*(added(str(number)) for number in range(5))) as played:
            asyncio.run(run(played))

    @pytest.mark.parametrize("limit", [0, -1, 1.5, True, None])
    def test_a_limit_below_one_change_is_an_error(self, limit: Any) -> None:
        async def run(played: Played) -> None:
            with pytest.raises(QueryError, match="limit must be a number of changes, 1 or more"):
                played.tasks.changes(limit=limit)

        with playing() as played:
            asyncio.run(run(played))

    def test_an_unused_iterator_is_garbage_collected_with_its_observer(self) -> None:
        async def run(played: Played) -> None:
            before = len(vars(played.client)["_callbacks"])
            changes: Any = played.tasks.changes()
            assert len(vars(played.client)["_callbacks"]) > before
            del changes
            gc.collect()
            await turn()
            await turn()
            assert len(vars(played.client)["_callbacks"]) == before

        with playing(added("a")) as played:
            asyncio.run(run(played))

    def test_the_iterator_ends_when_the_client_closes(self) -> None:
        async def run(played: Played) -> None:
            changes = played.tasks.changes()
            await take(changes, 1)
            played.push(removed("a"))
            played.client.close()
            assert [change async for change in changes] == [events.DocumentRemoved("tasks", "a")]
            # A new iterator of the closed client has no changes.
            assert [change async for change in played.tasks.changes()] == []

        with playing(added("a")) as played:
            asyncio.run(run(played))

    def test_the_iterator_raises_the_error_that_ends_the_client(self) -> None:
        async def run(client: Client, connector: ScriptedConnector) -> None:
            changes = client.collection("tasks").changes()
            waiting = asyncio.ensure_future(anext(changes))
            await turn()
            server = connector.accept()
            server.establish()
            server.drop()
            with pytest.raises(ConnectionLost):
                await waiting
            with pytest.raises(ConnectionLost):
                await anext(client.collection("tasks").changes())

        connector = ScriptedConnector()
        with Client("", clock=FakeClock(), connector=connector, reconnect=False) as client:
            asyncio.run(run(client, connector))


@pytest.mark.parametrize("is_used", [False, True], ids=["connecting", "connected"])
def test_a_garbage_collected_client_closes_itself_with_a_warning(server: LoopbackServer, is_used: bool) -> None:
    """The thread and the connection end. A handle keeps its client alive."""
    before = set(threading.enumerate())
    client = Client(server.url)
    call = client.call("upper", "hello")
    thread = (set(threading.enumerate()) - before).pop()
    if is_used:
        client.login("alice", password="wonderland")
        client.subscribe("tasks").ready.result(PATIENCE)
    del client
    gc.collect()
    assert call.result(PATIENCE) == "HELLO"
    del call
    with pytest.warns(ResourceWarning, match="unclosed <Client ws://"):
        gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_closed_client_is_garbage_collected_without_a_warning(server: LoopbackServer) -> None:
    with Client(server.url) as client:
        client.call("upper", "hello").result(PATIENCE)
    with warnings.catch_warnings(record=True) as caught:
        del client
        gc.collect()
    assert caught == []


async def result(client: Client, method: str) -> Any:
    return await client.call(method)


async def wait(future: Any) -> Any:
    return await future
