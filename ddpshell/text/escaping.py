"""Escaping of characters that are dangerous in a terminal or misleading to the reader.

A server's strings, keys, ids and error messages may contain escape sequences that move the cursor, change the window title
or write to the clipboard, and characters that reverse the order of the text or are invisible. All output for people goes
through `escape_text`, `escape_line` or `quote`, and JSON goes through `escape_json`.

These characters are escaped: the controls C0, DEL and C1, which a terminal obeys; the line and paragraph separators; the
bidirectional controls and other invisible format characters that no script needs, since they can hide text; and
surrogates, which UTF-8 cannot encode. The joiners U+200C and U+200D stay, since Persian, Hindi and many emoji need them.
"""

from __future__ import annotations

import functools
import re

_HARMFUL = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except for tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction
    "\u2028\u2029"  # line and paragraph separators
    "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # invisible: music, tags, variation selectors beyond the first 16
    "\ud800-\udfff"
)

# The low one of two surrogates that follow each other in a str. It is written as \u{...}, which does not make a pair.
_PAIR = "(?<=[\ud800-\udbff])[\udc00-\udfff]|"

_SHORT = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\"}


def escape_text(text: str) -> str:
    r"""Escape text of several lines, as in `\x1b`, `\u202e`, `\u{e0041}`. Newlines and tabs stay."""
    return text if text.isprintable() else _harmful().sub(_escaped, text)


def escape_line(text: str) -> str:
    r"""Escape text that must stay on one line, such as an error. Newlines and tabs become `\n` and `\t`."""
    return text if text.isprintable() else _harmful("\t\n").sub(_escaped_shortly, text)


def escape_json(text: str) -> str:
    r"""Escape a JSON text with JSON's own escapes, such as `\u009b`, so that it still means the same.

    In valid JSON, these characters occur only in strings.
    """
    return text if text.isprintable() else _harmful().sub(_escaped_for_json, text)


def escape_json_line(text: str) -> str:
    r"""Escape a JSON text that must stay on one line, also if it is not valid. Newlines and tabs become `\n` and `\t`."""
    return escape_json(text).replace("\n", r"\n").replace("\t", r"\t")


def quote(text: str) -> str:
    """Write a string as a literal in double quotes, with escapes."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    escaped = _harmful(r'\t\n"\\', _PAIR).sub(_escaped_shortly, text)
    return f'"{escaped}"'


@functools.cache
def _harmful(others: str = "", before: str = "") -> re.Pattern[str]:
    # Compiled when first needed, since most programs show printable text only.
    return re.compile(f"{before}[{others}{_HARMFUL}]")


def _escaped(match: re.Match[str]) -> str:
    return _escape(match[0])


def _escaped_shortly(match: re.Match[str]) -> str:
    char = match[0]
    if "\udc00" <= char <= "\udfff" and "\ud800" <= match.string[match.start() - 1 : match.start()] <= "\udbff":
        return f"\\u{{{ord(char):x}}}"
    return _SHORT.get(char) or _escape(char)


def _escaped_for_json(match: re.Match[str]) -> str:
    return _escape_for_json(match[0])


# Only a few thousand characters are harmful. A text may have each of them very often.
@functools.cache
def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\u{{{code:x}}}"


@functools.cache
def _escape_for_json(char: str) -> str:
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
