"""Selectors find the same documents as on a real Meteor server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ddpshell
from ddpshell.ejson import EJSONValue, RegExp
from ddpshell.exceptions import MethodError, QueryError
from ddpshell.minimongo.selector import compile_selector
from tests.meteor import MeteorServer
from tests.minimongo.test_selector import CASES

TIMEOUT = 20.0

#: Selectors that the real server, which is older, or its replacement for MongoDB does not know.
UNKNOWN = ("$bits", "{'a': {'$type': 'string'}}", "{'a': b'")


@pytest.fixture(scope="module")
def meteor(meteor_server: MeteorServer) -> Iterator[ddpshell.Client]:
    with ddpshell.Client(meteor_server.url) as client:
        yield client


def call(client: ddpshell.Client, method: str, *params: EJSONValue) -> Any:
    return client.call(method, *params).result(TIMEOUT)


def found_by_both(client: ddpshell.Client, selector: Any, documents: list[dict[str, Any]]) -> tuple[set[Any], set[Any]]:
    """Find documents with a selector on the real server and with this package, and return both sets of ids."""
    call(client, "reset")
    stored: dict[Any, dict[str, Any]] = {}
    for number, document in enumerate(documents):
        complete = {"_id": f"d{number}", **document}
        if not complete["_id"] or complete["_id"] in stored:
            complete["_id"] = f"d{number}"
        stored[complete["_id"]] = complete
    for insertion in [client.call("insert", document) for document in stored.values()]:
        insertion.result(TIMEOUT)
    expected = {document["_id"] for document in call(client, "find", selector)}
    matches = compile_selector(selector)
    return expected, {id_ for id_, document in stored.items() if matches(document)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=str(case[0])) for case in CASES if not any(text in str(case[0]) for text in UNKNOWN)]
)
def test_a_real_server_finds_the_same_documents(case: Any, meteor: ddpshell.Client) -> None:
    selector, matching, others = case
    documents = [document for document in [*matching, *others] if "a.b" not in document]
    expected, found = found_by_both(meteor, selector, documents)
    assert found == expected


ATOMS = st.sampled_from([None, 0, 1, 2, -1, 1.5, True, False, "", "x", "xy", RegExp("^x"), float("nan")])
KEYS = st.sampled_from(["a", "b", "0", "1"])
# There are no {} and {"0": x}, because to minimongo they equal [] and [x] (E41).
VALUES = st.recursive(
    ATOMS,
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), values, min_size=1, max_size=2)
    ),
    max_leaves=5,
)
DOCUMENTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=6)
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(".".join)
COMPARISONS = st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"])


def operators(conditions: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return (
        st.dictionaries(COMPARISONS, VALUES, min_size=1, max_size=2)
        | st.fixed_dictionaries({"$in": st.lists(VALUES, max_size=3)})
        | st.fixed_dictionaries({"$nin": st.lists(VALUES, max_size=3)})
        | st.fixed_dictionaries({"$all": st.lists(VALUES, max_size=2)})
        | st.fixed_dictionaries({"$exists": st.booleans()})
        | st.fixed_dictionaries({"$size": st.integers(0, 3)})
        | st.fixed_dictionaries({"$type": st.sampled_from([1, 2, 3, 4, 8, 10, 11])})
        | st.fixed_dictionaries({"$mod": st.tuples(st.sampled_from([2, 3, -2]), st.integers(-2, 2)).map(list)})
        | st.fixed_dictionaries({"$not": conditions})
        | st.fixed_dictionaries({"$elemMatch": conditions | st.dictionaries(KEYS, conditions, min_size=1, max_size=2)})
    )


CONDITIONS: st.SearchStrategy[Any] = st.recursive(VALUES, operators, max_leaves=4)
SELECTORS: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(PATHS, CONDITIONS, max_size=2),
    lambda selectors: st.dictionaries(
        st.sampled_from(["$and", "$or", "$nor"]), st.lists(selectors, min_size=1, max_size=3), min_size=1, max_size=2
    ),
    max_leaves=3,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(selector=SELECTORS, documents=DOCUMENTS)
def test_a_real_server_finds_the_same_documents_with_any_selector(
    selector: Any, documents: list[dict[str, Any]], meteor: ddpshell.Client
) -> None:
    """The real server also refuses the selectors that this package refuses."""
    try:
        compile_selector(selector)
    except QueryError:
        call(meteor, "reset")
        call(meteor, "insert", {"_id": "any"})
        with pytest.raises(MethodError):
            call(meteor, "find", selector)
        return
    expected, found = found_by_both(meteor, selector, documents)
    assert found == expected
