"""`ddp serve`: the embedded server, by itself."""

from __future__ import annotations

import errno
import ipaddress
import os
from typing import TYPE_CHECKING

import click

from ..exceptions import CommandError
from .commands import Command, process_of
from .options import OUTPUT_OPTIONS

if TYPE_CHECKING:
    from ..server import Server
    from .output import Console

__all__ = ["announce", "serve"]


def _serve(host: str, port: int) -> None:
    process = process_of(click.get_current_context())
    process.when_server_runs()
    process.configure(serves=True)
    console = process.console
    from ..server.demo import demo_server

    server = demo_server()
    if not _is_loopback(host):
        console.warning(f"{host} can be reached from the network, and the demo asks nobody who they are")
    try:
        server.start(host, port)
    except OSError as error:
        # asyncio says the address again, in its own way.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        hint = "; --port 0 takes a free one" if error.errno == errno.EADDRINUSE else ""
        raise CommandError(f"cannot listen on {host}, port {port}: {reason}{hint}") from None
    try:
        announce(server, console)
        server.wait()
    finally:
        server.stop()


def announce(server: Server, console: Console) -> None:
    """Tell where the server is and what it offers."""
    console.note(f"serving at {server.url}; Ctrl-C ends it")
    console.note(f"methods: {' '.join(server.method_names)}")
    console.note(f"publications: {' '.join(server.publication_names)}")
    console.note(f"try it: ddp call -u {server.url} upper Hello")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


serve = Command(
    "serve",
    callback=_serve,
    help=(
        "Run a DDP server with demo methods and publications. It is for trying, teaching and tests, not for the internet."
    ),
    params=[
        click.Option(
            ["--host"], default="127.0.0.1", metavar="HOST", help="The address to listen on. [default: 127.0.0.1]"
        ),
        click.Option(
            ["--port"], default=3000, type=click.IntRange(0, 65535), metavar="PORT",
            help="The port; 0 for any free one. [default: 3000]",
        ),
        *OUTPUT_OPTIONS,
    ],
    examples=[("ddp serve --port 3100", "then: ddp -u localhost:3100 call upper Hello")],
)  # fmt: skip
