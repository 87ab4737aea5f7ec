"""The client of this package with a growing amount of work: growing.py URL messages|pending|subscriptions|lookups N.

Prints the seconds of the work, and the bytes of memory that the process holds after it.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ddpshell

#: The number of lookups in a collection of any size.
LOOKUPS = 10_000


def messages(client: ddpshell.Client, count: int) -> None:
    """Receive `count` documents."""
    client.subscribe("plain", count).ready.result()


def pending(client: ddpshell.Client, count: int) -> None:
    """Make `count` calls that are answered together."""
    calls = [client.call("hold") for _ in range(count - 1)]
    client.call("release").result()
    for call in calls:
        call.result()


def subscriptions(client: ddpshell.Client, count: int) -> None:
    """Make `count` subscriptions at the same time, and stop them."""
    live = [client.subscribe("plain", 0) for _ in range(count)]
    for subscription in live:
        subscription.ready.result()
    for subscription in live:
        subscription.stop()
    for subscription in live:
        subscription.stopped.result()


def lookups(client: ddpshell.Client, count: int) -> None:
    """Find documents among `count` by their ids."""
    collection = client.collection("items")
    for lookup in range(LOOKUPS):
        number = lookup * 7919 % count
        document = collection.find_one({"_id": f"id{number}"})
        assert document is not None
        assert document["n"] == number


def seconds(task: Callable[[ddpshell.Client, int], None], client: ddpshell.Client, count: int) -> float:
    started = time.perf_counter()
    task(client, count)
    return time.perf_counter() - started


def resident() -> int:
    """The resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main(url: str, task: str, count: int) -> None:
    with ddpshell.Client(url, reconnect=False) as client:
        client.wait_connected(timeout=10)
        client.call("echo").result()
        before = resident()
        times = []
        match task:
            case "messages":
                times.append(seconds(messages, client, count))
            case "lookups":
                messages(client, count)
                lookups(client, count)  # the first lookups also build what later ones use
                times.append(seconds(lookups, client, count))
            case _:
                # Short work is repeated, and the first time is not counted.
                work = {"pending": pending, "subscriptions": subscriptions}[task]
                while len(times) < 2 or (sum(times) < 0.3 and len(times) < 200):
                    times.append(seconds(work, client, count))
                times = times[1:]
        print(json.dumps({"time": statistics.median(times), "memory": resident() - before}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
