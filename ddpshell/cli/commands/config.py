"""`ddp config`: shows the value of each setting, and whether an option, a variable or the config file sets it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ...ejson import EJSONValue
from ...exceptions import CommandError, LoginNeeded
from ...logins import make_private, server_of
from ...text.escaping import escape_line
from ..command_classes import Command, process_of
from ..credentials import endpoint_of, login_store, without_credentials
from ..folders import config_file, is_there
from ..options import CONNECTION_OPTIONS, OUTPUT_OPTIONS
from ..output import Console, OutputFormat
from ..process import Process
from ..settings import ResolvedSettings, ResolvedValue, load_config, resolve

__all__ = ["config"]

_MASK = "***"


# What `--edit` writes into a new file.
_TEMPLATE = """\
# Settings of ddp. They have the names of its options. `ddp config` shows the result.

[default]                       # for every command
# timeout = 60

# [servers.prod]                # for `ddp -p prod`
# url = "wss://app.example.com"
# login = "ann"
"""


def _config(path: bool, servers: bool, edit: bool) -> None:
    process = process_of(click.get_current_context())
    console = process.console
    if path + servers + edit > 1:
        raise click.UsageError("--edit, --list and --path cannot be used together")
    if path:
        file = _named_file()
        console.write(escape_line(file) if console.out.is_terminal else file)
        return
    if servers:
        _list(process)
        return
    if edit:
        _edit(_named_file())
        return
    resolved = resolve(process.options, os.environ)
    rows = list(_rows(resolved, process))
    if console.shown_as in (OutputFormat.JSON, OutputFormat.RAW):
        tree: dict[str, EJSONValue] = {
            name: {"value": setting.value, "origin": setting.origin} for name, setting in rows
        }
        console.result(tree)
        return
    _show([(name, _text(setting.value), setting.origin) for name, setting in rows], console)
    _note_missing_file(console)


def _named_file() -> str:
    file = config_file()
    if file is None:
        raise CommandError("there is no home folder and so no config file; $DDP_CONFIG can name one")
    return file


def _edit(file: str) -> None:
    """Let the user edit the file, and check it after that."""
    path = Path(file)
    try:
        if not path.exists():
            if not path.parent.exists():
                make_private(path.parent)
            # The file may contain secrets, such as headers and the password of a proxy.
            path.touch(mode=0o600)
            path.chmod(0o600)
            path.write_text(_TEMPLATE)
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from None
    click.edit(filename=file)
    load_config(file)


def _list(process: Process) -> None:
    """Show the servers that `-p` accepts."""
    file = config_file()
    config = load_config(file) if file is not None and is_there(file) else None
    sections = config.servers if config is not None else {}
    rows = [
        (name, without_credentials(section.values["url"]), section.values.get("login"))
        for name, section in sections.items()
    ]
    console = process.console
    if console.shown_as in (OutputFormat.JSON, OutputFormat.RAW):
        console.result({name: {"url": url, "login": login} for name, url, login in rows})
        return
    _show([(name, url, login or "") for name, url, login in rows], console)
    if config is None:
        _note_missing_file(console)
    elif not rows:
        console.note(f"there is no [servers.NAME] in {file}")


def _show(rows: Sequence[tuple[str, str, str]], console: Console) -> None:
    texts = [[escape_line(cell) for cell in row] for row in rows]
    first, second = (max([len(row[column]) for row in texts], default=0) for column in (0, 1))
    for name, value, last in texts:
        console.write(f"{name:{first}}  {value:{second}}  {last}".rstrip())


def _note_missing_file(console: Console) -> None:
    file = config_file()
    if file is None or not is_there(file):
        console.note(f"there is no config file; it would be {file or 'in the home folder, which there is not'}")


def _rows(resolved: ResolvedSettings, process: Process) -> Iterator[tuple[str, ResolvedValue]]:
    for name, setting in resolved.values.items():
        yield (
            name,
            ResolvedValue(without_credentials(setting.value) if name == "url" else setting.value, setting.origin),
        )
    for setting in resolved.headers:
        # Any header may be a secret.
        yield f"headers.{setting.value[0]}", ResolvedValue(_MASK, setting.origin)
    for setting in resolved.cookies:
        yield f"cookies.{setting.value[0]}", ResolvedValue(_MASK, setting.origin)
    proxy = resolved.proxy
    yield "proxy", ResolvedValue(proxy.value and without_credentials(proxy.value), proxy.origin)
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
            server = server_of(endpoint_of(resolved.connection()))
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
        case float():
            return f"{value:g}"
        case _:
            return str(value)


config = Command(
    "config",
    callback=_config,
    help="Show the settings that a command would use, and where each comes from: an option, a variable or the config file.",
    params=[
        click.Option(["--edit"], is_flag=True, help="Edit the config file with $VISUAL or $EDITOR, and check it."),
        click.Option(["--list", "servers"], is_flag=True, help="Show the servers that you can use with -p."),
        click.Option(["--path"], is_flag=True, help="Show the path of the config file, which need not exist."),
        *CONNECTION_OPTIONS,
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp config", "show the settings"),
        ("ddp config -p prod", "show the settings of [servers.prod]"),
        ("ddp config --list", "show the servers for -p"),
        ("ddp config --edit", "add or change a server"),
    ],
    notes={
        "Config file": [
            ("[default]", "the section with settings for every command"),
            ("[servers.NAME]", "the section with url and settings for -p NAME"),
            ('url = "..."', "a setting; the names are those of options: login, cacert, proxy, timeout, ..."),
        ]
    },
)
