"""A real headless Chromium, driven through its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

from tests import machine

__all__ = ["Page", "har_of", "open_page"]

# Seconds that the browser may take for one answer.
_PATIENCE = 60

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
    " --disable-component-update --disable-dev-shm-usage --hide-scrollbars --remote-debugging-port=0 --remote-allow-origins=*"
).split()


class Page:
    """A page in the browser."""

    def __init__(self, address: str) -> None:
        self.address = address
        # The browser rejects connections that name an origin.
        self._socket = websocket.create_connection(address, suppress_origin=True, timeout=_PATIENCE)
        self._ids = itertools.count(1)
        self.problems: list[str] = []

    def command(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and return its result. Errors of the page go to `problems`."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            if message.get("method") == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(message["params"]))
            elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.problems.append(message["params"]["entry"]["text"])

    def run(self, script: str) -> Any:
        """Run a script in the page, wait for its promise, and return its value."""
        answer = self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a condition is true, which is checked at each frame of the browser."""
        self.run(
            f"new Promise((done) => {{ const look = () => ({condition}) ? done() : setTimeout(look, 5); look(); }})"
        )

    def open(self, file: Path) -> None:
        """Open a file, and wait until it has loaded."""
        self.command("Page.navigate", url=file.as_uri())
        self.wait_for(f"document.readyState === 'complete' && location.pathname === {json.dumps(str(file))}")

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if kind == "keyDown" and text else {}
            self.command("Input.dispatchKeyEvent", type=kind, key=key, **more)

    def resize(self, width: int, height: int) -> None:
        """Give the page the size of a window."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def use_scheme(self, scheme: str) -> None:
        """Choose `light` or `dark`."""
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self) -> bytes:
        """Return a picture of the page, as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot")["data"])

    def close(self) -> None:
        """Close the connection to the browser."""
        self._socket.close()


@contextlib.contextmanager
def open_page() -> Iterator[Page]:
    """Start the browser with an empty page. If it is not installed, skip the test."""
    program = machine.program("chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"listening on ws://([\d.:]+)/", line):
                    break
            else:
                raise AssertionError("the browser ended")
            browser = Page(re.search(r"ws://\S+", line)[0])  # type: ignore[index]
            target = browser.command("Target.createTarget", url="about:blank")["targetId"]
            page = Page(f"ws://{found[1]}/devtools/page/{target}")
            try:
                page.command("Runtime.enable")
                page.command("Log.enable")
                yield page
            finally:
                page.close()
                with contextlib.suppress(Exception):
                    browser.command("Browser.close")
                browser.close()
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=10)
            process.kill()
            process.communicate()


def har_of(page: Page, script: str, requests: int) -> tuple[Any, str]:
    """Run a script in a page with the browser's developer tools open, and save all as HAR there, as their users do.

    Args:
        page: The page.
        script: The script. It must not leave a WebSocket open.
        requests: How many requests it makes, for which the developer tools are awaited.

    Returns:
        The value of the script, and the text of the HAR file.
    """
    place = page.address.removeprefix("ws://")
    address = f"http://{place.partition('/')[0]}/devtools/inspector.html?ws={place}"
    target = page.command("Target.createTarget", url="about:blank")["targetId"]
    tools = Page(f"{page.address.rpartition('/')[0]}/{target}")
    try:
        tools.command("Runtime.enable")
        tools.command("Page.navigate", url=address)
        tools.wait_for("document.readyState === 'complete' && location.pathname.endsWith('/inspector.html')")
        tools.run("""(async () => {
            const names = ["core/common/common", "core/sdk/sdk", "models/logs/logs", "models/har/har"];
            [window.common, window.sdk, window.logs, window.har] =
                await Promise.all(names.map((name) => import(`/devtools/${name}.js`)));
        })()""")
        # Before the application has started, its objects cannot be created.
        tools.wait_for("common.Settings.Settings.hasInstance()")
        tools.wait_for("sdk.TargetManager.TargetManager.instance().primaryPageTarget() !== null")
        tools.run("""
            window.log = logs.NetworkLog.NetworkLog.instance();
            window.target = sdk.TargetManager.TargetManager.instance().primaryPageTarget();
            window.save = () => har.Writer.Writer.harStringForRequests(
                log.requests(), { sanitize: false }, { createSubProgress: () => ({}) });
            0""")
        # The developer tools listen to the network from the moment when their agents are set up, which a reply shows.
        tools.run("target.networkAgent().invoke_getCookies({})")
        value = page.run(script)
        tools.wait_for(f"log.requests().filter((one) => one.finished).length === {requests}")
        return value, tools.run("save()")
    finally:
        tools.close()
        page.command("Target.closeTarget", targetId=target)
