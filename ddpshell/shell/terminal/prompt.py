"""The prompt: a line that can be edited, with the shell's colours, completions, history and toolbar."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, emacs_mode, has_completions, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import (
    HighlightMatchingBracketProcessor,
    Processor,
    Transformation,
    TransformationInput,
)
from prompt_toolkit.lexers import DynamicLexer, PygmentsLexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import BaseStyle, DynamicStyle, Style, merge_styles, style_from_pygments_cls

from ...text.escaping import escape_line
from ...text.palette import StyledText
from ...text.prose import cell_width, clip, duration, plural
from ..commands.session import state_text
from ..state import Shell
from .completion import LineCompleter, LineSuggest
from .continuation import Continuation, is_open
from .output import PlainScreen, TerminalOutput, hidden, sane
from .printer import Printer

__all__ = ["PlainPrompt", "Prompt", "prompt_text", "short_url", "toolbar"]

#: Seconds between two looks at the toolbar: it counts seconds.
_REFRESH = 1.0
# Seconds after which an answer is shown although the server has not confirmed its writes (C79).
_UNCONFIRMED = 30.0

#: Beyond so many characters a line is pasted data, and colours would cost more than they tell.
_MOST = 20_000

_FURNITURE = {
    "prompt": "bold",
    "prompt.more": "ansibrightblack",
    "auto-suggestion": "ansibrightblack",
    "bottom-toolbar": "noreverse",
    "bottom-toolbar.text": "noreverse ansibrightblack",
    "bottom-toolbar.good": "ansigreen",
    "bottom-toolbar.state": "ansiyellow",
    "bottom-toolbar.error": "ansired",
    "matching-bracket.cursor": "bold",
    "matching-bracket.other": "bold",
}


class Prompt:
    """Reads lines from a person. It is also the shell's `Terminal`.

    Args:
        shell: Whose lines they are.
        printer: What writes above the line.
        output: The terminal.
        history: What was typed before.
        keys: Where keys come from; standard input unless given.
        when_drawn: Called once, when the first prompt can be seen.
    """

    def __init__(
        self,
        shell: Shell,
        printer: Printer,
        output: TerminalOutput,
        history: History,
        keys: Input | None = None,
        when_drawn: Callable[[], object] | None = None,
    ) -> None:
        self._shell = shell
        self._printer = printer
        self._output = output
        self._keys = keys
        self._when_drawn = when_drawn
        self._colours: PygmentsLexer | None = None
        self._inks: BaseStyle | None = None
        parts = shell.registry, shell.names, lambda: shell.results.names
        self._session: PromptSession[str] = PromptSession(
            self._message,
            style=merge_styles([DynamicStyle(lambda: self._inks), Style.from_dict(_FURNITURE)]),
            lexer=DynamicLexer(self._lexer),
            completer=LineCompleter(*parts),
            auto_suggest=LineSuggest(*parts),
            history=history,
            key_bindings=self._bindings(),
            input_processors=[HighlightMatchingBracketProcessor(chars="[](){}")],
            complete_while_typing=Condition(lambda: shell.settings["menu"] == "typing"),
            # Up and down go through the lines that begin with what is typed.
            enable_history_search=Condition(lambda: shell.settings["menu"] == "tab"),
            search_ignore_case=True,
            enable_suspend=True,
            prompt_continuation=self._continuation,
            bottom_toolbar=self._toolbar,
            refresh_interval=_REFRESH,
            tempfile_suffix=".ddp",
            include_default_pygments_style=False,
            reserve_space_for_menu=6,
            input=keys,
            output=output,
        )
        self._session.app.after_render += self._drawn

    def read(self) -> str:
        """Read what is typed up to an Enter at which nothing is open.

        Raises:
            KeyboardInterrupt: Ctrl-C: the line is given up.
            EOFError: Ctrl-D on an empty line.
        """
        settings = self._shell.settings
        vi = settings["editing"] == "vi"
        self._session.editing_mode = EditingMode.VI if vi else EditingMode.EMACS
        # Asked of the environment, where colours are wanted: how many there are.
        self._session.color_depth = None if settings.is_on("color") else ColorDepth.DEPTH_1_BIT
        return self._ask(self._session)

    # For commands

    def ask_secret(self, question: str) -> str:
        """Ask for something that is not shown, and remembered nowhere."""
        # Not even its length is shown.
        session: PromptSession[str] = PromptSession(
            question, input_processors=[_Hidden()], input=self._keys, output=self._output
        )
        return self._ask(session)

    def clear(self) -> None:
        """Clear the screen."""
        self._printer.flush()
        with self._printer.paused(), self._output.held():
            self._output.erase_screen()
            self._output.cursor_goto(0, 0)

    @contextlib.contextmanager
    def hand_over(self) -> Iterator[None]:
        """Let a program have the terminal."""
        self._printer.flush()
        with self._printer.paused(), sane(sys.stdin):
            yield

    # Inside

    def _lexer(self) -> PygmentsLexer | None:
        if not 0 < len(self._session.default_buffer.text) <= _MOST:
            return None
        if self._colours is None:
            # Loaded when there is something to colour: the first prompt is there a twentieth sooner.
            from .highlighting import CommandLexer, ShellStyle

            self._colours, self._inks = PygmentsLexer(CommandLexer), style_from_pygments_cls(ShellStyle)
        return self._colours

    def _ask(self, session: PromptSession[str]) -> str:
        line = _AppLine(session.app, self._output)
        try:
            return session.prompt(pre_run=lambda: self._printer.attach(line))
        finally:
            self._printer.detach()
            self._look_for_interrupts()

    def _look_for_interrupts(self) -> None:
        """Ctrl-C right behind Enter has been read as a key for the next line; it is meant for what runs now."""
        keys = get_typeahead(self._session.input)
        places = [index for index, key in enumerate(keys) if key.key is Keys.ControlC]
        if places:
            self._shell.interrupts.remember()
            keys = keys[places[-1] + 1 :]
        store_typeahead(self._session.input, keys)

    def _drawn(self, _: object) -> None:
        when_drawn, self._when_drawn = self._when_drawn, None
        if when_drawn is not None:
            when_drawn()

    def _message(self) -> StyleAndTextTuples:
        return [("class:prompt", prompt_text(self._shell, self._output.columns))]

    def _continuation(self, width: int, line_number: int, wrap_count: int) -> StyleAndTextTuples:
        # A long line goes on at the margin, so that it can be copied.
        return [] if wrap_count else [("class:prompt.more", "... ".rjust(width)[-width:])]

    def _toolbar(self) -> StyleAndTextTuples:
        # Drawn each second, so that an answer whose writes are never confirmed is not waited for without end.
        self._shell.settle(age=_UNCONFIRMED)
        app = self._session.app
        text: StyledText = []
        if app.editing_mode is EditingMode.VI and app.vi_state.input_mode is not InputMode.INSERT:
            text = [("state", "vi "), ("", " ")]
        text += toolbar(self._shell, self._output.columns - 1)
        return [(f"class:bottom-toolbar.{ink}" if ink else "", piece) for ink, piece in text]

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus("DEFAULT_BUFFER")

        @Condition
        def goes_on() -> bool:
            return is_open(self._session.default_buffer.text)

        @keys.add("enter", filter=typing & goes_on)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.newline(copy_margin=True)

        # For vi, Escape is a key by itself, whatever comes next and however soon.
        @keys.add("escape", "enter", filter=typing & emacs_mode)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.newline(copy_margin=True)

        @keys.add("tab", filter=typing & ~has_completions)
        def _(event: KeyPressEvent) -> None:
            _complete(event.current_buffer)

        @keys.add("c-x", "c-e", filter=typing)
        def _(event: KeyPressEvent) -> None:
            self._edit(event.app)

        return keys

    def _edit(self, app: Application[Any]) -> None:
        """Edit the text in $EDITOR, which has the terminal for so long."""
        pause = contextlib.ExitStack()
        pause.enter_context(self._printer.paused())
        app.current_buffer.open_in_editor().add_done_callback(lambda _: pause.close())


class _Hidden(Processor):
    """Shows nothing of what is typed."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Leave all of it out; the cursor stays where it is."""
        return Transformation([], source_to_display=lambda _: 0)


def _complete(buffer: Buffer) -> None:
    """Insert what is certain at once, so that an Enter right behind the Tab finds it, and offer the rest in a menu."""
    event = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, event))
    if len(found) == 1:
        buffer.apply_completion(found[0])
    elif found:
        buffer.insert_text(get_common_complete_suffix(buffer.document, found))
        buffer.start_completion()


class _AppLine:
    """The line of a prompt_toolkit application."""

    def __init__(self, app: Application[str], output: TerminalOutput) -> None:
        self._app = app
        self._output = output

    def request_flush(self, flush: Callable[[], None]) -> None:
        """Have `flush` called by the application's loop, in its context."""
        loop, context = self._app.loop, self._app.context
        if loop is not None and context is not None:
            # A loop that is closed has no line any more; the printer is told of that as well.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(flush, context=context.copy())

    def print_above(self, text: str) -> bool:
        """Erase the line, write the text, and draw the line again, in one write."""
        app = self._app
        if app.is_done or not app.is_running:
            return False
        with self._output.held():
            app.renderer.erase(leave_alternate_screen=False)
            self._output.write_raw(text)
            app.renderer.request_absolute_cursor_position()
            # What was made for the last drawing, such as the toolbar, is of yesterday.
            app.render_counter += 1
            app.renderer.render(app, app.layout)
        return True


class PlainPrompt:
    """Reads lines from a person at such a terminal; the shell's `Terminal` as well.

    What comes meanwhile stands on lines of its own, and the prompt again below; what was typed so far is not lost,
    but stands above.

    Args:
        shell: Whose lines they are.
        printer: What writes.
        screen: Where to.
        keys: Standard input.
        remember: Told of each text.
    """

    def __init__(
        self, shell: Shell, printer: Printer, screen: PlainScreen, keys: TextIO, remember: Callable[[str], object]
    ) -> None:
        self._shell = shell
        self._printer = printer
        self._screen = screen
        self._keys = keys
        self._remember = remember

    def read(self) -> str:
        """Read what is typed up to an Enter at which nothing is open.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            EOFError: Ctrl-D on an empty line.
        """
        continuation = Continuation()
        lines = [self._read_line(prompt_text(self._shell, self._screen.columns))]
        while continuation.goes_on(lines[-1]):
            lines.append(self._read_line("... "))
        text = "\n".join(lines)
        self._remember(text)
        return text

    def ask_secret(self, question: str) -> str:
        """Ask for something that is not shown."""
        with hidden(self._keys):
            answer = self._read_line(question)
        self._printer.flush()
        self._screen.write_raw("\n")
        self._screen.flush()
        return answer

    def clear(self) -> None:
        """Nothing here can be cleared."""

    @contextlib.contextmanager
    def hand_over(self) -> Iterator[None]:
        """Let a program have the terminal."""
        self._printer.flush()
        with self._printer.paused():
            yield

    def _read_line(self, question: str) -> str:
        self._printer.flush()
        # From the question on, whatever is written belongs to the line.
        with self._printer.paused():
            self._screen.write_raw(question)
            self._screen.flush()
            self._printer.attach(_Waiting(self._screen, question))
        try:
            with self._shell.interrupts.allowed():
                text = self._keys.readline()
        except KeyboardInterrupt:
            with self._printer.paused():
                self._screen.write_raw("\n")
            raise
        finally:
            self._printer.detach()
        if not text:
            raise EOFError
        return text.rstrip("\n")


class _Waiting:
    """A prompt that waits for its line."""

    def __init__(self, screen: PlainScreen, question: str) -> None:
        self._screen = screen
        self._question = question

    def request_flush(self, flush: Callable[[], None]) -> None:
        """Write at once: no other thread writes."""
        flush()

    def print_above(self, text: str) -> bool:
        """Write below what was typed, and the prompt again."""
        self._screen.write_raw(f"\n{text}{self._question}")
        self._screen.flush()
        return True


_GAP = " · "


def short_url(url: str) -> str:
    """A server as people call it: host and port, and what path there is before DDP's own; escaped."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    path = path.removesuffix("websocket").strip("/")
    return escape_line(host + (f"/{path}" if path else "") if slash else rest or scheme)


def prompt_text(shell: Shell, width: int) -> str:
    """What stands before the line: `localhost:3000> `, or the server's name; in a narrow window, less of it."""
    name = escape_line(shell.link.profile or "") or short_url(shell.link.url) or "ddp"
    return clip(name, max(3, width // 3)) + "> "


def toolbar(shell: Shell, width: int) -> StyledText:
    """Server, state, user, round trip, calls pending, messages in the outbox: as much as fits, in this order."""
    parts = _parts(shell)
    text: StyledText = []
    used = 0
    for ink, part in parts:
        gap = _GAP if text else ""
        if used + len(gap) + cell_width(part) > width:
            break
        text += [("", gap), (ink, part)]
        used += len(gap) + cell_width(part)
    if not text:
        ink, part = parts[0]
        text = [(ink, clip(part, width))]
    return text


def _parts(shell: Shell) -> StyledText:
    client = shell.link.current_client
    if client is None:
        return [("state", "connecting"), ("", short_url(shell.link.url))]
    status = client.status
    [(ink, state)] = state_text(status)
    parts: StyledText = [(ink, state), ("", short_url(status.url))]
    user = shell.link.user or status.user_id
    if user is not None:
        parts.append(("", escape_line(user)))
    pending = len(shell.jobs.pending)
    if pending:
        parts.append(("state", f"{pending:,} pending"))
    if status.unsent:
        parts.append(("state", f"{plural(status.unsent, 'call')} in the outbox"))
    if status.to_resend:
        parts.append(("state", f"{plural(status.to_resend, 'call')} to send again"))
    if status.round_trip is not None and status.is_connected:
        parts.append(("", duration(status.round_trip)))
    if shell.link.frame_filter is not None:
        parts.append(("", "debug"))
    return parts
