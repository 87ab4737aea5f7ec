"""Which file may import what. The tables below are complete; they also apply to imports in functions and for types."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.machine import TOP

PACKAGE = TOP / "ddpshell"

#: Each room, and the rooms that it may import: those below it. All rooms may import `exceptions`.
ROOMS = {
    "exceptions": (),
    "clock": (),
    "ejson": (),
    "minimongo": ("ejson",),
    "protocol": ("ejson",),
    "text": ("protocol", "ejson"),
    "analysis": ("text", "protocol", "ejson"),
    "client": ("protocol", "minimongo", "ejson", "clock"),
    "server": ("protocol", "minimongo", "ejson", "clock"),
    "tap": ("client", "protocol", "clock"),
    "advice": ("protocol",),
    "logins": ("client", "protocol", "ejson"),
    "shell": ("advice", "logins", "client", "analysis", "text", "protocol", "minimongo", "ejson", "clock"),
    "cli": (
        "shell",
        "advice",
        "logins",
        "client",
        "server",
        "tap",
        "analysis",
        "text",
        "protocol",
        "minimongo",
        "ejson",
        "clock",
    ),
    "events": ("client",),
    "locust": ("client", "analysis", "protocol", "ejson", "clock"),
    "__init__": ("client", "protocol", "ejson", "events"),
    "__main__": ("cli",),
}

#: Files that may import more than their room. The stand-in answers as a recording did: it is a server, and must know what
#: the recorded server answered, which only `analysis` finds in frames. `analysis` never imports `server`.
#: `Date()` is the present time, and the literal is the only place that knows when it is read.
FILES_WITH_MORE = {"server/stand_in.py": ("analysis",), "text/grammar.py": ("clock",)}

#: Modules that only compute, for every room. (Reading the clock through `datetime` is checked below.)
PURE = set(
    "__future__ abc array base64 binascii bisect codecs collections colorsys contextlib copy dataclasses datetime decimal difflib"
    " enum fnmatch fractions functools graphlib hashlib heapq html inspect ipaddress itertools json keyword math numbers"
    " operator re reprlib shlex string struct textwrap tokenize types typing unicodedata urllib.parse warnings weakref".split()
)

#: Every other module, and the only rooms or files that may import it.
KEEPERS: dict[str, tuple[str, ...]] = {
    # Libraries.
    "click": ("cli/",),
    "gevent": ("locust.py",),
    "locust": ("locust.py",),
    "marshal": ("server/meteor/collection.py",),  # only to compare values, never to load them
    "msgspec": ("protocol/", "ejson/"),
    "msgspec.Struct": (
        "ejson/",
        "minimongo/",
        "text/",
        "analysis/",
        "logins.py",
        "client/",
        "server/",
        "tap/",
        "shell/",
        "cli/",
    ),  # for values: faster to import and to create than dataclasses
    "prompt_toolkit": ("shell/",),
    "pygments": ("shell/",),
    "pytest": ("server/testing.py",),
    "websocket": ("client/network/upgrade.py",),
    "websockets": ("server/transport.py",),
    # Time, randomness and concurrency.
    "asyncio": ("server/", "tap/", "shell/", "client/asynchronous.py"),
    "contextvars": ("server/",),
    "concurrent": ("logins.py", "clock.py", "client/", "server/", "tap/", "shell/", "cli/"),
    "queue": ("client/", "server/", "shell/", "cli/"),
    "random": ("client/", "server/"),
    "secrets": ("client/", "server/"),
    "threading": ("clock.py", "analysis/recording.py", "client/", "server/", "tap/", "shell/", "cli/"),
    "time": ("clock.py",),
    # The network.
    "errno": ("client/", "server/", "cli/"),
    "http": ("tap/link.py",),
    "select": ("clock.py",),
    "selectors": ("clock.py", "client/", "cli/event_queue.py", "cli/background_stream.py"),
    "socket": (
        "clock.py",
        "cli/event_queue.py",
        "client/connections.py",
        "client/network/connector.py",
        "client/network/proxy.py",
        "client/network/waiting.py",
        "server/transport.py",
        "tap/",
    ),
    "ssl": ("client/network/tls.py", "client/network/upgrade.py", "server/transport.py", "tap/link.py"),
    # The process, the terminal and the disk.
    "ctypes": ("cli/output.py",),
    "gc": ("cli/__init__.py", "ejson/json_text.py"),  # only to put off the search for garbage
    "getpass": ("cli/",),
    "importlib": ("__init__.py", "client/__init__.py", "cli/"),
    "io": ("shell/", "cli/"),
    "logging": ("client/", "server/", "cli/main.py"),
    "os": ("clock.py", "logins.py", "analysis/recording.py", "client/", "tap/link.py", "shell/", "cli/"),
    "pathlib": (
        "logins.py",
        "analysis/files.py",
        "analysis/html_page.py",
        "text/literals.py",
        "server/loading.py",
        "shell/",
        "cli/",
    ),
    "resource": ("cli/load.py",),
    "runpy": ("server/loading.py",),
    "shutil": ("shell/", "cli/"),
    "signal": ("shell/", "cli/"),
    "_signal": ("__main__.py", "clock.py"),
    "stat": ("logins.py", "analysis/recording.py", "shell/", "cli/"),
    "subprocess": ("shell/", "cli/"),
    "sys": ("clock.py", "text/", "client/", "server/", "shell/", "cli/", "__main__.py"),
    "tempfile": ("shell/", "cli/"),
    "msvcrt": ("shell/terminal/modes.py",),
    "termios": ("shell/terminal/modes.py",),
    "tomllib": ("cli/",),
    "traceback": ("cli/",),
}

FILES = sorted(file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py"))


def imports(file: str, source: str) -> Iterator[str]:
    """Yield the absolute dotted name of each import."""
    folder = ["ddpshell", *Path(file).parts[:-1]]
    for node in ast.walk(ast.parse(source, file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = folder[: len(folder) + 1 - node.level] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(path: str) -> str:
    return path.split("/", maxsplit=1)[0].removesuffix(".py")


def forbidden(file: str, source: str) -> list[str]:
    """Return the imports that are not allowed."""
    return [name for name in imports(file, source) if not _allowed(file, name)]


def _allowed(file: str, name: str) -> bool:
    parts = name.split(".")
    if parts[0] == "ddpshell":
        other = parts[1]
        if other.startswith("__"):
            return True  # __version__
        return other in ("exceptions", room(file), *ROOMS[room(file)], *FILES_WITH_MORE.get(file, ()))
    if parts[0] in PURE or ".".join(parts[:2]) in PURE:
        return True
    keepers = [*KEEPERS.get(parts[0], ()), *KEEPERS.get(name, ())]
    return any(file == keeper or (keeper.endswith("/") and file.startswith(keeper)) for keeper in keepers)


def test_every_import_goes_downhill() -> None:
    found = {file: forbidden(file, (PACKAGE / file).read_text()) for file in FILES}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        pytest.param("client/runner.py", "from ..server import x", ["ddpshell.server.x"], id="a room on the same floor"),
        pytest.param("protocol/a/b.py", "from ...client.c import x", ["ddpshell.client.c.x"], id="a room above"),
        pytest.param("protocol/a/b.py", "from ..messages import x", [], id="the same room"),
        pytest.param("shell/a.py", "import ddpshell.cli.main", ["ddpshell.cli.main"], id="absolute"),
        pytest.param("shell/a.py", "from .. import cli", ["ddpshell.cli"], id="the room itself"),
        pytest.param("shell/a.py", "from .. import exceptions, clock", [], id="files for all rooms"),
        pytest.param("shell/a.py", "if TYPE_CHECKING:\n from ..server import x", ["ddpshell.server.x"], id="for types"),
        pytest.param("cli/a.py", "def f():\n  import websockets.sync", ["websockets.sync"], id="in a function"),
        pytest.param("client/runner.py", "import websocket", ["websocket"], id="a library outside of its room"),
        pytest.param("client/network/upgrade.py", "import websocket", [], id="a library in its room"),
        pytest.param("cli/a.py", "import requests", ["requests"], id="an unknown library"),
        pytest.param("cli/a.py", "import urllib.request, urllib.parse", ["urllib.request"], id="a submodule"),
        pytest.param("client/a.py", "from msgspec import Struct, json", ["msgspec.json"], id="a submodule by name"),
        pytest.param("protocol/a.py", "from time import monotonic", ["time.monotonic"], id="time"),
    ],
)  # fmt: skip
def test_a_wrong_import_is_found(file: str, source: str, found: list[str]) -> None:
    assert forbidden(file, source) == found


def circle(sources: Mapping[str, str]) -> list[str]:
    """Return files that import each other in a circle, also in functions and for types; none if there is no circle."""
    files = {
        f"ddpshell.{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}": file for file in sources
    }
    graph = {}
    for file, source in sources.items():
        names = imports(file, source)
        # A name can be a module, or something in a module.
        found = {files.get(name) or files.get(name.rpartition(".")[0]) for name in names}
        graph[file] = found - {file, None}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [str(file) for file in error.args[1]]
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle({file: (PACKAGE / file).read_text() for file in FILES}) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("from .b import x", ["client/a.py", "client/b.py"], id="two files"),
        pytest.param("if TYPE_CHECKING:\n from . import b", ["client/a.py", "client/b.py"], id="for types"),
        pytest.param("def f():\n from .c import x", [], id="no circle"),
    ],
)
def test_a_circle_is_found(source: str, found: list[str]) -> None:
    sources = {"client/__init__.py": "", "client/a.py": source, "client/b.py": "from .a import x", "client/c.py": ""}
    assert set(circle(sources)) == set(found)


def test_the_protocol_does_not_print_or_read_the_clock() -> None:
    for file in FILES:
        if room(file) == "protocol":
            for node in ast.walk(ast.parse((PACKAGE / file).read_text(), file)):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert called not in {"print", "input", "open"}, (file, called)
                    assert not called.endswith((".now", ".utcnow", ".today")), (file, called)
