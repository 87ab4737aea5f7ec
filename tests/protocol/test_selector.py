"""What selectors mean: the cases are those of Meteor's own tests of minimongo, and each was tried on a real server.

`tests/server/test_selectors_against_meteor.py` does that again, with drawn cases too.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ddpshell.exceptions import QueryError
from ddpshell.protocol.ejson import ObjectID, RegExp
from ddpshell.protocol.selector import compile_selector

WHEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
OID = ObjectID("0123456789abcdef01234567")

#: selector, documents that match, documents that do not.
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
    ({"a": RegExp("^b$", "m")}, [{"a": "a\nb\nc"}], [{"a": "ab"}]),
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
        5,
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
def test_what_is_no_selector_is_refused_before_any_document_is_seen(selector: Any) -> None:
    with pytest.raises(QueryError):
        compile_selector(selector)
