"""The classes of DDP messages."""

from __future__ import annotations

import msgspec

from ddpshell.protocol import messages
from ddpshell.protocol.messages import ClientMessage, Message, ServerMessage


def test_every_class_is_a_message_of_the_client_or_the_server() -> None:
    classes = {cls for cls in vars(messages).values() if isinstance(cls, type) and issubclass(cls, Message)}
    assert {*ClientMessage.__args__, *ServerMessage.__args__} == classes - {Message}


def test_every_class_is_named_after_its_msg() -> None:
    """The values of `msg` are those of DDP.md."""
    for cls in {*ClientMessage.__args__, *ServerMessage.__args__}:
        name = cls.__name__
        assert cls.__struct_config__.tag == name[0].lower() + name[1:]
        assert cls.__struct_config__.tag_field == "msg"


def test_fields_have_camel_case_names_on_the_wire() -> None:
    names = {field.encode_name for cls in ServerMessage.__args__ for field in msgspec.structs.fields(cls)}
    names |= {field.encode_name for cls in ClientMessage.__args__ for field in msgspec.structs.fields(cls)}
    assert {"randomSeed", "offendingMessage", "receivedCount"} <= names
    assert not any("_" in name for name in names)
