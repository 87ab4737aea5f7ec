"""The file `config.toml`: `[default]` for every command, and `[servers.NAME]` for `-p NAME`.

    [default]
    timeout = 60

    [servers.prod]
    url = "wss://app.example.com"
    login = "ann"
    headers = { X-Team = "red" }
    cacert = "company.pem"

Settings have the names of the options. What tells who one is belongs to the `url` beside it, and is sent nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from ..exceptions import CommandError
from .types import Cookie, Header, HeaderText, Seconds, size_of

__all__ = ["KEYS", "PERSONAL", "Config", "Section", "read_config"]

#: Each setting, and what its value has to be.
KEYS = {
    "url": "text",
    "login": "text",
    "token-file": "file",
    "headers": "headers",
    "cookies": "cookies",
    "origin": "header",
    "user-agent": "header",
    "cacert": "file",
    "cert": "file",
    "key": "file",
    "passphrase-file": "file",
    "insecure": "flag",
    "servername": "text",
    "proxy": "text",
    "no-proxy": "flag",
    "ipv4": "flag",
    "ipv6": "flag",
    "timeout": "seconds",
    "connect-timeout": "seconds",
    "max-message": "size",
    "reconnect": "flag",
    "no-retry": "flag",
}

#: Those that tell one server who one is, or whom to take for it.
PERSONAL = frozenset("login token-file headers cookies origin cert key passphrase-file insecure servername".split())

_KINDS = {
    "text": "a text in quotes",
    "header": "a text in quotes",
    "file": "the name of a file in quotes",
    "flag": "true or false",
    "seconds": "a number of seconds",
    "size": 'a number of bytes, or a text such as "100M"',
    "headers": 'a table of texts, such as { Name = "value" }',
    "cookies": 'a table of texts, such as { name = "value" }',
}

# More than anybody writes; some files have no end.
_MAX_SIZE = 1 << 20


class Section(Struct, frozen=True):
    """One section's settings, checked.

    Args:
        name: As it stands in the file: `[default]`, `[servers.prod]`.
        values: By setting; files with their full paths.
    """

    name: str
    values: Mapping[str, Any]


class Config(Struct, frozen=True):
    """What the file says.

    Args:
        path: Where it is.
        default: `[default]`.
        servers: `[servers.NAME]`, by name.
    """

    path: str
    default: Section
    servers: Mapping[str, Section]

    def profile(self, name: str) -> Section:
        """Look a profile up.

        Raises:
            CommandError: There is none of that name.
        """
        section = self.servers.get(name)
        if section is not None:
            return section
        known = f"there are: {', '.join(sorted(self.servers))}" if self.servers else "there is none at all"
        raise CommandError(
            f"no profile {name!r} ([servers.{name}]) in {self.path}; {known}{_similar(name, self.servers)}"
        )


def read_config(path: str) -> Config:
    """Read the file.

    Raises:
        CommandError: It cannot be read, or holds what it cannot hold; with the line where that is known.
    """
    import tomllib

    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_SIZE)
        text = data.decode()
        tree = tomllib.loads(text)
    except FileNotFoundError:
        return Config(path, Section("[default]", {}), {})
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8 text, from byte {error.start} on") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CommandError(f"{path} is no TOML: {error}") from None
    return _Reader(path, text).config(tree)


class _Reader:
    """Checks what a file holds."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def config(self, tree: Mapping[str, Any]) -> Config:
        for name in tree:
            if name not in ("default", "servers"):
                advice = _similar(name, ("default", "servers"))
                if name in KEYS:
                    advice = "; it belongs below [default], or below a [servers.NAME]"
                raise self._error("", name, f"no section or setting {name!r} here{advice}")
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
            raise self._error("", section.rpartition(".")[2], f"{what} is a section")
        return value

    def _section(self, name: str, table: Mapping[str, Any]) -> Section:
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in KEYS:
                raise self._error(name, key, f"no setting {key!r}{_similar(key, KEYS)}")
            try:
                values[key] = self._value(KEYS[key], value)
            except click.BadParameter as error:
                raise self._error(name, key, f"{key}: {error.message}") from None
            if values[key] is None:
                raise self._error(name, key, f"{key} must be {_KINDS[KEYS[key]]}")
        if "url" not in values:
            if name != "default":
                raise self._error(name, "", "url is missing: where the server is")
            for key in values:
                if key in PERSONAL:
                    advice = "it needs a url beside it; put both below a [servers.NAME]"
                    raise self._error(name, key, f"{key} would be for every server: {advice}")
        return Section(f"[{name}]", values)

    def _value(self, kind: str, value: Any) -> Any:
        """The value as options have it; None if it is of the wrong kind."""
        match kind:
            case "flag":
                return value if isinstance(value, bool) else None
            case "seconds":
                if isinstance(value, bool) or not isinstance(value, int | float):
                    return None
                return Seconds().convert(value, None, None)
            case "size" if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
            case "size":
                return size_of(value) if isinstance(value, str) else None
            case "headers" | "cookies":
                return _pairs(kind, value)
            case _ if not isinstance(value, str) or not value:
                return None
            case "header":
                return HeaderText().convert(value, None, None)
            case "file":
                return str(Path(self._path).absolute().parent / Path(value).expanduser())
            case _:
                return value

    def _error(self, section: str, key: str, problem: str) -> CommandError:
        line = self._line(section, key)
        where = f"{self._path}{f', line {line}' if line else ''}"
        return CommandError(f"{where}{f', [{section}]' if section else ''}: {problem}")

    def _line(self, section: str, key: str) -> int | None:
        """Where a setting stands, as far as can be told without a parser that keeps the lines."""
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


def _pairs(kind: str, table: Any) -> dict[str, str] | None:
    """Headers or cookies, by name; None if that is no table of texts."""
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        return None
    kinds: dict[str, tuple[Header | Cookie, str]] = {"headers": (Header(), ": "), "cookies": (Cookie(), "=")}
    checker, between = kinds[kind]
    return dict([checker.convert(f"{name}{between}{value}", None, None)[0] for name, value in table.items()])


def _similar(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]}?" if found else ""
