"""Calls a server directly and through a proxy in turn: `two_ways.py DIRECT PROXY COUNT RATE`.

Prints how many milliseconds the proxy adds to the median of the round trips and to their 99th percentile, as one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import websocket


def connected(url: str) -> websocket.WebSocket:
    connection = websocket.create_connection(url, timeout=30)
    connection.send('{"msg":"connect","version":"1","support":["1"]}')
    while '"connected"' not in connection.recv():
        pass
    return connection


def round_trip(connection: websocket.WebSocket, number: int) -> float:
    call = json.dumps({"msg": "method", "id": str(number), "method": "upper", "params": ["Hello"]})
    started = time.perf_counter()
    connection.send(call)
    while '"result"' not in connection.recv():
        pass
    return time.perf_counter() - started


def main() -> None:
    urls, count, rate = sys.argv[1:3], int(sys.argv[3]), float(sys.argv[4])
    connections = [connected(url) for url in urls]
    times: list[list[float]] = [[], []]
    started = time.perf_counter()
    for number in range(count):
        time.sleep(max(0.0, started + number / rate - time.perf_counter()))
        # The first of two calls wakes the server, so each way is the first one half of the time.
        for way in (0, 1) if number % 2 else (1, 0):
            times[way].append(round_trip(connections[way], number))
    (direct50, direct99), (proxy50, proxy99) = (
        (statistics.median(of), statistics.quantiles(of, n=100)[98]) for of in times
    )
    print(json.dumps({"p50": (proxy50 - direct50) * 1000, "p99": (proxy99 - direct99) * 1000}))


if __name__ == "__main__":
    main()
