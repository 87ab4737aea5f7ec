"""Text that came from somebody else, made harmless for a terminal and for the eye.

A server may put anything into its strings, keys, ids and error texts: sequences that move the cursor, change the
title or write the clipboard; characters that turn the order of the text round, or that nobody can see. All output
for people goes through `escape_text`, `escape_line` or `quote`, JSON through `escape_json`.

What is escaped: the controls C0, DEL and C1 (what a terminal obeys); the line and paragraph separators; the
bidirectional controls, and what else Unicode lists as format character and no script needs to be read (it is
invisible, and can hide text within text); surrogates, which no encoding can hold. The joiners U+200C and U+200D stay:
Persian, Hindi and many emoji cannot be written without them.
"""

from __future__ import annotations

import functools
import re

__all__ = ["escape_json", "escape_line", "escape_text", "quote"]

_HARMFUL = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but for tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction
    "\u2028\u2029"  # line and paragraph separators
    "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # invisible: music, tags, variation selectors beyond the first 16
    "\ud800-\udfff"
)

_SHORT = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\"}


def escape_text(text: str) -> str:
    r"""Escape for people, leaving newlines and tabs: `\x1b`, `\u202e`, `\u{e0041}`."""
    return text if text.isprintable() else _in_text().sub(_escaped, text)


def escape_line(text: str) -> str:
    r"""Escape for people what must stay on its line, such as an error: newlines and tabs become `\n` and `\t`."""
    return text if text.isprintable() else _in_line().sub(_escaped_shortly, text)


def escape_json(text: str) -> str:
    r"""Escape a JSON text as JSON does, `\u009b`: it says exactly the same, and shows nothing harmful.

    In JSON such characters stand in strings alone, so the structure need not be known.
    """
    return text if text.isprintable() else _in_text().sub(_escaped_for_json, text)


def quote(text: str) -> str:
    """Write a string as a literal of `literals`, between double quotes, with all that is harmful escaped."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{_in_quotes().sub(_escaped_shortly, text)}"'


# The patterns are compiled when first needed: most programs show plain text alone.


@functools.cache
def _in_text() -> re.Pattern[str]:
    return re.compile(f"[{_HARMFUL}]")


@functools.cache
def _in_line() -> re.Pattern[str]:
    return re.compile(f"[\t\n{_HARMFUL}]")


@functools.cache
def _in_quotes() -> re.Pattern[str]:
    # Two surrogates that make a pair when written in sequence are two characters here: the second is
    # written in the form that does not pair.
    return re.compile(rf'(?<=[\ud800-\udbff])[\udc00-\udfff]|[\t\n"\\{_HARMFUL}]')


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\u{{{code:x}}}"


def _escaped_shortly(match: re.Match[str]) -> str:
    short = _SHORT.get(match[0])
    if short is not None:
        return short
    before = match.string[match.start() - 1 : match.start()]
    if "\udc00" <= match[0] <= "\udfff" and "\ud800" <= before <= "\udbff":
        return f"\\u{{{ord(match[0]):x}}}"
    return _escaped(match)


def _escaped_for_json(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
