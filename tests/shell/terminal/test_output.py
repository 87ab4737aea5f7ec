"""The shell in a real pseudo-terminal, with real servers."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from prompt_toolkit.data_structures import Size

from ddpshell.shell.terminal.output import TerminalOutput, is_terminal
from tests.loopback import LoopbackServer
from tests.meteor import MeteorServer
from tests.shell.window import Buffer, Window, assert_all_ticks
from tests.text.test_escaping import harmless

# ------------------------------------------------------------------------------------------------------- the output


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b2J", "\x07", "\x08", "a\u202eb", "\x00", "\ud800"])
def test_control_characters_are_left_out(text: str) -> None:
    screen = Buffer()
    output = TerminalOutput(screen, lambda: Size(24, 80))
    output.write(text)
    output.flush()
    assert harmless(screen.getvalue())


def test_newlines_and_letters_are_written() -> None:
    screen = Buffer()
    output = TerminalOutput(screen, lambda: Size(24, 80))
    output.write("na\u00efve \u65e5\u672c\r\n")
    output.flush()
    assert screen.getvalue() == "na\u00efve \u65e5\u672c\r\n"


def test_held_output_is_written_at_once() -> None:
    screen = Buffer()
    output = TerminalOutput(screen, lambda: Size(24, 80))
    with output.held():
        output.write("a")
        output.flush()
        with output.held():
            output.write("b")
        assert screen.getvalue() == ""
    assert screen.getvalue() == "ab"
    assert output.columns == 80


def test_a_buffer_is_not_a_terminal() -> None:
    assert not is_terminal(Buffer())
    assert not is_terminal(None)


# ------------------------------------------------------------------------------------------------------ the program


def lines_with(window: Window, text: str) -> list[str]:
    return [row for row in window.all_rows if text in row]


def test_the_screen_shows_a_call_a_subscription_and_an_error(server: LoopbackServer) -> None:
    """Times and ids differ from run to run."""
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for_prompt()
        window.wait_for("connected to")
        window.press('call upper "Hello"\r')
        window.wait_for('[1] "HELLO"')
        window.press("sub tasks {done: false}\r")
        window.wait_for("[2] sub tasks")
        window.press("call nope\r")
        window.wait_for("[3] error")
        window.wait_for_prompt()
        shown = re.sub(r"session \w{4}\.\.\.", "session X...", re.sub(r" *\d+(\.\d)? ms", " T", window.text))
        prompt = f"localhost:{server.port}>"
        assert shown.splitlines()[:-1] == [
            f"ddp 1.0 - connected to ws://localhost:{server.port}/websocket (session X..., T)",
            f'{prompt} call upper "Hello"',
            '[1] "HELLO" T',
            f"{prompt} sub tasks {{done: false}}",
            "[2] sub tasks: ready, 2 documents T",
            f"{prompt} call nope",
            "[3] error 404: Method 'nope' not found T",
            "  check the spelling; names are case-sensitive",
            prompt,
        ]
        assert window.rows[-1].startswith("connected · localhost:")
        window.press("\x04")
        assert window.wait_for_end() == 0


def test_times_are_at_the_right_edge(window: Window) -> None:
    window.press("call upper a\r")
    window.wait_for('[1] "A"')
    [row] = lines_with(window, '[1] "A"')
    assert len(row) == 80
    assert row.endswith(" ms")


def test_the_connection_is_lost_and_restored_while_the_user_types(window: Window, server: LoopbackServer) -> None:
    window.press("sub tasks\r")
    window.wait_for("[1] sub tasks: ready")
    window.press("call upper 'typed bef")
    window.wait_for_prompt("call upper 'typed bef")
    server.drop()
    window.wait_for("connection lost: ")
    window.wait_for("connected again (")
    window.press("ore and after'")
    window.wait_for_prompt("call upper 'typed before and after'")
    window.press("\r")
    window.wait_for('[2] "TYPED BEFORE AND AFTER"')
    assert len(lines_with(window, "> call upper")) == 1


def test_without_a_server_the_toolbar_counts_down_and_calls_wait(window: Window, server: LoopbackServer) -> None:
    server.stop()
    window.wait_for("reconnecting in")
    window.press("call upper waiting\r")
    window.wait_for("1 call in the outbox")
    server.start()
    window.press("reconnect\r")
    window.wait_for('[1] "WAITING"')


def test_many_frames_do_not_damage_the_typed_line(window: Window) -> None:
    """A frame every millisecond. Each frame and its change of a document is shown, or counted on a slow machine."""
    window.press("debug on changed\r")
    window.wait_for("debug is on")
    window.is_looking = False
    window.press("sub ticker 1\r")
    typed = ""
    for letter in "call upper 'not a letter is lost'":
        start = len(window.plain)
        typed += letter
        window.press(letter)
        # The whole typed text is drawn again below the frames.
        window.wait_for(lambda: f"> {typed.rstrip()}" in window.plain[start:])  # noqa: B023 - called within this iteration
    window.press("\r")
    window.wait_for('"NOT A LETTER IS LOST"')
    window.press("unsub --all\rdebug off\r")
    window.wait_for("debug is off")
    assert_all_ticks(window)


def test_a_paste_of_five_hundred_lines_is_one_text(window: Window) -> None:
    window.paste("call echo [\n" + "".join(f"  {{n: {number}}},\n" for number in range(498)) + "]")
    window.wait_for("{n: 497}")
    assert "[1]" not in window.text, "nothing has been run"
    window.press("\r")
    window.wait_for("[1] [")
    window.press("echo $1[0][497]\r")
    window.wait_for('{"n": 497}')


def test_pasted_commands_are_run_in_order_when_enter_is_pressed(window: Window) -> None:
    window.paste("\n".join(f"call upper 'line {number}'" for number in range(500)))
    window.wait_for("line 499")
    window.press("\r")
    window.wait_for('[500] "LINE 499"')
    results = re.findall(r'^\[(\d+)\] "LINE (\d+)"', window.text, re.MULTILINE)
    assert results == [(str(number + 1), str(number)) for number in range(500)]


def test_control_c_discards_a_line_and_ends_a_wait(window: Window) -> None:
    window.press("call upper 'half a line")
    window.wait_for_prompt("call upper 'half a line")
    window.press("\x03")
    window.wait_for_prompt()
    window.press("call slow 60000\rwait\r")
    window.wait_for("> wait")
    window.interrupt_until("stopped waiting; 1 command continues, see `pending`")
    window.press("status\r")
    window.wait_for("not logged in")
    assert "[2]" not in window.text


def test_keys_typed_while_the_shell_is_busy_appear_once_at_the_next_prompt(window: Window) -> None:
    window.press("call slow 300\rwait\rcall upper 'typed ahead'")
    window.wait_for_prompt("call upper 'typed ahead'")
    window.press("\r")
    window.wait_for('[2] "TYPED AHEAD"')
    assert len(lines_with(window, "call upper")) == 1


def test_the_line_can_be_edited_in_vi_mode(window: Window) -> None:
    window.press("set editing vi\r")
    window.wait_for("editing is vi")
    window.press("call upper wrong\x1b")
    window.wait_for("vi  connected")
    window.press("bcwright\r")
    window.wait_for('[1] "RIGHT"')


def test_leaving_waits_for_pending_answers(server: LoopbackServer) -> None:
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for("connected to")
        window.press("call slow 300\r\x04")
        window.wait_for("waiting for 1 answer; press Ctrl-C to leave now")
        assert window.wait_for_end() == 0
        assert "[1] 300" in window.text


def test_control_c_leaves_at_once_and_lists_unanswered_calls(window: Window) -> None:
    window.press("call slow 60000\r\x04")
    window.wait_for("waiting for 1 answer")
    window.interrupt_until("left without an answer: call slow 60000")
    assert window.wait_for_end() == 0


# ---------------------------------------------------------------------------------------------------------- safety


def test_control_characters_of_a_hostile_server_never_reach_the_terminal(window: Window) -> None:
    before = len(window.written)
    window.press("debug on\rcall hostile\rcall hostileError\r")
    window.wait_for("details:")
    window.press("set output raw\recho $1.clear $1.bidi $1.bell $1.return\rset output table\recho $1\r")
    window.wait_for("the key is hostile too")
    window.wait_for_prompt()
    written = bytes(window.written[before:])
    for harm in (b"\x1b]", b"\x1b[2J", b"\x1b[H", b"\x07", b"\xc2\x9b", "\u202e".encode(), "\u2066".encode(), b"\x7f"):
        assert harm not in written, harm
    text = written.decode()
    for code in re.findall(r"\x1b(?:\[[?0-9;]*[A-Za-z]|.)", text):
        assert re.fullmatch(r"\x1b\[(\?\d+[hl]|[0-9;]*m|[0-9]*[ABCDJK])", code), (
            f"unexpected control sequence: {code!r}"
        )
    # The only carriage returns are those of the editor and those that the terminal adds before newlines.
    assert "harmless\r" not in text
    assert "abc\b" not in text


def test_a_very_long_string_is_cut_and_can_be_saved_whole(window: Window, tmp_path: Path) -> None:
    window.press("call text 5000000\r")
    window.wait_for("... 4,998,000 more characters, use `full`")
    assert len(window.written) < 100_000
    window.press(f"echo $1 > {tmp_path}/all\rcall upper after\r")
    window.wait_for('[2] "AFTER"')
    window.wait_for("all: 1")
    assert (tmp_path / "all").stat().st_size == 5_000_001


def test_the_password_of_a_login_appears_nowhere(meteor_server: MeteorServer, home: Path) -> None:
    with Window("-u", meteor_server.url, "--debug") as window:
        window.wait_for("connected to")
        window.press("login alice\r")
        window.wait_for("Password of alice:")
        window.press("wonderland\r")
        window.wait_for("[1] logged in as alice")
        window.wait_for(lambda: "· alice ·" in window.rows[-1])
        window.press("pending\rcall whoami\r")
        window.wait_for("[2] ")
        window.press(f"save {home}/saved\r")
        window.wait_for("saved: 2")
        window.press("\x04")
        assert window.wait_for_end() == 0
        assert b"wonderland" not in window.written
    history = home / "state/ddpshell/history"
    assert "login" not in history.read_text()
    assert "call whoami" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert (home / "saved").read_text() == "pending\ncall whoami\n"


def test_the_next_shell_has_the_history(server: LoopbackServer) -> None:
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for("connected to")
        window.press("call upper remembered\r\x04")
        assert window.wait_for_end() == 0
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for_prompt()
        window.press("\x1b[A")
        window.wait_for_prompt("call upper remembered")
        window.press("\x15call up\t learnt\r")
        window.wait_for('[1] "LEARNT"')


def test_without_a_writable_home_only_the_history_is_missing(server: LoopbackServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {"XDG_STATE_HOME": f"{tmp_path}/file"}
    with Window("-u", f"localhost:{server.port}", columns=200, environment=environment) as window:
        window.wait_for("connected to")
        window.press("call upper a\r")
        window.wait_for("warning: the history is not saved: ")
        window.press("call upper b\r")
        window.wait_for('[2] "B"')
        assert len(lines_with(window, "history is not saved")) == 1


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        pytest.param("cal upper", "unknown command cal; did you mean call?", id="a command"),
        pytest.param("call f {a 1}", "expected ':' after the key, not 1", id="a literal"),
        pytest.param("call f 'a", "unterminated string: missing '", id="a string"),
        pytest.param("call f $9", "there is no result yet", id="a variable"),
        pytest.param("find tasks {$foo: 1}", "unknown operator $foo", id="a selector"),
        pytest.param("source /nowhere/x", "cannot read /nowhere/x: No such file or directory", id="a file"),
        pytest.param("call upper a | exit 3", "[1] error: exit 3 ended with code 3", id="a program"),
        pytest.param("connect http://:x", "invalid server URL 'http://:x'", id="an address"),
        pytest.param("connect 127.0.0.1:1", "not connected: ", id="unreachable server"),
    ],
)
def test_bad_input_causes_one_line_and_the_shell_continues(window: Window, typed: str, shown: str) -> None:
    window.press(typed + "\r")
    window.wait_for(shown)
    window.press("help exit\r")
    window.wait_for("Pending calls get a moment")
    assert "Traceback" not in window.text


# ----------------------------------------------------------------------------------------------- other terminals


def test_the_shell_works_in_twenty_columns(server: LoopbackServer) -> None:
    with Window("-u", f"localhost:{server.port}", columns=20, lines=10) as window:
        window.wait_for("connected")
        window.press("call upper abc\r")
        window.wait_for('[1] "ABC"')
        window.press("call f {a 1}\r")
        window.wait_for("^")
        window.wait_for_prompt()
        assert all(len(row) <= 20 for row in window.rows)


def test_a_window_can_be_resized_while_the_user_types(window: Window) -> None:
    window.press("call upper 'wide and narrow'")
    window.wait_for_prompt("call upper 'wide and narrow'")
    window.resize(40, 12)
    window.press("\r")
    window.wait_for('[1] "WIDE AND NARROW"')
    window.press("call upper again\r")
    window.wait_for('[2] "AGAIN"')
    [row] = lines_with(window, '[2] "AGAIN"')
    assert len(row) == 40


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_the_shell_works_in_any_locale(server: LoopbackServer, locale: str) -> None:
    with Window("-u", f"localhost:{server.port}", environment={"LC_ALL": locale, "LANG": locale}) as window:
        window.wait_for("connected")
        window.press("call upper 'gr\u00fc\u00df dich'\r")
        window.wait_for('[1] "GR\u00dcSS DICH"')


def test_no_color_turns_colors_off(server: LoopbackServer) -> None:
    with Window("-u", f"localhost:{server.port}", environment={"NO_COLOR": "1"}) as window:
        window.wait_for("connected")
        window.press("call types\rcall f {a 1}")
        window.wait_for_prompt("call f {a 1}")
        codes = set(re.findall(rb"\x1b\[([0-9;]*)m", bytes(window.written)))
        colours = {code for code in codes if re.search(rb"(^|;)(3[0-7]|4[0-7]|9[0-7]|38|48)(;|$)", code)}
        assert colours == set()


def test_a_dumb_terminal_gets_the_plain_prompt(server: LoopbackServer) -> None:
    with Window("-u", f"localhost:{server.port}", environment={"TERM": "dumb"}) as window:
        window.wait_for("connected to")
        window.press("call upper 'hello'\n")
        window.wait_for('[1] "HELLO"')
        window.press("call echo {a: 1,\n")
        window.wait_for("... ")
        window.press("b: 2}\n")
        window.wait_for('[2] [{"a": 1, "b": 2}]')
        assert b"\x1b" not in window.written
        window.press("\x04")
        assert window.wait_for_end() == 0


def test_a_name_that_does_not_exist_is_not_suggested_after_a_restart(server: LoopbackServer) -> None:
    for session in range(2):
        with Window("-u", f"localhost:{server.port}") as window:
            window.wait_for("connected to")
            window.wait_for_prompt()
            if not session:
                window.press("call nonsense\r")
                window.wait_for("[1] error 404")
                window.press("call nowhere\r")
                window.wait_for("[2] error 404")
                assert "did you mean" not in window.text
                window.press("sub nothing\r")
                window.wait_for("[3] error 404")
            for half in ("call n", "sub n"):
                window.wait_for_prompt()
                window.press(f"{half}\t")
                window.wait_for_prompt(half)
                window.press("\x03")
            window.press("call upper 'so far'\r")
            window.wait_for('"SO FAR"')
            assert [row for row in window.all_rows if "nonsense" in row] == (
                [] if session else lines_with(window, "> call nonsense") + lines_with(window, "[1] error 404")
            )
            window.press("\x04")
            assert window.wait_for_end() == 0


def test_a_pager_can_use_the_terminal(window: Window, tmp_path: Path) -> None:
    pager = tmp_path / "less"
    pager.write_text("#!/bin/sh\ncat\nprintf 'press a key '\nread key < /dev/tty\n")
    pager.chmod(0o755)
    window.press(f"call upper a | {pager}\r")
    window.wait_for("press a key")
    window.press("\r")
    window.wait_for_prompt()
    window.press("call upper b\r")
    window.wait_for('[2] "B"')


@pytest.mark.parametrize("pipe", ["", "cat | "])
def test_a_pager_handles_ctrl_c_itself(window: Window, tmp_path: Path, pipe: str) -> None:
    pager = tmp_path / "less"
    pager.write_text(
        "#!/bin/sh\ntrap 'echo stopped' INT\ncat\nprintf 'press a key '\nuntil [ \"$key\" = q ]; do read key < /dev/tty; done\n"
    )
    pager.chmod(0o755)
    window.press(f"call upper a | {pipe}{pager}\r")
    window.wait_for("press a key")
    # The script does not see a Ctrl-C that comes just before it reads a key.
    window.interrupt_until("stopped")
    window.press("q\r")
    window.wait_for_prompt()
    window.press("call upper b\r")
    window.wait_for('[2] "B"')
    assert "error" not in window.text


def test_ddp_demo_starts_a_server_and_a_shell() -> None:
    with Window("demo") as window:
        window.wait_for("connected to ws://127.0.0.1:")
        window.press("call upper demo\r")
        window.wait_for('[1] "DEMO"')
        window.press("exit\r")
        assert window.wait_for_end() == 0
