"""DDP messages and their parts as JSON text, in both directions.

`decode` reads a server's message in one step with msgspec. A text that msgspec rejects is read again by slower code: valid
JSON with a lone surrogate or a huge number becomes the same message, and any other text an `UnrecognizedMessage`
with a reason.

The ids of documents have a text form of their own in data messages (I10-I12): `encode_document_id`. In params and results,
ids are EJSON like any other value (I13).
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec

from .. import ejson
from ..ejson import Custom, EJSONValue, ObjectID, json_text
from ..ejson.json_text import JSONValue
from ..exceptions import EJSONError
from .messages import ClientMessage, Message, Raw, ServerMessage

#: The id of a document. Meteor generates strings and ObjectIDs; Mongo allows more. Do not use it as the key of a dict,
#: because `True == 1` in Python; use the text form instead.
DocumentID: TypeAlias = "str | ObjectID | int | float | bool | None | Custom"


#: The id `undefined` of JavaScript, `-` on the wire. It is an EJSON value, so it can be printed, compared and sent.
UNDEFINED_ID: Final = Custom("undefined", None)


_OBJECT_ID = re.compile("[0-9a-f]{24}")


AnyMessage = TypeVar("AnyMessage", bound=Message)


class UnrecognizedMessage(msgspec.Struct, frozen=True):
    """A text that is not a DDP message of its sender. It is ignored, but shows that the server is alive (C70, C71, H3).

    Args:
        problem: The reason, in a few words.
        tree: The JSON value of the text; None if the text is not JSON.
        unknown: Whether the text is a message of an unknown kind.
    """

    problem: str
    tree: JSONValue = None
    unknown: bool = False

    @property
    def msg(self) -> JSONValue:
        """The `msg` key. A session counts every message with this key, known or not (R20)."""
        return self.tree.get("msg") if isinstance(self.tree, dict) else None


_server_messages: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_encoder = msgspec.json.Encoder()

# The classes by the value of `msg`.
_CLASSES: dict[str, type[ServerMessage]] = {cast(str, cls.__struct_config__.tag): cls for cls in ServerMessage.__args__}
_CLIENT_CLASSES: dict[str, type[ClientMessage]] = {
    cast(str, cls.__struct_config__.tag): cls for cls in ClientMessage.__args__
}


# Few programs need these two.
@functools.cache
def _client_messages() -> msgspec.json.Decoder[ClientMessage]:
    return msgspec.json.Decoder(ClientMessage)


@functools.cache
def _members() -> msgspec.json.Decoder[dict[str, Raw]]:
    return msgspec.json.Decoder(dict[str, Raw])


def decode(text: str) -> ServerMessage | UnrecognizedMessage:
    """Read one message of a server. It never raises; unknown keys are ignored (C29)."""
    try:
        return _server_messages.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return _decode_slowly(text, _CLASSES)


def decode_all(texts: Sequence[str]) -> list[ServerMessage | UnrecognizedMessage]:
    """Read many messages of a server, as `decode` does."""
    try:
        return list(map(_server_messages.decode, texts))
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return list(map(decode, texts))


def decode_client(text: str) -> ClientMessage | UnrecognizedMessage:
    """Read one message of a client, for a view of what it sent. It never raises; missing `params` are `[]`."""
    try:
        return _client_messages().decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return _decode_slowly(text, _CLIENT_CLASSES)


def encode(message: Message) -> str:
    """Write one message of a client or a server."""
    try:
        return _encoder.encode(message).decode()
    except UnicodeEncodeError:
        # A name or an id contains a lone surrogate, which JSON can escape (E32).
        return json_text.dump(_tree_of(message))


def ejson_text(value: EJSONValue) -> Raw:
    """Write a value as EJSON text, for the `params`, `result` or `fields` of a message.

    Raises:
        EJSONError: The value is not an EJSON value; the message says which part of it.
    """
    return Raw(json_text.dump(ejson.encode(value)).encode())


def ejson_value(text: Raw | bytes) -> EJSONValue:
    """Read the EJSON text in the `params`, `result` or `fields` of a message.

    Raises:
        EJSONError: The text is not valid EJSON.
    """
    tree: Any = json_text.parse(text)
    # Every special EJSON form has a key that begins with "$", and few values have one. Searching for the character takes a
    # tenth of the time of decoding.
    data = bytes(text)
    return ejson.decode(tree) if b"$" in data or (b"\\" in data and b"\\u0024" in data) else tree


def json_value(text: Raw) -> JSONValue:
    """Read a part of a message that is plain JSON, such as `error` (C28, C74).

    Raises:
        EJSONError: The text is not valid JSON.
    """
    return json_text.parse(text)


def _decode_slowly(text: str, classes: Mapping[str, type[AnyMessage]]) -> AnyMessage | UnrecognizedMessage:
    try:
        tree = json_text.parse(text)
    except json_text.NestingError as error:
        return UnrecognizedMessage(str(error), outermost_strings(text))
    except EJSONError as error:
        return UnrecognizedMessage(str(error))
    if not isinstance(tree, dict) or not tree.get("msg"):
        return UnrecognizedMessage("not a JSON object with a msg", tree)
    msg = tree["msg"]
    cls = classes.get(msg) if isinstance(msg, str) else None
    if cls is None:
        return UnrecognizedMessage(f"unknown message {msg!r:.60}", tree, unknown=True)
    if msg in ("method", "sub"):
        tree.setdefault("params", [])
    try:
        return _message_from_tree(cls, tree)
    except (msgspec.ValidationError, EJSONError) as error:
        return UnrecognizedMessage(f"malformed {msg!r}: {error}", tree)
    except RecursionError:
        return UnrecognizedMessage(f"malformed {msg!r}: nested too deeply", tree)


def _message_from_tree(cls: type[AnyMessage], tree: dict[str, JSONValue]) -> AnyMessage:
    raw = {
        field.encode_name: Raw(json_text.dump(_finite(tree[field.encode_name])).encode())
        for field in msgspec.structs.fields(cls)
        if field.type is Raw and field.encode_name in tree
    }
    return msgspec.convert({**tree, **raw}, cls)


# An unterminated string matches all the rest: searching for other strings inside it would take quadratic time.
# It is not compiled yet, because few programs need it.
_STRING_OR_MARK = r'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}:,]'


def outermost_strings(text: str) -> dict[str, JSONValue] | None:
    """Return the members of a JSON object that are strings, even if the text is incomplete or nested too deeply to be parsed."""
    if not text.lstrip().startswith("{"):
        return None
    strings: dict[str, JSONValue] = {}
    depth = 0
    key = previous = ""
    for match in re.finditer(_STRING_OR_MARK, text):
        found = match[0]
        if found in "[{":
            depth += 1
        elif found in "]}":
            depth -= 1
        elif depth == 1 and found == ":":
            key = previous
        elif depth == 1 and found == ",":
            key = ""
        elif depth == 1 and key:
            try:
                strings[cast(str, json_text.parse(key))] = json_text.parse(found)
            except EJSONError:
                # The text is not JSON.
                return strings
            key = ""
        previous = found
    return strings


def member_sizes(text: Raw) -> dict[str, int]:
    """Return how many bytes each member of a JSON object has: its key with quotes, and its value as it is written.

    The names of the members are unescaped; the colon and spaces do not count. A text that is not an object has no members.
    """
    try:
        sizes = {key: len(key) + 2 + len(value) for key, value in _members().decode(text).items()}
    except (msgspec.MsgspecError, RecursionError):
        sizes = {}
    # Between compact members there are only a colon for each, commas and braces. Any difference shows spaces, or keys with
    # escape sequences or other letters than those of ASCII.
    if sum(sizes.values()) + 2 * len(sizes) + 1 == len(text):
        return sizes
    sizes = {}
    for key, value in _scan_members(bytes(text).decode("utf-8", "replace")):
        try:
            name = json_text.parse(key)
        except EJSONError:
            return {}
        if isinstance(name, str):
            sizes[name] = sizes.get(name, 0) + len(key.encode()) + len(value.encode())
    return sizes


def _scan_members(text: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of the key and the value of each member of a JSON object."""
    depth = start = 0
    key = ""
    for match in re.finditer(_STRING_OR_MARK, text):
        found = match[0]
        if found in "[{":
            depth += 1
            start = match.end() if depth == 1 else start
            continue
        depth -= found in "]}"
        if found == ":" and depth == 1:
            key, start = text[start : match.start()].strip(), match.end()
        elif (found == "," and depth == 1) or (found in "]}" and depth == 0):
            if key:
                yield key, text[start : match.start()].strip()
            key, start = "", match.end()


def _finite(tree: JSONValue) -> JSONValue:
    """Replace infinities, as which numbers beyond the range of a float were read, by their EJSON form (E22)."""
    if isinstance(tree, float) and math.isinf(tree):
        return {"$InfNaN": 1 if tree > 0 else -1}
    if isinstance(tree, list):
        return [_finite(item) for item in tree]
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    return tree


def _tree_of(message: Message) -> JSONValue:
    tree: dict[str, JSONValue] = {"msg": cast(str, message.__struct_config__.tag)}
    for field in msgspec.structs.fields(message):
        value = getattr(message, field.name)
        if value is not field.default:
            tree[field.encode_name] = json_text.parse(value) if isinstance(value, Raw) else value
    return tree


def decode_document_id(text: str) -> DocumentID:
    """Read the `id` of a data message (I10).

    Raises:
        EJSONError: The text begins with `~`, and the rest is not a finite number, true, false or null.
    """
    if len(text) == 24 and _OBJECT_ID.fullmatch(text):
        return ObjectID(text)
    if text.startswith("-"):
        return text[1:] if text != "-" else UNDEFINED_ID
    if text.startswith("~"):
        value = json_text.parse(text[1:])
        if isinstance(value, (str, list, dict)) or (isinstance(value, float) and not math.isfinite(value)):
            raise EJSONError(f"{text!r:.60} is not a document id: ~ must precede a finite number, true, false or null")
        return value
    return text


def encode_document_id(value: DocumentID) -> str:
    """Write an id as the `id` of a data message (I11).

    Raises:
        EJSONError: The value cannot be the id of a document.
    """
    if isinstance(value, str):
        return f"-{value}" if value.startswith(("-", "~", "{")) or _OBJECT_ID.fullmatch(value) else value
    if isinstance(value, ObjectID):
        return value.hex
    if value is None:
        return "~null"
    if isinstance(value, bool):
        return "~true" if value else "~false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return f"~{ejson.js_number(value)}"
    if value == UNDEFINED_ID:
        return "-"
    what = repr(value) if isinstance(value, float) else type(value).__name__
    raise EJSONError(f"{what} is not a document id; use a str, an ObjectID, a finite number, a bool or None")
