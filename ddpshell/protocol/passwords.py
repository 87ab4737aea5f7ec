"""Passwords as clients send them: never as they were typed (A20, A21)."""

from __future__ import annotations

import hashlib

__all__ = ["digest"]


def digest(password: str) -> dict[str, str]:
    """Hash a password as Meteor's own client does, and so as its accounts expect: `{"digest":..., "algorithm":...}` (A20).

    That is the SHA-256 of CESU-8: beyond U+FFFF each half of a surrogate pair is encoded by itself, and the digest
    is not that of UTF-8. The text is taken as it is: nothing is trimmed or normalised.
    """
    units = password.encode("utf-16-be", "surrogatepass")
    halves = "".join(chr(units[index] << 8 | units[index + 1]) for index in range(0, len(units), 2))
    return {"digest": hashlib.sha256(halves.encode("utf-8", "surrogatepass")).hexdigest(), "algorithm": "sha-256"}
