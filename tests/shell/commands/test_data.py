"""Finding, counting and watching local documents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import LoopbackServer
from tests.meteor import MeteorServer
from tests.shell.desk import Desk, desk


@pytest.fixture
def table() -> Iterator[Desk]:
    with LoopbackServer() as server, desk(server.url) as made:
        made.type("sub tasks")
        yield made


def test_collections_are_listed(table: Desk) -> None:
    assert table.type("collections") == "tasks  3 documents\n"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        pytest.param("find tasks", "abc", id="all documents"),
        pytest.param("find tasks {done: false}", "bc", id="a selector"),
        pytest.param("find tasks {n: {$gt: 1}, title: RegExp('tests$')}", "c", id="operators"),
        pytest.param("find tasks b", "b", id="an id"),
        pytest.param("find tasks --sort -n", "cba", id="from the greatest"),
        pytest.param("find tasks --sort done,-n", "cba", id="by two fields"),
        pytest.param("find tasks --sort {n: -1} --limit 1", "c", id="Mongo's own form"),
        pytest.param("find tasks --skip 1 --limit 1", "b", id="a part"),
    ],
)
def test_documents_are_found(table: Desk, text: str, ids: str) -> None:
    table.type(text)
    found = table.shell.results("$_")
    assert isinstance(found, list)
    assert [document["_id"] for document in found if isinstance(document, dict)] == list(ids)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        pytest.param("title", {"_id", "title"}, id="one field"),
        pytest.param("title,n", {"_id", "title", "n"}, id="two"),
        pytest.param("['title']", {"_id", "title"}, id="an array"),
        pytest.param("{n: 0}", {"_id", "title", "done"}, id="all but one, as Mongo says it"),
        pytest.param("-n", {"_id", "title", "done"}, id="all but one"),
    ],
)
def test_fields_can_be_chosen(table: Desk, fields: str, names: set[str]) -> None:
    table.type(f"find tasks a --fields {fields}")
    found = table.shell.results("$_[0]")
    assert isinstance(found, dict)
    assert set(found) == names


def test_a_table_is_shown(table: Desk) -> None:
    assert table.type("find tasks {n: 1} --table --fields n") == "[2] 1 document\n_id  n\n---  -\na    1\n"


def test_documents_are_counted(table: Desk) -> None:
    assert table.type("count tasks") == "[2] 3\n"
    assert table.type("count tasks {done: true}") == "[3] 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("find task", "there are no documents in task; did you mean tasks?", id="misspelled"),
        pytest.param("count zzz", "there are no documents in zzz; `sub PUBLICATION` brings documents", id="unknown"),
        pytest.param("find tasks {n: {$gtt: 1}}", "$gtt", id="an operator that does not exist"),
        pytest.param("find tasks --sort 5", "error:", id="no sort order"),
    ],
)
def test_an_invalid_query_is_an_error(table: Desk, text: str, message: str) -> None:
    assert message in table.type(text)


def test_changes_of_a_watched_collection_are_shown_once_with_a_number(table: Desk) -> None:
    start = len(table.shown())
    table.type("watch ticks {n: {$gt: 0}}\nsub ticker 20")
    shown = table.screen.wait_for("~ ticks/tick", start)
    assert '[2] watching ticks {"n": {"$gt": 0}}; `unwatch 2` ends it\n' in shown
    assert '[2] + ticks/tick {"n": 1}' in shown
    assert "\n~ ticks" not in shown


def test_a_watch_begins_with_the_present_documents(table: Desk) -> None:
    start = len(table.shown())
    table.type("watch tasks {done: true}")
    table.screen.wait_for('[2] + tasks/a {"title": "write a client", "done": true, "n": 1}', start)


def test_a_watch_is_announced_before_its_documents(table: Desk) -> None:
    table.type("sub tasks")
    for _ in range(20):
        start = len(table.shown())
        table.type("watch tasks {_id: 'a'}")
        table.screen.wait_for("+ tasks/a", start)
        assert table.shown()[start:].index("watching tasks") < table.shown()[start:].index("+ tasks/a")
        table.type("unwatch")


def test_a_watch_can_be_ended(table: Desk) -> None:
    table.type("watch tasks\nwatch items")
    assert "unknown watch 9; the watches are [2] tasks, [3] items" in table.type("unwatch 9")
    assert table.type("unwatch tasks") == "ended the watch of [2] tasks\n"
    assert table.type("unwatch") == "ended the watch of [3] items\n"
    assert "there are no watches" in table.type("unwatch")


def test_changes_of_a_collection_have_a_number_until_its_last_watch_ends(table: Desk) -> None:
    table.type("sub tasks\nwatch tasks\nwatch tasks {_id: 'b'}\nunwatch 3")
    start = len(table.shown())
    table.type("call toggleTask b")
    assert "\n~ tasks" not in table.screen.wait_for("[4] ~ tasks/b", start)
    table.type("unwatch")
    start = len(table.shown())
    table.type("call toggleTask b")
    assert "] ~ tasks" not in table.screen.wait_for("~ tasks/b", start)


def test_a_watch_ends_with_its_server(table: Desk) -> None:
    table.type("watch tasks")
    table.type(f"connect {table.shell.link.url}")
    assert "there are no watches" in table.type("unwatch")


def test_without_documents_a_hint_is_shown() -> None:
    with LoopbackServer() as server, desk(server.url) as made:
        assert made.type("collections") == "no documents yet; `sub PUBLICATION` brings some\n"


def test_found_documents_follow_the_changes_of_a_real_meteor_server(meteor_server: MeteorServer) -> None:
    with desk(meteor_server.url) as made:
        made.type("call reset")
        made.type("sub tasks\nwatch tasks")
        made.type("call insert {_id: 'x', title: 'write', due: Date(\"2026-01-02\")}")
        made.screen.wait_for('+ tasks/x {"title": "write", "due": Date("2026-01-02T00:00:00.000Z")}')
        made.type("call setField x done true")
        made.screen.wait_for('~ tasks/x {"done": true}')
        assert "1 document\n" in made.type("find tasks {due: {$gte: Date('2026-01-01')}, done: true}")
        made.type("call reset")
        made.screen.wait_for("- tasks/x")


def test_documents_are_shown_with_one_field_a_line(table: Desk) -> None:
    shown = "2 documents\n-- 1 --\n_id    b\ntitle  write a server\n-- 2 --\n_id    c\ntitle  write the tests\n"
    assert table.type("find tasks {done: false} --fields title --vertical") == f"[2] {shown}"
    table.type("set output vertical")
    assert table.type("find tasks {done: false} --fields title") == f"[3] {shown}"
    assert table.type("find tasks zzz") == "[4] 0 documents\n"
    assert table.type("call identity {a: 1, b: [Date(0)]}") == (
        '[5] \n-- 1 --\na  1\nb  [Date("1970-01-01T00:00:00.000Z")]\n'
    )
    table.type("set items 1")
    assert table.type("find tasks --fields n") == "[6] 3 documents\n-- 1 --\n_id  a\nn    1\n... 2 more, use `full`\n"
    assert table.type("full").count("-- ") == 3 * 1


def test_the_columns_that_do_not_fit_are_counted(table: Desk) -> None:
    fields = ", ".join(f"f{number}: '{'x' * 30}'" for number in range(12))
    table.type(f"call identity [{{_id: 'abcdefghijklmnopq', {fields}}}]")
    table.type("set output table")
    shown = table.type("echo $_")
    assert "abcdefghijklmnopq" in shown
    assert shown.splitlines()[-1].startswith("... 6 more fields: f6, f7")
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "x" * 30 in table.type("full"), "full does not cut texts"
