"""Draws the screen of a terminal as SVG.

The picture is plain text with a style for each run of characters, one line of the file for each line of the screen, so
that two pictures can be compared as transcripts are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape

from pyte.screens import Char

__all__ = ["svg"]

_COLUMNS = 80
_CHARACTER, _LINE, _MARGIN = 8.4, 19, 16
_BACKGROUND, _FOREGROUND = "#16181d", "#d7dae0"

#: The sixteen colors of a terminal, by pyte's names.
_COLORS = {
    "black": "#16181d", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b",
    "blue": "#61afef", "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d7dae0",
    "brightblack": "#7f8694", "brightred": "#ef8a92", "brightgreen": "#b5d99a", "brightbrown": "#f0d399",
    "brightblue": "#7cc0ff", "brightmagenta": "#d69bea", "brightcyan": "#7fd3dc", "brightwhite": "#ffffff",
}  # fmt: skip


def svg(command: str, lines: Sequence[Sequence[tuple[Char, str]]]) -> str:
    """Draw a terminal: the typed command, and the screen below it.

    Args:
        command: The command, with or without the `$ ` of a transcript.
        lines: Runs of text with their styles, line by line.
    """
    # Trailing spaces are removed, because their number depends on the length of a duration.
    rows = [
        _plain(f"$ {command.removeprefix('$ ')}"),
        *("".join(itertools.starmap(_run, line)).rstrip() for line in lines),
    ]
    width, height = _COLUMNS * _CHARACTER + 2 * _MARGIN, len(rows) * _LINE + 2 * _MARGIN
    texts = "\n".join(
        f'<text x="{_MARGIN}" y="{_MARGIN + 14 + number * _LINE}" xml:space="preserve">{row}</text>'
        for number, row in enumerate(rows)
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" height="{height}">
<style>text {{ font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: {_FOREGROUND} }}</style>
<rect width="100%" height="100%" rx="8" fill="{_BACKGROUND}"/>
{texts}
</svg>
"""


def _run(style: Char, text: str) -> str:
    foreground, background = style.fg, style.bg
    if style.reverse:
        foreground, background = background, foreground
    attributes = []
    if foreground != "default" or background != "default":
        attributes.append(f'fill="{_color(foreground, _FOREGROUND)}"')
    if style.bold:
        attributes.append('font-weight="bold"')
    if style.underscore:
        attributes.append('text-decoration="underline"')
    plain = _plain(text)
    return f"<tspan {' '.join(attributes)}>{plain}</tspan>" if attributes and text.strip() else plain


def _plain(text: str) -> str:
    return escape(text, quote=False)


def _color(name: str, default: str) -> str:
    # Colors beyond the sixteen are hexadecimal digits.
    return default if name == "default" else _COLORS.get(name, f"#{name}")
