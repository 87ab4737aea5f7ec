"""Projections select the fields of a document."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.exceptions import QueryError
from ddpshell.minimongo.find_options import compile_projection
from tests import strategies

DOCUMENT: dict[str, Any] = {"_id": "x", "a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 4, "g": 5}, 6, {"g": 7}]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(None, DOCUMENT, id="no fields"),
        pytest.param({}, DOCUMENT, id="an empty projection"),
        pytest.param({"a": 1}, {"_id": "x", "a": 1}, id="one field, and the id"),
        pytest.param({"a": 1, "_id": 0}, {"a": 1}, id="one field, without the id"),
        pytest.param({"a": True}, {"_id": "x", "a": 1}, id="true instead of 1"),
        pytest.param({"b.c": 1}, {"_id": "x", "b": {"c": 2}}, id="an inner field"),
        pytest.param({"b.c": 1, "b.d": 1}, {"_id": "x", "b": {"c": 2, "d": 3}}, id="two inner fields"),
        pytest.param({"e.f": 1}, {"_id": "x", "e": [{"f": 4}, {}]}, id="a field of the objects in an array"),
        pytest.param({"nothing": 1}, {"_id": "x"}, id="a missing field"),
        pytest.param({"a.b": 1}, {"_id": "x"}, id="a field of a number"),
        pytest.param({"a": 0}, {"_id": "x", "b": DOCUMENT["b"], "e": DOCUMENT["e"]}, id="all except one"),
        pytest.param({"b.c": 0, "e": 0}, {"_id": "x", "a": 1, "b": {"d": 3}}, id="all except an inner one"),
        pytest.param(
            {"e.g": 0},
            {"_id": "x", "a": 1, "b": DOCUMENT["b"], "e": [{"f": 4}, 6, {}]},
            id="all except a field of the objects in an array",
        ),
        pytest.param({"_id": 0}, {"a": 1, "b": DOCUMENT["b"], "e": DOCUMENT["e"]}, id="all except the id"),
        pytest.param({"_id": 1}, {"_id": "x"}, id="only the id"),
        pytest.param({"a": 1, "_id": 1}, {"_id": "x", "a": 1}, id="one field, and the id by name"),
        pytest.param({"a": 0, "_id": 0}, {"b": DOCUMENT["b"], "e": DOCUMENT["e"]}, id="all except one and the id"),
    ],
)
def test_a_projection_selects_fields(fields: Any, expected: dict[str, Any]) -> None:
    assert compile_projection(fields)(DOCUMENT) == expected


def test_arrays_within_arrays_are_projected() -> None:
    document: dict[str, Any] = {"a": [[{"b": 1, "c": 2}, 3]]}
    assert compile_projection({"a.b": 1})(document) == {"a": [[{"b": 1}]]}
    assert compile_projection({"a.b": 0})(document) == {"a": [[{"c": 2}, 3]]}


PATHS = st.sampled_from(["a", "b", "a.b", "a.c", "b.a", "a.b.c", "_id", "d"])
CHOICES = st.dictionaries(PATHS, st.sampled_from([0, 1, True, False]), max_size=3)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["_id", "a", "b"]),
    st.recursive(
        strategies.ejson_atoms(), lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("abc"), v)
    ),
)


@given(CHOICES, DOCUMENTS)
def test_projecting_twice_is_the_same_as_once_and_adds_no_fields(
    fields: dict[str, Any], document: dict[str, Any]
) -> None:
    before = ejson.clone(document)
    try:
        project = compile_projection(fields)
    except QueryError:
        return
    chosen = project(document)
    assert ejson.equals(project(chosen), chosen)
    assert set(chosen) <= set(document)
    assert ejson.equals(document, before)


@given(strategies.ejson_values())
def test_projections_raise_only_query_errors(fields: Any) -> None:
    with contextlib.suppress(QueryError):
        compile_projection(fields)


def test_a_projection_returns_copies() -> None:
    for fields in ({}, {"b": 1}, {"a": 0}, {"b.c": 1}, {"b.c": 0}):
        result = compile_projection(fields)(DOCUMENT)
        assert result["b"] is not DOCUMENT["b"]


@pytest.mark.parametrize(
    "fields",
    [
        {"a": 1, "b": 0},
        {"a": 0, "_id": 1},
        {"a": 2},
        {"a": None},
        "a",
        {"a": "yes"},
        {"a": {"$slice": 1}},
        {"a.$": 1},
        {"a": 1, "a.b": 1},
        {"a.b": 1, "a": 1},
    ],
    ids=str,
)
def test_an_invalid_projection_is_rejected(fields: Any) -> None:
    with pytest.raises(QueryError):
        compile_projection(fields)
