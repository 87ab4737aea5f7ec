"""The shell learns names from typed lines and from answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.names import MAX_FIELDS, MAX_NAMES, Names
from ddpshell.shell.registry import Role


@pytest.fixture
def names() -> Names:
    return Names(shell_registry())


def test_names_are_learned_from_lines_the_latest_first(names: Names) -> None:
    names.learn("call a.b 1\nsub tasks {done: true}\nfind --limit 5 items\ncall --no-retry 'c d' | jq .\ncall a.b")
    assert names.of(Role.METHOD) == ["a.b", "c d"]
    assert names.of(Role.PUBLICATION) == ["tasks"]
    assert names.of(Role.COLLECTION) == ["items"]


def test_nothing_is_learned_from_invalid_lines_and_other_words(names: Names) -> None:
    names.learn("call x {a 1}\nzzz y\napply --random-seed x\nset output json")
    assert names.of(Role.METHOD) == []


def test_an_unknown_name_is_forgotten(names: Names) -> None:
    names.learn("call nope")
    names.mark_unknown(Role.METHOD, "nope")
    names.mark_unknown(Role.METHOD, "never known")
    assert names.of(Role.METHOD) == []


def test_an_unknown_name_stays_unknown_for_its_server(tmp_path: Path) -> None:
    """This holds in later sessions as well, until the server knows the name. Other servers may have the name."""
    path = tmp_path / "state" / "unknown-names"
    history = ["call nope", "call upper", "sub nopub", "sub tasks", "find zzz"]

    def session(server: str) -> Names:
        names = Names(shell_registry())
        names.server = lambda: server
        names.use_history(lambda: history, path)
        return names

    first = session("ws://a")
    assert first.of(Role.METHOD) == ["upper", "nope"]
    first.mark_unknown(Role.METHOD, "nope")
    first.mark_unknown(Role.PUBLICATION, "nopub")
    first.mark_unknown(Role.COLLECTION, "zzz")
    first.learn("call nope")
    for names in (first, session("ws://a")):
        assert names.of(Role.METHOD) == ["upper"]
        assert names.of(Role.PUBLICATION) == ["tasks"]
        assert names.of(Role.COLLECTION) == []
        assert names.similar(Role.METHOD, "nop") is None
        assert names.is_unknown_in("call nope 1")
        assert not names.is_unknown_in("call upper nope")
    assert "nope" in session("ws://b").of(Role.METHOD)
    assert path.stat().st_mode & 0o777 == 0o600
    anywhere = session("ws://a")
    anywhere.server = lambda: None
    assert anywhere.of(Role.METHOD) == ["upper"]
    session("ws://a").mark_known(Role.METHOD, "nope")
    assert "nope" in session("ws://a").of(Role.METHOD)


def test_an_unknown_private_name_is_not_recorded(names: Names, tmp_path: Path) -> None:
    names.server = lambda: "ws://a"
    names.use_history(list, tmp_path / "unknown-names")
    names.mark_unknown(Role.METHOD, "secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]\n", '["s", "METHOD"]', '["s", "NOTHING", "x"]', '["s", [], 1]', "\x00"]
)
def test_an_invalid_file_of_unknown_names_is_ignored(names: Names, tmp_path: Path, text: str) -> None:
    path = tmp_path / "unknown-names"
    path.write_text(text)
    names.server = lambda: "s"
    names.use_history(lambda: ["call x"], path)
    assert names.of(Role.METHOD) == ["x"]
    names.mark_unknown(Role.METHOD, "x")
    assert names.of(Role.METHOD) == []


def test_collections_and_fields_are_learned_from_documents(names: Names) -> None:
    names.add_fields("tasks", ["title", "done"])
    names.add_fields("tasks", ["n"])
    names.add_fields("items", ["title", "s"])
    assert names.of(Role.COLLECTION) == ["items", "tasks"]
    assert names.fields("tasks") == ["_id", "title", "done", "n"]
    assert names.fields() == ["_id", "title", "done", "n", "s"]
    assert names.fields("unknown") == []


def test_history_is_read_when_a_name_is_first_needed(names: Names) -> None:
    asked = []

    def history() -> list[str]:
        asked.append(1)
        return ["call old", "call older.than.new"]

    names.use_history(history)
    names.learn("call new")
    assert asked == []
    assert set(names.of(Role.METHOD)) == {"old", "older.than.new", "new"}
    names.of(Role.METHOD)
    assert asked == [1]


def test_similar_finds_another_name(names: Names) -> None:
    names.learn("call tasks.insert\ncall tasks.inser")
    assert names.similar(Role.METHOD, "tasks.inser") == "tasks.insert"
    assert names.similar(Role.METHOD, "zzz") is None


def test_a_server_cannot_fill_the_memory_with_names(names: Names) -> None:
    for number in range(MAX_NAMES + 10):
        names.add_fields(f"c{number}", ["a"])
        names.mark_known(Role.METHOD, f"m{number}")
    names.add_fields("c0", [f"f{number}" for number in range(MAX_FIELDS)])
    names.add_fields("c0", ["one more"])
    assert len(names.of(Role.METHOD)) == MAX_NAMES
    assert len(names.of(Role.COLLECTION)) == MAX_NAMES
    assert "one more" not in names.fields("c0")
    assert names.fields("c1005") == []


def test_history_is_read_once(names: Names) -> None:
    asked: list[int] = []

    def history() -> list[str]:
        asked.append(1)
        return ["call old"]

    names.use_history(history)
    assert asked == [], "nothing is read at the beginning"
    names.load_history()
    assert names.of(Role.METHOD) == ["old"]
    assert asked == [1]
