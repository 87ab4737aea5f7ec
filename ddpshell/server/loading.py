"""Servers that are written in files: what `ddp serve app.py` runs, and runs again when the file has changed."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from ..exceptions import CommandError
from .server import Server, being_loaded

__all__ = ["ServedApp", "load_app"]


def load_app(path: str) -> Server:
    """Run a Python file, and take the `Server` that it makes: the one named `server`, or the only one.

    The file's folder comes first where it imports from. It is not run as `__main__`, so it may end with
    `if __name__ == "__main__": server.serve_forever()`.

    Raises:
        CommandError: It cannot be read or run, with the line where it failed; or it makes no server.
    """
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path or repr(path)}: {error.strerror}") from error
    folder = str(_folder(path))
    sys.path.insert(0, folder)
    token = being_loaded.set(True)
    try:
        names = runpy.run_path(path, run_name="ddp_app")
    except SyntaxError as error:
        where = f"{error.filename or path}, line {error.lineno}"
        raise CommandError(f"{where}: {type(error).__name__}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise CommandError(_failure(path, error)) from error
    finally:
        being_loaded.reset(token)
        sys.path.remove(folder)
    return _server_among(path, names)


class ServedApp:
    """A file's server, running; `reload` puts another in its place, on the same port.

    Args:
        path: The Python file.
        prepare: Called with each server that the file makes, before it runs.

    Attributes:
        server: The one that runs, or ran last.
    """

    def __init__(self, path: str, prepare: Callable[[Server], object] = lambda server: None) -> None:
        self._path = path
        self._prepare = prepare
        self._address = ("127.0.0.1", 3000)
        self._files = {path}
        self._seen: dict[str, int] = {}
        self.server = self._load()

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
        server = self._load()
        self.server.stop()
        self.server = server
        server.start(*self._address)

    def _load(self) -> Server:
        before = self._times()
        try:
            server = load_app(self._path)
            self._files = {self._path, *self._modules().values()}
        except CommandError:
            # What has to be mended may be a file that could not be imported, and so is not known.
            self._files |= {self._path, *self._modules().values(), *map(str, _folder(self._path).glob("*.py"))}
            raise
        finally:
            # What was changed while it was read is read again; what fails is not, before it has changed again.
            self._seen = {file: before.get(file, time) for file, time in self._times().items()}
        self._prepare(server)
        return server

    def _modules(self) -> dict[str, str]:
        """What was imported from the file's own folder, and from which files."""
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            ours = name == "__main__" or name.split(".")[0] == "ddpshell"
            if not ours and isinstance(file, str) and _is_beside(self._path, file):
                found[name] = file
        return found

    def _times(self) -> dict[str, int]:
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
    """Say whether a file belongs to the program at `path`: it is in its folder or below, and was not installed there."""
    folder, place = _folder(path), Path(file).absolute()
    if folder not in place.parents or {"site-packages", "dist-packages"} & set(place.parts):
        return False
    return not any(
        folder in root.parents and root in place.parents for root in map(Path, {sys.prefix, sys.base_prefix})
    )


def _failure(path: str, error: BaseException) -> str:
    what = "it exits" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    where = path
    trace = error.__traceback__
    while trace is not None:
        # The last place in the program itself, before a library's.
        file = trace.tb_frame.f_code.co_filename
        if file == path or _is_beside(path, file):
            where = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return f"{where}: {what}"


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
    return servers[0]
