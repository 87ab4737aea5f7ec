"""Calls, subscriptions, and the commands that list, cancel and await them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ddpshell.shell.link import Profile
from ddpshell.shell.registry import Role
from ddpshell.shell.terminal.completion import suggestions
from tests.fakes import FakeClock, ScriptedConnector, ScriptedPeer
from tests.shell.desk import Desk, FakeTerminal, scripted_desk


class Slow:
    """A desk whose server answers when the test does."""

    def __init__(self, clock: FakeClock, desk: Desk, peer: ScriptedPeer) -> None:
        self.clock = clock
        self.desk = desk
        self.peer = peer


@pytest.fixture
def slow() -> Iterator[Slow]:
    clock, connector = FakeClock(), ScriptedConnector()
    with scripted_desk(clock, connector) as made:
        peer = connector.accept()
        peer.establish()
        made.screen.wait_for("connected")
        yield Slow(clock, made, peer)


# ---------------------------------------------------------------------------------------------------------- calls


def test_the_time_in_which_the_user_confirms_a_call_does_not_count(slow: Slow) -> None:
    class Thinking(FakeTerminal):
        def ask(self, question: str) -> str:
            slow.clock.advance(5)
            return super().ask(question)

    slow.desk.shell.link.profile = Profile("prod", "", confirm=True)
    slow.desk.shell.terminal = terminal = Thinking("y")
    slow.desk.type("set timing on")
    slow.desk.send("call m")
    assert terminal.questions == ["call m at prod? [y/N] "]
    slow.clock.advance(2)
    call = slow.peer.pull_message()
    slow.peer.push({"msg": "result", "id": call["id"], "result": 1}, {"msg": "updated", "methods": [call["id"]]})
    slow.desk.screen.wait_for("2.0 s")


@pytest.mark.parametrize("line", ["wait --timeout 0", "cancel 1"])
def test_an_answer_whose_writes_are_not_confirmed_is_not_lost(slow: Slow, line: str) -> None:
    """The server sends `result` but no `updated` (C78, C79)."""
    slow.desk.send("call m")
    slow.peer.push(
        {"msg": "result", "id": slow.peer.pull_message()["id"], "result": "kept"}, {"msg": "ping", "id": "x"}
    )
    assert slow.peer.pull_message()["msg"] == "pong"
    slow.desk.send(line)
    slow.desk.screen.wait_for("warning: the server answered call m, but did not confirm its writes")
    slow.desk.screen.wait_for('[1] "kept"')


def test_the_toolbar_shows_an_unconfirmed_result_after_a_while(slow: Slow) -> None:
    """The toolbar, which is drawn each second, looks for such results (C79)."""
    slow.desk.send("call m")
    slow.peer.push(
        {"msg": "result", "id": slow.peer.pull_message()["id"], "result": "kept"}, {"msg": "ping", "id": "x"}
    )
    assert slow.peer.pull_message()["msg"] == "pong"
    assert not slow.desk.shell.settle(age=30)
    slow.clock.advance(30)
    assert slow.desk.shell.settle(age=30)
    slow.desk.screen.wait_for('[1] "kept"')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param('call upper "Hello"', '[1] "HELLO"\n', id="a result"),
        pytest.param("call add 1 2", "[1] 3\n", id="numbers"),
        pytest.param("call echo {a: 1} [2] text", '[1] [{"a": 1}, [2], "text"]\n', id="arguments of all kinds"),
        pytest.param("call nothing", "[1] the method returned nothing\n", id="C15: no result"),
        pytest.param("call null", "[1] null\n", id="null"),
        pytest.param("apply add [1, 2]", "[1] 3\n", id="an array of arguments"),
        pytest.param("apply upper ['a'] --no-retry --at-result --random-seed x", '[1] "A"\n', id="options"),
        pytest.param(
            "call nope",
            "[1] error 404: Method 'nope' not found\n  check the spelling; names are case-sensitive\n",
            id="404",
        ),
        pytest.param(
            "call upper", "[1] error 400: Match failed\n  the server does not accept these arguments\n", id="400"
        ),
    ],
)
def test_a_call_is_answered(table: Desk, text: str, shown: str) -> None:
    assert table.type(text) == shown


@pytest.mark.parametrize(("may_retry", "text"), [(False, "call pay"), (True, "call pay --no-retry")])
def test_a_call_without_retries_is_sent_once(slow: Slow, may_retry: bool, text: str) -> None:
    """After a loss, the error says that the outcome is unknown (C22)."""
    slow.desk.shell.hooks.retry = may_retry
    slow.desk.send(text)
    slow.peer.pull_message()
    slow.peer.drop()
    assert "[1] error: " in slow.desk.screen.wait_for("find out whether it ran before you repeat it")


def test_a_misspelled_method_has_a_suggestion(table: Desk) -> None:
    table.type("call upper a")
    assert "did you mean upper?" in table.type("call uper a")
    assert "did you mean" not in table.type("call zzz"), "a name that the server does not know is not suggested"


@pytest.mark.parametrize(
    ("role", "line", "name"),
    [
        pytest.param(Role.METHOD, "call nope", "nope", id="a method"),
        pytest.param(Role.METHOD, "apply nope []", "nope", id="apply"),
        pytest.param(Role.PUBLICATION, "sub nope", "nope", id="a publication"),
        pytest.param(Role.COLLECTION, "find nope", "nope", id="a collection"),
        pytest.param(Role.COLLECTION, "count nope", "nope", id="a collection that is counted"),
        pytest.param(Role.COLLECTION, "watch nope", "nope", id="a collection that is watched"),
    ],
)
def test_an_unknown_name_is_not_suggested(table: Desk, role: Role, line: str, name: str) -> None:
    names = table.shell.names
    for _ in range(2):
        names.learn(line)
        assert table.type(line)
        assert name not in names.of(role)
    assert names.similar(role, "nop") is None
    assert suggestions(f"{line.split(maxsplit=1)[0]} no", table.shell.registry, names) == []
    table.type("call nope2\nsub nope2")
    assert "did you mean" not in table.type("call nope1\nsub nope1")


def test_a_name_that_becomes_known_is_suggested_again(table: Desk) -> None:
    names = table.shell.names
    for line in ("find tasks", "sub tasks", "call fail 404 'Post not found'"):
        names.learn(line)
    table.type("find tasks")
    assert names.of(Role.COLLECTION) == []
    table.type("sub tasks\ncall fail")
    assert names.of(Role.COLLECTION) == ["tasks"]
    assert names.of(Role.PUBLICATION) == ["tasks"]
    assert "fail" in names.of(Role.METHOD)


def test_apply_requires_an_array(table: Desk) -> None:
    assert "the arguments must be in an array: apply upper [...]" in table.type("apply upper x")


def test_results_can_be_used_later(table: Desk) -> None:
    table.type("call echo {title: 'write', tags: ['a', 'b']}")
    table.type("call add 1 2")
    assert table.type("call echo $1[0].tags $_ {n: $2}") == '[3] [["a", "b"], 3, {"n": 3}]\n'


def test_answers_have_the_numbers_of_their_calls_in_any_order(table: Desk) -> None:
    shown = table.type("call slowUnblocked 200\ncall upper quick")
    assert shown == '[2] "QUICK"\n[1] 200\n'


# -------------------------------------------------------------------------------------------------- subscriptions


def test_a_subscription_reports_how_many_documents_it_brought(table: Desk) -> None:
    assert table.type("sub tasks {done: false}") == "[1] sub tasks: ready, 2 documents\n"
    assert table.type("sub tasks {done: false}") == "[2] sub tasks: ready, no new documents\n"


def test_a_refused_subscription_shows_its_error(table: Desk) -> None:
    assert "[1] error 403: denied\n" in table.type("sub bad")
    assert table.type("subs") == "no subscriptions; `sub PUBLICATION` makes one\n"


def test_a_subscription_that_the_server_ends_is_reported(table: Desk) -> None:
    table.type("sub stopsItself 1")
    table.screen.wait_for("[1] sub stopsItself: ended by the server")
    table.type("sub failsLater 1")
    table.screen.wait_for("[2] error later: it failed in the end")


def test_a_subscription_that_ends_before_it_is_ready_is_an_error(slow: Slow) -> None:
    slow.desk.send("sub never")
    slow.peer.push({"msg": "nosub", "id": slow.peer.pull_message()["id"]})
    slow.desk.screen.wait_for("[1] error stopped: 'never' ended before all of its documents arrived")


def test_ending_a_subscription_before_it_is_ready_is_reported_once(slow: Slow) -> None:
    slow.desk.send("sub never")
    slow.peer.pull_message()
    slow.desk.send("unsub never")
    slow.desk.screen.wait_for("[1] sub never: ended\n")
    assert "error" not in slow.desk.shown()
    assert slow.desk.shell.jobs.pending == []


def test_subscriptions_are_listed_and_ended(table: Desk) -> None:
    table.type("sub tasks\nsub items 3")
    listed = table.type("subs").splitlines()
    assert listed[0].startswith("[1] tasks    ready  ")
    assert listed[1].startswith("[2] items 3  ready  ")
    table.send("unsub 2")
    table.screen.wait_for("[2] sub items: ended\n")
    table.send("unsub tasks")
    table.screen.wait_for("[1] sub tasks: ended\n")
    assert "there are no subscriptions" in table.type("unsub tasks")
    assert "there are no subscriptions" in table.type("unsub")
    table.screen.wait_for("- tasks/c")


def test_documents_are_not_counted_if_their_subscription_is_uncertain(table: Desk) -> None:
    table.send("sub neverReady")
    table.send("sub tasks\nwait 2")
    assert "[2] sub tasks: ready\n" in table.shown()
    start = len(table.shown())
    table.send("subs")
    [first, second] = table.shown()[start:].splitlines()
    assert first.startswith("[1] neverReady  not ready  ")
    assert second.startswith("[2] tasks       ready  ")


def test_unsub_all_ends_all_subscriptions(table: Desk) -> None:
    table.type("sub tasks\nsub part")
    assert "missing subscription; `subs` lists them" in table.type("unsub")
    assert "unknown subscription zzz; `subs` lists them" in table.type("unsub zzz")
    table.send("unsub --all")
    table.screen.wait_for("[1] sub tasks: ended")
    table.screen.wait_for("[2] sub part: ended")


# ------------------------------------------------------------------------------------------------ pending commands


def test_pending_lists_commands_with_ages_and_without_secrets(slow: Slow) -> None:
    slow.desk.send("call createUser {username: 'ann', password: 'hunter2'}\nsub tasks 5\nping")
    slow.clock.advance(3)
    start = len(slow.desk.shown())
    slow.desk.send("pending")
    shown = slow.desk.shown()[start:]
    assert "hunter2" not in shown
    assert [line.split()[0] for line in shown.splitlines()] == ["[1]", "[2]", "[3]"]
    assert "[2] sub tasks 5" in shown
    assert "waiting  3.0 s" in shown


def test_pending_says_that_nothing_is_pending(slow: Slow) -> None:
    start = len(slow.desk.shown())
    slow.desk.send("pending")
    assert slow.desk.shown()[start:] == "no pending commands\n"


def test_an_unsent_call_can_be_canceled(slow: Slow) -> None:
    slow.desk.send("disconnect")
    slow.desk.screen.wait_for("disconnected")
    slow.clock.wait_until_waiting(deadline=None)
    slow.desk.send("call upper a\npending")
    slow.desk.screen.wait_for("1 call is not sent yet, waiting for the connection")
    assert slow.desk.type("cancel 1") == 'canceled [1] call upper "a"\n'
    assert slow.desk.shell.jobs.pending == []


def test_a_sent_call_is_never_listed_as_unsent(slow: Slow) -> None:
    """While the connection is lost, the call waits to be sent again (C22). The session's own login is not counted."""
    slow.desk.send("call upper a")
    slow.peer.pull()
    slow.peer.drop()
    slow.desk.screen.wait_for("connection lost")
    start = len(slow.desk.shown())
    slow.desk.send("pending\nstatus")
    shown = slow.desk.shown()[start:]
    assert "1 call was sent before the connection was lost, and will be sent again\n" in shown
    assert "pending       1 command, 1 to be sent again\n" in shown
    assert "not sent yet" not in shown
    start = len(slow.desk.shown())
    slow.desk.send("call upper b\nstatus\npending")
    shown = slow.desk.shown()[start:]
    assert "pending       2 commands, 1 not sent yet, 1 to be sent again\n" in shown
    assert "1 call is not sent yet, waiting" in shown
    assert "1 call was sent before" in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("cancel 9", "[9] is not pending; `pending` lists what is", id="no such number"),
        pytest.param("cancel 1", "[1] cannot be canceled: it was sent", id="a call that was sent"),
        pytest.param("cancel 2", "[2] cannot be canceled", id="a ping"),
    ],
)
def test_a_command_that_cannot_be_canceled_continues(slow: Slow, text: str, message: str) -> None:
    slow.desk.send("call upper a\nping")
    slow.peer.pull()
    slow.desk.send(text)
    assert message in " ".join(slow.desk.shown().split())
    assert len(slow.desk.shell.jobs.pending) == 2


def test_wait_stops_at_its_timeout(slow: Slow) -> None:
    slow.desk.send("call upper a")
    slow.desk.send("wait --timeout 0")
    assert "not all commands were answered within 0 s; `pending` lists them" in slow.desk.shown()


def test_wait_ends_with_the_answer(table: Desk) -> None:
    table.send("call slow 50\nwait\nwait 1\nwait 99")
    assert table.shown().endswith("[1] 50\n")
