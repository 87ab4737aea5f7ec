"""The types of settings: how a value is read from the command line, and how from the config file. They need no click."""

from __future__ import annotations

import math
import os
import re
from typing import Any, TypeAlias

from ..exceptions import CommandError
from .process import file_errors

#: A value that can be written to the config file.
TOMLValue: TypeAlias = "str | float | bool | list[str]"

# Bytes of a file with headers. Some files, such as /dev/zero, have no end.
_MAX_FILE_SIZE = 1 << 20


class SettingType:
    """The type of a setting. By default it is any text."""

    #: What the config file must contain, for error messages.
    toml_form = "text in quotes"

    def read(self, text: Any) -> Any:
        """Read what the user has typed, or a default value.

        Raises:
            CommandError: The value is not valid. The message does not name the setting.
        """
        return text

    def from_toml(self, value: Any, folder: str) -> Any:
        """Read a value from the config file.

        Args:
            value: The value, as the TOML parser returns it.
            folder: The folder of the config file.

        Returns:
            What `read` returns for an option; None if the value does not have the form of `toml_form`.

        Raises:
            CommandError: The value has the right form, but is not valid.
        """
        return self.read(value) if isinstance(value, str) and value else None

    def to_toml(self, text: str) -> TOMLValue:
        """Return what the config file has for a value that the user has typed.

        Raises:
            CommandError: The value is not valid.
        """
        self.read(text)
        return text


class Text(SettingType):
    """Any text that is not empty. In a script, an empty text is usually a variable without a value."""

    #: Whether it can have bytes that are not UTF-8, which Python decodes as lone surrogates.
    allows_bytes = False

    def read(self, text: str) -> str:
        """Check that there is text."""
        if not text:
            raise CommandError("must not be empty")
        if not self.allows_bytes and any("\udc80" <= character <= "\udcff" for character in text):
            raise CommandError("is not UTF-8 text")
        return text


class _Flag(SettingType):
    """True or false. On the command line, the option itself is the value."""

    toml_form = "true or false"

    def read(self, text: str) -> bool:
        """Read a word, as `ddp config set` takes it."""
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        if text.lower() not in words:
            raise CommandError(f"must be {self.toml_form}, not {text!r}")
        return words[text.lower()]

    def from_toml(self, value: Any, folder: str) -> bool | None:
        """Read a boolean."""
        return value if isinstance(value, bool) else None

    def to_toml(self, text: str) -> bool:
        """Return the boolean."""
        return self.read(text)


class Seconds(SettingType):
    """A duration in seconds."""

    toml_form = "a number of seconds"
    #: What to write instead of an invalid number.
    hint = ""

    def read(self, text: str | float) -> float:
        """Read a number that is not negative and not infinite."""
        try:
            seconds = float(text)
        except ValueError:
            raise CommandError(f"{text!r} is not a number of seconds") from None
        if not 0 <= seconds < math.inf:
            raise CommandError(f"{text} is not a valid number of seconds{self.hint}")
        return seconds

    def from_toml(self, value: Any, folder: str) -> float | None:
        """Read a number."""
        return self.read(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def to_toml(self, text: str) -> float:
        """Return the number, without a point if it is whole."""
        seconds = self.read(text)
        return int(seconds) if seconds.is_integer() else seconds


class TimeLimit(Seconds):
    """A duration in seconds; 0 means no limit."""

    hint = "; use 0 for no limit"


class PositiveNumber(SettingType):
    """A number above 0, or also 0."""

    def __init__(self, *, or_zero: bool = False) -> None:
        self._or_zero = or_zero

    def read(self, text: str) -> float:
        """Read a number."""
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise CommandError(f"{text!r} is not a valid number")
        if number < 0 or (number == 0 and not self._or_zero):
            raise CommandError(f"{text} is not a number {'of 0 or more' if self._or_zero else 'above 0'}")
        return number


class Size(SettingType):
    """A number of bytes: `1000`, `64K`, `100M`, `2GiB`. Units are powers of 1024."""

    toml_form = 'a number of bytes, or text such as "100M"'

    def read(self, text: str) -> int:
        """Read a positive number of bytes."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
        size = 0
        if match is not None and len(text) <= 20:
            size = int(float(match[1]) * 1024 ** " KMG".index(match[2].upper() or " "))
        if not size:
            raise CommandError(f"{text!r} is not a size, such as 500K, 100M or 2G")
        return size

    def from_toml(self, value: Any, folder: str) -> int | None:
        """Read a number, or text as for the option."""
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        return self.read(value) if isinstance(value, str) else None


class Pairs(SettingType):
    """Pairs of a name and a value.

    The option has one pair, or `@FILE` for a file with a pair on each line; empty lines and lines that begin with `#` are
    ignored. The config file has a table.
    """

    pattern = ""
    form = ""
    separator = ""

    def read(self, text: str) -> tuple[tuple[str, str], ...]:
        """Read the pairs. Error messages do not repeat an invalid pair, because it may be a secret."""
        if not text.startswith("@"):
            return (self._pair(text, ""),)
        name = text[1:]
        try:
            with file_errors(f"cannot read {name!r}"), open(os.path.expanduser(name), encoding="utf-8") as file:
                lines = file.read(_MAX_FILE_SIZE).splitlines()
        except UnicodeDecodeError:
            raise CommandError(f"{name!r} is not UTF-8 text") from None
        return tuple(
            self._pair(line.strip(), f"{name}, line {number}, ")
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.lstrip().startswith("#")
        )

    def from_toml(self, value: Any, folder: str) -> dict[str, str] | None:
        """Read a table of strings."""
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            return None
        return dict([self._pair(f"{name}{self.separator}{text}", "") for name, text in value.items()])

    def to_toml(self, text: str) -> str:
        """Return the value of one pair. The whole file is checked before it is changed."""
        return text

    def _pair(self, text: str, where: str) -> tuple[str, str]:
        match = re.fullmatch(self.pattern, text)
        if match is None:
            raise CommandError(f"{where}must look like {self.form}, without line breaks")
        return match[1], match[2].rstrip(" \t")


class Header(Pairs):
    """Headers of the handshake."""

    toml_form = 'a table of strings, such as { Name = "value" }'
    # RFC 9110, "Field Names" and "Field Values".
    pattern = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([\t\x20-\x7e\x80-\xff]*)"
    form = "'Name: value', in Latin letters"
    separator = ": "

    def _pair(self, text: str, where: str) -> tuple[str, str]:
        from ..client.network.upgrade import is_reserved  # the network code loads slowly

        pair = super()._pair(text, where)
        if is_reserved(pair[0]):
            raise CommandError(f"{where}the header {pair[0]} is part of the WebSocket handshake and cannot be set")
        return pair


class Cookie(Pairs):
    """Cookies."""

    toml_form = 'a table of strings, such as { name = "value" }'
    # RFC 6265, section 4.1.1, plus spaces, commas and quotes, because many servers set them.
    pattern = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([\x20-\x3a\x3c-\x7e]*)"
    form = "name=value, in ASCII and without semicolons"
    separator = "="


class _HeaderText(SettingType):
    """The value of a header."""

    def read(self, text: str) -> str:
        """Check that the text fits into one line of the handshake."""
        if re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", text) is None:
            raise CommandError("must be in Latin letters, without line breaks")
        return text


class _ColorName(SettingType):
    """One of the colors that every terminal has."""

    choices = ("red", "green", "yellow", "blue", "magenta", "cyan")
    toml_form = f"one of {', '.join(choices)}, in quotes"

    def read(self, text: str) -> str:
        """Check the name."""
        if text not in self.choices:
            raise CommandError(f"{text!r} is not a color; use {', '.join(self.choices)}")
        return text


class _MethodPatterns(SettingType):
    """Names of methods, in which `*` matches any text."""

    toml_form = 'an array of strings, such as ["tasks.*"]'

    def read(self, text: str) -> tuple[str, ...]:
        """Read names that are separated by commas, or the array that the config file has."""
        names: Any = [name.strip() for name in text.split(",") if name.strip()]
        if text.lstrip().startswith("["):
            import tomllib  # only the config file needs it otherwise

            try:
                names = tomllib.loads(f"names = {text}")["names"]
            except tomllib.TOMLDecodeError:
                names = None
        patterns = self.from_toml(names, "")
        if not patterns:
            raise CommandError("must be names that are separated by commas, such as tasks.*,users.get")
        return patterns

    def from_toml(self, value: Any, folder: str) -> tuple[str, ...] | None:
        """Read an array of strings."""
        is_valid = isinstance(value, list) and all(isinstance(name, str) and name for name in value)
        return tuple(value) if is_valid else None

    def to_toml(self, text: str) -> list[str]:
        """Return the array."""
        return list(self.read(text))


class FileName(Text):
    """The name of a file that the command itself opens."""

    toml_form = "the name of a file in quotes"
    allows_bytes = True

    def from_toml(self, value: Any, folder: str) -> str | None:
        """Read a name; a relative path starts at the config file's folder. The file is not read yet."""
        return os.path.join(folder, os.path.expanduser(value)) if isinstance(value, str) and value else None

    def to_toml(self, text: str) -> str:
        """Return the full path."""
        return os.path.abspath(self.read(text))


class OutputFile(FileName):
    """The name of a file to write."""

    def read(self, text: str) -> str:
        """Return the name; the file is not written yet."""
        return os.path.expanduser(super().read(text))


class ReadableFile(OutputFile):
    """The name of a file to read."""

    def read(self, text: str) -> str:
        """Check that the file can be read, before anything is sent."""
        path = super().read(text)
        with file_errors(f"cannot read {text!r}"):
            open(path, "rb").close()
        return path


class SecretFile(ReadableFile):
    """The name of a file, or `-` for standard input."""

    def read(self, text: str) -> str:
        """Check that the file can be read."""
        return "-" if text == "-" else super().read(text)


#: The types of the values of settings, by the kinds in the table of options.
SETTING_TYPES: dict[str, SettingType] = {
    "text": Text(),
    # Not even empty text is rejected here, because the error of `parse_url` says more.
    "url": SettingType(),
    "flag": _Flag(),
    "seconds": Seconds(),
    "time limit": TimeLimit(),
    "size": Size(),
    "header": Header(),
    "header text": _HeaderText(),
    "cookie": Cookie(),
    "file": ReadableFile(),
    "secret file": SecretFile(),
    "output file": OutputFile(),
    "color": _ColorName(),
    "patterns": _MethodPatterns(),
}
