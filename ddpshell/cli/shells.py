"""What the command line's options make of a shell: where it connects, and who one is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .credentials import endpoint_of, find_credential, read_passphrase, warn_of_exposed_passwords
from .output import OutputFormat
from .process import Process
from .settings import ConnectionSettings, Identity, proxy_to

if TYPE_CHECKING:
    from ..client import Client
    from ..client.events import Event
    from ..protocol.accounts import LoginToken
    from ..shell.settings import Settings
    from ..shell.state import Connect, Shell
    from ..shell.terminal.display import Display
    from .credentials import Credential

__all__ = ["connector", "credential_at", "make_shell", "named", "shell_settings"]


def credential_at(
    process: Process, given: ConnectionSettings, url: str | None, first: Credential | None
) -> Credential | None:
    """What to log in with at a server that the shell goes to; see `find_credential`.

    Args:
        process: The run of `ddp`.
        given: What its options say.
        url: Where the shell goes; None for where the options say.
        first: What was found for the options' server, which may not be there to be read again.
    """
    settings = _for_server(process, given, url)
    is_read = settings.identity is given.identity and given.identity.kind in ("password", "token")
    return first if url is None or is_read else find_credential(process, settings)


def _for_server(process: Process, given: ConnectionSettings, url: str | None) -> ConnectionSettings:
    """The options for a server: what identifies the user to one is nothing that others should see."""
    from ..logins import server_of
    from ..protocol.urls import parse_url

    if url is None:
        return given
    settings = {name: getattr(given, name) for name in given.__struct_fields__} | {"url": url}
    if server_of(parse_url(url, lambda: 0.0)) != server_of(endpoint_of(given)):
        settings |= {"headers": (), "origin": None, "cert": None, "key": None, "insecure": False, "servername": None}
        settings["identity"] = Identity("nobody" if given.identity.kind == "nobody" else "saved")
        settings["proxy"] = proxy_to(url, process.given)
    return ConnectionSettings(**settings)


def named(credential: Credential, token: LoginToken) -> str:
    """What to call the user."""
    return credential.user or (credential.saved.user if credential.saved is not None else token.user_id)


def shell_settings(process: Process) -> Settings:
    """What `set` would show at first."""
    from ..shell.settings import Settings

    return Settings(output=process.given.get("output", OutputFormat.AUTO.value))


def make_shell(
    process: Process, given: ConnectionSettings, settings: Settings, display: Display, connect: Connect
) -> Shell:
    """A shell for the server that the options name. It is not connecting yet.

    Raises:
        InvalidURL: They name none.
    """
    from ..shell.commands.shell import shell_registry
    from ..shell.state import Shell
    from ..text.frames import FrameFilter
    from .credentials import login_store

    made = Shell(shell_registry(), display, settings, process.clock, connect, endpoint_of(given).url)
    if given.identity.kind != "nobody" and not process.given.get("is_demo"):
        made.login_store = lambda: login_store(process, display.warn)
    made.retry = given.retry
    made.profile = process.given.get("profile")
    if process.given.get("debug"):
        made.debug = FrameFilter()
    warn_of_exposed_passwords(process)
    if given.insecure:
        display.warn("--insecure: anybody could answer in the server's place")
    return made


def connector(process: Process, given: ConnectionSettings, *, reconnect: bool, login_required: bool = False) -> Connect:
    """What makes the shell's clients, with the options' headers and certificates for the options' server alone."""
    passphrase = read_passphrase(process, given)

    def connect(url: str | None, on_event: Callable[[Event], object]) -> Client:
        from .connection import make_client

        settings = _for_server(process, given, url)
        return make_client(
            process,
            settings,
            passphrase=passphrase,
            reconnect=reconnect,
            on_event=on_event,
            login_required=login_required,
        )

    return connect
