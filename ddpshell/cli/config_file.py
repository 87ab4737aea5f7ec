"""The file `config.toml`: `[default]` for every command, and `[servers.NAME]` for `-p NAME`.

    [default]
    timeout = 60

    [servers.prod]
    url = "wss://app.example.com"
    login = "ann"
    headers = { X-Team = "red" }
    cacert = "company.pem"
    color = "red"

    [shell]
    theme = "light"

The keys in `[default]` and `[servers.NAME]` are the names of the options. Personal settings, such as `login`, belong to the `url` in the same section and are
never used for another server. The keys in `[shell]` are the shell's settings; see `shell/settings.py`.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from ..exceptions import CommandError
from ..text.prose import closest
from .option_table import SETTINGS
from .process import file_errors
from .types import SETTING_TYPES, TOMLValue

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

    def without_personal_settings(self) -> Section:
        """Return the settings that are not for one server only."""
        return Section(self.name, {key: value for key, value in self.values.items() if not SETTINGS[key].is_personal})


class Config(Struct, frozen=True):
    """The content of the file.

    Args:
        path: The file.
        default: `[default]`.
        servers: Each `[servers.NAME]`, by name.
        shell: `[shell]`: the values of the shell's settings, as `set` takes them.
    """

    path: str
    default: Section
    servers: Mapping[str, Section]
    shell: Section = Section("[shell]", {})

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


def read_config(path: str) -> Config:
    """Read the file. A file that does not exist is an empty one.

    Raises:
        CommandError: The file cannot be read, or its content is not valid. The message has the line, if it is known.
    """
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
    return _Checker(path, text).config(tree)


def change_config(path: str, section: Sequence[str], key: str, value: TOMLValue | None) -> None:
    """Change one setting in the file. The rest of the file, with its comments, stays as it is.

    Args:
        path: The file, which need not exist.
        section: The section: `["default"]`, `["servers", "prod"]`.
        key: The setting: `timeout`, `headers.X-Team`.
        value: The new value; None to remove the setting.

    Raises:
        CommandError: The file cannot be read or written, or would not be valid. Then it is unchanged.
    """
    read_config(path)
    file = Path(path).resolve()
    # Read as bytes, so that line ends stay as they are.
    text = file.read_bytes().decode() if file.exists() else ""
    expected: dict[str, Any] = tomllib.loads(text)
    # Only the part before the first dot is the name of a setting. The name of a header may have dots.
    parts = key.split(".", 1)
    table = expected
    for name in [*section, *parts[:-1]]:
        table = table.setdefault(name, {})
    if value is None:
        if parts[-1] not in table:
            raise CommandError(f"{key} is not set in [{'.'.join(section)}] of {path}")
        del table[parts[-1]]
    else:
        table[parts[-1]] = value
    new = _edited(text, [*section, *parts[:-1]], parts[-1], value, len(parts) - 1)
    allowed = [expected]
    if value is None and not table and len(parts) > 1:
        # With its last field, a table that has no header is gone.
        allowed.append(copy.deepcopy(expected))
        holder: dict[str, Any] = allowed[-1]
        for name in section:
            holder = holder[name]
        del holder[parts[0]]
    changed = _parsed(new)
    if changed is None or changed not in allowed:
        raise CommandError(f"{key} cannot be changed in the form in which {path} has it; use ddp config --edit")
    _Checker(path, new).config(changed)
    write_config(file, new)


def _edited(text: str, table: Sequence[str], key: str, value: TOMLValue | None, dotted: int) -> str:
    """Return the text of the file with one line added, replaced or removed.

    Args:
        text: The text.
        table: The names of the table that has the key.
        key: The key.
        value: The new value; None to remove the line.
        dotted: How many names of the table may be before the key, in the section of the other names: `headers.X = "a"`.
    """
    # Not `splitlines`, which also splits at characters that may be in comments and strings.
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    end_of_line = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    for count in range(dotted + 1):
        section, before = table[: len(table) - count], table[len(table) - count :]
        start, end = _section_lines(lines, section)
        if start is None:
            continue
        name = r"\s*\.\s*".join([rf"""["']?{re.escape(part)}["']?""" for part in [*before, key]])
        for number in range(start, end):
            if re.match(rf"\s*{name}\s*=", lines[number]):
                last, comment = _value_end(lines, number)
                new = [] if value is None else [f"{_assignment([*before, key], value)}{comment}{end_of_line}"]
                return "".join([*lines[:number], *new, *lines[last + 1 :]])
    section, before = table[: len(table) - dotted], table[len(table) - dotted :]
    start, end = _section_lines(lines, section)
    assert value is not None, "a setting that is removed has a line"
    new = [f"{_assignment([*before, key], value)}{end_of_line}"]
    if start is None:
        gap = [end_of_line] if text.strip() else []
        if lines and not lines[-1].endswith("\n"):
            gap.insert(0, end_of_line)
        return "".join([*lines, *gap, f"[{'.'.join(map(_key, section))}]{end_of_line}", *new])
    while end > start and not lines[end - 1].split("#")[0].strip():
        end -= 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += end_of_line
    return "".join([*lines[:end], *new, *lines[end:]])


def _section_lines(lines: Sequence[str], section: Sequence[str]) -> tuple[int | None, int]:
    """Return the first line after the header of a section, or None, and the line after its last one."""
    header: dict[str, Any] = {}
    for name in reversed(section):
        header = {name: header}
    start = None
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("["):
            continue
        if start is not None:
            return start, number
        if _parsed(line) == header:
            start = number + 1
    return start, len(lines)


def _value_end(lines: Sequence[str], number: int) -> tuple[int, str]:
    """Return the last line of the value that begins in a line, and the comment after it."""
    ends = range(number, len(lines))
    last = next((last for last in ends if _parsed("".join(lines[number : last + 1])) is not None), number)
    for mark in re.finditer(r"\s*#", lines[last]):
        if _parsed("".join([*lines[number:last], lines[last][: mark.start()]])) is not None:
            return last, lines[last][mark.start() :].rstrip("\r\n")
    return last, ""


def _parsed(text: str) -> dict[str, Any] | None:
    """Parse TOML; return None if it is not valid."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _assignment(names: Sequence[str], value: TOMLValue) -> str:
    # JSON is TOML for these values, but for one character, which TOML wants escaped.
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{'.'.join(map(_key, names))} = {text}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def write_config(file: Path, text: str) -> None:
    """Write the file at once, readable only by its owner if it is new: it may have secrets, such as headers.

    Raises:
        CommandError: The file cannot be written.
    """
    from ..logins import make_private, replace_private

    with file_errors(f"cannot write {file}"):
        if not file.parent.exists():
            make_private(file.parent)
        replace_private(file, text.encode(), mode=file.stat().st_mode & 0o777 if file.exists() else 0o600)


class _Checker:
    """Checks the content of the file."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def config(self, tree: Mapping[str, Any]) -> Config:
        for name in tree:
            if name in SETTINGS:
                raise self._error("", name, f"{name} must be in [default] or in a [servers.NAME] section")
            if name not in ("default", "servers", "shell"):
                known = ("default", "servers", "shell")
                raise self._error("", name, f"unknown section {name!r}{_suggestion(name, known)}")
        servers = self._table(tree.get("servers", {}), "servers", "[servers.NAME]")
        return Config(
            self._path,
            self._section("default", self._table(tree.get("default", {}), "default", "[default]")),
            {
                name: self._section(f"servers.{name}", self._table(section, f"servers.{name}", f"[servers.{name}]"))
                for name, section in servers.items()
            },
            self._shell(self._table(tree["shell"], "shell", "[shell]")) if "shell" in tree else Section("[shell]", {}),
        )

    def _shell(self, table: Mapping[str, Any]) -> Section:
        from ..shell.settings import SETTINGS as SHELL_SETTINGS

        values: dict[str, str] = {}
        for key, value in table.items():
            if key not in SHELL_SETTINGS:
                raise self._error("shell", key, f"unknown setting {key!r}{_suggestion(key, SHELL_SETTINGS)}")
            try:
                values[key] = SHELL_SETTINGS[key].from_toml(value)
            except CommandError as error:
                raise self._error("shell", key, error.message) from None
        return Section("[shell]", values)

    def _table(self, value: Any, section: str, what: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._error("", section.rpartition(".")[2], f"{what} must be a section")
        return value

    def _section(self, name: str, table: Mapping[str, Any]) -> Section:
        values: dict[str, Any] = {}
        for key, value in table.items():
            setting = SETTINGS.get(key)
            if setting is None:
                raise self._error(name, key, f"unknown setting {key!r}{_suggestion(key, SETTINGS)}")
            kind = SETTING_TYPES[setting.kind]
            try:
                values[key] = kind.from_toml(value, str(Path(self._path).absolute().parent))
            except CommandError as error:
                raise self._error(name, key, f"{key}: {error.message}") from None
            if values[key] is None:
                raise self._error(name, key, f"{key} must be {kind.toml_form}")
        if "url" not in values:
            if name != "default":
                raise self._error(name, "", "url is missing")
            for key in values:
                if SETTINGS[key].is_personal:
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
    found = closest(name, names)
    return f"; did you mean {found}?" if found else ""
