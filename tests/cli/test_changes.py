"""The copy keeps in step with the events, and each change is one line with keys that are always the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.cli.changes import ChangeLines, CountLines, DocumentLines, Lines, Mirror, TableLines
from ddpshell.cli.output import Console, OutputFormat, Stream
from ddpshell.client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ddpshell.ejson import ObjectID
from ddpshell.protocol.codec import DocumentID
from ddpshell.protocol.documents import Documents
from ddpshell.protocol.messages import Added, AddedBefore, Changed, DataMessage, MovedBefore, Raw, Removed

OID = ObjectID("0123456789abcdef01234567")

ADDED = DocumentAdded("tasks", "a", {"n": 1, "done": False})


def ids(mirror: Mirror) -> list[object]:
    return [document["_id"] for _, documents in mirror.collections() for document in documents]


class TestMirror:
    def test_a_change_replaces_and_clears_fields(self) -> None:
        mirror = Mirror()
        assert mirror.apply(ADDED) == {"_id": "a", "n": 1, "done": False}
        assert mirror.apply(DocumentChanged("tasks", "a", {"n": 2}, ("done",))) == {"_id": "a", "n": 2}
        assert list(mirror.collections()) == [("tasks", [{"_id": "a", "n": 2}])]

    def test_what_is_removed_is_gone_and_an_empty_collection_with_it(self) -> None:
        mirror = Mirror()
        mirror.apply(ADDED)
        assert mirror.apply(DocumentRemoved("tasks", "a")) is None
        assert (mirror.count(), list(mirror.collections())) == (0, [])

    def test_ids_that_python_takes_for_equal_are_not(self) -> None:
        mirror = Mirror()
        every: tuple[DocumentID, ...] = (1, True, "1", OID, OID.hex)
        for id_ in every:
            mirror.apply(DocumentAdded("odd", id_, {}))
        assert mirror.count() == len(every)

    @pytest.mark.parametrize(
        ("before", "order"),
        [
            pytest.param("a", ["c", "a", "b"], id="to the beginning"),
            pytest.param("b", ["a", "c", "b"], id="between two"),
            pytest.param(None, ["a", "b", "c"], id="to the end"),
            pytest.param("unheard-of", ["a", "b", "c"], id="before one that is not there"),
        ],
    )
    def test_a_document_moves(self, before: str | None, order: list[str]) -> None:
        mirror = Mirror()
        for id_ in "abc":
            mirror.apply(DocumentAdded("ordered", id_, {}))
        assert mirror.apply(DocumentMoved("ordered", "c", before)) == {"_id": "c"}
        assert ids(mirror) == order

    @given(
        st.lists(
            st.tuples(st.sampled_from("xyz"), st.sampled_from("abc"), st.sampled_from("ACRBM"), st.sampled_from("abc")),
            max_size=30,
        )
    )
    def test_it_is_what_the_client_has(self, steps: list[tuple[str, str, str, str]]) -> None:
        mirror = Mirror()

        def tell(event: DocumentEvent) -> None:
            mirror.apply(event)

        documents = Documents(tell)
        documents.watched = True
        for number, (collection, id_, kind, other) in enumerate(steps):
            fields = Raw(json.dumps({f"f{number % 3}": number}).encode())
            messages: dict[str, DataMessage] = {
                "A": Added(collection=collection, id=id_, fields=fields),
                "C": Changed(collection=collection, id=id_, fields=fields, cleared=("f0",)),
                "R": Removed(collection=collection, id=id_),
                "B": AddedBefore(collection=collection, id=id_, fields=fields, before=other),
                "M": MovedBefore(collection=collection, id=id_, before=other),
            }
            documents.apply(messages[kind])
        for name in "xyz":
            assert dict(mirror.collections()).get(name, []) == list(documents.scan(name))


# ------------------------------------------------------------------------------------------------------ the lines


class Paper(Console):
    """A console whose output is a file."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self.file = file
        self.out = Stream(file)

    def read(self) -> str:
        written = Path(self.file.name).read_text()
        os.truncate(self.file.fileno(), 0)
        return written


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Paper]:
    with (tmp_path / "out").open("a") as file:
        yield Paper(file)


def follow(lines: Lines, events: list[DocumentEvent], ready_after: int = 0) -> None:
    mirror = Mirror()
    for number, event in enumerate(events):
        if number == ready_after:
            lines.ready(mirror)
        document = mirror.apply(event)
        lines.change(event, document, mirror)


EVENTS: list[DocumentEvent] = [
    ADDED,
    DocumentAdded("tasks", OID, {}),
    DocumentChanged("tasks", "a", {"n": 2}, ("done",)),
    DocumentChanged("tasks", "a", {"when": OID}, ()),
    DocumentMoved("tasks", "a", OID),
    DocumentMoved("tasks", "a", None),
    DocumentRemoved("tasks", "a"),
]

JSON = """\
{"msg":"added","collection":"tasks","id":"a","fields":{"n":1,"done":false}}
{"msg":"added","collection":"tasks","id":{"$type":"oid","$value":"0123456789abcdef01234567"},"fields":{}}
{"msg":"changed","collection":"tasks","id":"a","fields":{"n":2},"cleared":["done"]}
{"msg":"changed","collection":"tasks","id":"a","fields":{"when":{"$type":"oid","$value":"0123456789abcdef01234567"}},"cleared":[]}
{"msg":"movedBefore","collection":"tasks","id":"a","before":{"$type":"oid","$value":"0123456789abcdef01234567"}}
{"msg":"movedBefore","collection":"tasks","id":"a","before":null}
{"msg":"removed","collection":"tasks","id":"a"}
"""

PRETTY = """\
+ tasks/a {"n": 1, "done": false}
+ tasks/ObjectID("0123456789abcdef01234567") {}
~ tasks/a {"n": 2} without done
~ tasks/a {"when": ObjectID("0123456789abcdef01234567")}
> tasks/a moved before ObjectID("0123456789abcdef01234567")
> tasks/a moved to the end
- tasks/a
"""


@pytest.mark.parametrize(
    ("output", "text"),
    [
        pytest.param(OutputFormat.JSON, JSON, id="json"),
        pytest.param(OutputFormat.AUTO, JSON, id="auto, on a pipe"),
        pytest.param(OutputFormat.RAW, JSON, id="raw"),
        pytest.param(OutputFormat.PRETTY, PRETTY, id="pretty"),
    ],
)
def test_each_change_is_a_line(paper: Paper, output: OutputFormat, text: str) -> None:
    paper.configure(output)
    follow(ChangeLines(paper), EVENTS)
    assert paper.read() == text


def test_hostile_names_ids_and_fields_are_harmless(paper: Paper) -> None:
    events: list[DocumentEvent] = [
        DocumentAdded("\x1b[2Jc", "\u202eid", {"\x07": "\x9b"}),
        DocumentChanged("\x1b[2Jc", "\u202eid", {}, ("\x07",)),
    ]
    for output in (OutputFormat.JSON, OutputFormat.PRETTY):
        paper.configure(output)
        follow(ChangeLines(paper), events)
        written = paper.read()
        assert len(written.splitlines()) == 2
        assert written.replace("\n", "").isprintable()


def test_changes_have_colours_if_there_are_any(paper: Paper) -> None:
    paper.configure(OutputFormat.PRETTY, "always")
    follow(ChangeLines(paper), EVENTS)
    assert "\x1b[32m+ tasks/a \x1b[0m" in paper.read()


def test_documents_are_whole_as_they_come_and_change(paper: Paper) -> None:
    follow(DocumentLines(paper), [ADDED, DocumentChanged("tasks", "a", {"n": 2}, ("done",)), EVENTS[-1]])
    assert paper.read() == '{"_id":"a","n":1,"done":false}\n{"_id":"a","n":2}\n'


def test_the_number_is_told_when_all_is_here_and_whenever_it_changes(paper: Paper) -> None:
    events: list[DocumentEvent] = [
        *(DocumentAdded("tasks", str(number), {}) for number in range(4)),
        DocumentChanged("tasks", "1", {"n": 5}, ()),
        DocumentAdded("others", "1", {}),
        DocumentRemoved("tasks", "3"),
    ]
    follow(CountLines(paper), events, ready_after=3)
    assert paper.read() == "3\n4\n5\n4\n"


def test_tables_of_several_collections_have_their_names(paper: Paper) -> None:
    paper.configure(OutputFormat.TABLE)
    mirror = Mirror()
    TableLines(paper).snapshot(mirror)
    assert paper.read() == ""
    mirror.apply(DocumentAdded("tasks", "a", {"n": 1}))
    TableLines(paper).snapshot(mirror)
    assert paper.read() == "_id  n\n---  -\na    1\n"
    mirror.apply(DocumentAdded("\x1bpeople", "b", {}))
    TableLines(paper).ready(mirror)
    assert paper.read() == "tasks:\n_id  n\n---  -\na    1\n\n\\x1bpeople:\n_id\n---\nb\n"
