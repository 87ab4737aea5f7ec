"""The client of this package, doing the same for a long time: lasting.py URL calls|reconnects N.

Before the work, and after each tenth of it, the program prints the memory and the number of objects of the process.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from pathlib import Path

import ddpshell

#: Calls in flight at the same time.
BATCH = 1000


def calls(client: ddpshell.Client, count: int) -> None:
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        under_way = [client.call("echo", number) for number in numbers]
        for number, call in zip(numbers, under_way, strict=True):
            assert call.result() == [number]


def reconnects(client: ddpshell.Client, count: int) -> None:
    for number in range(count):
        kick = client.apply("kick", [], retry=False)
        # The call is sent when there is a session again, after the subscription is renewed.
        assert client.call("echo", number).result() == [number]
        assert isinstance(kick.exception(), ddpshell.OutcomeUnknown)


def figures(done: int) -> str:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    kibibytes = int(status.partition("VmRSS:")[2].split()[0])
    found = {
        "done": done,
        "memory": kibibytes * 1024,
        "objects": len(gc.get_objects()),
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }
    return json.dumps(found)


def main(url: str, task: str, count: int) -> None:
    with ddpshell.Client(url) as client:
        client.wait_connected(timeout=10)
        client.subscribe("items", 10).ready.result()
        work = {"calls": calls, "reconnects": reconnects}[task]
        work(client, min(count, BATCH))
        print(figures(0), flush=True)
        for tenth in range(10):
            work(client, count // 10)
            print(figures((tenth + 1) * (count // 10)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
