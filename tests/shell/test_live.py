from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ddpshell import Client
from ddpshell.ejson import ObjectID
from ddpshell.protocol.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ddpshell.shell.live import LiveTable, observe_all
from ddpshell.text.palette import StyledText, plain
from ddpshell.text.prose import cell_width
from tests.loopback import PATIENCE, LoopbackServer


class Scene:
    """A table in a window, with a clock that the test moves."""

    def __init__(self, width: int = 60, height: int = 8) -> None:
        self.now = 100.0
        self.table = LiveTable(lambda: self.now)
        self.width, self.height = width, height

    def put(self, *events: DocumentEvent) -> None:
        for event in events:
            self.table.put(event)
        while self.table.work(1):
            pass

    def add(self, *names: str, collection: str = "tasks", **fields: Any) -> None:
        self.put(*(DocumentAdded(collection, name, {"title": f"do {name}", **fields}) for name in names))

    def change(self, name: str, *, cleared: tuple[str, ...] = (), **fields: Any) -> None:
        self.put(DocumentChanged("tasks", name, fields, cleared))

    def filter(self, text: str) -> None:
        self.table.set_filter(text)
        self.put()

    def lines(self) -> list[StyledText]:
        return self.table.body(self.width, self.height)

    def rows(self) -> list[str]:
        return [plain(line).rstrip() for line in self.lines()]

    def ids(self) -> list[str]:
        return [row.split()[0] for row in self.rows()[1:]]

    def selected(self) -> str:
        [row] = [plain(line) for line in self.lines()[1:] if line[0][0].startswith("live.selected")]
        return row.split()[0]

    def lit(self) -> list[str]:
        return [text.strip() for line in self.lines() for style, text in line if style.endswith(".lit")]

    def title(self) -> str:
        return plain(self.table.title("tasks", self.width)).rstrip()


@pytest.fixture
def scene() -> Scene:
    return Scene()


# --------------------------------------------------------------------------------------------------------------- rows


def test_documents_are_rows_that_change_in_place(scene: Scene) -> None:
    scene.add("a", "b")
    scene.put(DocumentAdded("tasks", "c", {"title": "other", "n": 5}))
    assert scene.rows() == [
        "_id  title  n",
        "a    do a",
        "b    do b",
        "c    other  5",
    ]
    scene.change("b", title="new", n=10)
    scene.change("c", cleared=("title",))
    scene.put(DocumentRemoved("tasks", "a"))
    assert scene.rows() == ["_id  title  n", "b    new    10", "c            5"]


def test_changes_of_documents_that_are_not_there_are_ignored(scene: Scene) -> None:
    scene.change("a", n=1)
    scene.put(DocumentRemoved("tasks", "a"), DocumentMoved("tasks", "a", None))
    assert scene.rows() == ["_id"]


def test_rows_have_the_order_of_the_server(scene: Scene) -> None:
    """C46."""
    scene.add("a", "b", "c")
    scene.put(DocumentMoved("tasks", "c", "a"))
    assert scene.ids() == ["c", "a", "b"]
    scene.add("d")
    scene.put(DocumentMoved("tasks", "c", None))
    assert scene.ids() == ["a", "b", "d", "c"]


def test_a_changed_cell_is_lit_for_a_second(scene: Scene) -> None:
    scene.add("a", "b", n=1)
    assert scene.lit() == ["a", "do a", "1", "b", "do b", "1"]
    scene.now += 1
    assert scene.lit() == []
    scene.change("b", n=2)
    scene.now += 0.9
    assert scene.lit() == ["2"]
    assert scene.table.next_change() == pytest.approx(0.1)
    scene.now += 0.1
    assert scene.lit() == []
    scene.change("b", cleared=("n",))
    assert scene.lit() == [""]


def test_cells_look_like_those_of_other_tables(scene: Scene) -> None:
    scene.add("a", due=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), code="5")
    assert scene.rows()[1] == 'a    do a   2026-01-02 03:04:05Z  "5"'


def test_text_of_the_server_is_escaped_and_strings_differ_from_other_values(scene: Scene) -> None:
    scene.put(
        DocumentAdded(
            "x\x1b[2J", ObjectID("507f1f77bcf86cd799439011"), {"\x9bkey": "a\x1b[31m", "text": "true", "real": True, "list": [1, {}]}
        )
    )  # fmt: skip
    scene.width = 200
    shown = "\n".join([scene.title(), *scene.rows()])
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert scene.rows()[1].split("  ") == [
        'ObjectID("507f1f77bcf86cd799439011")', r'"a\x1b[31m"', '"true"', "true", "[1, {}]"
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- the window


@pytest.mark.parametrize("width", [1, 5, 12, 20, 40, 80])
@pytest.mark.parametrize("height", [1, 2, 5, 30])
def test_the_table_fits_every_window(width: int, height: int) -> None:
    scene = Scene(width, height)
    fields: dict[str, Any] = {f"f{index}": index for index in range(10)}
    scene.add(*"abcdefghij", wide="漢字" * 30, n=12345, more=[1, 2, 3], **fields)
    for _ in range(3):
        lines = scene.lines()
        assert len(lines) <= height
        assert all(cell_width(plain(line)) <= width for line in lines)
        assert cell_width(plain(scene.table.title("tasks", width))) <= width
        scene.table.move(4)
    scene.table.open()
    lines = scene.lines()
    assert len(lines) <= height
    # A wide character does not fit into a window of one column.
    assert all(cell_width(plain(line)) <= max(2, width) for line in lines)


def test_columns_that_do_not_fit_are_counted_and_can_be_scrolled_to_while_the_id_stays(scene: Scene) -> None:
    scene.add("a", **{f"field{index}": f"value {index}" for index in range(10)})
    assert scene.rows()[0].endswith(" +5 fields")
    assert "value 9" not in scene.rows()[1]
    scene.table.move_columns(100)
    assert scene.rows()[0].split()[:2] == ["_id", "field9"]
    assert scene.rows()[1].split("  ")[0] == "a"
    scene.table.move_columns(-100)
    assert scene.rows()[0].split()[1] == "title"


def test_columns_do_not_become_narrower(scene: Scene) -> None:
    scene.add("a", note="a long text in a cell")
    heading = scene.rows()[0]
    scene.change("a", note="x", n=1)
    assert scene.rows()[0].startswith(heading)


def test_the_selected_row_stays_visible_and_selected_while_others_come_and_go(scene: Scene) -> None:
    scene.add(*[f"d{index:02}" for index in range(50)])
    scene.table.move(20)
    assert scene.selected() == "d20"
    scene.put(*(DocumentRemoved("tasks", f"d{index:02}") for index in range(10)))
    assert scene.selected() == "d20"
    assert "d20" in scene.ids()
    scene.put(DocumentRemoved("tasks", "d20"))
    # The next row is selected.
    assert scene.selected() == "d21"
    scene.table.move_to_end(last=True)
    assert scene.selected() == scene.ids()[-1] == "d49"
    scene.table.move_page(-1)
    assert scene.selected() == "d43"
    scene.table.move_to_end(last=False)
    assert scene.selected() == "d00" if "d00" in scene.ids() else scene.selected() == "d10"
    scene.put(*(DocumentRemoved("tasks", f"d{index:02}") for index in range(50)))
    assert scene.ids() == []


def test_a_higher_window_shows_more_rows_also_at_the_end(scene: Scene) -> None:
    scene.add(*[f"d{index:02}" for index in range(20)])
    scene.table.move_to_end(last=True)
    assert len(scene.ids()) == 7
    scene.height = 15
    assert scene.ids() == [f"d{index:02}" for index in range(6, 20)]


# -------------------------------------------------------------------------------------------------------------- filter


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", ["a", "b", "c"]),
        ("DO B", ["b"]),
        ("urgent", ["c"]),
        ("{n: {$gt: 1}}", ["b", "c"]),
        ('{title: "do a"}', ["a"]),
        ("nothing", []),
    ],
)
def test_a_filter_is_text_or_a_selector(scene: Scene, text: str, ids: list[str]) -> None:
    scene.add("a", n=1)
    scene.add("b", n=2)
    scene.add("c", n=3, tags=["urgent"])
    scene.filter(text)
    assert scene.ids() == ids
    assert scene.table.problem == ""


def test_a_filter_is_kept_while_documents_change(scene: Scene) -> None:
    scene.filter("{n: 1}")
    scene.add("a", n=1)
    scene.add("b", n=2)
    assert scene.ids() == ["a"]
    assert len(scene.table.matching) == 1
    scene.change("b", n=1)
    scene.change("a", n=2)
    assert scene.ids() == ["b"]
    scene.filter("")
    assert scene.ids() == ["a", "b"]


@pytest.mark.parametrize("text", ["{n: ", "{$what: 1}", "{n: {$gt: }}"])
def test_an_invalid_selector_is_reported_and_the_earlier_filter_stays(scene: Scene, text: str) -> None:
    scene.add("a", n=1)
    scene.add("b", n=2)
    scene.filter("{n: 1}")
    scene.filter(text)
    assert scene.ids() == ["a"]
    assert scene.table.problem


def test_work_is_done_in_portions_so_that_keys_are_answered() -> None:
    scene = Scene()

    def look() -> float:
        # In this test, reading the clock takes a hundredth of a second.
        scene.now += 0.01
        return scene.now

    table = LiveTable(look)
    for index in range(10_000):
        table.put(DocumentAdded("tasks", f"d{index}", {"n": index}))
    assert table.work(0.05)
    loaded = len(table.matching)
    assert 0 < loaded < 1000
    while table.work(0.05):
        pass
    assert len(table.matching) == 10_000
    table.set_filter("{n: {$lt: 5000}}")
    assert table.work(0.05)
    while table.work(0.05):
        pass
    assert len(table.matching) == 5000


# ----------------------------------------------------------------------------------------- a document, and collections


def test_a_document_opens_with_one_field_in_a_line_and_changes_in_place(scene: Scene) -> None:
    scene.add("a", owner={"name": "ann"})
    scene.table.open()
    assert scene.rows() == ['_id: "a"', 'title: "do a"', 'owner: {"name": "ann"}']
    scene.change("a", title="new")
    assert 'title: "new"' in scene.rows()
    scene.put(DocumentRemoved("tasks", "a"))
    # The user scrolls down.
    assert 'title: "new"' in scene.rows()
    scene.table.close()
    assert scene.ids() == []


def test_a_long_document_can_be_scrolled_to_its_end_and_no_further(scene: Scene) -> None:
    scene.add("a", text="x" * 1000)
    scene.table.open()
    scene.table.move(1000)
    assert len(scene.lines()) == scene.height
    scene.table.move(-1000)
    assert scene.rows()[0] == '_id: "a"'


def test_no_document_opens_in_an_empty_table(scene: Scene) -> None:
    scene.table.open()
    assert not scene.table.is_open


def test_several_collections_are_shown_one_after_the_other(scene: Scene) -> None:
    scene.width = 80
    scene.add("a")
    scene.add("u", collection="users")
    assert scene.title() == "tasks · [tasks]: 1 document · users: 1 document · 2 changes/s"
    assert scene.ids() == ["a"]
    scene.filter("do")
    scene.table.next_collection()
    scene.put()
    assert scene.ids() == ["u"]
    scene.table.next_collection()
    scene.put()
    assert scene.ids() == ["a"]


def test_the_title_shows_the_rate_of_changes_in_the_last_second(scene: Scene) -> None:
    assert scene.title() == "tasks · no documents"
    scene.add("a", "b", "c")
    assert scene.title() == "tasks · tasks: 3 documents · 3 changes/s"
    scene.now += 1.1
    assert scene.title() == "tasks · tasks: 3 documents"


# ---------------------------------------------------------------------------------------------------------- the source


def test_present_and_new_documents_of_all_collections_are_observed() -> None:
    with LoopbackServer() as server, Client(server.url) as client:
        client.subscribe("tasks").ready.result(PATIENCE)
        events: list[DocumentEvent] = []
        stop = observe_all(client, events.append)
        client.subscribe("items", 2).ready.result(PATIENCE)
        client.call("setTask", "a", {"n": 7}).result(PATIENCE)
        # The pong arrives after all earlier events.
        client.ping().result(PATIENCE)
        stop()
        client.call("setTask", "a", {"n": 8}).result(PATIENCE)
    found = [(type(event).__name__, event.collection, event.id) for event in events]
    assert found.count(("DocumentAdded", "items", "id1")) == 1
    assert found[:3] == [("DocumentAdded", "tasks", name) for name in "abc"]
    assert found[-1] == ("DocumentChanged", "tasks", "a")


def test_only_the_collections_that_were_asked_for_are_observed() -> None:
    with LoopbackServer() as server, Client(server.url) as client:
        events: list[DocumentEvent] = []
        observe_all(client, events.append, ["items"])
        client.subscribe("tasks").ready.result(PATIENCE)
        client.subscribe("items", 2).ready.result(PATIENCE)
        client.ping().result(PATIENCE)
    assert {event.collection for event in events} == {"items"}
