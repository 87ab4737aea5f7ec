"""The answers in a recording: the messages that belong to each request, and their times."""

from __future__ import annotations

import json
from typing import Any

from ddpshell.analysis.recorded_answers import UNREQUESTED, Answer, RecordedAnswers, Step, recorded_answers, request_key
from ddpshell.analysis.recording import ConnectionChange, Entry, Frame
from ddpshell.protocol.messages import Added, Changed, Removed


class Tape:
    """A recording in the notation of a test. Each frame is one second after the previous one."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._conn = 1

    def sent(self, **message: Any) -> Tape:
        self.entries.append(Frame(float(len(self.entries)), self._conn, "out", json.dumps(message)))
        return self

    def received(self, **message: Any) -> Tape:
        self.entries.append(Frame(float(len(self.entries)), self._conn, "in", json.dumps(message)))
        return self

    def call(self, id_: str, method: str, *params: Any) -> Tape:
        return self.sent(msg="method", id=id_, method=method, params=params)

    def result(self, id_: str, value: Any) -> Tape:
        return self.received(msg="result", id=id_, result=value)

    def updated(self, *ids: str) -> Tape:
        return self.received(msg="updated", methods=ids)

    def sub(self, id_: str, name: str, *params: Any) -> Tape:
        return self.sent(msg="sub", id=id_, name=name, params=params)

    def ready(self, *ids: str) -> Tape:
        return self.received(msg="ready", subs=ids)

    def added(self, collection: str, id_: str) -> Tape:
        return self.received(msg="added", collection=collection, id=id_)

    def reconnect(self) -> Tape:
        self.entries.append(ConnectionChange(float(len(self.entries)), self._conn, "close"))
        self._conn += 1
        self.entries.append(ConnectionChange(float(len(self.entries)), self._conn, "open"))
        return self

    def answers(self) -> RecordedAnswers:
        return recorded_answers(self.entries)


def kinds(answer: Answer) -> list[str]:
    """Return the kind of each step, the document's id, and the time."""
    return [
        " ".join([type(step.message).__name__.lower(), *_document(step), f"{step.after:g}"]) for step in answer.steps
    ]


def _document(step: Step) -> list[str]:
    return [step.message.id] if isinstance(step.message, Added | Changed | Removed) else []


def the_call(answers: RecordedAnswers, method: str, *params: Any) -> list[list[str]]:
    return [kinds(answer) for answer in answers.calls.get(request_key(method, params), [])]


def the_sub(answers: RecordedAnswers, name: str, *params: Any) -> list[list[str]]:
    return [kinds(answer) for answer in answers.subs.get(request_key(name, params), [])]


def test_a_call_has_its_messages_in_their_order() -> None:
    answers = Tape().call("1", "m").result("1", 5).updated("1").call("2", "m").updated("2").result("2", 6).answers()
    assert the_call(answers, "m") == [["result 1", "updated 2"], ["updated 1", "result 2"]]


def test_requests_are_equal_if_their_parameters_are_equal() -> None:
    answers = Tape().call("1", "m", {"a": 1, "b": 2}).result("1", 1).call("2", "m", {"a": 1.5}).result("2", 2).answers()
    assert the_call(answers, "m", {"b": 2.0, "a": 1}) == [["result 1"]]
    assert the_call(answers, "m", {"b": 2, "a": True}) == []


def test_the_documents_before_ready_and_later_changes_belong_to_the_subscription() -> None:
    tape = Tape().sub("a", "tasks", 1).added("tasks", "x").ready("a").added("tasks", "y")
    tape.received(msg="changed", collection="tasks", id="x", fields={"n": 2})
    assert the_sub(tape.answers(), "tasks", 1) == [["added x 1", "ready 2", "added y 3", "changed x 4"]]


def test_a_new_document_belongs_to_the_oldest_subscription_that_is_not_ready() -> None:
    """C32: this holds although another subscription has documents of the collection."""
    tape = Tape().sub("a", "tasks", 1).added("tasks", "x").ready("a").sub("b", "tasks", 2).sub("c", "tasks", 3)
    answers = tape.added("tasks", "y").ready("b").added("tasks", "z").ready("c").answers()
    assert the_sub(answers, "tasks", 2) == [["added y 2", "ready 3"]]
    assert the_sub(answers, "tasks", 3) == [["added z 1", "ready 2"]]


def test_a_later_document_belongs_to_the_subscription_that_most_likely_publishes_it() -> None:
    tape = Tape().sub("a", "empty").ready("a").sub("b", "mine").added("tasks", "x").ready("b").sub("c", "users")
    tape.ready("c").added("tasks", "y").added("users", "u").added("other", "o")
    answers = tape.answers()
    assert the_sub(answers, "mine") == [["added x 1", "ready 2", "added y 5"]]
    assert the_sub(answers, "users") == [["ready 1", "added u 3"]]
    assert the_sub(answers, "empty") == [["ready 1", "added o 9"]]


def test_changes_made_by_a_call_belong_to_its_answer() -> None:
    """S46: the data about a method's writes precedes `updated`."""
    tape = Tape().sub("a", "tasks").ready("a").call("1", "add").added("tasks", "x").updated("1").result("1", "x")
    answers = tape.added("tasks", "y").answers()
    assert the_sub(answers, "tasks") == [["ready 1", "added y 6"]]
    [answer] = answers.calls[request_key("add", [])]
    assert kinds(answer) == ["added x 1", "updated 2", "result 3"]
    assert answer.steps[0].owner == request_key("tasks", [])


def test_an_unanswered_call_is_left_out_and_its_data_follows_the_subscription() -> None:
    answers = Tape().sub("a", "tasks").ready("a").call("1", "stuck").added("tasks", "x").answers()
    assert answers.calls == {}
    assert the_sub(answers, "tasks") == [["ready 1", "added x 3"]]


def test_a_call_without_updated_does_not_take_all_later_data() -> None:
    answers = Tape().sub("a", "tasks").ready("a").call("1", "m").result("1", 1).added("tasks", "x").answers()
    assert the_call(answers, "m") == [["result 1"]]
    assert the_sub(answers, "tasks") == [["ready 1", "added x 4"]]


def test_documents_without_a_subscription_belong_to_the_session() -> None:
    """S68: universal publications."""
    tape = connect(Tape(), "s")
    answers = tape.added("settings", "x").call("1", "login").added("users", "u").updated("1").result("1", {}).answers()
    assert [kinds(answer) for answer in answers.unrequested] == [["added x 1"]]
    [answer] = answers.calls[request_key("login", [])]
    assert (kinds(answer)[0], answer.steps[0].owner) == ("added u 1", UNREQUESTED)


def test_an_end_requested_by_the_client_is_not_part_of_the_answer() -> None:
    tape = Tape().sub("a", "tasks").added("tasks", "x").ready("a").sent(msg="unsub", id="a")
    tape.received(msg="removed", collection="tasks", id="x").received(msg="nosub", id="a")
    assert the_sub(tape.answers(), "tasks") == [["added x 1", "ready 2"]]


def test_an_end_decided_by_the_server_is_part_of_the_answer() -> None:
    answers = Tape().sub("a", "tasks").ready("a").received(msg="nosub", id="a", error={"error": 1}).answers()
    assert the_sub(answers, "tasks") == [["ready 1", "nosub 2"]]


def test_a_call_that_was_sent_again_after_a_reconnect_has_one_answer() -> None:
    """C22: the client sends it again with the same id."""
    answers = Tape().call("1", "m").reconnect().call("1", "m").result("1", 5).updated("1").answers()
    assert the_call(answers, "m") == [["result 1", "updated 2"]]


def connect(tape: Tape, id_: str, **resumed: str) -> Tape:
    tape.sent(msg="connect", version="1", support=["1"], **resumed)
    return tape.received(msg="connected", session=id_)


def test_a_resumed_session_keeps_its_subscriptions() -> None:
    """R22: the documents are not sent again."""
    tape = connect(Tape(), "s").sub("a", "tasks").added("tasks", "x").ready("a").call("1", "m")
    tape = connect(tape.reconnect(), "s", session="s").received(msg="changed", collection="tasks", id="x")
    answers = tape.call("1", "m").added("tasks", "y").updated("1").result("1", 1).answers()
    assert the_sub(answers, "tasks") == [["added x 1", "ready 2", "changed x 8"]]
    assert the_call(answers, "m") == [["added y 1", "updated 2", "result 3"]]
    assert len(answers.unrequested) == 1


def test_a_new_session_begins_without_documents() -> None:
    tape = connect(Tape(), "s").sub("a", "tasks").added("tasks", "x").ready("a")
    tape = connect(tape.reconnect(), "t", session="s").received(msg="changed", collection="tasks", id="x")
    answers = tape.sub("a", "tasks").added("tasks", "y").ready("a").answers()
    assert the_sub(answers, "tasks") == [["added x 1", "ready 2"], ["added y 1", "ready 2"]]
    assert len(answers.unrequested) == 2


def test_the_data_of_an_unanswered_call_can_belong_to_the_session() -> None:
    answers = connect(Tape(), "s").call("1", "stuck").added("settings", "x").answers()
    assert [kinds(answer) for answer in answers.unrequested] == [["added x 2"]]


def test_times_count_from_the_end_of_the_earlier_request() -> None:
    """S15: a client's messages are handled one after another."""
    tape = Tape().call("1", "slow").call("2", "fast").updated("1").result("1", 1).updated("2").result("2", 2)
    answers = tape.answers()
    assert the_call(answers, "slow") == [["updated 2", "result 3"]]
    assert the_call(answers, "fast") == [["updated 2", "result 3"]]
    assert all(answer.blocks for found in answers.calls.values() for answer in found)


def test_a_request_answered_after_later_ones_does_not_block() -> None:
    """S16: `unblock`."""
    tape = Tape().call("1", "slow").call("2", "fast").updated("2").result("2", 2).updated("1").result("1", 1)
    answers = tape.answers()
    assert [answers.calls[request_key(method, [])][0].blocks for method in ("slow", "fast")] == [False, True]
    assert the_call(answers, "fast") == [["updated 1", "result 2"]]


def test_a_masked_secret_equals_any_secret() -> None:
    password = {"digest": "***", "algorithm": "sha-256"}
    tape = Tape().call("1", "login", {"user": {"username": "ann"}, "password": password}).result("1", {}).updated("1")
    answers = tape.answers()
    user = {"user": {"username": "ann"}, "password": {"digest": "secret", "algorithm": "sha-256"}}
    assert the_call(answers, "login", user) == [["result 1", "updated 2"]]
    assert len(answers.logins) == 1


def test_failed_logins_answer_other_logins_only_if_no_login_succeeded() -> None:
    failed = Tape().call("1", "login", {"user": {"id": "a"}}).received(msg="result", id="1", error={"error": 403})
    assert len(failed.answers().logins) == 1
    both = failed.call("2", "login", {"user": {"id": "b"}}).result("2", {})
    assert [kinds(answer) for answer in both.answers().logins] == [["result 1"]]


def test_messages_that_cannot_be_read_are_left_out() -> None:
    tape = Tape().sent(msg="method", id="1", method="m", params=7).result("1", 1).sub("a", "p", {"$binary": 7})
    tape.ready("a").received(msg="added", collection="c").received(msg="nonsense")
    answers = tape.answers()
    assert (answers.calls, answers.subs) == ({}, {})
