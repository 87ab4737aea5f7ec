"""Our server, embedded in a program: `python -m tests.benchmarks.embedded` prints `LISTENING port`.

It ends when its standard input does. `ddp serve` is the same, and a line on standard error for each call.
"""

from __future__ import annotations

import sys

from ddpshell.server.demo import demo_server


def main() -> None:
    with demo_server().running() as server:
        print("LISTENING", server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
