"""Modifiers update documents. `tests/meteor/test_queries.py` tries these cases on a real server."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import Custom, ObjectID, RegExp
from ddpshell.exceptions import QueryError
from ddpshell.minimongo.modifier import OPERATORS, Place, check_names, modify
from ddpshell.minimongo.values import MISSING
from tests import strategies

WHEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
OID = ObjectID("0123456789abcdef01234567")

#: The document, the modifier, and the updated document. A real server returns the same.
CASES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # Replacements.
    ({"a": 1}, {"b": 2}, {"b": 2}),
    ({"a": 1}, {}, {}),
    ({"a": 1}, {"_id": "x", "b": {"c": [1]}}, {"b": {"c": [1]}}),
    # $set and $unset.
    ({"a": 1}, {"$set": {"a": 2, "b": "x"}}, {"a": 2, "b": "x"}),
    ({"a": 1}, {"$set": {}}, {"a": 1}),
    ({}, {"$set": {"a.b.c": 1}}, {"a": {"b": {"c": 1}}}),
    ({"a": [1, 2]}, {"$set": {"a.1": 9}}, {"a": [1, 9]}),
    ({"a": [1]}, {"$set": {"a.3": 9}}, {"a": [1, None, None, 9]}),
    ({"a": [1]}, {"$set": {"a.01": 9}}, {"a": [1, 9]}),
    ({"a": [1]}, {"$set": {"a.2.b": 9}}, {"a": [1, None, {"b": 9}]}),
    ({"a": [{"b": 1}]}, {"$set": {"a.0.b": 2, "a.0.c": 3}}, {"a": [{"b": 2, "c": 3}]}),
    ({"a": {"0": 1}}, {"$set": {"a.0": 2}}, {"a": {"0": 2}}),
    ({}, {"$set": {"a.0": 2}}, {"a": {"0": 2}}),
    ({"a": 1}, {"$set": {"_id": "x", "a": WHEN}}, {"a": WHEN}),
    ({}, {"$set": {"a": b"\x01", "b": OID, "c": math.nan}}, {"a": b"\x01", "b": OID, "c": math.nan}),
    ({"a": 1, "b": 2}, {"$unset": {"a": 1}}, {"b": 2}),
    ({"a": {"b": 1, "c": 2}}, {"$unset": {"a.b": "", "x.y": 1}}, {"a": {"c": 2}}),
    ({"a": [1, 2]}, {"$unset": {"a.0": 1, "a.7": 1}}, {"a": [None, 2]}),
    ({"a": 1}, {"$unset": {"a.b": 1}}, {"a": 1}),
    ({"a": 1}, {"$setOnInsert": {"a": 2}}, {"a": 1}),
    # Numbers.
    ({"a": 1}, {"$inc": {"a": 2, "b": -1.5}}, {"a": 3, "b": -1.5}),
    ({"a": {"b": [1, 2]}}, {"$inc": {"a.b.1": 10}}, {"a": {"b": [1, 12]}}),
    ({"a": 5}, {"$min": {"a": 3, "b": 7}}, {"a": 3, "b": 7}),
    ({"a": 5}, {"$min": {"a": 9}}, {"a": 5}),
    ({"a": 5}, {"$max": {"a": 9, "b": 7}}, {"a": 9, "b": 7}),
    ({"a": 5}, {"$max": {"a": 3}}, {"a": 5}),
    # Arrays.
    ({}, {"$push": {"a": 1}}, {"a": [1]}),
    ({"a": [1]}, {"$push": {"a": [2]}}, {"a": [1, [2]]}),
    ({"a": [1]}, {"$push": {"a": {"$each": [2, 3]}}}, {"a": [1, 2, 3]}),
    ({"a": [1, 2]}, {"$push": {"a": {"$each": [8, 9], "$position": 1}}}, {"a": [1, 8, 9, 2]}),
    ({"a": [1]}, {"$push": {"a": {"$each": [2], "$position": 99}}}, {"a": [1, 2]}),
    ({"a": [1, 2]}, {"$push": {"a": {"$each": [3], "$slice": -2}}}, {"a": [2, 3]}),
    ({"a": [1, 2]}, {"$push": {"a": {"$each": [3], "$slice": 2}}}, {"a": [1, 2]}),
    ({"a": [1, 2]}, {"$push": {"a": {"$each": [3], "$slice": 0}}}, {"a": []}),
    (
        {"a": [{"n": 3}, {"n": 1}]},
        {"$push": {"a": {"$each": [{"n": 2}], "$sort": {"n": 1}, "$slice": -5}}},
        {"a": [{"n": 1}, {"n": 2}, {"n": 3}]},
    ),
    (
        {"a": [{"n": 3}, {"n": 1}]},
        {"$push": {"a": {"$each": [{"n": 2}], "$sort": {"n": -1}, "$slice": 2}}},
        {"a": [{"n": 3}, {"n": 2}]},
    ),
    ({"a": [1, 2]}, {"$addToSet": {"a": 2, "b": 1}}, {"a": [1, 2], "b": [1]}),
    ({"a": [1]}, {"$addToSet": {"a": {"$each": [1, 2, 2]}}}, {"a": [1, 2]}),
    ({"a": [{"x": 1, "y": 2}]}, {"$addToSet": {"a": {"y": 2, "x": 1}}}, {"a": [{"x": 1, "y": 2}, {"y": 2, "x": 1}]}),
    ({"a": [WHEN]}, {"$addToSet": {"a": WHEN}}, {"a": [WHEN]}),
    ({"a": [1, 2, 3]}, {"$pop": {"a": 1, "x": 1}}, {"a": [1, 2]}),
    ({"a": [1, 2, 3]}, {"$pop": {"a": -1}}, {"a": [2, 3]}),
    ({"a": []}, {"$pop": {"a": 1}}, {"a": []}),
    ({"a": [1, 2, 1, [1]]}, {"$pull": {"a": 1, "x": 1}}, {"a": [2, [1]]}),
    ({"a": [[1], [2]]}, {"$pull": {"a": [1]}}, {"a": [[2]]}),
    ({"a": [None, 1]}, {"$pull": {"a": None}}, {"a": [1]}),
    (
        {"a": [{"x": 1, "y": 1}, {"x": 2}, {"y": 1}]},
        {"$pull": {"a": {"x": {"$gt": 0}, "y": 1}}},
        {"a": [{"x": 2}, {"y": 1}]},
    ),
    ({"a": [1, 2, 3, 1]}, {"$pullAll": {"a": [1, 3], "x": [1]}}, {"a": [2]}),
    # Names, and several operators at once.
    ({"a": 1}, {"$rename": {"a": "b", "x": "y"}}, {"b": 1}),
    ({"a": {"b": 1}, "c": 2}, {"$rename": {"a.b": "d.e"}}, {"a": {}, "c": 2, "d": {"e": 1}}),
    ({"a": 1, "b": 2}, {"$rename": {"a": "b"}}, {"b": 1}),
    ({"a": 1, "b": [1]}, {"$inc": {"a": 1}, "$push": {"b": 2}, "$set": {"c": 3}}, {"a": 2, "b": [1, 2], "c": 3}),
]

#: Cases in which modifiers behave as in MongoDB, unlike minimongo: the document, the modifier, the result, and what minimongo
#: does.
LIKE_MONGODB: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ({"a": 2}, {"$mul": {"a": 3, "b": 4}}, {"a": 6, "b": 0}, "does not know $mul"),
    ({"a": 5}, {"$bit": {"a": {"and": 6, "or": 8}, "b": {"xor": 3}}}, {"a": 12, "b": 3}, "rejects $bit"),
    ({"a": "b"}, {"$min": {"a": "a"}}, {"a": "a"}, "takes numbers only"),
    ({"a": WHEN}, {"$max": {"a": WHEN + dt.timedelta(1)}}, {"a": WHEN + dt.timedelta(1)}, "takes numbers only"),
    ({"a": 1}, {"$max": {"a": "x"}}, {"a": "x"}, "takes numbers only"),
    ({"a": [1, 5, 3]}, {"$pull": {"a": {"$gt": 2}}}, {"a": [1]}, "takes no operators for elements"),
    ({"a": ["cat", "dog"]}, {"$pull": {"a": RegExp("^c")}}, {"a": ["dog"]}, "takes no regular expressions"),
    ({"a": [{"x": 1}, 5]}, {"$pull": {"a": {"x": 1}}}, {"a": [5]}, "stumbles over elements without fields"),
    ({}, {"$addToSet": {"a": {"$each": [1, 1]}}}, {"a": [1]}, "makes a set with twins of nothing"),
    ({"a": [1]}, {"$addToSet": {"a": None}}, {"a": [1, None]}, "stumbles over null"),
    ({"a": [3]}, {"$push": {"a": {"$each": [1], "$sort": 1}}}, {"a": [1, 3]}, "sorts only with $slice, and objects"),
    ({"a": [[3], [1]]}, {"$push": {"a": {"$each": [[2]], "$sort": -1}}}, {"a": [[3], [2], [1]]}, "sorts objects only"),
    ({"a": [1, 2]}, {"$push": {"a": {"$each": [9], "$position": -1}}}, {"a": [1, 9, 2]}, "counts from the front only"),
    ({"a": decimal.Decimal("1.1")}, {"$inc": {"a": 1}}, {"a": decimal.Decimal("2.1")}, "has no decimals"),
]

#: Documents and modifiers that both ddpshell and a real server reject.
REFUSED: list[tuple[dict[str, Any], Any]] = [
    ({}, {"$set": {"a": 1}, "b": 2}),
    ({}, {"$foo": {"a": 1}}),
    ({}, {"$set": {"a": 1, "a.b": 1}}),
    ({}, {"$set": {"_id": "y"}}),
    ({}, {"$unset": {"_id": 1}}),
    ({}, {"_id": "y", "a": 1}),
    ({}, {"a.b": 1}),
    ({}, {"a": {"$b": 1}}),
    ({}, {"$set": {"": 1}}),
    ({}, {"$set": {"a..b": 1}}),
    ({}, {"$set": {"a": {"b.c": 1}}}),
    ({}, {"$set": {"a": [{"$b": 1}]}}),
    ({}, {"$set": {"a": {"b\0": 1}}}),
    ({}, {"$set": {"a.$b": 1}}),
    ({"a": 1}, {"$set": {"a.b": 1}}),
    ({"a": None}, {"$set": {"a.b": 1}}),
    ({"a": WHEN}, {"$set": {"a.b": 1}}),
    ({"a": [1]}, {"$set": {"a.b": 1}}),
    ({"a": [1]}, {"$set": {"a.0.b": 1}}),
    ({"a": [1]}, {"$set": {"a.$": 1}}),
    ({"a": "x"}, {"$inc": {"a": 1}}),
    ({"a": None}, {"$inc": {"a": 1}}),
    ({"a": 1}, {"$inc": {"a": "x"}}),
    ({"a": 1}, {"$inc": {"a": True}}),
    ({"a": 1}, {"$push": {"a": 1}}),
    ({"a": []}, {"$push": {"a": {"$each": 1}}}),
    ({"a": []}, {"$push": {"a": {"$each": [], "$slice": "x"}}}),
    ({"a": []}, {"$push": {"a": {"$each": [], "$position": "x"}}}),
    ({"a": []}, {"$push": {"a": {"$slice": 1}}}),
    ({"a": []}, {"$push": {"a": {"b.c": 1}}}),
    ({"a": 1}, {"$addToSet": {"a": 1}}),
    ({"a": 1}, {"$pop": {"a": 1}}),
    ({"a": 1}, {"$pull": {"a": 1}}),
    ({"a": [1]}, {"$pullAll": {"a": 1}}),
    ({"a": 1}, {"$pullAll": {"a": [1]}}),
    ({"a": 1}, {"$rename": {"a": "a"}}),
    ({"a": 1}, {"$rename": {"a": 5}}),
    ({"a": [1]}, {"$rename": {"a.0": "b"}}),
    ({"a": 1, "b": [1]}, {"$rename": {"a": "b.0"}}),
    ({}, {"$currentDate": {"a": "yes"}}),
    ({}, {"$currentDate": {"a": {"$type": "timestamp"}}}),
    ({}, {"$bit": {"a": {"and": 1.5}}}),
    ({}, {"$bit": {"a": {"nand": 1}}}),
    ({"a": "x"}, {"$mul": {"a": 1}}),
]

#: Documents and modifiers that MongoDB and ddpshell reject, but minimongo accepts.
REFUSED_BY_MONGODB: Final[list[tuple[dict[str, Any], Any]]] = [
    ({}, {"$set": {"a": 1}, "$inc": {"a": 1}}),
    ({"b": 1}, {"$set": {"a": 1}, "$rename": {"b": "a"}}),
    ({}, {"$set": 5}),
    ({"a": [1]}, {"$pop": {"a": 2}}),
    ({"a": []}, {"$push": {"a": {"$each": [], "$foo": 1}}}),
    ({"a": []}, {"$push": {"a": {"$each": [], "$slice": 1.5}}}),
    ({"a": []}, {"$set": {"a.2000000": 1}}),
]


@pytest.mark.parametrize(
    ("document", "modifier", "expected"), [pytest.param(*case, id=str(case[:2])) for case in CASES]
)
def test_a_modifier_updates_a_document(
    document: dict[str, Any], modifier: dict[str, Any], expected: dict[str, Any]
) -> None:
    result = modify({"_id": "x", **document}, modifier)
    assert ejson.equals(result, {"_id": "x", **expected}, key_order_sensitive=not modifier.get("$unset"))


@pytest.mark.parametrize(
    ("document", "modifier", "expected"),
    [pytest.param(*case[:3], id=f"{case[:2]}: minimongo {case[3]}") for case in LIKE_MONGODB],
)
def test_a_modifier_updates_a_document_as_in_mongodb(
    document: dict[str, Any], modifier: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert ejson.equals(modify({"_id": "x", **document}, modifier), {"_id": "x", **expected})


@pytest.mark.parametrize(
    ("document", "modifier"), [pytest.param(*case, id=str(case)) for case in [*REFUSED, *REFUSED_BY_MONGODB]]
)
def test_an_invalid_modifier_is_rejected(document: dict[str, Any], modifier: Any) -> None:
    with pytest.raises(QueryError):
        modify({"_id": "x", **document}, modifier, now=WHEN)


@pytest.mark.parametrize(
    ("modifier", "sentence"),
    [
        pytest.param({"$sett": {"a": 1}}, r"unknown modifier \$sett; did you mean \$set\?", id="a misspelled operator"),
        pytest.param(
            {"$push": {"a": {"$each": [], "$slize": 1}}},
            r"unknown clause \$slize; did you mean \$slice\?",
            id="a misspelled clause",
        ),
        pytest.param({"$set": {"a.b": 1}, "$inc": {"a": 1}}, "two changes to 'a'", id="two changes of one field"),
        pytest.param({"$set": {"n.x": 1}}, "cannot set the field 'x' of 5", id="not an object"),
        pytest.param({"$set": {"l.$[].x": 1}}, r"\$\[\] is not supported", id="all elements"),
        pytest.param({"$set": {"l.$.x": 1}}, r"\$ is not supported; use the index", id="the matched element"),
        pytest.param({"$currentDate": {"a": True}}, "the current time is not known", id="no current time"),
        pytest.param([], "a modifier must be an object", id="an array"),
    ],
)
def test_the_error_says_what_is_wrong(modifier: Any, sentence: str) -> None:
    with pytest.raises(QueryError, match=sentence):
        modify({"_id": "x", "n": 5, "l": [1]}, modifier)


def test_current_date_sets_the_given_time() -> None:
    for operand in (True, {"$type": "date"}):
        assert modify({"_id": "x"}, {"$currentDate": {"a.b": operand}}, now=WHEN) == {"_id": "x", "a": {"b": WHEN}}


def test_set_on_insert_has_an_effect_on_inserts_only() -> None:
    modifier: dict[str, Any] = {"$setOnInsert": {"a": 1}, "$set": {"b": 2}}
    assert modify({"_id": "x"}, modifier) == {"_id": "x", "b": 2}
    assert modify({"_id": "x"}, modifier, is_insert=True) == {"_id": "x", "a": 1, "b": 2}


def test_an_insert_may_set_the_id() -> None:
    assert modify({}, {"$set": {"_id": "x"}}, is_insert=True) == {"_id": "x"}
    assert modify({}, {"_id": "x", "a": 1}, is_insert=True) == {"_id": "x", "a": 1}


def test_the_id_stays_first() -> None:
    assert list(modify({"_id": "x", "a": 1}, {"b": 1, "_id": "x"})) == ["_id", "b"]


def test_an_int_beyond_all_floats_counts_as_infinite_together_with_a_float() -> None:
    assert modify({"a": 10**400}, {"$inc": {"a": 0.5}}) == {"a": math.inf}
    assert modify({"a": 0.5}, {"$mul": {"a": -(10**400)}}) == {"a": -math.inf}
    assert modify({"a": 10**400}, {"$inc": {"a": 1}}) == {"a": 10**400 + 1}


def test_decimals_are_calculated_exactly() -> None:
    result = modify({"a": decimal.Decimal("0.1")}, {"$inc": {"a": decimal.Decimal("0.2")}})
    assert result == {"a": decimal.Decimal("0.3")}


def test_a_custom_value_has_no_fields_to_change() -> None:
    with pytest.raises(QueryError):
        modify({"p": Custom("Point", {"x": 1})}, {"$set": {"p.x": 2}})


# ----------------------------------------------------------------------------------------------------------- properties

_OPERATORS = st.sampled_from(
    "$set $unset $inc $mul $min $max $push $addToSet $pull $pullAll $pop $rename $currentDate $setOnInsert $bit".split()
)
_PATHS = st.sampled_from(["a", "b", "a.b", "a.0", "a.0.b", "b.1", "_id", "a.$", "c", "", "a." + "9" * 5000])
_OPERANDS = (
    strategies.ejson_values(max_leaves=4)
    | st.sampled_from([1, -1, "b", "c.d", [1], {"$each": [1, {"a": 2}]}, {"$each": [3], "$slice": -2, "$sort": 1}])
    | st.sampled_from([{"$each": [1], "$position": 0}, {"and": 5}, {"$gt": 1}, {"a": {"$in": [1]}}, {"$type": "date"}])
)
MODIFIERS = st.dictionaries(_OPERATORS, st.dictionaries(_PATHS, _OPERANDS, max_size=2), max_size=3)
DOCUMENTS = st.fixed_dictionaries(
    {"_id": st.just("x")},
    optional={
        "a": strategies.ejson_values(6) | st.lists(st.integers() | st.fixed_dictionaries({"b": st.integers()})),
        "b": strategies.ejson_values(6) | st.lists(st.integers()),
    },
)


@given(DOCUMENTS, MODIFIERS, st.booleans())
def test_the_result_shares_no_parts_with_the_document_or_the_modifier(
    document: dict[str, Any], modifier: dict[str, Any], is_insert: bool
) -> None:
    """The id does not change, either."""
    before, asked = ejson.clone(document), ejson.clone(modifier)
    try:
        result = modify(document, modifier, is_insert=is_insert, now=WHEN)
    except QueryError:
        result = {"_id": "x"}
    assert result["_id"] == "x"
    for value in result.values():
        if isinstance(value, list):
            value.append("changed")
        elif isinstance(value, dict):
            value["changed"] = True
    assert ejson.equals(document, before)
    assert ejson.equals(modifier, asked)


@given(strategies.ejson_values())
def test_modify_raises_only_query_errors(modifier: Any) -> None:
    with contextlib.suppress(QueryError):
        modify({"_id": "x", "a": [1]}, modifier)


@given(DOCUMENTS, st.sampled_from(["a", "b", "c", "c.d"]), strategies.ejson_values(4))
def test_set_sets_a_field_and_unset_removes_it(document: dict[str, Any], path: str, value: Any) -> None:
    try:
        result: Any = modify(document, {"$set": {path: value}})
    except QueryError:
        return
    for part in path.split("."):
        result = result[part]
    assert ejson.equals(result, value)
    again = modify(modify(document, {"$set": {path: value}}), {"$unset": {path: 1}})
    assert path not in again
    assert "d" not in (again.get("c") or {})  # type: ignore[operator]  # an object, for it was made by `c.d`


@pytest.mark.parametrize(
    ("operator", "value", "operand", "expected"),
    [
        ("$set", 1, {"a": 1}, {"a": 1}),
        ("$setOnInsert", MISSING, 1, 1),
        ("$inc", MISSING, 2, 2),
        ("$inc", Decimal("0.1"), 1, Decimal("1.1")),
        ("$mul", MISSING, 3, 0),
        ("$mul", 2, 1.5, 3.0),
        ("$min", 2, 1, 1),
        ("$min", 1, 2, 1),
        ("$max", MISSING, 1, 1),
        ("$push", [1], 2, [1, 2]),
        ("$push", [3], {"$each": [1, 2], "$sort": 1, "$slice": -2}, [2, 3]),
        ("$addToSet", [1], {"$each": [1, 2]}, [1, 2]),
        ("$pop", [1, 2, 3], -1, [2, 3]),
        ("$pull", [1, 2, 3], {"$gt": 1}, [1]),
        ("$pull", [{"a": 1}, {"a": 2}, 1], {"a": 1}, [{"a": 2}, 1]),
        ("$pullAll", [1, 2, 1], [1], [2]),
        ("$bit", 5, {"and": 4, "or": 1}, 5),
        ("$unset", 1, "", MISSING),
    ],
)
def test_an_operator_changes_a_field(operator: str, value: Any, operand: Any, expected: Any) -> None:
    holder = {} if value is MISSING else {"f": value}
    place = Place("x.f", holder, "f")
    OPERATORS[operator](place, operand)
    assert place.value == expected
    assert type(place.value) is type(expected)


@pytest.mark.parametrize(
    ("operator", "value", "operand"),
    [
        ("$inc", "1", 1),
        ("$inc", 1, True),
        ("$push", 1, 1),
        ("$push", [], {"$each": 1}),
        ("$push", [], {"$each": [], "$slic": 1}),
        ("$pop", [], 2),
        ("$pullAll", [], 1),
        ("$bit", 1.5, {"and": 1}),
        ("$bit", 1, {}),
        ("$set", 1, {"a.b": 1}),
    ],
)
def test_an_operand_that_does_not_fit_is_rejected_with_its_path(operator: str, value: Any, operand: Any) -> None:
    holder = {"f": value}
    with pytest.raises(QueryError, match=r"x\.f|a\.b"):
        OPERATORS[operator](Place("x.f", holder, "f"), operand)
    assert holder == {"f": value}


def test_elements_are_unset_in_place_and_added_at_the_end() -> None:
    array = [1, 2]
    OPERATORS["$unset"](Place("a.0", array, 0), "")
    OPERATORS["$set"](Place("a.2", array, 2), 3)
    assert array == [None, 2, 3]
    assert Place("a.3", array, 3).value is MISSING


@pytest.mark.parametrize("value", [{"$a": 1}, {"a.b": 1}, [{"\0": 1}], {"a": [{"b": {"$c": 1}}]}])
def test_invalid_field_names_are_rejected_at_any_depth(value: Any) -> None:
    with pytest.raises(QueryError):
        check_names(value)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(int, id="numbers"),
        pytest.param(str, id="texts"),
        pytest.param(lambda number: {"x": number}, id="objects"),
        pytest.param(lambda number: [number], id="arrays"),
    ],
)
def test_two_long_arrays_are_compared_in_linear_time(make: Callable[[int], Any]) -> None:
    """Comparing each pair of elements would take minutes."""
    old, new = [make(number) for number in range(5000)], [make(number) for number in range(2500, 7500)]
    document = {"_id": "a", "list": old}
    assert modify(document, {"$addToSet": {"list": {"$each": new}}})["list"] == [*old, *new[2500:]]
    assert modify(document, {"$pullAll": {"list": new}})["list"] == old[:2500]
