"""The prompt with an editor, and output above its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input

from ddpshell.clock import SystemClock
from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.link import Hooks
from ddpshell.shell.settings import Settings
from ddpshell.shell.state import Shell
from ddpshell.shell.terminal.display import ScreenDisplay
from ddpshell.shell.terminal.output import TerminalOutput
from ddpshell.shell.terminal.printer import Printer
from ddpshell.shell.terminal.prompt import Prompt
from tests.shell.window import Buffer, rows_of, thread


class Editor:
    """A prompt with a pipe for the keys and a buffer for the screen."""

    def __init__(self, keys: PipeInput) -> None:
        self.keys = keys
        self.screen = Buffer()
        self.columns = 60
        settings = Settings()
        output = TerminalOutput(self.screen, lambda: Size(rows=20, columns=self.columns), term="xterm-256color")
        self.printer = Printer(output, lambda: settings.is_on("color"))
        self.printer.start()
        display = ScreenDisplay(self.printer, settings)

        def connect(url: object, on_event: object) -> NoReturn:
            raise AssertionError("this shell never connects")

        self.shell = Shell(
            shell_registry(), display, settings, SystemClock(), Hooks(connect), "ws://localhost:3000/websocket"
        )
        self.history = InMemoryHistory()
        self.prompt = Prompt(self.shell, self.printer, output, self.history, keys)

    def read(self, typed: str) -> str:
        """Type, and return the text that the prompt reads."""
        self.keys.send_text(typed)
        return self.prompt.read()

    def rows(self) -> list[str]:
        return rows_of(self.screen.getvalue(), columns=self.columns, lines=20)


@pytest.fixture
def editor() -> Iterator[Editor]:
    with create_pipe_input() as keys, create_app_session(input=keys):
        editor = Editor(keys)
        yield editor
        editor.printer.close()


UP, DOWN, RIGHT, HOME, END, DELETE = "\x1b[A", "\x1b[B", "\x1b[C", "\x01", "\x05", "\x1b[3~"


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        pytest.param("status\r", "status", id="a line"),
        pytest.param("sttus\x1b[D\x1b[D\x1b[Da\r", "status", id="a corrected line"),
        pytest.param("status\x15help\r", "help", id="a line started again"),
        pytest.param("call f {a: 1,\rb: 2}\r", "call f {a: 1,\nb: 2}", id="an open bracket"),
        pytest.param("call f 'a\r", "call f 'a", id="a string ends with its line"),
        pytest.param("call f \\\r5\r", "call f \\\n5", id="a continued line"),
        pytest.param("call f {a 1}\r", "call f {a 1}", id="an invalid line ends with Enter"),
        pytest.param("one\x1b\rtwo\r", "one\ntwo", id="a newline with Alt-Enter"),
        pytest.param("whoa\t\r", "whoami", id="a completion"),
        pytest.param("find t --ta\t\r", "find t --table", id="a completed option"),
        pytest.param("find t --s\t\tk\t\r", "find t --skip", id="a choice of several completions"),
        pytest.param("recon\t\r", "reconnect", id="Enter right after Tab"),
        pytest.param("\x1b[200~one\ntwo\nthree\x1b[201~\r", "one\ntwo\nthree", id="a paste"),
        pytest.param("\x1b[200~one\r\ntwo\r\n\x1b[201~\r", "one\ntwo\n", id="a paste from Windows"),
    ],
)
def test_the_prompt_reads_the_typed_text(editor: Editor, typed: str, text: str) -> None:
    assert editor.read(typed) == text


def test_earlier_lines_are_found_with_the_arrow_keys(editor: Editor) -> None:
    for line in ("call upper 'a'", "find tasks", "call upper 'b'"):
        editor.history.append_string(line)
    assert editor.read(UP + UP + "\r") == "find tasks"
    assert editor.read("call" + UP + UP + "\r") == "call upper 'a'", "the arrow keys search lines with the typed prefix"
    assert editor.read("\x12tas\r\r") == "find tasks", "Ctrl-R searches lines that contain the text"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [pytest.param("fi", "find tasks", id="an earlier line"), pytest.param("whoa", "whoami", id="a name")],
)
def test_the_suggested_end_of_a_line_can_be_accepted(editor: Editor, typed: str, shown: str) -> None:
    editor.history.append_string("find tasks")

    def accept() -> None:
        editor.keys.send_text(typed)
        editor.screen.wait_for(lambda text: f"localhost:3000> {shown}" in rows_of(text, columns=60))
        editor.keys.send_text(RIGHT + "\r")

    with thread(accept):
        assert editor.prompt.read() == shown


def test_control_c_discards_the_line_and_control_d_ends(editor: Editor) -> None:
    with pytest.raises(KeyboardInterrupt):
        editor.read("half a li\x03")
    with pytest.raises(EOFError):
        editor.read("\x04")
    assert editor.read("a\x04\r") == "a", "Ctrl-D ends only at an empty line"


def test_control_c_right_after_a_line_interrupts_its_command(editor: Editor) -> None:
    assert editor.read("wait\rtyped\x03ahead\r") == "wait"
    with pytest.raises(KeyboardInterrupt):
        editor.shell.wait()
    assert editor.read("") == "ahead"


def test_the_line_can_be_edited_in_vi_mode(editor: Editor) -> None:
    editor.shell.settings.change("editing", "vi")
    assert editor.read("status now\x1bbdwxA!\r") == "status!"


def test_the_text_can_be_edited_in_an_external_editor(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "editor"
    program.write_text("#!/bin/sh\nsed -i 's/one/two/' \"$1\"\n")
    program.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(program))

    def finish() -> None:
        editor.screen.wait_for(lambda text: "call two" in "".join(rows_of(text, columns=60)))
        editor.keys.send_text("\r")

    with thread(finish):
        assert editor.read("call one\x18\x05") == "call two"


def test_a_secret_is_neither_shown_nor_added_to_the_history(editor: Editor) -> None:
    editor.keys.send_text("hunter2\r")
    assert editor.prompt.ask_secret("Password: ") == "hunter2"
    assert editor.rows() == ["Password:"], "the length of the secret is not shown"
    assert editor.history.get_strings() == []


def test_the_prompt_shows_the_server_and_the_toolbar_its_state(editor: Editor) -> None:
    def look() -> None:
        editor.screen.wait_for("connecting")
        assert editor.rows() == ["localhost:3000>", "connecting · localhost:3000"]
        editor.keys.send_text("\r")

    with thread(look):
        editor.prompt.read()


def test_the_callback_is_called_when_the_first_prompt_is_drawn() -> None:
    drawn: list[str] = []
    with create_pipe_input() as keys, create_app_session(input=keys):
        editor = Editor(keys)
        output = TerminalOutput(editor.screen, lambda: Size(20, 60))
        prompt = Prompt(
            editor.shell,
            editor.printer,
            output,
            InMemoryHistory(),
            keys,
            when_drawn=lambda: drawn.append(editor.screen.getvalue()),
        )
        keys.send_text("a\rb\r")
        prompt.read()
        prompt.read()
        editor.printer.close()
    assert len(drawn) == 1
    assert "localhost:3000>" in drawn[0]


# --------------------------------------------------------------------------------------------- above the typed line


def typing(editor: Editor, steps: Callable[[], object]) -> str:
    """The text that the prompt reads while another thread takes some steps."""
    with thread(steps):
        return editor.prompt.read()


def test_output_during_the_input_is_written_above_the_line(editor: Editor) -> None:
    def steps() -> None:
        editor.keys.send_text("call up")
        editor.screen.wait_for(lambda text: "localhost:3000> call up" in rows_of(text, columns=60))
        editor.shell.display.note([("", "something came")])
        editor.screen.wait_for("something came")
        assert editor.rows()[:2] == ["something came", "localhost:3000> call up"]
        editor.keys.send_text("per\r")

    assert typing(editor, steps) == "call upper"
    assert editor.rows() == ["something came", "localhost:3000> call upper"]


def test_the_line_is_erased_and_drawn_again_in_one_write(editor: Editor) -> None:
    writes: list[str] = []
    write = editor.screen.write

    def recording(text: str) -> int:
        writes.append(text)
        return write(text)

    editor.screen.write = recording  # type: ignore[method-assign]  # records each write

    def steps() -> None:
        editor.keys.send_text("abc")
        editor.screen.wait_for(lambda text: "localhost:3000> abc" in rows_of(text, columns=60))
        editor.shell.display.note([("", "something came")])
        editor.screen.wait_for("something came")
        editor.keys.send_text("\r")

    typing(editor, steps)
    [whole] = [text for text in writes if "something came" in text]
    before, _, after = whole.partition("something came")
    assert "\x1b[J" in before, "the line is erased"
    assert "abc" in after, "the line is drawn again"


def test_output_does_not_move_the_cursor_within_several_lines(editor: Editor) -> None:
    def steps() -> None:
        editor.keys.send_text("call f {a: 1,\rb: 2\x1b[D\x1b[D\x1b[D")
        editor.screen.wait_for(lambda text: any("... b: 2" in row for row in rows_of(text, columns=60)))
        editor.shell.display.note([("", "something came")])
        editor.screen.wait_for("something came")
        assert editor.rows()[:3] == ["something came", "localhost:3000> call f {a: 1,", "            ... b: 2"]
        editor.keys.send_text("X" + END + "}\r")

    assert typing(editor, steps) == "call f {a: 1,\nbX: 2}"


def test_a_thousand_texts_do_not_damage_the_line(editor: Editor) -> None:
    def steps() -> None:
        for number in range(1000):
            editor.shell.display.note([("", f"line {number} of many")])
            if number % 100 == 0:
                editor.keys.send_text(f"{number // 100}")
        editor.screen.wait_for("line 999 of many")
        editor.keys.send_text("\r")

    assert typing(editor, steps) == "0123456789"
    text = editor.screen.getvalue()
    positions = [text.index(f"line {number} of many\n") for number in range(1000)]
    assert positions == sorted(positions)


def test_output_between_two_lines_is_written(editor: Editor) -> None:
    editor.read("one\r")
    editor.shell.display.note([("", "in between")])
    editor.printer.flush()
    editor.read("two\r")
    assert editor.rows() == ["localhost:3000> one", "in between", "localhost:3000> two"]


def test_the_terminal_is_never_asked_for_the_cursor_position(editor: Editor) -> None:
    editor.read("one\r")
    assert "\x1b[6n" not in editor.screen.getvalue()


def test_control_characters_in_the_typed_text_are_shown_escaped(editor: Editor) -> None:
    assert editor.read("\x1b[200~a\x9b2J\u202eb\x07\x1b[201~\r") == "a\x9b2J\u202eb\x07"
    shown = editor.screen.getvalue()
    assert not set("\x9b\u202e\x07") & set(shown)


def test_a_narrow_window_has_a_short_prompt(editor: Editor) -> None:
    editor.columns = 20
    assert editor.read("call upper 'a long text'\r") == "call upper 'a long text'"
    assert editor.rows()[0].startswith("local…> call upper")


def test_the_screen_can_be_cleared(editor: Editor) -> None:
    editor.read("one\r")
    editor.prompt.clear()
    assert editor.rows() == []


def test_very_long_texts_are_not_highlighted(editor: Editor) -> None:
    """Highlighting must not delay Enter."""
    data = ", ".join("1" * 10 for _ in range(2000))
    editor.read(f"\x1b[200~call f [{data}]\x1b[201~\r")
    assert "\x1b[0;36m" not in editor.screen.getvalue()
    editor.read("call f 1\r")
    assert "\x1b[0;36m1" in editor.screen.getvalue()
