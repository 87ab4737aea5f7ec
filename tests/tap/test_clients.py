"""The proxy does not affect clients of other projects: those of npm on Node, and those of Meteor, SockJS and simpleddp in a browser."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpshell.server.demo import demo_server
from ddpshell.tap.messages import Opened, Problem
from tests import npm
from tests.browser import Page, open_page
from tests.cli.commands.test_tap import url_of
from tests.cli.conftest import Command, ddp, finished, start
from tests.machine import TOP, unavailable
from tests.meteor import MeteorServer
from tests.proxies import Proxy, Refused
from tests.server.test_npm_clients import run
from tests.tap.conftest import StartTap

__all__ = ["ddp", "start"]

pytestmark = pytest.mark.slow

_METEOR = TOP / "tests/meteor/node_modules/steedos-server/bundle/programs/web.browser.legacy"


@pytest.fixture(scope="module")
def modules() -> Path:
    try:
        return npm.install(TOP / "tests/benchmarks")
    except npm.NpmError as error:
        unavailable(str(error))


@pytest.mark.parametrize(
    ("program", "arguments"),
    [("ddp.js", []), ("ddp.js", ["sockjs"]), ("simpleddp.js", [])],
    ids=["ddp", "ddp with SockJS", "simpleddp"],
)
def test_clients_on_node_get_the_same_answers(
    start_tap: StartTap, modules: Path, program: str, arguments: list[str]
) -> None:
    """The clients also lose their connection, and reconnect."""
    with demo_server().running() as server:
        direct = run(program, server.port, modules, arguments=arguments)
    with demo_server().running() as server:
        watched = start_tap(server.url)
        assert run(program, watched.tap.address[1], modules, arguments=arguments) == direct
    assert len(watched.events(Opened)) == 2
    assert watched.events(Problem) == []


# ------------------------------------------------------------------------------------------------- in a browser


def meteor_client() -> str:
    """The packages of Meteor for a browser, in the order in which an app loads them, up to the DDP client."""
    [file] = _METEOR.glob("*.js")
    text, last = file.read_text(), 'Package._define("ddp-client"'
    end = text.index("\n", text.index(last))
    config = {
        "meteorRelease": "METEOR@1.9.3",
        "meteorEnv": {},
        "ROOT_URL": "http://a/shop",
        "ROOT_URL_PATH_PREFIX": "/shop",
    }
    return f"__meteor_runtime_config__ = {json.dumps(config)};\n{text[:end]}"


def bundle(modules: Path, entry: str) -> str:
    """A CommonJS package with all required packages, for a browser."""
    parts: dict[Path, str] = {}

    def add(name: str, folder: Path) -> Path:
        path = (folder if name.startswith(".") else modules) / name
        if path.is_dir():
            path /= json.loads((path / "package.json").read_text()).get("main", "index.js")
        path = (path if path.suffix == ".js" else path.with_name(f"{path.name}.js")).resolve()
        if path not in parts:
            parts[path] = ""
            found: Callable[[re.Match[str]], str] = lambda use: f"require({json.dumps(str(add(use[1], path.parent)))})"  # noqa: E731
            parts[path] = re.sub(r"""\brequire\(['"]([^'"]+)['"]\)""", found, path.read_text())
        return path

    first = add(entry, modules)
    functions = ",".join(
        f"{json.dumps(str(path))}: function (require, module, exports) {{\n{text}\n}}" for path, text in parts.items()
    )
    return (
        f"(() => {{ const files = {{{functions}}}, done = {{}}; const require = (name) => {{ if (!done[name]) {{"
        " done[name] = { exports: {} }; files[name](require, done[name], done[name].exports); } return done[name].exports; };"
        f" window.SimpleDDP = require({json.dumps(str(first))}); }})();"
    )


class App(Proxy):
    """An app: its page and scripts, and a Meteor server for everything else."""

    def __init__(self, port: int, files: dict[str, str]) -> None:
        super().__init__(hosts={"meteor": ("127.0.0.1", port)})
        self._files = files

    def greet(self, client: socket.socket) -> socket.socket:
        """Answer the request for a file, or pass it on."""
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(1)
            if not more:
                raise Refused
            head += more
        path = head.split(b" ")[1].decode()
        if path not in self._files:
            server = self.connect("meteor", 1)
            server.sendall(head)
            return server
        body = self._files[path].encode()
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        client.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + body
        )
        raise Refused


PAGE = (
    '<!doctype html><title>app</title><script src="/shop/meteor.js"></script><script src="/shop/simpleddp.js"></script>'
)

#: Three clients in one page. The second one uses SockJS without a WebSocket.
CLIENTS = """
    const { DDP } = Package['ddp-client'];
    window.meteor = DDP.connect('/');
    window.fallback = DDP.connect('/', { _sockjsOptions: { protocols_whitelist: ['xhr-streaming'] } });
    window.simple = new (SimpleDDP.default || SimpleDDP)(
        { endpoint: location.origin.replace('http', 'ws') + '/websocket', SocketConstructor: WebSocket, reconnectInterval: 50 });
    window.call = (connection, ...rest) => connection === simple ? simple.call(...rest)
        : new Promise((done, fail) => connection.call(...rest, (error, result) => error ? fail(error) : done(result)));
    window.everyone = () => [meteor, fallback, simple];
    window.connected = () => {
        // Do not wait for the next attempt, which comes later each time.
        for (const connection of [meteor, fallback]) if (connection.status().status === 'waiting') connection.reconnect();
        return meteor.status().connected && fallback.status().connected && simple.connected;
    };
"""
CALLS = "Promise.all(everyone().map((connection) => call(connection, 'upper', '%s')))"


@pytest.fixture
def browser() -> Iterator[Page]:
    with open_page() as page:
        yield page


def test_a_page_in_a_browser_survives_restarts_of_the_server_and_of_the_proxy(
    own_meteor_server: Callable[..., MeteorServer],
    browser: Page,
    modules: Path,
    ddp: Command,
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    """The server has a path prefix, which the page knows and simpleddp does not."""
    if shutil.which("node") is None:
        unavailable("node is not installed")
    meteor = own_meteor_server(ROOT_URL="http://localhost/shop")
    files = {
        "/shop/": PAGE,
        "/shop/meteor.js": meteor_client(),
        "/shop/simpleddp.js": bundle(modules, "simpleddp"),
    }
    with App(meteor.port, files) as app:
        recordings = [tmp_path / "1.ddprec", tmp_path / "2.ddprec"]
        to = ["--to", f"http://{app.address}/shop"]
        process = start("tap", "--listen", "0", *to, "--record", str(recordings[0]))
        url = url_of(process)
        # The page asks without the prefix.
        browser.command("Page.navigate", url=f"http://{url}/")
        browser.wait_for("document.readyState === 'complete' && document.title === 'app'")
        assert browser.problems == []
        browser.run(f"(() => {{ {CLIENTS} }})()")
        browser.wait_for("connected()")
        assert browser.run(CALLS % "one") == ["ONE"] * 3
        meteor.restart()
        browser.wait_for("connected()")
        assert browser.run(CALLS % "two") == ["TWO"] * 3
        process.send_signal(signal.SIGTERM)
        ran = finished(process)
        assert (
            "a client uses SockJS without a WebSocket (xhr_streaming); these messages pass and are not shown" in ran.err
        )
        process = start("tap", "--listen", url, *to, "--record", str(recordings[1]))
        url_of(process)
        browser.wait_for("connected()")
        assert browser.run(CALLS % "three") == ["THREE"] * 3
        browser.command("Page.navigate", url="about:blank")
        process.send_signal(signal.SIGTERM)
        finished(process)
    for recording, count in zip(recordings, (4, 2), strict=True):
        summary = json.loads(ddp("read", str(recording)).out)
        # The sessions of Meteor's client and of simpleddp, before and after the restart of the server.
        assert [(row["method"], row["count"], row["unanswered"]) for row in summary["calls"]] == [("upper", count, 0)]
        assert summary["connections"] >= count, recording.read_text()
        assert [finding for finding in summary["lint"] if finding["rule"] != "unanswered"] == []
