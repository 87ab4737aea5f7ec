"""An error is assigned to a request as soon as it can be about no other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ddpshell.protocol.refusals import NO_REQUEST, Refusals, quoted


def test_what_the_server_said_ends_the_message_of_a_timeout() -> None:
    assert quoted(None) == ""
    assert quoted("Parse error") == "; the server refused a message: Parse error"


def test_the_last_error_is_the_one_that_is_quoted() -> None:
    refusals = Refusals()
    assert Refusals().text is None
    refusals.add("first", ["1", "2", "3"])
    refusals.add("second", ["1", "2", "3"])
    assert refusals.text == "second"
    assert refusals.take() == []


def test_what_is_not_a_request_cannot_fail() -> None:
    refusals = Refusals()
    refusals.add("no", [NO_REQUEST])
    assert refusals.take() == []
    assert refusals.text == "no"
    refusals.answered([NO_REQUEST])
    assert not refusals


def test_a_server_cannot_make_the_list_grow_without_end() -> None:
    refusals = Refusals()
    for number in range(1000):
        refusals.add(str(number), [NO_REQUEST, "1"])
    assert refusals.text == "999"
    assert len(vars(refusals)["_open"]) == 100


@given(st.sets(st.integers(1, 8), min_size=1), st.data())
def test_only_a_refused_request_fails_and_in_the_end_each_does(refused: set[int], data: st.DataObject) -> None:
    """Whatever order answers and errors come in: a request that the server answers is never failed."""
    refusals = Refusals()
    unanswered = {str(number) for number in range(1, 9)}
    failed: list[str] = []
    for number in data.draw(st.permutations(range(1, 9))):
        if number in refused:
            refusals.add("no", unanswered)
        else:
            unanswered.discard(str(number))
            refusals.answered([str(number)])
        taken = [request_id for request_id, _ in refusals.take()]
        failed += taken
        unanswered.difference_update(taken)
    assert sorted(failed) == sorted(map(str, refused))
    assert not refusals
