"""The application of `tests/meteor/app.js` for this server: the same methods and publications, so that both can be compared."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import threading
from collections.abc import Callable
from typing import Any

from ddpshell.clock import SystemClock
from ddpshell.ejson import Custom, ObjectID, RegExp
from ddpshell.protocol.codec import UNDEFINED_ID, DocumentID
from ddpshell.server import (
    NULL,
    AccountsOptions,
    Collection,
    Cursor,
    MethodError,
    MethodInvocation,
    Server,
    Subscription,
    User,
    check,
)

__all__ = ["meteor_app"]

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def meteor_app() -> Server:
    """Create the server without starting it."""
    server = Server(
        users={"alice": User("wonderland", email="alice@example.com", profile={"name": "Alice"})},
        accounts=AccountsOptions(rate_limit=False),
        greeting=True,
    )
    _values(server)
    _errors(server)
    _time_and_order(server)
    _caller(server)
    _tasks(server)
    _publications(server)
    server.rate_limiter.add_rule({"type": "method", "name": "limited", "connection_id": lambda _: True}, 5, 1.0)
    server.rate_limiter.add_rule(
        {"type": "subscription", "name": "limitedSub", "connection_id": lambda _: True}, 2, 1.0
    )
    return server


def _or_null(value: Any) -> Any:
    return NULL if value is None else value


def _values(server: Server) -> None:
    @server.method
    def upper(text: Any = None) -> str:
        check(text, str)
        return str(text.upper())

    @server.method
    def echo(*args: Any) -> Any:
        return list(args)

    @server.method
    def identity(value: Any = None, *more: Any) -> Any:
        return _or_null(value)

    server.method("nothing")(lambda *_: None)
    server.method("nullResult")(lambda *_: NULL)
    server.method("now")(SystemClock().wall)

    @server.method("bytes")
    def bytes_(n: Any) -> bytes:
        check(n, int)
        return bytes(number % 256 for number in range(n))

    server.method("nan")(lambda: {"nan": math.nan, "inf": math.inf, "ninf": -math.inf})
    server.method("regexp")(lambda: RegExp("a+b", "gi"))
    server.method("point")(lambda x, y: Custom("Point", {"x": x, "y": y}))
    server.method("objectId")(ObjectID)

    @server.method("typeOf")
    def type_of(value: Any = None) -> str:
        match value:
            case None:
                return "null"
            case bool():
                return "boolean"
            case int() | float():
                return "number"
            case str():
                return "string"
            case bytes():
                return f"binary:{len(value)}"
            case ObjectID():
                return "oid"
            case Custom():
                return value.type
            case RegExp():
                return "RegExp"
            case list():
                return "array"
            case dict():
                return "object"
            case _:
                return "Decimal" if type(value).__name__ == "Decimal" else "Date"


def _errors(server: Server) -> None:
    @server.method
    def boom() -> None:
        raise MethodError("nope", "a reason", {"d": 1, "when": EPOCH})

    @server.method("boomNumber")
    def boom_number() -> None:
        raise MethodError(418)

    @server.method
    def crash() -> None:
        raise RuntimeError("internal, and not for the client")

    @server.method("asyncBoom")
    async def async_boom() -> None:
        raise MethodError("later", "from a promise")


def _time_and_order(server: Server) -> None:
    @server.method
    def slow(this: MethodInvocation, ms: float) -> float:
        assert this.connection is not None
        this.connection.wait_closed(ms / 1000)
        return ms

    @server.method("slowUnblocked")
    def slow_unblocked(this: MethodInvocation, ms: float) -> float:
        this.unblock()
        return slow(this, ms)

    @server.method("asyncSlow")
    async def async_slow(this: MethodInvocation, ms: float) -> float:
        # In this version of Meteor, a promise does not delay the next message.
        this.unblock()
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(ms / 1000, done.set)
        await done.wait()
        return ms

    server.method("limited")(lambda: "ok")


def _caller(server: Server) -> None:
    server.method("whoami")(lambda this: _or_null(this.user_id))

    @server.method
    def me(this: MethodInvocation) -> Any:
        user = server.accounts.user(this.user_id)
        return NULL if user is None else {"id": user["_id"], "username": user["username"]}

    server.method("session")(lambda this: this.connection.id)
    server.method("seed")(lambda this: _or_null(this.random_seed))
    server.method("kick")(lambda this: this.connection.close())


def _tasks(server: Server) -> None:
    tasks = Collection("tasks")
    server.expose(tasks, allow=lambda user_id, task: not task.get("locked"))

    @server.method
    def add(title: Any = None) -> Any:
        check(title, str)
        return tasks.insert({"title": title, "done": False, "at": SystemClock().wall(), "n": 0})

    server.method("insert")(tasks.insert)
    server.method("update")(
        lambda selector, modifier, options=None: tasks.update(selector, modifier, **(options or {}))
    )
    server.method("remove")(tasks.remove)
    server.method("setField")(lambda id_, field, value: tasks.update(id_, {"$set": {field: value}}))
    server.method("unsetField")(lambda id_, field: tasks.update(id_, {"$unset": {field: 1}}))
    server.method("find")(lambda selector=None: tasks.find(selector or {}).fetch())
    server.method("reset")(lambda: tasks.remove({}))

    @server.publish("tasks")
    def publish_tasks(sub: Subscription, selector: Any = None, options: Any = None) -> Cursor:
        return tasks.find(selector or {}, **(options or {}))

    @server.publish("twoCursors")
    def two_cursors(sub: Subscription) -> list[Cursor]:
        return [tasks.find({}), server.accounts.users.find({}, fields={"username": 1})]

    @server.publish("privateTasks")
    def private_tasks(sub: Subscription) -> Cursor | None:
        if sub.user_id is None:
            sub.ready()
            return None
        sub.added("private", "mine", {"owner": sub.user_id, "same": True})
        return tasks.find({"owner": sub.user_id})


def _publications(server: Server) -> None:
    @server.publish
    def items(sub: Subscription, n: int = 0) -> None:
        for number in range(n):
            sub.added("items", f"id{number}", {"n": number, "s": f"item {number}", "d": EPOCH})
        sub.ready()

    @server.publish
    def bad(sub: Subscription) -> None:
        raise MethodError(403, "denied", {"why": "always"})

    @server.publish
    def crashes(sub: Subscription) -> None:
        raise RuntimeError("internal, and not for the client")

    @server.publish
    def late(sub: Subscription, ms: float) -> None:
        def publish() -> None:
            sub.added("late", "x", {"after": ms})
            sub.ready()

        _after(sub, ms, publish)

    server.publish("neverReady")(lambda sub: sub.added("never", "x", {"here": True}))

    @server.publish("membersOnly")
    def members_only(sub: Subscription) -> None:
        if sub.user_id is None:
            raise MethodError(401, "log in first")
        sub.ready()

    @server.publish("stopsItself")
    def stops_itself(sub: Subscription, ms: float = 0) -> None:
        sub.added("brief", "x", {"here": True})
        sub.ready()
        if ms:
            _after(sub, ms, sub.stop)
        else:
            sub.stop()

    @server.publish("failsLater")
    def fails_later(sub: Subscription, ms: float) -> None:
        sub.added("brief", "x", {"here": True})
        sub.ready()
        _after(sub, ms, lambda: sub.error(MethodError("later", "it failed in the end")))

    @server.publish("oddIds")
    def odd_ids(sub: Subscription) -> None:
        oid = "0123456789abcdef01234567"
        ids: tuple[DocumentID, ...] = (ObjectID(oid), oid, "-dash", "~tilde", "{brace", 42, True, "", UNDEFINED_ID)
        for number, id_ in enumerate(ids):
            sub.added("odd", id_, {"n": number})
        sub.ready()

    @server.publish
    def part(sub: Subscription, fields: Any) -> None:
        sub.added("parts", "doc", fields)
        sub.ready()

    server.publish("limitedSub")(lambda sub: sub.ready())


def _after(sub: Subscription, ms: float, function: Callable[[], object]) -> None:
    stopped = threading.Event()
    sub.on_stop(stopped.set)
    threading.Thread(target=lambda: stopped.wait(ms / 1000) or function(), name="ddp-test-timer").start()
