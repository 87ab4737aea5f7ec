from __future__ import annotations

from collections.abc import Iterable

from ddpshell.analysis.access import SeenDocuments, compared_documents
from ddpshell.analysis.exchanges import Exchanges
from ddpshell.analysis.recording import Entry
from tests.analysis.frames import frames, received, sent


def seen_by(entries: Iterable[Entry]) -> SeenDocuments:
    seen = SeenDocuments("notes")
    for view in Exchanges().views(frames(entries)):
        seen.receive(view)
    return seen


SUB = sent(1, "sub", id="s", name="notes", params=[])
READY = received(2, "ready", subs=["s"])


def test_documents_and_fields_are_compared() -> None:
    ann = seen_by([
        SUB,
        received(1.1, "added", collection="notes", id="a", fields={"title": "x", "draft": 1, "old": 0}),
        received(1.2, "changed", collection="notes", id="a", fields={"by": "ann"}, cleared=["old"]),
        received(1.3, "added", collection="notes", id="b", fields={"title": "y"}),
        received(1.4, "added", collection="notes", id="gone", fields={}),
        received(1.5, "removed", collection="notes", id="gone"),
        READY,
    ])  # fmt: skip
    other = seen_by([SUB, received(1.1, "added", collection="notes", id="a", fields={"title": "X"}), READY])
    assert compared_documents({"ann": ann, "anonymous": other}) == [
        {
            "collection": "notes",
            "documents": [
                {"id": "a", "fields": {"ann": ["title", "draft", "by"], "anonymous": ["title"]}, "differs": ["title"]},
                {"id": "b", "fields": {"ann": ["title"], "anonymous": None}, "differs": []},
            ],
        }
    ]


def test_only_collections_of_the_publication_are_compared() -> None:
    """A server does not send a field again that the client has already (S55)."""
    seen = seen_by([
        received(0.5, "added", collection="users", id="me", fields={"name": "ann"}),
        received(0.5, "added", collection="notes", id="a", fields={"title": "x"}),
        SUB,
        received(1.1, "changed", collection="notes", id="a", fields={"draft": 1}),
        READY,
    ])  # fmt: skip
    [found] = compared_documents({"ann": seen})
    assert found == {
        "collection": "notes",
        "documents": [{"id": "a", "fields": {"ann": ["title", "draft"]}, "differs": []}],
    }


def test_ids_are_ejson() -> None:
    [found] = compared_documents({"ann": seen_by([SUB, received(1.1, "added", collection="c", id="~5"), READY])})
    assert isinstance(found, dict)
    assert found["documents"] == [{"id": 5, "fields": {"ann": []}, "differs": []}]
