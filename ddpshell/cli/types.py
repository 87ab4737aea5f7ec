"""What the values of options can be, and how they are read."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["Cookie", "Header", "HeaderText", "ReadableFile", "Seconds", "SecretFile", "Size", "size_of"]

# Of a file with headers: some files have no end.
_MAX_SIZE = 1 << 20


class Seconds(click.ParamType[float]):
    """A time, in seconds; 0 stands for no limit."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; negative, infinite and other numbers that are no time are refused."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        if not 0 <= seconds < math.inf:
            self.fail(f"{value} is no number of seconds; 0 means no limit", param, ctx)
        return seconds


class Size(click.ParamType[int]):
    """A number of bytes: `1000`, `64K`, `100M`, `2GiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it; what is not a positive number of bytes is refused."""
        if isinstance(value, int):
            return value
        size = size_of(value)
        if size is None:
            self.fail(f"{value!r} is not a size, such as 500K, 100M or 2G", param, ctx)
        return size


def size_of(text: str) -> int | None:
    """The bytes that a text such as `100M` means, units being powers of 1024; None if it is not a size."""
    import re

    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None or len(text) > 20:
        return None
    size = int(float(match[1]) * 1024 ** " KMG".index(match[2].upper() or " "))
    return size or None


class _Pairs(click.ParamType[tuple[tuple[str, str], ...]]):
    """A name and a value, or `@FILE` with one of them on each line; lines that are empty or begin with `#` are none."""

    pattern = ""
    form = ""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, str], ...]:
        """Read it, or them. What is refused is not repeated: it may be a secret."""
        if not value.startswith("@"):
            return (self._pair(value, "", param, ctx),)
        from pathlib import Path

        name = value[1:]
        try:
            with Path(name).expanduser().open(encoding="utf-8") as file:
                lines = file.read(_MAX_SIZE).splitlines()
        except OSError as error:
            self.fail(f"cannot read {name!r}: {error.strerror}", param, ctx)
        except UnicodeDecodeError:
            self.fail(f"{name!r} is not UTF-8 text", param, ctx)
        return tuple(
            self._pair(line.strip(), f"{name}, line {number}, ", param, ctx)
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.lstrip().startswith("#")
        )

    def _pair(self, text: str, where: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        match = re.fullmatch(self.pattern, text)
        if match is None:
            self.fail(f"{where}must look like {self.form}, without line breaks", param, ctx)
        return match[1], match[2].rstrip(" \t")


class Header(_Pairs):
    """Headers of the handshake, as (name, value)."""

    name = "header"
    # RFC 9110, "Field Names" and "Field Values".
    pattern = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([\t\x20-\x7e\x80-\xff]*)"
    form = "'Name: value', in Latin letters"

    def _pair(self, text: str, where: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        from ..client.network.upgrade import is_reserved

        pair = super()._pair(text, where, param, ctx)
        if is_reserved(pair[0]):
            self.fail(f"{where}the header {pair[0]} belongs to the WebSocket handshake and cannot be set", param, ctx)
        return pair


class HeaderText(click.ParamType[str]):
    """The value of a header."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that it stays on its line."""
        if re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value) is None:
            self.fail("must be of Latin letters, without line breaks", param, ctx)
        return str(value)


class Cookie(_Pairs):
    """Cookies, as (name, value)."""

    name = "cookie"
    # RFC 6265, section 4.1.1, with spaces, commas and quotes, which servers set all the same.
    pattern = r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([\x20-\x3a\x3c-\x7e]*)"
    form = "name=value, in ASCII and without semicolons"


class ReadableFile(click.ParamType[str]):
    """A file's name."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that it can be read, before anything is sent."""
        from pathlib import Path

        path = Path(value).expanduser()
        try:
            path.open("rb").close()
        except OSError as error:
            self.fail(f"cannot read {value!r}: {error.strerror}", param, ctx)
        return str(path)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Have the shell complete the names of files."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class SecretFile(ReadableFile):
    """A file's name, or `-` for standard input."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that it can be read."""
        return "-" if value == "-" else super().convert(value, param, ctx)
