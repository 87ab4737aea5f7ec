"""The client with a real Meteor server."""

from __future__ import annotations

import datetime as dt
import math
import threading
from collections.abc import Callable, Iterator

import pytest

from ddpshell import (
    Client,
    ConnectionLost,
    ConnectionState,
    MethodError,
    OutcomeUnknown,
    SubscriptionError,
    ejson,
    events,
)
from ddpshell.ejson import EJSONValue
from ddpshell.text.literals import parse
from tests.meteor import MeteorServer

PATIENCE = 20


@pytest.fixture
def client(meteor_server: MeteorServer) -> Iterator[Client]:
    with Client(meteor_server.url) as client:
        client.call("reset").result(PATIENCE)
        yield client


# -------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        pytest.param("upper", ["Hello"], "HELLO", id="upper"),
        pytest.param("upper", ["grüße \U0001f600"], "GRÜSSE \U0001f600", id="beyond ASCII"),
        pytest.param(
            "echo", [1, "two", [3], {"four": 4}, None, True], [1, "two", [3], {"four": 4}, None, True], id="JSON"
        ),
        pytest.param("bytes", [5], b"\0\1\2\3\4", id="binary"),
        pytest.param("bytes", [0], b"", id="no bytes"),
        pytest.param("regexp", [], ejson.RegExp("a+b", "gi"), id="regexp"),
        pytest.param("point", [1, 2], ejson.Custom("Point", {"x": 1, "y": 2}), id="custom"),
        pytest.param(
            "objectId", ["0123456789abcdef01234567"], ejson.ObjectID("0123456789abcdef01234567"), id="ObjectID"
        ),
        pytest.param("nullResult", [], None, id="null"),
        pytest.param("bytes", [300_000], bytes(i % 256 for i in range(300_000)), id="large"),
    ],
)
def test_values_from_meteor_are_decoded(
    client: Client, method: str, params: list[EJSONValue], expected: EJSONValue
) -> None:
    """E2 - E10."""
    assert client.call(method, *params).result(PATIENCE) == expected


def test_nan_and_infinities_are_decoded(client: Client) -> None:
    """E6."""
    result = client.call("nan").result(PATIENCE)
    assert isinstance(result, dict)
    assert math.isnan(result.pop("nan"))
    assert result == {"inf": math.inf, "ninf": -math.inf}


def test_the_current_time_is_decoded(client: Client) -> None:
    """E4."""
    now = client.call("now").result(PATIENCE)
    assert isinstance(now, dt.datetime)
    assert abs(now - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (dt.datetime(2026, 1, 2, 3, 4, 5, 678000, dt.UTC), "Date"),
        (ejson.Date(-8_640_000_000_000_000), "Date"),
        (b"abc", "binary:3"),
        (ejson.Custom("Point", {"x": 1, "y": 2}), "Point"),
        (ejson.ObjectID("0123456789abcdef01234567"), "oid"),
        (ejson.RegExp("a", "i"), "RegExp"),
        (None, "null"),
        ([], "array"),
        ({}, "object"),
        (math.inf, "number"),
        ("\ud800", "string"),
        ({"$date": 5, "x": 1}, "object"),
    ],
    ids=repr,
)
def test_meteor_returns_values_unchanged(client: Client, value: EJSONValue, kind: str) -> None:
    """E15 - E17, E32."""
    assert client.call("typeOf", value).result(PATIENCE) == kind
    assert ejson.equals(client.call("identity", value).result(PATIENCE), value)


def test_objects_that_only_look_like_ejson_are_unchanged(client: Client) -> None:
    """E15, V50."""
    assert client.call("typeOf", {"$date": 5}).result(PATIENCE) == "object"
    assert client.call("identity", {"$date": 5}).result(PATIENCE) == {"$date": 5}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside another"])
def test_a_type_that_meteor_does_not_know_fails_at_once(client: Client, alone: bool) -> None:
    """C76: the server answers with an `error` message that does not name the call."""
    slow = None if alone else client.call("slow", 500)
    with pytest.raises(MethodError) as raised:
        client.call("typeOf", ejson.Custom("Nope", {"x": 1})).result(PATIENCE)
    assert (raised.value.error, raised.value.reason) == ("bad-request", "Parse error")
    with pytest.raises(MethodError):
        client.call("upper", "a", ejson.Custom("Nope", 1)).result(PATIENCE)
    with pytest.raises(SubscriptionError):
        client.subscribe("tasks", ejson.Custom("Nope", 1)).ready.result(PATIENCE)
    if slow is not None:
        assert slow.exception(PATIENCE) is None


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ('{"$date": "2020-01-01T00:00:00Z"}', ejson.date_from_ms(1577836800000)),
        ('{"$date": "2020-01-01"}', ejson.date_from_ms(1577836800000)),
        ('{"$date": "+275760-09-13T00:00:00.000Z"}', ejson.Date(8640000000000000)),
        ('{"$date": {"$numberLong": "5"}}', ejson.date_from_ms(5)),
    ],
)
def test_mongodbs_dates_arrive_as_dates(client: Client, form: str, value: EJSONValue) -> None:
    """E12, V45, V47."""
    assert client.call("typeOf", parse(form)).result(PATIENCE) == "Date"
    assert ejson.equals(client.call("identity", parse(form)).result(PATIENCE), value)


def test_an_invalid_date_arrives_as_1970(client: Client) -> None:
    """E4, E19: therefore `{"$date": null}` is refused if a user types it."""
    assert client.call("identity", ejson.Date(None)).result(PATIENCE) == ejson.date_from_ms(0)


def test_a_reason_of_any_shape_arrives(client: Client) -> None:
    """C28."""
    error = client.call("boomObject").exception(PATIENCE)
    assert isinstance(error, MethodError)
    assert (error.error, error.reason, str(error)) == ("d", {"a": [1]}, '{"a":[1]} [d]')


def test_a_missing_result_differs_from_null(client: Client) -> None:
    """C15, S33."""
    nothing, null = client.call("nothing"), client.call("nullResult")
    assert (nothing.result(PATIENCE), nothing.has_result) == (None, False)
    assert (null.result(PATIENCE), null.has_result) == (None, True)


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("method", "params", "code", "reason", "details"),
    [
        pytest.param(
            "boom", [], "nope", "a reason", {"d": 1, "when": "1970-01-01T00:00:00.000Z"}, id="Meteor.Error (E52)"
        ),
        pytest.param("boomNumber", [], 418, None, None, id="a number alone"),
        pytest.param("nosuch", [], 404, "Method 'nosuch' not found", None, id="404"),
        pytest.param("upper", [5], 400, "Match failed", None, id="400"),
        pytest.param("crash", [], 500, "Internal server error", None, id="500"),
        pytest.param("asyncBoom", [], "later", "from a promise", None, id="from a promise"),
    ],
)
def test_errors_from_meteor_are_raised(
    client: Client, method: str, params: list[EJSONValue], code: object, reason: object, details: object
) -> None:
    """C28, S32, S40 - S42."""
    with pytest.raises(MethodError) as caught:
        client.call(method, *params).result(PATIENCE)
    assert (caught.value.error, caught.value.reason, caught.value.details) == (code, reason, details)


def test_a_rate_limit_error_has_the_time_to_wait(client: Client) -> None:
    """S50: five calls per second."""
    calls = [client.call("limited") for _ in range(8)]
    refused = [error for call in calls if (error := call.exception(PATIENCE)) is not None]
    assert refused
    for error in refused:
        assert isinstance(error, MethodError)
        assert error.error == "too-many-requests"
        assert isinstance(error.details, dict)
        assert 0 <= error.details["timeToReset"] <= 1000


# --------------------------------------------------------------------------------------------------------- order


def test_a_slow_method_delays_later_calls_unless_it_unblocks(client: Client) -> None:
    """S15, S16: it never delays a pong (H9)."""
    order: list[str] = []
    done = threading.Semaphore(0)

    def note(event: events.Event) -> None:
        if isinstance(event, events.CallFinished):
            order.append(event.method)
            done.release()

    client.on_event(note)
    client.call("slow", 300)
    client.call("upper", "x")
    client.call("slowUnblocked", 300)
    client.call("nothing")
    assert client.ping().result(PATIENCE) < 0.3
    for _ in range(4):
        assert done.acquire(timeout=PATIENCE)
    assert order == ["slow", "upper", "nothing", "slowUnblocked"]


def test_the_documents_of_a_method_arrive_before_its_result(client: Client) -> None:
    """C13, S46."""
    client.subscribe("tasks").ready.result(PATIENCE)
    seen: list[events.Event] = []
    client.on_event(seen.append)
    task_id = client.call("add", "write").result(PATIENCE)
    assert [type(event).__name__ for event in seen] == ["DocumentAdded", "CallFinished"]
    added = seen[0]
    assert isinstance(added, events.DocumentAdded)
    assert (added.collection, added.id, added.fields["title"]) == ("tasks", task_id, "write")


def test_one_random_seed_makes_one_document_id(client: Client) -> None:
    """C27, I5."""
    ids = []
    for _ in range(2):
        ids.append(client.apply("add", ["x"], random_seed="seed").result(PATIENCE))
        client.call("reset").result(PATIENCE)
    assert ids[0] == ids[1]


# ------------------------------------------------------------------------------------------------- subscriptions


def test_unusual_document_ids_are_unchanged(client: Client) -> None:
    """I10 - I12."""
    added: list[EJSONValue] = []
    client.on_event(lambda event: added.append(event.id) if isinstance(event, events.DocumentAdded) else None)
    client.subscribe("oddIds").ready.result(PATIENCE)
    assert added[:8] == [
        ejson.ObjectID("0123456789abcdef01234567"),
        "0123456789abcdef01234567",
        "-dash",
        "~tilde",
        "{brace",
        42,
        True,
        "",
    ]


def test_a_failed_subscription_has_the_reason(client: Client) -> None:
    """C34, S21, S43."""
    for name, code in [("bad", 403), ("crashes", 500), ("nosuch", 404)]:
        with pytest.raises(SubscriptionError) as caught:
            client.subscribe(name).ready.result(PATIENCE)
        assert caught.value.error == code
    later = client.subscribe("failsLater", 10)
    later.ready.result(PATIENCE)
    later.stopped.result(PATIENCE)
    assert isinstance(later.error, SubscriptionError)


# ------------------------------------------------------------------------------------------------------- a lost connection


def test_a_pending_call_is_answered_after_the_connection_is_restored(
    own_meteor_server: Callable[..., MeteorServer],
) -> None:
    """C22: the slow call is sent again, and the call that cuts the connection is not (C23)."""
    server = own_meteor_server()
    with Client(server.url) as client:
        client.wait_connected(PATIENCE)
        slow = client.call("slowUnblocked", 200)
        cut = client.apply("cut", [], retry=False)
        with pytest.raises(OutcomeUnknown):
            cut.result(PATIENCE)
        assert slow.result(PATIENCE) == 200


def test_a_restarted_server_answers_the_pending_call(
    own_meteor_server: Callable[..., MeteorServer],
) -> None:
    """C22, R31: this is the main purpose of the client."""
    server = own_meteor_server()
    seen: list[events.Event] = []
    established = threading.Semaphore(0)

    def note(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.SessionEstablished):
            established.release()

    with Client(server.url, on_event=note) as client:
        assert established.acquire(timeout=PATIENCE)
        subscription = client.subscribe("items", 3)
        subscription.ready.result(PATIENCE)
        call = client.call("slow", 2000)
        # When the server answers the next message, it has read this one.
        client.ping().result(PATIENCE)
        server.kill()
        while client.status.state is ConnectionState.CONNECTED:
            client.ping().exception(PATIENCE)
        server.restart()
        client.reconnect()
        assert established.acquire(timeout=PATIENCE)
        assert call.result(PATIENCE) == 2000
        assert not subscription.stopped.done()
    again = [event for event in seen if isinstance(event, events.SessionEstablished)][1]
    assert (again.resumed, again.resent_calls, again.resent_subs) == (False, 1, 1)


def test_the_client_leaves_a_server_that_does_not_answer_pings(own_meteor_server: Callable[..., MeteorServer]) -> None:
    """H2 - H5, with heartbeats of a tenth of a second."""
    server = own_meteor_server(DDP_HEARTBEAT_INTERVAL="0")
    dropped = threading.Event()
    errors: list[Exception] = []

    def note(event: events.Event) -> None:
        if isinstance(event, events.ConnectionDropped):
            errors.append(event.error)
            dropped.set()

    with Client(server.url, heartbeat_interval=0.1, heartbeat_timeout=0.1, on_event=note) as client:
        client.call("mute").result(PATIENCE)
        assert dropped.wait(PATIENCE)
    assert isinstance(errors[0], ConnectionLost)
    assert "heartbeat" in str(errors[0])


def test_the_client_reconnects_after_the_server_closes_the_connection(meteor_server: MeteorServer) -> None:
    """U22: the close code 1000 has no meaning."""
    with Client(meteor_server.url) as client:
        client.wait_connected(PATIENCE)
        kick = client.apply("kick", [], retry=False)
        with pytest.raises(OutcomeUnknown):
            kick.result(PATIENCE)
        assert client.call("upper", "back").result(PATIENCE) == "BACK"


def test_sockjs_framing_is_used_if_the_address_is_the_sockjs_endpoint(meteor_server: MeteorServer) -> None:
    """U9 - U11."""
    with Client(f"http://127.0.0.1:{meteor_server.port}/sockjs") as client:
        assert client.call("upper", "framed").result(PATIENCE) == "FRAMED"
        assert len(str(client.call("bytes", 100_000).result(PATIENCE))) > 100_000
