"""The types of settings: how a value is read from the command line, and how from the config file."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

__all__ = [
    "AT_LEAST_1",
    "SETTING_TYPES",
    "ColorName",
    "Cookie",
    "FileName",
    "Flag",
    "Header",
    "HeaderText",
    "MethodPatterns",
    "OutputFile",
    "PositiveNumber",
    "ReadableFile",
    "Seconds",
    "SecretFile",
    "SettingType",
    "Size",
    "Text",
    "TimeLimit",
]

#: The type of a number of things.
AT_LEAST_1 = click.IntRange(min=1)

# Bytes of a file with headers. Some files, such as /dev/zero, have no end.
_MAX_FILE_SIZE = 1 << 20


class SettingType(click.ParamType[Any]):
    """The type of a setting. By default it is any text that is not empty."""

    name = "text"
    #: What the config file must contain, for error messages.
    toml_form = "text in quotes"

    def from_toml(self, value: Any, folder: Path) -> Any:
        """Read a value from the config file.

        Args:
            value: The value, as the TOML parser returns it.
            folder: The folder of the config file.

        Returns:
            What `convert` returns for an option; None if the value does not have the form of `toml_form`.

        Raises:
            click.BadParameter: The value has the right form, but is not valid.
        """
        return self.convert(value, None, None) if isinstance(value, str) and value else None


class Text(SettingType):
    """Any text that is not empty. In a script, an empty text is usually a variable without a value."""

    #: Whether it can have bytes that are not UTF-8, which Python decodes as lone surrogates.
    allows_bytes = False

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that there is text."""
        if not value:
            self.fail("must not be empty", param, ctx)
        if not self.allows_bytes and any("\udc80" <= character <= "\udcff" for character in value):
            self.fail("is not UTF-8 text", param, ctx)
        return str(value)


class Flag(SettingType):
    """True or false. On the command line, the option itself is the value."""

    name = "flag"
    toml_form = "true or false"

    def from_toml(self, value: Any, folder: Path) -> bool | None:
        """Read a boolean."""
        return value if isinstance(value, bool) else None


class Seconds(SettingType):
    """A duration in seconds."""

    name = "seconds"
    toml_form = "a number of seconds"
    #: What to write instead of an invalid number.
    hint = ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number that is not negative and not infinite."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        if not 0 <= seconds < math.inf:
            self.fail(f"{value} is not a valid number of seconds{self.hint}", param, ctx)
        return seconds

    def from_toml(self, value: Any, folder: Path) -> float | None:
        """Read a number."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return self.convert(value, None, None) if is_number else None


class TimeLimit(Seconds):
    """A duration in seconds; 0 means no limit."""

    hint = "; use 0 for no limit"


class PositiveNumber(click.ParamType[float]):
    """A number above 0, or also 0."""

    name = "number"

    def __init__(self, *, or_zero: bool = False) -> None:
        self._or_zero = or_zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid number", param, ctx)
        if number < 0 or (number == 0 and not self._or_zero):
            self.fail(f"{value} is not a number {'of 0 or more' if self._or_zero else 'above 0'}", param, ctx)
        return number


class Size(SettingType):
    """A number of bytes: `1000`, `64K`, `100M`, `2GiB`. Units are powers of 1024."""

    name = "size"
    toml_form = 'a number of bytes, or text such as "100M"'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a positive number of bytes."""
        if isinstance(value, int):
            return value
        size = _parse_size(value)
        if size is None:
            self.fail(f"{value!r} is not a size, such as 500K, 100M or 2G", param, ctx)
        return size

    def from_toml(self, value: Any, folder: Path) -> int | None:
        """Read a number, or text as for the option."""
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        return _parse_size(value) if isinstance(value, str) else None


def _parse_size(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None or len(text) > 20:
        return None
    size = int(float(match[1]) * 1024 ** " KMG".index(match[2].upper() or " "))
    return size or None


class _Pairs(SettingType):
    """Pairs of a name and a value.

    The option has one pair, or `@FILE` for a file with a pair on each line; empty lines and lines that begin with `#` are
    ignored. The config file has a table.
    """

    pattern = ""
    form = ""
    separator = ""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, str], ...]:
        """Read the pairs. Error messages do not repeat an invalid pair, because it may be a secret."""
        if not value.startswith("@"):
            return (self._pair(value, "", param, ctx),)
        from pathlib import Path

        name = value[1:]
        try:
            with Path(name).expanduser().open(encoding="utf-8") as file:
                lines = file.read(_MAX_FILE_SIZE).splitlines()
        except OSError as error:
            self.fail(f"cannot read {name!r}: {error.strerror}", param, ctx)
        except UnicodeDecodeError:
            self.fail(f"{name!r} is not UTF-8 text", param, ctx)
        return tuple(
            self._pair(line.strip(), f"{name}, line {number}, ", param, ctx)
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.lstrip().startswith("#")
        )

    def from_toml(self, value: Any, folder: Path) -> dict[str, str] | None:
        """Read a table of strings."""
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            return None
        return dict([self._pair(f"{name}{self.separator}{text}", "", None, None) for name, text in value.items()])

    def _pair(self, text: str, where: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        match = re.fullmatch(self.pattern, text)
        if match is None:
            self.fail(f"{where}must look like {self.form}, without line breaks", param, ctx)
        return match[1], match[2].rstrip(" \t")


class Header(_Pairs):
    """Headers of the handshake."""

    name = "header"
    toml_form = 'a table of strings, such as { Name = "value" }'
    # RFC 9110, "Field Names" and "Field Values".
    pattern = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([\t\x20-\x7e\x80-\xff]*)"
    form = "'Name: value', in Latin letters"
    separator = ": "

    def _pair(self, text: str, where: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        from ..client.network.upgrade import is_reserved

        pair = super()._pair(text, where, param, ctx)
        if is_reserved(pair[0]):
            self.fail(f"{where}the header {pair[0]} is part of the WebSocket handshake and cannot be set", param, ctx)
        return pair


class Cookie(_Pairs):
    """Cookies."""

    name = "cookie"
    toml_form = 'a table of strings, such as { name = "value" }'
    # RFC 6265, section 4.1.1, plus spaces, commas and quotes, because many servers set them.
    pattern = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([\x20-\x3a\x3c-\x7e]*)"
    form = "name=value, in ASCII and without semicolons"
    separator = "="


class HeaderText(SettingType):
    """The value of a header."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that the text fits into one line of the handshake."""
        if re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value) is None:
            self.fail("must be in Latin letters, without line breaks", param, ctx)
        return str(value)


class ColorName(SettingType):
    """One of the colors that every terminal has."""

    name = "color"
    choices = ("red", "green", "yellow", "blue", "magenta", "cyan")
    toml_form = f"one of {', '.join(choices)}, in quotes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the name."""
        if value not in self.choices:
            self.fail(f"{value!r} is not a color; use {', '.join(self.choices)}", param, ctx)
        return str(value)


class MethodPatterns(SettingType):
    """Names of methods, in which `*` matches any text."""

    name = "patterns"
    toml_form = 'an array of strings, such as ["tasks.*"]'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read names that are separated by commas, or the array that the config file has."""
        import tomllib
        from pathlib import Path

        names: Any = [name.strip() for name in value.split(",") if name.strip()]
        if value.lstrip().startswith("["):
            try:
                names = tomllib.loads(f"names = {value}")["names"]
            except tomllib.TOMLDecodeError:
                names = None
        patterns = self.from_toml(names, Path())
        if not patterns:
            self.fail("must be names that are separated by commas, such as tasks.*,users.get", param, ctx)
        return patterns

    def from_toml(self, value: Any, folder: Path) -> tuple[str, ...] | None:
        """Read an array of strings."""
        is_valid = isinstance(value, list) and all(isinstance(name, str) and name for name in value)
        return tuple(value) if is_valid else None


class FileName(Text):
    """The name of a file that the command itself opens."""

    name = "file"
    toml_form = "the name of a file in quotes"
    allows_bytes = True

    def from_toml(self, value: Any, folder: Path) -> str | None:
        """Read a name; a relative path starts at the config file's folder. The file is not read yet."""
        from pathlib import Path

        return str(folder / Path(value).expanduser()) if isinstance(value, str) and value else None

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Let the shell complete names of files."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class ReadableFile(FileName):
    """The name of a file to read."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that the file can be read, before anything is sent."""
        from pathlib import Path

        path = Path(super().convert(value, param, ctx)).expanduser()
        try:
            path.open("rb").close()
        except OSError as error:
            self.fail(f"cannot read {value!r}: {error.strerror}", param, ctx)
        return str(path)


class OutputFile(FileName):
    """The name of a file to write."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; the file is not written yet."""
        from pathlib import Path

        return str(Path(super().convert(value, param, ctx)).expanduser())


class SecretFile(ReadableFile):
    """The name of a file, or `-` for standard input."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that the file can be read."""
        return "-" if value == "-" else super().convert(value, param, ctx)


#: The types of the values of settings, by the kinds in the table of options.
SETTING_TYPES = {
    "text": Text(),
    # Not even empty text is rejected here, because the error of `parse_url` says more.
    "url": SettingType(),
    "flag": Flag(),
    "seconds": Seconds(),
    "time limit": TimeLimit(),
    "size": Size(),
    "header": Header(),
    "header text": HeaderText(),
    "cookie": Cookie(),
    "file": ReadableFile(),
    "secret file": SecretFile(),
    "output file": OutputFile(),
    "color": ColorName(),
    "patterns": MethodPatterns(),
}
