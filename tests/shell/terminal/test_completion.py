"""Completions and suggestions for incomplete lines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory

from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.jobs import Results
from ddpshell.shell.names import Names
from ddpshell.shell.replies import Result
from ddpshell.shell.terminal.completion import LineCompleter, LineSuggester, suggestions
from tests.text.test_tokens import lines

REGISTRY = shell_registry()


def known_names() -> Names:
    names = Names(REGISTRY)
    names.learn("call tasks.insert\ncall tasks.update\ncall upper\nsub taskList\nsub 'odd name'")
    names.add_fields("tasks", ["title", "done", "total", "a b"])
    names.add_fields("items", ["sum"])
    return names


NAMES = known_names()


RESULTS = Results()
RESULTS.keep(2, Result({"title": "x", "tags": ["a", {"deep": 1}], "a b": 1, "$odd": 2}))
RESULTS.keep(1, Result([{"_id": "a"}, {"_id": "b"}]))
RESULTS.name("who", {"name": "ann"})


def CHOICES(label: str) -> list[str]:  # noqa: N802 - a constant
    return {"USER": ["ann", "bob", "a b"], "URL|PROFILE": ["prod", "play"]}.get(label, [])


def offered(text: str) -> list[str]:
    """The last word with each suggestion."""
    return [
        text[max(text.rfind(" ", 0, suggestion.start), text.rfind("\n")) + 1 : suggestion.start] + suggestion.text
        for suggestion in suggestions(text, REGISTRY, NAMES, lambda: ["$_", "$2", "$1"], RESULTS, CHOICES)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("re", ["reconnect", "record"], id="a command"),
        pytest.param("wa", ["wait", "watch"], id="commands"),
        pytest.param("status\nwhoa", ["whoami"], id="a command on the next line"),
        pytest.param("call ta", ["tasks.update", "tasks.insert"], id="methods, the latest first"),
        pytest.param("call TA", ["tasks.update", "tasks.insert"], id="in upper or lower case"),
        pytest.param("sub ", ['"odd name"', "taskList"], id="publications, with quotes if necessary"),
        pytest.param("sub ta", ["taskList"], id="a publication"),
        pytest.param("find ", ["items", "tasks"], id="collections"),
        pytest.param("find tasks --s", ["--sort", "--skip"], id="options"),
        pytest.param("find tasks --sort n --s", ["--skip"], id="options that are not given yet"),
        pytest.param("find tasks --sort t", ["title", "total"], id="fields of the collection"),
        pytest.param("find tasks --sort -t", ["-title", "-total"], id="fields after a sign"),
        pytest.param("find tasks --fields title,d", ["title,done"], id="fields after a comma"),
        pytest.param("find tasks --fields=title,d", ["--fields=title,done"], id="fields after an equals sign"),
        pytest.param("find --sort done ta", ["tasks"], id="an argument after an option"),
        pytest.param("call -- up", ["upper"], id="an argument after two dashes"),
        pytest.param("find tasks -- --li", [], id="no option after two dashes"),
        pytest.param("find items --sort t", [], id="no fields of another collection"),
        pytest.param("find tasks {t", ["{title: ", "{total: "], id="keys of a selector"),
        pytest.param("find tasks {title: 'x', d", ["done: "], id="keys after a comma"),
        pytest.param("find tasks {a", ['{"a b": '], id="a key that needs quotes"),
        pytest.param("find tasks {n: {$g", ["{$gt: ", "{$gte: "], id="operators"),
        pytest.param("find tasks {done: t", ["true"], id="a constant"),
        pytest.param("call upper Da", ["Date("], id="a constructor"),
        pytest.param("call upper [1, Ob", ["ObjectID(", "ObjectId("], id="a constructor in an array"),
        pytest.param("call upper $", ["$_", "$2", "$1"], id="results"),
        pytest.param("call upper {a: $", ["$_", "$2", "$1"], id="results in an object"),
        pytest.param("call upper $2.", ["$2.title", "$2.tags", "$2.$odd"], id="the fields of a result"),
        pytest.param("call upper $2.t", ["$2.title", "$2.tags"], id="the fields with a prefix"),
        pytest.param("call upper $2.tags[", ["$2.tags[0]", "$2.tags[1]"], id="the items of an array"),
        pytest.param("call upper $1.", ["$1[0]", "$1[1]"], id="items after a dot"),
        pytest.param("call upper $2.tags[1].d", ["$2.tags[1].deep"], id="a field in an item"),
        pytest.param("call upper [1, $2.tags[1].d", ["$2.tags[1].deep"], id="a result in brackets"),
        pytest.param("call upper {a: $who.", ["$who.name"], id="a named result"),
        pytest.param("echo $2.title.", [], id="a string has no parts"),
        pytest.param("echo $7.", [], id="no result"),
        pytest.param("echo $2.nope.", [], id="an unknown part"),
        pytest.param(
            "find tasks {", ["{_id: ", "{title: ", "{done: ", "{total: ", '{"a b": '], id="fields in a selector"
        ),
        pytest.param("find tasks {$", ["{$and: ", "{$or: ", "{$nor: "], id="operators next to fields"),
        pytest.param("find tasks {$or: [{t", ["[{title: ", "[{total: "], id="fields in a selector in a selector"),
        pytest.param("find tasks {n: {$g", ["{$gt: ", "{$gte: "], id="operators of a field"),
        pytest.param("find tasks {n: {$gt: 1, $l", ["$lt: ", "$lte: "], id="operators after another one"),
        pytest.param("find tasks {n: {$a", ["{$all: "], id="no $and in a field"),
        pytest.param("call f {n: {$a", ["{$all: ", "{$and: "], id="all operators in an argument"),
        pytest.param("login ", ["ann", "bob", '"a b"'], id="saved users"),
        pytest.param("login a", ["ann", '"a b"'], id="saved users with a prefix"),
        pytest.param("connect p", ["prod", "play"], id="servers with names"),
        pytest.param("help k", ["keys"], id="a topic of the help"),
        pytest.param("call upper 'tr", [], id="nothing in a string"),
        pytest.param("call upper ", [], id="nothing for an empty argument"),
        pytest.param("help fi", ["find"], id="help about a command"),
        pytest.param("set me", ["menu"], id="a setting"),
        pytest.param("set output ta", ["table"], id="the values of a setting, not of another one"),
        pytest.param("set timing ", ["on", "off", "full"], id="all values of a setting"),
        pytest.param("set burst ", [], id="the value is a number"),
        pytest.param("set --save menu t", ["tab", "typing"], id="a setting after an option"),
        pytest.param("set nothing t", [], id="an unknown setting"),
        pytest.param("debug ", ["on", "off"], id="a switch"),
        pytest.param("debug on no", ["nosub"], id="types of messages"),
        pytest.param("find tasks | j", [], id="no programs"),
        pytest.param("status; whoa", ["whoami"], id="a command after a semicolon"),
        pytest.param("status --h", ["--help"], id="the help of a command"),
        pytest.param("zzz a", [], id="an unknown command"),
        pytest.param("# re", [], id="comments"),
    ],
)
def test_a_line_has_suggestions(text: str, expected: list[str]) -> None:
    assert offered(text) == expected


def test_in_the_braces_of_a_field_all_operators_are_offered() -> None:
    found = offered("find tasks {n: {")
    assert found[:3] == ["{$gt: ", "{$gte: ", "{$lt: "]
    assert "{$and: " not in found
    assert "{title: " not in found
    assert len(found) > 10


def test_files_are_suggested(tmp_path: Path) -> None:
    for name in ("one.ddp", "one two", ".hidden", "other"):
        (tmp_path / name).touch()
    (tmp_path / "onefolder").mkdir()
    assert offered(f"source {tmp_path}/on") == [
        f'"{tmp_path}/one two"', f"{tmp_path}/one.ddp", f"{tmp_path}/onefolder/"
    ]  # fmt: skip
    assert offered(f"find t > {tmp_path}/oth") == [f"{tmp_path}/other"]
    assert offered(f"source {tmp_path}/nofolder/x") == []
    for argument in ("call upper @", "find tasks @", "find tasks --sort @"):
        assert offered(f"{argument}{tmp_path}/on") == [
            f'@"{tmp_path}/one two"', f"@{tmp_path}/one.ddp", f"@{tmp_path}/onefolder/"
        ]  # fmt: skip
    assert offered(f"call upper @@{tmp_path}/on") == []
    assert offered(f"call upper @'{tmp_path}/on") == []


def test_the_prompt_shows_completions_with_descriptions() -> None:
    completer = LineCompleter(partial(suggestions, registry=REGISTRY, names=NAMES))
    [found] = completer.get_completions(Document("find tasks --so"), CompleteEvent(completion_requested=True))
    assert (found.text, found.start_position) == ("--sort", -4)
    assert "- for descending" in found.display_meta_text


def test_while_the_user_types_an_empty_word_is_not_completed() -> None:
    completer = LineCompleter(partial(suggestions, registry=REGISTRY, names=NAMES))
    assert list(completer.get_completions(Document("call "), CompleteEvent(text_inserted=True))) == []
    assert len(list(completer.get_completions(Document("call "), CompleteEvent(completion_requested=True)))) == 3


def test_names_from_a_server_are_escaped() -> None:
    names = Names(REGISTRY)
    names.add_fields("c\x1b[2J", ["f"])
    completer = LineCompleter(partial(suggestions, registry=REGISTRY, names=names))
    [found] = completer.get_completions(Document("find c"), CompleteEvent(completion_requested=True))
    assert found.text == r'"c\x1b[2J"'
    assert "\x1b" not in found.display_text


@given(lines() | st.text("cal find{}[]\"'|>#-$1:,. \n", max_size=40))
def test_any_text_can_be_completed(text: str) -> None:
    for suggestion in suggestions(text, REGISTRY, NAMES, lambda: ["$_"]):
        assert 0 <= suggestion.start <= len(text)


def test_a_file_with_control_characters_in_its_name_is_not_suggested(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J").touch()
    (tmp_path / "ab").touch()
    assert offered(f"source {tmp_path}/a") == [f"{tmp_path}/ab"]


def test_the_number_of_suggestions_is_limited() -> None:
    names = Names(REGISTRY)
    names.add_fields("t", [f"f{number}" for number in range(190)])
    for number in range(300):
        names.add_fields(f"c{number}", ["x"])
    assert len(suggestions("find ", REGISTRY, names)) == 200


@pytest.mark.parametrize(
    ("text", "end"),
    [
        pytest.param("call up", "per 'b'", id="the latest line with this start"),
        pytest.param("call upper 'a", "'", id="an older line"),
        pytest.param("whoa", "mi", id="the only possible command"),
        pytest.param("find tasks --ta", "ble", id="the only possible option"),
        pytest.param("w", None, id="several commands"),
        pytest.param("call upper 'b'", None, id="a complete line"),
        pytest.param("call zzz", None, id="an unknown name"),
        pytest.param("", None, id="an empty line"),
        pytest.param("  ", None, id="space"),
    ],
)
def test_the_end_of_a_line_is_suggested(text: str, end: str | None) -> None:
    history = InMemoryHistory()
    for line in ("call upper 'a'", "call upper 'b'"):
        history.append_string(line)
    names = Names(REGISTRY)
    suggest = LineSuggester(partial(suggestions, registry=REGISTRY, names=names), names)
    found = suggest.get_suggestion(Buffer(history=history), Document(text))
    assert (found.text if found else None) == end
