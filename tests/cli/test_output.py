"""Only results go to stdout. Output never controls the terminal, and each line is written at once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpshell.cli.output import overflows, page, unbroken, wants_color
from ddpshell.cli.process import Terminated, terminable
from tests.cli.conftest import Command, finished
from tests.loopback import Conversation, LoopbackServer, ScriptedServer, converse, http_answer

#: Characters that must never reach a terminal: C0 except newline and tab, DEL, C1, and those that reverse text.
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    ("choice", "environment", "is_terminal", "wanted"),
    [
        pytest.param("auto", {"TERM": "xterm"}, True, True, id="a terminal"),
        pytest.param("auto", {}, False, False, id="a pipe"),
        pytest.param("auto", {"TERM": "dumb"}, True, False, id="a dumb terminal"),
        pytest.param("auto", {}, True, False, id="a terminal without TERM is dumb"),
        pytest.param("auto", {"TERM": ""}, True, False, id="an empty TERM is dumb"),
        pytest.param("auto", {"TERM": "unknown"}, True, False, id="an unknown TERM is dumb"),
        pytest.param("auto", {"CLICOLOR": "0", "TERM": "xterm"}, True, False, id="CLICOLOR=0"),
        pytest.param("auto", {"NO_COLOR": "1", "TERM": "xterm"}, True, False, id="NO_COLOR"),
        pytest.param("auto", {"NO_COLOR": "", "TERM": "xterm"}, True, True, id="an empty NO_COLOR is ignored"),
        pytest.param("auto", {"FORCE_COLOR": "1"}, False, True, id="FORCE_COLOR"),
        pytest.param(
            "auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, False, True, id="FORCE_COLOR wins over the terminal"
        ),
        pytest.param("auto", {"FORCE_COLOR": ""}, False, False, id="an empty FORCE_COLOR is ignored"),
        pytest.param("auto", {"FORCE_COLOR": "0"}, False, False, id="FORCE_COLOR=0"),
        pytest.param("auto", {"CLICOLOR_FORCE": "1"}, False, True, id="CLICOLOR_FORCE"),
        pytest.param("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False, id="NO_COLOR wins over FORCE_COLOR"),
        pytest.param("always", {"NO_COLOR": "1", "TERM": "dumb"}, False, True, id="the option wins: always"),
        pytest.param("never", {"FORCE_COLOR": "1"}, True, False, id="the option wins: never"),
    ],
)
def test_color_depends_on_option_environment_and_terminal(
    choice: str, environment: dict[str, str], is_terminal: bool, wanted: bool
) -> None:
    assert wants_color(choice, environment, is_terminal=is_terminal) is wanted


@pytest.mark.usefixtures("server")
class TestFormats:
    @pytest.mark.parametrize(
        ("words", "out"),
        [
            pytest.param(["[1, 'a']"], '[1,"a"]\n', id="a pipe gets JSON"),
            pytest.param(["-o", "json", "Date(0)"], '{"$date":0}\n', id="json is EJSON"),
            pytest.param(["-o", "pretty", "{a: Date(0)}"], '{"a": Date("1970-01-01T00:00:00.000Z")}\n', id="pretty"),
            pytest.param(["-o", "raw", "Hello\nyou"], "Hello\nyou\n", id="raw strings have no quotes"),
            pytest.param(["-o", "raw", "[1, 'a']"], '[1,"a"]\n', id="raw arrays are JSON"),
            pytest.param(["-o", "raw", "\x1b[2J\x9b"], "\x1b[2J\x9b\n", id="raw is exact on a pipe"),
            pytest.param(["-o", "table", "[{a: 1}, {a: 22}]"], "a\n--\n 1\n22\n", id="a table"),
            pytest.param(["-o", "table", "5"], "5\n", id="a value that is not a table is pretty"),
            pytest.param(["-o", "auto", "null"], "null\n", id="auto"),
            pytest.param(
                ["\x7f\x9b\u202e\x1b"], '"\\u007f\\u009b\\u202e\\u001b"\n', id="control characters are escaped in JSON"
            ),
        ],
    )
    def test_a_result_has_the_requested_format(self, ddp: Command, words: list[str], out: str) -> None:
        assert ddp("call", "identity", *words) == (0, out, "")

    def test_pretty_output_on_a_pipe_is_complete_and_not_colored(self, ddp: Command) -> None:
        ran = ddp("call", "-o", "pretty", "echo", json.dumps(list(range(5000))))
        assert ran.out.count(",") == 4999
        assert not HARMFUL.search(ran.out)

    def test_the_option_forces_colors_on_a_pipe(self, ddp: Command) -> None:
        ran = ddp("call", "-o", "pretty", "--color", "always", "echo", "x", "5")
        assert COLOUR.sub("", ran.out) == '["x", 5]\n'
        assert ran.out.count("\x1b[") == 4

    @pytest.mark.parametrize(
        "words",
        [
            ["call", "echo", '{"a": 5}'],
            ["sub", "tasks"],
            ["ping", "-c", "1", "-o", "json"],
        ],
    )
    def test_json_is_colored_if_that_is_requested(
        self, ddp: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]
    ) -> None:
        plain = ddp(*words)
        monkeypatch.setenv("FORCE_COLOR", "1")
        for colored in (ddp(*words), ddp(*words, "--color", "always")):
            assert colored.code == plain.code == 0
            assert "\x1b[94m" in colored.out
            assert json.loads(re.sub(r"\x1b\[[0-9;]*m", "", colored.out.splitlines()[0]))
        assert "\x1b" not in ddp(*words, "--color", "never").out
        assert "\x1b" not in plain.out

    def test_json_on_a_terminal_is_colored(self, terminal: Callable[..., str]) -> None:
        assert terminal("call", "-o", "json", "echo", "5", "x") == '[\x1b[36m5\x1b[0m,\x1b[32m"x"\x1b[0m]\n'

    def test_the_color_of_errors_is_decided_separately(self, ddp: Command) -> None:
        assert ddp("call", "--color", "always", "nope").err.startswith("\x1b[31mddp: error: \x1b[0mMethod")

    @pytest.mark.parametrize("words", [["call", "nope", "-o", "json"], ["call", "-o", "json", "--bogus"]])
    def test_an_error_in_json_is_colored_if_that_is_requested(
        self, ddp: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]
    ) -> None:
        """Errors are colored also if the command line is invalid, so that the options were not parsed."""
        plain = ddp(*words).err
        assert json.loads(plain)["kind"] in ("server", "usage")
        colored = ddp(*words[:1], "--color", "always", *words[1:]).err
        monkeypatch.setenv("FORCE_COLOR", "1")
        for err in (colored, ddp(*words).err):
            assert err.startswith('{\x1b[94m"error"')
            assert re.sub(r"\x1b\[[0-9;]*m", "", err) == plain
        assert ddp(*words[:1], "--color", "never", *words[1:]).err == plain

    def test_a_lone_surrogate_in_raw_text_is_escaped_with_a_note(self, ddp: Command) -> None:
        ran = ddp("call", "-o", "raw", "identity", '"a\\ud800"')
        assert (ran.code, ran.out) == (0, "a\\ud800\n")
        assert "lone surrogates" in ran.err

    def test_a_lone_surrogate_in_json_is_exact(self, ddp: Command) -> None:
        assert ddp("call", "identity", '"a\\ud800"') == (0, '"a\\ud800"\n', "")


@pytest.mark.usefixtures("server")
class TestTerminal:
    def test_a_terminal_gets_pretty_output_in_color(self, terminal: Callable[..., str]) -> None:
        shown = terminal("call", "types")
        assert COLOUR.search(shown)
        assert '\n  "date": Date("2026-01-02T03:04:05.678Z"),\n' in COLOUR.sub("", shown)

    @pytest.mark.parametrize("output", ["auto", "pretty", "json", "raw", "table"])
    @pytest.mark.parametrize("method", ["hostile", "hostileError"])
    def test_control_characters_of_an_answer_never_reach_a_terminal(
        self, terminal: Callable[..., str], method: str, output: str
    ) -> None:
        shown = terminal("call", "-d", "-v", "--color", "always", "-o", output, method)
        assert not HARMFUL.search(COLOUR.sub("", shown))

    @pytest.mark.parametrize("options", [["-o", "pretty"], ["-o", "json"], ["-o", "table"], ["--docs"], ["-f"]])
    def test_control_characters_of_a_publication_never_reach_a_terminal(
        self, terminal: Callable[..., str], options: list[str]
    ) -> None:
        harm = "\x1b]0;x\x07\x9b2J\r\x7f\u202e"

        def talk(server: Conversation) -> None:
            subscribed = server.expect("sub")
            server.send(msg="added", collection=f"c{harm}", id=f"i{harm}", fields={f"f{harm}": harm})
            server.send(msg="changed", collection=f"c{harm}", id=f"i{harm}", fields={"x": [harm]}, cleared=[f"f{harm}"])
            server.send(msg="ready", subs=[subscribed["id"]])
            error = {"error": harm, "reason": f"reason {harm}", "details": {harm: harm}}
            server.send(msg="nosub", id=subscribed["id"], error=error)
            server.wait_closed()

        with ScriptedServer(converse(talk, session=f"s{harm}")) as server:
            shown = terminal("sub", "-d", "-v", *options, "-u", server.url, "x")
        assert "x1b" in shown.replace("u001b", "x1b")
        assert not HARMFUL.search(COLOUR.sub("", shown))

    def test_text_of_a_refused_upgrade_is_escaped(self, terminal: Callable[..., str]) -> None:
        harm = "\x1b[2J\x9b\x7f"
        refuse = http_answer(503, f"Busy{harm}", f"<p>{harm}", Location=f"http://x/{harm}", Server=harm)
        with ScriptedServer(refuse) as server:
            shown = terminal("call", "-d", "-v", "-u", server.url, "m")
        assert "503" in shown
        assert not HARMFUL.search(COLOUR.sub("", shown))

    @pytest.mark.parametrize(
        ("value", "more"),
        [
            pytest.param("[" * 60 + "]" * 60, "... 1 more, use -o json", id="a deep value"),
            pytest.param(json.dumps("x" * 32_345), "... 12,345 more characters, use -o json", id="a long string"),
        ],
    )
    def test_deep_or_long_values_are_cut_on_a_terminal(
        self, terminal: Callable[..., str], value: str, more: str
    ) -> None:
        assert more in COLOUR.sub("", terminal("call", "identity", value))
        assert more not in terminal("call", "-o", "json", "identity", value)

    def test_raw_text_is_escaped_on_a_terminal(self, terminal: Callable[..., str]) -> None:
        assert terminal("call", "-o", "raw", "identity", "a\x1b[2Jb\nc") == "a\\x1b[2Jb\nc\n"

    def test_elements_of_a_long_array_are_counted_on_a_terminal(self, terminal: Callable[..., str]) -> None:
        shown = COLOUR.sub("", terminal("call", "echo", json.dumps([0] * 14_345)))
        assert "... 12,345 more, use -o json" in shown
        assert shown.count("\n") < 2020

    def test_no_color_turns_off_the_colors_of_an_error(
        self, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        assert terminal("call", "nope").startswith("ddp: error: Method 'nope' not found [404]\n")

    def test_a_narrow_terminal_gets_narrow_output(
        self, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "11")
        assert terminal("call", "--color", "never", "echo", "1000", "2000") == "[\n  1000,\n  2000\n]\n"


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        pytest.param([], ["warning", "note", "error", "hint"], id="no option"),
        pytest.param(["-q"], ["warning", "error"], id="-q: without notes and hints"),
        pytest.param(["-q", "-v"], ["warning", "error"], id="-q -v: without the steps of the connection"),
        pytest.param(["-qq"], ["error"], id="-qq: without warnings"),
    ],
)
def test_quiet_reduces_the_messages_on_standard_error(ddp: Command, options: list[str], kinds: list[str]) -> None:
    def talk(server: Conversation) -> None:
        server.send(msg="removed", collection="c")  # an invalid message without an id causes a warning
        server.finish(server.expect("method"), error={"error": 404, "reason": "Method 'm' not found"})

    with ScriptedServer(converse(talk)) as server:
        ran = ddp("call", *options, "-u", server.url, "m", str(2**60))
    assert sorted(line.split(":")[1].strip() for line in ran.err.splitlines()) == sorted(kinds)


class TestPager:
    """The user's pager shows output that is longer than the screen, but not output that continues to grow."""

    @pytest.fixture(autouse=True)
    def _screen(self, server: LoopbackServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LINES", "10")
        monkeypatch.setenv("COLUMNS", "40")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("PAGER", "echo paged $LESS; cat -v")

    @pytest.mark.parametrize(
        "words",
        [
            pytest.param(["call", "identity", "-o", "pretty", json.dumps(["x" * 30] * 8)], id="ten lines"),
            pytest.param(["call", "text", "400"], id="one line as long as the screen"),
            pytest.param(["call", "text", "400", "-o", "raw"], id="-o raw"),
            pytest.param(["sub", "items", "10"], id="documents"),
            pytest.param(["sub", "items", "10", "-o", "table"], id="a table"),
        ],
    )
    def test_output_longer_than_the_screen_is_paged(self, terminal: Callable[..., str], words: list[str]) -> None:
        assert terminal(*words).startswith("paged FRX\n")

    @pytest.mark.parametrize(
        "words",
        [
            pytest.param(["call", "identity", "-o", "pretty", json.dumps(["x" * 30] * 7)], id="nine lines"),
            pytest.param(["call", "text", "358"], id="one line of nine rows"),
            pytest.param(["sub", "items", "9"], id="documents that fit"),
            pytest.param(["call", "--no-pager", "text", "400"], id="--no-pager"),
            pytest.param(["ping", "-c", "20", "-i", "0"], id="ping"),
            pytest.param(["sub", "items", "10", "--until", "{n: 9}"], id="documents that are followed"),
            pytest.param(["call", "--help"], id="help"),
        ],
    )
    def test_short_or_continuing_output_is_not_paged(self, terminal: Callable[..., str], words: list[str]) -> None:
        shown = terminal(*words)
        assert shown
        assert "paged" not in shown

    def test_there_is_no_pager_on_a_pipe(self, ddp: Command) -> None:
        assert ddp("call", "text", "400") == (0, f'"{"x" * 400}"\n', "")

    def test_there_is_no_pager_on_a_dumb_terminal(
        self, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "dumb")
        assert terminal("call", "text", "400") == f'"{"x" * 400}"\n'

    @pytest.mark.parametrize("pager", ["", " ", "cat", "no-such-program 2>&-", "exit 127"])
    def test_without_a_pager_output_is_written_directly(
        self, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, pager: str
    ) -> None:
        monkeypatch.setenv("PAGER", pager)
        assert terminal("call", "text", "400") == f'"{"x" * 400}"\n'

    def test_the_pager_shows_colors(self, terminal: Callable[..., str]) -> None:
        assert "^[[" in terminal("call", "--color", "always", "echo", json.dumps(["x" * 30] * 8))

    def test_control_characters_never_reach_the_pager(
        self, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PAGER", "echo paged; cat")
        monkeypatch.setenv("LINES", "2")
        shown = terminal("call", "hostile")
        assert shown.startswith("paged\n")
        assert not HARMFUL.search(shown)

    def test_quitting_the_pager_early_is_not_an_error(
        self, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PAGER", "exec head -c 3")
        assert terminal("call", "text", "5000000") == '"xx'


class TestStreams:
    def test_a_reader_that_stops_early_is_not_an_error(
        self, server: LoopbackServer, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        process = start("call", "text", "5000000")
        assert process.stdout is not None
        assert process.stdout.read(5) == '"xxxx'
        process.stdout.close()
        process.stdout = None
        assert finished(process) == (0, "", "")

    @pytest.mark.parametrize("words", [["call", "upper", "x"], ["--help"], ["--version"]])
    def test_a_full_disk_is_reported(
        self, server: LoopbackServer, start: Callable[..., subprocess.Popen[str]], words: list[str]
    ) -> None:
        with Path("/dev/full").open("w") as full:
            ran = finished(start(*words, stdout=full))
        done = "; the server has run 'upper'" if words[0] == "call" else ""
        assert ran == (7, "", f"ddp: error: cannot write to standard output: No space left on device{done}\n")

    def test_a_closed_standard_output_is_reported(
        self, server: LoopbackServer, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        ran = finished(start("call", "upper", "x", stdout=None, preexec_fn=lambda: os.close(1)))
        assert ran.code == 7
        assert ran.err.startswith("ddp: error: cannot write to standard output: Bad file descriptor; ")

    def test_a_closed_standard_error_changes_nothing(
        self, server: LoopbackServer, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        ran = finished(start("call", "-d", "nope", stderr=None, preexec_fn=lambda: os.close(2)))
        assert (ran.code, ran.out) == (1, "")

    def test_a_large_result_is_whole_on_a_nonblocking_pipe(
        self, server: LoopbackServer, start: Callable[..., subprocess.Popen[str]]
    ) -> None:
        process = start("call", "text", "5000000", preexec_fn=lambda: os.set_blocking(1, False))
        assert len(finished(process).out) == 5_000_003


# ------------------------------------------------------------ signals
BOTH = pytest.mark.parametrize(
    ("number", "error"),
    [
        pytest.param(signal.SIGINT, KeyboardInterrupt, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, Terminated, id="SIGTERM"),
    ],
)


def work(steps: list[str], *signals: signal.Signals) -> None:
    """Send the signals to this process during a piece of work that must not be interrupted."""
    with terminable(), unbroken():
        for number in signals:
            signal.raise_signal(number)
        steps.append("done")


@BOTH
def test_the_first_signal_waits_for_the_end_of_unbroken_work(
    number: signal.Signals, error: type[BaseException]
) -> None:
    steps: list[str] = []
    with pytest.raises(error):
        work(steps, number)
    assert steps == ["done"]


@BOTH
def test_a_second_signal_ends_unbroken_work_at_once(number: signal.Signals, error: type[BaseException]) -> None:
    steps: list[str] = []
    with pytest.raises(error):
        work(steps, number, number)
    assert steps == []


def test_signal_handlers_are_restored_after_unbroken_work() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with unbroken():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_ignored_signal_remains_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_unbroken_has_no_effect_in_other_threads() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with unbroken():
                pass
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == []


# ------------------------------------------------------------ pager


@pytest.mark.parametrize(
    ("text", "is_more"),
    [
        pytest.param("", False, id="no text"),
        pytest.param("a\nb\n", False, id="two lines and the prompt"),
        pytest.param("a\nb\nc\n", True, id="three lines and the prompt"),
        pytest.param("a" * 10 + "\n" + "b" * 10 + "\n", False, id="lines that fill the width"),
        pytest.param("a" * 11 + "\n" + "b\n", True, id="a line that is wrapped"),
        pytest.param("\x1b[1;31m" + "a" * 10 + "\x1b[0m\nb\n", False, id="colors"),
        pytest.param("a\n\n", False, id="an empty line"),
    ],
)
def test_a_text_overflows_a_screen_of_three_lines_or_not(text: str, is_more: bool) -> None:
    assert overflows(text, 3, 10) is is_more


def test_no_text_overflows_a_screen_of_unknown_size() -> None:
    assert not overflows("a\n" * 1000, 0, 80)


@pytest.mark.parametrize(
    ("command", "is_shown"),
    [
        pytest.param("cat >/dev/null", True, id="a pager that reads everything"),
        pytest.param("cat >/dev/null; true", True, id="two programs"),
        pytest.param("true", True, id="a pager that reads nothing"),
        pytest.param("false", True, id="a pager that fails"),
        pytest.param("exec /nowhere/less 2>&-", False, id="a missing pager"),
        pytest.param("exec / 2>&-", False, id="a folder as a pager"),
        pytest.param("", False, id="no pager"),
        pytest.param("cat", False, id="cat"),
    ],
)
def test_page_returns_whether_the_pager_ran(command: str, is_shown: bool) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert page(b"x" * 1_000_000, None, {"PAGER": command, "PATH": "/usr/bin:/bin"}) is is_shown
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_ends_the_pager_as_well(tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(
        "#!/bin/sh\ntrap 'echo tidy > \"$0.out\"; exit' TERM\ncat\nkill -TERM $PPID\nwhile :; do sleep 0.01; done\n"
    )
    pager.chmod(0o755)
    with pytest.raises(Terminated), terminable():
        page(b"", None, {"PAGER": str(pager), "PATH": "/usr/bin:/bin"})
    assert (tmp_path / "pager.out").read_text() == "tidy\n"


def test_ctrl_c_in_the_pager_does_not_end_the_command() -> None:
    assert page(b"x", None, {"PAGER": "kill -INT $PPID; cat >/dev/null", "PATH": "/usr/bin:/bin"})
