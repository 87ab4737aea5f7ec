"""A real Meteor server, of the packages that Meteor 1.9.3 was released with, for tests that want a peer we did not write.

`boot.js` starts it, `app.js` is its application: methods, publications, and the user alice, whose password is
`wonderland`. Both say at their top what they are and which settings they take from the environment.
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
    """One server process, which is gone at the latest a second after ours.

    Its data is in memory: started again it is empty, and knows no login token from before.

    Args:
        stderr: The file for what Meteor logs: a stack for each error 500, a line for each bad message.
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

    def start(self) -> None:
        """Listen: on any free port the first time, on the same one after that."""
        assert self._process is None, "the server runs already"
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
        """End it as a deployment does, with SIGTERM: no close frame, the TCP connections end."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(subprocess.Popen.kill)

    def restart(self) -> None:
        """End it, and start an empty one on the same port."""
        self.stop()
        self.start()

    def _end(self, how: Callable[[subprocess.Popen[str]], None]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        how(process)
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
    """Install what the server runs on, unless that was done.

    Raises:
        NpmError: It cannot be installed, or cannot run here.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise npm.NpmError("the real Meteor server runs on Linux, x86-64, with glibc only")
    npm.install(_FOLDER)
