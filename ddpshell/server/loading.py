"""Servers that are written in files: what `ddp serve app.py` runs, and runs again when the file has changed."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import TracebackType

from ..exceptions import CommandError
from .server import Server

__all__ = ["ServedApp", "load_app"]


def load_app(path: str) -> Server:
    """Run a Python file, and take the `Server` that it makes: the one named `server`, or the only one.

    The file's folder comes first where it imports from. It is not run as `__main__`, so it may end with
    `if __name__ == "__main__": server.serve_forever()`.

    Raises:
        CommandError: It cannot be read or run, with the line where it failed; or it makes no server.
    """
    folder = str(Path(path).absolute().parent)
    sys.path.insert(0, folder)
    try:
        names = runpy.run_path(path, run_name="ddp_app")
    except SyntaxError as error:
        where = f"{error.filename or path}, line {error.lineno}"
        raise CommandError(f"{where}: {type(error).__name__}: {error.msg}") from error
    except OSError as error:
        if error.filename != path:
            raise CommandError(_failure(path, error)) from error
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    except (Exception, SystemExit) as error:
        raise CommandError(_failure(path, error)) from error
    finally:
        sys.path.remove(folder)
    return _server_among(path, names)


class ServedApp:
    """A file's server, running; `reload` puts another in its place, on the same port.

    Args:
        path: The Python file.

    Attributes:
        server: The one that runs, or ran last.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._address = ("127.0.0.1", 3000)
        self.server = load_app(path)
        self._seen = self._times()

    def start(self, host: str = "127.0.0.1", port: int = 3000) -> None:
        """See Server.start."""
        self.server.start(host, port)
        self._address = (host, self.server.port)

    def stop(self) -> None:
        """See Server.stop."""
        self.server.stop()

    def is_changed(self) -> bool:
        """Say whether the file, or one beside or below it that it imports, is another than when it was loaded."""
        return self._times() != self._seen

    def reload(self) -> None:
        """Run the file again, and serve what it makes now; clients are closed, and come back.

        Raises:
            CommandError: See `load_app`; the old server goes on.
            OSError: See `Server.start`.
        """
        for name in self._modules():
            del sys.modules[name]
        try:
            server = load_app(self._path)
        finally:
            # A file that fails is not tried again before it has changed again.
            self._seen = self._times()
        self.server.stop()
        self.server = server
        server.start(*self._address)

    def _modules(self) -> dict[str, str]:
        """What was imported from the file's own folder, and from which files."""
        folder = Path(self._path).absolute().parent
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            ours = name == "__main__" or name.split(".")[0] == "ddpshell"
            if not ours and isinstance(file, str) and folder in Path(file).parents:
                found[name] = file
        return found

    def _times(self) -> dict[str, int]:
        times = {}
        for file in {self._path, *self._modules().values()}:
            try:
                times[file] = Path(file).stat().st_mtime_ns
            except OSError:
                times[file] = 0
        return times


def _failure(path: str, error: BaseException) -> str:
    what = "it exits" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    line = _line_in(path, error.__traceback__)
    return f"{path}, line {line}: {what}" if line is not None else f"{path}: {what}"


def _line_in(path: str, trace: TracebackType | None) -> int | None:
    """Find the last line of the file itself that led to an exception."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _server_among(path: str, names: dict[str, object]) -> Server:
    named = names.get("server")
    servers = (
        [named]
        if isinstance(named, Server)
        else list({id(v): v for v in names.values() if isinstance(v, Server)}.values())
    )
    if len(servers) > 1:
        raise CommandError(f"{path} makes several servers: name the one to run `server`")
    if not servers:
        raise CommandError(f"{path} makes no server: write `server = Server()`, from ddpshell.server")
    [server] = servers
    if not server.wait(0):
        server.stop()
        raise CommandError(f"{path} starts its server by itself: put that under `if __name__ == '__main__':`")
    return server
