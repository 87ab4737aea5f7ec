"""The application for tests with faults, on the embedded server: the methods and publications of tests/meteor/app.js that these tests use.

Documents and users survive a restart of the server, as with a database.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from ddpshell.ejson import EJSONValue
from ddpshell.exceptions import MethodError
from ddpshell.protocol.codec import DocumentID
from ddpshell.protocol.documents import Document
from ddpshell.server import NULL, AccountsOptions, Collection, Cursor, MethodInvocation, Options, Server, Subscription

__all__ = ["PASSWORD", "USER", "application"]

USER, PASSWORD = "alice", "wonderland"


def application(options: Options) -> Server:
    """Return the server; the caller starts it."""
    server = Server(options=options, users={USER: PASSWORD}, accounts=AccountsOptions(rate_limit=False))
    tasks = Collection("tasks")

    @server.method
    def echo(*args: EJSONValue) -> list[EJSONValue]:
        return list(args)

    @server.method
    def boom() -> None:
        raise MethodError("nope", "a reason", {"d": 1})

    @server.method("slowUnblocked")
    def slow_unblocked(this: MethodInvocation, ms: int) -> int:
        this.unblock()
        if this.connection is not None:
            this.connection.wait_closed(ms / 1000)
        return ms

    @server.method
    def whoami(this: MethodInvocation) -> object:
        return NULL if this.user_id is None else this.user_id

    @server.method
    def add(title: str) -> DocumentID:
        at = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
        return tasks.insert({"title": title, "done": False, "at": at, "n": 0})

    @server.method
    def insert(document: dict[str, EJSONValue]) -> DocumentID:
        return tasks.insert(document)

    @server.method("setField")
    def set_field(id_: str, field: str, value: EJSONValue) -> int:
        return tasks.update(id_, {"$set": {field: value}})

    @server.method
    def remove(selector: Any) -> int:
        return tasks.remove(selector)

    @server.method
    def find(selector: Any = None) -> list[Document]:
        return tasks.find(selector or {}).fetch()

    @server.publish("tasks")
    def publish_tasks(sub: Subscription, selector: Any = None) -> Cursor:
        return tasks.find(selector or {})

    return server
