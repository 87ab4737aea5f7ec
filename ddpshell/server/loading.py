"""Load the server of a Python file, for `ddp serve app.py`, and load it again when the file changes."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from ..exceptions import CommandError
from .server import Server, being_loaded


def load_app(path: str, name: str | None = None, module: str | None = None) -> Server:
    """Run a Python file and return the `Server` that it makes: the variable `server`, or the only server among its variables.

    The file can import modules from its own folder. Its `__name__` is not `__main__`, so the file can end with
    `if __name__ == "__main__": server.serve_forever()`.

    Args:
        path: The file.
        name: The variable with the server; None to find it.
        module: The file as a module of the current folder, so that it can import from its package; None for a file alone.

    Raises:
        CommandError: The file cannot be read, fails (the message has the line), or makes no server or several.
    """
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path or repr(path)}: {error.strerror}") from error
    folder = str(_folder(path)) if module is None else str(Path.cwd())
    sys.path.insert(0, folder)
    token = being_loaded.set(True)
    try:
        if module is None:
            names = runpy.run_path(path, run_name="ddp_app")
        else:
            names = runpy.run_module(module, run_name="ddp_app")
    except SyntaxError as error:
        where = f"{error.filename or path}, line {error.lineno}"
        raise CommandError(f"{where}: {type(error).__name__}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise CommandError(_failure(path, error)) from error
    finally:
        being_loaded.reset(token)
        sys.path.remove(folder)
    if name is None:
        return _server_among(path, names)
    server = names.get(name)
    if not isinstance(server, Server):
        others = ", ".join([key for key, value in names.items() if isinstance(value, Server)])
        raise CommandError(
            f"{path} has no server {name!r}; {f'its servers are: {others}' if others else 'it makes no server'}"
        )
    return server


class ServedApp:
    """The server of a file. `reload` replaces it with the server of the changed file, on the same port.

    Args:
        path: The Python file.
        prepare: Called with each server before it starts.
        name: See `load_app`.
        module: See `load_app`.

    Attributes:
        server: The current server.
    """

    def __init__(
        self,
        path: str,
        prepare: Callable[[Server], object] = lambda server: None,
        *,
        name: str | None = None,
        module: str | None = None,
    ) -> None:
        self._path = path
        self._name = name
        self._module = module
        self._prepare = prepare
        self._address = ("127.0.0.1", 3000)
        self._files = {path}
        self._loaded_times: dict[str, int] = {}
        self.server = self._load()

    def start(self, host: str = "127.0.0.1", port: int = 3000) -> None:
        """See Server.start."""
        self.server.start(host, port)
        self._address = (host, self.server.port)

    def stop(self) -> None:
        """See Server.stop."""
        self.server.stop()

    def is_changed(self) -> bool:
        """Return whether the file, or a file that it imports from its folder, has changed since it was loaded."""
        return self._modification_times() != self._loaded_times

    def reload(self) -> None:
        """Run the file again and start its new server. The clients are disconnected and can reconnect.

        Raises:
            CommandError: See `load_app`. The old server keeps running.
            OSError: See `Server.start`.
        """
        for name in self._modules():
            del sys.modules[name]
        server = self._load()
        self.server.stop()
        self.server = server
        server.start(*self._address)

    def _load(self) -> Server:
        before = self._modification_times()
        try:
            server = load_app(self._path, self._name, self._module)
            self._files = {self._path, *self._modules().values()}
        except CommandError:
            # The broken file can be one that was not imported yet, so watch the whole folder.
            self._files |= {self._path, *self._modules().values(), *map(str, _folder(self._path).glob("*.py"))}
            raise
        finally:
            # A file that changed during the load keeps its old time, so that it is loaded again.
            self._loaded_times = {file: before.get(file, time) for file, time in self._modification_times().items()}
        self._prepare(server)
        return server

    def _modules(self) -> dict[str, str]:
        """Return the modules that were imported from the file's own folder, each with its file."""
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            is_application = name != "__main__" and name.split(".")[0] != "ddpshell"
            if is_application and isinstance(file, str) and _is_beside(self._path, file):
                found[name] = file
        return found

    def _modification_times(self) -> dict[str, int]:
        times = {}
        for file in self._files:
            try:
                times[file] = Path(file).stat().st_mtime_ns
            except OSError:
                times[file] = 0
        return times


def _folder(path: str) -> Path:
    return Path(path).absolute().parent


def _is_beside(path: str, file: str) -> bool:
    """Return whether a file is in the folder of the program at `path`, or below it, and was not installed there."""
    folder, absolute = _folder(path), Path(file).absolute()
    if folder not in absolute.parents or {"site-packages", "dist-packages"} & set(absolute.parts):
        return False
    return not any(
        folder in root.parents and root in absolute.parents for root in map(Path, {sys.prefix, sys.base_prefix})
    )


def _failure(path: str, error: BaseException) -> str:
    what = "the file exits the program" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    where = path
    trace = error.__traceback__
    while trace is not None:
        # The last line in the program itself, even if the exception comes from a library.
        file = trace.tb_frame.f_code.co_filename
        if file == path or _is_beside(path, file):
            where = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return f"{where}: {what}"


def _server_among(path: str, names: dict[str, object]) -> Server:
    named = names.get("server")
    values = [named] if isinstance(named, Server) else names.values()
    servers = list({id(value): value for value in values if isinstance(value, Server)}.values())
    if len(servers) > 1:
        raise CommandError(f"{path} makes several servers; assign the one to run to `server`")
    if not servers:
        raise CommandError(f"{path} makes no server; add `from ddpshell.server import Server` and `server = Server()`")
    return servers[0]
