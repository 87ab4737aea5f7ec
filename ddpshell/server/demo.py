"""The server of `ddp serve` and `ddp demo`: methods and publications for experiments, many of which fail on purpose."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..clock import SystemClock
from ..ejson import Custom, Date, EJSONValue, ObjectID, RegExp
from ..exceptions import MethodError, QueryError
from ..protocol.codec import DocumentID
from .contexts import MethodInvocation, Subscription
from .handlers import NULL, check
from .meteor.accounts import User
from .meteor.collection import Collection, Cursor
from .registrations import Options
from .server import Server

Result = TypeVar("Result")

#: How many bytes of text fit into one message (U17).
_MOST_BYTES = 60_000_000

_MOST_ITEMS = 1_000_000

#: The users who can log in.
USERS = {"alice": User("wonderland", email="alice@example.com", profile={"name": "Alice"}, id="alice-in-wonderland")}

TASKS: tuple[Mapping[str, EJSONValue], ...] = (
    {"_id": "a", "title": "write a client", "done": True, "n": 1},
    {"_id": "b", "title": "write a server", "done": False, "n": 2},
    {"_id": "c", "title": "write the tests", "done": False, "n": 3},
)


def demo_server(options: Options | None = None, *, greeting: bool = False) -> Server:
    """Make the demo server. The caller can add methods to it, and must start it.

    Args:
        options: Times and limits. The defaults are Meteor's.
        greeting: See `Server`.
    """
    server = Server(options=options, users=USERS, greeting=greeting)
    _add_values(server)
    _add_failures(server)
    _add_waiting(server)
    _add_callers(server)
    _add_tasks(server)
    _add_chat(server)
    _add_publications(server)
    return server


def _add_values(server: Server) -> None:
    @server.method
    def upper(text: str) -> str:
        check(text, str)
        return text.upper()

    @server.method
    def echo(*args: EJSONValue) -> list[EJSONValue]:
        return list(args)

    @server.method
    def identity(value: EJSONValue) -> object:
        return NULL if value is None else value

    @server.method
    def add(a: float, b: float) -> float:
        check(a, int, float)
        check(b, int, float)
        return a + b

    @server.method
    def now() -> dt.datetime:
        return SystemClock().wall()

    @server.method
    def nothing() -> None:
        return None

    @server.method
    def null() -> object:
        return NULL

    @server.method
    def types() -> dict[str, EJSONValue]:
        return {
            "string": "plain text",
            "integer": 42,
            "float": 1.5,
            "true": True,
            "null": None,
            "array": [1, "two", [3]],
            "object": {"a": {"b": "c"}},
            "date": dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC),
            "distant": Date(8_640_000_000_000_000),
            "binary": b"\x00\x01\x02\xff",
            "infinity": math.inf,
            "minus_infinity": -math.inf,
            "nan": math.nan,
            "regexp": RegExp("a+b", "gi"),
            "oid": ObjectID("507f1f77bcf86cd799439011"),
            "decimal": decimal.Decimal("1.10"),
            "custom": Custom("Point", {"x": 1, "y": 2}),
            "escaped": {"$date": 5},
        }

    @server.method
    def big() -> dict[str, EJSONValue]:
        return {
            "safe": 2**53 - 1,
            "unsafe": 2**53 + 1,
            "huge": 10**30,
            "negative": -(2**63),
            "largest": 1.7976931348623157e308,
            "smallest": 5e-324,
        }

    @server.method
    def text(length: int) -> str:
        return "x" * _bounded(length, _MOST_BYTES)

    @server.method("bytes")
    def bytes_(length: int) -> bytes:
        # Base64 makes it a third longer.
        return bytes(number % 256 for number in range(_bounded(length, _MOST_BYTES // 2)))

    @server.method
    def hostile() -> dict[str, EJSONValue]:
        return {
            "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
            "clear": "\x1b[2J\x1b[H",
            "title": "\x1b]0;owned\x07",
            "csi": "\x9b31mred",
            "return": "harmless\rhidden",
            "bell": "\x07",
            "backspace": "abc\b\b\bxyz",
            "delete": "\x7f",
            "bidi": "\u202etxt.exe\u202c \u2066isolated\u2069",
            "surrogate": "\ud800",
            "newline": "one\ntwo\tthree",
            "\x1b[31mkey": "the key is hostile too",
        }


def _add_failures(server: Server) -> None:
    @server.method
    def fail(error: EJSONValue = "demo-failure") -> None:
        code = error if isinstance(error, (str, int, float)) else "demo-failure"
        raise MethodError(code, "This method always fails", {"hint": "call another one", "at": 1})

    @server.method
    def crash() -> None:
        raise RuntimeError("internal, and not for the client")

    @server.method("hostileError")
    def hostile_error() -> None:
        raise MethodError("\x1b[31mred", "\x1b]52;c;Zm9v\x07 reason", {"\u202edetail": "\x9b2J"})

    @server.publish
    def bad(sub: Subscription, *args: EJSONValue) -> None:
        raise MethodError(403, "denied", {"why": "always"})

    @server.publish
    def crashes(sub: Subscription) -> None:
        raise RuntimeError("internal, and not for the client")

    @server.publish("neverReady")
    def never_ready(sub: Subscription) -> None:
        sub.added("never", "x", {"here": True})

    @server.publish("stopsItself")
    def stops_itself(sub: Subscription, ms: float = 0) -> None:
        sub.added("brief", "x", {"here": True})
        sub.ready()
        if ms:
            _after(sub, ms, sub.stop)
        else:
            sub.stop()

    @server.publish("failsLater")
    def fails_later(sub: Subscription, ms: float = 100) -> None:
        sub.added("brief", "x", {"here": True})
        sub.ready()
        _after(sub, ms, lambda: sub.error(MethodError("later", "it failed in the end")))


def _add_waiting(server: Server) -> None:
    @server.method
    def slow(this: MethodInvocation, ms: float) -> float:
        check(ms, int, float)
        if this.connection is not None:
            this.connection.wait_closed(_seconds(ms))
        return ms

    def slow_unblocked(this: MethodInvocation, ms: float) -> float:
        this.unblock()
        return slow(this, ms)

    server.method("slowUnblocked")(slow_unblocked)
    server.method("slow_unblocked")(slow_unblocked)

    @server.method
    def kick(this: MethodInvocation) -> None:
        if this.connection is not None:
            this.connection.close()


def _add_callers(server: Server) -> None:
    @server.method
    def whoami(this: MethodInvocation) -> object:
        return NULL if this.user_id is None else this.user_id

    @server.method
    def me(this: MethodInvocation) -> object:
        user = server.accounts.user(this.user_id)
        return NULL if user is None else {"id": user["_id"], "username": user.get("username")}

    @server.method
    def session(this: MethodInvocation) -> str | None:
        return this.connection.id if this.connection is not None else None

    @server.method
    def headers(this: MethodInvocation) -> dict[str, str]:
        return dict(this.connection.http_headers) if this.connection is not None else {}

    @server.method
    def seed(this: MethodInvocation) -> str | None:
        return this.random_seed

    @server.method("become")
    def become(this: MethodInvocation, user_id: str | None = None) -> None:
        this.set_user_id(user_id)


def _add_tasks(server: Server) -> None:
    collection = Collection("tasks")
    for task in TASKS:
        collection.insert(task)
    server.expose(collection, allow=lambda user_id, task: not task.get("locked"))

    @server.publish
    def tasks(sub: Subscription, selector: Any = None, options: Any = None) -> Cursor:
        wanted = {} if selector is None else {"done": selector} if isinstance(selector, bool) else selector
        return _run_query(lambda: collection.find(wanted, **_query_options(options)))

    @server.method("addTask")
    def add_task(title: str) -> object:
        check(title, str)
        return collection.insert({"title": title, "done": False, "n": len(collection) + 1})

    @server.method("setTask")
    def set_task(id_: Any, fields: Any) -> int:
        check(fields, dict)
        return _run_query(lambda: collection.update(id_, {"$set": fields}))

    @server.method("toggleTask")
    def toggle_task(id_: Any) -> bool:
        task = _run_query(lambda: collection.find_one(id_))
        if task is None:
            raise MethodError(404, f"there is no task {id_!r}")
        done = not task.get("done")
        collection.update(id_, {"$set": {"done": done}})
        return done

    @server.method("unsetTask")
    def unset_task(id_: Any, field: str) -> int:
        check(field, str)
        return _run_query(lambda: collection.update(id_, {"$unset": {field: 1}}))

    @server.method("removeTask")
    def remove_task(selector: Any) -> int:
        return _run_query(lambda: collection.remove(selector))

    @server.method("resetTasks")
    def reset_tasks() -> int:
        removed = collection.remove({})
        for task in TASKS:
            collection.insert(task)
        return removed


def _add_chat(server: Server) -> None:
    """Add a chat: all clients that subscribe to `messages` see the messages. Try it in two terminals."""
    collection = Collection("messages")

    @server.method
    def say(this: MethodInvocation, text: str) -> object:
        check(text, str)
        return collection.insert({"from": this.user_id or "anonymous", "text": text, "at": SystemClock().wall()})

    @server.publish
    def messages(sub: Subscription, limit: int = 20) -> Cursor:
        check(limit, int)
        return collection.find({}, sort={"at": -1}, limit=limit)


def _run_query(query: Callable[[], Result]) -> Result:
    """Run a client's query. If it is not valid, the client gets the error."""
    try:
        return query()
    except QueryError as error:
        raise MethodError(400, str(error)) from error


def _query_options(options: Any) -> dict[str, Any]:
    if options is None:
        return {}
    check(options, dict)
    unknown = set(options) - {"sort", "skip", "limit", "fields"}
    if unknown:
        raise MethodError(400, f"unknown option: {', '.join(sorted(unknown))}")
    return dict(options)


def _add_publications(server: Server) -> None:
    @server.publish
    def items(sub: Subscription, n: int = 10) -> None:
        for number in range(_bounded(n, _MOST_ITEMS)):
            if sub.stopped:
                return
            sub.added("items", f"id{number}", {"n": number, "s": f"item {number}"})
        sub.ready()

    @server.publish
    def ticker(sub: Subscription, ms: float = 1000) -> None:
        check(ms, int, float)
        sub.added("ticks", "tick", {"n": 0, "fifth": True})
        sub.ready()
        count = 0

        def tick() -> None:
            nonlocal count
            count += 1
            if count % 5:
                sub.changed("ticks", "tick", {"n": count}, cleared=["fifth"])
            else:
                sub.changed("ticks", "tick", {"n": count, "fifth": True})

        _after(sub, ms, tick, repeat=True)

    @server.publish
    def late(sub: Subscription, ms: float = 1000) -> None:
        check(ms, int, float)

        def publish() -> None:
            sub.added("late", "x", {"after": ms})
            sub.ready()

        _after(sub, ms, publish)

    @server.publish("oddIds")
    def odd_ids(sub: Subscription) -> None:
        oid = "0123456789abcdef01234567"
        ids: tuple[DocumentID, ...] = (ObjectID(oid), oid, "-dash", "~tilde", "{brace", 42, True, "")
        for number, id_ in enumerate(ids):
            sub.added("odd", id_, {"n": number})
        sub.ready()

    @server.publish
    def part(sub: Subscription, fields: Any = None) -> None:
        sub.added("parts", "doc", fields if isinstance(fields, Mapping) else {})
        sub.ready()


def _seconds(ms: float, *, least: float = 0) -> float:
    """Return a number of milliseconds as seconds, between `least` and a day. NaN counts as `least`."""
    return min(max(least, ms), 86_400_000) / 1000


def _bounded(number: int, most: int) -> int:
    """Return the number, or reject a number that would take too much memory or time.

    Raises:
        MatchError: `number` is not an integer.
        MethodError: `number` is greater than `most`.
    """
    check(number, int)
    if number > most:
        raise MethodError(400, f"{number:,} is too large; the maximum is {most:,}")
    return number


def _after(sub: Subscription, ms: float, function: Callable[[], object], *, repeat: bool = False) -> None:
    """Call `function` after this time, unless the subscription ends first; with `repeat`, again and again until it ends."""
    stopped = threading.Event()
    sub.on_stop(stopped.set)

    def run() -> None:
        while not stopped.wait(_seconds(ms, least=repeat)):
            function()
            if not repeat:
                return

    threading.Thread(target=run, name="ddp-demo-timer", daemon=True).start()
