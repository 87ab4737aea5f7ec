"""The options that commands share, which are also the settings of the config file. `CONNECTION_OPTIONS` is the one table.

`--help`, the manual and completion read an option's spelling and help there; the config file its key and type;
`ddp config` and `settings.py` its default value and whether it belongs to one server.

A shared option can be before and after the command's name. If it is in both places, the last one counts; options that
can be repeated add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..exceptions import CommandError
from .command_classes import spelling
from .output import OutputFormat
from .process import Process
from .types import (
    ColorName,
    Cookie,
    Flag,
    Header,
    HeaderText,
    MethodPatterns,
    OutputFile,
    ReadableFile,
    Seconds,
    SecretFile,
    Setting,
    SettingType,
    Size,
    Text,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["CONNECTION_OPTIONS", "OUTPUT_OPTIONS", "SETTINGS", "SharedOption", "connection_options"]


class SharedOption(click.Option):
    """An option that commands share. Its value goes to `Process.given`, not to the command's function.

    Args:
        names: The spellings, and the parameter's name if it is not that of the long option.
        section: The heading under which `--help` lists the option.
        value_type: The type of its value.
        unset: The value of the setting if nothing sets it.
        default_help: The default in words, if `unset` does not show it.
        is_setting: Whether the config file can set it.
        is_personal: Whether the setting is used for one server only; see `Setting`.
        attributes: Further arguments of `click.Option`.
    """

    def __init__(
        self,
        *names: str,
        section: str,
        value_type: click.ParamType[Any] | None = None,
        unset: Any = None,
        default_help: str = "",
        is_setting: bool = True,
        is_personal: bool = False,
        **attributes: Any,
    ) -> None:
        if isinstance(value_type, Flag):
            attributes["is_flag"] = True
        elif value_type is not None:
            attributes["type"] = value_type
        if unset and not default_help:
            default_help = f"{unset:g}" if isinstance(unset, float) else str(unset)
        if default_help:
            attributes["help"] += f" [default: {default_help}]"
        super().__init__(names, expose_value=False, callback=_collect, **attributes)
        self.section = section
        self.setting: Setting | None = None
        if is_setting and isinstance(value_type, SettingType):
            name = str(self.name)
            key = name if self.multiple else self.opts[-1].removeprefix("--")
            self.setting = Setting(key, name, value_type, unset, is_personal)


class ProfileName(click.ParamType[str]):
    """The name of a server in the config file."""

    name = "profile"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Complete the names in the config file."""
        from click.shell_completion import CompletionItem

        from .config_file import read_config
        from .folders import config_file

        path = config_file()
        try:
            config = read_config(path, SETTINGS) if path is not None else None
        except CommandError:
            # The command itself reports what is wrong with the file.
            return []
        names = sorted(config.servers) if config is not None else []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _collect(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if ctx.get_parameter_source(param.name) is not click.core.ParameterSource.COMMANDLINE:
        return
    process = ctx.find_object(Process)
    assert process is not None, "each context is made with a Process"
    given = process.options
    if isinstance(value, str) and value.startswith("-") and _is_option(value, ctx):
        raise click.BadOptionUsage(
            param.opts[-1], f"Option '{spelling(param)}' requires an argument before {value!r}.", ctx
        )
    if param.name in ("url", "profile") and "is_demo" in given:
        raise click.UsageError(f"the demo has its own server, so {spelling(param)} is not possible after `demo`", ctx)
    if isinstance(param.type, (Header, Cookie)):
        # One option with @FILE can have several pairs.
        value = tuple([pair for pairs in value for pair in pairs])
    before = given.get(param.name)
    if before is not None and param.multiple:
        value = (*before, *value)
    elif before is not None and isinstance(param, click.Option) and param.count:
        value += before
    given[param.name] = value


def _is_option(word: str, ctx: click.Context) -> bool:
    """Return whether a word is an option, so that it is not the value of another."""
    name = word.partition("=")[0]
    return any(name in (*param.opts, *param.secondary_opts) for param in ctx.command.get_params(ctx))


# ------------------------------------------------------------------------------------------------------- the table

_CONNECTION = "Connection"
_LOGIN = "Login"
_OUTPUT = "Output"

CONNECTION_OPTIONS = [
    SharedOption(
        "-u", "--url", section=_CONNECTION, value_type=Text(), metavar="URL", unset="localhost:3000",
        default_help="$DDP_URL, or localhost:3000",
        help="The server: host:port, or a URL with ws, wss, http or https.",
    ),
    SharedOption(
        "-p", "--profile", section=_CONNECTION, value_type=ProfileName(), metavar="NAME",
        help="Use the server and the settings of [servers.NAME] in the config file. `ddp config -p NAME` shows them.",
    ),
    SharedOption(
        "--timeout", section=_CONNECTION, value_type=Seconds(), metavar="S", unset=30.0,
        help="Time limit for the whole command in seconds; 0 for no limit.",
    ),
    SharedOption(
        "--connect-timeout", section=_CONNECTION, value_type=Seconds(), metavar="S", unset=10.0,
        help="Time limit for connecting in seconds; 0 for no limit.",
    ),
    SharedOption(
        "--wait-for-server", section=_CONNECTION, value_type=Seconds(), is_setting=False, metavar="S",
        help="If the server cannot be reached, try again for so many seconds, before anything is sent. Does not count for "
        "--timeout.",
    ),
    SharedOption(
        "--max-message", section=_CONNECTION, value_type=Size(), metavar="SIZE", unset=0x3FFFFFF, default_help="64M",
        help="Accept messages from the server up to this size in bytes, or with K, M or G.",
    ),
    SharedOption(
        "--reconnect/--no-reconnect", section=_CONNECTION, value_type=Flag(), default=None, default_help="no",
        help="Reconnect when the connection is lost, and resend calls that have no answer yet.",
    ),
    SharedOption(
        "--no-retry", section=_CONNECTION, value_type=Flag(), unset=False, help="Never send a call twice."
    ),
    SharedOption(
        "-H", "--header", "headers", section=_CONNECTION, value_type=Header(), multiple=True, is_personal=True,
        metavar="'NAME: VALUE'",
        help="Add a header to the handshake; @FILE adds the headers in a file. Can be repeated.",
    ),
    SharedOption(
        "--cookie", "cookies", section=_CONNECTION, value_type=Cookie(), multiple=True, is_personal=True,
        metavar="NAME=VALUE",
        help="Send a cookie; @FILE sends the cookies in a file. Can be repeated.",
    ),
    SharedOption(
        "--origin", section=_CONNECTION, value_type=HeaderText(), is_personal=True, metavar="ORIGIN",
        help="Send this Origin header.",
    ),
    SharedOption(
        "--user-agent", section=_CONNECTION, value_type=HeaderText(), metavar="TEXT", unset="ddpshell",
        help="Send this User-Agent header.",
    ),
    SharedOption(
        "--cacert", section=_CONNECTION, value_type=ReadableFile(), metavar="FILE",
        help="Trust the certificate authorities in this file (PEM) instead of the system's.",
    ),
    SharedOption(
        "--cert", section=_CONNECTION, value_type=ReadableFile(), is_personal=True, metavar="FILE",
        help="Send this client certificate (PEM).",
    ),
    SharedOption(
        "--key", section=_CONNECTION, value_type=ReadableFile(), is_personal=True, metavar="FILE",
        help="The private key of the client certificate, if --cert does not contain it.",
    ),
    SharedOption(
        "--passphrase-file", section=_CONNECTION, value_type=SecretFile(), is_personal=True, metavar="FILE",
        default_help="ask",
        help="Read the passphrase of the private key from the first line of a file; - is standard input.",
    ),
    SharedOption(
        "--insecure", section=_CONNECTION, value_type=Flag(), is_personal=True, unset=False,
        help="Do not check the server's certificate.",
    ),
    SharedOption(
        "--servername", section=_CONNECTION, value_type=Text(), is_personal=True, metavar="NAME",
        help="Expect this name in the server's certificate, instead of the host in the URL.",
    ),
    SharedOption(
        "--proxy", section=_CONNECTION, value_type=Text(), metavar="URL",
        default_help="$HTTPS_PROXY, $HTTP_PROXY or $ALL_PROXY, except for hosts in $NO_PROXY",
        help="Connect through this HTTP, HTTPS or SOCKS5 proxy.",
    ),
    SharedOption("--no-proxy", section=_CONNECTION, value_type=Flag(), help="Do not use a proxy."),
    SharedOption(
        "--ipv4", "ip_version", section=_CONNECTION, value_type=Flag(), flag_value=4,
        help="Use IPv4 addresses only.",
    ),
    SharedOption(
        "--ipv6", "ip_version", section=_CONNECTION, value_type=Flag(), flag_value=6,
        help="Use IPv6 addresses only.",
    ),
    SharedOption(
        "--login", section=_LOGIN, value_type=Text(), is_personal=True, metavar="USER",
        default_help="the latest login",
        help="Use the saved login of this user.",
    ),
    SharedOption(
        "--password-file", section=_LOGIN, value_type=SecretFile(), is_setting=False, metavar="FILE",
        help="Log in with the password in the first line of a file; - is standard input.",
    ),
    SharedOption(
        "--token-file", section=_LOGIN, value_type=SecretFile(), is_personal=True, metavar="FILE",
        default_help="$DDP_TOKEN",
        help="Log in with the login token in the first line of a file; - is standard input.",
    ),
    SharedOption(
        "--no-login", section=_LOGIN, value_type=Flag(), is_setting=False, help="Ignore saved logins."
    ),
    SharedOption(
        "--record", section=_OUTPUT, value_type=OutputFile(), is_setting=False, metavar="FILE",
        help="Record all frames in a file, with secrets masked. `ddp read FILE` shows it.",
    ),
    SharedOption(
        "--with-secrets", section=_OUTPUT, is_flag=True,
        help="Keep passwords and tokens in the file of --record.",
    ),
]  # fmt: skip

# The settings without an option, for the prompt of the shell.
_FOR_THE_SHELL = (
    Setting("color", "", ColorName(), None, is_personal=True),
    Setting("confirm", "", Flag(), unset=False, is_personal=True),
    Setting("allow", "", MethodPatterns(), unset=(), is_personal=True),
)

#: The settings of the config file, by their keys.
SETTINGS = {option.setting.key: option.setting for option in CONNECTION_OPTIONS if option.setting is not None} | {
    setting.key: setting for setting in _FOR_THE_SHELL
}

OUTPUT_OPTIONS = [
    SharedOption(
        "-o", "--output", section=_OUTPUT, value_type=click.Choice([choice.value for choice in OutputFormat]),
        help="Format of results. auto: pretty on a terminal, otherwise json. json: one line of EJSON for each value. "
        "raw: like json, but strings without quotes. table: one row for each document.",
    ),
    SharedOption(
        "--color", section=_OUTPUT, value_type=click.Choice(["auto", "always", "never"]), help="When to use colors."
    ),
    SharedOption(
        "-d", "--debug", section=_OUTPUT, is_flag=True, help="Show each frame on stderr, with secrets masked."
    ),
    SharedOption("-v", "--verbose", section=_OUTPUT, count=True, help="Show on stderr how the connection is made."),
    SharedOption(
        "-q", "--quiet", section=_OUTPUT, count=True, help="Do not show notes and hints on stderr; with -qq also no warnings."
    ),
    SharedOption(
        "--no-pager", section=_OUTPUT, is_flag=True, default_help="long output goes through $PAGER, or less",
        help="Write long output directly to the terminal.",
    ),
]  # fmt: skip


def connection_options(timeout: str) -> list[SharedOption]:
    """`CONNECTION_OPTIONS` for a command in which `--timeout` has another meaning.

    Args:
        timeout: The help text of `--timeout`.
    """
    return [
        SharedOption("--timeout", section=_CONNECTION, value_type=Seconds(), metavar="S", help=timeout)
        if option.name == "timeout"
        else option
        for option in CONNECTION_OPTIONS
    ]
