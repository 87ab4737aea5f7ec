"""A real Meteor server, from the packages of Meteor 1.9.3, so that tests have a peer that is not from this project.

`boot.js` starts it, and `app.js` is its application: methods, publications, and the user alice with the password
`wonderland`. The comments at the top of both files describe them and their environment variables.
"""

from __future__ import annotations

import os
import platform
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests import npm

__all__ = ["MeteorServer", "install"]

_FOLDER = Path(__file__).parent


class MeteorServer:
    """A server process. It ends at most a second after the test process.

    Its data is in memory. After a restart it is empty, and earlier login tokens are invalid.

    Args:
        stderr: The file for Meteor's log, with a stack for each error 500 and a line for each bad message.
        settings: Environment variables of boot.js and app.js, such as `DDP_HEARTBEAT_INTERVAL` (ms).
    """

    def __init__(self, stderr: Path, settings: Mapping[str, str] | None = None) -> None:
        self.stderr = stderr
        self.port = 0
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/websocket"

    @property
    def pid(self) -> int:
        """The id of the running server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server: on any free port the first time, and on the same port after that."""
        assert self._process is None, "the server is already running"
        node = _FOLDER / "node_modules/.bin/node"
        with self.stderr.open("a") as log:
            self._process = subprocess.Popen(
                [node, "boot.js", "app.js"], cwd=_FOLDER, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={**self._settings, "PORT": str(self.port), "METEOR_PARENT_PID": str(os.getpid())},
            )  # fmt: skip
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], 60)
        line = self._process.stdout.readline() if readable else ""
        if not line.startswith("LISTENING "):
            self.kill()
            raise RuntimeError(f"the Meteor server did not start:\n{self.stderr.read_text()}")
        self.port = int(line.split()[1])

    def stop(self) -> None:
        """End the server with SIGTERM, as a deployment does. The TCP connections end without a close frame."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """Kill the server, as if it had crashed."""
        self._end(subprocess.Popen.kill)

    def restart(self) -> None:
        """Stop the server, and start an empty one on the same port."""
        self.stop()
        self.start()

    def _end(self, signal_process: Callable[[subprocess.Popen[str]], None]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        signal_process(process)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()


def install() -> None:
    """Install the server's packages, unless they are already installed.

    Raises:
        NpmError: The packages cannot be installed, or cannot run on this machine.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise npm.NpmError("the real Meteor server runs on Linux, x86-64, with glibc only")
    npm.install(_FOLDER)
