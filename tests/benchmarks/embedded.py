"""The server of this package in a program: `python -m tests.benchmarks.embedded` prints `LISTENING port`.

The program ends when its standard input ends. `ddp serve` does the same, and also logs each call.
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
