"""The client of this package, for the benchmarks: ddpshell_client.py URL items|plain|calls|waited|awaited N."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

import ddpshell


def calls(client: ddpshell.Client, count: int) -> Callable[[], int]:
    under_way = [client.call("echo", number) for number in range(count)]
    results = [call.result() for call in under_way]
    return lambda: sum(result == [number] for number, result in enumerate(results))


def waited(client: ddpshell.Client, count: int) -> Callable[[], int]:
    """Make each call after the result of the earlier one."""
    results = [client.call("echo", number).result() for number in range(count)]
    return lambda: sum(result == [number] for number, result in enumerate(results))


def awaited(client: ddpshell.Client, count: int) -> Callable[[], int]:
    """Make each call after the result of the earlier one, in an event loop."""

    async def call_all() -> list[object]:
        return [await client.call("echo", number) for number in range(count)]

    results = asyncio.run(call_all())
    return lambda: sum(result == [number] for number, result in enumerate(results))


CALLS = {"calls": calls, "waited": waited, "awaited": awaited}


def documents(client: ddpshell.Client, publication: str, count: int) -> Callable[[], int]:
    client.subscribe(publication, count).ready.result()
    return lambda: len(client.collection("items").find())


def main(url: str, task: str, count: int) -> None:
    with ddpshell.Client(url, reconnect=False) as client:
        client.wait_connected(timeout=10)
        started = time.perf_counter()
        done = CALLS[task](client, count) if task in CALLS else documents(client, task, count)
        print(time.perf_counter() - started, flush=True)
        sys.stdin.read()  # the benchmark reads the memory of this process now
        print(done())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
