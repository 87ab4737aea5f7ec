"""The options that commands share, which are also the settings of the config file: one table, and a reader of command lines.

`--help`, the manual and completion read an option's spelling and help here; the config file its key and type; `ddp config`
and `settings.py` its default value and whether it belongs to one server. `options.py` makes click's options of the rows. This
module needs no click, which takes a tenth of the time of a call to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ..exceptions import CommandError

if TYPE_CHECKING:
    from .process import GivenOptions


class OptionRow(Struct):
    """An option that commands share, or a setting without an option.

    Args:
        names: The spellings, and the parameter's name if it is not that of the long option; none for a setting alone.
        section: The heading under which `--help` lists the option.
        kind: The kind of its value: `flag`, `count`, `choice`, `profile`, or a key of `types.SETTING_TYPES`.
        help: What the option does.
        metavar: The name of the value in the help.
        choices: The values of a `choice`.
        unset: The value of the setting if nothing sets it.
        default_help: The default in words, if `unset` does not show it.
        flag_value: The value of a flag, if it is not a boolean.
        is_repeated: Whether the option can be given several times.
        is_setting: Whether the config file can set it.
        is_personal: Whether the setting belongs to one server: it tells that server who the user is, or tells ddp which
            server to trust, so it is never used for another server.
        key: The name in the config file; by default that of the option.
    """

    names: tuple[str, ...]
    section: str
    kind: str = "flag"
    help: str = ""
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    unset: Any = None
    default_help: str = ""
    flag_value: int | None = None
    is_repeated: bool = False
    is_setting: bool = True
    is_personal: bool = False
    key: str = ""
    #: The name of the option's parameter; "" without an option.
    option: str = ""

    def __post_init__(self) -> None:
        if self.names:
            long = [name for name in self.names if name.startswith("--")][-1].removeprefix("--").partition("/")[0]
            self.option = self.names[-1] if self.names[-1][0] != "-" else long.replace("-", "_")
            self.key = self.option if self.is_repeated else long

    @property
    def spellings(self) -> list[str]:
        """What the user can type."""
        return [spelling for name in self.names if name.startswith("-") for spelling in name.split("/")]


_CONNECTION = "Connection"
_LOGIN = "Login"
_OUTPUT = "Output"

CONNECTION_ROWS = [
    OptionRow(
        ("-u", "--url"), _CONNECTION, kind="url", metavar="URL", unset="localhost:3000",
        default_help="$DDP_URL, or localhost:3000",
        help="The server: host:port, or a URL with ws, wss, http or https.",
    ),
    OptionRow(
        ("-p", "--profile"), _CONNECTION, kind="profile", is_setting=False, metavar="NAME",
        help="Use the server and the settings of [servers.NAME] in the config file. `ddp config -p NAME` shows them.",
    ),
    OptionRow(
        ("--timeout",), _CONNECTION, kind="time limit", metavar="S", unset=30.0,
        help="Time limit for the whole command in seconds; 0 for no limit.",
    ),
    OptionRow(
        ("--connect-timeout",), _CONNECTION, kind="time limit", metavar="S", unset=10.0,
        help="Time limit for connecting in seconds; 0 for no limit.",
    ),
    OptionRow(
        ("--wait-for-server",), _CONNECTION, kind="seconds", is_setting=False, metavar="S",
        help="If the server cannot be reached, try again for so many seconds, before anything is sent. Does not count for "
        "--timeout.",
    ),
    OptionRow(
        ("--max-message",), _CONNECTION, kind="size", metavar="SIZE", unset=0x3FFFFFF, default_help="64M",
        help="Accept messages from the server up to this size in bytes, or with K, M or G.",
    ),
    OptionRow(
        ("--reconnect/--no-reconnect",), _CONNECTION, default_help="no",
        help="Reconnect when the connection is lost, and resend calls that have no answer yet.",
    ),
    OptionRow(
        ("--no-retry",), _CONNECTION, unset=False, help="Never send a call twice."
    ),
    OptionRow(
        ("-H", "--header", "headers"), _CONNECTION, kind="header", is_repeated=True, is_personal=True,
        metavar="'NAME: VALUE'",
        help="Add a header to the handshake; @FILE adds the headers in a file. Can be repeated.",
    ),
    OptionRow(
        ("--cookie", "cookies"), _CONNECTION, kind="cookie", is_repeated=True, is_personal=True,
        metavar="NAME=VALUE",
        help="Send a cookie; @FILE sends the cookies in a file. Can be repeated.",
    ),
    OptionRow(
        ("--origin",), _CONNECTION, kind="header text", is_personal=True, metavar="ORIGIN",
        help="Send this Origin header.",
    ),
    OptionRow(
        ("--user-agent",), _CONNECTION, kind="header text", metavar="TEXT", unset="ddpshell",
        help="Send this User-Agent header.",
    ),
    OptionRow(
        ("--cacert",), _CONNECTION, kind="file", metavar="FILE",
        help="Trust the certificate authorities in this file (PEM) instead of the system's.",
    ),
    OptionRow(
        ("--cert",), _CONNECTION, kind="file", is_personal=True, metavar="FILE",
        help="Send this client certificate (PEM).",
    ),
    OptionRow(
        ("--key",), _CONNECTION, kind="file", is_personal=True, metavar="FILE",
        help="The private key of the client certificate, if --cert does not contain it.",
    ),
    OptionRow(
        ("--passphrase-file",), _CONNECTION, kind="secret file", is_personal=True, metavar="FILE",
        default_help="ask",
        help="Read the passphrase of the private key from the first line of a file; - is standard input.",
    ),
    OptionRow(
        ("--insecure",), _CONNECTION, is_personal=True, unset=False,
        help="Do not check the server's certificate.",
    ),
    OptionRow(
        ("--servername",), _CONNECTION, kind="text", is_personal=True, metavar="NAME",
        help="Expect this name in the server's certificate, instead of the host in the URL.",
    ),
    OptionRow(
        ("--proxy",), _CONNECTION, kind="url", metavar="URL",
        default_help="$HTTPS_PROXY, $HTTP_PROXY or $ALL_PROXY, except for hosts in $NO_PROXY",
        help="Connect through this HTTP, HTTPS or SOCKS5 proxy.",
    ),
    OptionRow(("--no-proxy",), _CONNECTION, help="Do not use a proxy."),
    OptionRow(
        ("--ipv4", "ip_version"), _CONNECTION, flag_value=4,
        help="Use IPv4 addresses only.",
    ),
    OptionRow(
        ("--ipv6", "ip_version"), _CONNECTION, flag_value=6,
        help="Use IPv6 addresses only.",
    ),
    OptionRow(
        ("--login",), _LOGIN, kind="text", is_personal=True, metavar="USER",
        default_help="the latest login",
        help="Use the saved login of this user.",
    ),
    OptionRow(
        ("--password-file",), _LOGIN, kind="secret file", is_setting=False, metavar="FILE",
        help="Log in with the password in the first line of a file; - is standard input.",
    ),
    OptionRow(
        ("--token-file",), _LOGIN, kind="secret file", is_personal=True, metavar="FILE",
        default_help="$DDP_TOKEN",
        help="Log in with the login token in the first line of a file; - is standard input.",
    ),
    OptionRow(
        ("--no-login",), _LOGIN, is_setting=False, help="Ignore saved logins."
    ),
    OptionRow(
        ("--record",), _OUTPUT, kind="output file", is_setting=False, metavar="FILE",
        help="Record all frames in a file, with secrets masked. `ddp read FILE` shows it.",
    ),
    OptionRow(
        ("--with-secrets",), _OUTPUT, is_setting=False,
        help="Keep passwords and tokens in the file of --record.",
    ),
]  # fmt: skip

# The settings without an option, for the prompt of the shell.
_FOR_THE_SHELL = [
    OptionRow((), "", kind="color", key="color", is_personal=True),
    OptionRow((), "", kind="flag", key="confirm", unset=False, is_personal=True),
    OptionRow((), "", kind="patterns", key="allow", unset=(), is_personal=True),
]

#: The settings of the config file, by their keys.
SETTINGS = {row.key: row for row in (*CONNECTION_ROWS, *_FOR_THE_SHELL) if row.is_setting}

OUTPUT_ROWS = [
    OptionRow(
        ("-o", "--output"), _OUTPUT, kind="choice", choices=("auto", "pretty", "json", "raw", "table"),
        help="Format of results. auto: pretty on a terminal, otherwise json. json: one line of EJSON for each value. "
        "raw: like json, but strings without quotes. table: one row for each document.",
    ),
    OptionRow(
        ("--color",), _OUTPUT, kind="choice", choices=("auto", "always", "never"), help="When to use colors."
    ),
    OptionRow(
        ("-d", "--debug"), _OUTPUT, help="Show each frame on stderr, with secrets masked."
    ),
    OptionRow(("-v", "--verbose"), _OUTPUT, kind="count", help="Show on stderr how the connection is made."),
    OptionRow(
        ("-q", "--quiet"), _OUTPUT, kind="count", help="Do not show notes and hints on stderr; with -qq also no warnings."
    ),
    OptionRow(
        ("--no-pager",), _OUTPUT, default_help="long output goes through $PAGER, or less",
        help="Write long output directly to the terminal.",
    ),
]  # fmt: skip


# ---------------------------------------------------------------------------------------- command lines without click


# The options, except those with two names that exclude each other, such as --ipv4 and --ipv6.
_ROWS = {
    name: row
    for row in (*CONNECTION_ROWS, *OUTPUT_ROWS)
    if row.flag_value is None and "/" not in row.names[-1]
    for name in row.spellings
}


class SimpleCommand(Struct, frozen=True):
    """A command line.

    Args:
        name: `call` or `shell`.
        words: For a call, the method and the arguments.
        options: The shared options.
    """

    name: str
    words: Sequence[str]
    options: GivenOptions


def read_simple_command(words: Sequence[str]) -> SimpleCommand | None:
    """Read the command line of `ddp call` or of the shell without click, which takes a fifth of the time of a call.

    It reads only what has no second meaning, and leaves everything else to click, above all each error.
    `tests/cli/test_option_table.py` compares both.

    Args:
        words: The words after `ddp`.

    Returns:
        None if it is another command, or only click can read it.
    """
    options: GivenOptions = {}
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            others.append(word)
            continue
        name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        row = _ROWS.get(name)
        if row is None:
            return None
        if row.kind in ("flag", "count"):
            if joined:
                return None
            options[row.option] = True if row.kind == "flag" else options.get(row.option, 0) + 1
            continue
        value = value if joined else next(rest, "-")
        # A file that "@" names may be a pipe, which only one of the two readers can read.
        if not value or value[0] in "-@" or (row.choices and value not in row.choices):
            return None
        if row.kind in ("url", "profile", "choice"):
            options[row.option] = value
            continue
        from .types import SETTING_TYPES  # most calls have no such option

        try:
            read = SETTING_TYPES[row.kind].read(value)
        except CommandError:
            return None
        options[row.option] = (*options.get(row.option, ()), *read) if row.is_repeated else read
    if not others:
        return SimpleCommand("shell", others, options)
    if len(others) < 2 or others[0] != "call":
        return None
    # Without a server, a method that may be the address of one is an error.
    if not options.keys() & {"url", "profile"} and (not others[1].isidentifier() or others[1] == "localhost"):
        return None
    return SimpleCommand("call", others[1:], options)
