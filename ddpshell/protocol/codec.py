"""JSON text <-> DDP message: the one place that knows both.

A server's message is read in one step by msgspec. What that refuses, a legal text with a lone surrogate or
an enormous number in it or a message that is not quite DDP, is read again slowly, and comes back either as the
same message or as `UnrecognizedMessage` with the reason. No text makes `decode` raise.
"""

from __future__ import annotations

import math
import re
from typing import Final, TypeAlias, cast

import msgspec

from .. import ejson
from ..ejson import Custom, EJSONValue, ObjectID, json_text
from ..ejson.json_text import JSONValue
from ..exceptions import EJSONError
from .messages import Message, Raw, ServerMessage

__all__ = [
    "UNDEFINED_ID",
    "DocumentID",
    "UnrecognizedMessage",
    "decode",
    "decode_document_id",
    "ejson_text",
    "ejson_value",
    "encode",
    "encode_document_id",
    "json_value",
    "outermost_strings",
]


#: What an id can be. Meteor makes strings and ObjectIDs; Mongo takes more. Do not key a dict by it, for in Python
#: `True == 1`: the wire's text is the better key.
DocumentID: TypeAlias = "str | ObjectID | int | float | bool | None | Custom"


#: JavaScript's `undefined` as an id, `-` on the wire. An EJSON value, so that it can be shown, compared and sent back.
UNDEFINED_ID: Final = Custom("undefined", None)


_OBJECT_ID = re.compile("[0-9a-f]{24}")


class UnrecognizedMessage(msgspec.Struct, frozen=True):
    """A text that is no message of a DDP server. It is ignored, and counts as life (C70, C71, H3).

    Args:
        problem: Why it is none, in a few words.
        tree: What the text says, where it is JSON at all; else None.
        unknown: It is a message of a kind that we do not know.
    """

    problem: str
    tree: JSONValue = None
    unknown: bool = False

    @property
    def msg(self) -> JSONValue:
        """Its `msg`; a session counts messages that have one, known or not (R20)."""
        return self.tree.get("msg") if isinstance(self.tree, dict) else None


_server_messages: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_encoder = msgspec.json.Encoder()

# The classes by their tag.
_CLASSES: dict[str, type[ServerMessage]] = {cast(str, cls.__struct_config__.tag): cls for cls in ServerMessage.__args__}


def decode(text: str) -> ServerMessage | UnrecognizedMessage:
    """Read one message of a server, of any kind; unknown keys are ignored (C29)."""
    try:
        return _server_messages.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return _decode_slowly(text)


def encode(message: Message) -> str:
    """Write one message, of either end."""
    try:
        return _encoder.encode(message).decode()
    except UnicodeEncodeError:
        # A lone surrogate in a name or an id: escape it (E32).
        return json_text.dump(_tree_of(message))


def ejson_text(value: EJSONValue) -> Raw:
    """Write a value as the EJSON text that a message's `params`, `result` or `fields` holds.

    Raises:
        EJSONError: The value cannot be written; the message says where in it.
    """
    return Raw(json_text.dump(ejson.encode(value)).encode())


def ejson_value(text: Raw) -> EJSONValue:
    """Read a message's `params`, `result` or `fields`.

    Raises:
        EJSONError: Not EJSON, or not JSON.
    """
    tree = json_text.parse(text)
    # Every EJSON form has a key that begins with "$", and few values have any: looking for the character takes
    # a tenth of the time of the walk.
    data = bytes(text)
    return ejson.decode(tree) if b"$" in data or b"\\u0024" in data else cast(EJSONValue, tree)


def json_value(text: Raw) -> JSONValue:
    """Read a part of a message that is plain JSON, such as `error` (C28, C74).

    Raises:
        EJSONError: Not JSON.
    """
    return json_text.parse(text)


def _decode_slowly(text: str) -> ServerMessage | UnrecognizedMessage:
    try:
        tree = json_text.parse(text)
    except json_text.NestingError as error:
        return UnrecognizedMessage(str(error), outermost_strings(text))
    except EJSONError as error:
        return UnrecognizedMessage(str(error))
    if not isinstance(tree, dict) or not tree.get("msg"):
        return UnrecognizedMessage("no JSON object with a msg", tree)
    msg = tree["msg"]
    cls = _CLASSES.get(msg) if isinstance(msg, str) else None
    if cls is None:
        return UnrecognizedMessage(f"unknown message {msg!r:.60}", tree, unknown=True)
    try:
        return _message_from_tree(cls, tree)
    except (msgspec.ValidationError, EJSONError) as error:
        return UnrecognizedMessage(f"malformed {msg!r}: {error}", tree)
    except RecursionError:
        return UnrecognizedMessage(f"malformed {msg!r}: nested too deeply", tree)


def _message_from_tree(cls: type[ServerMessage], tree: dict[str, JSONValue]) -> ServerMessage:
    raw = {
        field.encode_name: Raw(json_text.dump(_finite(tree[field.encode_name])).encode())
        for field in msgspec.structs.fields(cls)
        if field.type is Raw and field.encode_name in tree
    }
    return msgspec.convert({**tree, **raw}, cls)


# A string that does not end takes all the rest: to look for others within it would take the square of its length.
_STRING_OR_MARK = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}:,]', re.DOTALL)


def outermost_strings(text: str) -> dict[str, JSONValue] | None:
    """The members of an object that are strings, whatever the others hold: whose answer it is can still be told."""
    if not text.lstrip().startswith("{"):
        return None
    strings: dict[str, JSONValue] = {}
    depth = 0
    key = previous = ""
    for match in _STRING_OR_MARK.finditer(text):
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
                # It was not JSON after all.
                return strings
            key = ""
        previous = found
    return strings


def _finite(tree: JSONValue) -> JSONValue:
    """Say EJSON's word for the infinities that a number beyond the range was read as (E22)."""
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
    """Read a message's `id` (I10).

    Raises:
        EJSONError: After `~` comes neither a number that can be told from others, nor true, false or null.
    """
    if len(text) == 24 and _OBJECT_ID.fullmatch(text):
        return ObjectID(text)
    if text.startswith("-"):
        return text[1:] if text != "-" else UNDEFINED_ID
    if text.startswith("~"):
        value = json_text.parse(text[1:])
        if isinstance(value, (str, list, dict)) or (isinstance(value, float) and not math.isfinite(value)):
            raise EJSONError(f"{text!r:.60} is no document id: ~ stands before a number, true, false or null")
        return value
    return text


def encode_document_id(value: DocumentID) -> str:
    """Write an id as a message's `id` (I11).

    Raises:
        EJSONError: No document can have this id.
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
    raise EJSONError(f"{what} is no document id; use a str, an ObjectID, a finite number, a bool or None")
