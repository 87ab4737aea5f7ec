"""One frozen class for each DDP message; the wire's `msg` field is its tag.

A wire field keeps its name in snake_case (`randomSeed` is `random_seed`). Values that are EJSON on the
wire (`params`, `result`, `fields`) or plain JSON of any shape (`error`, a ping's `id`) stay undecoded text,
`msgspec.Raw`, until somebody reads them: a hundred thousand `added` cost what their envelopes cost.
`ABSENT` says that a key was not there, which DDP tells apart from null (C15, S33).

Source: Meteor's `packages/ddp/DDP.md`; `receivedCount` and `disconnect`: Meteor 3.5 (R21, R25).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Raw, Struct

__all__ = [
    "ABSENT",
    "EMPTY_OBJECT",
    "Added",
    "AddedBefore",
    "Changed",
    "ClientMessage",
    "Connect",
    "Connected",
    "DataMessage",
    "Disconnect",
    "Error",
    "Failed",
    "Message",
    "Method",
    "MovedBefore",
    "Nosub",
    "Ping",
    "Pong",
    "Raw",
    "Ready",
    "Removed",
    "Result",
    "ServerMessage",
    "Sub",
    "Unsub",
    "Updated",
]

#: The value of a key that is not there.
ABSENT = Raw()

#: What `fields` is where the wire leaves it out (C41, C42).
EMPTY_OBJECT = Raw(b"{}")


class Message(Struct, frozen=True, tag_field="msg", rename="camel", omit_defaults=True, gc=False):
    """What all messages share: keys at their defaults are not sent, unknown ones are not read (C29)."""


class Connect(Message, tag="connect", frozen=True):
    """`{"msg":"connect","version":"1","support":["1","pre2","pre1"]}`, the first message of a client (C1, C2, R21)."""

    session: str | None = None
    version: str = ""
    support: tuple[str, ...] = ()
    received_count: int | None = None


class Disconnect(Message, tag="disconnect", frozen=True):
    """`{"msg":"disconnect"}`: the close that follows is wanted (R25)."""


class Method(Message, tag="method", frozen=True):
    """`{"msg":"method","id":"7","method":"addTask","params":["x"]}` (C10); `params` is an EJSON array."""

    id: str
    method: str
    params: Raw
    random_seed: str | None = None


class Sub(Message, tag="sub", frozen=True):
    """`{"msg":"sub","id":"b7Xk...","name":"tasks","params":[1]}` (C30); `params` is an EJSON array."""

    id: str
    name: str
    params: Raw


class Unsub(Message, tag="unsub", frozen=True):
    """`{"msg":"unsub","id":"b7Xk..."}` (C36)."""

    id: str


class Ping(Message, tag="ping", frozen=True):
    """`{"msg":"ping"}`, sent by either end; `id` is any JSON, echoed in the pong (H8, H10)."""

    id: Raw = ABSENT


class Pong(Message, tag="pong", frozen=True):
    """`{"msg":"pong"}`, with the ping's `id` if it had one (H8)."""

    id: Raw = ABSENT


class Connected(Message, tag="connected", frozen=True):
    """`{"msg":"connected","session":"<17 chars>"}` (C3); some servers send no session, or no string (C9)."""

    session: Any = None


class Failed(Message, tag="failed", frozen=True):
    """`{"msg":"failed","version":"pre2"}`: the server wants that version instead (C4)."""

    version: str


class Result(Message, tag="result", frozen=True):
    """`{"msg":"result","id":"7","result":...}` or with `error`: failure is having an `error`, be it null (C15, C16)."""

    id: str
    result: Raw = ABSENT
    error: Raw = ABSENT


class Updated(Message, tag="updated", frozen=True):
    """`{"msg":"updated","methods":["7"]}`: all writes of those calls have been sent as data (C13)."""

    methods: tuple[str, ...]


class Ready(Message, tag="ready", frozen=True):
    """`{"msg":"ready","subs":["id1","id2"]}`: their first documents have all been sent (C32)."""

    subs: tuple[str, ...]


class Nosub(Message, tag="nosub", frozen=True):
    """`{"msg":"nosub","id":"..."}`: the subscription ended, with `error` if it failed (C34); without `id`: S68."""

    id: str | None = None
    error: Raw = ABSENT


class Added(Message, tag="added", frozen=True):
    """`{"msg":"added","collection":"c","id":"x","fields":{"a":1}}` (C41)."""

    collection: str
    id: str
    fields: Raw = EMPTY_OBJECT


class Changed(Message, tag="changed", frozen=True):
    """`{"msg":"changed","collection":"c","id":"x","fields":{"a":1},"cleared":["b"]}` (C42)."""

    collection: str
    id: str
    fields: Raw = EMPTY_OBJECT
    cleared: tuple[str, ...] = ()


class Removed(Message, tag="removed", frozen=True):
    """`{"msg":"removed","collection":"c","id":"x"}` (C43)."""

    collection: str
    id: str


class AddedBefore(Message, tag="addedBefore", frozen=True):
    """`added` at a place: before the document `before`, or last where that is null (C46; never sent by Meteor)."""

    collection: str
    id: str
    fields: Raw = EMPTY_OBJECT
    before: str | None = None


class MovedBefore(Message, tag="movedBefore", frozen=True):
    """A document's new place (C46; never sent by Meteor)."""

    collection: str
    id: str
    before: str | None = None


class Error(Message, tag="error", frozen=True):
    """`{"msg":"error","reason":"Bad request","offendingMessage":{...}}`: a message was refused (C72, S10)."""

    reason: str = ""
    offending_message: Raw = ABSENT


ClientMessage: TypeAlias = Connect | Disconnect | Method | Sub | Unsub | Ping | Pong

DataMessage: TypeAlias = Added | Changed | Removed | AddedBefore | MovedBefore

ServerMessage: TypeAlias = DataMessage | Connected | Failed | Result | Updated | Ready | Nosub | Ping | Pong | Error
