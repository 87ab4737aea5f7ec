"""`ddp config`: shows each setting and whether an option, a variable or the config file sets it, and changes the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click

from ...client.network.proxy import parse_proxy
from ...ejson import EJSONValue
from ...exceptions import CommandError, LoginNeeded
from ...protocol.secrets import mask_url
from ...protocol.urls import parse_url
from ...shell.settings import SETTINGS as SHELL_SETTINGS
from ...shell.settings import Settings as ShellSettings
from ...text.escaping import escape_line
from ...text.prose import closest
from ..config_file import Config, change_config, read_config, write_config
from ..credentials import endpoint_of, login_store
from ..group import Command
from ..option_table import SETTINGS
from ..options import NameType, flag, shared_options
from ..output import Console
from ..process import Process
from ..settings import DEFAULT, ResolvedSettings, ResolvedValue, config_file, is_there, named_config_file, resolve
from ..types import SETTING_TYPES, Pairs, TOMLValue

_MASK = "***"


# What `--edit` writes into a new file.
_TEMPLATE = """\
# Settings of ddp. They have the names of its options. `ddp config` shows the result.

[default]                       # for every command
# timeout = 60

# [servers.prod]                # for `ddp -p prod`
# url = "wss://app.example.com"
# login = "ann"
# color = "red"                 # of the name in the shell's prompt
# confirm = true                # the shell asks before each call,
# allow = ["tasks.*"]           # but not before these

# [shell]                       # what `set` changes
# theme = "light"
"""


def _config(
    process: Process, action: str | None, setting: str | None, value: str | None, path: bool, servers: bool, edit: bool
) -> None:
    console = process.console
    if action is not None:
        if path or servers or edit:
            raise click.UsageError(f"{action} cannot be used with --edit, --list and --path")
        if setting is None or (value is None) is (action == "set"):
            raise click.UsageError(f"write: ddp config {action} KEY{' VALUE' if action == 'set' else ''}")
        _get_or_change(action, setting, value, process)
        return
    if path + servers + edit > 1:
        raise click.UsageError("--edit, --list and --path cannot be used together")
    if path:
        file = named_config_file()
        console.write(escape_line(file) if console.out.is_terminal else file)
        return
    if servers:
        _list(process)
        return
    if edit:
        _edit(named_config_file())
        return
    resolved = resolve(process.options, os.environ)
    # The shell itself lists all of its settings with `set`.
    rows = [*_rows(resolved, process), *(row for row in _shell_rows() if row[1].origin != DEFAULT)]
    if console.is_for_programs:
        tree: dict[str, EJSONValue] = {
            name: {"value": setting.value, "origin": setting.origin} for name, setting in rows
        }
        console.result(tree)
        return
    console.columns([(name, _text(setting.value), setting.origin) for name, setting in rows])
    _note_missing_file(console)


def _get_or_change(action: str, key: str, value: str | None, process: Process) -> None:
    """Print a setting, or change it in the file: in the section of -p, or in `[default]`."""
    # As in the file: servers.prod.url is the setting url of the server prod.
    if key.startswith("shell."):
        _get_or_change_shell(action, key.removeprefix("shell."), value, process)
        return
    full = re.fullmatch(r"default\.(.+)|servers\.([^.]+)\.(.+)", key)
    profile = process.options.get("profile")
    if full is not None:
        key, profile = full[1] or full[3], full[2]
    name = key.partition(".")[0]
    if action == "get":
        if profile is not None:
            process.options["profile"] = profile
        rows = dict(_rows(resolve(process.options, os.environ), process))
        known = "ip-version" if key in ("ipv4", "ipv6") else key
        if known not in rows:
            if name not in SETTINGS:
                raise _unknown(key)
            rows[known] = ResolvedValue(None, "")
        _print_value(rows[known].value, process.console)
        return
    setting = SETTINGS.get(name)
    is_table = setting is not None and isinstance(SETTING_TYPES[setting.kind], Pairs)
    if setting is None or is_table is not ("." in key):
        raise CommandError(f"write {key}.NAME for one of the {key}") if is_table else _unknown(key)
    unexpected = process.options.keys() & _SETTING_OPTIONS.keys()
    if unexpected:
        option = _SETTING_OPTIONS[min(unexpected)]
        raise click.UsageError(f"ddp config {action} does not take {option}; write: ddp config {action} KEY")
    section = ["default"] if profile is None else ["servers", profile]
    try:
        new = None if value is None else SETTING_TYPES[setting.kind].to_toml(value)
    except CommandError as error:
        raise CommandError(f"{key}: {error.message}") from error.__cause__
    if value is not None and key == "url":
        parse_url(value, lambda: 0.0)
    if value is not None and key == "proxy":
        parse_proxy(value)
    _change(section, key, new, process)


def _change(section: list[str], key: str, value: TOMLValue | None, process: Process) -> None:
    change_config(named_config_file(), section, key, value)
    what = "removed" if value is None else "set"
    process.console.note(f"{what} {key} in [{'.'.join(section)}] of {named_config_file()}")


def _get_or_change_shell(action: str, name: str, value: str | None, process: Process) -> None:
    """Print a setting of the shell, or change it in `[shell]`."""
    setting = ShellSettings().find(name)
    if action == "get":
        _print_value(dict(_shell_rows())[f"shell.{setting.name}"].value, process.console)
        return
    _change(["shell"], setting.name, None if value is None else setting.to_toml(value), process)


def _shell_rows() -> Iterator[tuple[str, ResolvedValue]]:
    config = _config_or_none()
    values = config.shell.values if config is not None else {}
    for name, setting in SHELL_SETTINGS.items():
        yield (
            f"shell.{name}",
            ResolvedValue(values.get(name, setting.default), "[shell]" if name in values else DEFAULT),
        )


def _unknown(key: str) -> CommandError:
    similar = closest(key, SETTINGS)
    return CommandError(f"unknown setting {key!r}; {f'did you mean {similar}?' if similar else 'see ddp config'}")


def _print_value(value: object, console: Console) -> None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if console.is_for_programs:
        console.result(cast("EJSONValue", value))
    else:
        console.write(escape_line(_text(value)))


def _edit(file: str) -> None:
    """Let the user edit the file, and check it after that."""
    if not Path(file).exists():
        write_config(Path(file), _TEMPLATE)
    click.edit(filename=file)
    read_config(file)


def _list(process: Process) -> None:
    """Show the servers that `-p` accepts."""
    config = _config_or_none()
    rows = [
        (name, mask_url(section.values["url"]), section.values.get("login"))
        for name, section in (config.servers.items() if config is not None else ())
    ]
    console = process.console
    if console.is_for_programs:
        console.result({name: {"url": url, "login": login} for name, url, login in rows})
        return
    console.columns([(name, url, login or "") for name, url, login in rows])
    if config is None:
        _note_missing_file(console)
    elif not rows:
        console.note(f"there is no [servers.NAME] in {config.path}")


def _config_or_none() -> Config | None:
    file = config_file()
    return read_config(file) if file is not None and is_there(file) else None


def _note_missing_file(console: Console) -> None:
    file = config_file()
    if file is None or not is_there(file):
        console.note(f"there is no config file; it would be {file or 'in the home folder, which there is not'}")


def _rows(resolved: ResolvedSettings, process: Process) -> Iterator[tuple[str, ResolvedValue]]:
    for name, setting in resolved.values.items():
        yield (
            name,
            ResolvedValue(mask_url(setting.value) if name == "url" else setting.value, setting.origin),
        )
    for setting in resolved.headers:
        # Any header may be a secret.
        yield f"headers.{setting.value[0]}", ResolvedValue(_MASK, setting.origin)
    for setting in resolved.cookies:
        yield f"cookies.{setting.value[0]}", ResolvedValue(_MASK, setting.origin)
    proxy = resolved.proxy
    yield "proxy", ResolvedValue(proxy.value and mask_url(proxy.value), proxy.origin)
    yield from _login_rows(resolved, process)


def _login_rows(resolved: ResolvedSettings, process: Process) -> Iterator[tuple[str, ResolvedValue]]:
    identity = resolved.identity
    match identity.kind:
        case "anonymous":
            yield "login", ResolvedValue(None, identity.origin)
        case "token":
            yield ("token", ResolvedValue(_MASK, identity.origin)) if identity.file is None else (
                "token-file", ResolvedValue(identity.file, identity.origin)
            )  # fmt: skip
        case "password":
            yield "login", ResolvedValue(identity.user, identity.origin)
            yield "password-file", ResolvedValue(identity.file, "--password-file")
        case _:
            server = endpoint_of(resolved.connection()).server
            try:
                saved = login_store(process).find(server, identity.user)
            except LoginNeeded as error:
                process.console.warning(str(error))
                saved = None
            if saved is None:
                yield (
                    "login",
                    ResolvedValue(identity.user, f"{identity.origin}, not saved" if identity.user else "default"),
                )
                return
            until = f"saved, until {saved.token.expires:%Y-%m-%d}"
            yield "login", ResolvedValue(saved.user, ", ".join(filter(None, [identity.origin, until])))


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(value) or "-"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


# The spellings of the options that are settings.
_SETTING_OPTIONS = {row.option: "/".join(row.spellings) for row in SETTINGS.values() if row.option}


config = Command(
    "config",
    callback=_config,
    help="Show the settings that a command would use, and where each comes from: an option, a variable or the config file. "
    "`get` prints one setting; `set` and `unset` change the config file.",
    params=[
        click.Argument(
            ["action"], metavar="[get|set|unset]", required=False, type=click.Choice(["get", "set", "unset"])
        ),
        click.Argument(
            ["setting"],
            metavar="[KEY]",
            required=False,
            type=NameType(lambda ctx: [*SETTINGS, *(f"shell.{name}" for name in SHELL_SETTINGS)]),
        ),
        click.Argument(["value"], metavar="[VALUE]", required=False),
        flag("--edit", "Edit the config file with $VISUAL or $EDITOR, and check it."),
        flag("--list servers", "Show the servers that you can use with -p."),
        flag("--path", "Show the path of the config file, which need not exist."),
        *shared_options(),
    ],
    examples=[
        ("ddp config", "show the settings"),
        ("ddp config -p prod", "show the settings of [servers.prod]"),
        ("ddp config set timeout 60", "change the config file"),
        ("ddp config set url wss://host -p prod", "add a server, or change it"),
        ("ddp config get url -p prod", "print one setting"),
        ("ddp config --list", "show the servers for -p"),
        ("ddp config --edit", "add or change a server"),
    ],
    notes={
        "Config file": [
            ("[default]", "the section with settings for every command"),
            ("[servers.NAME]", "the section with url and settings for -p NAME"),
            ("[shell]", "the section with the settings of the shell, as `set` lists them: theme, editing, pager, ..."),
            ('url = "..."', "a setting; the names are those of options: login, cacert, proxy, timeout, ..."),
        ]
    },
)
