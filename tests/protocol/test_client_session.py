"""The client side of DDP, as transcripts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import Custom
from ddpshell.exceptions import (
    ConnectionLost,
    LocalProtocolError,
    MethodError,
    OutcomeUnknown,
    SubscriptionError,
)
from ddpshell.protocol.client_session import ClientSession, SessionState
from ddpshell.protocol.events import CallAnswered, CallFinished, SubscriptionStopped, VersionRefused, Warned
from tests.playbook import CONNECTED, Playbook, counting_random, finished

SUB_1 = "2" * 17
SUB_2 = "3" * 17


def test_a_session_follows_transcript_t1(book: Playbook) -> None:
    """T1, with C6: a subscription and a call follow `connect` at once."""
    book.session.subscribe("tasks", [])
    book.session.call("add", [2, 3])
    book.play(f"""
        open
        << {{"msg":"connect","version":"1","support":["1","pre2","pre1"]}}
        << {{"msg":"method","id":"1","method":"add","params":[2,3]}}
        << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}}
        >> {{"msg":"connected","session":"f7Rk2qXw9mTzLh4Bc"}}
        !! SessionEstablished session='f7Rk2qXw9mTzLh4Bc'
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":1}}}}
        >> {{"msg":"added","collection":"tasks","id":"b"}}
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! SubscriptionReady name='tasks'
        >> {{"msg":"updated","methods":["1"]}}
        >> {{"msg":"result","id":"1","result":5}}
        !! CallFinished id='1'; result=5; has_result=True; error=None
    """)
    assert list(book.session.documents.scan("tasks")) == [{"_id": "a", "n": 1}, {"_id": "b"}]
    book.session.unsubscribe(SUB_1)
    book.play(f"""
        !! SubscriptionStopped error=None
        << {{"msg":"unsub","id":"{SUB_1}"}}
        >> {{"msg":"removed","collection":"tasks","id":"a"}}
        >> {{"msg":"removed","collection":"tasks","id":"b"}}
        >> {{"msg":"nosub","id":"{SUB_1}"}}
    """)
    assert book.session.documents.count("tasks") == 0


# ------------------------------------------------------------------------------------------ connecting, negotiating


def test_a_suggested_version_that_the_client_speaks_is_proposed_next(book: Playbook) -> None:
    """C4, C2."""
    book.session.call("m", [])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"m","params":[]}
        >> {"msg":"failed","version":"pre2"}
        !! VersionRefused proposed='1'; suggested='pre2'; retry=True
        lost
        open
        << {"msg":"connect","version":"pre2","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"m","params":[]}
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished resent_calls=0 # the server ran nothing of what followed the refused connect (S5)
    """)


def test_an_unknown_suggested_version_ends_the_session(book: Playbook) -> None:
    """C4."""
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"msg":"failed","version":"2"}
        !! VersionRefused suggested='2'; retry=False
        lost
    """)
    assert book.session.state is SessionState.REFUSED
    with pytest.raises(LocalProtocolError):
        book.session.connection_made(0.0)


def test_a_refused_version_is_not_proposed_again(book: Playbook) -> None:
    """C4: otherwise a server that suggests the refused version would be asked forever."""
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"msg":"failed","version":"1"}
        !! VersionRefused retry=False
    """)


@pytest.mark.parametrize(
    "suggestions", [["pre1", "pre2", "pre1"], ["pre2", "pre1", "1"], ["pre2", "1"], ["pre1", "pre1"]]
)
def test_each_version_is_proposed_once(book: Playbook, suggestions: list[str]) -> None:
    """C4: otherwise a server that alternates between two versions would be asked forever."""
    session, proposed = book.session, []
    for suggestion in suggestions:
        session.connection_made(0.0)
        proposed.append(json.loads(session.texts_to_send()[0])["version"])
        session.receive_text(json.dumps({"msg": "failed", "version": suggestion}), 0.0)
        session.receive_eof()
    assert proposed == ["1", *suggestions[:-1]]
    assert [event.retry for event in session.events_received() if isinstance(event, VersionRefused)] == [
        *[True] * (len(suggestions) - 1),
        False,
    ]
    assert session.state is SessionState.REFUSED


def test_all_versions_may_be_proposed_again_after_a_session(book: Playbook) -> None:
    """C4: a new server may speak a version that the old one refused."""
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"msg":"failed","version":"pre2"}
        !! VersionRefused retry=True
        lost
        open
        << {"msg":"connect","version":"pre2","support":["1","pre2","pre1"]}
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished
        lost
        open
        << {"msg":"connect","session":"one","version":"pre2","support":["1","pre2","pre1"],"receivedCount":1}
        >> {"msg":"failed","version":"1"}
        !! VersionRefused retry=True
    """)


@pytest.mark.parametrize("member", ["", ',"session":null', ',"session":5', ',"session":{"a":[]}', ',"session":""'])
def test_a_session_without_an_id_is_never_resumed(book: Playbook, member: str) -> None:
    """C9, C50, C51: the session is accepted, and the next session is a new one."""
    sub_id = book.session.subscribe("s", [])
    book.play(f"""
        open
        << {{"msg":"connect","version":"1","support":["1","pre2","pre1"]}}
        << {{"msg":"sub","id":"{sub_id}","name":"s","params":[]}}
        >> {{"msg":"connected"{member}}}
        !! SessionEstablished session=None; resumed=False
        >> {{"msg":"added","collection":"c","id":"old"}}
        >> {{"msg":"ready","subs":["{sub_id}"]}}
        !! SubscriptionReady
    """)
    for answer in (member, ',"session":"two"'):
        book.play(f"""
            lost
            open
            << {{"msg":"connect","version":"1","support":["1","pre2","pre1"]}}
            << {{"msg":"sub","id":"{sub_id}","name":"s","params":[]}}
            >> {{"msg":"connected"{answer}}}
            !! SessionEstablished resumed=False
            >> {{"msg":"added","collection":"c","id":"new"}}
        """)
        # The old documents stay visible until all new ones have arrived.
        assert [document["_id"] for document in book.session.documents.scan("c")] in (["old"], ["new"])
        book.play(f'>> {{"msg":"ready","subs":["{sub_id}"]}}')
        assert [document["_id"] for document in book.session.documents.scan("c")] == ["new"]
    assert book.session.session_id == "two"


def test_a_session_that_loses_its_id_is_not_resumed(connected: Playbook) -> None:
    """C9: the server does not know the session that the client asked for."""
    connected.session.receive_text('{"msg":"added","collection":"c","id":"x"}', 0.0)
    connected.play("""
        lost
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":2}
        >> {"msg":"connected"}
        !! SessionEstablished session=None; resumed=False
        lost
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
    """)
    assert connected.session.documents.count("c") == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param('{"msg":"server_id","server_id":"0"}', [], id="U23: Rocket.Chat"),
        pytest.param('{"server_id":"0"}', [], id="U14: Meteor before 2.3"),
        pytest.param('{"msg":"brandNew"}', [True], id="C71"),
        pytest.param('{"msg":5}', [True], id="C71: msg is not text"),
        pytest.param('{"msg":"sub","id":"1"}', [True], id="C71: a client's"),
        pytest.param('{"msg":"added","collection":5}', [False], id="C75"),
        pytest.param("nonsense", [False], id="C70"),
    ],
)
def test_only_unknown_messages_are_ignored_as_harmless(connected: Playbook, text: str, told: list[bool]) -> None:
    connected.session.receive_text(text, 0.0)
    assert [event.harmless for event in connected.session.events_received() if isinstance(event, Warned)] == told


def test_failed_in_an_established_session_is_ignored(connected: Playbook) -> None:
    """C4 applies only to the negotiation."""
    connected.play("""
        >> {"msg":"failed","version":"2"}
        !! Warned
        >> {"msg":"connected","session":"two"}
        !! Warned
    """)
    assert connected.session.session_id == "one"


def test_a_greeting_without_msg_is_ignored(book: Playbook) -> None:
    """U14."""
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"server_id":"0"}
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished
    """)


# ------------------------------------------------------------------------------------------------- heartbeats


def test_a_ping_is_answered_at_once_with_its_id(book: Playbook) -> None:
    """H8, H10, H11: also before `connected`, and with any id."""
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"msg":"ping"}
        << {"msg":"pong"}
        >> {"msg":"ping","id":"k1"}
        << {"msg":"pong","id":"k1"}
        >> {"msg":"ping","id":5}
        << {"msg":"pong","id":5}
        >> {"msg":"ping","id":{"a":[null]}}
        << {"msg":"pong","id":{"a":[null]}}
        >> {"msg":"ping","id":null}
        << {"msg":"pong","id":null}
    """)


def test_a_silent_server_is_pinged_and_given_up(connected: Playbook) -> None:
    """H2, H4, H5, H7."""
    connected.play("""
        wait 17.4
        wait 0.2
        << {"msg":"ping"}
        wait 14.8
        wait 0.2
        !! HeartbeatExpired
        wait 1000
    """)


def test_any_message_is_a_sign_of_life(connected: Playbook) -> None:
    """H3: this holds even for invalid messages."""
    connected.play("""
        wait 17
        >> {"msg":"no such thing"}
        !! Warned
        wait 1
        wait 17.4
        << {"msg":"ping"}
        wait 1
        >> nonsense
        !! Warned
        wait 15
    """)


def test_pre1_has_no_heartbeats() -> None:
    """H6."""
    book = Playbook(ClientSession(counting_random(), versions=["pre1"]))
    book.play("""
        open
        << {"msg":"connect","version":"pre1","support":["pre1"]}
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished
        wait 1000
    """)


def test_a_ping_reports_the_round_trip(connected: Playbook) -> None:
    connected.session.ping(connected.now)
    connected.play("""
        << {"msg":"ping","id":"p1"}
        wait 0.25
        >> {"msg":"pong","id":"another's"}
        >> {"msg":"pong"}
        >> {"msg":"pong","id":"p1"}
        !! PongReceived id='p1'; round_trip=0.25
        >> {"msg":"pong","id":"p1"}
    """)


def test_there_is_no_ping_without_a_session(book: Playbook) -> None:
    with pytest.raises(LocalProtocolError):
        book.session.ping(0.0)


# ------------------------------------------------------------------------------------------------------- goodbye


def test_disconnect_is_sent_only_in_a_session(book: Playbook) -> None:
    """R25."""
    book.session.send_disconnect()
    book.play(CONNECTED)
    book.session.send_disconnect()
    book.play('<< {"msg":"disconnect"}')


# ------------------------------------------------------------------------------------------------- subscriptions


def test_a_repeated_ready_is_reported_once(connected: Playbook) -> None:
    """C32, S63."""
    connected.session.subscribe("s", [1])
    connected.session.subscribe("s", [1])
    connected.play(f"""
        << {{"msg":"sub","id":"{SUB_1}","name":"s","params":[1]}}
        << {{"msg":"sub","id":"{SUB_2}","name":"s","params":[1]}} # two of the same are two (C31)
        >> {{"msg":"ready","subs":["unknown","{SUB_1}"]}}
        !! SubscriptionReady id='{SUB_1}'
        >> {{"msg":"ready","subs":["{SUB_1}","{SUB_2}"]}}
        !! SubscriptionReady id='{SUB_2}'
    """)


@pytest.mark.parametrize("ready", [False, True])
def test_a_subscription_can_fail_before_ready_and_long_after(connected: Playbook, *, ready: bool) -> None:
    """C34, C35: the subscription is not requested again."""
    connected.session.subscribe("s", [])
    if ready:
        connected.play(f"""
            << {{"msg":"sub","id":"{SUB_1}","name":"s","params":[]}}
            >> {{"msg":"ready","subs":["{SUB_1}"]}}
            !! SubscriptionReady
        """)
    else:
        connected.session.texts_to_send()
    connected.play(f"""
        >> {{"msg":"nosub","id":"{SUB_1}","error":{{"error":403,"reason":"denied"}}}}
        !! SubscriptionStopped id='{SUB_1}'
        >> {{"msg":"nosub","id":"{SUB_1}"}}
        >> {{"msg":"nosub","error":{{"error":500}}}} # of a universal publication (C40)
        lost
        open
        << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":{5 if ready else 4}}}
        >> {{"msg":"connected","session":"two"}}
        !! SessionEstablished resent_subs=0
    """)
    stopped = next(event for event in connected.events if isinstance(event, SubscriptionStopped))
    assert isinstance(stopped.error, SubscriptionError)
    assert (stopped.error.error, stopped.error.reason) == (403, "denied")


def test_a_subscription_stopped_while_offline_is_forgotten(connected: Playbook) -> None:
    """C7, C36: stopping it twice has no further effect."""
    sub_id = connected.session.subscribe("s", [])
    connected.play(f"""
        << {{"msg":"sub","id":"{SUB_1}","name":"s","params":[]}}
        lost
    """)
    connected.session.unsubscribe(sub_id)
    connected.session.unsubscribe(sub_id)
    connected.play("""
        !! SubscriptionStopped error=None
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":1}
        >> {"msg":"connected","session":"two"}
        !! SessionEstablished
    """)


# -------------------------------------------------------------------------------------------- reset, quiescence


@pytest.fixture
def watching() -> Playbook:
    """A session with a ready subscription and two documents, which reports their changes."""
    book = Playbook()
    book.session.documents.watched = True
    book.session.subscribe("tasks", [])
    book.play(f"""
        open
        << {{"msg":"connect","version":"1","support":["1","pre2","pre1"]}}
        << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}}
        >> {{"msg":"connected","session":"one"}}
        !! SessionEstablished
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":1}}}}
        !! DocumentAdded id='a'
        >> {{"msg":"added","collection":"tasks","id":"b","fields":{{"n":2}}}}
        !! DocumentAdded id='b'
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! SubscriptionReady
        lost
    """)
    return book


RECONNECTING = f"""
    open
    << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":4}}
    >> {{"msg":"connected","session":"two"}}
    !! SessionEstablished session='two'; resumed=False; resent_subs=1
    << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}}
"""


def test_after_a_reconnect_the_documents_change_in_one_step(watching: Playbook) -> None:
    """C50-C56, C58: unchanged documents are not reported, and none disappears for a moment."""
    watching.play(RECONNECTING)
    watching.play("""
        >> {"msg":"added","collection":"tasks","id":"a","fields":{"n":1}}
        >> {"msg":"added","collection":"tasks","id":"c","fields":{"n":3}}
    """)
    assert watching.session.documents.count("tasks") == 2
    watching.play(f"""
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! DocumentRemoved id='b'
        !! DocumentAdded id='c'
    """)
    assert [document["_id"] for document in watching.session.documents.scan("tasks")] == ["a", "c"]


def test_without_subscriptions_the_documents_disappear_at_once(watching: Playbook) -> None:
    """C52."""
    watching.session.unsubscribe(SUB_1)
    watching.play("""
        !! SubscriptionStopped
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":4}
        >> {"msg":"connected","session":"two"}
        !! SessionEstablished
        !! DocumentRemoved id='a'
        !! DocumentRemoved id='b'
    """)


def test_a_failed_or_refused_subscription_does_not_hold_back_documents(watching: Playbook) -> None:
    """C54, C57, C63, C72."""
    watching.play(RECONNECTING)
    watching.play(f"""
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":5}}}}
        >> {{"msg":"error","reason":"Malformed subscription","offendingMessage":{{"msg":"sub","id":"{SUB_1}"}}}}
        !! SubscriptionStopped id='{SUB_1}'
        !! DocumentChanged id='a'; fields={{'n': 5}}
        !! DocumentRemoved id='b'
    """)


def test_a_subscription_stopped_during_quiescence_is_awaited_until_the_server_answers(watching: Playbook) -> None:
    """C59."""
    watching.play(RECONNECTING)
    watching.session.unsubscribe(SUB_1)
    watching.play(f"""
        !! SubscriptionStopped
        << {{"msg":"unsub","id":"{SUB_1}"}}
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":1}}}}
        >> {{"msg":"removed","collection":"tasks","id":"a"}}
        >> {{"msg":"nosub","id":"{SUB_1}"}}
        !! DocumentRemoved id='a'
        !! DocumentRemoved id='b'
    """)


def test_another_lost_connection_drops_the_messages_held_back(watching: Playbook) -> None:
    """C62."""
    watching.play(RECONNECTING)
    watching.play(f"""
        >> {{"msg":"added","collection":"tasks","id":"zzz","fields":{{"n":1}}}}
        lost
        open
        << {{"msg":"connect","session":"two","version":"1","support":["1","pre2","pre1"],"receivedCount":2}}
        >> {{"msg":"connected","session":"three"}}
        !! SessionEstablished
        << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}}
        >> {{"msg":"added","collection":"tasks","id":"b","fields":{{"n":2}}}}
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! DocumentRemoved id='a'
    """)


def test_a_call_made_during_quiescence_is_done_at_its_end(watching: Playbook) -> None:
    """C60: the call is sent at once, but its writes become visible only at the end of quiescence."""
    watching.play(RECONNECTING)
    watching.session.call("m", [])
    watching.play(f"""
        << {{"msg":"method","id":"1","method":"m","params":[]}}
        >> {{"msg":"updated","methods":["1"]}}
        >> {{"msg":"result","id":"1"}}
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! DocumentRemoved id='a'
        !! DocumentRemoved id='b'
        !! CallFinished id='1'
    """)


def test_the_first_session_resets_no_documents(book: Playbook) -> None:
    """C61."""
    book.session.documents.watched = True
    book.play(CONNECTED)
    book.play("""
        >> {"msg":"added","collection":"users","id":"u","fields":{}}
        !! DocumentAdded id='u'
    """)


# ---------------------------------------------------------------------------------------------------- resumption


def test_a_resumed_session_keeps_everything_and_gets_only_missing_requests(watching: Playbook) -> None:
    """R20-R22, R28, R29: the client sends unanswered calls and new requests, but no login and no ready subscription."""
    book = watching
    book.session.set_opening_login([{"resume": "token"}])
    book.session.subscribe("more", [])
    book.session.call("m", [])
    book.play(f"""
        open
        << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":4}}
        >> {{"msg":"connected","session":"one"}}
        !! SessionEstablished session='one'; resumed=True; resent_calls=0; resent_subs=0
        << {{"msg":"method","id":"1","method":"m","params":[]}}
        << {{"msg":"sub","id":"{SUB_2}","name":"more","params":[]}}
        >> {{"msg":"changed","collection":"tasks","id":"a","fields":{{"n":9}}}}
        !! DocumentChanged id='a'
        lost
        open
        << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":6}}
        >> {{"msg":"connected","session":"one"}}
        !! SessionEstablished resumed=True; resent_calls=1; resent_subs=1
        << {{"msg":"method","id":"1","method":"m","params":[]}}
        << {{"msg":"sub","id":"{SUB_2}","name":"more","params":[]}}
    """)
    assert book.session.documents.count("tasks") == 2


def test_a_subscription_stopped_while_offline_is_stopped_in_a_resumed_session(watching: Playbook) -> None:
    """R22: the resumed session still has the subscription; a new session would not (C7)."""
    watching.session.unsubscribe(SUB_1)
    watching.play(f"""
        !! SubscriptionStopped
        open
        << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":4}}
        >> {{"msg":"connected","session":"one"}}
        !! SessionEstablished resumed=True
        << {{"msg":"unsub","id":"{SUB_1}"}}
        >> {{"msg":"removed","collection":"tasks","id":"a"}}
        !! DocumentRemoved id='a'
        >> {{"msg":"nosub","id":"{SUB_1}"}}
    """)


def test_a_resumed_session_still_sends_an_outstanding_updated(connected: Playbook) -> None:
    """C22, R22: the call has its result, is not sent again, and is done when `updated` arrives."""
    connected.session.call("m", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"m","params":[]}
        >> {"msg":"result","id":"1","result":5}
        lost
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":2}
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished resumed=True; resent_calls=0
        >> {"msg":"updated","methods":["1"]}
        !! CallFinished id='1'; result=5
    """)


def test_quiescence_continues_in_a_resumed_session(watching: Playbook) -> None:
    """C62, R22: the messages that were held back have been received, and will not be sent again."""
    watching.play(RECONNECTING)
    watching.play(f"""
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":1}}}}
        lost
        open
        << {{"msg":"connect","session":"two","version":"1","support":["1","pre2","pre1"],"receivedCount":2}}
        >> {{"msg":"connected","session":"two"}}
        !! SessionEstablished resumed=True; resent_subs=1
        << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}} # it may not have arrived
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! DocumentRemoved id='b'
    """)


def test_a_resumed_session_gets_a_subscription_that_it_never_confirmed(
    watching: Playbook,
) -> None:
    """R22, R28: the server may not have received the `sub`. Without a new `sub`, the subscription would be missing forever."""
    watching.play(RECONNECTING)
    watching.play(f"""
        lost
        open
        << {{"msg":"connect","session":"two","version":"1","support":["1","pre2","pre1"],"receivedCount":1}}
        >> {{"msg":"connected","session":"two"}}
        !! SessionEstablished resumed=True; resent_subs=1
        << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}}
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":1}}}}
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! DocumentRemoved id='b'
        lost
        open
        << {{"msg":"connect","session":"two","version":"1","support":["1","pre2","pre1"],"receivedCount":4}}
        >> {{"msg":"connected","session":"two"}}
        !! SessionEstablished resumed=True; resent_subs=0 # now it has
    """)


def test_a_call_answered_two_sessions_ago_waits_for_documents_not_for_updated(watching: Playbook) -> None:
    """C56, R22: the resumed second session never ran the call, and will not send its `updated`."""
    watching.session.call("m", [])
    watching.play(f"""
        open
        << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":4}}
        >> {{"msg":"connected","session":"one"}}
        !! SessionEstablished resumed=True
        << {{"msg":"method","id":"1","method":"m","params":[]}}
        >> {{"msg":"result","id":"1","result":5}}
        lost
        open
        << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":6}}
        >> {{"msg":"connected","session":"two"}}
        !! SessionEstablished resumed=False
        << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}}
        lost
        open
        << {{"msg":"connect","session":"two","version":"1","support":["1","pre2","pre1"],"receivedCount":1}}
        >> {{"msg":"connected","session":"two"}}
        !! SessionEstablished resumed=True
        << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}}
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":1}}}}
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! DocumentRemoved id='b'
        !! CallFinished id='1'; result=5
    """)


def test_unknown_messages_are_counted_but_pings_and_pongs_are_not(connected: Playbook) -> None:
    """R20."""
    connected.play("""
        >> {"msg":"ping"}
        << {"msg":"pong"}
        >> {"msg":"pong"}
        >> {"msg":"brandNew"}
        !! Warned
        >> {"msg":"added","collection":5}
        !! Warned
        >> {"server_id":"0"}
        >> nonsense
        !! Warned
        lost
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":3}
    """)


# -------------------------------------------------------------------------------------------------- opening login


def test_a_reconnect_with_a_login_follows_transcript_t2(watching: Playbook) -> None:
    """T2, A52, A55, C51: one login, with the current token; the unanswered call waits for it."""
    book = watching
    book.session.set_opening_login([{"resume": "OLD"}])
    book.session.call("slow", [])
    book.session.set_opening_login([{"resume": "TOKEN"}])
    book.play(f"""
        open
        << {{"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":4}}
        >> {{"msg":"connected","session":"two"}}
        !! SessionEstablished resent_calls=0; resent_subs=1
        << {{"msg":"method","id":"2","method":"login","params":[{{"resume":"TOKEN"}}]}}
        << {{"msg":"sub","id":"{SUB_1}","name":"tasks","params":[]}}
        >> {{"msg":"added","collection":"users","id":"u","fields":{{"username":"ann"}}}}
        >> {{"msg":"updated","methods":["2"]}}
        >> {{"msg":"result","id":"2","result":{{"id":"u"}}}}
        !! CallAnswered id='2'
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":1}}}}
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! DocumentRemoved id='b'
        !! DocumentAdded collection='users'
        !! CallFinished id='2'
        << {{"msg":"method","id":"1","method":"slow","params":[]}}
    """)


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("nonsense", id="not JSON"),
        pytest.param("[1]", id="array"),
        pytest.param("5", id="number"),
        pytest.param('{"msg":""}', id="empty msg"),
        pytest.param('{"msg":5}', id="msg a number"),
        pytest.param('{"msg":"toString"}', id="unknown msg"),
        pytest.param('{"msg":"added","collection":5,"id":"x"}', id="collection is not a string"),
        pytest.param('{"msg":"added","collection":"c"}', id="no id"),
        pytest.param('{"msg":"added","collection":"c","id":"x","fields":[]}', id="fields is not an object"),
        pytest.param('{"msg":"added","collection":"c","id":"x","fields":{"a":{"$binary":"=A"}}}', id="invalid EJSON"),
        pytest.param('{"msg":"added","collection":"c","id":"x","fields":NaN}', id="NaN"),
        pytest.param('{"msg":"ready"}', id="ready without subs"),
        pytest.param('{"msg":"updated","methods":[5]}', id="updated with a number"),
        pytest.param('{"msg":"error","reason":"Parse error"}', id="error without a known request"),
        pytest.param("[" * 20_000, id="nested too deeply"),
        pytest.param('{"msg":"result","a":' + "[" * 20_000, id="deep result without id"),
    ],
)
def test_an_invalid_message_is_ignored_with_a_warning(connected: Playbook, text: str) -> None:
    """C70, C71, C73, C75, E31: the session continues."""
    connected.play(f"""
        >> {text}
        !! Warned
        >> {{"msg":"ping"}}
        << {{"msg":"pong"}}
    """)
    assert connected.session.documents.names() == []


def test_a_refused_call_fails(connected: Playbook) -> None:
    """C72: in Meteor's client, the call would never end, and neither would any `wait` call after it."""
    connected.session.call("m", [])
    connected.session.call("w", [], wait=True)
    offending = '{"msg":"method","id":"1","method":"m","params":[]}'
    connected.play(f"""
        << {offending}
        >> {{"msg":"error","reason":"Malformed method invocation","offendingMessage":{offending}}}
        !! CallFinished id='1'
        << {{"msg":"method","id":"2","method":"w","params":[]}}
    """)
    error = dict(finished(connected))["1"]
    assert isinstance(error, MethodError)
    assert (error.error, error.reason) == ("bad-request", "Malformed method invocation")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param('{"msg":"error","reason":"Parse error"}', "Parse error", id="C76"),
        pytest.param('{"msg":"error","error":"Unknown"}', '{"msg":"error","error":"Unknown"}', id="C77: no reason"),
        pytest.param('{"msg":"error","reason":{"a":1}}', '{"msg":"error","reason":{"a":1}}', id="an object as reason"),
        pytest.param('{"msg":"error","reason":null}', '{"msg":"error","reason":null}', id="null as reason"),
        pytest.param('{"msg":"error"}', '{"msg":"error"}', id="no fields"),
        pytest.param(
            '{"msg":"error","reason":"no","offendingMessage":"x"}', "no", id="an offending message that is text"
        ),
        pytest.param(
            '{"msg":"error","reason":"no","offendingMessage":{"msg":"method"}}',
            "no",
            id="an offending message without id",
        ),
        pytest.param(
            '{"msg":"error","reason":"","offendingMessage":{"a":' + "[" * 5_000 + "]" * 5_000 + "}}",
            '{"msg":"error","reason":"","offendingMessage":{"a":' + "[" * 449,
            id="an offending message that is nested too deeply",
        ),
    ],
)
def test_an_error_without_a_request_fails_the_only_call(connected: Playbook, error: str, reason: str) -> None:
    """C76, C77: this is Meteor's only answer to a call with an unknown `$type`."""
    connected.session.call("m", [])
    connected.play(f"""
        << {{"msg":"method","id":"1","method":"m","params":[]}}
        >> {error}
        !! CallFinished id='1'
    """)
    refused = dict(finished(connected))["1"]
    assert isinstance(refused, MethodError)
    assert (refused.error, refused.reason) == ("bad-request", reason)
    assert connected.session.refusal is None


def test_an_error_without_a_request_fails_the_only_subscription(connected: Playbook) -> None:
    """C76: a ready subscription has been answered."""
    connected.session.subscribe("ready", [])
    connected.session.subscribe("s", [])
    connected.play(f"""
        << {{"msg":"sub","id":"{SUB_1}","name":"ready","params":[]}}
        << {{"msg":"sub","id":"{SUB_2}","name":"s","params":[]}}
        >> {{"msg":"ready","subs":["{SUB_1}"]}}
        !! SubscriptionReady id='{SUB_1}'
        >> {{"msg":"error","reason":"Parse error"}}
        !! SubscriptionStopped id='{SUB_2}'; error=SubscriptionError('bad-request', 'Parse error', None)
    """)


@pytest.mark.parametrize("first_answer", ["result", "updated"])
def test_an_error_fails_the_last_possible_request(connected: Playbook, first_answer: str) -> None:
    """C76: requests after the error and answered requests are ruled out."""
    connected.session.call("a", [])
    connected.session.call("b", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"a","params":[]}
        << {"msg":"method","id":"2","method":"b","params":[]}
        >> {"msg":"error","reason":"no"}
        !! Warned text='the server refused a message: no'
    """)
    assert "no" in str(connected.session.refusal)
    connected.session.call("c", [])
    answer = '{"msg":"result","id":"1"}' if first_answer == "result" else '{"msg":"updated","methods":["1"]}'
    connected.play(f"""
        << {{"msg":"method","id":"3","method":"c","params":[]}}
        >> {{"msg":"ping"}}
        << {{"msg":"pong"}}
        >> {answer}
        !! CallFinished id='2'; error=MethodError('bad-request', 'no', None)
    """)
    assert connected.session.refusal is None
    assert connected.session.outstanding == 2


def test_as_many_errors_as_requests_fail_all_of_them(connected: Playbook) -> None:
    """C76."""
    connected.session.call("a", [])
    connected.session.call("b", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"a","params":[]}
        << {"msg":"method","id":"2","method":"b","params":[]}
        >> {"msg":"error","reason":"no"}
        !! Warned
        >> {"msg":"error","reason":"nor that"}
        !! Warned
        !! CallFinished id='1'; error=MethodError('bad-request', 'no', None)
        !! CallFinished id='2'; error=MethodError('bad-request', 'nor that', None)
    """)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        pytest.param(
            "Parse error", "!! CallFinished id='2'; error=MethodError('bad-request', 'Parse error', None)", id="parse"
        ),
        pytest.param("Unknown method", "!! Warned", id="any other reason"),
    ],
)
def test_a_parse_error_is_about_the_only_custom_type(connected: Playbook, reason: str, told: str) -> None:
    """C76: of several requests, the only one with a `$type`."""
    connected.session.call("a", [])
    connected.session.call("b", [Custom("Nope", 1)])
    connected.play(f"""
        << {{"msg":"method","id":"1","method":"a","params":[]}}
        << {{"msg":"method","id":"2","method":"b","params":[{{"$type":"Nope","$value":1}}]}}
        >> {{"msg":"error","reason":"{reason}"}}
        {told}
    """)


def test_an_error_while_a_ping_is_unanswered_can_be_about_the_ping(connected: Playbook) -> None:
    """C76: a server without pings must not fail the running call."""
    connected.session.call("m", [])
    connected.session.ping(0.0)
    connected.play("""
        << {"msg":"method","id":"1","method":"m","params":[]}
        << {"msg":"ping","id":"p1"}
        >> {"msg":"error","reason":"Unknown message"}
        !! Warned
        >> {"msg":"ping"}
        << {"msg":"pong"}
        >> {"msg":"pong","id":"p1"}
        !! PongReceived
        !! CallFinished id='1'; error=MethodError('bad-request', 'Unknown message', None)
    """)


def test_an_error_before_connected_can_be_about_connect(book: Playbook) -> None:
    """C76: the error can be about the call after `connect` only if `connected` has arrived."""
    book.session.call("m", [])
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        << {"msg":"method","id":"1","method":"m","params":[]}
        >> {"msg":"error","reason":"no"}
        !! Warned
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished
        !! CallFinished id='1'; error=MethodError('bad-request', 'no', None)
    """)


def test_an_error_is_forgotten_with_the_connection(connected: Playbook) -> None:
    """C22: requests that are sent again are answered again."""
    connected.session.call("a", [])
    connected.session.call("b", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"a","params":[]}
        << {"msg":"method","id":"2","method":"b","params":[]}
        >> {"msg":"error","reason":"no"}
        !! Warned
        lost
    """)
    assert connected.session.refusal is None
    assert connected.session.outstanding == 2


def test_a_result_that_is_too_large_fails_its_call_and_no_other(connected: Playbook) -> None:
    """U17: the method has run, so the call must not be sent again."""
    connected.session.call("m", [])
    connected.session.call("n", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"m","params":[]}
        << {"msg":"method","id":"2","method":"n","params":[]}
    """)
    connected.session.receive_large('{"msg":"result","result":["x","]{",{"id":"1"}],"id":"2","result":"xxxx', 1 << 20)
    connected.play("""
        !! CallFinished id='2'; error=MessageTooLarge("the result of 'n'", 1048576)
        lost
        open
        << {"msg":"connect","session":"one","version":"1","support":["1","pre2","pre1"],"receivedCount":2}
        >> {"msg":"connected","session":"two"}
        !! SessionEstablished resent_calls=1
        << {"msg":"method","id":"1","method":"m","params":[]}
    """)


@pytest.mark.parametrize("head", ["", '{"result":"xxx', '{"msg":"result","result":"xxx', "[[[", '{:"x"', r'{"\q":"x"'])
def test_no_call_is_repeated_after_a_large_message_that_can_be_its_answer(connected: Playbook, head: str) -> None:
    connected.session.call("m", [])
    connected.session.call("n", [])
    connected.play("""
        << {"msg":"method","id":"1","method":"m","params":[]}
        << {"msg":"method","id":"2","method":"n","params":[]}
    """)
    connected.session.receive_large(head, 1 << 20)
    connected.play("""
        !! Warned text='a message from the server is larger than 1 MiB; it was ignored'
        lost
        !! CallFinished id='1'
        !! CallFinished id='2'
    """)
    assert all(isinstance(error, OutcomeUnknown) for _, error in finished(connected))


def test_a_large_message_is_the_answer_to_the_only_request(connected: Playbook) -> None:
    connected.session.call("m", [])
    connected.play('<< {"msg":"method","id":"1","method":"m","params":[]}')
    connected.session.receive_large('{"result":"xxx', 1 << 20)
    connected.play("!! CallFinished id='1'; error=MessageTooLarge(\"the result of 'm'\", 1048576)")


@pytest.mark.parametrize("msg", ["added", "changed", "addedBefore"])
def test_a_document_that_is_too_large_ends_subscriptions_that_are_not_ready(connected: Playbook, msg: str) -> None:
    """The documents of the subscription would be incomplete, and a new subscription would get the same document."""
    connected.session.subscribe("s", [])
    connected.play(f'<< {{"msg":"sub","id":"{SUB_1}","name":"s","params":[]}}')
    connected.session.receive_large(f'{{"msg":"{msg}","collection":"c","id":"x","fields":{{"a":"xxx', 1 << 20)
    connected.play(f"""
        !! SubscriptionStopped id='{SUB_1}'; error=MessageTooLarge("a document of 'c'", 1048576)
        << {{"msg":"unsub","id":"{SUB_1}"}}
        >> {{"msg":"nosub","id":"{SUB_1}"}}
    """)


def test_a_change_that_is_too_large_is_reported(connected: Playbook) -> None:
    connected.session.receive_large('{"msg":"changed","collection":"c","id":"x","fields":{"a":"xxx', 1 << 20)
    connected.play("!! Warned text=\"a document of 'c' is larger than 1 MiB; it was ignored\"")


def test_an_error_can_be_about_a_stopped_subscription(connected: Playbook) -> None:
    """C76: until the server has sent `nosub`."""
    connected.session.call("m", [])
    connected.session.subscribe("s", [])
    connected.session.unsubscribe(SUB_1)
    connected.play(f"""
        !! SubscriptionStopped
        << {{"msg":"method","id":"1","method":"m","params":[]}}
        << {{"msg":"sub","id":"{SUB_1}","name":"s","params":[]}}
        << {{"msg":"unsub","id":"{SUB_1}"}}
        >> {{"msg":"error","reason":"no"}}
        !! Warned
        >> {{"msg":"nosub","id":"{SUB_1}"}}
        !! CallFinished id='1'
    """)


def _added(wire_id: str, fields: str = '{"a":1}', collection: str = "c") -> str:
    return f'{{"msg":"added","collection":"{collection}","id":"{wire_id}","fields":{fields}}}'


#: What may come between messages about new documents.
ODD_TEXTS = [
    # A known document, ids of all kinds, fields of all kinds.
    *(_added(wire_id, '{"b":2}') for wire_id in ("id0", "", "-", "~null", "~[]", "\u00e9", "0123456789abcdef01234567")),
    *(
        _added(f"odd{number}", fields)
        for number, fields in enumerate(
            [
                "5",
                "[1]",
                ' {"a":1}',
                '{"d":{"$date":1767323045678},"s":"\\n"}',
                '{"d":{"\\u0024date":1}}',
                '{"b":{"$binary":"%"}}',
                '{"b":{"\\u0024binary":"%"}}',
                '{"n":{"$InfNaN":1}}',
                '{"s":"\\ud800"}',
                '{"n":1e999}',
                '{"_id":"no"}',
                '{"$date":1767323045678}',
            ]
        )
    ),
    _added("id0", collection="other"),
    _added("id1", collection="other"),
    '{"msg":"added","collection":"c","id":"y"}',
    '{"msg":"added","collection":"c"}',
    '{"msg":"added","collection":"c","id":"z","fields":{}},{"msg":"ping"}',
    '{"msg":"changed","collection":"c","id":"id0","fields":{"a":2},"cleared":["d"]}',
    '{"msg":"removed","collection":"c","id":"id0"}',
    '{"msg":"addedBefore","collection":"c","id":"id3","fields":{},"before":"id1"}',
    '{"msg":"movedBefore","collection":"c","id":"id1","before":null}',
    '{"msg":"result","id":"1"}',
    '{"msg":"updated","methods":["1","2"]}',
    f'{{"msg":"ready","subs":["{SUB_1}"]}}',
    f'{{"msg":"nosub","id":"{SUB_1}"}}',
    '{"msg":"error","reason":"no"}',
    '{"msg":"connected","session":"two"}',
    '{"msg":"ping"}',
    '{"msg":"pong"}',
    '{"msg":"unheard of"}',
    '{"a":"',
    '"}',
    "",
]


def _situation(name: str) -> ClientSession:
    """Return a session that handles messages about documents in a certain way."""
    session = ClientSession(counting_random())
    session.subscribe("s", [])
    session.connection_made(0.0)
    session.receive_text('{"msg":"connected","session":"one"}', 0.0)
    session.receive_text(f'{{"msg":"ready","subs":["{SUB_1}"]}}', 0.0)
    for wire_id in ("id0", "id1", "id2"):
        session.receive_text(_added(wire_id), 0.0)
    match name:
        case "watched":
            session.documents.watched = True
        case "watched as texts":
            session.documents.watched = session.documents.emits_texts = True
        case "data":
            session.reports_data = True
        case "documents are not kept":
            session.keeps_documents = False
        case "ordered":
            session.receive_text('{"msg":"movedBefore","collection":"c","id":"id2","before":"id0"}', 0.0)
        case "a message was refused":
            session.call("m", [])
            session.call("m", [])
            session.receive_text('{"msg":"error","reason":"no"}', 0.0)
        case "documents are held back":
            session.receive_eof()
            session.connection_made(0.0)
            session.receive_text('{"msg":"connected","session":"two"}', 0.0)
    return session


SITUATIONS = [
    "usual",
    "watched",
    "watched as texts",
    "data",
    "documents are not kept",
    "ordered",
    "a message was refused",
    "documents are held back",
]


def _effects(session: ClientSession) -> tuple[str, list[str], str, str | None]:
    """Return the events, the messages, the documents, and the last refusal."""
    documents = {name: list(session.documents.scan(name)) for name in session.documents.names()}
    return repr(session.events_received()), session.texts_to_send(), repr(documents), session.refusal


def _assert_alike(situation: str, *batches: Sequence[str]) -> None:
    """Check that texts have the same effects in batches as one by one, then and after a reconnection."""
    one_by_one, together = _situation(situation), _situation(situation)
    assert _effects(together) == _effects(one_by_one)
    for texts in batches:
        for text in texts:
            one_by_one.receive_text(text, 1.0)
        together.receive_texts(texts, 1.0)
        assert _effects(together) == _effects(one_by_one)
    for session in (one_by_one, together):
        session.receive_eof()
        session.connection_made(2.0)
    # The `connect` has the number of messages that were received (R21).
    assert _effects(together) == _effects(one_by_one)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_a_text_among_new_documents_is_handled_as_alone(situation: str, odd: str) -> None:
    _assert_alike(situation, [odd, *map(_added, "pq"), odd, _added("r"), odd, odd, _added("s")])


@given(st.sampled_from(SITUATIONS), st.lists(st.lists(st.sampled_from([*ODD_TEXTS, *map(_added, "abcdef")]))))
def test_many_texts_are_handled_as_each_of_them(situation: str, batches: list[list[str]]) -> None:
    _assert_alike(situation, *batches)


@given(
    st.lists(
        st.one_of(
            st.text(),
            st.sampled_from(
                [
                    '{"msg":"connected","session":"two"}',
                    '{"msg":"failed","version":"pre1"}',
                    '{"msg":"added","collection":"c","id":"x","fields":{"a":1}}',
                    '{"msg":"changed","collection":"c","id":"y","cleared":["a"]}',
                    '{"msg":"removed","collection":"c","id":"x"}',
                    '{"msg":"addedBefore","collection":"c","id":"z","fields":{},"before":"x"}',
                    '{"msg":"movedBefore","collection":"c","id":"z","before":null}',
                    '{"msg":"result","id":"1"}',
                    '{"msg":"updated","methods":["1","2","3"]}',
                    f'{{"msg":"ready","subs":["{SUB_1}"]}}',
                    f'{{"msg":"nosub","id":"{SUB_1}","error":null}}',
                    '{"msg":"error","reason":"x","offendingMessage":{"msg":"method","id":"2"}}',
                    '{"msg":"error","reason":"Parse error"}',
                    '{"msg":"error"}',
                    '{"msg":"ping","id":[]}',
                    "lost",
                    "open",
                    "call",
                    "wait",
                    "sub",
                ]
            ),
        )
    )
)
def test_no_order_of_events_breaks_a_session(steps: list[str]) -> None:
    """Nothing is raised in any state, and each call has at most one outcome."""
    session = ClientSession(counting_random())
    session.documents.watched = True
    events: list[object] = []
    for step in steps:
        if step == "open" and session.state is SessionState.DISCONNECTED:
            session.connection_made(0.0)
        elif step == "lost":
            session.receive_eof()
        elif step in ("call", "wait"):
            session.call("m", [], wait=step == "wait")
        elif step == "sub":
            session.subscribe("s", [])
        else:
            session.receive_text(step, 0.0)
        events += session.events_received()
    session.receive_eof()
    session.abandon(ConnectionLost("over"), "it was over")
    events += session.events_received()
    done = [event.id for event in events if isinstance(event, CallFinished)]
    assert len(done) == len(set(done)) == sum(step in ("call", "wait") for step in steps)
    assert not any(isinstance(event, CallAnswered) and event.id not in done for event in events)
    assert session.outstanding == 0
