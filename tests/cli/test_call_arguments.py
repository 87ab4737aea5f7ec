"""Words of the command line become arguments as the help says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.history import FileHistory

from ddpshell.cli.call_arguments import earlier_lines, read_arguments, suggest_name
from ddpshell.cli.options import GRAMMAR
from ddpshell.cli.process import Process
from ddpshell.clock import SystemClock
from ddpshell.exceptions import MethodError, ServerError, SubscriptionError
from ddpshell.protocol.urls import parse_url
from ddpshell.text.grammar import CONSTRUCTORS
from ddpshell.text.literals import CONSTANTS, parse_argument
from tests.cli.conftest import Command, finished
from tests.loopback import LoopbackServer


@pytest.mark.parametrize("command", ["call", "sub"])
def test_the_help_of_each_command_with_arguments_explains_their_grammar(ddp: Command, command: str) -> None:
    out = ddp(command, "--help").out
    assert "[ARG]..." in out
    assert "-s, --string" in out
    for written, meaning in GRAMMAR:
        assert written in out
        assert meaning.split(":")[0].split(";")[0].split(",")[0] in out


@pytest.mark.usefixtures("server")
def test_arguments_have_the_values_that_the_help_describes(
    ddp: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("[5]")
    words = ["5", "-1", "true", "null", "Hello", "http://x", '"5"', "{a: [1, 2]}", 'Date("2026-01-02")', '{"$date": 0}']
    words += ["Text(@FILE)", "Binary(@FILE)"]
    out = ddp("call", "echo", *words, "@FILE", "-", "@@x", "--", "--follow", stdin=b"6").out
    assert out == (
        '[5,-1,true,null,"Hello","http://x","5",{"a":[1,2]},{"$date":1767312000000},{"$date":0},"[5]",{"$binary":"WzVd"},'
        '[5],6,"@x","--follow"]\n'
    )


@given(st.sampled_from([*CONSTANTS, *CONSTRUCTORS, "undefined", "None"]) | st.text().filter(str.isidentifier))
def test_plain_words_have_the_value_that_the_grammar_of_literals_gives_them(word: str) -> None:
    [value] = read_arguments([word], Process(), as_strings=False)
    assert repr(value) == repr(parse_argument(word))


# ------------------------------------------------------------ arguments


@pytest.mark.usefixtures("server")
class TestSources:
    @pytest.mark.parametrize(
        ("words", "out"),
        [
            pytest.param(["Hello", "5", '"5"', "{a: 1}"], '["Hello",5,"5",{"a":1}]', id="literals and strings"),
            pytest.param(['Date("2026-01-02")', "{$date: 0}"], '[{"$date":1767312000000},{"$date":0}]', id="EJSON"),
            pytest.param(["@@x", "@@"], '["@x","@"]', id="two at signs"),
            pytest.param(["@@5"], '["@5"]', id="a number after two at signs"),
            pytest.param(["a@b", ""], '["a@b",""]', id="an at sign inside a word"),
            pytest.param(["-s", "5", "@x", "@@x", "-", "{a:"], '["5","@x","@@x","-","{a:"]', id="-s"),
            pytest.param(["5", "6", "--string"], '["5","6"]', id="--string after the arguments"),
            pytest.param([], "[]", id="no arguments"),
        ],
    )  # fmt: skip
    def test_a_word_becomes_an_argument(self, ddp: Command, words: list[str], out: str) -> None:
        assert ddp("call", "echo", *words) == (0, f"{out}\n", "")

    @pytest.mark.parametrize(
        ("content", "out"),
        [
            pytest.param(b"[1,\n 2]\n", "[1,2]", id="a literal"),
            pytest.param(b'{\n  "a": [\n    1\n  ]\n}\n', '{"a":[1]}', id="indented JSON"),
            pytest.param(b"// what for\n{a: 1}\n", '{"a":1}', id="a literal after a comment"),
            pytest.param(b"Hello\nyou\n", '"Hello\\nyou"', id="text without its last newline"),
            pytest.param(b"Hello\r\n", '"Hello"', id="text with line endings of Windows"),
            pytest.param(b"Hello\n\n", '"Hello\\n"', id="text with two newlines at its end"),
            pytest.param(b"\xef\xbb\xbf5", "5", id="a byte order mark"),
            pytest.param(b"", '""', id="an empty file"),
        ],
    )
    def test_a_value_is_read_from_a_file_or_standard_input(
        self, ddp: Command, tmp_path: Path, content: bytes, out: str
    ) -> None:
        file = tmp_path / "value"
        file.write_bytes(content)
        for ran in (
            ddp("call", "identity", f"@{file}"),
            ddp("call", "identity", "-", stdin=content),
            ddp("call", "identity", "@-", stdin=content),
        ):
            assert ran == (0, f"{out}\n", "")

    @pytest.mark.parametrize(
        ("text", "ms"),
        [
            ('{"$date": "2020-01-01T00:00:00Z"}', 1577836800000),
            ("{$date: '2020-01-01'}", 1577836800000),
            ('{"$date": {"$numberLong": "-5"}}', -5),
        ],
    )
    def test_e12_dates_of_mongodb_are_read_from_every_source(
        self, ddp: Command, tmp_path: Path, text: str, ms: int
    ) -> None:
        """V45, V47: a date can be an ISO string or an extended number."""
        file = tmp_path / "value"
        file.write_text(text)
        out = f'{{"$date":{ms}}}\n'
        assert ddp("call", "identity", text) == (0, out, "")
        assert ddp("call", "identity", f"@{file}") == (0, out, "")
        assert ddp("call", "identity", "-", stdin=text.encode()) == (0, out, "")
        assert ddp("run", stdin=f"wait\ncall identity {text}\n".encode()) == (0, out, "")
        if text.startswith('{"'):
            answer = f'{{"line":1,"result":{out[:-1]}}}\n'
            assert ddp("batch", stdin=f'["identity", {text}]'.encode()) == (0, answer, "")

    def test_an_argument_can_name_a_file_in_the_home_folder(self, ddp: Command, home: Path) -> None:
        (home / "value").write_text("5")
        assert ddp("call", "identity", "@~/value").out == "5\n"

    def test_ten_thousand_levels_are_reported_as_nested_too_deeply(self, ddp: Command, tmp_path: Path) -> None:
        file = tmp_path / "deep.json"
        file.write_text("[" * 10_000 + "]" * 10_000)
        ran = ddp("call", "echo", f"@{file}")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("ddp: error: argument 1: nested too deeply")


@pytest.mark.usefixtures("server")
class TestExactText:
    @pytest.mark.parametrize(
        "text", ["@/etc/passwd", "-", "--", "-1", "-S", "--help", "", "{a:", "5", "@@", "Text(@x)", "a\nb", "\x1b"]
    )
    def test_the_text_after_s_is_always_exactly_that_string(self, ddp: Command, text: str) -> None:
        assert json.loads(ddp("call", "echo", "-S", text).out) == [text]
        assert json.loads(ddp("call", "-S", text, "echo", "1", "-S", text, "{a: 1}").out) == [text, 1, text, {"a": 1}]

    def test_exact_texts_keep_their_order_among_the_other_arguments(self, ddp: Command) -> None:
        words = ["1", "-S", "2", "-q", "3", "-S4", "-S", "5", "--", "-S", "6"]
        assert ddp("call", "echo", *words) == (0, '[1,"2",3,"4","5","-S",6]\n', "")

    def test_an_exact_text_causes_no_note(self, ddp: Command) -> None:
        assert ddp("call", "echo", "-S", "tru", "-S", "a:1", "-S", "b:2").err == ""

    def test_a_subscription_takes_an_exact_text_as_well(self, ddp: Command) -> None:
        assert ddp("sub", "items", "-S", "2").code == 1
        assert ddp("sub", "items", "2", "--count").out == "2\n"

    def test_an_exact_text_is_never_the_name_of_the_method(self, ddp: Command) -> None:
        assert ddp("call", "-S", "x", "-S", "y").err.startswith("ddp: error: missing METHOD")
        assert ddp("call", "-S", "x").err.startswith("ddp: error: missing METHOD")

    def test_bytes_that_are_not_text_are_reported(self, ddp: Command) -> None:
        assert ddp("call", "echo", "-S", "\udcff").err.startswith("ddp: error: argument 1 is not UTF-8 text")


@pytest.mark.usefixtures("server")
class TestParams:
    def test_params_has_the_whole_array_of_arguments(self, ddp: Command, tmp_path: Path) -> None:
        (tmp_path / "params").write_text('[1, "@x", Date(0)]')
        out = '[1,"@x",{"$date":0}]\n'
        assert ddp("call", "echo", "--params", '[1, "@x", Date(0)]').out == out
        assert ddp("call", "--params", f"@{tmp_path / 'params'}", "echo").out == out
        assert ddp("call", "echo", "--params", "-", stdin=b'[1, "@x", {"$date": 0}]').out == out
        assert ddp("call", "echo", "--params", "[]").out == "[]\n"
        assert ddp("sub", "items", "--params", "[2]", "--count").out == "2\n"

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (["--params", "{}"], "--params must be an array of all arguments"),
            (["--params", "x"], "--params must be an array of all arguments"),
            (["--params", "[1"], "--params: [ is not closed"),
            (["--params", "@/nowhere"], "--params: cannot read /nowhere"),
            (["--params", "[]", "x"], "--params has all arguments, so it cannot be used with ARG"),
            (["--params", "[]", "-S", "x"], "--params has all arguments, so it cannot be used with ARG"),
            (["--params", "[]", "-s"], "--params has all arguments, so it cannot be used with -s"),
        ],
    )
    def test_invalid_params_are_reported(self, ddp: Command, words: list[str], error: str) -> None:
        ran = ddp("call", "echo", *words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"ddp: error: {error}")


@pytest.mark.usefixtures("server")
class TestFilesInValues:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "my notes.md").write_text("\ufeff[5]\n", encoding="utf-8")
        (tmp_path / "photo.png").write_bytes(b"\x89PNG\xff")

    def test_text_and_bytes_of_a_file_are_read_unchanged(self, ddp: Command) -> None:
        words = ["""{t: Text(@"my notes.md"), b: [Binary(@photo.png)]}"""]
        out = '{"t":"[5]\\n","b":[{"$binary":"iVBOR/8="}]}\n'
        assert ddp("call", "identity", *words).out == out
        assert ddp("run", stdin=f"call identity {words[0]}\n".encode()).out == out
        assert ddp("call", "identity", "--params", f"[{words[0]}]").out == out

    @pytest.mark.parametrize(
        ("word", "error"),
        [
            ("Text(@nope)", "argument 1: cannot read nope: No such file or directory"),
            ("Text(@photo.png)", "argument 1: Text: photo.png is not UTF-8 text, from byte 0 on"),
            ('Text("x")', "argument 1: Text takes a file, such as @notes.md"),
            ("[@photo.png]", "argument 1: @photo.png is not a valid value; Text(@photo.png) is the text of a file"),
            ("Binary(@/dev/zero)", "argument 1: /dev/zero is too large for a message (more than 64 MiB)"),
            ("Date(@photo.png)", "argument 1: Date takes a text"),
        ],
    )
    def test_an_unreadable_file_is_reported_with_its_position(self, ddp: Command, word: str, error: str) -> None:
        ran = ddp("call", "echo", word)
        assert (ran.code, ran.out, ran.err.splitlines()[0][: len(error) + 12]) == (2, "", f"ddp: error: {error}")

    def test_a_value_that_is_read_from_a_file_or_a_pipe_cannot_read_files(self, ddp: Command, tmp_path: Path) -> None:
        """Another user may have written the value, and must not choose files to read."""
        (tmp_path / "value").write_text("[Text(@photo.png)]")
        for words, stdin in (
            (["echo", "-"], b"[Text(@photo.png)]"),
            (["echo", "@value"], b""),
            (["echo", "--params", "@value"], b""),
            (["echo", "--params", "-"], b"[Binary(@photo.png)]"),
        ):
            ran = ddp("call", *words, stdin=stdin)
            assert (ran.code, ran.out) == (2, "")
            assert "a value that is read from a file or a pipe cannot read files" in ran.err


@pytest.mark.usefixtures("server")
class TestMistypedValues:
    @pytest.mark.parametrize(
        ("word", "meant"),
        [
            ("tru", "for the constant, write true"),
            ("ture", "for the constant, write true"),
            ("Null", "for the constant, write null"),
            ("None", "for the constant, write null"),
            ("FALSE", "for the constant, write false"),
            ("undefined", "for the constant, write null"),
            ("1,000", "for the number, write 1000"),
            ("-12_345.5", "for the number, write -12345.5"),
            ("+5", "for the number, write 5"),
            ("5,", "for the number, write 5"),
            ("0xFF", "for the number, write 255"),
            ("\u201cHello\u201d", "if its quotes are not part of the text, write '\"...\"'"),
            ('date("2026-01-02")', 'for the value, write Date("2026-01-02")'),
            ("new date(5)", "for the value, write Date(5)"),
            ("done:=true", "an object is written as '{name: value}'"),
        ],
    )
    def test_a_mistyped_value_is_sent_unchanged_with_a_note(self, ddp: Command, word: str, meant: str) -> None:
        ran = ddp("call", "echo", word)
        assert (ran.code, json.loads(ran.out)) == (0, [word])
        assert ran.err == f"ddp: note: argument 1 is sent as the text {json.dumps(word, ensure_ascii=False)}; {meant}\n"

    def test_there_is_no_note_for_plain_text_or_with_quiet_or_string(self, ddp: Command) -> None:
        assert ddp("call", "-q", "echo", "tru").err == ""
        assert ddp("call", "-s", "echo", "tru").err == ""
        plain = [
            "truth",
            "nullable",
            "not",
            "1,00",
            "2026-01-02",
            "a,b",
            "1.2.3",
            "007",
            "full",
            "date",
            "x=5",
            "f(x)",
            "-.5",
            "nu",
        ]
        assert ddp("call", "echo", *plain) == (0, f"{json.dumps(plain, separators=(',', ':'))}\n", "")


@pytest.mark.parametrize(
    "form",
    [
        '{"$date": null}',
        '{"$date": "soon"}',
        '{"$date": {"$numberLong": 5}}',
        '{"$InfNaN": "x"}',
        '{"$binary": {"base64": "AQID", "subType": "00"}}',
        '{"$regexp": "a", "$flags": "s"}',
        '{"$type": "oid", "$value": ""}',
        '{"$type": "Decimal", "$value": 1.5}',
        '{"$type": 2, "$value": 1}',
        '{"$escape": []}',
    ],
)
def test_an_invalid_ejson_form_is_a_usage_error_from_every_source(ddp: Command, tmp_path: Path, form: str) -> None:
    """There is no server, so an attempt to connect would end with another exit code."""
    file = tmp_path / "value"
    file.write_text(form)
    for words, stdin in (
        (["call", "m", form], ""),
        (["call", "m", f"[1, {form}]"], ""),
        (["call", "m", f"@{file}"], ""),
        (["call", "m", "-"], form),
        (["sub", "p", form], ""),
        (["sub", "p", "--until", f"{{a: {form}}}"], ""),
        (["run"], f"call m {form}"),
        (["run"], f"apply m [{form}]"),
        (["run"], f"call m @{file}"),
        (["run"], f"find c {{a: {form}}}"),
    ):
        ran = ddp(*words, stdin=stdin.encode())
        assert (ran.code, ran.out) == (2, ""), (words, ran.err)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        pytest.param(
            ["ok", "{a:"],
            ["argument 2: missing a value, and { is not closed", "  {a:", "     ^", "ddp: hint: put text in its own quotes"],
            id="a literal",
        ),
        pytest.param(["\u65e5\u672c", "['\u65e5' x]"], ["argument 2: expected ','", "  ['\u65e5' x]", "        ^"], id="a wide literal"),
        pytest.param(["{\x1b: 1}"], ["argument 1: \\x1b is not a valid value", "  {\\x1b: 1}", "   ^"], id="a harmful literal"),
        pytest.param(["@/nowhere"], ["argument 1: cannot read /nowhere: No such file or directory; write @@/nowhere for"], id="no file"),
        pytest.param(["@/"], ["argument 1: cannot read /: Is a directory"], id="a folder"),
        pytest.param(["@"], ["argument 1: the name of a file is missing after @"], id="an empty name"),
        pytest.param(["-", "-"], ["argument 2: standard input can be read only once"], id="standard input twice"),
        pytest.param(["\udcff"], ["argument 1 is not UTF-8 text"], id="invalid UTF-8"),
        pytest.param(["-s", "\udcff"], ["argument 1 is not UTF-8 text"], id="invalid UTF-8 with -s"),
        pytest.param(["@/dev/zero"], ["argument 1 (/dev/zero) is too large for a message (more than 64 MiB)"], id="an endless file"),
    ],
)  # fmt: skip
def test_an_invalid_argument_is_reported_with_its_position(ddp: Command, words: list[str], lines: list[str]) -> None:
    ran = ddp("call", "echo", *words)
    assert (ran.code, ran.out) == (2, "")
    shown = ran.err.splitlines()
    assert shown[0].startswith(f"ddp: error: {lines[0]}")
    assert [line.startswith(start) for line, start in zip(shown[1:], lines[1:], strict=False)] == [True] * (
        len(lines) - 1
    )


@pytest.mark.parametrize("file", ["/nowhere", ""])
def test_a_missing_file_of_params_has_no_hint_about_strings(ddp: Command, file: str) -> None:
    ran = ddp("call", "echo", "--params", f"@{file}")
    assert (ran.code, "@@" in ran.err) == (2, False)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["{a:", "1,", "b:", "2}"], "ddp call m '{a: 1, b: 2}'"),
        (["5", "[1,", "2]", "6"], "ddp call m 5 '[1, 2]' 6"),
        (["{name:ann}"], "ddp call m '{name:\"ann\"}'"),
        (["{name:", "ann", "lee,", "n:", "[x]}"], 'ddp call m \'{name: "ann lee", n: ["x"]}\''),
    ],
)
def test_a_literal_that_lost_its_quotes_gets_a_hint_with_the_quotes(ddp: Command, words: list[str], meant: str) -> None:
    ran = ddp("call", "m", *words)
    assert (ran.code, ran.err.splitlines()[-1]) == (2, f"ddp: hint: did you mean `{meant}`?")


@pytest.mark.parametrize("word", ["[draft] hi", "{a:b} c", "[a] [b]"])
def test_a_hint_never_has_a_command_that_would_fail(ddp: Command, word: str) -> None:
    ran = ddp("call", "m", word)
    assert ran.code == 2
    assert "did you mean" not in ran.err


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["a:1", "b:2"], ("arguments 1 and 2 look like one object that the shell has taken apart; "
         "if so, put it in quotes: ddp call echo '{a: 1, b: 2}'")),
        (["n:[1", "2]", "name:ann"], ("arguments 1 to 3 look like one object that the shell has taken apart; "
         "if so, put it in quotes: ddp call echo '{n: [1,2], name: \"ann\"}'")),
        (["5", "name:ann", "age:5", "x:[1]"], ("arguments 2 to 4 look like one object that the shell has taken apart; "
         "if so, put it in quotes: ddp call echo 5 '{name: \"ann\", age: 5, x: [1]}'")),
    ],
)  # fmt: skip
def test_an_object_that_the_shell_has_expanded_is_sent_unchanged_with_a_note(
    ddp: Command, words: list[str], note: str
) -> None:
    ran = ddp("call", "echo", *words)
    assert (ran.code, ran.err) == (0, f"ddp: note: {note}\n")
    assert ddp("call", "echo", *words, "-q").err == ""
    assert ddp("call", "echo", "a:1", "http://x", "b:2").err == ""
    assert ddp("call", "echo", "-s", "a:1", "b:2").err == ""


@pytest.mark.parametrize(
    ("words", "first", "second", "file"),
    [
        (["call", "m", "-", "--login", "ann", "--password-file", "-"], "argument 1", "--password-file", "--password-file FILE"),
        (["call", "m", "5", "-", "@-"], "argument 2", "argument 3", "@FILE"),
        (["sub", "p", "-", "--token-file", "-"], "argument 1", "--token-file", "--token-file FILE"),
        (["batch", "--token-file", "-"], "the calls", "--token-file", "--token-file FILE"),
        (["run", "--token-file", "-"], "the script", "--token-file", "--token-file FILE"),
        (["--token-file", "-"], "the script", "--token-file", "--token-file FILE"),
    ],
)  # fmt: skip
def test_standard_input_cannot_be_read_twice(
    ddp: Command, words: list[str], first: str, second: str, file: str
) -> None:
    ran = ddp(*words, stdin=b"5\n6\n")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[0] == (
        f"ddp: error: {second}: standard input can be read only once, and it is already read for {first}; "
        f"write {file} for one of the two"
    )


def test_the_method_must_be_text(ddp: Command) -> None:
    assert ddp("call", "\udcff").err.startswith("ddp: error: METHOD is not UTF-8 text")


def test_an_invalid_file_is_reported_with_its_line(ddp: Command, tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    file.write_text('{\n  "title": "write",\n  "done": maybe\n}\n')
    first, line, caret, *_ = ddp("call", "echo", f"@{file}").err.splitlines()
    assert first == f"ddp: error: argument 1 ({file}), line 3: maybe is not a valid value; put text in quotes"
    assert (line, caret) == ('    "done": maybe', "            ^")


def test_a_file_that_is_not_text_is_reported(ddp: Command, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"ab\xff")
    assert f"argument 1 ({file}) is not UTF-8 text, from byte 2 on" in ddp("call", "echo", f"@{file}").err


def test_an_unreadable_file_is_reported(ddp: Command, tmp_path: Path) -> None:
    # The tests may run as root, who can read any file, but not a loop of symbolic links.
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "cannot read" in ddp("call", "echo", f"@{tmp_path / 'a'}").err


def test_reading_endless_standard_input_times_out(ddp: Command, server: LoopbackServer) -> None:
    reading, writing = os.pipe()
    clock = SystemClock()
    began = clock.now()
    try:
        ran = ddp("call", "--timeout", "0.2", "echo", "-", stdin=os.fdopen(reading, "rb"))
    finally:
        os.close(writing)
    assert ran.code == 5
    assert ran.err.startswith("ddp: error: no end of standard input within 0.2 s")
    assert clock.now() - began < 1.2


def test_reading_a_pipe_without_a_writer_times_out(ddp: Command, server: LoopbackServer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ran = ddp("call", "--timeout", "0.2", "echo", f"@{tmp_path / 'pipe'}")
    assert (ran.code, ran.err.splitlines()[0]) == (5, f"ddp: error: no end of {tmp_path / 'pipe'} within 0.2 s")


def test_a_closed_standard_input_is_reported(
    server: LoopbackServer, start: Callable[..., subprocess.Popen[str]]
) -> None:
    ran = finished(start("call", "echo", "-", stdin=None, preexec_fn=lambda: os.close(0)))
    assert (ran.code, ran.err) == (2, "ddp: error: standard input is closed\n")


# --------------------------------------------------------------------------------------------------- did you mean ...?

# If the server does not know a name, a similar name is suggested: one that was typed, or that an embedded server has.


UNKNOWN_METHOD = "Method 'uper' not found"
UNKNOWN_PUBLICATION = "Subscription 'tusks' not found"


def history(home: Path, *lines: str) -> Path:
    """Write a history file as the shell does, and return its folder."""
    folder = home / "state/ddpshell"
    folder.mkdir(parents=True)
    kept = FileHistory(str(folder / "history"))
    for line in lines:
        kept.store_string(line)
    return folder


@pytest.mark.parametrize(
    ("error", "name", "advice"),
    [
        pytest.param(MethodError(404, UNKNOWN_METHOD), "uper", ["did you mean upper?"], id="a method"),
        pytest.param(SubscriptionError(404, UNKNOWN_PUBLICATION), "tusks", ["did you mean tasks?"], id="a publication"),
        pytest.param(MethodError(404, "Method 'tusks' not found"), "tusks", [], id="a publication is not a method"),
        pytest.param(MethodError(404, "Method 'zzz' not found"), "zzz", [], id="no similar name"),
        pytest.param(MethodError(404, "Post not found"), "uper", [], id="another reason for 404"),
        pytest.param(MethodError(403, UNKNOWN_METHOD), "uper", [], id="another error"),
    ],
)
@pytest.mark.parametrize("is_typed", [True, False], ids=["names in the history", "names of an embedded server"])
def test_a_similar_known_name_is_suggested(
    home: Path, error: ServerError, name: str, advice: list[str], is_typed: bool
) -> None:
    process = Process()
    if is_typed:
        history(home, 'call upper "x"', "sub tasks {\n  done: false\n}", "no command at all (")
    else:
        process.methods, process.publications = ["add", "upper"], ["items", "tasks"]
    error.__dict__.pop("__notes__", None)
    suggest_name(error, name, process, parse_url("localhost:3000"))
    assert getattr(error, "__notes__", []) == advice


def test_history_lines_are_read_unchanged(home: Path) -> None:
    lines = ["call a", "call b {\n\n+ 1}", " ", "call ünï"]
    assert [text.removesuffix("\n") for text in earlier_lines(history(home, *lines) / "history")] == lines


@pytest.mark.parametrize("history", ["/nowhere/history", "/dev/null/history"])
def test_a_missing_history_has_no_lines(history: str) -> None:
    assert list(earlier_lines(Path(history))) == []


def test_names_of_the_demo_server_are_suggested(ddp: Command) -> None:
    assert ddp("demo", "call", "uper", "x") == (
        1,
        "",
        "ddp: error: Method 'uper' not found [404]\nddp: hint: did you mean upper?\n",
    )
    assert ddp("demo", "sub", "tusks").err.endswith("ddp: hint: did you mean tasks?\n")
