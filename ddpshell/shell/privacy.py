"""Which lines nobody should find later: those with secrets, and those that begin with a space."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..ejson import EJSONValue
from ..protocol.secrets import mask, mask_params, signs_in
from .parser import Line, Word, parse

__all__ = ["is_private"]

# Whoever a URL names as its user may be a token.
_CREDENTIALS = re.compile(r"://[^\s/?#@]+@")
# Without a scheme, as `connect` takes it.
_USERINFO = re.compile(r"[^\s/?#]+@")


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
        return mask(line.source) != line.source or any(signs_in(word) for word in line.source.split()[1:2])
    if name == "connect" and any(_USERINFO.match(word.text) for word in line.words[1:]):
        return True
    return any(mask_params(method, params) is not params for method, params in _readings(line.words))


def _readings(words: tuple[Word, ...]) -> Iterator[tuple[str, list[EJSONValue]]]:
    """What a line may call, with its arguments: a misspelled command may have been meant as a call."""
    values = [word.value for word in words[1:]]
    if words[0].text not in ("call", "apply", "sub"):
        yield "", values
    if words[0].text == "apply" and len(values) > 1 and isinstance(values[1], list):
        yield words[1].name, values[1]
    elif values:
        yield words[1].name, values[1:]
