"""The parts of the shell that know the command line: its settings, its clients and their logins."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..exceptions import InvalidURL, LoginNeeded
from ..logins import server_of
from ..protocol.urls import parse_url
from ..shell.commands.shell import shell_registry
from ..shell.link import Connect, Hooks, Profile
from ..shell.settings import SETTINGS as SHELL_SETTINGS
from ..shell.settings import Settings
from ..shell.state import Shell
from ..shell.terminal.display import Display
from .credentials import (
    Credential,
    endpoint_of,
    find_credential,
    login_store,
    read_passphrase,
    warn_of_exposed_passwords,
)
from .option_table import SETTINGS
from .process import Process
from .settings import ConnectionSettings, Identity, find_config, named_config_file, proxy_for

if TYPE_CHECKING:
    from ..client import Client
    from ..client.events import Event
    from ..protocol.accounts import LoginToken

__all__ = ["connector", "credential_at", "make_shell", "set_user", "shell_settings"]


def credential_at(
    process: Process, given: ConnectionSettings, url: str | None, first: Credential | None
) -> Credential | None:
    """Find what to log in with at a server that the shell connects to; see `find_credential`.

    Args:
        process: The run of `ddp`.
        given: The settings of the options.
        url: The server; None for the server of the options.
        first: The credential for the server of the options. It may be from standard input, which can be read only once.
    """
    settings = _for_server(process, given, url)
    is_read = settings.identity is given.identity and given.identity.kind in ("password", "token")
    return first if url is None or is_read else find_credential(process, settings)


def _for_server(process: Process, given: ConnectionSettings, url: str | None) -> ConnectionSettings:
    """Return the settings for a server. Personal settings of the options' server are not sent to another one."""
    if url is None:
        return given
    if _find_profile(process, url) is not None:
        return _of_profile(process, url)
    settings = {name: getattr(given, name) for name in given.__struct_fields__} | {"url": url}
    if server_of(parse_url(url, lambda: 0.0)) != server_of(endpoint_of(given)):
        personal = {key.replace("-", "_"): setting.unset for key, setting in SETTINGS.items() if setting.is_personal}
        settings |= {name: unset for name, unset in personal.items() if name in settings} | {"headers": ()}
        settings["identity"] = Identity("anonymous" if given.identity.kind == "anonymous" else "saved")
        settings["proxy"] = proxy_for(url, process.options)
    return ConnectionSettings(**settings)


def set_user(shell: Shell, credential: Credential, token: LoginToken) -> None:
    """Tell the shell which user is logged in."""
    shell.link.user = credential.user or (credential.saved.user if credential.saved is not None else token.user_id)
    shell.link.unsaved_login = token if credential.token is None else None


def shell_settings(process: Process, *, at_prompt: bool = False) -> Settings:
    """Return the initial settings of the shell. Those of the config file are for the prompt, so that scripts run everywhere."""
    config = find_config(process.options) if at_prompt else None
    values = dict(config.shell.values) if config is not None else {}
    if "output" in process.options:
        values["output"] = process.options["output"]
    return Settings(**values)


def _find_profile(process: Process, name: str) -> Profile | None:
    """What the config file says about the server with this name; None if it has no such server."""
    config = find_config(process.options)
    if config is None or name not in config.servers:
        return None
    return _profile(_of_profile(process, name), name)


def _find_profile_of(process: Process, url: str) -> Profile | None:
    """Find a server of the config file that needs confirmations by its address. It needs them without its name as well."""
    config = find_config(process.options)
    server = _server_or_none(url)
    if config is None or server is None:
        return None
    for section in (config.default, *config.servers.values()):
        values = section.values
        if values.get("confirm") and _server_or_none(values["url"]) == server:
            return Profile(None, url, values.get("color"), confirm=True, allow=values.get("allow", ()))
    return None


def _server_or_none(url: str) -> str | None:
    with contextlib.suppress(InvalidURL):
        return server_of(parse_url(url, lambda: 0.0))
    return None


def _profile(settings: ConnectionSettings, name: str | None) -> Profile:
    return Profile(name, settings.url, settings.color, settings.confirm, settings.allow)


def _of_profile(process: Process, name: str) -> ConnectionSettings:
    """The settings for another server of the config file. What the options say about one server is not for this one."""
    personal = {setting.option for setting in SETTINGS.values() if setting.is_personal} | {"password_file", "url"}
    given = {option: value for option, value in process.options.items() if option not in personal}
    environment = {key: value for key, value in os.environ.items() if key != "DDP_TOKEN"}
    return ConnectionSettings.of({**given, "profile": name}, environment)


def _saved_users(process: Process, shell: Shell) -> Sequence[str]:
    """The users with a saved login at the present server."""
    server = shell.link.server_or_none()
    with contextlib.suppress(OSError, LoginNeeded):
        return [login.user for login in login_store(process, lambda _: None).all(server)] if server else ()
    return ()


def _save_setting(process: Process, name: str, value: str) -> str:
    """Write a setting of the shell to the config file, and return the name of the file."""
    from .config_file import change_config  # only `set --save` needs it

    file = named_config_file()
    change_config(file, ["shell"], name, SHELL_SETTINGS[name].to_toml(value))
    return file


def make_shell(
    process: Process, given: ConnectionSettings, settings: Settings, display: Display, connect: Connect
) -> Shell:
    """Make a shell for the server of the options. It does not connect yet.

    Raises:
        InvalidURL: The URL of the server is not valid.
    """
    hooks = Hooks(connect, retry=given.retry, profile=_profile(given, process.options.get("profile")))
    if process.options.get("profile") is None:
        hooks.profile = _find_profile_of(process, given.url) or hooks.profile
    hooks.find_profile = lambda name: _find_profile(process, name) or _find_profile_of(process, name)
    hooks.profiles = lambda: tuple(config.servers) if (config := find_config(process.options)) is not None else ()
    hooks.save_setting = partial(_save_setting, process)
    hooks.recorder = process.needed_recorder(given.url)
    made = Shell(shell_registry(), display, settings, process.clock, hooks, endpoint_of(given).url)
    if given.identity.kind != "anonymous" and not process.options.get("is_demo"):
        hooks.login_store = lambda: login_store(process, display.warn)
        hooks.saved_users = lambda: _saved_users(process, made)
    if process.options.get("debug"):
        from ..analysis.timeline import FrameFilter  # the views of recordings load slowly

        made.link.frame_filter = FrameFilter()
    warn_of_exposed_passwords(process)
    if given.insecure:
        display.warn("--insecure: the server's certificate is not checked, so another server could pose as this one")
    return made


def connector(process: Process, given: ConnectionSettings, *, reconnect: bool, login_required: bool = False) -> Connect:
    """Return a function that makes the shell's clients. Personal settings are only for the server of the options."""
    passphrase = read_passphrase(process, given)
    if not process.at_prompt:
        from .connection import wait_for_server

        wait_for_server(process, given, passphrase)

    def connect(url: str | None, on_event: Callable[[Event], object]) -> Client:
        from .connection import make_client  # the prompt appears before the network code is loaded

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
