"""The server end of a session: negotiation, what is refused and how, heartbeat, resumption."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.exceptions import LocalProtocolError
from ddpshell.protocol.messages import Added, Ping, Pong, Ready, Updated
from ddpshell.protocol.server_session import (
    ConnectReceived,
    EndReason,
    HeartbeatTimedOut,
    MessageRefused,
    MethodReceived,
    ServerSession,
    ServerSessionState,
    SessionEnded,
    SubReceived,
    UnsubReceived,
)
from tests.strategies import json_trees

CONNECT = '{"msg":"connect","version":"1","support":["1","pre2","pre1"]}'
CONNECTED = '{"msg":"connected","session":"S"}'


def opened(**settings: Any) -> ServerSession:
    return ServerSession(0.0, **settings)


def established(version: str = "1", **settings: Any) -> ServerSession:
    session = opened(**settings)
    session.receive_text(json.dumps({"msg": "connect", "version": version, "support": [version]}), 0.0)
    session.events_received()
    session.accept("S", 0.0)
    session.texts_to_send()
    return session


def told(session: ServerSession, text: str, now: float = 0.0) -> tuple[list[Any], list[Any]]:
    """Give the session a text; return what it tells its owner, and what it sends, as JSON."""
    session.receive_text(text, now)
    return session.events_received(), [json.loads(item) for item in session.texts_to_send()]


# ------------------------------------------------------------------------------------------------------- negotiation


@pytest.mark.parametrize(
    ("version", "support"),
    [
        ("1", ["1", "pre2", "pre1"]),
        ("1", ["1"]),
        ("pre2", ["pre2", "pre1"]),
        ("pre1", ["pre1"]),
        ("1", ["99", "1"]),
    ],
)
def test_a_version_that_is_the_first_in_common_is_agreed_on(version: str, support: list[str]) -> None:
    """S2."""
    events, texts = told(opened(), json.dumps({"msg": "connect", "version": version, "support": support}))
    assert events == [ConnectReceived(version, None, None)]
    assert texts == []


@pytest.mark.parametrize(
    ("connect", "better"),
    [
        pytest.param({"version": "99", "support": ["99"]}, "1", id="nothing in common"),
        pytest.param({"version": "pre1", "support": ["1", "pre1"]}, "1", id="a better one in common"),
        pytest.param({"version": "1", "support": ["pre2", "1"]}, "pre2", id="the client's own order counts"),
        pytest.param({"version": "1"}, "1", id="no support"),
        pytest.param({"version": "1", "support": []}, "1", id="empty support"),
        pytest.param({"version": "1", "support": "1"}, "1", id="support is a string"),
        pytest.param({"version": "1", "support": ["1", 2]}, "1", id="support of not only strings"),
        pytest.param({"version": "1", "support": ["pre1"]}, "1", id="a version it does not support"),
        pytest.param({"version": 1, "support": [1]}, "1", id="a number"),
        pytest.param({"support": ["1"]}, "1", id="no version"),
        pytest.param({}, "1", id="nothing"),
    ],
)
def test_another_version_is_answered_by_the_one_to_use_and_the_end(connect: dict[str, Any], better: str) -> None:
    """S1, S2, S5."""
    session = opened()
    events, texts = told(session, json.dumps({"msg": "connect", **connect}))
    assert events == [SessionEnded(EndReason.NO_VERSION)]
    assert texts == [{"msg": "failed", "version": better}]
    assert told(session, CONNECT) == ([], [])
    assert session.next_deadline() is None


def test_an_accepted_session_says_connected_first() -> None:
    """S3."""
    session = opened()
    session.receive_text(CONNECT, 0.0)
    session.accept("S", 0.0)
    assert session.texts_to_send() == [CONNECTED]
    assert session.state is ServerSessionState.ESTABLISHED


def test_a_client_that_comes_back_says_which_session_it_had() -> None:
    """R21."""
    events, _ = told(
        opened(), '{"msg":"connect","session":"OLD","receivedCount":7,"version":"1","support":["1"],"extra":[1]}'
    )
    assert events == [ConnectReceived("1", "OLD", 7)]


@pytest.mark.parametrize("field", ['"session":5', '"receivedCount":"7"', '"receivedCount":true', '"session":null'])
def test_a_session_or_count_that_is_none_is_ignored(field: str) -> None:
    events, _ = told(opened(), '{"msg":"connect",' + field + ',"version":"1","support":["1"]}')
    assert events == [ConnectReceived("1", None, None)]


def test_a_second_connect_is_refused_and_changes_nothing() -> None:
    """S6."""
    session = established()
    assert told(session, CONNECT) == (
        [],
        [{"msg": "error", "reason": "Already connected", "offendingMessage": json.loads(CONNECT)}],
    )
    assert session.state is ServerSessionState.ESTABLISHED


def test_accept_answers_a_connect_and_nothing_else() -> None:
    for session in (opened(), established()):
        with pytest.raises(LocalProtocolError):
            session.accept("T", 0.0)


def test_a_client_that_never_connects_is_ended_in_time() -> None:
    """S7."""
    session = opened(connect_timeout=45.0)
    assert session.next_deadline() == 45.0
    session.handle_timer(44.9)
    assert session.events_received() == []
    session.handle_timer(45.0)
    assert session.events_received() == [SessionEnded(EndReason.NO_CONNECT)]


# ----------------------------------------------------------------------------------------------------------- refusals

NO_MESSAGE = object()

#: text, reason, offendingMessage; at once, whatever waits in the queue (S10).
REFUSED_AT_ONCE = [
    pytest.param("not json", "Bad request", NO_MESSAGE, id="no JSON"),
    pytest.param("", "Bad request", NO_MESSAGE, id="nothing"),
    pytest.param("NaN", "Bad request", NO_MESSAGE, id="NaN is no JSON"),
    pytest.param('{"msg":"ping"', "Bad request", NO_MESSAGE, id="half of an object"),
    pytest.param("5", "Bad request", NO_MESSAGE, id="a number"),
    pytest.param('"ping"', "Bad request", NO_MESSAGE, id="a string"),
    pytest.param('""', "Bad request", NO_MESSAGE, id="an empty string"),
    pytest.param("null", "Bad request", NO_MESSAGE, id="null"),
    pytest.param("true", "Bad request", NO_MESSAGE, id="a boolean"),
    pytest.param("[1]", "Bad request", [1], id="an array"),
    pytest.param("[]", "Bad request", [], id="an empty array"),
    pytest.param('{"a":1}', "Bad request", {"a": 1}, id="no msg"),
    pytest.param("{}", "Bad request", {}, id="an empty object"),
    pytest.param('{"msg":null}', "Bad request", {"msg": None}, id="msg is null"),
    pytest.param('{"msg":""}', "Bad request", {"msg": ""}, id="msg is empty"),
    pytest.param('{"msg":0}', "Bad request", {"msg": 0}, id="msg is zero"),
    pytest.param('{"msg":false}', "Bad request", {"msg": False}, id="msg is false"),
    pytest.param(
        '{"msg":"method","id":"1","method":"m","params":[{"$binary":5}]}', "Parse error", NO_MESSAGE, id="bad EJSON"
    ),
    pytest.param('{"msg":"x","fields":{"$binary":"*"}}', "Parse error", NO_MESSAGE, id="bad EJSON in fields"),
    pytest.param(
        '{"msg":"x","result":{"$type":"oid","$value":"z"}}', "Parse error", NO_MESSAGE, id="bad EJSON in result"
    ),
    pytest.param('{"msg":"x","cleared":5}', "Parse error", NO_MESSAGE, id="cleared is no array"),
]

#: text, reason; when its turn in the queue has come (S10, S15).
REFUSED_IN_TURN = [
    pytest.param('{"msg":"garbage","id":"1"}', "Bad request", id="unknown msg"),
    pytest.param('{"msg":"added","collection":"c","id":"x"}', "Bad request", id="a server's message"),
    pytest.param('{"msg":"toString"}', "Bad request", id="a name that JavaScript knows (S11)"),
    pytest.param('{"msg":5}', "Bad request", id="msg is a number"),
    pytest.param('{"msg":{}}', "Bad request", id="msg is an object"),
    pytest.param('{"msg":[]}', "Bad request", id="msg is an array"),
    pytest.param('{"msg":true}', "Bad request", id="msg is true"),
    pytest.param('{"msg":"method"}', "Malformed method invocation", id="method: nothing"),
    pytest.param('{"msg":"method","method":"m"}', "Malformed method invocation", id="method: no id"),
    pytest.param('{"msg":"method","id":"1"}', "Malformed method invocation", id="method: no name"),
    pytest.param('{"msg":"method","id":7,"method":"m"}', "Malformed method invocation", id="method: a number id"),
    pytest.param('{"msg":"method","id":"1","method":5}', "Malformed method invocation", id="method: a number name"),
    pytest.param(
        '{"msg":"method","id":"1","method":"m","params":{"a":1}}',
        "Malformed method invocation",
        id="method: params an object",
    ),
    pytest.param(
        '{"msg":"method","id":"1","method":"m","params":null}', "Malformed method invocation", id="method: params null"
    ),
    pytest.param(
        '{"msg":"method","id":"1","method":"m","params":{"$date":5}}',
        "Malformed method invocation",
        id="method: params a date",
    ),
    pytest.param(
        '{"msg":"method","id":"1","method":"m","randomSeed":null}',
        "Malformed method invocation",
        id="method: seed null",
    ),
    pytest.param(
        '{"msg":"method","id":"1","method":"m","randomSeed":5}',
        "Malformed method invocation",
        id="method: seed a number",
    ),
    pytest.param('{"msg":"sub"}', "Malformed subscription", id="sub: nothing"),
    pytest.param('{"msg":"sub","id":"1"}', "Malformed subscription", id="sub: no name"),
    pytest.param('{"msg":"sub","name":"p"}', "Malformed subscription", id="sub: no id"),
    pytest.param('{"msg":"sub","id":1,"name":"p"}', "Malformed subscription", id="sub: a number id"),
    pytest.param('{"msg":"sub","id":"","name":"p"}', "Malformed subscription", id="sub: an empty id (S23)"),
    pytest.param('{"msg":"sub","id":"1","name":"p","params":null}', "Malformed subscription", id="sub: params null"),
    pytest.param('{"msg":"sub","id":"1","name":"p","params":"x"}', "Malformed subscription", id="sub: params a string"),
    pytest.param('{"msg":"unsub","id":5}', "Malformed unsubscription", id="unsub: a number id (S27)"),
    pytest.param('{"msg":"unsub","id":{}}', "Malformed unsubscription", id="unsub: an object id"),
]


@pytest.mark.parametrize(("text", "reason", "offending"), REFUSED_AT_ONCE)
@pytest.mark.parametrize("make", [opened, established])
def test_what_is_no_message_is_refused_at_once(make: Any, text: str, reason: str, offending: Any) -> None:
    """S10."""
    session = make()
    expected = {"msg": "error", "reason": reason}
    if offending is not NO_MESSAGE:
        expected["offendingMessage"] = offending
    state = session.state
    assert told(session, text) == ([], [expected])
    assert session.state is state


@pytest.mark.parametrize(("text", "reason"), REFUSED_IN_TURN)
def test_what_reaches_the_session_is_refused_in_its_turn(text: str, reason: str) -> None:
    """S10, S15, S20, S23, S27, S30."""
    session = established()
    [event], texts = told(session, text)
    assert texts == []
    assert isinstance(event, MessageRefused)
    session.send(event.answer)
    [answer] = session.texts_to_send()
    assert json.loads(answer) == {"msg": "error", "reason": reason, "offendingMessage": json.loads(text)}


@pytest.mark.parametrize(
    "text",
    [parameter.values[0] for parameter in REFUSED_IN_TURN]
    + ['{"msg":"ping"}', '{"msg":"pong"}', '{"msg":"disconnect"}', '{"msg":"sub","id":"1","name":"p"}'],
)
def test_nothing_but_connect_is_taken_before_connect(text: Any) -> None:
    """S10, H11."""
    session = opened()
    assert told(session, text) == (
        [],
        [{"msg": "error", "reason": "Must connect first", "offendingMessage": json.loads(text)}],
    )
    assert session.state is ServerSessionState.CONNECTING


def test_an_offending_message_is_quoted_to_the_letter() -> None:
    session = established()
    text = '{"msg":"x",  "n":1e400, "big":9007199254740993, "s":"\\ud800", "d":{"$date":5}, "params":[{"$date":5}]}'
    [event], _ = told(session, text)
    session.send(event.answer)
    assert session.texts_to_send() == ['{"msg":"error","reason":"Bad request","offendingMessage":' + text + "}"]


def test_a_lone_surrogate_that_came_unescaped_can_be_quoted() -> None:
    _, [answer] = told(opened(), '{"a":"\ud800"}')
    assert answer["offendingMessage"] == {"a": "\ud800"}


# ----------------------------------------------------------------------------------------------------- good messages


@pytest.mark.parametrize(
    ("text", "event"),
    [
        pytest.param(
            '{"msg":"method","id":"1","method":"m","params":[1,{"$binary":"AQ=="}],"randomSeed":"s","extra":1}',
            MethodReceived("1", "m", [1, b"\x01"], "s"),
            id="method",
        ),
        pytest.param(
            '{"msg":"method","id":"","method":""}', MethodReceived("", "", [], None), id="method: empty id (S31)"
        ),
        pytest.param(
            '{"msg":"method","id":"1","method":"m","randomSeed":""}',
            MethodReceived("1", "m", [], None),
            id="method: empty seed",
        ),
        pytest.param(
            '{"msg":"method","id":"1","method":"m","params":[{"\\u0024escape":{"a":1}}]}',
            MethodReceived("1", "m", [{"a": 1}], None),
            id="method: EJSON behind an escape",
        ),
        pytest.param('{"msg":"sub","id":"1","name":"p","params":[]}', SubReceived("1", "p", []), id="sub"),
        pytest.param('{"msg":"sub","id":"1","name":""}', SubReceived("1", "", []), id="sub: no params, empty name"),
        pytest.param('{"msg":"unsub","id":"1"}', UnsubReceived("1"), id="unsub"),
        pytest.param('{"msg":"unsub"}', UnsubReceived(None), id="unsub: no id (S26)"),
        pytest.param('{"msg":"unsub","id":null}', UnsubReceived(None), id="unsub: id null"),
    ],
)
def test_a_good_message_is_told(text: str, event: object) -> None:
    """S20, S30, C74."""
    assert told(established(), text) == ([event], [])


@pytest.mark.parametrize(
    ("ping", "pong"),
    [
        ('{"msg":"ping"}', '{"msg":"pong"}'),
        ('{"msg":"ping","id":"k1"}', '{"msg":"pong","id":"k1"}'),
        ('{"msg":"ping","id":""}', '{"msg":"pong","id":""}'),
        ('{"msg":"ping","id":5}', '{"msg":"pong","id":5}'),
        ('{"msg":"ping","id":null}', '{"msg":"pong","id":null}'),
        ('{"msg":"ping","id":{"a":[1]}}', '{"msg":"pong","id":{"a":[1]}}'),
    ],
)
def test_a_ping_is_answered_at_once_with_whatever_id_it_has(ping: str, pong: str) -> None:
    """H8, H9, H10."""
    session = established()
    session.receive_text(ping, 0.0)
    assert (session.events_received(), session.texts_to_send()) == ([], [pong])


def test_a_pong_is_life_and_nothing_more() -> None:
    assert told(established(), '{"msg":"pong","id":"x"}') == ([], [])


@pytest.mark.parametrize("msg", ["ping", "pong"])
def test_version_pre1_knows_no_heartbeat(msg: str) -> None:
    """H6."""
    session = established("pre1")
    [event], texts = told(session, json.dumps({"msg": msg}))
    assert isinstance(event, MessageRefused)
    assert texts == []
    assert session.next_deadline() is None


@given(json_trees(), st.booleans())
def test_no_text_raises_and_none_ends_the_session(tree: Any, connected: bool) -> None:
    session = established() if connected else opened()
    for text in (json.dumps(tree), json.dumps({"msg": tree, "params": tree}), json.dumps(tree)[:-1]):
        session.receive_text(text, 0.0)
        for event in session.events_received():
            if isinstance(event, MessageRefused):
                session.send(event.answer)
        for answer in session.texts_to_send():
            assert json.loads(answer)["msg"] == "error"
    assert session.state in (ServerSessionState.CONNECTING, ServerSessionState.ESTABLISHED)


# ---------------------------------------------------------------------------------------------------------- heartbeat


def test_a_silent_client_is_pinged_and_then_its_session_waits_for_it_to_come_back() -> None:
    """H2, H4, H5, R26: as after any other loss."""
    session = established(heartbeat_interval=15.0, heartbeat_timeout=10.0, grace_period=5.0)
    assert session.next_deadline() == 15.0
    session.handle_timer(15.0)
    assert session.texts_to_send() == ['{"msg":"ping"}']
    assert session.next_deadline() == 25.0
    session.handle_timer(25.0)
    assert session.events_received() == [HeartbeatTimedOut()]
    assert session.next_deadline() == 30.0
    session.send(Added("c", "x"))
    assert session.texts_to_send() == []
    assert session.can_resume(1)
    session.resume("1", 29.0)
    assert session.texts_to_send() == [CONNECTED, '{"msg":"added","collection":"c","id":"x"}']
    session.handle_timer(44.0)
    session.handle_timer(54.0)
    assert session.events_received() == [HeartbeatTimedOut()]
    session.handle_timer(59.0)
    assert session.events_received() == [SessionEnded(EndReason.GRACE_OVER)]


@pytest.mark.parametrize("why", ["no grace period", "the client is leaving"])
def test_a_silent_client_that_is_not_waited_for_is_given_up_for_good(why: str) -> None:
    """H5, R24, R25."""
    session = established(heartbeat_interval=15.0, heartbeat_timeout=10.0, grace_period=float(why != "no grace period"))
    if why == "the client is leaving":
        session.receive_text('{"msg":"disconnect"}', 0.0)
    for now in (15.0, 30.0, 40.0):
        session.handle_timer(now)
    assert session.events_received() == [SessionEnded(EndReason.HEARTBEAT)]
    assert not session.can_resume(session.sent_count)


@pytest.mark.parametrize("text", ['{"msg":"pong"}', '{"msg":"unsub"}', '{"msg":"garbage"}', '{"msg":"method"}'])
def test_every_message_that_reaches_the_session_is_life(text: str) -> None:
    """H3."""
    session = established(heartbeat_interval=15.0, heartbeat_timeout=10.0)
    session.handle_timer(15.0)
    session.receive_text(text, 20.0)
    session.handle_timer(25.0)
    assert [event for event in session.events_received() if isinstance(event, SessionEnded)] == []


@pytest.mark.parametrize("text", ["garbage", "{}", CONNECT, '{"msg":"x","cleared":1}'])
def test_what_does_not_reach_the_session_is_not(text: str) -> None:
    """H3."""
    session = established(heartbeat_interval=15.0, heartbeat_timeout=10.0)
    session.handle_timer(15.0)
    session.receive_text(text, 20.0)
    session.handle_timer(25.0)
    assert HeartbeatTimedOut() in session.events_received()


def test_an_owner_that_does_not_read_keeps_its_client_alive_and_pings_it() -> None:
    session = established(heartbeat_interval=15.0, heartbeat_timeout=10.0)
    session.handle_timer(15.0)
    session.texts_to_send()
    session.probe()
    session.handle_timer(25.0)
    assert session.events_received() == []
    assert session.texts_to_send() == ['{"msg":"ping"}']


def test_a_client_without_heartbeat_is_not_pinged_by_a_probe() -> None:
    """H6."""
    session = opened()
    session.probe()
    session.receive_text('{"msg":"connect","version":"pre1","support":["pre1"]}', 0.0)
    session.accept("S", 0.0)
    session.texts_to_send()
    session.probe()
    assert session.texts_to_send() == []


def test_heartbeat_starts_with_connected_and_not_before() -> None:
    """H7."""
    session = opened(connect_timeout=45.0)
    session.receive_text(CONNECT, 7.0)
    assert session.next_deadline() is None
    session.accept("S", 8.0)
    assert session.next_deadline() == 23.0


# --------------------------------------------------------------------------------------------------------- resumption


def lost(now: float = 100.0, **settings: Any) -> ServerSession:
    session = established(**settings)
    session.send(Added("c", "x"))
    session.texts_to_send()
    session.receive_eof(now)
    return session


def test_messages_are_counted_but_for_ping_and_pong() -> None:
    """R20."""
    session = established()
    assert session.sent_count == 1
    session.send(Ready(("s",)))
    session.receive_text('{"msg":"ping"}', 0.0)
    session.send(Ping())
    session.send(Pong())
    session.receive_text("garbage", 0.0)
    assert session.sent_count == 3


def test_a_lost_session_waits_for_its_client_for_the_grace_period() -> None:
    """R24."""
    session = lost(100.0, grace_period=15.0)
    assert session.state is ServerSessionState.DETACHED
    assert session.events_received() == []
    assert session.next_deadline() == 115.0
    session.handle_timer(114.9)
    assert session.can_resume(2)
    session.handle_timer(115.0)
    assert session.events_received() == [SessionEnded(EndReason.GRACE_OVER)]
    assert not session.can_resume(2)


def test_a_resumed_session_says_connected_with_the_old_id_then_all_that_was_queued_then_what_is_new() -> None:
    """R22, R27."""
    session = lost()
    session.send(Added("c", "y"))
    session.send(Updated(("1",)))
    assert session.texts_to_send() == []
    assert session.can_resume(2)
    session.resume("1", 105.0)
    session.send(Ready(("s",)))
    assert session.texts_to_send() == [
        CONNECTED,
        '{"msg":"added","collection":"c","id":"y"}',
        '{"msg":"updated","methods":["1"]}',
        '{"msg":"ready","subs":["s"]}',
    ]
    # The second `connected` counts like any message.
    assert session.sent_count == 6
    assert session.state is ServerSessionState.ESTABLISHED
    assert session.next_deadline() == 120.0


@pytest.mark.parametrize("count", [None, 0, 1, 3])
def test_a_client_with_more_or_less_messages_than_were_sent_gets_a_new_session(count: int | None) -> None:
    """R23."""
    assert not lost().can_resume(count)


def test_a_live_session_is_not_resumed() -> None:
    """R23: it has not ended."""
    session = established()
    assert not session.can_resume(1)
    with pytest.raises(LocalProtocolError):
        session.resume("1", 0.0)


def test_the_queue_has_an_end_and_then_the_session_has_too() -> None:
    """R24, R27: and what is sent after that goes nowhere, and raises nothing."""
    session = lost(queue_limit=3)
    for number in range(3):
        session.send(Added("c", str(number)))
    assert session.events_received() == []
    session.send(Added("c", "too many"))
    assert session.events_received() == [SessionEnded(EndReason.QUEUE_FULL)]
    session.send(Added("c", "later"))
    assert (session.events_received(), session.texts_to_send()) == ([], [])
    assert not session.can_resume(2)


def test_a_client_that_says_disconnect_is_answered_until_it_closes_and_then_not_waited_for() -> None:
    """R25: the message itself has no answer."""
    session = established()
    assert told(session, '{"msg":"disconnect"}') == ([], [])
    assert told(session, '{"msg":"ping"}') == ([], [{"msg": "pong"}])
    assert told(session, '{"msg":"method","id":"1","method":"m"}') == ([MethodReceived("1", "m", [], None)], [])
    session.send(Updated(("1",)))
    assert session.texts_to_send() == ['{"msg":"updated","methods":["1"]}']
    session.receive_eof(1.0)
    assert session.events_received() == [SessionEnded(EndReason.DISCONNECT)]
    assert not session.can_resume(session.sent_count)


def test_disconnect_is_no_opening() -> None:
    """R25."""
    session = opened()
    assert told(session, '{"msg":"disconnect"}')[1][0]["reason"] == "Must connect first"


def test_a_session_that_its_client_cannot_go_on_with_ends_at_once() -> None:
    """R33."""
    session = lost()
    session.supersede()
    assert session.events_received() == [SessionEnded(EndReason.SUPERSEDED)]
    assert session.next_deadline() is None
    session.supersede()
    assert session.events_received() == []


def test_a_session_whose_loss_was_not_noticed_is_not_ended_by_its_client_on_another_socket() -> None:
    """R33: it ends by its heartbeat and its grace period."""
    session = established()
    session.supersede()
    assert session.state is ServerSessionState.ESTABLISHED
    assert session.events_received() == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("garbage", id="not JSON"),
        pytest.param("{}", id="no msg"),
        pytest.param('{"msg":"x","cleared":1}', id="not EJSON"),
        pytest.param(CONNECT, id="a second connect"),
        pytest.param('{"msg":"nonsense"}', id="an unknown msg"),
        pytest.param('{"msg":"method"}', id="a malformed method"),
    ],
)
def test_every_error_is_counted(text: str) -> None:
    """R32: as clients count them."""
    session = established()
    session.receive_text(text, 0.0)
    for event in session.events_received():
        assert isinstance(event, MessageRefused)
        session.send(event.answer)
    assert len(session.texts_to_send()) == 1
    assert session.sent_count == 2


@pytest.mark.parametrize("version", ["1", "pre2", "pre1"])
def test_a_session_is_resumed_whatever_the_version_and_any_number_of_times(version: str) -> None:
    """R33."""
    session = lost()
    for count in range(2, 6):
        assert session.can_resume(count)
        session.resume(version, 100.0)
        assert session.texts_to_send() == [CONNECTED]
        session.receive_eof(101.0)


@pytest.mark.parametrize(("count", "taken"), [("5", 5), ("5.0", 5), ("5.5", None), ("1e400", None), ("true", None)])
def test_a_count_is_any_whole_number(count: str, taken: int | None) -> None:
    """R23: JavaScript knows no difference between 5 and 5.0."""
    session = opened()
    session.receive_text(f'{CONNECT[:-1]},"session":"S","receivedCount":{count}}}', 0.0)
    assert session.events_received() == [ConnectReceived("1", "S", taken)]


@pytest.mark.parametrize("when", ["live", "detached"])
def test_a_session_that_the_server_closes_is_never_resumed(when: str) -> None:
    """R26, R27: also in the grace period."""
    session = established() if when == "live" else lost()
    session.close()
    session.receive_eof(101.0)
    assert session.state is ServerSessionState.CLOSED
    assert not session.can_resume(session.sent_count)
    assert session.next_deadline() is None


def test_without_a_grace_period_a_loss_is_the_end() -> None:
    session = established(grace_period=0.0)
    session.receive_eof(1.0)
    assert session.events_received() == [SessionEnded(EndReason.LOST)]


def test_a_connection_lost_before_its_session_is_no_session() -> None:
    session = opened()
    session.receive_eof(1.0)
    assert session.events_received() == [SessionEnded(EndReason.LOST)]


def test_a_loss_is_told_once() -> None:
    session = lost()
    session.receive_eof(101.0)
    assert session.next_deadline() == 115.0


def test_what_was_not_taken_before_the_loss_counts_as_sent() -> None:
    """R23: the client does not have it, so it cannot resume, and nothing is missed in silence."""
    session = established()
    session.send(Added("c", "x"))
    session.receive_eof(1.0)
    assert session.texts_to_send() == []
    assert not session.can_resume(1)


def test_the_size_of_what_waits_is_known() -> None:
    session = established()
    assert session.unsent_size == 0
    session.send(Ready(("s",)))
    assert session.unsent_size == len('{"msg":"ready","subs":["s"]}')
    session.texts_to_send()
    assert session.unsent_size == 0
