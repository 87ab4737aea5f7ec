"""Threads for handlers that are plain functions, so that a slow one holds up nobody but its own session.

They are daemons: a handler that never returns cannot keep the process from ending.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from ..clock import SystemClock, wait_in_parts
from .places import place_of

__all__ = ["Workers", "may_wait", "no_waiting"]

logger = logging.getLogger(__name__)

Job: TypeAlias = Callable[[], None]


class Workers:
    """A pool that grows as needed, up to a limit; what comes then waits for a thread.

    Args:
        limit: The most threads at a time.
        name: What their names begin with.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        # The last to fall idle is the first to be woken, so that a light load stays on few threads.
        self._idle: list[_Worker] = []
        self._waiting: deque[Job] = deque()
        self._stopped = False

    def submit(self, job: Job) -> None:
        """Run `job` on some thread, soon. After `stop` it is dropped."""
        with self._lock:
            if self._stopped:
                return
            if self._idle:
                self._idle.pop().hand(job)
            elif len(self._workers) < self._limit:
                worker = _Worker(self, f"{self._name}-{len(self._workers) + 1}")
                self._workers.append(worker)
                worker.hand(job)
                worker.start()
            else:
                self._waiting.append(job)

    @property
    def idle(self) -> int:
        """How many threads have nothing to do."""
        return len(self._idle)

    def next_job(self, worker: _Worker) -> Job | None:
        """Say what a worker without a job does next; None to wait to be handed one."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if not self._stopped:
                self._idle.append(worker)
            else:
                worker.hand(None)
            return None

    def stop(self, timeout: float) -> list[str]:
        """Let running jobs end, and their threads with them; what still waits is dropped.

        Args:
            timeout: Seconds to wait for all of them.

        Returns:
            Where those are that still run; see `place_of`.
        """
        with self._lock:
            self._stopped = True
            self._waiting.clear()
            for worker in self._idle:
                worker.hand(None)
            self._idle.clear()
        clock = SystemClock()
        deadline = clock.now() + timeout
        for worker in self._workers:
            if worker is not threading.current_thread():
                wait_in_parts(partial(_joined, worker), max(0.0, deadline - clock.now()))
        return [place_of(worker) for worker in self._workers if worker.is_alive()]


def _joined(thread: threading.Thread, timeout: float) -> bool:
    thread.join(timeout)
    return not thread.is_alive()


class _Worker(threading.Thread):
    def __init__(self, pool: Workers, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._pool = pool
        self._job: Job | None = None
        self._handed = threading.Semaphore(0)

    def hand(self, job: Job | None) -> None:
        self._job = job
        self._handed.release()

    def run(self) -> None:
        _thread.is_worker = True
        while True:
            self._handed.acquire()
            # What it has done is not to be kept until it has something else to do: a job may hold a whole session.
            job, self._job = self._job, None
            if job is None:
                return
            while job is not None:
                try:
                    job()
                except BaseException:
                    logger.exception("internal error of the server")
                job = self._pool.next_job(self)


class _ThreadState(threading.local):
    is_worker = False
    hurried = 0


_thread = _ThreadState()


def may_wait() -> bool:
    """Say whether this thread may wait for a slow reader: a worker may, unless others wait for it."""
    return _thread.is_worker and not _thread.hurried


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """While others wait for this thread, let it not wait for anybody's slow reader."""
    _thread.hurried += 1
    try:
        yield
    finally:
        _thread.hurried -= 1
