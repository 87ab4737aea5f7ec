"""`ddp` without the functions that another system lacks: `python -m tests.platforms windows|macos WORD...`

On `windows` the package finds none of POSIX's modules, calls, signals and flags. A selector accepts sockets only, `os.read`
and `os.write` reject sockets, and there is no `/bin/sh` and no `/dev/tty`. In place of a console, `msvcrt` types the keys in
`$TYPED`. On `macos` a selector accepts regular files, but never reports the end of one, as kqueue does.

This proves only what depends on these things. The standard library and the terminal remain those of this machine.
"""

from __future__ import annotations

import builtins
import os
import select
import signal
import stat
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["main"]

_MODULES = "_posixsubprocess crypt fcntl grp posix pty pwd readline resource syslog termios tty".split()

_CALLS = {
    os: "O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK WNOHANG chown ctermid fchmod fchown fork forkpty getegid geteuid"
    " getgid getgroups getpgid getpgrp getsid getuid initgroups killpg mkfifo nice openpty pathconf pread pwrite"
    " register_at_fork sched_yield set_blocking setegid seteuid setgid setpgid setsid setuid sysconf tcgetpgrp"
    " tcsetpgrp ttyname uname wait wait3 wait4",
    signal: "ITIMER_PROF ITIMER_REAL ITIMER_VIRTUAL SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF SIGQUIT"
    " SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGUSR1 SIGUSR2 SIGWINCH alarm getitimer pause pthread_kill"
    " pthread_sigmask setitimer sigpending sigwait",
    select: "devpoll epoll kqueue poll",
}

# ERROR_FILE_NOT_FOUND has this number; WSAENOTSOCK is 10038.
_NOT_A_SOCKET = 10038


def main(words: list[str]) -> None:
    """Remove the functions that the system lacks, and run `ddp`."""
    system, *sys.argv[1:] = words
    {"windows": _windows, "macos": _macos}[system]()
    from ddpshell.__main__ import main as run

    run()


def _is_socket(file: Any) -> bool:
    return stat.S_ISSOCK(os.fstat(file if isinstance(file, int) else file.fileno()).st_mode)


# --------------------------------------------------------------------------------------------------------- Windows


def _windows() -> None:
    # Before the modules of the standard library that look for these calls when they are imported.
    del select.epoll, select.poll
    # The standard library itself needs POSIX on this machine.
    import asyncio
    import subprocess

    if sys.stdin.isatty():
        # Windows has another function, which does the same.
        import prompt_toolkit.input.vt100  # noqa: F401

    assert subprocess.PIPE
    _take_away_calls()
    _take_away_modules()
    _accept_only_sockets()
    _have_no_readers(asyncio)
    sys.addaudithook(_refuse)
    sys.modules["msvcrt"] = _console(os.environ.get("TYPED", ""))


def _take_away_calls() -> None:
    for module, names in _CALLS.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)


def _take_away_modules() -> None:
    before = builtins.__import__

    def find(name: str, importer: Any = None, *others: Any, **more: Any) -> Any:
        if name in _MODULES and str((importer or {}).get("__name__")).startswith("ddpshell"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return before(name, importer, *others, **more)

    vars(builtins)["__import__"] = find


def _accept_only_sockets() -> None:
    choose, read, write = select.select, os.read, os.write

    def select_sockets(*files: Any) -> Any:
        # prompt_toolkit has its own way of waiting for the console.
        if not all(_is_socket(file) or os.isatty(file) for several in files[:3] for file in several):
            raise OSError(_NOT_A_SOCKET, "An operation was attempted on something that is not a socket")
        return choose(*files)

    def only_files(call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(file: int, argument: Any) -> Any:
            assert not _is_socket(file), "Windows does not read or write sockets like files"
            return call(file, argument)

        return checked

    select.select = select_sockets
    os.read, os.write = only_files(read), only_files(write)


def _have_no_readers(asyncio: Any) -> None:
    loop = asyncio.ProactorEventLoop = asyncio.SelectorEventLoop
    remove = loop.remove_reader

    def remove_reader(self: Any, file: Any) -> Any:
        assert os.isatty(file if isinstance(file, int) else file.fileno()), "the loop of Windows has no readers"
        return remove(self, file)

    loop.remove_reader = remove_reader


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and arguments[0] == "/dev/tty":
        raise FileNotFoundError(2, "No such file or directory")
    if event == "subprocess.Popen":
        raise FileNotFoundError(2, "No such file or directory")


def _console(typed: str) -> types.ModuleType:
    keys: Iterator[str] = iter(typed)
    console = types.ModuleType("msvcrt")
    vars(console).update(getwch=lambda: next(keys), putwch=sys.stderr.write)
    return console


# ----------------------------------------------------------------------------------------------------------- macOS


def _macos() -> None:
    import selectors

    class Kqueue(selectors.DefaultSelector):
        """Accepts regular files, and reports them only until their end."""

        def __init__(self) -> None:
            super().__init__()
            self.regular: dict[int, selectors.SelectorKey] = {}

        def register(self, file: Any, events: int, data: Any = None) -> selectors.SelectorKey:
            number = file if isinstance(file, int) else file.fileno()
            if not stat.S_ISREG(os.fstat(number).st_mode):
                return super().register(file, events, data)
            key = self.regular[number] = selectors.SelectorKey(file, number, events, data)
            return key

        def unregister(self, file: Any) -> selectors.SelectorKey:
            return self.regular.pop(file) if file in self.regular else super().unregister(file)

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            ready = [
                (key, key.events)
                for number, key in self.regular.items()
                if os.lseek(number, 0, os.SEEK_CUR) < os.fstat(number).st_size
            ]
            return ready or super().select(timeout)

    selectors.DefaultSelector = Kqueue  # type: ignore[misc]  # for this process


if __name__ == "__main__":
    main(sys.argv[1:])
