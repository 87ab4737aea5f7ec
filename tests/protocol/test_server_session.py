"""The server side of a session: negotiation, refusals, heartbeat, resumption."""

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
    """Pass a text to the session, and return its events and the sent messages as JSON."""
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
def test_the_first_common_version_is_accepted(version: str, support: list[str]) -> None:
    """S2."""
    events, texts = told(opened(), json.dumps({"msg": "connect", "version": version, "support": support}))
    assert events == [ConnectReceived(version, None, None)]
    assert texts == []


@pytest.mark.parametrize(
    ("connect", "better"),
    [
        pytest.param({"version": "99", "support": ["99"]}, "1", id="no common version"),
        pytest.param({"version": "pre1", "support": ["1", "pre1"]}, "1", id="a better common version"),
        pytest.param({"version": "1", "support": ["pre2", "1"]}, "pre2", id="the client's order"),
        pytest.param({"version": "1"}, "1", id="no support"),
        pytest.param({"version": "1", "support": []}, "1", id="empty support"),
        pytest.param({"version": "1", "support": "1"}, "1", id="support is a string"),
        pytest.param({"version": "1", "support": ["1", 2]}, "1", id="support of not only strings"),
        pytest.param({"version": "1", "support": ["pre1"]}, "1", id="a version it does not support"),
        pytest.param({"version": 1, "support": [1]}, "1", id="a number"),
        pytest.param({"support": ["1"]}, "1", id="no version"),
        pytest.param({}, "1", id="no fields"),
    ],
)
def test_another_version_is_answered_with_the_version_to_use_and_ends_the_session(
    connect: dict[str, Any], better: str
) -> None:
    """S1, S2, S5."""
    session = opened()
    events, texts = told(session, json.dumps({"msg": "connect", **connect}))
    assert events == [SessionEnded(EndReason.NO_VERSION)]
    assert texts == [{"msg": "failed", "version": better}]
    assert told(session, CONNECT) == ([], [])
    assert session.next_deadline() is None


def test_an_accepted_session_sends_connected_first() -> None:
    """S3."""
    session = opened()
    session.receive_text(CONNECT, 0.0)
    session.accept("S", 0.0)
    assert session.texts_to_send() == [CONNECTED]
    assert session.state is ServerSessionState.ESTABLISHED


def test_connect_names_the_session_to_resume() -> None:
    """R21."""
    events, _ = told(
        opened(), '{"msg":"connect","session":"OLD","receivedCount":7,"version":"1","support":["1"],"extra":[1]}'
    )
    assert events == [ConnectReceived("1", "OLD", 7)]


@pytest.mark.parametrize("field", ['"session":5', '"receivedCount":"7"', '"receivedCount":true', '"session":null'])
def test_an_invalid_session_or_count_is_ignored(field: str) -> None:
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


def test_accept_needs_a_connect() -> None:
    for session in (opened(), established()):
        with pytest.raises(LocalProtocolError):
            session.accept("T", 0.0)


def test_a_session_without_a_connect_ends_after_a_timeout() -> None:
    """S7."""
    session = opened(connect_timeout=45.0)
    assert session.next_deadline() == 45.0
    session.handle_timer(44.9)
    assert session.events_received() == []
    session.handle_timer(45.0)
    assert session.events_received() == [SessionEnded(EndReason.NO_CONNECT)]


# ----------------------------------------------------------------------------------------------------------- refusals

NO_MESSAGE = object()

#: Text, reason and offendingMessage of errors that are sent at once, before any queued message (S10).
REFUSED_AT_ONCE = [
    pytest.param("not json", "Bad request", NO_MESSAGE, id="not JSON"),
    pytest.param("", "Bad request", NO_MESSAGE, id="an empty text"),
    pytest.param("NaN", "Bad request", NO_MESSAGE, id="NaN is not JSON"),
    pytest.param('{"msg":"ping"', "Bad request", NO_MESSAGE, id="an incomplete object"),
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
        '{"msg":"method","id":"1","method":"m","params":[{"$binary":5}]}', "Parse error", NO_MESSAGE, id="invalid EJSON"
    ),
    pytest.param('{"msg":"x","fields":{"$binary":"*"}}', "Parse error", NO_MESSAGE, id="invalid EJSON in fields"),
    pytest.param(
        '{"msg":"x","result":{"$type":"oid","$value":"z"}}', "Parse error", NO_MESSAGE, id="invalid EJSON in result"
    ),
    pytest.param('{"msg":"x","cleared":5}', "Parse error", NO_MESSAGE, id="cleared is not an array"),
]

#: Text and reason of errors that are sent in the order of the queue (S10, S15).
REFUSED_IN_TURN = [
    pytest.param('{"msg":"garbage","id":"1"}', "Bad request", id="unknown msg"),
    pytest.param('{"msg":"added","collection":"c","id":"x"}', "Bad request", id="a server's message"),
    pytest.param('{"msg":"toString"}', "Bad request", id="a name that JavaScript knows (S11)"),
    pytest.param('{"msg":5}', "Bad request", id="msg is a number"),
    pytest.param('{"msg":{}}', "Bad request", id="msg is an object"),
    pytest.param('{"msg":[]}', "Bad request", id="msg is an array"),
    pytest.param('{"msg":true}', "Bad request", id="msg is true"),
    pytest.param('{"msg":"method"}', "Malformed method invocation", id="method: no fields"),
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
    pytest.param('{"msg":"sub"}', "Malformed subscription", id="sub: no fields"),
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
def test_an_invalid_message_is_refused_at_once(make: Any, text: str, reason: str, offending: Any) -> None:
    """S10."""
    session = make()
    expected = {"msg": "error", "reason": reason}
    if offending is not NO_MESSAGE:
        expected["offendingMessage"] = offending
    state = session.state
    assert told(session, text) == ([], [expected])
    assert session.state is state


@pytest.mark.parametrize(("text", "reason"), REFUSED_IN_TURN)
def test_an_invalid_request_is_refused_in_its_turn(text: str, reason: str) -> None:
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
def test_only_connect_is_accepted_at_first(text: Any) -> None:
    """S10, H11."""
    session = opened()
    assert told(session, text) == (
        [],
        [{"msg": "error", "reason": "Must connect first", "offendingMessage": json.loads(text)}],
    )
    assert session.state is ServerSessionState.CONNECTING


def test_an_offending_message_is_quoted_unchanged() -> None:
    session = established()
    text = '{"msg":"x",  "n":1e400, "big":9007199254740993, "s":"\\ud800", "d":{"$date":5}, "params":[{"$date":5}]}'
    [event], _ = told(session, text)
    session.send(event.answer)
    assert session.texts_to_send() == ['{"msg":"error","reason":"Bad request","offendingMessage":' + text + "}"]


def test_an_unescaped_lone_surrogate_can_be_quoted() -> None:
    _, [answer] = told(opened(), '{"a":"\ud800"}')
    assert answer["offendingMessage"] == {"a": "\ud800"}


# ----------------------------------------------------------------------------------------------------- valid messages


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
            id="method: EJSON with an escaped key",
        ),
        pytest.param('{"msg":"sub","id":"1","name":"p","params":[]}', SubReceived("1", "p", []), id="sub"),
        pytest.param('{"msg":"sub","id":"1","name":""}', SubReceived("1", "", []), id="sub: no params, empty name"),
        pytest.param('{"msg":"unsub","id":"1"}', UnsubReceived("1"), id="unsub"),
        pytest.param('{"msg":"unsub"}', UnsubReceived(None), id="unsub: no id (S26)"),
        pytest.param('{"msg":"unsub","id":null}', UnsubReceived(None), id="unsub: id null"),
    ],
)
def test_a_valid_message_is_reported(text: str, event: object) -> None:
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
def test_a_ping_is_answered_at_once_with_any_id(ping: str, pong: str) -> None:
    """H8, H9, H10."""
    session = established()
    session.receive_text(ping, 0.0)
    assert (session.events_received(), session.texts_to_send()) == ([], [pong])


def test_a_pong_is_only_a_sign_of_life() -> None:
    assert told(established(), '{"msg":"pong","id":"x"}') == ([], [])


@pytest.mark.parametrize("msg", ["ping", "pong"])
def test_version_pre1_has_no_heartbeat(msg: str) -> None:
    """H6."""
    session = established("pre1")
    [event], texts = told(session, json.dumps({"msg": msg}))
    assert isinstance(event, MessageRefused)
    assert texts == []
    assert session.next_deadline() is None


@given(json_trees(), st.booleans())
def test_no_text_raises_or_ends_the_session(tree: Any, connected: bool) -> None:
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


def test_the_session_of_a_silent_client_can_be_resumed() -> None:
    """H2, H4, H5, R26: silence counts as a lost connection."""
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
def test_a_session_without_resumption_ends_when_the_client_is_silent(why: str) -> None:
    """H5, R24, R25."""
    session = established(heartbeat_interval=15.0, heartbeat_timeout=10.0, grace_period=float(why != "no grace period"))
    if why == "the client is leaving":
        session.receive_text('{"msg":"disconnect"}', 0.0)
    for now in (15.0, 30.0, 40.0):
        session.handle_timer(now)
    assert session.events_received() == [SessionEnded(EndReason.HEARTBEAT)]
    assert not session.can_resume(session.sent_count)


@pytest.mark.parametrize("text", ['{"msg":"pong"}', '{"msg":"unsub"}', '{"msg":"garbage"}', '{"msg":"method"}'])
def test_every_message_to_the_session_is_a_sign_of_life(text: str) -> None:
    """H3."""
    session = established(heartbeat_interval=15.0, heartbeat_timeout=10.0)
    session.handle_timer(15.0)
    session.receive_text(text, 20.0)
    session.handle_timer(25.0)
    assert [event for event in session.events_received() if isinstance(event, SessionEnded)] == []


@pytest.mark.parametrize("text", ["garbage", "{}", CONNECT, '{"msg":"x","cleared":1}'])
def test_a_message_that_does_not_reach_the_session_does_not_count_as_a_sign_of_life(text: str) -> None:
    """H3."""
    session = established(heartbeat_interval=15.0, heartbeat_timeout=10.0)
    session.handle_timer(15.0)
    session.receive_text(text, 20.0)
    session.handle_timer(25.0)
    assert HeartbeatTimedOut() in session.events_received()


def test_a_client_is_kept_alive_and_pinged_while_the_owner_does_not_read() -> None:
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


def test_all_messages_but_ping_and_pong_are_counted() -> None:
    """R20."""
    session = established()
    assert session.sent_count == 1
    session.send(Ready(("s",)))
    session.receive_text('{"msg":"ping"}', 0.0)
    session.send(Ping())
    session.send(Pong())
    session.receive_text("garbage", 0.0)
    assert session.sent_count == 3


def test_a_session_outlives_its_connection_by_the_grace_period() -> None:
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


def test_a_resumed_session_sends_connected_then_queued_then_new_messages() -> None:
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
    # The second `connected` counts like any other message.
    assert session.sent_count == 6
    assert session.state is ServerSessionState.ESTABLISHED
    assert session.next_deadline() == 120.0


@pytest.mark.parametrize("count", [None, 0, 1, 3])
def test_a_client_with_another_count_of_messages_cannot_resume(count: int | None) -> None:
    """R23."""
    assert not lost().can_resume(count)


def test_a_live_session_is_not_resumed() -> None:
    """R23: only a session whose connection was lost can be resumed."""
    session = established()
    assert not session.can_resume(1)
    with pytest.raises(LocalProtocolError):
        session.resume("1", 0.0)


def test_a_full_queue_ends_the_session() -> None:
    """R24, R27: messages after that are dropped, and raise nothing."""
    session = lost(queue_limit=3)
    for number in range(3):
        session.send(Added("c", str(number)))
    assert session.events_received() == []
    session.send(Added("c", "too many"))
    assert session.events_received() == [SessionEnded(EndReason.QUEUE_FULL)]
    session.send(Added("c", "later"))
    assert (session.events_received(), session.texts_to_send()) == ([], [])
    assert not session.can_resume(2)


def test_after_disconnect_calls_are_answered_but_the_session_is_not_kept() -> None:
    """R25: the message itself is not answered."""
    session = established()
    assert told(session, '{"msg":"disconnect"}') == ([], [])
    assert told(session, '{"msg":"ping"}') == ([], [{"msg": "pong"}])
    assert told(session, '{"msg":"method","id":"1","method":"m"}') == ([MethodReceived("1", "m", [], None)], [])
    session.send(Updated(("1",)))
    assert session.texts_to_send() == ['{"msg":"updated","methods":["1"]}']
    session.receive_eof(1.0)
    assert session.events_received() == [SessionEnded(EndReason.DISCONNECT)]
    assert not session.can_resume(session.sent_count)


def test_disconnect_before_connect_is_refused() -> None:
    """R25."""
    session = opened()
    assert told(session, '{"msg":"disconnect"}')[1][0]["reason"] == "Must connect first"


def test_a_superseded_session_ends_at_once() -> None:
    """R33."""
    session = lost()
    session.supersede()
    assert session.events_received() == [SessionEnded(EndReason.SUPERSEDED)]
    assert session.next_deadline() is None
    session.supersede()
    assert session.events_received() == []


def test_a_session_with_a_socket_is_not_superseded() -> None:
    """R33: the other session ends after its heartbeat timeout and its grace period."""
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
    """R32: clients count them, too."""
    session = established()
    session.receive_text(text, 0.0)
    for event in session.events_received():
        assert isinstance(event, MessageRefused)
        session.send(event.answer)
    assert len(session.texts_to_send()) == 1
    assert session.sent_count == 2


@pytest.mark.parametrize("version", ["1", "pre2", "pre1"])
def test_a_session_is_resumed_with_any_version_and_any_number_of_times(version: str) -> None:
    """R33."""
    session = lost()
    for count in range(2, 6):
        assert session.can_resume(count)
        session.resume(version, 100.0)
        assert session.texts_to_send() == [CONNECTED]
        session.receive_eof(101.0)


@pytest.mark.parametrize(("count", "taken"), [("5", 5), ("5.0", 5), ("5.5", None), ("1e400", None), ("true", None)])
def test_a_count_can_be_any_whole_number(count: str, taken: int | None) -> None:
    """R23: JavaScript does not distinguish 5 from 5.0."""
    session = opened()
    session.receive_text(f'{CONNECT[:-1]},"session":"S","receivedCount":{count}}}', 0.0)
    assert session.events_received() == [ConnectReceived("1", "S", taken)]


@pytest.mark.parametrize("when", ["live", "detached"])
def test_a_session_that_the_server_closes_is_never_resumed(when: str) -> None:
    """R26, R27: this holds also in the grace period."""
    session = established() if when == "live" else lost()
    session.close()
    session.receive_eof(101.0)
    assert session.state is ServerSessionState.CLOSED
    assert not session.can_resume(session.sent_count)
    assert session.next_deadline() is None


def test_without_a_grace_period_a_lost_connection_ends_the_session() -> None:
    session = established(grace_period=0.0)
    session.receive_eof(1.0)
    assert session.events_received() == [SessionEnded(EndReason.LOST)]


def test_a_connection_lost_before_connect_leaves_no_session() -> None:
    session = opened()
    session.receive_eof(1.0)
    assert session.events_received() == [SessionEnded(EndReason.LOST)]


def test_a_lost_connection_is_reported_once() -> None:
    session = lost()
    session.receive_eof(101.0)
    assert session.next_deadline() == 115.0


def test_unsent_messages_count_as_sent_when_the_connection_is_lost() -> None:
    """R23: the client did not receive these messages. It therefore cannot resume, and gets all documents again."""
    session = established()
    session.send(Added("c", "x"))
    session.receive_eof(1.0)
    assert session.texts_to_send() == []
    assert not session.can_resume(1)


def test_the_size_of_unsent_messages_is_known() -> None:
    session = established()
    assert session.unsent_size == 0
    session.send(Ready(("s",)))
    assert session.unsent_size == len('{"msg":"ready","subs":["s"]}')
    session.texts_to_send()
    assert session.unsent_size == 0
