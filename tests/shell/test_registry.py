"""Commands are made from typed functions, and words are read as annotations say."""

from __future__ import annotations

from typing import Any

import pytest

from ddpshell.exceptions import CommandError
from ddpshell.shell.parser import parse
from ddpshell.shell.registry import (
    Collection,
    Command,
    Count,
    Fields,
    File,
    Flag,
    Invocation,
    Method,
    Number,
    Registry,
    Role,
    Seconds,
    Selector,
    Text,
    Value,
    command,
)


@command(examples=[("call x 1", "an example")], options={"fast": "be quick"}, is_numbered=True)
def call(shell: Any, method: Method, *params: Value, fast: Flag = False, limit: Count | None = None) -> Any:
    """Call it.

    More about it,
    over lines.
    """
    return shell, method, params, fast, limit


@command(labels={"which": "ONE|TWO"})
def take(
    shell: Any,
    collection: Collection,
    selector: Selector | None = None,
    which: Text = "one",
    *,
    sort: Fields | None = None,
    wait: Seconds | None = None,
    from_file: File | None = None,
) -> Any:
    """Take it."""
    return collection, selector, which, sort, wait, from_file


@command()
def nothing(shell: Any) -> None:
    """Do nothing."""


@command()
def number_(shell: Any, number: Number) -> Any:
    """Number it."""
    return number


@pytest.fixture
def registry() -> Registry:
    return Registry({"One": [call, take], "Two": [number_, nothing]})


def bound(registry: Registry, text: str) -> Invocation:
    [line] = parse(text)
    return registry.bind(line)


def test_a_command_describes_itself() -> None:
    assert (call.name, call.summary, call.is_numbered) == ("call", "Call it.", True)
    assert call.details == "More about it,\nover lines."
    assert call.usage == "call METHOD [VALUE]... [--fast] [--limit N]"
    assert take.usage == "take COLLECTION [SELECTOR] [ONE|TWO] [--sort FIELDS] [--wait S] [--from-file FILE]"
    assert number_.name == "number", "an underscore at the end is removed"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param("call x", ("s", "x", (), False, None), id="no arguments"),
        pytest.param("call x 1 'a' {b: 2}", ("s", "x", (1, "a", {"b": 2}), False, None), id="values"),
        pytest.param("call 5 -1", ("s", "5", (-1,), False, None), id="a number as a name, and a negative one"),
        pytest.param("call 'a b'", ("s", "a b", (), False, None), id="a quoted name"),
        pytest.param("call x --fast 1 --limit 3", ("s", "x", (1,), True, 3), id="options anywhere"),
        pytest.param("call --limit=3 x", ("s", "x", (), False, 3), id="an option with a sign"),
        pytest.param("call x -- --fast", ("s", "x", ("--fast",), False, None), id="the end of options"),
        pytest.param("call x '--fast'", ("s", "x", ("--fast",), False, None), id="a quoted option is text"),
        pytest.param("take t", ("t", None, "one", None, None, None), id="defaults"),
        pytest.param("take t {a: 1} two", ("t", {"a": 1}, "two", None, None, None), id="a selector"),
        pytest.param("take t abc", ("t", "abc", "one", None, None, None), id="an id for a selector"),
        pytest.param("take t --sort -n", ("t", None, "one", "-n", None, None), id="a value with a dash"),
        pytest.param("take t --wait 1.5", ("t", None, "one", None, 1.5, None), id="seconds"),
        pytest.param("take t --from-file ~/x", ("t", None, "one", None, None, "~/x"), id="a file"),
        pytest.param("number 3", 3, id="a number"),
        pytest.param("number [3]", 3, id="a number as it is shown"),
        pytest.param("number $3", 3, id="a number as a variable"),
    ],
)
def test_words_become_arguments(registry: Registry, text: str, result: object) -> None:
    assert bound(registry, text).run("s") == result


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        pytest.param("cal x", "unknown command cal; did you mean call?", 0, id="misspelled"),
        pytest.param("TAKE x", "unknown command TAKE; did you mean take?", 0, id="capitals"),
        pytest.param("zzz", "unknown command zzz; `help` lists all commands", 0, id="unknown"),
        pytest.param("call", "missing METHOD; usage: call METHOD", 4, id="a missing argument"),
        pytest.param("number 1 2", "too many arguments; usage: number NUMBER", 9, id="too many arguments"),
        pytest.param("nothing 1", "nothing does not take arguments", 8, id="an unexpected argument"),
        pytest.param("call x --fats", "unknown option --fats; did you mean --fast?", 7, id="a misspelled option"),
        pytest.param(
            "call x --zzz",
            "unknown option --zzz; the options of call are --fast --limit; after -- it",
            7,
            id="an unknown option",
        ),
        pytest.param(
            "number --zzz",
            "unknown option --zzz; number has no options",
            7,
            id="an option of a command without options",
        ),
        pytest.param("call x --fast=1", "--fast does not take a value", 13, id="a value for a flag"),
        pytest.param("call x --limit", "--limit needs a value: --limit N", 14, id="an option without a value"),
        pytest.param("call x --limit a", "N must be a whole number", 15, id="not a number"),
        pytest.param(
            "take t --wait soon", "soon is not a valid number of seconds", 14, id="seconds that are not a number"
        ),
        pytest.param("take t true", "a selector must be an object", 7, id="a constant for a selector"),
        pytest.param("take t null", "a selector must be an object", 7, id="null for a selector"),
        pytest.param("take t --wait true", "true is not a valid number of seconds", 14, id="a constant for seconds"),
        pytest.param("take t --wait -1", "-1 is not a valid number of seconds", 14, id="negative seconds"),
        pytest.param(
            "take t [1]", "a selector must be an object, such as {done: false}, or an id", 7, id="not a selector"
        ),
        pytest.param(
            "number x", "NUMBER must be the number of a command, such as 3", 7, id="not the number of a command"
        ),
        pytest.param("call x {a 1}", "expected ':' after the key", 10, id="an invalid literal"),
    ],
)
def test_an_invalid_argument_has_its_column(registry: Registry, text: str, message: str, column: int) -> None:
    with pytest.raises(CommandError) as caught:
        bound(registry, text)
    assert message in str(caught.value)
    assert caught.value.position == column


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param("call x @a 2", ("s", "x", ("in a", 2), False, None), id="a value"),
        pytest.param("take t @a", ("t", "in a", "one", None, None, None), id="a selector"),
        pytest.param("take t --sort @a", ("t", None, "one", "in a", None, None), id="fields"),
        pytest.param("take t x @a", ("t", "x", "@a", None, None, None), id="text that resembles a file"),
        pytest.param("call @a", ("s", "@a", (), False, None), id="a name that resembles a file"),
    ],
)
def test_values_are_read_from_files(registry: Registry, text: str, result: object) -> None:
    [line] = parse(text)
    assert registry.bind(line, lambda name: f"in {name}").run("s") == result
    assert registry.bind(line).command is not None, "a line can be bound without reading the file"


@pytest.mark.parametrize(
    ("position", "column"), [pytest.param(None, 7, id="the line"), pytest.param(3, 3, id="the file")]
)
def test_an_error_in_a_file_has_its_place(registry: Registry, position: int | None, column: int) -> None:
    def read_file(name: str) -> None:
        raise CommandError("no", "of the file" if position else "", position)

    [line] = parse("call x @a")
    with pytest.raises(CommandError) as caught:
        registry.bind(line, read_file)
    assert caught.value.position == column
    assert caught.value.text == ("of the file" if position else "call x @a")


def test_a_selector_is_read_from_a_file(registry: Registry) -> None:
    [line] = parse("take t @a")
    with pytest.raises(CommandError, match="a selector must be an object"):
        registry.bind(line, lambda _: [1])


@pytest.mark.parametrize("text", ["call x -", "take t -"])
def test_standard_input_is_not_available(registry: Registry, text: str) -> None:
    with pytest.raises(CommandError, match="does not read standard input; @FILE reads a file, and '-' is the text -"):
        bound(registry, text)
    assert bound(registry, "call x '-'").positional == ("x", "-")


def test_an_unknown_command_is_reported_before_its_arguments(registry: Registry) -> None:
    with pytest.raises(CommandError, match="unknown command zzz"):
        bound(registry, "zzz {a 1}")


def test_each_argument_has_a_parameter() -> None:
    def role(found: Command, index: int) -> Role | None:
        parameter = found.argument(index)
        return None if parameter is None else parameter.role

    assert [role(call, index) for index in range(3)] == [Role.METHOD, Role.VALUE, Role.VALUE]
    assert [role(number_, index) for index in range(2)] == [Role.NUMBER, None]
    assert call.option("--limit") is not None
    assert call.option("--no") is None


def test_a_unique_prefix_is_suggested(registry: Registry) -> None:
    with pytest.raises(CommandError, match=r"did you mean number\?"):
        registry.named("num")
    assert [found.name for found in registry] == ["call", "take", "number", "nothing"]
