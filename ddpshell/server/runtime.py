"""What all connections of a running server share: the event loop, and the threads for handlers that are plain functions.

A slow handler delays only its own session. The threads are daemon threads, so that the process can end although a handler
never returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeAlias

from ..clock import SystemClock, wait_in_parts
from .handlers import describe_position, result_or_error
from .registrations import Registrations

logger = logging.getLogger(__name__)


class _ThreadState(threading.local):
    is_worker = False
    #: Inside of `others_waiting`, the runtimes whose event loops are woken up at its end; None outside of it.
    woken_later: list[Runtime] | None = None


_thread = _ThreadState()


@contextlib.contextmanager
def others_waiting() -> Iterator[None]:
    """Do something for which other threads wait: never wait for a slow reader, and wake up the event loop only at the end.

    A thread that wakes up the loop for each of a thousand clients takes turns with it, which is slow in Python. The block
    must be quick, and must call `wake_up_now` before it calls a function that the application can see.
    """
    if _thread.woken_later is not None:
        yield
        return
    _thread.woken_later = []
    try:
        yield
    finally:
        wake_up_now()
        _thread.woken_later = None


def wake_up_now() -> None:
    """Wake up the event loops that `others_waiting` would wake up at its end."""
    runtimes = _thread.woken_later
    while runtimes:
        runtimes.pop().wake_up()


def may_wait() -> bool:
    """Return whether this thread may wait for a slow reader: only a worker may, unless other threads wait for it."""
    return _thread.is_worker and _thread.woken_later is None


class Runtime:
    """What connections need of a server between its start and its stop.

    Args:
        registrations: What the application has registered.
        loop: The event loop.
        thread: The thread that runs the event loop.
        workers: The threads for handlers that are plain functions.
    """

    def __init__(
        self, registrations: Registrations, loop: asyncio.AbstractEventLoop, thread: threading.Thread, workers: Workers
    ) -> None:
        self.registrations = registrations
        self.loop = loop
        self.workers = workers
        self._thread = thread
        self._tasks: set[asyncio.Task[None]] = set()
        # What other threads call on the loop. One wake-up of the loop serves all calls that it finds here.
        self._calls: deque[Callable[[], None]] = deque()
        self._is_woken = False
        # Calls must not see the context of the method that happened to wake up the loop.
        self._context = contextvars.Context()

    @property
    def on_loop_thread(self) -> bool:
        """Whether the current thread is the event loop's."""
        return threading.current_thread() is self._thread

    def call_on_loop(self, function: Callable[[], None]) -> None:
        """Call `function` soon on the event loop's thread, unless the loop is closed. Can be called from any thread."""
        held = _thread.woken_later
        if held is None and self.on_loop_thread:
            self.loop.call_soon(function, context=self._context)
            return
        self._calls.append(function)
        if held is None:
            self.wake_up()
        elif self not in held:
            held.append(self)

    def wake_up(self) -> None:
        """Let the event loop run what other threads have called on it. Can be called from any thread."""
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._run_calls, context=self._context)

    def _run_calls(self) -> None:
        # A call that is added from here on wakes up the loop again, unless it is among those that run now.
        self._is_woken = False
        for _ in range(len(self._calls)):
            function = self._calls.popleft()
            try:
                function()
            except Exception as error:  # noqa: BLE001 - reported, not swallowed
                self.loop.call_exception_handler({"message": f"exception in {function!r}", "exception": error})

    def start_task(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Run an `async def` function as a task. Can be called from any thread."""
        if not self.on_loop_thread:
            self.call_on_loop(partial(self.start_task, function, *arguments))
            return
        task = self.loop.create_task(function(*arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks that run handlers."""
        return set(self._tasks)

    async def cancel_tasks(self, timeout: float) -> int:
        """Cancel the tasks that run handlers, and return how many of them still run after `timeout` seconds."""
        tasks = self.tasks
        for task in tasks:
            task.cancel()
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=timeout)
        return len(pending)

    async def call_on_worker(self, function: Callable[[], Any], owner: object = None) -> Any:
        """Call `function` on a worker thread for `owner`, and return its result or raise its exception."""
        future: Future[Any] = Future()
        # If the waiting task is canceled, the function runs all the same.
        future.set_running_or_notify_cancel()

        def work() -> None:
            value, error = result_or_error(function)
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self.workers.submit(work, owner)
        return await asyncio.wrap_future(future)


Job: TypeAlias = Callable[[], None]


class Workers:
    """A pool of threads that grows as needed up to a limit. When the limit is reached, jobs wait for a thread.

    The threads are shared fairly among the owners of jobs, which are the clients. Owners without a running job are served
    first. Another job of the same owner starts only while more threads are free than the owner uses, and a quarter of all
    threads is never used for such jobs. So a few clients with many slow calls leave threads for all others.

    Args:
        limit: The largest number of threads.
        name: The prefix of the threads' names.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        # The thread that became idle last gets the next job, so that a light load uses few threads.
        self._idle_workers: list[_Worker] = []
        self._running: dict[object, int] = {}
        self._busy = 0
        self._waiting: dict[object, deque[Job]] = {}
        # The owners of waiting jobs, in order: those without a running job, and the others.
        self._idle_owners: OrderedDict[object, None] = OrderedDict()
        self._busy_owners: OrderedDict[object, None] = OrderedDict()
        self._stopped = False
        # Whether the operating system refused to start the last thread.
        self._starved = False

    def start(self) -> None:
        """Start the first thread, so that all jobs run eventually even if the operating system refuses to start more threads.

        Raises:
            RuntimeError: The operating system refuses to start the first thread.
        """
        with self._lock:
            self._start_spare()
        if not self._workers:
            raise RuntimeError("the operating system refuses to start a thread for the server's handlers")

    def submit(self, job: Job, owner: object = None) -> None:
        """Run `job` soon on one of the threads. After `stop` jobs are dropped.

        Args:
            job: The function to call.
            owner: The client that the job is for. With None, the job counts as an owner of its own.
        """
        owner = job if owner is None else owner
        with self._lock:
            if self._stopped:
                return
            if self._starved:
                self._start_spare()
            if owner in self._waiting:
                self._waiting[owner].append(job)
            elif self._may_start(owner) and self._assign(owner, job):
                self._count_start(owner)
            else:
                self._waiting[owner] = deque([job])
                (self._busy_owners if owner in self._running else self._idle_owners)[owner] = None

    @property
    def has_waiting(self) -> bool:
        """Whether an owner without a running job waits for a thread."""
        return bool(self._idle_owners)

    @property
    def idle(self) -> int:
        """The number of threads without a job."""
        return len(self._idle_workers)

    def next_job(self, worker: _Worker) -> Job | None:
        """Return the next job of a worker that has finished one. With None, the worker waits until it gets a job."""
        with self._lock:
            self._count_end(worker.owner)
            worker.owner = None  # An idle worker must not keep the client in memory.
            owner = self._next_owner()
            if owner is not None:
                self._count_start(owner)
                worker.owner = owner
                jobs = self._waiting[owner]
                job = jobs.popleft()
                if jobs:
                    self._busy_owners[owner] = None
                else:
                    del self._waiting[owner]
                if self._starved and self._waiting:
                    self._start_spare()
                return job
            if not self._stopped:
                self._idle_workers.append(worker)
            else:
                worker.assign(None, None)
            return None

    def stop(self, timeout: float) -> list[str]:
        """Drop the waiting jobs, and wait until the running jobs and their threads have ended.

        Args:
            timeout: Seconds to wait for all of them together.

        Returns:
            The positions of the threads that still run, see `describe_position`.
        """
        with self._lock:
            self._stopped = True
            self._waiting.clear()
            self._idle_owners.clear()
            self._busy_owners.clear()
            for worker in self._idle_workers:
                worker.assign(None, None)
            self._idle_workers.clear()
        clock = SystemClock()
        deadline = clock.now() + timeout
        for worker in self._workers:
            if worker is not threading.current_thread():
                wait_in_parts(partial(_joined, worker), max(0.0, deadline - clock.now()))
        return [describe_position(worker) for worker in self._workers if worker.is_alive()]

    # --------------------------------------------------------------------------- helpers, called with the lock held

    def _may_start(self, owner: object) -> bool:
        free = self._limit - self._busy
        number = self._running.get(owner, 0)
        return number < free and (number == 0 or free > self._limit // 4)

    def _next_owner(self) -> object:
        """Remove and return the owner whose job is next; None if no job may start."""
        if self._idle_owners and self._busy < self._limit:
            return self._idle_owners.popitem(last=False)[0]
        # This loop is short: while threads are free, only a few owners can use so many threads that they are skipped.
        for owner in self._busy_owners:
            if self._limit - self._busy <= self._limit // 4:
                break
            if self._may_start(owner):
                del self._busy_owners[owner]
                return owner
        return None

    def _count_start(self, owner: object) -> None:
        self._busy += 1
        self._running[owner] = self._running.get(owner, 0) + 1

    def _count_end(self, owner: object) -> None:
        self._busy -= 1
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
            if owner in self._busy_owners:
                del self._busy_owners[owner]
                self._idle_owners[owner] = None

    def _assign(self, owner: object, job: Job) -> bool:
        """Give a job to an idle thread or a new one. Returns False if no thread can be started."""
        if self._idle_workers:
            self._idle_workers.pop().assign(owner, job)
            return True
        worker = _Worker(self, f"{self._name}-{len(self._workers) + 1}")
        worker.assign(owner, job)
        try:
            worker.start()
        except RuntimeError as error:
            if not self._starved:
                logger.warning("a client has to wait for a thread: %s", error)
            self._starved = True
            return False
        self._starved = False
        self._workers.append(worker)
        return True

    def _start_spare(self) -> None:
        """Start a thread that then takes a waiting job."""
        owner = object()
        if self._busy < self._limit and self._assign(owner, lambda: None):
            self._count_start(owner)


def _joined(thread: threading.Thread, timeout: float) -> bool:
    thread.join(timeout)
    return not thread.is_alive()


class _Worker(threading.Thread):
    def __init__(self, pool: Workers, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.owner: object = None
        self._pool = pool
        # The class is looked up now, because gevent can have replaced it.
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def assign(self, owner: object, job: Job | None) -> None:
        self.owner = owner
        self._jobs.put(job)

    def run(self) -> None:
        _thread.is_worker = True
        while (job := self._jobs.get()) is not None:
            # A job can hold a whole session, so an idle worker must not keep its last job in memory: it ends with None.
            while job is not None:
                try:
                    job()
                except BaseException:
                    logger.exception("internal error of the server")
                job = self._pool.next_job(self)
