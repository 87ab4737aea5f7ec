"""The classes of messages."""

from __future__ import annotations

import msgspec

from ddpshell.protocol import messages
from ddpshell.protocol.messages import ClientMessage, Message, ServerMessage


def test_every_class_is_sent_by_one_end_or_the_other() -> None:
    classes = {cls for cls in vars(messages).values() if isinstance(cls, type) and issubclass(cls, Message)}
    assert {*ClientMessage.__args__, *ServerMessage.__args__} == classes - {Message}


def test_tags_are_the_words_of_the_protocol() -> None:
    """DDP.md: a class's name is its `msg`."""
    for cls in {*ClientMessage.__args__, *ServerMessage.__args__}:
        name = cls.__name__
        assert cls.__struct_config__.tag == name[0].lower() + name[1:]
        assert cls.__struct_config__.tag_field == "msg"


def test_wire_fields_keep_their_names_in_camel_case() -> None:
    names = {field.encode_name for cls in ServerMessage.__args__ for field in msgspec.structs.fields(cls)}
    names |= {field.encode_name for cls in ClientMessage.__args__ for field in msgspec.structs.fields(cls)}
    assert {"randomSeed", "offendingMessage", "receivedCount"} <= names
    assert not any("_" in name for name in names)
