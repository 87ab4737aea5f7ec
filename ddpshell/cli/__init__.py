"""A process with arguments: the command `ddp`."""

from __future__ import annotations

import gc

# Loading the command makes tens of thousands of objects, and the shell 70,000, none of them garbage. With the usual threshold
# of 700 the collector goes through them again and again, which takes 7 ms of the 80 that a call takes, and even once takes
# 10 ms of the 170 until the prompt of the shell appears. Here, because it must come first.
gc.set_threshold(100_000)

__all__: list[str] = []
