"""Which fields of a document are chosen."""

from __future__ import annotations

from typing import Any

import pytest

from ddpshell.exceptions import QueryError
from ddpshell.protocol.projection import compile_projection

DOCUMENT: dict[str, Any] = {"_id": "x", "a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 4, "g": 5}, 6, {"g": 7}]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(None, DOCUMENT, id="no choice"),
        pytest.param({}, DOCUMENT, id="an empty one"),
        pytest.param({"a": 1}, {"_id": "x", "a": 1}, id="one field, and the id"),
        pytest.param({"a": 1, "_id": 0}, {"a": 1}, id="one field, without the id"),
        pytest.param({"a": True}, {"_id": "x", "a": 1}, id="true is one"),
        pytest.param({"b.c": 1}, {"_id": "x", "b": {"c": 2}}, id="a field within"),
        pytest.param({"b.c": 1, "b.d": 1}, {"_id": "x", "b": {"c": 2, "d": 3}}, id="two within"),
        pytest.param({"e.f": 1}, {"_id": "x", "e": [{"f": 4}, {}]}, id="within an array, objects alone"),
        pytest.param({"nothing": 1}, {"_id": "x"}, id="one that is not there"),
        pytest.param({"a.b": 1}, {"_id": "x"}, id="within what has no fields"),
        pytest.param({"a": 0}, {"_id": "x", "b": DOCUMENT["b"], "e": DOCUMENT["e"]}, id="all but one"),
        pytest.param({"b.c": 0, "e": 0}, {"_id": "x", "a": 1, "b": {"d": 3}}, id="all but one within"),
        pytest.param(
            {"e.g": 0}, {"_id": "x", "a": 1, "b": DOCUMENT["b"], "e": [{"f": 4}, 6, {}]}, id="all but one in an array"
        ),
        pytest.param({"_id": 0}, {"a": 1, "b": DOCUMENT["b"], "e": DOCUMENT["e"]}, id="all but the id"),
        pytest.param({"_id": 1}, {"_id": "x"}, id="the id alone"),
    ],
)
def test_fields_are_chosen(fields: Any, expected: dict[str, Any]) -> None:
    assert compile_projection(fields)(DOCUMENT) == expected


def test_what_is_chosen_is_a_copy() -> None:
    for fields in ({}, {"b": 1}, {"a": 0}, {"b.c": 1}, {"b.c": 0}):
        result = compile_projection(fields)(DOCUMENT)
        assert result["b"] is not DOCUMENT["b"]


@pytest.mark.parametrize(
    "fields",
    [
        {"a": 1, "b": 0},
        {"a": 2},
        {"a": "yes"},
        {"a": {"$slice": 1}},
        {"a.$": 1},
        {"a": 1, "a.b": 1},
        {"a.b": 1, "a": 1},
    ],
    ids=str,
)
def test_what_is_no_choice_is_refused(fields: Any) -> None:
    with pytest.raises(QueryError):
        compile_projection(fields)
