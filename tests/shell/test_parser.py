"""Lines are parsed into words, values, redirections and problems."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import EJSONValue
from ddpshell.exceptions import CommandError
from ddpshell.shell.parser import is_private, parse
from ddpshell.text.formatting import format_value
from tests.strategies import ejson_values, texts
from tests.text.test_tokens import lines as token_lines


def words(text: str) -> list[list[EJSONValue]]:
    """The values of all words, line by line. Fails if a line has a problem."""
    found = parse(text)
    assert [line.problem for line in found] == [None] * len(found)
    return [[word.value for word in line.words] for line in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="an empty text"),
        pytest.param("  \n\t\n", [], id="space"),
        pytest.param("status", [["status"]], id="a name"),
        pytest.param('call upper "Hello"', [["call", "upper", "Hello"]], id="a string"),
        pytest.param("call add 1 -2 1e3", [["call", "add", 1, -2, 1000.0]], id="numbers"),
        pytest.param("call f true null Infinity", [["call", "f", True, None, float("inf")]], id="constants"),
        pytest.param("call f {a: [1, 'b c']} d", [["call", "f", {"a": [1, "b c"]}, "d"]], id="spaces in literals"),
        pytest.param(
            "call f {a: 1,\n  b: 2}\nstatus", [["call", "f", {"a": 1, "b": 2}], ["status"]], id="a literal on two lines"
        ),
        pytest.param("call f \\\n  5", [["call", "f", 5]], id="a continued line"),
        pytest.param("call f c:\\x\\y", [["call", "f", "c:\\x\\y"]], id="backslashes inside a word"),
        pytest.param("# one\n  # two\nstatus", [["status"]], id="comments"),
        pytest.param("call f a#b", [["call", "f", "a#b"]], id="no comment within a word"),
        pytest.param("call f http://x/y?z=1", [["call", "f", "http://x/y?z=1"]], id="an address"),
        pytest.param("call f don't", [["call", "f", "don't"]], id="a quote within a word"),
        pytest.param("find t --sort n", [["find", "t", "--sort", "n"]], id="options"),
        pytest.param("a\nb\n\nc", [["a"], ["b"], ["c"]], id="lines"),
        pytest.param("call f a; status;", [["call", "f", "a"], ["status"]], id="a semicolon after a word"),
        pytest.param("call f {a: 1}; status ;; ping", [["call", "f", {"a": 1}], ["status"], ["ping"]], id="semicolons"),
        pytest.param("call f a;b ';' ;status", [["call", "f", "a;b", ";"], ["status"]], id="a semicolon inside a word"),
        pytest.param("find t > out; count t", [["find", "t"], ["count", "t"]], id="a semicolon after a file"),
        pytest.param("find t | jq .; count t", [["find", "t"]], id="a semicolon for the system's shell"),
        pytest.param(
            "call f new Date(0) new", [["call", "f", datetime(1970, 1, 1, tzinfo=UTC), "new"]], id="JavaScript's new"
        ),
        pytest.param("call f /x/i /tmp /a\\/", [["call", "f", "/x/i", "/tmp", "/a\\/"]], id="paths"),
        pytest.param(
            "find t {a: /b c}/i}", [["find", "t", {"a": ejson.RegExp("b c}", "i")}]], id="a regular expression"
        ),
        pytest.param("x = call f; y=[1]", [["call", "f"], ["echo", [1]]], id="assignments"),
        pytest.param("! ls | wc; echo {\nstatus", [["!", "ls | wc; echo {"], ["status"]], id="a program"),
    ],
)
def test_words_have_values(text: str, expected: list[list[EJSONValue]]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "operator", "target"),
    [
        pytest.param("find tasks | jq .title", "|", "jq .title", id="a program"),
        pytest.param("find tasks |jq .", "|", "jq .", id="a program without a space"),
        pytest.param(
            "find t | jq . | sort > f '|'", "|", "jq . | sort > f '|'", id="the rest is for the system's shell"
        ),
        pytest.param("find tasks > out.txt", ">", "out.txt", id="a file"),
        pytest.param("find tasks >out.txt  ", ">", "out.txt", id="a file without space"),
        pytest.param('find tasks >> "a b.txt"', ">>", "a b.txt", id="a name with a space"),
    ],
)
def test_output_can_be_redirected(text: str, operator: str, target: str) -> None:
    [line] = parse(text)
    assert line.problem is None
    assert line.redirection is not None
    assert (line.redirection.operator, line.redirection.target) == (operator, target)
    assert text[line.redirection.target_start :].startswith(target) or operator == ">>"


def test_operators_in_literals_are_text() -> None:
    assert words("""call f "a | b" {x: '> y'}""") == [["call", "f", "a | b", {"x": "> y"}]]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        pytest.param("call a|b", "put a space before |, or", 6, id="a pipe without space"),
        pytest.param("call f x->y", "put a space before >, or", 9, id="a file without space"),
        pytest.param("find t |", "missing program", 8, id="a missing program"),
        pytest.param("find t > ", "missing file name", 9, id="a missing file"),
        pytest.param("find t > a b", "unexpected text after the file name", 11, id="two files"),
        pytest.param("call f {a 1}", "expected ':' after the key, not 1", 10, id="an invalid literal"),
        pytest.param('call f "a"b', "missing space", 10, id="a word after a value"),
        pytest.param('call f Date("x")', "is not a valid date", 12, id="an invalid constructor"),
        pytest.param('call f "a\nstatus', "unterminated string", 7, id="a string ends with its line"),
        pytest.param("| jq .", "put a space before |, or", 0, id="a pipe without a command"),
    ],
)
def test_a_problem_has_its_column(text: str, message: str, column: int) -> None:
    problem = parse(text)[0].problem
    assert problem is not None
    assert message in str(problem)
    assert problem.position == column
    assert problem.text == text


def test_variables_are_read_in_words_and_literals() -> None:
    def known(name: str) -> EJSONValue:
        if name == "$9":
            raise CommandError("there is no $9")
        return [name]

    [line] = parse("call f $1 {a: $_.b} $1x", known)
    assert [word.value for word in line.words] == ["call", "f", ["$1"], {"a": ["$_.b"]}, "$1x"]
    problem = parse("call f {a: $9}", known)[0].problem
    assert problem is not None
    assert (str(problem), problem.position) == ("there is no $9", 11)


@pytest.mark.parametrize("text", ["call f {a: ", "call f [1, // x\n", "call f 'x  "])
def test_a_word_that_is_open_ends_with_the_text(text: str) -> None:
    assert parse(text)[0].words[-1].end == len(text)


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        pytest.param("call f /* one */ {a: 1}", {"a": 1}, None, id="before a space"),
        pytest.param("call f /**/{a: 1}", {"a": 1}, None, id="before an object"),
        pytest.param("call f /**/Date(0)", datetime(1970, 1, 1, tzinfo=UTC), None, id="before a constructor"),
        pytest.param("call f /**/{{", None, "expected a key, not {", id="before an invalid literal"),
        pytest.param("call f /tasks/*/{", "/tasks/*/{", None, id="not inside a word"),
        pytest.param("call f /*path*/x", "/*path*/x", None, id="as a part of a word"),
    ],
)
def test_a_comment_before_a_literal_is_skipped(text: str, value: EJSONValue, problem: str | None) -> None:
    [line] = parse(text)
    assert line.words[2].value == value
    assert (None if line.problem is None else str(line.problem)) == problem


def test_trailing_space_does_not_belong_to_a_program() -> None:
    redirection = parse("find t | jq .  \nstatus")[0].redirection
    assert redirection is not None
    assert redirection.target == "jq ."


def test_only_the_invalid_line_has_a_problem() -> None:
    problem = parse("status\ncall f {a: 1,\n b 2}\nstatus")[1].problem
    assert problem is not None
    assert problem.place == (" b ", "2}")


@pytest.mark.parametrize(
    ("text", "file", "value"),
    [
        pytest.param("@a.json", "a.json", None, id="a file"),
        pytest.param("@~/a/b.json", "~/a/b.json", None, id="a path"),
        pytest.param("@'my file'", "my file", None, id="a name in quotes"),
        pytest.param('@"a\\"b"', 'a"b', None, id="quotes in a name"),
        pytest.param("@", "", None, id="no name yet"),
        pytest.param("@@x", None, "@x", id="the text of a file"),
        pytest.param("@@", None, "@", id="the sign itself"),
        pytest.param("@@@x", None, "@@x", id="two signs"),
        pytest.param("a@x", None, "a@x", id="within a word"),
        pytest.param("'@x'", None, "@x", id="in quotes"),
    ],
)
def test_an_argument_can_name_a_file(text: str, file: str | None, value: object) -> None:
    [line] = parse(f"call f {text} last")
    assert line.problem is None
    assert (line.words[2].text, line.words[2].file, line.words[2].value) == (text, file, value)
    assert line.words[3].text == "last"


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        pytest.param("call f @'x", "unterminated string: missing '", 8, id="no end"),
        pytest.param("call f @'x'y z", "missing space after the file name", 11, id="no space"),
        pytest.param("call f @a|b", "put a space before |, or", 9, id="a pipe"),
    ],
)
def test_an_invalid_file_name_has_its_column(text: str, message: str, column: int) -> None:
    problem = parse(text)[0].problem
    assert problem is not None
    assert message in problem.message
    assert problem.position == column


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        pytest.param("call f {a: 1}}", "extra } after the value", 13, id="a brace"),
        pytest.param("call f [1]]] 2", "extra ]] after the value", 10, id="brackets"),
        pytest.param("call f Date(0))", "extra ) after the value", 14, id="a parenthesis"),
        pytest.param("call f $1}", "extra } after the value", 9, id="after a variable"),
        pytest.param("call f [1}", "} does not close the [", 9, id="the wrong bracket"),
        pytest.param('call f "a""', 'extra " after the value', 10, id="a quote"),
        pytest.param("call f {a: 1}, 2", "extra comma: separate values by spaces", 13, id="a comma"),
        pytest.param("call f {a: 1}{b: 2}", "missing space after the value", 13, id="two values"),
        pytest.param("call f [1]x", "missing space after the value", 10, id="a word"),
    ],
)
def test_text_after_a_value_is_a_problem(text: str, message: str, column: int) -> None:
    problem = parse(text)[0].problem
    assert problem is not None
    assert message in problem.message
    assert problem.position == column


@given(ejson_values())
def test_a_shown_value_can_be_typed(value: EJSONValue) -> None:
    for width in (20, 80):
        [line] = parse(f"call f {format_value(value, width=width)} x")
        assert line.problem is None
        assert ejson.equals(line.words[2].value, value)
        assert line.words[3].value == "x"


@given(token_lines() | texts() | st.text(alphabet="call @$_1.|>#\\\n\"'{}[]():,Date", max_size=40))
def test_no_text_is_lost_in_lines(text: str) -> None:
    end = 0
    for line in parse(text):
        assert end <= line.start < line.end <= len(text)
        # Only space, semicolons and comments are between lines.
        between = text[end : line.start].replace("\\\n", " ").replace(";", " ")
        assert all(part.strip() == "" or part.lstrip().startswith("#") for part in between.split("\n"))
        place = line.start
        for word in line.words:
            assert place <= word.start < word.end <= line.end
            assert text[word.start : word.end] == word.text
            place = word.end
        if line.redirection is not None:
            assert place <= line.redirection.start < line.redirection.target_start <= line.redirection.end <= line.end
        end = line.end


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("login ann", id="a login"),
        pytest.param("login ann hunter2", id="a misspelled login"),
        pytest.param("Login ann", id="in capitals"),
        pytest.param("status\nlogin ann", id="among other lines"),
        pytest.param(" call upper x", id="a space before the command"),
        pytest.param("call login {user: {username: 'ann'}, password: 'x'}", id="the login method"),
        pytest.param("call createUser {username: 'ann', password: 'x'}", id="a new user"),
        pytest.param("call changePassword old new", id="a change of password"),
        pytest.param("apply changePassword ['old', 'new']", id="passwords in an array"),
        pytest.param("call x {token: 'abc'}", id="a token"),
        pytest.param("call login {resume: 'abc'", id="a line with an open bracket"),
        pytest.param("call x {password: 'abc' y}", id="a line with a mistake"),
        pytest.param("sub x {apiKey: 'abc'}", id="a subscription"),
        pytest.param("echo {secret: 1}", id="any value"),
        pytest.param("connect wss://ann:pw@example.com", id="credentials in an address"),
        pytest.param("connect ws://TOKEN@localhost:3000/app", id="a token in an address"),
        pytest.param("connect TOKEN@localhost:3000", id="an address without a scheme"),
        pytest.param("call open 'wss://abc123@example.com/x'", id="an address as an argument"),
        pytest.param("call open 'https://example.com/?access_token=abc'", id="a token in a query"),
        pytest.param("call x {authorization: 'Bearer abc'}", id="a header"),
        pytest.param("call x {headers: {Cookie: 'a=b'}}", id="a cookie"),
        pytest.param("call x 'Authorization: Bearer abc'", id="a header in a text"),
        pytest.param("call x {user: 'ann', pass: 'abc'}", id="pass"),
        pytest.param("call x {pin: 1234}", id="a PIN"),
        pytest.param("call x {otp: '123456'}", id="a one-time password"),
        pytest.param("call x {sessionId: 'abc'}", id="a session"),
        pytest.param("call login ann hunter2", id="a password by its place"),
        pytest.param("call signIn ann hunter2", id="a password by its place in another method"),
        pytest.param("call users.authenticate ann hunter2", id="a password by its place below a name"),
        pytest.param("apply sign_in ['ann', 'hunter2']", id="a sign-in in an array"),
        pytest.param("cal signIn ann hunter2", id="a misspelled command"),
        pytest.param("call signIn ann 'hunter2", id="an unterminated string"),
        pytest.param("call verifyPin 1234", id="a PIN by its place"),
        pytest.param("call auth/pin 1234 {x: 1}", id="a method about a PIN"),
    ],
)
def test_a_text_with_a_secret_is_private(text: str) -> None:
    assert is_private(text)


@pytest.mark.parametrize(
    "text",
    [
        "call upper Hello",
        "sub tasks {done: false}",
        "find users {username: 'ann'}",
        "connect wss://example.com/a@b",
        "call notes.add 'the word password in a text'",
        "logout",
        "",
        "call messages.pin 'abc' {pinned: true}",
        "call getPassenger {spin: 1, tokenizerCount: 5, passed: 3, opinion: 'x'}",
        "call mail ann@example.com 'see https://example.com/@ann?page=2'",
        "connect localhost:3000/@ann",
        "sub logins",
        "count logins",
        "call signal 'x'",
        "call registerDevice 'x'",
        "call design.increase 'x'",
        "find tasks {author: 'ann', authored: 1, sessions: 2, keyboard: 'x', cookieConsent: true}",
    ],
)
def test_other_texts_are_not_private(text: str) -> None:
    assert not is_private(text)
