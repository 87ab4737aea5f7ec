"""The options that commands share: declared once, accepted before and after the command's name.

An option given in both places counts where it stands last; one that can be repeated counts in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .output import OutputFormat
from .process import Process
from .settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, DEFAULT_URL
from .types import Cookie, Header, HeaderText, ReadableFile, Seconds, SecretFile, Size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["CONNECTION_OPTIONS", "OUTPUT_OPTIONS", "ProfileName", "Seconds", "SharedOption", "connection_options"]


class SharedOption(click.Option):
    """An option that commands share; its value goes to what the process was `given`, not to the command's function.

    Args:
        section: The heading under which `--help` lists it.
    """

    def __init__(self, *names: str, section: str, **attributes: Any) -> None:
        super().__init__(names, expose_value=False, callback=_collect, **attributes)
        self.section = section


class ProfileName(click.ParamType[str]):
    """The name of a server in the config file."""

    name = "profile"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Those that there are."""
        from click.shell_completion import CompletionItem

        from ..exceptions import CommandError
        from .config_file import read_config
        from .folders import config_file

        path = config_file()
        try:
            config = read_config(path) if path is not None else None
        except CommandError:
            # Whoever runs a command is told.
            return []
        names = sorted(config.servers) if config is not None else []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _collect(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if ctx.get_parameter_source(param.name) is not click.core.ParameterSource.COMMANDLINE:
        return
    process = ctx.find_object(Process)
    assert process is not None, "a context is made with its Process"
    given = process.given
    if isinstance(param.type, (Header, Cookie)):
        # Each may have been several, from a file.
        value = tuple([pair for pairs in value for pair in pairs])
    before = given.get(param.name)
    if before is not None and param.multiple:
        value = (*before, *value)
    elif before is not None and isinstance(param, click.Option) and param.count:
        value += before
    given[param.name] = value


# ------------------------------------------------------------------------------------------------------- options

_CONNECTION = "Connection"
_LOGIN = "Login"
_OUTPUT = "Output"

CONNECTION_OPTIONS = [
    SharedOption(
        "-u", "--url", section=_CONNECTION, metavar="URL",
        help=f"The server: host:port, or ws, wss, http or https URL. [default: $DDP_URL, or {DEFAULT_URL}]",
    ),
    SharedOption(
        "-p", "--profile", section=_CONNECTION, type=ProfileName(), metavar="NAME",
        help="The server [servers.NAME] of the config file; `ddp config` shows what it comes to.",
    ),
    SharedOption(
        "--timeout", section=_CONNECTION, type=Seconds(), metavar="S",
        help=f"Seconds for the whole command, 0 for no limit. [default: {DEFAULT_TIMEOUT:g}]",
    ),
    SharedOption(
        "--connect-timeout", section=_CONNECTION, type=Seconds(), metavar="S",
        help=f"Seconds until the session must stand, 0 for no limit. [default: {DEFAULT_CONNECT_TIMEOUT:g}]",
    ),
    SharedOption(
        "--max-message", section=_CONNECTION, type=Size(), metavar="SIZE",
        help="Take messages of the server up to this size: bytes, or with K, M or G. [default: 64M]",
    ),
    SharedOption(
        "--reconnect/--no-reconnect", section=_CONNECTION, default=None,
        help="Connect again after a loss, and send unanswered calls again. [default: no]",
    ),
    SharedOption("--no-retry", section=_CONNECTION, is_flag=True, help="Never send a call twice."),
    SharedOption(
        "-H", "--header", "headers", section=_CONNECTION, type=Header(), multiple=True, metavar="'NAME: VALUE'",
        help="Add a header to the handshake, or those in @FILE; can be repeated.",
    ),
    SharedOption(
        "--cookie", "cookies", section=_CONNECTION, type=Cookie(), multiple=True, metavar="NAME=VALUE",
        help="Send a cookie, or those in @FILE; can be repeated.",
    ),
    SharedOption(
        "--user-agent", section=_CONNECTION, type=HeaderText(), metavar="TEXT", help="Send this User-Agent header."
    ),
    SharedOption("--origin", section=_CONNECTION, type=HeaderText(), metavar="ORIGIN", help="Send this Origin header."),
    SharedOption(
        "--cacert", section=_CONNECTION, type=ReadableFile(), metavar="FILE",
        help="Trust the authorities in this file (PEM) instead of the system's.",
    ),
    SharedOption(
        "--cert", section=_CONNECTION, type=ReadableFile(), metavar="FILE", help="Show this certificate (PEM)."
    ),
    SharedOption(
        "--key", section=_CONNECTION, type=ReadableFile(), metavar="FILE", help="The certificate's key, if it is not in there."
    ),
    SharedOption(
        "--passphrase-file", section=_CONNECTION, type=SecretFile(), metavar="FILE",
        help="Read the key's passphrase from the file's first line, - for standard input. [default: ask]",
    ),
    SharedOption("--insecure", section=_CONNECTION, is_flag=True, help="Do not check the server's certificate."),
    SharedOption(
        "--servername", section=_CONNECTION, metavar="NAME", help="Expect this name in the server's certificate."
    ),
    SharedOption(
        "--proxy", section=_CONNECTION, metavar="URL",
        help="Go through an HTTP, HTTPS or SOCKS5 proxy. [default: $HTTPS_PROXY, $HTTP_PROXY, $ALL_PROXY but for $NO_PROXY]",
    ),
    SharedOption("--no-proxy", section=_CONNECTION, is_flag=True, help="Go through no proxy."),
    SharedOption(
        "--ipv4", "ip_version", section=_CONNECTION, type=int, flag_value=4, help="Use IPv4 addresses alone."
    ),
    SharedOption(
        "--ipv6", "ip_version", section=_CONNECTION, type=int, flag_value=6, help="Use IPv6 addresses alone."
    ),
    SharedOption(
        "--login", section=_LOGIN, metavar="USER", help="Be this user, by a saved login. [default: who logged in last]"
    ),
    SharedOption(
        "--password-file", section=_LOGIN, type=SecretFile(), metavar="FILE",
        help="Log in with the password in the file's first line, - for standard input.",
    ),
    SharedOption(
        "--token-file", section=_LOGIN, type=SecretFile(), metavar="FILE",
        help="Log in with the token in the file's first line. [default: $DDP_TOKEN]",
    ),
    SharedOption("--no-login", section=_LOGIN, is_flag=True, help="Be nobody, whatever login is saved."),
]  # fmt: skip

OUTPUT_OPTIONS = [
    SharedOption(
        "-o", "--output", section=_OUTPUT, type=click.Choice([choice.value for choice in OutputFormat]),
        help="How results look. auto is pretty on a terminal, else json: EJSON, one value a line. raw: no quotes.",
    ),
    SharedOption("--color", section=_OUTPUT, type=click.Choice(["auto", "always", "never"]), help="When to colour."),
    SharedOption("-d", "--debug", section=_OUTPUT, is_flag=True, help="Show each frame, secrets masked, on stderr."),
    SharedOption("-v", "--verbose", section=_OUTPUT, count=True, help="Show the steps of the connection on stderr."),
    SharedOption("-q", "--quiet", section=_OUTPUT, count=True, help="No notes and hints on stderr; -qq: no warnings."),
    SharedOption(
        "--no-pager", section=_OUTPUT, is_flag=True,
        help="Write to the terminal at once, however long it is. [default: through $PAGER, or less]",
    ),
]  # fmt: skip


def connection_options(timeout: str) -> list[SharedOption]:
    """`CONNECTION_OPTIONS` for a command where `--timeout` means something else.

    Args:
        timeout: What, for the help.
    """
    return [
        SharedOption("--timeout", section=_CONNECTION, type=Seconds(), metavar="S", help=timeout)
        if option.name == "timeout"
        else option
        for option in CONNECTION_OPTIONS
    ]
