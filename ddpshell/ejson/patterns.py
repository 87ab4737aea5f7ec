"""The syntax check for JavaScript's regular expressions.

It follows ECMAScript, "Patterns", with the additions of its Annex B, which every engine implements. Every engine rejects
the patterns that are rejected here. Some details are not checked: escapes, group names, and what flag `u` forbids.
"""

from __future__ import annotations

import functools
import re

_FLAGS = "dgimsuvy"

# The forms of "(?": non-capturing, lookahead, lookbehind, a name, or modifiers as in "(?i-m:".
_GROUP_OPENING = re.compile(r"\(\?(?:[:=!]|<[=!]|<[^>]+>|[ims]*(?:-[ims]*)?:)")
_LOOKBEHIND_OPENING = re.compile(r"\(\?<[=!]")
# The characters that do not stand for themselves everywhere.
_SYNTAX = frozenset("\\[(){*+?^$|")
_COUNT = re.compile(r"\{([0-9]+)(?:,([0-9]*))?\}")


def problem_with_flags(flags: str) -> str | None:
    """Describe what is wrong with the letters after the closing slash, or return None."""
    for position, flag in enumerate(flags):
        if flag not in _FLAGS:
            return f"unknown flag {flag!r}; JavaScript's flags are {_FLAGS}"
        if flag in flags[:position]:
            return f"flag {flag!r} is given twice"
    return "flags 'u' and 'v' exclude each other" if {"u", "v"} <= set(flags) else None


# A document with a long pattern is read when it arrives, when it changes, and when it is printed.
@functools.lru_cache(maxsize=1)
def problem_with_source(source: str, flags: str) -> str | None:
    """Describe what is wrong with the pattern between the slashes, with the position, or return None."""
    # For each open group, its position and whether a quantifier may follow it, which is not so for a lookbehind.
    groups: list[tuple[int, bool]] = []
    # Whether a quantifier may come next.
    repeatable = False
    position, size = 0, len(source)
    while position < size:
        char = source[position]
        start = position
        position += 1
        # The order of these tests is that of the frequency of the characters.
        if char not in _SYNTAX:
            repeatable = True
        elif char in "*+?" or (char == "{" and _COUNT.match(source, start)):
            if not repeatable:
                return f"the {char} at position {start} has nothing to repeat"
            if char == "{" and (count := _COUNT.match(source, start)):
                # As floats, since `int` rejects thousands of digits (E31).
                if count[2] and float(count[2]) < float(count[1]):
                    return f"the numbers at position {start} are out of order"
                position = count.end()
            if position < size and source[position] == "?":  # lazy
                position += 1
            repeatable = False
        elif char == "(":
            is_special = position < size and source[position] == "?"
            groups.append((start, not (is_special and _LOOKBEHIND_OPENING.match(source, start))))
            if is_special:
                opening = _GROUP_OPENING.match(source, start)
                if opening is None:
                    return f"the group at position {start} begins in a way that JavaScript does not know"
                position = opening.end()
            repeatable = False
        elif char == ")":
            if not groups:
                return f"the ) at position {start} closes nothing"
            _, repeatable = groups.pop()
        elif char == "\\":
            if position == size:
                return "a backslash at the end escapes nothing; write \\\\ for the character itself"
            repeatable = source[position] not in "bB"
            position += 1
        elif char == "[":
            end = _end_of_class(source, start, nested="v" in flags)
            if end is None:
                return f"the [ at position {start} is never closed"
            position = end
            repeatable = True
        else:
            # A "{" without a number stands for itself.
            repeatable = char == "{"
    return f"the ( at position {groups[0][0]} is never closed" if groups else None


def _end_of_class(source: str, start: int, *, nested: bool) -> int | None:
    """Return the index after the `]` that closes the class opened at `start`. Classes nest with flag `v` only."""
    depth = 0
    position = start
    while position < len(source):
        char = source[position]
        position += 1
        if char == "\\":
            position += 1
        elif char == "[" and (nested or not depth):
            depth += 1
        elif char == "]":
            depth -= 1
            if not depth:
                return position
    return None
