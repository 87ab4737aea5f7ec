"""The file `config.toml`: `[default]` for every command, and `[servers.NAME]` for `-p NAME`.

    [default]
    timeout = 60

    [servers.prod]
    url = "wss://app.example.com"
    login = "ann"
    headers = { X-Team = "red" }
    cacert = "company.pem"

The keys are the names of the options. Personal settings, such as `login`, belong to the `url` in the same section and are
never used for another server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from ..exceptions import CommandError
from .types import Setting

__all__ = ["Config", "Section", "read_config"]

# Bytes. Some files, such as /dev/zero, have no end.
_MAX_FILE_SIZE = 1 << 20


class Section(Struct, frozen=True):
    """The checked settings of one section.

    Args:
        name: The section's name in the file: `[default]`, `[servers.prod]`.
        values: The values by key; names of files are full paths.
    """

    name: str
    values: Mapping[str, Any]


class Config(Struct, frozen=True):
    """The content of the file.

    Args:
        path: The file.
        default: `[default]`.
        servers: Each `[servers.NAME]`, by name.
    """

    path: str
    default: Section
    servers: Mapping[str, Section]

    def profile(self, name: str) -> Section:
        """Look up a server.

        Raises:
            CommandError: The file does not have a server with this name.
        """
        section = self.servers.get(name)
        if section is not None:
            return section
        known = f"its servers are: {', '.join(sorted(self.servers))}" if self.servers else "it has no servers"
        raise CommandError(
            f"unknown profile {name!r}: {self.path} has no [servers.{name}]; {known}{_suggestion(name, self.servers)}"
        )


def read_config(path: str, settings: Mapping[str, Setting]) -> Config:
    """Read the file. A file that does not exist is an empty one.

    Args:
        path: The file.
        settings: The settings that it may have, by their keys.

    Raises:
        CommandError: The file cannot be read, or its content is not valid. The message has the line, if it is known.
    """
    import tomllib

    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE_SIZE)
        text = data.decode()
        tree = tomllib.loads(text)
    except FileNotFoundError:
        return Config(path, Section("[default]", {}), {})
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8 text: invalid byte at position {error.start}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CommandError(f"{path} is not valid TOML: {error}") from None
    return _Checker(path, text, settings).config(tree)


class _Checker:
    """Checks the content of the file."""

    def __init__(self, path: str, text: str, settings: Mapping[str, Setting]) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._settings = settings

    def config(self, tree: Mapping[str, Any]) -> Config:
        for name in tree:
            if name in self._settings:
                raise self._error("", name, f"{name} must be in [default] or in a [servers.NAME] section")
            if name not in ("default", "servers"):
                raise self._error("", name, f"unknown section {name!r}{_suggestion(name, ('default', 'servers'))}")
        servers = self._table(tree.get("servers", {}), "servers", "[servers.NAME]")
        return Config(
            self._path,
            self._section("default", self._table(tree.get("default", {}), "default", "[default]")),
            {
                name: self._section(f"servers.{name}", self._table(section, f"servers.{name}", f"[servers.{name}]"))
                for name, section in servers.items()
            },
        )

    def _table(self, value: Any, section: str, what: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._error("", section.rpartition(".")[2], f"{what} must be a section")
        return value

    def _section(self, name: str, table: Mapping[str, Any]) -> Section:
        values: dict[str, Any] = {}
        for key, value in table.items():
            setting = self._settings.get(key)
            if setting is None:
                raise self._error(name, key, f"unknown setting {key!r}{_suggestion(key, self._settings)}")
            try:
                values[key] = setting.value_type.from_toml(value, Path(self._path).absolute().parent)
            except click.BadParameter as error:
                raise self._error(name, key, f"{key}: {error.message}") from None
            if values[key] is None:
                raise self._error(name, key, f"{key} must be {setting.value_type.toml_form}")
        if "url" not in values:
            if name != "default":
                raise self._error(name, "", "url is missing")
            for key in values:
                if self._settings[key].is_personal:
                    advice = "put it into a [servers.NAME] section with the url of that server"
                    raise self._error(name, key, f"{key} is for one server; {advice}")
        return Section(f"[{name}]", values)

    def _error(self, section: str, key: str, problem: str) -> CommandError:
        line = self._line(section, key)
        where = f"{self._path}{f', line {line}' if line else ''}"
        return CommandError(f"{where}{f', [{section}]' if section else ''}: {problem}")

    def _line(self, section: str, key: str) -> int | None:
        """The line of a setting, or of its section. tomllib does not keep lines, so this is a search for usual ways to write it."""
        current, header = "", None
        for number, line in enumerate(self._lines, start=1):
            opened = re.match(r"\s*\[\[?([^\]]*)\]", line)
            if opened:
                current = re.sub(r"""[\s"']""", "", opened[1])
                if current == section:
                    header = number
                if not section and current.partition(".")[0] == key:
                    return number
            elif current == section and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", line) and key:
                return number
        return header


def _suggestion(name: str, names: Iterable[str]) -> str:
    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]}?" if found else ""
