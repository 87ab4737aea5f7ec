"""SockJS framing: the envelope of DDP messages on a WebSocket at `/sockjs/<server>/<session>/websocket` (U9-U13).

A client reads with `unframe` and writes with `frame`. A server reads with `unframe_from_client` and writes with
`frame_for_client`. A client must not write before it has received `Open` (U11).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TypeAlias, TypeGuard

from msgspec import Struct

from ..ejson import JSONValue, json_text
from ..exceptions import EJSONError, RemoteProtocolError


class Open(Struct, frozen=True):
    """`o`: the session is open. It is the first frame, and comes once."""


class Heartbeat(Struct, frozen=True):
    """`h`: the server is alive."""


class Messages(Struct, frozen=True):
    """`a["...","..."]`: DDP messages, in order."""

    texts: tuple[str, ...]


class Close(Struct, frozen=True):
    """`c[3000,"Go away!"]`: the server is about to close the connection, for the given reason (U13)."""

    code: int
    reason: str

    @property
    def text(self) -> str:
        """The text of the frame."""
        return "c" + json_text.dump([self.code, self.reason])


class Ignored(Struct, frozen=True):
    """An unknown or invalid frame. Like every frame it shows that the server is alive."""

    text: str


#: All frames of a server.
Frame: TypeAlias = Open | Heartbeat | Messages | Close | Ignored

OPEN_FRAME: Final = "o"
HEARTBEAT_FRAME: Final = "h"

NORMAL_CLOSURE: Final = Close(1000, "Normal closure")
BROKEN_FRAMING: Final = Close(3000, "Broken framing.")


def first_text(head: str) -> str:
    """Return the beginning of the only message in a frame, from the beginning of the frame; "" if it has several."""
    if not head.startswith('a["'):
        return ""
    text = head[3:]
    # An unescaped quote ends the first of several messages. The text may end inside an escape sequence.
    for cut in range(6):
        if cut == 0 or text[-cut:].startswith("\\"):
            with suppress(EJSONError):
                return str(json_text.parse(f'"{text[: len(text) - cut]}"'))
    return ""


def unframe(text: str) -> Frame:
    """Read one WebSocket text message from a server (U10). It never raises: an invalid frame is `Ignored`."""
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
    """Read one WebSocket text message from a client; return its DDP messages in order (U11).

    Raises:
        RemoteProtocolError: The text is neither a string nor an array of strings in JSON. Close the connection with the code
            and the reason of `BROKEN_FRAMING`.
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
