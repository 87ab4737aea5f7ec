"""Meteor's random ids (I1-I8).

A source of randomness is a function that returns a `float` from 0 up to, but not including, 1, such as
`random.SystemRandom().random`. This module has no source except `Alea`, which computes numbers from a seed: a client and
a server that share the seed of a method call generate the same ids.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

#: A source of randomness: each call returns a number from 0 up to, but not including, 1.
RandomSource: TypeAlias = Callable[[], float]

# Without characters that look alike (I1).
_ID_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
# I2
_URL_SAFE_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
_HEX_DIGITS = "0123456789abcdef"

_TO_UNIT = 2.0**-32


def pick(random: RandomSource, characters: str, count: int) -> str:
    """Return `count` random characters; each takes one number from the source (I3)."""
    return "".join(characters[int(random() * len(characters))] for _ in range(count))


def random_id(random: RandomSource) -> str:
    """Return a random id of 17 characters, for a document, a subscription or a session (I1)."""
    return pick(random, _ID_CHARACTERS, 17)


def random_secret(random: RandomSource) -> str:
    """Return a random login token of 43 characters (I2). The source must be unpredictable, such as `SystemRandom`."""
    return pick(random, _URL_SAFE_CHARACTERS, 43)


def random_hex(random: RandomSource, digits: int) -> str:
    """Return random hexadecimal digits in lower case: 24 for an ObjectID, 20 for the seed of a method."""
    return pick(random, _HEX_DIGITS, digits)


class Alea:
    """Johannes Baagøe's generator Alea, as in Meteor's `packages/random` (I4).

    Args:
        seeds: The seed. Equal seeds give the same numbers here and in JavaScript.
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
        """Return the next number."""
        t = 2091639 * self._s0 + self._carry * _TO_UNIT
        self._s0, self._s1 = self._s1, self._s2
        self._carry = int(t)
        self._s2 = t - self._carry
        return self._s2


class _Mash:
    """Baagøe's hash function Mash 0.9. Its state carries over from one text to the next."""

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
    """The named sources of one method call. How often one source is used does not affect the others (I5).

    Args:
        seed: The `randomSeed` of the call.
    """

    def __init__(self, seed: str | int) -> None:
        self.seed = seed
        self._sources: dict[str, Alea] = {}

    def source(self, name: str = "default") -> Alea:
        """Return the source with that name. It continues where its previous use stopped."""
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = Alea(self.seed, name)
        return source

    def document_id(self, collection: str) -> str:
        """Return the `_id` for the next document that is inserted without one (I6)."""
        return random_id(self.source(f"/collection/{collection}"))

    def method_seed(self, method: str) -> str:
        """Return the seed for a method that is called from inside this call (I5, I7)."""
        return random_hex(self.source(f"/rpc/{method}"), 20)
