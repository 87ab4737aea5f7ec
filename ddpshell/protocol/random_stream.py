"""Meteor's random ids, from a seed or from any other source of fractions (I1 - I8).

A source is a function that gives a `float` from 0 to below 1 at each call, such as `random.SystemRandom().random`;
this module has none of its own. A client and a server that share a method's seed draw the same ids.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Alea", "Fractions", "RandomStream", "pick", "random_hex", "random_id", "random_secret"]

#: Where randomness comes from: gives a number from 0 to below 1 at each call.
Fractions: TypeAlias = Callable[[], float]

# I1: without characters that people mix up.
_ID_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
# I2
_URL_SAFE_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
_HEX_DIGITS = "0123456789abcdef"

_TO_UNIT = 2.0**-32


def pick(fractions: Fractions, characters: str, count: int) -> str:
    """Draw `count` of the characters, one fraction for each (I3)."""
    return "".join(characters[int(fractions() * len(characters))] for _ in range(count))


def random_id(fractions: Fractions) -> str:
    """Draw the id of a document, a subscription or a session: 17 characters (I1)."""
    return pick(fractions, _ID_CHARACTERS, 17)


def random_secret(fractions: Fractions) -> str:
    """Draw a login token: 43 characters (I2). The source must be one that nobody can foretell."""
    return pick(fractions, _URL_SAFE_CHARACTERS, 43)


def random_hex(fractions: Fractions, digits: int) -> str:
    """Draw hexadecimal digits, in lower case: 24 for an ObjectID, 20 for a method's seed."""
    return pick(fractions, _HEX_DIGITS, digits)


class Alea:
    """Johannes Baagøe's generator Alea, as in Meteor's `packages/random`: a source of fractions (I4).

    Args:
        seeds: Equal seeds give equal fractions, in JavaScript and here.
    """

    def __init__(self, *seeds: str | int) -> None:
        mash = _Mash()
        state = [mash(" "), mash(" "), mash(" ")]
        for seed in seeds:
            for index in range(3):
                state[index] -= mash(str(seed))
                if state[index] < 0:
                    state[index] += 1
        self._s0, self._s1, self._s2 = state
        self._carry = 1

    def __call__(self) -> float:
        """Give the next fraction."""
        t = 2091639 * self._s0 + self._carry * _TO_UNIT
        self._s0, self._s1 = self._s1, self._s2
        self._carry = int(t)
        self._s2 = t - self._carry
        return self._s2


class _Mash:
    """Baagøe's hash Mash 0.9, whose state lasts from text to text."""

    def __init__(self) -> None:
        self._n = float(0xEFC8249D)

    def __call__(self, text: str) -> float:
        n = self._n
        units = text.encode("utf-16-be", "surrogatepass")
        for index in range(0, len(units), 2):
            n += units[index] << 8 | units[index + 1]
            h = 0.02519603282416938 * n
            n = float(int(h) & 0xFFFFFFFF)
            h = (h - n) * n
            n = float(int(h) & 0xFFFFFFFF)
            n += (h - n) * 2.0**32
        self._n = n
        return (int(n) & 0xFFFFFFFF) * _TO_UNIT


class RandomStream:
    """The sources of one method call, each with a name and independent of how often the others are used (I5).

    Args:
        seed: The call's `randomSeed`.
    """

    def __init__(self, seed: str | int) -> None:
        self.seed = seed
        self._sources: dict[str, Alea] = {}

    def fractions(self, name: str = "default") -> Alea:
        """The source of that name: the same one each time, which goes on where it was."""
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = Alea(self.seed, name)
        return source

    def document_id(self, collection: str) -> str:
        """Draw the `_id` of a document inserted without one (I6)."""
        return random_id(self.fractions(f"/collection/{collection}"))

    def method_seed(self, method: str) -> str:
        """Draw the seed of a method that is called from inside this call (I5, I7)."""
        return random_hex(self.fractions(f"/rpc/{method}"), 20)
