"""The input of the fuzzer: valid and invalid texts, and invalid frames."""

from __future__ import annotations

import json
import random
import string
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ddpshell import ejson

__all__ = ["Sent", "Texts", "frame", "json_value"]

_Random: TypeAlias = random.Random

_METHODS = (
    "echo", "echo_async", "unblocked", "refuse", "become", "login", "logout", "createUser", "changePassword",
    "getNewToken", "removeOtherTokens", "nope", "toString", "constructor", "", "/documents/insert", "/documents/update",
    "/documents/remove", "/nope/insert",
)  # fmt: skip
_PUBLICATIONS = ("found", "given", "waiting", "nope", "toString", "")
_MESSAGES = (
    "connect", "connected", "failed", "method", "sub", "unsub", "ping", "pong", "result", "updated", "ready", "nosub",
    "added", "changed", "removed", "addedBefore", "movedBefore", "error", "toString", "", "DISCONNECT",
)  # fmt: skip
_KEYS = (
    "msg", "id", "name", "method", "params", "randomSeed", "version", "support", "session", "receivedCount", "fields",
    "cleared", "collection", "_id", "n", "tags", "user", "password", "resume", "digest", "algorithm", "username",
    "$date", "$binary", "$InfNaN", "$escape", "$type", "$value", "$regexp", "$flags", "$set", "$inc", "$push", "$gt",
    "$in", "$or", "$and", "$not", "$elemMatch", "$size", "$unset", "$pull", "$rename", "a.b", "a.$.b", "", "__proto__",
)  # fmt: skip
_ODD = '\x00\x07\x1b\x7f\x9b\u202e\ufeff\uffff\U0001f600"\\/{}[]$.~-'


def json_value(rnd: _Random, depth: int = 0) -> Any:
    """Return random JSON, with parts that look like EJSON or a query."""
    kind = rnd.randrange(10 if depth < 4 else 7)
    match kind:
        case 0:
            return rnd.choice((None, True, False))
        case 1 | 2:
            return rnd.choice((0, -1, 1, 1.5, -0.0, 1e300, 2**53 + 1, -(2**63), 10**40, rnd.randrange(10**6)))
        case 3:
            return rnd.choice(_KEYS + _METHODS)
        case 4 | 5:
            return text(rnd)
        case 6:
            return rnd.choice(("d1", "ann", "AQID", "507f1f77bcf86cd799439011", "oid", "Decimal", "NaN", "a+"))
        case 7:
            return [json_value(rnd, depth + 1) for _ in range(rnd.randrange(4))]
        case _:
            return {rnd.choice(_KEYS): json_value(rnd, depth + 1) for _ in range(rnd.randrange(4))}


def text(rnd: _Random) -> str:
    """Return a short text, often with unusual characters."""
    return "".join(rnd.choice(string.ascii_lowercase + _ODD) for _ in range(rnd.randrange(8)))


@dataclass(frozen=True)
class Sent:
    """A text for a live session.

    Args:
        text: The text.
        answered: The id of the call in the text, which must be answered once; None if the text is not a valid call.
    """

    text: str
    answered: str | None = None


class Texts:
    """Creates valid and invalid texts.

    Args:
        rnd: The source of randomness.
    """

    def __init__(self, rnd: _Random) -> None:
        self._rnd = rnd
        self._calls = 0
        self._kinds: list[Callable[[], Sent]] = [
            self._call, self._call, self._subscription, self._unsubscription, self._mangled, self._mangled,
            self._message, self._message, self._json, self._not_json, self._deep, self._numbers,
        ]  # fmt: skip

    def next(self) -> Sent:
        """Create a text."""
        return self._rnd.choice(self._kinds)()

    def _params(self) -> list[Any]:
        return [json_value(self._rnd) for _ in range(self._rnd.randrange(3))]

    def _call(self) -> Sent:
        self._calls += 1
        id_ = f"{text(self._rnd)}{self._calls}"
        params = self._params()
        message = {"msg": "method", "id": id_, "method": self._rnd.choice(_METHODS), "params": params}
        if self._rnd.random() < 0.1:
            message["randomSeed"] = text(self._rnd)
        if not decodes(params):
            return Sent(json.dumps(message))
        return Sent(json.dumps(message, ensure_ascii=self._rnd.random() < 0.5), id_)

    def _subscription(self) -> Sent:
        id_, name = str(self._rnd.randrange(20)), self._rnd.choice(_PUBLICATIONS)
        return Sent(json.dumps({"msg": "sub", "id": id_, "name": name, "params": self._params()}))

    def _unsubscription(self) -> Sent:
        return Sent(json.dumps({"msg": "unsub", "id": self._rnd.choice((str(self._rnd.randrange(20)), 5, None, {}))}))

    def _mangled(self) -> Sent:
        """Create a valid text, and remove, double or change parts of it. Its answer is not awaited."""
        good = list(self._rnd.choice((self._call, self._subscription))().text)
        for _ in range(self._rnd.randrange(1, 4)):
            index = self._rnd.randrange(len(good)) if good else 0
            match self._rnd.randrange(3):
                case 0:
                    del good[index : index + self._rnd.randrange(1, 9)]
                case 1:
                    good[index:index] = good[index : index + 9]
                case _:
                    good[index : index + 1] = self._rnd.choice(string.printable + _ODD)
        return Sent("".join(good))

    def _message(self) -> Sent:
        message = {key: json_value(self._rnd) for key in self._rnd.sample(_KEYS, self._rnd.randrange(5))}
        message["msg"] = self._rnd.choice(_MESSAGES) if self._rnd.random() < 0.9 else json_value(self._rnd)
        return Sent(json.dumps(message))

    def _json(self) -> Sent:
        return Sent(json.dumps(json_value(self._rnd)))

    def _not_json(self) -> Sent:
        return Sent(
            self._rnd.choice(("", " ", "{", "nul", "[1,", '{"msg"}', "\ufeff{}", "NaN", text(self._rnd), "o", "h"))
        )

    def _deep(self) -> Sent:
        depth = self._rnd.choice((10, 100, 1000, 5000))
        opening, closing = self._rnd.choice((("[", "]"), ('{"a":', "}")))
        core = opening * depth + "1" + closing * depth
        return Sent(
            self._rnd.choice((core, core[: depth + 5], f'{{"msg":"method","id":"x","method":"m","params":[{core}]}}'))
        )

    def _numbers(self) -> Sent:
        number = self._rnd.choice(
            ("1e400", "-1e400", "9" * 400, "1" + "0" * 4000, "0." + "1" * 500, "-0", "1e-999", "01")
        )
        return Sent(f'{{"msg":"sub","id":"n","name":"given","params":["c","x",{{"n":{number}}}]}}')


def decodes(params: list[Any]) -> bool:
    """Return whether params are valid EJSON. A call with invalid params is refused."""
    try:
        ejson.decode(json.loads(json.dumps(params)))
    except ValueError:
        return False
    return True


def frame(
    payload: bytes, *, opcode: int = 1, fin: bool = True, rsv: int = 0, masked: bool = True, length: int | None = None
) -> bytes:
    """Encode a frame of a client, which can be invalid.

    Args:
        payload: The payload.
        opcode: The opcode.
        fin: Whether this is the last frame of the message.
        rsv: The three reserved bits.
        masked: Whether the payload is masked.
        length: The length in the header, if it is not the payload's.
    """
    claimed = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    mask_bit = masked << 7
    if claimed < 126:
        head += bytes([mask_bit | claimed])
    elif claimed < 1 << 16:
        head += struct.pack("!BH", mask_bit | 126, claimed)
    else:
        head += struct.pack("!BQ", mask_bit | 127, claimed)
    if not masked:
        return head + payload
    mask = b"\x12\x34\x56\x78"
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
