"""Method calls, as transcripts of sessions."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.exceptions import (
    ClientClosed,
    ConnectError,
    ConnectionLost,
    EJSONError,
    MethodError,
    NegotiationError,
    OutcomeUnknown,
)
from ddpshell.protocol.calls import Call, CallInput, Calls, CallState, Gate, OutstandingCalls
from ddpshell.protocol.documents import Quiescence
from ddpshell.protocol.events import CallAnswered, CallFinished, SubscriptionStopped
from ddpshell.protocol.messages import Raw
from tests.playbook import Playbook, finished

SUB_1 = "2" * 17


# ------------------------------------------------------------------------------------------------------- methods


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(['{"msg":"result","id":"1","result":5}', '{"msg":"updated","methods":["1"]}'], id="result first"),
        pytest.param(['{"msg":"updated","methods":["1"]}', '{"msg":"result","id":"1","result":5}'], id="updated first"),
    ],
)
def test_a_call_is_done_at_result_and_updated_in_either_order(connected: Playbook, answers: list[str]) -> None:
    """C13."""
    connected.session.call("m", [])
    connected.play(f"""
        << {{"msg":"method","id":"1","method":"m","params":[]}}
        >> {answers[0]}
        >> {answers[1]}
        !! CallFinished id='1'; result=5
    """)


def test_a_call_may_return_at_its_result(connected: Playbook) -> None:
    """C14."""
    connected.session.call("m", [], return_at_result=True)
    connected.play("""
        << {"msg":"method","id":"1","method":"m","params":[]}
        >> {"msg":"result","id":"1","result":5}
        !! CallAnswered id='1'; result=5
        >> {"msg":"updated","methods":["1"]}
        !! CallFinished id='1'; result=5
    """)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param('"result":{"$date" :5}', '{"$date" :5}', id="a result"),
        pytest.param('"result":{"$binary":"!"}', '{"$binary":"!"}', id="a result that is not EJSON"),
        pytest.param('"id":"1"', None, id="no result"),
    ],
)
@pytest.mark.parametrize("return_at_result", [False, True])
def test_a_result_can_be_reported_as_the_text_that_arrived(
    connected: Playbook, answer: str, expected: str | None, return_at_result: bool
) -> None:
    connected.session.call("m", [], as_text=True, return_at_result=return_at_result)
    connected.session.receive_text(f'{{"msg":"result","id":"1",{answer}}}', 0.0)
    early = connected.session.answer("1")
    connected.session.receive_text('{"msg":"updated","methods":["1"]}', 0.0)
    events = connected.session.events_received()
    assert len(events) == 1 + return_at_result
    for event in (early, *events):
        assert isinstance(event, CallAnswered | CallFinished)
        assert (event.has_result, event.error) == (expected is not None, None)
        assert (bytes(event.result).decode() if event.has_result else None) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param('"result":null', (None, True, None), id="null"),
        pytest.param('"id":"1"', (None, False, None), id="no result"),
        pytest.param('"result":{"$date":5},"id":"1"', None, id="EJSON"),
    ],
)
def test_a_missing_result_differs_from_null(
    connected: Playbook, answer: str, expected: tuple[object, bool, object] | None
) -> None:
    """C15, C74."""
    connected.session.call("m", [])
    connected.session.receive_text(f'{{"msg":"result","id":"1",{answer}}}', 0.0)
    connected.session.receive_text('{"msg":"updated","methods":["1"]}', 0.0)
    (event,) = connected.session.events_received()
    assert isinstance(event, CallFinished)
    if expected is None:
        assert str(event.result) == "1970-01-01 00:00:00.005000+00:00"
    else:
        assert (event.result, event.has_result, event.error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param('{"error":404,"reason":"no"}', (404, "no", None), id="number"),
        pytest.param(
            '{"error":"404","details":{"$date":1}}', ("404", None, {"$date": 1}), id="string, details as JSON"
        ),
        pytest.param("null", (None, None, None), id="null"),
        pytest.param('"gone"', ("gone", None, None), id="a string"),
        pytest.param("{}", ({}, None, None), id="empty"),
        pytest.param('{"error":[1]}', ([1], None, None), id="neither number nor string"),
    ],
)
def test_a_result_with_the_key_error_is_a_failure(
    connected: Playbook, error: str, expected: tuple[object, ...]
) -> None:
    """C15, C16, C28."""
    connected.session.call("m", [])
    connected.session.receive_text(f'{{"msg":"result","id":"1","error":{error}}}', 0.0)
    connected.session.receive_text('{"msg":"updated","methods":["1"]}', 0.0)
    (event,) = connected.session.events_received()
    assert isinstance(event, CallFinished)
    assert isinstance(event.error, MethodError)
    assert (event.error.error, event.error.reason, event.error.details) == expected


@pytest.mark.parametrize(
    "result",
    [
        pytest.param('"result":{"$binary":"=AAA"}', id="not EJSON"),
        pytest.param('"result":' + "[" * 100_000 + "]" * 100_000, id="nested too deeply"),
    ],
)
def test_an_unreadable_result_fails_its_call(connected: Playbook, result: str) -> None:
    """C73."""
    connected.session.call("m", [])
    connected.session.receive_text('{"msg":"updated","methods":["1"]}', 0.0)
    connected.session.receive_text(f'{{"msg":"result","id":"1",{result}}}', 0.0)
    (event,) = [event for event in connected.session.events_received() if isinstance(event, CallFinished)]
    assert isinstance(event.error, EJSONError)
    assert connected.session.outstanding == 0


def test_a_result_of_the_wrong_shape_fails_its_call(connected: Playbook) -> None:
    """C73: the `id` is enough to find the call."""
    connected.session.call("m", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"m","params":[]}
        >> {"msg":"result","id":"1","result":{"a":"\\ud800"}}
        >> {"msg":"updated","methods":"1"}
        !! Warned
        >> {"msg":"updated","methods":["1"]}
        !! CallFinished id='1'; has_result=True
    """)


def test_answers_to_unknown_calls_are_ignored_one_by_one(connected: Playbook) -> None:
    """C17, C18, R29: the rest of the same message counts."""
    connected.session.call("m", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"m","params":[]}
        >> {"msg":"result","id":"9","result":5}
        !! Warned
        >> {"msg":"result","id":"1","result":5}
        >> {"msg":"result","id":"1","result":6}
        !! Warned
        >> {"msg":"updated","methods":["8","1","9"]}
        !! CallFinished id='1'; result=5
        >> {"msg":"result","id":"1","result":7}
        !! Warned
    """)


def test_arguments_are_serialized_when_the_call_is_made(book: Playbook) -> None:
    """C12."""
    task: dict[str, int] = {"n": 1}
    book.session.call("m", [task], random_seed="seed")
    task["n"] = 2
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"m","params":[{"n":1}],"randomSeed":"seed"}
    """)


def test_an_invalid_argument_raises_and_uses_up_no_id(connected: Playbook) -> None:
    with pytest.raises(EJSONError):
        connected.session.call("m", [{1, 2}])  # type: ignore[list-item]  # a set is no EJSON value
    assert connected.session.outstanding == 0
    assert connected.session.texts_to_send() == []


def test_lone_surrogates_are_sent_escaped(connected: Playbook) -> None:
    """E32: in arguments and in names."""
    connected.session.call("m\ud800", ["\udfff"])
    assert connected.session.texts_to_send() == [r'{"msg":"method","id":"1","method":"m\ud800","params":["\udfff"]}']


# -------------------------------------------------------------------------------------------------------- blocks


def test_a_wait_call_runs_alone(connected: Playbook) -> None:
    """C19, C20."""
    call = connected.session.call
    call("a", [])
    call("b", [], wait=True)
    call("c", [])
    call("d", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"a","params":[]}
        >> {"msg":"result","id":"1"}
        >> {"msg":"updated","methods":["1"]}
        !! CallFinished id='1'
        << {"msg":"method","id":"2","method":"b","params":[]}
        >> {"msg":"updated","methods":["2"]}
        >> {"msg":"result","id":"2"}
        !! CallAnswered id='2'
        !! CallFinished id='2'
        << {"msg":"method","id":"3","method":"c","params":[]}
        << {"msg":"method","id":"4","method":"d","params":[]}
    """)


def test_data_is_held_back_during_a_wait_call(connected: Playbook) -> None:
    """C21: at `updated`, the data is applied as one change."""
    connected.session.documents.watched = True
    connected.session.call("w", [], wait=True)
    connected.play("""
        << {"msg":"method","id":"1","method":"w","params":[]}
        >> {"msg":"added","collection":"c","id":"x","fields":{"n":1}}
        >> {"msg":"changed","collection":"c","id":"x","fields":{"n":2}}
        >> {"msg":"added","collection":"c","id":"y"}
        >> {"msg":"removed","collection":"c","id":"y"}
        >> {"msg":"updated","methods":["1"]}
        !! DocumentAdded id='x'; fields={'n': 2}
        >> {"msg":"added","collection":"c","id":"z"}
        !! DocumentAdded id='z'
        >> {"msg":"result","id":"1"}
        !! CallAnswered id='1'
        !! CallFinished id='1'
    """)


# ----------------------------------------------------------------------------------------------- lost connections, resending


def test_unanswered_calls_are_sent_again_unchanged_after_a_lost_connection(connected: Playbook) -> None:
    """C12, C22, R21, R28: calls with a result are not sent again; the others wait for the new session."""
    connected.session.call("answered", [])
    connected.session.call("written", [])
    connected.session.call("unanswered", [{"b": 1, "a": 2}])
    before = connected.session.texts_to_send()
    connected.play("""
        >> {"msg":"result","id":"1","result":"old"}
        >> {"msg":"updated","methods":["2"]}
        lost
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":3}
    """)
    connected.session.receive_text('{"msg":"connected","session":"two"}', 0.0)
    assert connected.session.texts_to_send() == before[1:]
    connected.play("""
        !! SessionEstablished session='two'; resumed=False; resent_calls=2
        >> {"msg":"result","id":"2","result":2}
        >> {"msg":"updated","methods":["2"]}
        >> {"msg":"updated","methods":["3"]}
        !! CallFinished id='1'; result='old'
        !! CallFinished id='2'; result=2
        >> {"msg":"result","id":"3","result":3}
        !! CallFinished id='3'; result=3
    """)


def test_a_sent_call_without_retry_fails_when_the_connection_is_lost(connected: Playbook) -> None:
    """C23: a call that was not sent yet is sent normally."""
    connected.session.call("sent", [], retry=False)
    connected.session.call("other", [], wait=True)
    connected.session.call("held", [], retry=False)
    connected.play("""
        << {"msg":"method","id":"1","method":"sent","params":[]}
        lost
        !! CallFinished id='1'
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":1}
        >> {"msg":"connected","session":"two"}
        !! SessionEstablished resent_calls=0
        << {"msg":"method","id":"2","method":"other","params":[]}
        >> {"msg":"result","id":"2"}
        !! CallAnswered id='2'
        >> {"msg":"updated","methods":["2"]}
        !! CallFinished id='2'
        << {"msg":"method","id":"3","method":"held","params":[]}
    """)
    assert isinstance(dict(finished(connected))["1"], OutcomeUnknown)


def test_an_updated_call_without_retry_does_not_stop_the_other_calls(
    connected: Playbook,
) -> None:
    """C23: the outcome of the call is unknown, and the calls after it are sent again."""
    connected.session.call("m", [], retry=False)
    connected.session.subscribe("s", [])
    connected.play(f"""
        << {{"msg":"method","id":"1","method":"m","params":[]}}
        << {{"msg":"sub","id":"{SUB_1}","name":"s","params":[]}}
        >> {{"msg":"updated","methods":["1"]}}
        lost
        !! CallFinished id='1'
        open
        << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":2}}
        >> {{"msg":"connected","session":"two"}}
        !! SessionEstablished resent_subs=1
        << {{"msg":"sub","id":"{SUB_1}","name":"s","params":[]}}
    """)


def test_calls_made_while_offline_are_sent_in_order(book: Playbook) -> None:
    """C7, C11: the ids continue over all connections."""
    book.session.call("a", [])
    book.session.call("b", [])
    book.play("""
        lost
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"a","params":[]}
        << {"msg":"method","id":"2","method":"b","params":[]}
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished resent_calls=0
        >> {"msg":"result","id":"1"}
        >> {"msg":"result","id":"2"}
        >> {"msg":"updated","methods":["1","2"]}
        !! CallFinished id='1'
        !! CallFinished id='2'
        lost
    """)
    assert book.session.call("c", []) == "3"


def test_only_a_call_that_was_never_sent_can_be_canceled(connected: Playbook) -> None:
    assert not connected.session.cancel("unknown")
    sent = connected.session.call("a", [], wait=True)
    held = connected.session.call("b", [])
    assert not connected.session.cancel(sent)
    assert connected.session.cancel(held)
    connected.play("""
        << {"msg":"method","id":"1","method":"a","params":[]}
        >> {"msg":"updated","methods":["1"]}
        >> {"msg":"result","id":"1"}
        !! CallAnswered id='1'
        !! CallFinished id='1'
    """)
    connected.session.call("c", [])
    connected.play('<< {"msg":"method","id":"3","method":"c","params":[]}')


def test_a_call_canceled_before_a_lost_connection_is_not_sent_again(connected: Playbook) -> None:
    """C23: a call that crashes the server does so only once."""
    call = connected.session.call("a", [])
    assert not connected.session.cancel(call)
    connected.play("""
        << {"msg":"method","id":"1","method":"a","params":[]}
        lost
        !! CallFinished id='1'
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":1}
        >> {"msg":"connected","session":"two"}
        !! SessionEstablished resent_calls=0
    """)
    assert isinstance(dict(finished(connected))["1"], OutcomeUnknown)


def test_a_call_canceled_while_offline_is_not_sent_again(connected: Playbook) -> None:
    """C23: the outcome of the call is unknown at once, because no more answers will arrive."""
    call = connected.session.call("a", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"a","params":[]}
        lost
    """)
    assert not connected.session.cancel(call)
    assert not connected.session.cancel(call)
    connected.play("""
        !! CallFinished id='1'
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":1}
        >> {"msg":"connected","session":"two"}
        !! SessionEstablished resent_calls=0
    """)
    assert isinstance(dict(finished(connected))["1"], OutcomeUnknown)


def test_sent_calls_are_not_counted_as_unsent(connected: Playbook) -> None:
    """C22: the calls will be sent again. The login of a new session is not counted."""
    connected.session.set_opening_login([{"resume": "t"}])
    connected.session.call("sent", [])
    connected.session.call("waits", [], wait=True)
    connected.play('<< {"msg":"method","id":"1","method":"sent","params":[]}')
    assert (connected.session.unsent, connected.session.to_resend) == (1, 0)
    connected.session.receive_eof()
    assert (connected.session.unsent, connected.session.to_resend) == (1, 1)


def test_calls_after_a_canceled_wait_call_are_sent_at_once(connected: Playbook) -> None:
    """C20: the calls are in the first block now, and no later event would send them."""
    connected.session.call("a", [])
    wait_call = connected.session.call("b", [], wait=True)
    connected.session.call("c", [])
    connected.play('<< {"msg":"method","id":"1","method":"a","params":[]}')
    assert connected.session.cancel(wait_call)
    connected.play('<< {"msg":"method","id":"3","method":"c","params":[]}')


def test_closing_distinguishes_sent_from_unsent_calls(connected: Playbook) -> None:
    """C26, R6: no call waits forever, and a result that has arrived is reported."""
    connected.session.call("sent", [])
    connected.session.call("answered", [])
    connected.session.call("waits", [], wait=True)
    sub_id = connected.session.subscribe("s", [])
    connected.session.texts_to_send()
    connected.session.receive_text('{"msg":"result","id":"2","result":5}', 0.0)
    connected.session.receive_eof()
    connected.session.abandon(ClientClosed("closed"), "the client was closed")
    connected.events += connected.session.events_received()
    outcomes = dict(finished(connected))
    assert isinstance(outcomes["1"], OutcomeUnknown)
    assert outcomes["2"] == 5
    assert isinstance(outcomes["3"], ClientClosed)
    assert str(outcomes["3"]) == "'waits' was never sent: closed"
    assert isinstance(connected.events[-1], SubscriptionStopped)
    assert connected.events[-1].id == sub_id
    assert isinstance(connected.events[-1].error, ClientClosed)
    assert connected.session.outstanding == 0


def test_a_close_between_two_sessions_ends_each_call_once(connected: Playbook) -> None:
    """C26, C56: the end of one call can end another one, which must not end twice."""
    session = connected.session
    session.call("runs", [])
    session.call("answered", [])
    session.call("waits", [], wait=True)
    session.receive_eof()
    session.connection_made(0.0)
    session.receive_text('{"msg":"connected","session":"two"}', 0.0)
    session.receive_text('{"msg":"result","id":"2","result":5}', 0.0)
    session.receive_text('{"msg":"updated","methods":["2"]}', 0.0)
    session.receive_eof()
    session.abandon(ClientClosed("closed"), "the client was closed")
    connected.events += session.events_received()
    assert [call_id for call_id, _ in finished(connected)] == ["1", "2", "3"]
    assert session.outstanding == 0


def test_a_close_after_a_rejected_login_ends_each_call_once(connected: Playbook) -> None:
    """A54: a call that waited for the login fails with its error, and only once."""
    session = connected.session
    session.set_opening_login([{"resume": "token"}])
    session.receive_eof()
    for _ in range(3):
        session.call("m", [])
    session.connection_made(0.0)
    session.receive_text('{"msg":"connected","session":"two"}', 0.0)
    session.receive_text('{"msg":"result","id":"1","result":1}', 0.0)
    login = next(json.loads(text)["id"] for text in session.texts_to_send() if '"login"' in text)
    session.receive_text(f'{{"msg":"result","id":"{login}","error":{{"error":403}}}}', 0.0)
    session.receive_eof()
    session.abandon(ClientClosed("closed"), "the client was closed")
    connected.events += session.events_received()
    ended = [call_id for call_id, _ in finished(connected)]
    assert sorted(ended) == sorted({"1", "2", "3", login})


def test_a_lost_call_does_not_reset_documents_between_two_sessions(connected: Playbook) -> None:
    """C50, C62: without a session the old documents stay visible."""
    session = connected.session
    session.receive_text('{"msg":"added","collection":"c","id":"x"}', 0.0)
    session.call("m", [], retry=False)
    session.texts_to_send()
    session.receive_eof()
    session.connection_made(0.0)
    session.call("n", [])
    session.call("once", [], retry=False, wait=True)
    session.receive_text('{"msg":"connected","session":"two"}', 0.0)
    assert session.documents.count("c") == 1
    session.receive_eof()
    session.abandon(ClientClosed("closed"), "the client was closed")
    assert session.documents.count("c") == 1


# ------------------------------------------------------------------------------------------------- before `connected`


def test_a_call_that_was_sent_before_connected_may_have_run(book: Playbook) -> None:
    """C6: the call is sent together with `connect`, and its outcome is unknown."""
    book.session.call("m", [])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"m","params":[]}
        lost
    """)
    assert (book.session.unsent, book.session.to_resend) == (0, 1)
    refused = ConnectError("no session")
    book.session.abandon(refused, "it went")
    book.events += book.session.events_received()
    ((_, error),) = finished(book)
    assert isinstance(error, OutcomeUnknown)
    assert (error.why, error.connect_error) == ("it went", refused)


def test_a_login_that_was_sent_before_connected_counts_as_unsent(book: Playbook) -> None:
    """The outcome of the login makes no difference, because there is no session for its user. The calls after the login were not sent."""
    book.session.call("login", [{"resume": "token"}], wait=True, logs_in=True)
    book.session.call("m", [])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"login","params":[{"resume":"token"}]}
        lost
    """)
    assert (book.session.unsent, book.session.to_resend) == (2, 0)
    refused = ConnectError("no session")
    book.session.abandon(refused, "it went")
    book.events += book.session.events_received()
    assert finished(book) == [("1", refused), ("2", refused)]


def test_a_call_that_followed_a_rejected_connect_has_not_run(book: Playbook) -> None:
    """S5: a call that was also sent on an earlier connection may have run there."""
    book.session.call("before", [])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"before","params":[]}
        lost
    """)
    book.session.call("after", [])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"before","params":[]}
        << {"msg":"method","id":"2","method":"after","params":[]}
        >> {"msg":"failed","version":"9"}
        !! VersionRefused suggested='9'; retry=False
        lost
    """)
    refused = NegotiationError("1", "9")
    book.session.abandon(refused, "it went")
    book.events += book.session.events_received()
    (_, before), after = finished(book)
    assert isinstance(before, OutcomeUnknown)
    assert after == ("2", refused)


def test_calls_that_followed_a_rejected_connect_also_follow_the_next_connect(book: Playbook) -> None:
    """C4: the server asks for another version, and has not run them. A call that is made meanwhile waits for that version."""
    book.session.call("m", [])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"m","params":[]}
        >> {"msg":"failed","version":"pre2"}
        !! VersionRefused suggested='pre2'; retry=True
    """)
    book.session.call("n", [])
    assert (book.session.unsent, book.session.to_resend) == (2, 0)
    book.play("""
        lost
        open
        << {"msg":"connect","version":"pre2","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"m","params":[]}
        << {"msg":"method","id":"2","method":"n","params":[]}
    """)


def test_a_call_without_retry_waits_for_connected_and_is_not_overtaken(book: Playbook) -> None:
    """C7, C23: calls are sent in order, and this one only in an established session."""
    book.session.call("first", [])
    book.session.call("once", [], retry=False)
    book.session.call("last", [])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"first","params":[]}
    """)
    book.session.call("later still", [])
    book.play("""
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished
        << {"msg":"method","id":"2","method":"once","params":[]}
        << {"msg":"method","id":"3","method":"last","params":[]}
        << {"msg":"method","id":"4","method":"later still","params":[]}
    """)


# -------------------------------------------------------------------------------------------------- opening login


def test_each_new_session_begins_with_the_login_and_holds_the_calls(book: Playbook) -> None:
    """A51, A57, C24: subscriptions do not wait for the login."""
    book.session.set_opening_login([{"resume": "token"}])
    book.session.call("m", [])
    book.session.subscribe("s", [])
    book.play(f"""
        open
        << {{"msg":"connect","version":"1","support":["1","pre2","pre1"]}}
        << {{"msg":"method","id":"2","method":"login","params":[{{"resume":"token"}}]}}
        << {{"msg":"sub","id":"{SUB_1}","name":"s","params":[]}}
        >> {{"msg":"connected","session":"one"}}
        !! SessionEstablished
        >> {{"msg":"updated","methods":["2"]}}
        >> {{"msg":"result","id":"2","result":{{"id":"u"}}}}
        !! CallAnswered id='2'
        !! CallFinished id='2'
        << {{"msg":"method","id":"1","method":"m","params":[]}}
    """)


def test_calls_that_wait_for_the_login_are_counted_as_sent_again(connected: Playbook) -> None:
    """R31: the count tells users what happens to their calls, not when."""
    connected.session.set_opening_login([{"resume": "token"}])
    connected.session.call("m", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"m","params":[]}
        lost
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":1}
        >> {"msg":"connected","session":"two"}
        !! SessionEstablished resumed=False; resent_calls=1
        << {"msg":"method","id":"2","method":"login","params":[{"resume":"token"}]}
    """)


def test_a_login_during_which_the_connection_is_lost_is_repeated(book: Playbook) -> None:
    """A52, A56."""
    book.session.set_opening_login([{"resume": "token"}])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"login","params":[{"resume":"token"}]}
        lost
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"2","method":"login","params":[{"resume":"token"}]}
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished resent_calls=0
        >> {"msg":"updated","methods":["2"]}
        >> {"msg":"result","id":"2"}
        !! CallAnswered id='2'
        !! CallFinished id='2'
    """)
    book.session.call("m", [])
    book.play('<< {"msg":"method","id":"3","method":"m","params":[]}')


# ------------------------------------------------------------------------------------------------------- the gate


@pytest.mark.parametrize(
    ("gate", "sent"),
    [
        pytest.param(Gate.SHUT, [], id="the gate is closed"),
        pytest.param(Gate.AJAR, ["1"], id="the gate is half open: no call without retry, nor any later call"),
        pytest.param(Gate.OPEN, ["1", "2", "3"], id="the gate is open"),
    ],
)
def test_the_gate_decides_which_calls_are_sent(gate: Gate, sent: list[str]) -> None:
    """C6, C23: the other calls are sent in order when the gate opens."""
    texts: list[str] = []
    calls = Calls(texts.append, lambda event: None, Quiescence(), lambda: None)
    calls.gate = gate
    for retry in (True, False, True):
        calls.add("m", Raw(b"[]"), wait=False, retry=retry, return_at_result=False, random_seed=None)
    assert [json.loads(text)["id"] for text in texts] == sent
    assert (len(calls), calls.unsent, list(calls.sent)) == (3, 3 - len(sent), sent)
    calls.open()
    assert [json.loads(text)["id"] for text in texts] == ["1", "2", "3"]


def test_nothing_is_sent_to_a_server_without_a_common_version(book: Playbook) -> None:
    """C4: a call that is made in this state has certainly not run."""
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"msg":"failed","version":"9"}
        !! VersionRefused suggested='9'; retry=False
    """)
    book.session.call("m", [])
    book.play("lost")
    refused = ConnectionLost("refused")
    book.session.abandon(refused, "the connection was lost")
    book.play("!! CallFinished id='1'")
    assert finished(book) == [("1", refused)]


def calls(script: str) -> OutstandingCalls:
    """Calls with these ids, in order; a `!` marks a `wait` call: `"a b! c"`."""
    outstanding = OutstandingCalls()
    for word in script.split():
        outstanding.add(Call(word.strip("!"), "m", "", wait=word.endswith("!")))
    return outstanding


def blocks(outstanding: OutstandingCalls) -> str:
    """The blocks in the order in which they are sent."""
    seen = []
    while len(outstanding):
        sendable = outstanding.sendable()
        seen.append(" ".join(call.id for call in sendable))
        for call in sendable:
            call.advance(CallInput.SEND)
            outstanding.discard(call)
    return " | ".join(seen)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("", "", id="no calls"),
        pytest.param("a b c", "a b c", id="calls without wait"),
        pytest.param("a b! c d", "a | b | c d", id="a wait call between other calls"),
        pytest.param("a! b! c", "a | b | c", id="several wait calls"),
    ],
)
def test_each_wait_call_is_in_its_own_block(script: str, expected: str) -> None:
    """C19, C20."""
    assert blocks(calls(script)) == expected


def test_the_login_of_a_new_session_precedes_all_blocks() -> None:
    """C24, A51."""
    outstanding = calls("d e!")
    outstanding.add_first(Call("login", "login", "", wait=True, opening=True))
    assert blocks(outstanding) == "login | d | e"


def test_the_last_call_of_the_first_block_releases_the_next_block() -> None:
    """C20."""
    outstanding = calls("a b c! d")
    a, b, c, d = outstanding
    assert not outstanding.discard(a)
    assert not outstanding.discard(d)
    assert outstanding.discard(b)
    assert outstanding.sendable() == [c]
    assert outstanding.may_send(c)
    assert outstanding.discard(c)
    assert outstanding.sendable() == []
    assert outstanding.get("a") is None


def test_the_blocks_around_a_wait_call_become_one_when_it_is_done() -> None:
    """C20: two blocks without `wait` calls are never neighbors."""
    outstanding = calls("x! a b! c")
    wait_call = outstanding.get("b")
    assert wait_call is not None
    assert not outstanding.discard(wait_call)
    assert blocks(outstanding) == "x | a c"


def test_calls_that_join_the_first_block_are_sendable() -> None:
    """C20: no other event would ever send them."""
    outstanding = calls("a b! c")
    a, b, c = outstanding
    a.advance(CallInput.SEND)
    assert outstanding.discard(b)
    assert outstanding.sendable() == [c]


def test_a_call_ignores_events_that_its_state_does_not_allow() -> None:
    call = Call("1", "m", "")
    assert not call.advance(CallInput.RESULT)
    assert call.state is CallState.HELD
    assert not call.was_sent
    assert call.advance(CallInput.SEND)
    assert call.was_sent


@given(st.lists(st.booleans(), max_size=30), st.randoms(use_true_random=False))
def test_discarding_any_call_keeps_the_order_and_wait_calls_alone(waits: list[bool], random: Random) -> None:
    """C19, C20."""
    outstanding = OutstandingCalls()
    for number, wait in enumerate(waits):
        outstanding.add(Call(str(number), "m", "", wait=wait))
    remaining = list(outstanding)
    assert [call.id for call in remaining] == [str(number) for number in range(len(waits))]
    while remaining:
        sendable = outstanding.sendable()
        assert sendable
        assert len(sendable) == 1 or not any(call.wait for call in sendable)
        assert sendable[0] is remaining[0]
        victim = remaining.pop(random.randrange(len(remaining)))
        outstanding.discard(victim)
        assert list(outstanding) == remaining
