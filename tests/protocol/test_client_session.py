"""The client's end of DDP, as transcripts."""

from __future__ import annotations

import json

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


def test_a_plain_session_goes_as_in_transcript_t1(book: Playbook) -> None:
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


def test_another_version_that_we_have_is_proposed_next(book: Playbook) -> None:
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


def test_a_version_that_we_have_not_ends_it_for_good(book: Playbook) -> None:
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


def test_the_version_that_was_just_refused_is_not_proposed_again(book: Playbook) -> None:
    """C4: a server that asks for what it has refused would be asked for ever."""
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
    """C4: a server that suggests two versions in turns would be called for ever."""
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


def test_a_session_makes_all_versions_good_again(book: Playbook) -> None:
    """C4: a server that was replaced may speak what the old one refused."""
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
def test_a_session_without_an_id_is_never_asked_for_again(book: Playbook, member: str) -> None:
    """C9, C50, C51: it is accepted, and every session after it is a new one."""
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
        # The old documents stay in sight until the new ones are all here.
        assert [document["_id"] for document in book.session.documents.scan("c")] in (["old"], ["new"])
        book.play(f'>> {{"msg":"ready","subs":["{sub_id}"]}}')
        assert [document["_id"] for document in book.session.documents.scan("c")] == ["new"]
    assert book.session.session_id == "two"


def test_a_session_that_loses_its_id_is_not_resumed(connected: Playbook) -> None:
    """C9: the server knows nothing of the session that it was asked for."""
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
        pytest.param('{"msg":5}', [True], id="C71: no name"),
        pytest.param('{"msg":"sub","id":"1"}', [True], id="C71: a client's"),
        pytest.param('{"msg":"added","collection":5}', [False], id="C75"),
        pytest.param("nonsense", [False], id="C70"),
    ],
)
def test_what_is_unknown_is_harmless(connected: Playbook, text: str, told: list[bool]) -> None:
    connected.session.receive_text(text, 0.0)
    assert [event.harmless for event in connected.session.events_received() if isinstance(event, Warned)] == told


def test_failed_in_a_session_that_stands_is_ignored(connected: Playbook) -> None:
    """C4 is for negotiating."""
    connected.play("""
        >> {"msg":"failed","version":"2"}
        !! Warned
        >> {"msg":"connected","session":"two"}
        !! Warned
    """)
    assert connected.session.session_id == "one"


def test_a_greeting_without_msg_is_passed_over(book: Playbook) -> None:
    """U14."""
    book.play("""
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"server_id":"0"}
        >> {"msg":"connected","session":"one"}
        !! SessionEstablished
    """)


# ------------------------------------------------------------------------------------------------- heartbeats


def test_a_ping_is_answered_at_once_with_the_id_it_has(book: Playbook) -> None:
    """H8, H10, H11: before `connected` too, and whatever the id is."""
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


def test_any_message_counts_as_life(connected: Playbook) -> None:
    """H3: garbage too."""
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


def test_a_ping_of_ours_tells_the_round_trip(connected: Playbook) -> None:
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


def test_goodbye_is_said_in_a_session_only(book: Playbook) -> None:
    """R25."""
    book.session.send_disconnect()
    book.play(CONNECTED)
    book.session.send_disconnect()
    book.play('<< {"msg":"disconnect"}')


# ------------------------------------------------------------------------------------------------- subscriptions


def test_ready_comes_once_however_often_the_server_says_it(connected: Playbook) -> None:
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
    """C34, C35: and is not asked for again."""
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
    """C7, C36: and stopping twice is stopping once."""
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
    """A session with a ready subscription and two documents, whose changes are told."""
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


def test_after_a_reconnect_the_view_changes_in_one_step(watching: Playbook) -> None:
    """C50-C56, C58: what stayed the same is not told of, and nothing vanishes for a moment."""
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


def test_with_nothing_to_wait_for_the_documents_vanish_at_once(watching: Playbook) -> None:
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


def test_a_subscription_that_fails_or_is_refused_does_not_hold_the_view(watching: Playbook) -> None:
    """C54, C57, C63, C72."""
    watching.play(RECONNECTING)
    watching.play(f"""
        >> {{"msg":"added","collection":"tasks","id":"a","fields":{{"n":5}}}}
        >> {{"msg":"error","reason":"Malformed subscription","offendingMessage":{{"msg":"sub","id":"{SUB_1}"}}}}
        !! SubscriptionStopped id='{SUB_1}'
        !! DocumentChanged id='a'; fields={{'n': 5}}
        !! DocumentRemoved id='b'
    """)


def test_a_stop_during_quiescence_is_released_by_the_servers_answer(watching: Playbook) -> None:
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


def test_another_loss_voids_what_was_kept_back(watching: Playbook) -> None:
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


def test_a_call_made_during_quiescence_finishes_with_it(watching: Playbook) -> None:
    """C60: it is sent at once, but its writes are not to be seen before."""
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


def test_the_first_connected_resets_nothing(book: Playbook) -> None:
    """C61."""
    book.session.documents.watched = True
    book.play(CONNECTED)
    book.play("""
        >> {"msg":"added","collection":"users","id":"u","fields":{}}
        !! DocumentAdded id='u'
    """)


# ---------------------------------------------------------------------------------------------------- resumption


def test_a_resumed_session_keeps_everything_and_is_sent_only_what_it_may_lack(watching: Playbook) -> None:
    """R20-R22, R28, R29: no login, no ready subscription; calls on the wire and requests made meanwhile."""
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


def test_what_was_stopped_while_away_is_stopped_in_a_resumed_session_too(watching: Playbook) -> None:
    """R22: it still has the subscription, which a new session would not (C7)."""
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


def test_in_a_resumed_session_an_updated_that_is_due_still_comes(connected: Playbook) -> None:
    """C22, R22: the call has its result, is not sent again, and is done at its `updated`."""
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


def test_quiescence_goes_on_in_a_resumed_session(watching: Playbook) -> None:
    """C62, R22: what was kept back was received, and will not be sent again."""
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


def test_a_subscription_that_was_ready_before_is_sent_to_a_resumed_session_that_never_said_so(
    watching: Playbook,
) -> None:
    """R22, R28: session two may never have heard of it, and then it would be missed for ever."""
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


def test_a_call_answered_two_sessions_ago_waits_for_the_documents_and_not_for_its_updated(watching: Playbook) -> None:
    """C56, R22: session two, resumed, never ran it, and will not send an `updated`."""
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


def test_pings_and_pongs_are_not_counted_and_unknown_messages_are(connected: Playbook) -> None:
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


def test_a_reconnect_while_logged_in_goes_as_in_transcript_t2(watching: Playbook) -> None:
    """T2, A52, A55, C51: one login, with the token of now; the call in flight is held behind it."""
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
        pytest.param('{"msg":"added","collection":5,"id":"x"}', id="collection no string"),
        pytest.param('{"msg":"added","collection":"c"}', id="no id"),
        pytest.param('{"msg":"added","collection":"c","id":"x","fields":[]}', id="fields no object"),
        pytest.param('{"msg":"added","collection":"c","id":"x","fields":{"a":{"$binary":"=A"}}}', id="bad EJSON"),
        pytest.param('{"msg":"added","collection":"c","id":"x","fields":NaN}', id="NaN"),
        pytest.param('{"msg":"ready"}', id="ready without subs"),
        pytest.param('{"msg":"updated","methods":[5]}', id="updated with a number"),
        pytest.param('{"msg":"error","reason":"Parse error"}', id="error about nobody knows what"),
        pytest.param("[" * 20_000, id="deep"),
        pytest.param('{"msg":"result","a":' + "[" * 20_000, id="deep result without id"),
    ],
)
def test_what_is_no_ddp_is_ignored_with_a_warning(connected: Playbook, text: str) -> None:
    """C70, C71, C73, C75, E31: and the session goes on."""
    connected.play(f"""
        >> {text}
        !! Warned
        >> {{"msg":"ping"}}
        << {{"msg":"pong"}}
    """)
    assert connected.session.documents.names() == []


def test_a_refused_call_fails(connected: Playbook) -> None:
    """C72, section 10: in Meteor it would hang, and with it every wait call after it."""
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
        pytest.param('{"msg":"error"}', '{"msg":"error"}', id="nothing at all"),
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
            id="an offending message that is too deep",
        ),
    ],
)
def test_an_error_that_names_no_request_fails_the_only_one(connected: Playbook, error: str, reason: str) -> None:
    """C76, C77: real Meteor answers a call with a `$type` that it does not know in this way, and in no other."""
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


def test_an_error_that_names_no_request_fails_the_only_subscription(connected: Playbook) -> None:
    """C76: one that is ready has been answered."""
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
def test_an_error_fails_a_request_when_no_other_is_left(connected: Playbook, first_answer: str) -> None:
    """C76: what is sent after the error cannot be what it is about, and what is answered is ruled out."""
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
def test_what_cannot_be_parsed_is_the_custom_type(connected: Playbook, reason: str, told: str) -> None:
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
    """C76: a server that knows no pings must not fail the call that it works on."""
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
    """C76: it fails the call behind `connect` only once `connected` has come."""
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
    """C22: what is sent again is answered again."""
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
    """U17: its method has run, so that it must not be sent again."""
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
def test_a_large_message_that_could_be_any_answer_is_not_asked_for_again(connected: Playbook, head: str) -> None:
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
def test_a_document_that_is_too_large_ends_what_is_not_ready(connected: Playbook, msg: str) -> None:
    """Its documents would be incomplete, and a subscription that is renewed would get the same document again."""
    connected.session.subscribe("s", [])
    connected.play(f'<< {{"msg":"sub","id":"{SUB_1}","name":"s","params":[]}}')
    connected.session.receive_large(f'{{"msg":"{msg}","collection":"c","id":"x","fields":{{"a":"xxx', 1 << 20)
    connected.play(f"""
        !! SubscriptionStopped id='{SUB_1}'; error=MessageTooLarge("a document of 'c'", 1048576)
        << {{"msg":"unsub","id":"{SUB_1}"}}
        >> {{"msg":"nosub","id":"{SUB_1}"}}
    """)


def test_a_change_that_is_too_large_is_told(connected: Playbook) -> None:
    connected.session.receive_large('{"msg":"changed","collection":"c","id":"x","fields":{"a":"xxx', 1 << 20)
    connected.play("!! Warned text=\"a document of 'c' is larger than 1 MiB; it was ignored\"")


def test_a_stopped_subscription_may_be_what_an_error_is_about(connected: Playbook) -> None:
    """C76: until the server has said `nosub`."""
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
def test_no_order_of_anything_breaks_a_session(steps: list[str]) -> None:
    """Whatever comes, in any state: nothing is raised, and each call has one outcome at most."""
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
