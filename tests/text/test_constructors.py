"""Each constructor makes a value from valid arguments, and rejects others."""

from __future__ import annotations

import decimal
import math

import pytest

from ddpshell import ejson
from ddpshell.ejson import Custom, Date, EJSONValue, ObjectID, RegExp
from ddpshell.exceptions import EJSONError
from ddpshell.text.formatting import format_value
from ddpshell.text.grammar import CONSTRUCTORS
from ddpshell.text.literals import parse

OID = "507f1f77bcf86cd799439011"


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        pytest.param("Date", [0], ejson.date_from_ms(0), id="milliseconds"),
        pytest.param("Date", [1.7], ejson.date_from_ms(1), id="E4: cut off toward zero"),
        pytest.param("Date", ["1970-01-01T00:00:00.0019Z"], ejson.date_from_ms(1), id="E4: in text as well"),
        pytest.param("Date", [math.nan], Date(None), id="the invalid date"),
        pytest.param("Date", ["0001-01-01T00:00+01:00"], Date(-62135600400000), id="before the first year of Python"),
        pytest.param("Date", [-8640000000000000], Date(-8640000000000000), id="the earliest"),
        pytest.param("ISODate", ["1970-01-01"], ejson.date_from_ms(0), id="MongoDB's name of Date"),
        pytest.param("Binary", ["AQ"], b"\x01", id="E5"),
        pytest.param("RegExp", ["a"], RegExp("a", ""), id="without flags"),
        pytest.param("RegExp", ["a", "s"], RegExp("a", "s"), id="E10: flags are kept as they are"),
        pytest.param("ObjectID", [OID.upper()], ObjectID(OID), id="E9"),
        pytest.param("ObjectId", [OID], ObjectID(OID), id="MongoDB's spelling"),
        pytest.param("Decimal", ["-1.10"], decimal.Decimal("-1.10"), id="a decimal"),
        pytest.param("Custom", ["t", {"$date": 0}], Custom("t", {"$date": 0}), id="E18: its content is not decoded, either"),
        pytest.param("Custom", ["t", [b"\x01"]], Custom("t", [{"$binary": "AQ=="}]), id="E18: constructed values are encoded"),
    ],
)  # fmt: skip
def test_a_constructor_makes_its_value(name: str, arguments: list[EJSONValue], value: EJSONValue) -> None:
    made = CONSTRUCTORS[name].construct(*arguments)
    assert ejson.equals(made, value)
    assert ejson.equals(parse(format_value(made)), value)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("Date", [True], id="a boolean is not a number"),
        pytest.param("Date", [None], id="null is not a date"),
        pytest.param("Binary", [5], id="a number is not a base64"),
        pytest.param("RegExp", ["a", 1], id="flags are text"),
        pytest.param("ObjectID", [5], id="a number is not an id"),
        pytest.param("Decimal", [1.1], id="a float has been rounded"),
        pytest.param("Custom", [5, 5], id="a type has a name"),
    ],
)
def test_an_argument_of_the_wrong_type_raises_a_type_error(name: str, arguments: list[EJSONValue]) -> None:
    with pytest.raises(TypeError):
        CONSTRUCTORS[name].construct(*arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("Date", ["soon"], id="not a date"),
        pytest.param("Date", [8640000000000001], id="E4: too late"),
        pytest.param("Date", [-math.inf], id="E4: never"),
        pytest.param("Binary", ["=AAA"], id="V16"),
        pytest.param("RegExp", ["("], id="V38"),
        pytest.param("ObjectID", [""], id="E9: an empty text"),
        pytest.param("Decimal", ["1_0"], id="not a decimal"),
        pytest.param("Custom", ["oid", OID], id="the name of a built-in type"),
    ],
)
def test_an_invalid_argument_raises_an_ejson_error(name: str, arguments: list[EJSONValue]) -> None:
    with pytest.raises(EJSONError):
        CONSTRUCTORS[name].construct(*arguments)
