from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ddpshell.analysis.exchanges import Exchanges
from ddpshell.analysis.recording import Entry, Frame
from ddpshell.analysis.weight import PublicationWeight, Weight, weight_changes
from ddpshell.protocol.codec import decode
from ddpshell.protocol.messages import Added
from tests.analysis.frames import frames, received, sent


def weight_of(entries: Iterable[Entry], name: str = "orders") -> dict[str, Any]:
    weight = PublicationWeight(name)
    for view in Exchanges().views(frames(entries)):
        weight.receive(view)
    return weight.as_json()


def test_all_data_frames_until_ready_are_added_up_by_collection_and_field() -> None:
    first = '{"msg":"added","collection":"orders","id":"a","fields":{"total":20,"name":"é"}}'
    second = '{"msg":"added","collection":"orders","id":"b","fields":{"total":5}}'
    change = '{"msg":"changed","collection":"orders","id":"b","fields":{"total":500},"cleared":["name"]}'
    other = '{"msg":"added","collection":"users","id":"507f1f77bcf86cd799439011"}'
    removed = '{"msg":"removed","collection":"users","id":"u"}'
    texts = [first, second, change, other, removed]
    found = weight_of([
        sent(1, "sub", id="s", name="orders", params=[]),
        *(Frame(1.1, 1, "in", text) for text in texts),
        received(1.25, "ready", subs=["s"]),
        Frame(1.3, 1, "in", first.replace('"a"', '"late"')),
    ])  # fmt: skip
    sizes = [len(text.encode()) for text in texts]
    assert found == {
        "publication": "orders",
        "ready_ms": 250,
        "documents": 3,
        "bytes": sum(sizes),
        "collections": [
            {
                "collection": "orders",
                "documents": 2,
                "bytes": sum(sizes[:3]),
                "fields": [
                    {"field": "total", "documents": 2, "bytes": 3 * 7 + 6, "share": round(27 / sum(sizes), 6)},
                    {"field": "name", "documents": 1, "bytes": 6 + 4, "share": round(10 / sum(sizes), 6)},
                ],
                "other_fields": 0,
                "largest": [{"id": "a", "bytes": sizes[0]}, {"id": "b", "bytes": sizes[1]}],
            },
            {
                "collection": "users",
                "documents": 1,
                "bytes": sum(sizes[3:]),
                "fields": [],
                "other_fields": 0,
                "largest": [{"id": {"$type": "oid", "$value": "507f1f77bcf86cd799439011"}, "bytes": sizes[3]}],
            },
        ],
    }


def test_data_of_other_subscriptions_is_not_counted() -> None:
    """Meteor answers subscriptions in order, so data belongs to the oldest that is not ready (C32)."""
    found = weight_of([
        sent(1, "sub", id="o", name="other", params=[]),
        sent(1, "sub", id="s", name="orders", params=[]),
        received(1.1, "added", collection="c", id="x"),
        received(1.2, "ready", subs=["o"]),
        received(1.3, "added", collection="c", id="y"),
        received(1.4, "ready", subs=["s"]),
    ])  # fmt: skip
    assert (found["documents"], found["ready_ms"]) == (1, 400)
    assert found["collections"][0]["largest"][0]["id"] == "y"


def test_data_without_a_subscription_is_counted_at_any_time() -> None:
    found = weight_of([
        received(0.5, "added", collection="users", id="me", fields={}),
        sent(1, "sub", id="s", name="orders", params=[]),
        received(1.1, "added", collection="settings", id="x", fields={}),
        received(1.2, "ready", subs=["s"]),
    ])  # fmt: skip
    assert sorted(one["collection"] for one in found["collections"]) == ["settings", "users"]


def test_a_publication_without_documents_weighs_nothing() -> None:
    found = weight_of([sent(1, "sub", id="s", name="orders", params=[]), received(1, "ready", subs=["s"])])
    assert (found["bytes"], found["collections"]) == (0, [])


def test_the_number_of_documents_and_fields_in_the_report_is_limited() -> None:
    weight = Weight()
    for number in range(1100):
        text = json.dumps(
            {"msg": "added", "collection": "c", "id": str(number), "fields": {f"f{number:04}": "x" * number}}
        )
        message = decode(text)
        assert isinstance(message, Added)
        weight.add(message, len(text))
    [collection] = weight.as_json()
    assert isinstance(collection, dict)
    assert [one["id"] for one in collection["largest"]] == ["1099", "1098", "1097", "1096", "1095"]  # type: ignore[union-attr,index,call-overload]
    assert len(collection["fields"]) == 1000  # type: ignore[arg-type]
    assert collection["other_fields"] == sum(7 + 2 + number for number in range(1000, 1100))


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4) | st.integers() | st.none()), max_size=4), st.booleans(), st.sampled_from([None, 1]))  # fmt: skip
def test_fields_have_the_bytes_that_they_have_in_the_frame(
    members: list[tuple[str, object]], ascii_only: bool, indent: int | None
) -> None:
    written = {
        name: (json.dumps(name, ensure_ascii=ascii_only), json.dumps(value, ensure_ascii=ascii_only))
        for name, value in members
    }
    comma, colon = (",\n ", " : ") if indent else (",", ":")
    fields = "{" + comma.join([f"{key}{colon}{value}" for key, value in written.values()]) + "}"
    text = f'{{"msg":"added","collection":"c","id":"x","fields":{fields}}}'
    message = decode(text)
    assert isinstance(message, Added)
    weight = Weight()
    weight.add(message, len(text.encode()))
    found = {name: field.bytes for name, field in weight.collections["c"].fields.items()}
    assert found == {name: len(key.encode()) + len(value.encode()) for name, (key, value) in written.items()}


def test_two_weights_are_compared() -> None:
    def weight(total: int) -> dict[str, Any]:
        return weight_of([
            sent(1, "sub", id="s", name="orders", params=[]),
            received(1.1, "added", collection="c", id="x", fields={"total": total}),
            received(1.5, "ready", subs=["s"]),
        ])  # fmt: skip

    old, new = weight(1), weight(100)
    assert list(weight_changes(old, old)) == []
    assert list(weight_changes(old, new)) == [
        {"what": "all", "number": "bytes", "old": old["bytes"], "new": old["bytes"] + 2},
        {"what": "c", "number": "bytes", "old": old["bytes"], "new": old["bytes"] + 2},
        {"what": "c.total", "number": "bytes", "old": 8, "new": 10},
    ]
    gone = {"what": "c.total", "number": "documents", "old": 1, "new": None}
    assert gone in list(weight_changes(old, {**new, "collections": []}))
