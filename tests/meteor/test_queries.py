"""Sort orders, projections and modifiers have the same results as in a real Meteor server.

Selectors are in `tests/server/test_selectors_against_meteor.py`. Known differences are listed and tested as well, so that a
test fails when Meteor changes and a difference disappears.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ddpshell
from ddpshell import ejson
from ddpshell.ejson import Custom, EJSONValue, ObjectID, RegExp
from ddpshell.exceptions import MethodError, QueryError
from ddpshell.minimongo.find_options import compile_projection, compile_sort
from ddpshell.minimongo.modifier import modify
from ddpshell.minimongo.selector import compile_selector
from tests.meteor import MeteorServer
from tests.minimongo.test_modifier import CASES, LIKE_MONGODB, REFUSED, REFUSED_BY_MONGODB

TIMEOUT = 20.0
WHEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def meteor(meteor_server: MeteorServer) -> Iterator[ddpshell.Client]:
    with ddpshell.Client(meteor_server.url) as client:
        yield client


def call(client: ddpshell.Client, method: str, *params: EJSONValue) -> Any:
    return client.call(method, *params).result(TIMEOUT)


def store(client: ddpshell.Client, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Replace the server's collection with these documents. Each gets an id."""
    call(client, "reset")
    stored = [{"_id": f"d{number:02}", **document} for number, document in enumerate(documents)]
    for insertion in [client.call("insert", document) for document in stored]:
        insertion.result(TIMEOUT)
    return stored


def modified(client: ddpshell.Client, document: dict[str, Any], modifier: Any) -> Any:
    """The document after the real server has modified it."""
    store(client, [{"_id": "x", **document}])
    call(client, "update", "x", modifier)
    [result] = call(client, "find", {})
    return result


# -------------------------------------------------------------------------------------------------------- modifiers


@pytest.mark.parametrize(
    ("document", "modifier", "expected"), [pytest.param(*case, id=str(case[:2])) for case in CASES]
)
def test_a_real_server_modifies_a_document_in_the_same_way(
    document: dict[str, Any], modifier: dict[str, Any], expected: dict[str, Any], meteor: ddpshell.Client
) -> None:
    there = modified(meteor, document, modifier)
    assert ejson.equals(there, modify({"_id": "x", **document}, modifier))
    assert ejson.equals(there, {"_id": "x", **expected})


@pytest.mark.parametrize(
    ("document", "modifier", "expected"),
    [pytest.param(*case[:3], id=f"minimongo {case[3]}: {case[:2]}") for case in LIKE_MONGODB],
)
def test_minimongo_still_does_less_than_mongodb(
    document: dict[str, Any], modifier: dict[str, Any], expected: dict[str, Any], meteor: ddpshell.Client
) -> None:
    try:
        found = modified(meteor, document, modifier)
    except MethodError:
        return
    assert not ejson.equals(found, {"_id": "x", **expected})


@pytest.mark.parametrize(("document", "modifier"), [pytest.param(*case, id=str(case)) for case in REFUSED])
def test_a_real_server_rejects_the_same_modifiers(
    document: dict[str, Any], modifier: Any, meteor: ddpshell.Client
) -> None:
    with pytest.raises(MethodError):
        modified(meteor, document, modifier)


@pytest.mark.parametrize(
    ("document", "modifier"), [pytest.param(*case, id=str(case)) for case in REFUSED_BY_MONGODB[:-1]]
)
def test_minimongo_still_accepts_modifiers_that_mongodb_rejects(
    document: dict[str, Any], modifier: Any, meteor: ddpshell.Client
) -> None:
    """The last modifier is left out, because it would fill the server's memory."""
    assert modified(meteor, document, modifier)["_id"] == "x"


def test_current_date_sets_the_time(meteor: ddpshell.Client) -> None:
    there = modified(meteor, {}, {"$currentDate": {"a": True, "b": {"$type": "date"}}})
    here = modify({"_id": "x"}, {"$currentDate": {"a": True, "b": {"$type": "date"}}}, now=there["a"])
    assert ejson.equals(here, {**there, "b": there["a"]})


ATOMS = st.sampled_from([None, 0, 1, 2, -1.5, True, "", "x", WHEN, b"\x01"])
NAMES = st.sampled_from("ab")
VALUES = st.recursive(
    ATOMS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(NAMES, values, min_size=1, max_size=2),
    max_leaves=5,
)
PATHS = st.lists(st.sampled_from(["a", "b", "0", "1"]), min_size=1, max_size=3).map(".".join)
CHANGES = st.one_of(
    st.fixed_dictionaries({"$set": st.dictionaries(PATHS, VALUES, max_size=2)}),
    st.fixed_dictionaries({"$unset": st.dictionaries(PATHS, st.just(1), max_size=2)}),
    st.fixed_dictionaries({"$inc": st.dictionaries(PATHS, st.integers(-2, 2), max_size=2)}),
    st.fixed_dictionaries({"$push": st.dictionaries(PATHS, VALUES, max_size=2)}),
    st.fixed_dictionaries({"$addToSet": st.dictionaries(PATHS, VALUES.filter(lambda value: value is not None))}),
    st.fixed_dictionaries({"$pop": st.dictionaries(PATHS, st.sampled_from([1, -1]), max_size=2)}),
    st.fixed_dictionaries({"$pullAll": st.dictionaries(PATHS, st.lists(VALUES, max_size=2), max_size=2)}),
    st.fixed_dictionaries({"$rename": st.dictionaries(PATHS, PATHS, max_size=1)}),
    st.dictionaries(NAMES, VALUES),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.dictionaries(NAMES, VALUES), modifier=CHANGES)
def test_a_real_server_modifies_any_document_in_the_same_way(
    document: dict[str, Any], modifier: dict[str, Any], meteor: ddpshell.Client
) -> None:
    """The server also rejects the same modifiers, except two changes of one field, which MongoDB rejects as well."""
    try:
        here = modify({"_id": "x", **document}, modifier)
    except QueryError as error:
        assume("two changes" not in str(error))
        with pytest.raises(MethodError):
            modified(meteor, document, modifier)
    else:
        try:
            there = modified(meteor, document, modifier)
        except MethodError as error:
            # An error 500 is a crash of Meteor's minimongo. MongoDB and ddpshell do nothing in this case: `$unset` and
            # `$rename` of a field below a number or in an array.
            assume(error.error != 500)
            raise
        assert ejson.equals(there, here)


# ------------------------------------------------------------------------------------------------------ sort orders

SORTED: list[dict[str, Any]] = [
    {"a": 3, "b": "x", "c": {"d": 1}},
    {"a": 1, "b": "y", "c": {"d": 2, "e": 0}},
    {"a": 2.5, "b": "x", "l": [4, 9]},
    {"a": None, "b": "Z"},
    {"b": "\uffff", "l": [{"n": 5, "m": 1}, {"n": 0, "m": 7}]},
    {"a": "1", "b": "\U0001f600", "l": []},
    {"a": {"d": 1}, "l": [{"n": 0, "m": 2}, {"n": 3, "m": 0}]},
    {"a": [7, 0], "b": "", "l": [1]},
    {"a": b"\x02", "c": {"d": [3, 1]}},
    {"a": b"\x01\x01", "l": [[5], 3]},
    {"a": ObjectID("f" * 24), "b": "x"},
    {"a": ObjectID("0" * 24)},
    {"a": True, "b": "y"},
    {"a": False, "c": 5},
    {"a": WHEN},
    {"a": WHEN - dt.timedelta(1), "c": {"d": WHEN}},
    {"a": math.inf, "c": {"d": "1"}},
    {"a": -math.inf},
]


@pytest.mark.parametrize(
    "specifier",
    [
        {"a": 1},
        {"a": -1},
        {"b": 1, "_id": -1},
        {"b": -1, "a": 1},
        {"c.d": 1, "_id": 1},
        {"c.d": -1, "_id": 1},
        {"c": 1},
        {"l": 1, "_id": -1},
        {"l": -1, "_id": -1},
        {"l.n": 1, "l.m": 1, "_id": 1},
        {"l.n": -1, "l.m": 1, "_id": 1},
        {"l.0": 1, "_id": 1},
        {"l.0": -1, "_id": 1},
        {"l.1.n": 1, "_id": 1},
        {"nothing": 1},
        {},
        ["b", "_id"],
        [["b", "desc"], ["_id", "asc"]],
        ["b", ["_id", "desc"]],
    ],
    ids=str,
)
def test_a_real_server_sorts_in_the_same_order(specifier: Any, meteor: ddpshell.Client) -> None:
    stored = store(meteor, SORTED)
    there = [document["_id"] for document in call(meteor, "find", {}, {"sort": specifier})]
    assert [document["_id"] for document in sorted(stored, key=compile_sort(specifier))] == there


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    documents=st.lists(st.dictionaries(NAMES, VALUES), min_size=1, max_size=6),
    specifier=st.dictionaries(PATHS, st.sampled_from([1, -1]), min_size=1, max_size=2),
)
def test_a_real_server_sorts_any_documents_in_the_same_order_or_rejects_them(
    documents: list[dict[str, Any]], specifier: dict[str, int], meteor: ddpshell.Client
) -> None:
    stored = store(meteor, documents)
    try:
        here = [document["_id"] for document in sorted(stored, key=compile_sort(specifier))]
    except QueryError:
        assume(len(documents) > 1)  # the server computes no sort key for a single document
        with pytest.raises(MethodError):
            call(meteor, "find", {}, {"sort": specifier})
    else:
        assert [document["_id"] for document in call(meteor, "find", {}, {"sort": specifier})] == here


@pytest.mark.parametrize(("skip", "limit"), [(0, 3), (2, 0), (3, 4), (99, 1)])
def test_a_real_server_skips_and_limits_like_slices(skip: int, limit: int, meteor: ddpshell.Client) -> None:
    stored = sorted(store(meteor, SORTED), key=compile_sort("a"))
    there = call(meteor, "find", {}, {"sort": {"a": 1}, "skip": skip, **({"limit": limit} if limit else {})})
    end = skip + limit if limit else None
    assert [document["_id"] for document in there] == [document["_id"] for document in stored[skip:end]]


# ------------------------------------------------------------------------------------------------------ projections

CHOSEN: list[dict[str, Any]] = [
    {"a": 1, "b": {"c": 2, "d": {"e": 3, "f": 4}}, "l": [{"c": 1, "d": 2}, {"d": 5}]},
    {"a": {"b": 1}, "b": 5, "l": [[{"c": 1, "d": 2}]]},
    {"b": [], "l": None},
]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"a": 1},
        {"a": True, "_id": 0},
        {"a": 0},
        {"_id": 0},
        {"_id": 1},
        {"a": 0, "_id": 0},
        {"b.c": 1},
        {"b.c": 1, "b.d.e": 1},
        {"b.d.e": 0},
        {"l.c": 1},
        {"l.c": 0},
        {"a.b": 1},
        {"a.b": 0},
        {"nothing.at.all": 1},
        {"nothing": 0},
    ],
    ids=str,
)
def test_a_real_server_selects_the_same_fields(fields: dict[str, Any], meteor: ddpshell.Client) -> None:
    stored = store(meteor, CHOSEN)
    there = call(meteor, "find", {}, {"fields": fields})
    assert [ejson.encode(document) for document in map(compile_projection(fields), stored)] == [
        ejson.encode(document) for document in there
    ]


@pytest.mark.parametrize(
    "fields",
    [{"a": 1, "b": 0}, {"a": 1, "a.b": 1}, {"a": 2}, {"a.$": 1}, {"a": {"$slice": 1}}, {"a": 0, "_id": 1}],
    ids=str,
)
def test_a_real_server_rejects_the_same_projections(fields: dict[str, Any], meteor: ddpshell.Client) -> None:
    store(meteor, CHOSEN)
    with pytest.raises(QueryError):
        compile_projection(fields)
    with pytest.raises(MethodError):
        call(meteor, "find", {}, {"fields": fields})


# ------------------------------------------------------------------------------------------- selectors with known differences

#: A selector, a document, whether it matches in ddpshell, and the reason why minimongo disagrees.
DIFFERENT: list[tuple[Any, dict[str, Any], bool, str]] = [
    ({"a": {"$gte": math.inf}}, {"a": math.inf}, True, "it subtracts, and Infinity - Infinity is NaN"),
    ({"a": {"$elemMatch": {"b": 1}}}, {"a": [5, {"b": 1}]}, True, "it gives up at the first element without fields"),
    ({"a": {"$all": [{"$elemMatch": {"b": 1}}]}}, {"a": [{"b": 1}]}, True, "it takes no operators within $all"),
    ({"a": {}}, {"a": []}, False, "to its EJSON.equals, {} equals [] (E41)"),
    ({"a": {"$type": "number"}}, {"a": 1}, True, "it does not know this name of MongoDB's"),
    ({"a": {"$regex": "a.b", "$options": "s"}}, {"a": "a\nb"}, True, "it takes the flags g, i and m alone"),
    ({"a": {"$gt": RegExp("a")}}, {"a": RegExp("b")}, False, "it raises where it has to compare two of them"),
    ({"a": RegExp("^.$")}, {"a": "\U0001f600"}, True, "to JavaScript it is two characters"),
]


@pytest.mark.parametrize(
    ("selector", "document", "found"), [pytest.param(*case[:3], id=f"{case[0]}: {case[3]}") for case in DIFFERENT]
)
def test_minimongo_still_differs_from_these_selectors(
    selector: Any, document: dict[str, Any], found: bool, meteor: ddpshell.Client
) -> None:
    [stored] = store(meteor, [document])
    assert compile_selector(selector)(stored) is found
    try:
        there = bool(call(meteor, "find", selector))
    except MethodError:
        return
    assert there is not found


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        pytest.param({"p": Custom("Point", {"x": 1, "y": 2})}, True, id="equal"),
        pytest.param({"p": Custom("Point", {"x": 1, "y": 3})}, False, id="not equal"),
        pytest.param({"p": {"x": 1, "y": 2}}, False, id="a plain object"),
        pytest.param({"p.x": 1}, True, id="a field"),
        pytest.param({"p.x": {"$gt": 1}}, False, id="a comparison of a field"),
        pytest.param({"p": {"$gt": Custom("Point", {"x": 1, "y": 1})}}, True, id="ordered by fields"),
        pytest.param({"p": {"$type": 3}}, True, id="its type"),
        pytest.param({"l": {"$elemMatch": {"x": 1}}}, True, id="an element"),
        pytest.param({"l.x": 1}, True, id="a field of an element"),
    ],
)
def test_a_real_server_matches_custom_values_in_the_same_way(
    selector: Any, found: bool, meteor: ddpshell.Client
) -> None:
    point = Custom("Point", {"x": 1, "y": 2})
    [stored] = store(meteor, [{"p": point, "l": [point]}])
    assert compile_selector(selector)(stored) is found
    assert bool(call(meteor, "find", selector)) is found
