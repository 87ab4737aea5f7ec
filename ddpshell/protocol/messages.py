"""One frozen class for each DDP message. The class is chosen by the `msg` key on the wire.

Fields have the names of the wire keys in snake_case: `randomSeed` is `random_seed`. Values that are EJSON on the wire
(`params`, `result`, `fields`), or JSON of any shape (`error`, the `id` of a ping), are kept as undecoded text,
`msgspec.Raw`, until they are read: a hundred thousand `added` cost only what their envelopes cost. `ABSENT` stands for a
missing key, which DDP distinguishes from null (C15, S33).

Source: Meteor's `packages/ddp/DDP.md`; for `receivedCount` and `disconnect`, Meteor 3.5 (R21, R25).
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

#: The value of a missing key.
ABSENT = Raw()

#: The value of a missing `fields` (C41, C42).
EMPTY_OBJECT = Raw(b"{}")


class Message(Struct, frozen=True, tag_field="msg", rename="camel", omit_defaults=True, gc=False):
    """The base class. Keys with default values are not sent, and unknown keys are ignored (C29)."""


class Connect(Message, tag="connect", frozen=True):
    """`{"msg":"connect","version":"1","support":["1","pre2","pre1"]}`, the first message of a client (C1, C2).

    Args:
        session: The id of the session to resume (R21).
        version: The proposed version.
        support: All versions that the client speaks, best first.
        received_count: How many messages of the session to resume have arrived (R21).
    """

    session: str | None = None
    version: str = ""
    support: tuple[str, ...] = ()
    received_count: int | None = None


class Disconnect(Message, tag="disconnect", frozen=True):
    """`{"msg":"disconnect"}`: the client is about to close the connection on purpose (R25)."""


class Method(Message, tag="method", frozen=True):
    """`{"msg":"method","id":"7","method":"addTask","params":["x"]}`: a method call (C10); `params` is an EJSON array."""

    id: str
    method: str
    params: Raw
    random_seed: str | None = None


class Sub(Message, tag="sub", frozen=True):
    """`{"msg":"sub","id":"b7Xk...","name":"tasks","params":[1]}`: a subscription (C30); `params` is an EJSON array."""

    id: str
    name: str
    params: Raw


class Unsub(Message, tag="unsub", frozen=True):
    """`{"msg":"unsub","id":"b7Xk..."}`: the end of a subscription (C36). The server answers with `nosub`."""

    id: str


class Ping(Message, tag="ping", frozen=True):
    """`{"msg":"ping"}`, from either side. The optional `id` is any JSON value (H8, H10)."""

    id: Raw = ABSENT


class Pong(Message, tag="pong", frozen=True):
    """`{"msg":"pong"}`, the answer to a ping, with the same `id` (H8)."""

    id: Raw = ABSENT


class Connected(Message, tag="connected", frozen=True):
    """`{"msg":"connected","session":"<17 characters>"}` (C3). Some servers send no session id, or one of another type (C9)."""

    session: Any = None


class Failed(Message, tag="failed", frozen=True):
    """`{"msg":"failed","version":"pre2"}`: the server asks for that version instead (C4)."""

    version: str


class Result(Message, tag="result", frozen=True):
    """`{"msg":"result","id":"7","result":...}`: the method returned. With the key `error`, even null, it failed (C15, C16)."""

    id: str
    result: Raw = ABSENT
    error: Raw = ABSENT


class Updated(Message, tag="updated", frozen=True):
    """`{"msg":"updated","methods":["7"]}`: the client has all data that these methods changed (C13)."""

    methods: tuple[str, ...]


class Ready(Message, tag="ready", frozen=True):
    """`{"msg":"ready","subs":["b7Xk..."]}`: the initial documents of these subscriptions have been sent (C32)."""

    subs: tuple[str, ...]


class Nosub(Message, tag="nosub", frozen=True):
    """`{"msg":"nosub","id":"b7Xk..."}`: the subscription ended; with the key `error`, it failed (C34).

    Without `id` it is about a publication that the client did not request (S68).
    """

    id: str | None = None
    error: Raw = ABSENT


class Added(Message, tag="added", frozen=True):
    """`{"msg":"added","collection":"tasks","id":"x","fields":{"a":1}}`: a new document (C41)."""

    collection: str
    id: str
    fields: Raw = EMPTY_OBJECT


class Changed(Message, tag="changed", frozen=True):
    """`{"msg":"changed","collection":"tasks","id":"x","fields":{"a":1},"cleared":["b"]}`: a changed document (C42).

    Args:
        collection: The name of the collection.
        id: The id of the document, as text (see `decode_document_id`).
        fields: The new values of the changed top-level fields, an EJSON object.
        cleared: The names of the removed fields.
    """

    collection: str
    id: str
    fields: Raw = EMPTY_OBJECT
    cleared: tuple[str, ...] = ()


class Removed(Message, tag="removed", frozen=True):
    """`{"msg":"removed","collection":"tasks","id":"x"}`: a removed document (C43)."""

    collection: str
    id: str


class AddedBefore(Message, tag="addedBefore", frozen=True):
    """`added` for an ordered collection (C46): the document precedes `before`, or is the last if that is null.

    Meteor never sends this message.
    """

    collection: str
    id: str
    fields: Raw = EMPTY_OBJECT
    before: str | None = None


class MovedBefore(Message, tag="movedBefore", frozen=True):
    """A document of an ordered collection moved before `before`, or to the end if that is null (C46).

    Meteor never sends this message.
    """

    collection: str
    id: str
    before: str | None = None


class Error(Message, tag="error", frozen=True):
    """`{"msg":"error","reason":"Bad request","offendingMessage":{...}}`: the server refused a message (C72, S10)."""

    reason: str = ""
    offending_message: Raw = ABSENT


ClientMessage: TypeAlias = Connect | Disconnect | Method | Sub | Unsub | Ping | Pong

DataMessage: TypeAlias = Added | Changed | Removed | AddedBefore | MovedBefore

ServerMessage: TypeAlias = DataMessage | Connected | Failed | Result | Updated | Ready | Nosub | Ping | Pong | Error
