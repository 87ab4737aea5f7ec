"""The same exchanges with a real Meteor server and the embedded server: both must send the same frames.

Random ids, tokens, current dates and waiting times are replaced by names, and the greeting of early servers is left out (U14).
If each message is sent after the answer to the previous one, the order of all frames must be the same. If several messages
are sent at once, results can come later than the answers to later messages (S18). Then the order of all other frames must
be the same, and the order of the two messages for each call.

Exchanges that differ on purpose are in `DIFFERENT`, with the rule.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import pytest

from ddpshell.protocol.accounts import digest
from ddpshell.server import Server
from tests.meteor import MeteorServer
from tests.protocol.test_server_session import REFUSED_AT_ONCE, REFUSED_IN_TURN
from tests.server.meteor_app import meteor_app
from tests.server.wire import Closed, Message, WireClient

#: A step of a client: a message, or a text that can be invalid.
Step: TypeAlias = "Message | str"

pytestmark = pytest.mark.slow


@pytest.fixture
def ours() -> Iterator[Server]:
    server = meteor_app()
    with server.running():
        yield server


# --------------------------------------------------------------------------------------------------------- exchanges


def call(method: str, *params: Any, id_: str = "", **extra: Any) -> Message:
    return {"msg": "method", "id": id_, "method": method, "params": list(params), **extra}


def sub(name: str, *params: Any, id_: str = "") -> Message:
    return {"msg": "sub", "id": id_ or name, "name": name, "params": list(params)}


def unsub(id_: str) -> Message:
    return {"msg": "unsub", "id": id_}


def texts_of(steps: Sequence[Step]) -> list[str]:
    """Encode the steps, and add ids to calls without an id."""
    texts = []
    for number, step in enumerate(steps):
        if isinstance(step, str):
            texts.append(step)
        elif step["msg"] == "method" and not step["id"]:
            texts.append(json.dumps({**step, "id": f"call {number}"}))
        else:
            texts.append(json.dumps(step))
    return texts


def named(exchanges: dict[str, list[Step]]) -> list[Any]:
    return [pytest.param(name, steps, id=name) for name, steps in exchanges.items()]


VALUES = [
    '{"$date":0}', '{"$date":1700000000123}', '{"$date":-62135596800000}', '{"$date":1.7}', '{"$date":-1.7}',
    '{"$date":8640000000000001}', '{"$date":1,"x":2}', '{"$date":1,"$x":2}', '{"x":{"$date":1}}', '[[{"$date":1}]]',
    '{"$foo":{"$date":1}}', '{"$binary":""}', '{"$binary":"AQID"}', '{"$binary":"AQI="}', '{"$binary":"AQ"}',
    '{"$InfNaN":1}', '{"$InfNaN":-7}', '{"$InfNaN":0}', '{"a":{"$InfNaN":0}}', '{"$escape":{"$date":1}}',
    '{"$escape":{"$date":{"$date":32491}}}', '{"$escape":{"$escape":{"$date":1}}}', '{"$escape":{"a":{"$date":1}}}',
    '{"$escape":{"$date":1},"$x":1}', '{"$escape":{}}', '{"$type":"oid","$value":"507F1F77BCF86CD799439011"}',
    '{"$value":"507f1f77bcf86cd799439011","$type":"oid"}', '{"$type":"oid"}',
    '{"$type":"oid","$value":"507f1f77bcf86cd799439011","a":1}', '{"$type":"Nope","$value":1}',
    '{"$type":"Decimal","$value":"1.5"}', '{"$type":"Decimal","$value":"1.50"}', '{"$type":"Point","$value":{"x":1,"y":2}}',
    '{"$regexp":"a+b","$flags":"gi"}', '{"$regexp":"a","$flags":"igi"}', '{"$regexp":"a"}', "9007199254740993", "1e400",
    '"$date"', '{"$undefined":true}', "[]", "{}", "[null]", "1.0", "-0", "1e3", '"\\u0000\\u001f\\u007f"', '"\\ud83d\\ude00"',
    '{"":1}', "[[[[[]]]]]", '{"b":1,"a":2}',
]  # fmt: skip

BAD_VALUES = [
    '{"$binary":5}', '{"$binary":"=AAA"}', '{"$escape":null}', '{"$type":"oid","$value":"zz"}', '{"$regexp":"(","$flags":""}',
]  # fmt: skip

ALICE = {"user": {"username": "alice"}, "password": digest("wonderland")}

METHODS: dict[str, list[Step]] = {
    "upper": [call("upper", "Hello")],
    "echo": [call("echo", 1, "two", [3], {"four": 4}, None, True)],
    "echo nothing": [call("echo")],
    "no params": ['{"msg":"method","id":"1","method":"echo"}'],
    "extra keys": ['{"msg":"method","id":"1","method":"echo","params":[1],"extra":2}'],
    "nothing": [call("nothing")],
    "null": [call("nullResult")],
    "bytes 0": [call("bytes", 0)],
    "bytes 5": [call("bytes", 5)],
    "nan": [call("nan")],
    "regexp": [call("regexp")],
    "point": [call("point", 1, 2)],
    "objectId": [call("objectId", "0123456789abcdef01234567")],
    "now": [call("now")],
    "boom": [call("boom")],
    "boomNumber": [call("boomNumber")],
    "crash": [call("crash")],
    "asyncBoom": [call("asyncBoom")],
    "unknown": [call("nosuch")],
    "unknown, with a quote": [call("no'such")],
    "an empty name": [call("")],
    "toString": [call("toString")],
    "match failed": [call("upper", 5)],
    "match failed, nothing": [call("upper")],
    "empty id": ['{"msg":"method","id":"","method":"upper","params":["x"]}'],
    "the same id twice": [call("upper", "one", id_="same"), call("upper", "two", id_="same")],
    "seed": [call("seed", randomSeed="abc")],
    "no seed": [call("seed")],
    "an empty seed": [call("seed", randomSeed="")],
    "a seed makes ids": [call("add", "seeded", randomSeed="fixed"), call("reset")],
    "slow": [call("slow", 20), call("upper", "after")],
    "asyncSlow": [call("asyncSlow", 20), call("upper", "after")],
    "slowUnblocked": [call("slowUnblocked", 20), call("upper", "after")],
    "limited": [call("limited") for _ in range(7)],
    "a long text": [call("identity", "x" * 300_000)],
    "a deep value": ['{"msg":"method","id":"1","method":"identity","params":[' + "[" * 200 + "]" * 200 + "]}"],
    "whoami": [call("whoami")],
    "me": [call("me")],
    "a binary key": [call("identity", {"a\u0000b": 1})],
}

SUBSCRIPTIONS: dict[str, list[Step]] = {
    "items 3": [sub("items", 3), unsub("items")],
    "items 0": [sub("items", 0), unsub("items")],
    "unsub of nothing": [unsub("never")],
    "unsub without an id": ['{"msg":"unsub"}'],
    "unsub of a number": ['{"msg":"unsub","id":5}'],
    "unknown": [sub("nosuch")],
    "constructor": [sub("constructor")],
    "bad": [sub("bad")],
    "crashes": [sub("crashes")],
    "stops itself": [sub("stopsItself"), unsub("stopsItself")],
    "stops itself later": [sub("stopsItself", 20), call("slow", 60)],
    "fails later": [sub("failsLater", 20), call("slow", 60)],
    "late": [sub("late", 20), unsub("late")],
    "never ready": [sub("neverReady"), call("upper", "x"), unsub("neverReady")],
    "the same id twice": [sub("items", 1, id_="s"), sub("items", 2, id_="s"), unsub("s")],
    "the same id, unknown name": [sub("items", 1, id_="s"), sub("nosuch", id_="s"), unsub("s")],
    "an id again after its end": [sub("items", 1), unsub("items"), sub("items", 2), unsub("items")],
    "two of one": [sub("items", 1, id_="1"), sub("items", 2, id_="2"), unsub("1"), unsub("2")],
    "two parts, the first goes": [
        sub("part", {"a": 1, "b": 1}, id_="1"), sub("part", {"b": 2, "c": 2}, id_="2"), unsub("1"), unsub("2"),
    ],
    "two parts, the second goes": [
        sub("part", {"a": 1, "b": 1}, id_="1"), sub("part", {"b": 2, "c": 2}, id_="2"), unsub("2"), unsub("1"),
    ],
    "two equal parts": [sub("part", {"a": [1]}, id_="1"), sub("part", {"a": [1]}, id_="2"), unsub("1"), unsub("2")],
    "parts within a part": [sub("part", {"a": {"x": 1}}, id_="1"), sub("part", {"a": {"y": 1}}, id_="2"), unsub("1"), unsub("2")],
    "three parts": [
        sub("part", {"a": 1}, id_="1"), sub("part", {"a": 2}, id_="2"), sub("part", {"a": 3, "b": 1}, id_="3"),
        unsub("2"), unsub("1"), unsub("3"),
    ],
    "no fields": [sub("part", {}), unsub("part")],
    "only an id": [sub("part", {"_id": "x"}), unsub("part")],
    "a null field": [sub("part", {"a": None}), unsub("part")],
    "a date": ['{"msg":"sub","id":"p","name":"part","params":[{"d":{"$date":5}}]}', unsub("p")],
    "odd ids": [sub("oddIds"), unsub("oddIds")],
    "no params": ['{"msg":"sub","id":"s","name":"neverReady"}', call("upper", "x"), unsub("s")],
    "limited": [sub("limitedSub", id_=str(number)) for number in range(4)],
    "members only": [sub("membersOnly")],
    "private, without a login": [sub("privateTasks"), unsub("privateTasks")],
    "two cursors": [call("reset"), sub("twoCursors", id_="t"), unsub("t")],
}  # fmt: skip

RESET = call("reset")


def with_tasks(*steps: Step) -> list[Step]:
    return [
        RESET,
        call("insert", {"_id": "a", "n": 1, "tags": ["x"], "o": {"p": 1}}),
        call("insert", {"_id": "b", "n": 2}),
        *steps,
        call("find", {}),
    ]


TASKS: dict[str, list[Step]] = {
    "sub, then writes": with_tasks(
        sub("tasks"), call("insert", {"_id": "c", "n": 3}), call("setField", "a", "n", 5),
        call("setField", "a", "n", 5), call("unsetField", "a", "n"), call("remove", "b"), unsub("tasks"),
    ),
    "add": [RESET, sub("tasks"), call("add", "milk"), call("add", 5)],
    "nested set": with_tasks(sub("tasks"), call("setField", "a", "o.q.r", [1, {"b": 2}]), call("setField", "a", "o.q.r.0", 9)),
    "inc and unset": with_tasks(sub("tasks"), call("update", {"_id": "a"}, {"$inc": {"n": 5}, "$unset": {"o": 1}})),
    "replace": with_tasks(sub("tasks"), call("update", {"_id": "a"}, {"title": "new"})),
    "push": with_tasks(sub("tasks"), call("update", "a", {"$push": {"tags": "y"}})),
    "push each": with_tasks(sub("tasks"), call("update", "a", {"$push": {"tags": {"$each": ["y", "z"]}}})),
    "addToSet": with_tasks(sub("tasks"), call("update", "a", {"$addToSet": {"tags": "x"}}), call("update", "a", {"$addToSet": {"tags": "y"}})),
    "pull": with_tasks(sub("tasks"), call("update", "a", {"$pull": {"tags": "x"}})),
    "pop": with_tasks(sub("tasks"), call("update", "a", {"$pop": {"tags": 1}})),
    "rename": with_tasks(sub("tasks"), call("update", "a", {"$rename": {"n": "m"}})),
    "multi": with_tasks(sub("tasks"), call("update", {}, {"$set": {"z": 1}}, {"multi": True})),
    "the first alone": with_tasks(sub("tasks"), call("update", {}, {"$set": {"z": 1}})),
    "upsert": with_tasks(sub("tasks"), call("update", {"_id": "u"}, {"$set": {"n": 1}}, {"upsert": True})),
    "no match": with_tasks(sub("tasks"), call("update", {"n": 99}, {"$set": {"z": 1}}), call("remove", {"n": 99})),
    "duplicate id": with_tasks(call("insert", {"_id": "a"})),
    "unknown modifier": with_tasks(call("update", "a", {"$nope": {"n": 1}})),
    "inc of a text": with_tasks(call("update", "a", {"$inc": {"tags": 1}})),
    "a new id": with_tasks(call("update", "a", {"$set": {"_id": "z"}})),
    "a bad selector": with_tasks(call("find", {"$nope": 1})),
    "into a selection and out": with_tasks(sub("tasks", {"n": {"$gt": 1}}), call("setField", "a", "n", 5), call("setField", "a", "n", 0)),
    "fields": with_tasks(sub("tasks", {}, {"fields": {"n": 1}}), call("setField", "a", "o", 5), call("setField", "a", "n", 6)),
    "all but fields": with_tasks(sub("tasks", {}, {"fields": {"n": 0}}), call("setField", "a", "n", 6), call("setField", "a", "o", 5)),
    "limit": with_tasks(
        sub("tasks", {}, {"sort": {"n": 1}, "limit": 2}), call("remove", "a"), call("insert", {"_id": "z", "n": 9}),
    ),
    "two selections": with_tasks(
        sub("tasks", {"n": 1}, id_="1"), sub("tasks", {"_id": "a"}, {"fields": {"n": 1}}, id_="2"), unsub("1"), unsub("2"),
    ),
    "own insert": with_tasks(sub("tasks"), call("/tasks/insert", {"_id": "d", "n": 1})),
    "own insert, locked": with_tasks(call("/tasks/insert", {"locked": True})),
    "own update": with_tasks(sub("tasks"), call("/tasks/update", {"_id": "a"}, {"$set": {"n": 7}}, {})),
    "own update by more than an id": with_tasks(call("/tasks/update", {"n": 1}, {"$set": {"n": 7}}, {})),
    "own update of nothing": with_tasks(call("/tasks/update", {"_id": "no"}, {"$set": {"n": 7}}, {})),
    "own remove": with_tasks(sub("tasks"), call("/tasks/remove", {"_id": "a"})),
    "own remove of all": with_tasks(call("/tasks/remove", {})),
}  # fmt: skip

# A real server looks up the token a moment after the login, and treats a missing token as revoked.
SETTLE = call("slow", 100)

ACCOUNTS: dict[str, list[Step]] = {
    "login": [call("login", ALICE), call("whoami"), call("me")],
    "plain password": [call("login", {**ALICE, "password": "wonderland"}), call("whoami")],
    "by address": [call("login", {**ALICE, "user": {"email": "alice@example.com"}})],
    "in capitals": [call("login", {**ALICE, "user": {"username": "ALICE"}})],
    "wrong password": [call("login", {**ALICE, "password": digest("wrong")}), call("whoami")],
    "no such user": [call("login", {**ALICE, "user": {"username": "unknown"}})],
    "no options": [call("login", {})],
    "unknown options": [call("login", {"foo": 1})],
    "no object": [call("login", "x")],
    "no name": [call("login", {"user": {}, "password": "x"})],
    "two names": [call("login", {**ALICE, "user": {"username": "alice", "email": "x"}})],
    "another algorithm": [call("login", {**ALICE, "password": {"digest": "x", "algorithm": "md5"}})],
    "a number digest": [call("login", {**ALICE, "password": {"digest": 5, "algorithm": "sha-256"}})],
    "extra keys": [call("login", {**ALICE, "extra": 1})],
    "an unknown token": [call("login", {"resume": "no such token"})],
    "a number token": [call("login", {"resume": 5})],
    "with subs": [
        sub("privateTasks"),
        sub("membersOnly"),
        sub("items", 1),
        call("login", ALICE),
        SETTLE,
        call("logout"),
    ],
    "members, then logout": [call("login", ALICE), SETTLE, sub("membersOnly"), call("logout")],
    "login again": [sub("items", 1), call("login", ALICE), call("login", ALICE), call("whoami")],
    "logout without a login": [sub("items", 0), call("logout")],
    "a failed login changes nothing": [call("login", ALICE), call("login", {"resume": "x"}), call("whoami")],
    "new token": [call("login", ALICE), sub("items", 0), call("getNewToken"), call("whoami")],
    "other tokens": [call("login", ALICE), call("removeOtherTokens"), call("whoami")],
    "new token without a login": [call("getNewToken")],
    "other tokens without a login": [call("removeOtherTokens")],
    "other clients without a login": [call("logoutOtherClients")],
    "new password without a login": [call("changePassword", digest("a"), digest("b"))],
    "wrong old password": [call("login", ALICE), call("changePassword", digest("a"), digest("b"))],
    "the same new password": [call("login", ALICE), call("changePassword", digest("wonderland"), digest("wonderland"))],
    "a taken name": [call("createUser", {"username": "Alice", "password": digest("x")})],
    "a taken address": [call("createUser", {"email": "ALICE@example.com", "password": digest("x")})],
    "no new name": [call("createUser", {"password": digest("x")})],
    "no new user": [call("createUser", "x")],
}

CONNECT = '{"msg":"connect","version":"1","support":["1","pre2","pre1"]}'

#: Exchanges on a connection that has not sent `connect`.
OPENINGS: dict[str, list[Step]] = {
    "connect": [CONNECT],
    "pre2": ['{"msg":"connect","version":"pre2","support":["pre2","pre1"]}'],
    "pre1, and its pings": [
        '{"msg":"connect","version":"pre1","support":["pre1"]}',
        '{"msg":"ping"}',
        '{"msg":"pong"}',
    ],
    "an unknown version": ['{"msg":"connect","version":"99","support":["99"]}', CONNECT],
    "not the first": ['{"msg":"connect","version":"pre1","support":["1","pre1"]}'],
    "pre2 before 1": ['{"msg":"connect","version":"1","support":["pre2","1"]}'],
    "no support": ['{"msg":"connect","version":"1"}'],
    "no version": ['{"msg":"connect","support":["1"]}'],
    "support of numbers": ['{"msg":"connect","version":"1","support":["1",2]}'],
    "an old session": ['{"msg":"connect","session":"oldsessionoldsess","version":"1","support":["1"]}'],
    "twice": [CONNECT, CONNECT, call("upper", "still here")],
    "a method first": [call("upper", "x"), CONNECT, call("upper", "x")],
    "a ping first": ['{"msg":"ping"}', CONNECT],
    "garbage first": ["garbage", '{"a":1}', CONNECT],
    "ping": [CONNECT, '{"msg":"ping","id":"p1"}', '{"msg":"ping"}', '{"msg":"ping","id":""}', '{"msg":"pong"}'],
    "ping with a number": [CONNECT, '{"msg":"ping","id":5}'],
}

SENT_AT_ONCE: dict[str, list[Step]] = {
    "methods": [call("upper", str(number)) for number in range(10)],
    "unknown ones between": [call("upper", "a"), call("nosuch"), call("crash"), call("upper", "b")],
    "method, then unknown sub": [call("upper", "a"), sub("nosuch")],
    "login, sub, method": [call("login", ALICE), sub("items", 1), call("me")],
    "slow ones": [call("slow", 20), sub("items", 2), call("upper", "x"), unsub("items")],
    "writes": [RESET, sub("tasks"), *(call("insert", {"_id": str(number)}) for number in range(5)), call("remove", {})],
    "subs": [*(sub("items", number, id_=str(number)) for number in range(5)), *(unsub(str(number)) for number in range(5))],
    "errors between": [call("slow", 20), '{"msg":"garbage"}', call("upper", "x")],
}  # fmt: skip

#: A real server answers neither these messages nor any later message (S27).
NEVER_ANSWERED = ("refused: unsub: a number id (S27)", "refused: unsub: an object id", "sub: unsub of a number")

EXCHANGES: dict[str, list[Step]] = {
    **{f"method: {name}": steps for name, steps in METHODS.items()},
    **{f"value: {text}": [f'{{"msg":"method","id":"1","method":"identity","params":[{text}]}}'] for text in VALUES},
    **{f"type: {text}": [f'{{"msg":"method","id":"1","method":"typeOf","params":[{text}]}}'] for text in VALUES},
    **{
        f"bad value: {text}": [f'{{"msg":"method","id":"1","method":"identity","params":[{text}]}}']
        for text in BAD_VALUES
    },
    **{f"refused: {item.id}": [str(item.values[0])] for item in [*REFUSED_AT_ONCE, *REFUSED_IN_TURN]},
    **{f"sub: {name}": steps for name, steps in SUBSCRIPTIONS.items()},
    **{f"tasks: {name}": steps for name, steps in TASKS.items()},
    **{f"accounts: {name}": steps for name, steps in ACCOUNTS.items()},
}
for _name in NEVER_ANSWERED:
    del EXCHANGES[_name]

#: The exchanges whose answers differ on purpose, with the rule.
DIFFERENT: dict[str, str] = {
    "method: toString": "S11: names that JavaScript's objects inherit are not methods",
    "sub: constructor": "S11: they are not publications either",
    'value: {"$type":"Nope","$value":1}': "C73: an unknown type is returned unchanged",
    'type: {"$type":"Nope","$value":1}': "C73",
    'value: {"$type":"Decimal","$value":"1.50"}': "E20: a decimal keeps its digits",
    "value: 9007199254740993": "E20: a whole number is exact at any size",
    "refused: invalid EJSON in fields": "E5: base64 is checked",
    "refused: method: params a date": "E53: a refused message is quoted unchanged",
    "refused: sub: an empty id (S23)": "S23: an empty id is malformed",
    "sub: the same id, unknown name": "S22: an id in use is checked first",
    "ping with a number": "H10: every ping is answered",
}


# ------------------------------------------------------------------------------------------------------- comparing them


class Names:
    """Replaces random texts by names. The same text always gets the same name."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def normal(self, value: Any) -> Any:
        match value:
            case {"$date": int(ms)} if len(value) == 1 and 1_750_000_000_000 < ms < 2_000_000_000_000:
                return "(about now)"
            case {"timeToReset": _}:
                return "(milliseconds)"
            case dict():
                return {key: self.normal(item) for key, item in value.items()}
            case list():
                return [self.normal(item) for item in value]
            case str() if re.fullmatch(r"[23456789A-HJ-NP-TV-Za-km-z]{17}|[\w-]{43}", value):
                return self._names.setdefault(value, f"(random {len(self._names)})")
            case _:
                return value


def converse(url: str, texts: Sequence[str], *, connect: bool, at_once: bool) -> list[Message]:
    """Send texts and return all frames until everything is answered. A closed connection is `{"closed": code}`."""
    frames: list[Message] = []
    with WireClient(url, connect=connect) as client:
        try:
            for number, text in enumerate(texts):
                client.send_text(text)
                if not at_once:
                    frames += receive_answers(client, [text], number)
            if at_once:
                frames += receive_answers(client, texts, len(texts))
        except Closed as closed:
            frames.append({"closed": closed.code})
    return [frame for frame in frames if frame != {"server_id": "0"}]


def receive_answers(client: WireClient, texts: Sequence[str], number: int) -> list[Message]:
    """Receive frames until each call in the texts is answered, and a further call that is sent after them."""
    barrier = {"msg": "method", "id": f"barrier {number}", "method": "nothing", "params": []}
    client.send(**barrier)
    due = Counter((kind, id_) for id_ in [*calls_among(texts), barrier["id"]] for kind in ("updated", "result"))

    def is_last(frame: Message) -> bool:
        match frame.get("msg"):
            case "updated":
                due[("updated", frame["methods"][0])] -= 1
            case "result":
                due[("result", frame["id"])] -= 1
            case "error" if frame.get("offendingMessage") == barrier:
                return True  # Before `connect` the barrier itself is refused.
            case "error":
                # A refused call gets only the error.
                refused = frame.get("offendingMessage")
                for kind, id_ in list(due):
                    if id_ != barrier["id"] and (refused is None or refused.get("id") == id_):
                        del due[(kind, id_)]
            case _:
                pass
        return all(count <= 0 for count in due.values())

    frames = client.receive_until(is_last)
    return [frame for frame in frames if f"barrier {number}" not in json.dumps(frame)]


def calls_among(texts: Sequence[str]) -> list[str]:
    """Return the ids of the calls that are answered unless they are refused."""
    ids = []
    for text in texts:
        message = json.loads(text) if text.startswith("{") and text.endswith("}") else None
        if isinstance(message, dict) and message.get("msg") == "method" and isinstance(message.get("id"), str):
            ids.append(message["id"])
    return ids


def comparable(frames: list[Message], *, at_once: bool) -> Any:
    """Return the parts of the frames that must be the same for both servers."""
    names = Names()
    normal = [names.normal(frame) for frame in frames]
    if not at_once:
        return normal
    calls: dict[str, list[Message]] = {}
    others = []
    for frame in normal:
        if frame.get("msg") == "result":
            calls.setdefault(frame["id"], []).append(frame)
        elif frame.get("msg") == "updated":
            calls.setdefault(frame["methods"][0], []).append(frame)
        else:
            others.append(frame)
    return others, calls


def check(name: str, steps: list[Step], meteor: MeteorServer, ours: Server, **how: bool) -> None:
    with WireClient(meteor.url) as client:
        client.call("reset")
    texts = texts_of(steps)
    at_once = how.get("at_once", False)
    theirs = comparable(converse(meteor.url, texts, connect=how.get("connect", True), at_once=at_once), at_once=at_once)
    mine = comparable(converse(ours.url, texts, connect=how.get("connect", True), at_once=at_once), at_once=at_once)
    if name in DIFFERENT:
        assert mine != theirs, f"the answers do not differ any more; remove this entry: {DIFFERENT[name]}"
    else:
        assert mine == theirs


@pytest.mark.parametrize(("name", "steps"), named(EXCHANGES))
def test_the_answers_equal_those_of_a_real_server(
    name: str, steps: list[Step], meteor_server: MeteorServer, ours: Server
) -> None:
    check(name, steps, meteor_server, ours)


@pytest.mark.parametrize(("name", "steps"), named(OPENINGS))
def test_a_connection_opens_as_on_a_real_server(
    name: str, steps: list[Step], meteor_server: MeteorServer, ours: Server
) -> None:
    check(name, steps, meteor_server, ours, connect=False)


@pytest.mark.parametrize(("name", "steps"), named(SENT_AT_ONCE))
def test_messages_sent_at_once_are_answered_as_by_a_real_server(
    name: str, steps: list[Step], meteor_server: MeteorServer, ours: Server
) -> None:
    check(name, steps, meteor_server, ours, at_once=True)
