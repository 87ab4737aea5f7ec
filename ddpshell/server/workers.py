"""Threads for handlers that are plain functions, so that a slow one holds up nobody but its own session.

They are daemons: a handler that never returns cannot keep the process from ending.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from ..clock import SystemClock, wait_in_parts
from .errors import describe_position

__all__ = ["Workers", "may_wait", "no_waiting"]

logger = logging.getLogger(__name__)

Job: TypeAlias = Callable[[], None]


class Workers:
    """A pool that grows as needed, up to a limit; what comes then waits for a thread.

    The threads are shared fairly among the owners of jobs, which are the clients. Whoever has no job running is served
    first. A further job of the same owner starts only while more threads are free than the owner has, and a quarter of
    all threads is never used for that. So a few clients with many slow calls leave threads for all others.

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
        self._running: dict[object, int] = {}
        self._busy = 0
        self._waiting: dict[object, deque[Job]] = {}
        # The owners of what waits, in order: those that have nothing running, and the others.
        self._first: OrderedDict[object, None] = OrderedDict()
        self._further: OrderedDict[object, None] = OrderedDict()
        self._stopped = False
        # Whether the system has refused a thread, and none could be started since.
        self._starved = False

    def start(self) -> None:
        """Start the first thread, so that every job is done some time even if the system refuses any more.

        Raises:
            RuntimeError: The system refuses this one, too.
        """
        with self._lock:
            self._start_spare()
        if not self._workers:
            raise RuntimeError("the system has no thread left for the server's handlers")

    def submit(self, job: Job, owner: object = None) -> None:
        """Run `job` on some thread, soon. After `stop` it is dropped.

        Args:
            job: What to run.
            owner: Whom it is for; a job of None is one of its own kind.
        """
        owner = job if owner is None else owner
        with self._lock:
            if self._stopped:
                return
            if self._starved:
                self._start_spare()
            if owner in self._waiting:
                self._waiting[owner].append(job)
            elif self._may_start(owner) and self._hand_out(owner, job):
                self._started(owner)
            else:
                self._waiting[owner] = deque([job])
                (self._further if owner in self._running else self._first)[owner] = None

    @property
    def has_waiting(self) -> bool:
        """Whether an owner without a thread waits for one."""
        return bool(self._first)

    @property
    def idle(self) -> int:
        """How many threads have nothing to do."""
        return len(self._idle)

    def next_job(self, worker: _Worker) -> Job | None:
        """Say what a worker does next that has done its job; None to wait to be handed one."""
        with self._lock:
            self._ended(worker.owner)
            # It keeps nothing of what it has done.
            worker.owner = None
            owner = self._next_owner()
            if owner is not None:
                self._started(owner)
                worker.owner = owner
                jobs = self._waiting[owner]
                job = jobs.popleft()
                if jobs:
                    self._further[owner] = None
                else:
                    del self._waiting[owner]
                if self._starved and self._waiting:
                    self._start_spare()
                return job
            if not self._stopped:
                self._idle.append(worker)
            else:
                worker.hand(None, None)
            return None

    def stop(self, timeout: float) -> list[str]:
        """Let running jobs end, and their threads with them; what still waits is dropped.

        Args:
            timeout: Seconds to wait for all of them.

        Returns:
            Where those are that still run; see `describe_position`.
        """
        with self._lock:
            self._stopped = True
            self._waiting.clear()
            self._first.clear()
            self._further.clear()
            for worker in self._idle:
                worker.hand(None, None)
            self._idle.clear()
        clock = SystemClock()
        deadline = clock.now() + timeout
        for worker in self._workers:
            if worker is not threading.current_thread():
                wait_in_parts(partial(_joined, worker), max(0.0, deadline - clock.now()))
        return [describe_position(worker) for worker in self._workers if worker.is_alive()]

    # ------------------------------------------------------------------------------------- in detail, under the lock

    def _may_start(self, owner: object) -> bool:
        free = self._limit - self._busy
        number = self._running.get(owner, 0)
        return number < free and (number == 0 or free > self._limit // 4)

    def _next_owner(self) -> object:
        """Take the owner of the job that is next out of its queue; None if no job may start."""
        if self._first and self._busy < self._limit:
            return self._first.popitem(last=False)[0]
        # Where this may start anything, only a few owners have so many threads that they are passed over.
        for owner in self._further:
            if self._limit - self._busy <= self._limit // 4:
                break
            if self._may_start(owner):
                del self._further[owner]
                return owner
        return None

    def _started(self, owner: object) -> None:
        self._busy += 1
        self._running[owner] = self._running.get(owner, 0) + 1

    def _ended(self, owner: object) -> None:
        self._busy -= 1
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
            if owner in self._further:
                del self._further[owner]
                self._first[owner] = None

    def _hand_out(self, owner: object, job: Job) -> bool:
        """Give a job to a thread; False if there is none, and none can be started: then the job waits for one."""
        if self._idle:
            self._idle.pop().hand(owner, job)
            return True
        worker = _Worker(self, f"{self._name}-{len(self._workers) + 1}")
        worker.hand(owner, job)
        try:
            worker.start()
        except RuntimeError as error:
            if not self._starved:
                logger.warning("a client has to wait: %s", error)
            self._starved = True
            return False
        self._starved = False
        self._workers.append(worker)
        return True

    def _start_spare(self) -> None:
        """Start a thread that begins with what waits."""
        owner = object()
        if self._busy < self._limit and self._hand_out(owner, _nothing):
            self._started(owner)


def _nothing() -> None:
    pass


def _joined(thread: threading.Thread, timeout: float) -> bool:
    thread.join(timeout)
    return not thread.is_alive()


class _Worker(threading.Thread):
    def __init__(self, pool: Workers, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.owner: object = None
        self._pool = pool
        self._job: Job | None = None
        self._handed = threading.Semaphore(0)

    def hand(self, owner: object, job: Job | None) -> None:
        self.owner, self._job = owner, job
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
