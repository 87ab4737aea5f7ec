"""SockJS framing on a WebSocket: what stands around DDP messages at `/sockjs/<server>/<session>/websocket` (U9 - U13).

A client reads with `unframe` and writes with `frame`; a server has a pair of its own, `unframe_from_client` and `frame_for_client`.
A client may not write before it has read `Open` (U11).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TypeAlias, TypeGuard

from msgspec import Struct

from ..ejson import JSONValue, json_text
from ..exceptions import EJSONError, RemoteProtocolError

__all__ = [
    "BROKEN_FRAMING",
    "HEARTBEAT_FRAME",
    "NORMAL_CLOSURE",
    "OPEN_FRAME",
    "Close",
    "Frame",
    "Heartbeat",
    "Ignored",
    "Messages",
    "Open",
    "first_text",
    "frame",
    "frame_for_client",
    "unframe",
    "unframe_from_client",
]


class Open(Struct, frozen=True):
    """The session is open. It comes first, and once."""


class Heartbeat(Struct, frozen=True):
    """A sign of life, to be ignored otherwise."""


class Messages(Struct, frozen=True):
    """DDP messages, to be handled in order."""

    texts: tuple[str, ...]


class Close(Struct, frozen=True):
    """The server is about to close, and says why (U13)."""

    code: int
    reason: str

    @property
    def text(self) -> str:
        """The frame that a server sends before it closes the WebSocket."""
        return "c" + json_text.dump([self.code, self.reason])


class Ignored(Struct, frozen=True):
    """A frame that says nothing we know. Like every frame it counts as life."""

    text: str


#: What a server may say.
Frame: TypeAlias = Open | Heartbeat | Messages | Close | Ignored

OPEN_FRAME: Final = "o"
HEARTBEAT_FRAME: Final = "h"

NORMAL_CLOSURE: Final = Close(1000, "Normal closure")
BROKEN_FRAMING: Final = Close(3000, "Broken framing.")


def first_text(head: str) -> str:
    """How the message begins of which a frame holds no other, from the frame's beginning; "" if there are several."""
    if not head.startswith('a["'):
        return ""
    text = head[3:]
    # A quote that is not escaped ends the first of several messages. An escape at the end may be cut off.
    for cut in range(6):
        if cut == 0 or text[-cut:].startswith("\\"):
            with suppress(EJSONError):
                return str(json_text.parse(f'"{text[: len(text) - cut]}"'))
    return ""


def unframe(text: str) -> Frame:
    """Read one WebSocket text message from a server (U10). None is an error: what makes no sense is `Ignored`."""
    if text == OPEN_FRAME:
        return Open()
    if text == HEARTBEAT_FRAME:
        return Heartbeat()
    kind = text[:1]
    if kind not in ("a", "m", "c"):
        return Ignored(text)
    try:
        content = json_text.parse(text[1:])
    except EJSONError:
        return Ignored(text)
    if kind == "a" and _is_texts(content):
        return Messages(tuple(content))
    if kind == "m" and isinstance(content, str):
        return Messages((content,))
    if kind == "c" and isinstance(content, list) and len(content) >= 2:
        code, reason = content[:2]
        if isinstance(code, int) and isinstance(reason, str):
            return Close(code, reason)
    return Ignored(text)


def frame(texts: Sequence[str]) -> str:
    """Write DDP messages as one WebSocket text message to a server (U11)."""
    return json_text.dump(list(texts))


def unframe_from_client(text: str) -> tuple[str, ...]:
    """Read one WebSocket text message from a client: its DDP messages, in order (U11).

    Raises:
        RemoteProtocolError: Neither a string nor an array of strings in JSON. Send `BROKEN_FRAMING`, and close with its code.
    """
    if not text:
        return ()
    try:
        content = json_text.parse(text)
    except EJSONError as error:
        raise RemoteProtocolError(f"broken SockJS framing: {error}") from None
    if isinstance(content, str):
        return (content,)
    if not _is_texts(content):
        raise RemoteProtocolError("broken SockJS framing: neither a string nor an array of strings")
    return tuple(content)


def frame_for_client(texts: Sequence[str]) -> str:
    """Write DDP messages as one WebSocket text message to a client (U10)."""
    return "a" + json_text.dump(list(texts))


def _is_texts(content: JSONValue) -> TypeGuard[list[str]]:
    return isinstance(content, list) and all(isinstance(item, str) for item in content)
