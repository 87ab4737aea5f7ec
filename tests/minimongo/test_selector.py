"""Selectors match documents. The cases come from Meteor's own tests of minimongo.

`tests/server/test_selectors_against_meteor.py` tries these cases, and random ones, on a real server.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import Custom, ObjectID, RegExp
from ddpshell.exceptions import QueryError
from ddpshell.minimongo.selector import compile_selector, selected_id
from tests import strategies

WHEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
OID = ObjectID("0123456789abcdef01234567")

#: The selector, documents that match, and documents that do not match.
CASES: list[tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ({}, [{}, {"a": 1}], []),
    ("x", [{"_id": "x"}], [{"_id": "y"}, {}]),
    (OID, [{"_id": OID}], [{"_id": str(OID)}]),
    ({"_id": "x"}, [{"_id": "x", "a": 1}], [{"_id": "y"}]),
    ({"_id": None}, [], [{"_id": "x"}, {}]),
    ({"_id": ""}, [], [{"_id": ""}, {}]),
    # Equality.
    ({"a": 12}, [{"a": 12}, {"a": [12]}, {"a": [1, 12]}, {"a": 12, "b": 1}], [{"a": 13}, {"a": "12"}, {"b": 12}, {}]),
    ({"a": 1.0}, [{"a": 1}], [{"a": True}]),
    ({"a": True}, [{"a": True}, {"a": [False, True]}], [{"a": 1}, {"a": False}]),
    ({"a": None}, [{}, {"a": None}, {"a": [None]}, {"b": 1}], [{"a": 0}, {"a": False}, {"a": []}]),
    ({"a": [1, 2]}, [{"a": [1, 2]}, {"a": [[1, 2]]}], [{"a": [2, 1]}, {"a": [1, 2, 3]}, {"a": 1}]),
    (
        {"a": {"b": 1, "c": 2}},
        [{"a": {"b": 1, "c": 2}}, {"a": [{"b": 1, "c": 2}]}],
        [{"a": {"c": 2, "b": 1}}, {"a": {"b": 1}}],
    ),
    ({"a": {}}, [{"a": {}}], [{"a": {"b": 1}}, {}]),
    ({"a": WHEN}, [{"a": WHEN}], [{"a": WHEN + dt.timedelta(milliseconds=1)}, {"a": WHEN.isoformat()}]),
    ({"a": b"\x01"}, [{"a": b"\x01"}], [{"a": b"\x02"}, {"a": [1]}]),
    ({"a": float("nan")}, [{"a": float("nan")}], [{"a": 0}]),
    ({"a": 1, "b": 2}, [{"a": 1, "b": 2}], [{"a": 1}, {"b": 2}]),
    # Paths.
    (
        {"a.b": 1},
        [{"a": {"b": 1}}, {"a": [{"b": 1}]}, {"a": [{"b": 2}, {"b": 1}]}, {"a": {"b": [1]}}],
        [{"a": {"b": 2}}, {"a": 1}, {}, {"a.b": 1}],
    ),
    (
        {"a.b": None},
        [{}, {"a": 1}, {"a": {}}, {"a": {"b": None}}, {"a": [{}]}],
        [{"a": {"b": 1}}, {"a": []}, {"a": [1]}],
    ),
    ({"a.0": 1}, [{"a": [1, 2]}, {"a": {"0": 1}}, {"a": [{"0": 1}]}], [{"a": [2, 1]}, {"a": []}, {"a": [[1]]}]),
    ({"a.0.b": 1}, [{"a": [{"b": 1}]}], [{"a": [{"b": 2}, {"b": 1}]}, {"a": [1]}]),
    ({"a.0.b": None}, [{"a": [{"c": 1}]}, {"a": [{"b": 1}]}, {}], [{"a": [5]}]),
    ({"a.b.c": 1}, [{"a": [{"b": [{"c": 1}]}]}], [{"a": [[{"b": {"c": 1}}]]}]),
    ({"a.1": None}, [{"a": 1}, {}], [{"a": [1]}, {"a": []}]),
    # Comparison.
    (
        {"a": {"$lt": 10}},
        [{"a": 9}, {"a": [11, 9]}, {"a": -1}],
        [{"a": 10}, {"a": 11}, {"a": "9"}, {}, {"a": None}, {"a": [11]}],
    ),
    ({"a": {"$gt": 10}}, [{"a": 11}, {"a": float("inf")}], [{"a": 10}, {"a": float("nan")}, {"a": True}]),
    ({"a": {"$lte": 10}}, [{"a": 10}, {"a": 9}], [{"a": 11}]),
    ({"a": {"$gte": 10, "$lt": 12}}, [{"a": 10}, {"a": 11}, {"a": [9, 13]}], [{"a": 12}, {"a": 9}]),
    ({"a": {"$lt": "b"}}, [{"a": "a"}, {"a": "B"}], [{"a": "b"}, {"a": 1}]),
    ({"a": {"$gt": "\U0001f600"}}, [{"a": "\uffff"}], [{"a": "z"}]),
    ({"a": {"$lt": WHEN}}, [{"a": WHEN - dt.timedelta(1)}], [{"a": WHEN}, {"a": 0}]),
    ({"a": {"$lte": None}}, [{"a": None}, {}], [{"a": 0}, {"a": False}]),
    ({"a": {"$gte": None}}, [{"a": None}, {}], [{"a": 1}]),
    ({"a": {"$lt": None}}, [], [{"a": None}, {}]),
    ({"a": {"$lt": [1]}}, [], [{"a": [0]}, {"a": 0}]),
    ({"a": {"$gt": {"x": 2}}}, [{"a": {"x": 3}}, {"a": {"y": 1}}], [{"a": {"x": 2}}, {"a": {"x": 1}}, {"a": {"b": 3}}]),
    ({"a": {"$gt": False}}, [{"a": True}], [{"a": False}, {"a": 1}]),
    ({"a": {"$lt": ObjectID("f" * 24)}}, [{"a": OID}], [{"a": "0"}]),
    ({"a": {"$gt": b"\x01"}}, [{"a": b"\x02"}, {"a": b"\x00\x00"}], [{"a": b""}, {"a": b"\x01"}]),
    # Lists.
    ({"a": {"$in": [1, 2]}}, [{"a": 1}, {"a": [3, 2]}], [{"a": 3}, {}, {"a": "1"}]),
    ({"a": {"$in": [None]}}, [{}, {"a": None}], [{"a": 0}]),
    ({"a": {"$in": []}}, [], [{"a": 1}, {}]),
    ({"a": {"$in": [RegExp("^x"), "y"]}}, [{"a": "xz"}, {"a": "y"}], [{"a": "yx"}]),
    ({"a": {"$in": [[1]]}}, [{"a": [1]}, {"a": [[1]]}], [{"a": 1}]),
    ({"a": {"$nin": [1, 2]}}, [{"a": 3}, {}, {"a": []}], [{"a": 1}, {"a": [3, 1]}]),
    ({"a": {"$ne": 1}}, [{"a": 2}, {}, {"a": [2]}], [{"a": 1}, {"a": [1, 2]}]),
    ({"a": {"$ne": None}}, [{"a": 1}, {"a": []}], [{}, {"a": None}]),
    ({"a": {"$eq": 1}}, [{"a": 1}, {"a": [1]}], [{"a": 2}]),
    ({"a": {"$all": [1, 2]}}, [{"a": [2, 1]}, {"a": [1, 2, 3]}], [{"a": [1]}, {"a": 1}, {}]),
    ({"a": {"$all": [1]}}, [{"a": 1}, {"a": [1]}], [{"a": [2]}]),
    ({"a": {"$all": []}}, [], [{"a": []}, {"a": 1}]),
    ({"a": {"$all": [RegExp("x"), RegExp("y")]}}, [{"a": ["ax", "by"]}, {"a": "xy"}], [{"a": ["x"]}]),
    # Elements.
    ({"a": {"$exists": True}}, [{"a": 1}, {"a": None}, {"a": []}], [{}, {"b": 1}]),
    ({"a": {"$exists": False}}, [{}, {"b": 1}], [{"a": None}]),
    ({"a.b": {"$exists": True}}, [{"a": {"b": None}}, {"a": [{"b": 1}, 2]}], [{"a": {}}, {"a": [1]}]),
    ({"a": {"$size": 2}}, [{"a": [1, 2]}, {"a": [[], []]}], [{"a": [1]}, {"a": [[1, 2]]}, {"a": 2}, {}]),
    ({"a": {"$size": 0}}, [{"a": []}], [{"a": [1]}, {}]),
    ({"a.b": {"$size": 1}}, [{"a": [{"b": [1]}]}], [{"a": [{"b": 1}]}]),
    ({"a": {"$mod": [10, 1]}}, [{"a": 11}, {"a": 1}, {"a": [2, 21]}], [{"a": 10}, {"a": "11"}, {}]),
    ({"a": {"$mod": [2, 0]}}, [{"a": 4.0}], [{"a": float("nan")}, {"a": float("inf")}, {"a": 1.5}]),
    ({"a": {"$mod": [3, -1]}}, [{"a": -1}, {"a": -4}], [{"a": 2}, {"a": -2}]),
    ({"a": {"$type": 1}}, [{"a": 1}, {"a": 1.5}, {"a": ["x", 1]}], [{"a": "1"}, {}, {"a": True}]),
    ({"a": {"$type": "string"}}, [{"a": "x"}], [{"a": 1}]),
    ({"a": {"$type": 3}}, [{"a": {}}], [{"a": WHEN}, {"a": b""}]),
    ({"a": {"$type": 4}}, [{"a": [[]]}], [{"a": []}, {"a": [1]}]),
    ({"a": {"$type": 10}}, [{"a": None}], [{}]),
    ({"a": {"$type": 9}}, [{"a": WHEN}], [{"a": 1}]),
    ({"a": {"$type": 5}}, [{"a": b"x"}], [{"a": "x"}]),
    ({"a": {"$type": 7}}, [{"a": OID}], [{"a": str(OID)}]),
    ({"a": {"$type": 8}}, [{"a": False}], [{"a": 0}]),
    ({"a": {"$type": 11}}, [{"a": RegExp("x")}], [{"a": "x"}]),
    (
        {"a": {"$elemMatch": {"b": 1, "c": 2}}},
        [{"a": [{"b": 1, "c": 2}]}],
        [{"a": [{"b": 1}, {"c": 2}]}, {"a": {"b": 1, "c": 2}}],
    ),
    ({"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}}, [{"a": [2]}, {"a": [9, 2]}], [{"a": [0, 4]}, {"a": 2}, {"a": [[2]]}]),
    ({"a": {"$elemMatch": {"$or": [{"b": 1}, {"c": 1}]}}}, [{"a": [{"c": 1}]}], [{"a": [{"b": 2}]}]),
    ({"a.b": {"$elemMatch": {"c": 1}}}, [{"a": [{"b": [{"c": 1}]}]}], [{"a": [{"b": {"c": 1}}]}]),
    ({"a": {"$bitsAllSet": 5}}, [{"a": 5}, {"a": 7}], [{"a": 4}, {"a": "5"}]),
    ({"a": {"$bitsAnySet": [0, 2]}}, [{"a": 4}], [{"a": 2}]),
    ({"a": {"$bitsAllClear": 5}}, [{"a": 2}], [{"a": 1}]),
    ({"a": {"$bitsAnyClear": 5}}, [{"a": 1}], [{"a": 5}]),
    # Texts.
    ({"a": RegExp("a", "")}, [{"a": "cat"}, {"a": ["x", "cat"]}], [{"a": "CAT"}, {"a": 1}, {}]),
    ({"a": RegExp("a", "i")}, [{"a": "CAT"}], [{"a": "dog"}]),
    ({"a": RegExp("^b$", "m")}, [{"a": "a\nb\nc"}, {"a": "a\rb"}, {"a": "b\u2028c"}], [{"a": "ab"}, {"a": "a\x0bb"}]),
    ({"a": RegExp("b$", "")}, [{"a": "ab"}], [{"a": "ab\n"}]),
    ({"a": RegExp(r"^\d+$", "")}, [{"a": "12"}], [{"a": "\u0661"}]),
    ({"a": RegExp("a.b", "")}, [{"a": "a b"}], [{"a": "a\nb"}]),
    ({"a": RegExp("x", "")}, [{"a": RegExp("x", "")}], [{"a": RegExp("x", "i")}]),
    ({"a": {"$regex": "^c"}}, [{"a": "cat"}], [{"a": "dog"}]),
    ({"a": {"$regex": "^C", "$options": "i"}}, [{"a": "cat"}], [{"a": "dog"}]),
    ({"a": {"$regex": RegExp("^C", "i")}}, [{"a": "cat"}], [{"a": "dog"}]),
    ({"a": {"$not": RegExp("^c")}}, [{"a": "dog"}, {}], [{"a": "cat"}]),
    ({"a": {"$regex": "a", "$ne": "cat"}}, [{"a": "bat"}], [{"a": "cat"}, {"a": "dog"}]),
    # Logic.
    ({"a": {"$not": {"$gt": 5}}}, [{"a": 5}, {}, {"a": "x"}], [{"a": 6}, {"a": [1, 6]}]),
    ({"$or": [{"a": 1}, {"b": 2}]}, [{"a": 1}, {"b": 2}], [{"a": 2}, {}]),
    ({"$and": [{"a": 1}, {"b": 2}]}, [{"a": 1, "b": 2}], [{"a": 1}]),
    ({"$nor": [{"a": 1}, {"b": 2}]}, [{"a": 2}, {}], [{"a": 1}, {"b": 2}]),
    ({"$or": [{"a": 1}], "b": 2}, [{"a": 1, "b": 2}], [{"a": 1}]),
    ({"$or": [{"$and": [{"a": 1}, {"b": 1}]}, {"$nor": [{"c": 1}]}]}, [{"a": 1, "b": 1, "c": 1}, {}], [{"c": 1}]),
    ({"$comment": "why", "a": 1}, [{"a": 1}], [{"a": 2}]),
    # Values that are true or false in JavaScript.
    ({"a": {"$exists": []}}, [{"a": 1}], [{}]),
    ({"a": {"$exists": ""}}, [{}], [{"a": 1}]),
    ({"_id": float("nan")}, [], [{"_id": "x"}]),
    ({"a": {"$size": "x"}}, [{"a": []}], [{"a": [1]}]),
    ({"a": {"$mod": [0, 0]}}, [], [{"a": 0}, {"a": 1}]),
    ({"a": {"$mod": [1.5, 0]}}, [{"a": 3}], [{"a": 2}]),
    ({"a": {"$gte": float("nan")}}, [], [{"a": float("nan")}, {"a": 1}]),
    ({"a": {"$type": 19}}, [], [{"a": 1}]),
    ({"a": {"$type": 127}}, [], [{"a": 1}]),
    ({"a": {"$in": ["x", "y"]}}, [{"a": "y"}, {"a": ["z", "x"]}], [{"a": "z"}, {"a": 1}]),
    ({"a": {"$not": {"$not": {"$gt": 1}}}}, [{"a": 2}, {"a": [0, 2]}], [{"a": 1}, {}]),
    ({"a": {"$not": {"$elemMatch": {"b": 1}}}}, [{}, {"a": [{"b": 2}]}], [{"a": [{"b": 1}]}]),
    ({"a": {"$all": [[1]]}}, [{"a": [1]}, {"a": [[1]]}], [{"a": 1}]),
    ({"a": RegExp("(?<y>x)\\k<y>", "")}, [{"a": "xx"}], [{"a": "xy"}]),
    ({"a.0.0": 1}, [{"a": [[1]]}], [{"a": [1]}, {"a": [[[1]]]}]),
    ({"": 1}, [{"": 1}], [{"a": 1}]),
    ({"a.": 1}, [{"a": {"": 1}}], [{"a": 1}]),
]


@pytest.mark.parametrize(
    ("selector", "document"),
    [pytest.param(case[0], document, id=f"{case[0]}-{document}") for case in CASES for document in case[1]],
)
def test_a_selector_matches(selector: Any, document: dict[str, Any]) -> None:
    assert compile_selector(selector)(document)


@pytest.mark.parametrize(
    ("selector", "document"),
    [pytest.param(case[0], document, id=f"{case[0]}-{document}") for case in CASES for document in case[2]],
)
def test_a_selector_does_not_match(selector: Any, document: dict[str, Any]) -> None:
    assert not compile_selector(selector)(document)


@pytest.mark.parametrize(
    "selector",
    [
        None,
        True,
        [],
        b"x",
        {"$foo": 1},
        {"a": {"$foo": 1}},
        {"a": {"$gt": 1, "b": 2}},
        {"$or": []},
        {"$or": {}},
        {"$or": [1]},
        {"$and": "x"},
        {"$nor": []},
        {"$where": "true"},
        {"a": {"$in": 1}},
        {"a": {"$nin": "x"}},
        {"a": {"$in": [{"$gt": 1}]}},
        {"a": {"$all": 1}},
        {"a": {"$all": [{"$gt": 1}]}},
        {"a": {"$mod": [1]}},
        {"a": {"$mod": 5}},
        {"a": {"$size": {}}},
        {"a": {"$type": "nothing"}},
        {"a": {"$regex": 5}},
        {"a": {"$regex": "("}},
        {"a": {"$regex": "a", "$options": 5}},
        {"a": {"$regex": "a", "$options": "q"}},
        {"a": {"$options": "i"}},
        {"a": {"$elemMatch": 1}},
        {"a": {"$near": [0, 0]}},
        {"a": {"$bitsAllSet": "x"}},
        {"a": {"$bitsAllSet": -1}},
        {"a": RegExp(r"\p{L}", "u")},
    ],
    ids=str,
)
def test_an_invalid_selector_is_rejected_before_it_is_used(selector: Any) -> None:
    with pytest.raises(QueryError):
        compile_selector(selector)


@pytest.mark.parametrize(
    ("selector", "sentence"),
    [
        pytest.param({"a": {"$grt": 1}}, r"unknown operator \$grt; did you mean \$gt\?", id="a misspelled operator"),
        pytest.param({"$adn": []}, r"unknown operator \$adn; did you mean \$and\?", id="a misspelled logical operator"),
        pytest.param({"a": {"$zzz": 1}}, r"\$zzz; use one of \$all, ", id="an unknown operator"),
        pytest.param({"$gt": 1}, r"\$gt belongs inside a field's condition", id="an operator outside of a field"),
        pytest.param(
            {"a": {"$or": []}}, r"\$or belongs outside of field conditions", id="a logical operator inside a field"
        ),
        pytest.param({"$where": "true"}, r"\$where is not supported: ddpshell cannot run JavaScript", id="JavaScript"),
        pytest.param({"a": {"$type": "strin"}}, r"unknown \$type strin; did you mean string\?", id="an unknown type"),
        pytest.param({"a": dt.datetime(2026, 1, 1)}, "without a time zone", id="a date without a time zone"),  # noqa: DTZ001
        pytest.param({"a": {1}}, "not an EJSON value", id="a set"),
        pytest.param({"a": {1: 2}}, "keys of an object must be strings", id="a number for a name"),
    ],
)
def test_the_error_says_what_is_wrong(selector: Any, sentence: str) -> None:
    with pytest.raises(QueryError, match=sentence):
        compile_selector(selector)


def test_a_selector_that_is_nested_too_deeply_is_rejected() -> None:
    deep: Any = {"a": 1}
    for _ in range(100_000):
        deep = {"$and": [deep]}
    with pytest.raises(QueryError, match="too deeply"):
        compile_selector(deep)


def test_later_changes_to_a_selector_have_no_effect() -> None:
    wanted = [1]
    matches = compile_selector({"a": {"$in": wanted}})
    wanted.append(2)
    assert not matches({"a": 2})


def test_a_number_may_be_an_id() -> None:
    """Publications can send such ids (I10), although Meteor's collections cannot contain them."""
    assert compile_selector(5)({"_id": 5})
    assert not compile_selector(5)({"_id": "5"})


def test_selectors_may_contain_tuples() -> None:
    assert compile_selector({"a": {"$in": (1, 2)}, "$or": ({"b": 1},)})({"a": 2, "b": 1})


def test_custom_values_are_compared_by_type_and_value_and_have_fields() -> None:
    """In minimongo as well, the fields of a custom EJSON type are those of its JSON form."""
    document: dict[str, Any] = {"_id": "x", "p": Custom("Point", {"x": 1, "y": 2})}
    assert compile_selector({"p": Custom("Point", {"x": 1, "y": 2})})(document)
    assert not compile_selector({"p": Custom("Other", {"x": 1, "y": 2})})(document)
    assert compile_selector({"p.x": {"$gt": 0}})(document)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param("x", "x", id="an id"),
        pytest.param(OID, OID, id="an ObjectID"),
        pytest.param({"_id": "x", "a": 1}, "x", id="an id and a field"),
        pytest.param({"_id": {"$in": ["x"]}}, None, id="a list of ids"),
        pytest.param({"_id": ""}, None, id="an empty id"),
        pytest.param({"a": 1}, None, id="a field"),
        pytest.param(None, None, id="everything"),
    ],
)
def test_the_id_of_the_only_document_that_can_match_is_known(selector: Any, expected: Any) -> None:
    assert selected_id(selector) == expected


# ----------------------------------------------------------------------------------------------------------- properties

_OPERATORS = st.sampled_from(
    "$all $and $bitsAllClear $bitsAllSet $bitsAnyClear $bitsAnySet $comment $elemMatch $eq $exists $gt $gte $in $lt $lte"
    " $mod $ne $nin $nor $not $options $or $regex $size $type $where $near".split()
)
_NAMES = st.sampled_from(["a", "b", "a.b", "a.0", "a.0.b", "_id", "a." + "9" * 5000, ""])


def _objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.dictionaries(_NAMES, values, max_size=3)
        | st.dictionaries(_OPERATORS, values, max_size=2)
        | st.lists(values, max_size=3)
        | st.fixed_dictionaries({"$mod": st.lists(st.integers() | st.floats(), min_size=2, max_size=2)})
    )


ANYTHING: st.SearchStrategy[Any] = st.recursive(strategies.ejson_atoms(), _objects, max_leaves=8)
DOCUMENTS = st.dictionaries(st.sampled_from(["_id", "a", "b"]), strategies.ejson_values(max_leaves=8), max_size=3)


@given(ANYTHING | strategies.ejson_values(), DOCUMENTS)
def test_selectors_raise_only_query_errors_for_any_document(selector: Any, document: dict[str, Any]) -> None:
    with contextlib.suppress(QueryError):
        matches = compile_selector(selector)
        assert matches(document) in (True, False)


@given(ANYTHING, DOCUMENTS)
def test_not_and_nor_match_the_opposite(condition: Any, document: dict[str, Any]) -> None:
    try:
        matches = compile_selector({"a": condition})
    except QueryError:
        return
    assert compile_selector({"$nor": [{"a": condition}]})(document) is not matches(document)
    assert compile_selector({"a": {"$not": condition}})(document) is not matches(document)
    assert compile_selector({"$or": [{"a": condition}]})(document) is matches(document)
    assert compile_selector({"$and": [{"a": condition}, {"a": condition}]})(document) is matches(document)


@given(strategies.ejson_values(), strategies.ejson_values())
def test_ne_and_nin_are_the_opposites_of_equality_and_in(wanted: Any, value: Any) -> None:
    try:
        equal = compile_selector({"a": {"$eq": wanted}})({"a": value})
        found = compile_selector({"a": {"$in": [wanted]}})({"a": value})
    except QueryError:
        return
    assert compile_selector({"a": {"$ne": wanted}})({"a": value}) is not equal
    assert compile_selector({"a": {"$nin": [wanted]}})({"a": value}) is not found


@given(strategies.ejson_values())
def test_a_document_is_found_by_any_of_its_values(value: Any) -> None:
    try:
        assert compile_selector({"a": {"$eq": value}})({"a": value})
    except QueryError:
        assert "$" in str(value)
