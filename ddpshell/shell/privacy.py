"""Which lines nobody should find later: those with secrets, and those that begin with a space."""

from __future__ import annotations

import re

from ..protocol.ejson import EJSONValue
from ..protocol.secrets import mask, mask_params
from .parser import Line, Word, parse

__all__ = ["is_private"]

_CREDENTIALS = re.compile(r"://[^/\s@]*:[^/\s@]*@")


def is_private(text: str) -> bool:
    """Whether a text must not be kept: it begins with a space, logs in, or holds what looks like a secret."""
    if text.startswith((" ", "\t")):
        return True
    lines = parse(text)
    return any(_is_private(line) for line in lines)


def _is_private(line: Line) -> bool:
    name = line.words[0].text
    # Half a login, or one with a slip in it, is as bad as a whole one.
    if name.lower().startswith("login") or _CREDENTIALS.search(line.source):
        return True
    if line.problem is not None:
        return mask(line.source) != line.source
    method, params = _call_of(line.words)
    return mask_params(method, params) is not params


def _call_of(words: tuple[Word, ...]) -> tuple[str, list[EJSONValue]]:
    values = [word.value for word in words[1:]]
    if words[0].text == "apply" and len(values) > 1 and isinstance(values[1], list):
        return words[1].name, values[1]
    if words[0].text in ("call", "apply", "sub") and values:
        return words[1].name, values[1:]
    return "", values
