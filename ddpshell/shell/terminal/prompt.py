"""The prompt of the shell, with an editor, colors, completions, history and a toolbar."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, emacs_mode, has_completions, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History
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
from prompt_toolkit.styles import BaseStyle, DynamicStyle, Style, merge_styles

from ...logins import make_private, replace_private
from ...text.escaping import escape_line
from ...text.palette import StyledText, named_style
from ...text.prose import cell_width, clip, duration, plural
from ..commands.session import state_text
from ..parser import is_open, is_private
from ..state import UNCONFIRMED, Shell
from .completion import LineCompleter, LineSuggester, suggestions
from .modes import sane
from .output import TerminalOutput
from .printer import Printer

#: Seconds between two updates of the toolbar.
_REFRESH = 1.0
#: Seconds for which the toolbar shows a round trip.
_ROUND_TRIP_AGE = 10.0

#: How many characters are highlighted at most. A longer text is pasted data, and highlighting would be slow.
_HIGHLIGHT_LIMIT = 20_000


def _prompt_styles(styles: Mapping[str, str]) -> BaseStyle:
    """The style of everything around the typed line, from SGR parameters by the names of styles."""
    secondary = named_style(styles["note"])
    return Style.from_dict(
        {
            "prompt": "bold",
            "prompt.more": secondary,
            "auto-suggestion": secondary or "italic",
            "bottom-toolbar": "noreverse",
            "bottom-toolbar.text": f"noreverse {secondary}",
            "matching-bracket.cursor": "bold",
            "matching-bracket.other": "bold",
        }
        | {f"bottom-toolbar.{name}": named_style(styles[name]) for name in ("good", "state", "error")}
    )


class Prompt:
    """A prompt with an editor. It reads lines from the user, and implements the shell's `Terminal`.

    Args:
        shell: The shell that runs the lines.
        printer: Writes above the line.
        output: The terminal.
        history: The lines of earlier sessions.
        keys: The source of keys; standard input by default.
        when_drawn: Called once when the first prompt is visible.
    """

    def __init__(
        self,
        shell: Shell,
        printer: Printer,
        output: TerminalOutput,
        history: History,
        keys: Input | None = None,
        when_drawn: Callable[[], object] = lambda: None,
    ) -> None:
        self.can_draw = True
        self._shell = shell
        self._printer = printer
        self._output = output
        self._keys = keys
        self._when_drawn = when_drawn
        self._lexer: PygmentsLexer | None = None
        # The styles by theme, and whether they have the colors of the typed line.
        self._styles: dict[tuple[str, bool], BaseStyle] = {}
        suggest = partial(
            suggestions,
            registry=shell.registry,
            names=shell.names,
            variables=lambda: shell.results.names,
            value=shell.results,
            choices=self._choices,
        )
        self._session = _Session(
            self._message,
            style=DynamicStyle(self._style),
            lexer=DynamicLexer(self._get_lexer),
            completer=LineCompleter(suggest),
            auto_suggest=LineSuggester(suggest, shell.names),
            history=history,
            key_bindings=self._bindings(),
            input_processors=[HighlightMatchingBracketProcessor(chars="[](){}")],
            complete_while_typing=Condition(lambda: shell.settings["menu"] == "typing"),
            # The up and down keys select among the earlier lines that begin with the typed text.
            enable_history_search=Condition(lambda: shell.settings["menu"] == "tab"),
            search_ignore_case=True,
            enable_suspend=True,
            prompt_continuation=self._continuation,
            bottom_toolbar=self._toolbar,
            refresh_interval=_REFRESH,
            tempfile_suffix=".ddp",
            include_default_pygments_style=False,
            input=keys,
            output=output,
        )
        self._session.app.after_render += self._handle_drawn

    def read(self) -> str:
        """Read a command. It ends with Enter, unless a bracket or a comment is open.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C, which discards the text.
            EOFError: The user pressed Ctrl-D on an empty line.
        """
        settings = self._shell.settings
        vi = settings["editing"] == "vi"
        self._session.editing_mode = EditingMode.VI if vi else EditingMode.EMACS
        # With colors, prompt_toolkit finds out from the environment how many the terminal has.
        self._session.color_depth = None if settings.is_on("color") else ColorDepth.DEPTH_1_BIT
        return self._ask(self._session)

    # ----------------------------------------------------------------------------------------- for commands

    def ask_secret(self, question: str) -> str:
        """Ask for a secret. It is not shown, not even its length, and does not go to the history."""
        return self.ask(question, _Hidden())

    def ask(self, question: str, *processors: Processor) -> str:
        """Ask for a text."""
        return self._ask(
            PromptSession(question, input_processors=list(processors), input=self._keys, output=self._output)
        )

    def clear(self) -> None:
        """Clear the screen."""
        self._printer.flush()
        with self._printer.paused(), self._output.held():
            self._output.erase_screen()
            self._output.cursor_goto(0, 0)

    @contextlib.contextmanager
    def hand_over(self) -> Iterator[None]:
        """Let another program use the terminal during a `with` block."""
        self._printer.flush()
        with self._printer.paused(), sane(sys.stdin):
            yield

    # -------------------------------------------------------------------------------------------- private

    def _choices(self, label: str) -> Sequence[str]:
        hooks = self._shell.hooks
        return hooks.saved_users() if label == "USER" else hooks.profiles() if label == "URL|PROFILE" else ()

    def _get_lexer(self) -> PygmentsLexer | None:
        if not 0 < len(self._session.default_buffer.text) <= _HIGHLIGHT_LIMIT:
            return None
        if self._lexer is None:
            # Pygments is imported when the user types the first key, so that the first prompt appears sooner.
            from .highlighting import CommandLexer

            self._lexer = PygmentsLexer(CommandLexer)
        return self._lexer

    def _style(self) -> BaseStyle:
        key = self._shell.settings["theme"], self._lexer is not None
        if key not in self._styles:
            styles = self._shell.settings.styles
            style = _prompt_styles(styles)
            if self._lexer is not None:
                from .highlighting import prompt_style

                style = merge_styles([prompt_style(styles), style])
            self._styles[key] = style
        return self._styles[key]

    def _ask(self, session: PromptSession[str]) -> str:
        line = _AppLine(session.app, self._output)
        try:
            return session.prompt(pre_run=lambda: self._printer.attach(line))
        finally:
            self._printer.detach()
            self._find_interrupts()

    def _find_interrupts(self) -> None:
        """Find a Ctrl-C right after Enter. It was read as a key for the next line, but is meant for the command."""
        keys = get_typeahead(self._session.input)
        positions = [index for index, key in enumerate(keys) if key.key is Keys.ControlC]
        if positions:
            self._shell.interrupts.is_pending = True
            keys = keys[positions[-1] + 1 :]
        store_typeahead(self._session.input, keys)

    def _handle_drawn(self, _: object) -> None:
        when_drawn, self._when_drawn = self._when_drawn, lambda: None
        when_drawn()

    def _message(self) -> StyleAndTextTuples:
        profile = self._shell.link.profile
        color = profile.color if profile is not None and self._shell.settings["theme"] != "plain" else None
        style = f"class:prompt ansi{color}" if color else "class:prompt"
        return [(style, prompt_text(self._shell, self._output.columns))]

    def _continuation(self, width: int, line_number: int, wrap_count: int) -> StyleAndTextTuples:
        # A wrapped row has no prompt, so that the user can copy the line.
        return [] if wrap_count else [("class:prompt.more", "... ".rjust(width)[-width:])]

    def _toolbar(self) -> StyleAndTextTuples:
        # The toolbar is drawn every second. So this call ends the wait for answers whose writes are never confirmed.
        self._shell.settle(age=UNCONFIRMED)
        app = self._session.app
        is_vi = app.editing_mode is EditingMode.VI and app.vi_state.input_mode is not InputMode.INSERT
        text: StyledText = [("state", "vi "), ("", " ")] if is_vi else []
        text += toolbar(self._shell, self._output.columns - 1)
        return [(f"class:bottom-toolbar.{style}" if style else "", piece) for style, piece in text]

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus("DEFAULT_BUFFER")

        @Condition
        def continues() -> bool:
            return is_open(self._session.default_buffer.text)

        @keys.add("enter", filter=typing & continues)
        # Not for vi, where Escape is always a key of its own.
        @keys.add("escape", "enter", filter=typing & emacs_mode)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.newline(copy_margin=True)

        @keys.add("tab", filter=typing & ~has_completions)
        def _(event: KeyPressEvent) -> None:
            _complete(event.current_buffer)

        @keys.add("c-x", "c-e", filter=typing)
        def _(event: KeyPressEvent) -> None:
            # Edit the text in $EDITOR, which uses the terminal meanwhile.
            pause = contextlib.ExitStack()
            pause.enter_context(self._printer.paused())
            event.current_buffer.open_in_editor().add_done_callback(lambda _: pause.close())

        return keys


class _Session(PromptSession[str]):
    """A session whose menu is as high as it needs to be, in the rows that the window has below the line."""

    @property
    def reserve_space_for_menu(self) -> int:
        """The rows below the line while completions are shown. prompt_toolkit shows 16 at most."""
        state = self.default_buffer.complete_state
        # While the user types, the menu would change its height with each key.
        needed = len(state.completions) + 1 if state is not None else 6
        # The line and the toolbar need rows too.
        return max(1, min(needed, 16, self.app.output.get_size().rows - 3))

    @reserve_space_for_menu.setter
    def reserve_space_for_menu(self, rows: int) -> None:
        pass


class _Hidden(Processor):
    """Hides the typed text."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Remove the whole text. The cursor does not move."""
        return Transformation([], source_to_display=lambda _: 0)


def _complete(buffer: Buffer) -> None:
    """Insert the part that all completions have in common, and show the completions in a menu.

    The insertion does not wait, so that an Enter right after the Tab finds it.
    """
    event = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, event))
    if len(found) == 1:
        buffer.apply_completion(found[0])
    elif found:
        buffer.insert_text(get_common_complete_suffix(buffer.document, found))
        buffer.start_completion()


class _AppLine:
    """The line of a prompt_toolkit application; see `PromptLine`."""

    def __init__(self, app: Application[str], output: TerminalOutput) -> None:
        self._app = app
        self._output = output

    def request_flush(self, flush: Callable[[], None]) -> None:
        """Have `flush` called on the application's event loop, in its context."""
        loop, context = self._app.loop, self._app.context
        if loop is not None and context is not None:
            # If the loop is closed, the line has ended. The printer will see `detach`.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(flush, context=context.copy())

    def print_above(self, text: str) -> bool:
        """Erase the line, write the text and draw the line again, in one write."""
        app = self._app
        if app.is_done or not app.is_running:
            return False
        with self._output.held():
            app.renderer.erase(leave_alternate_screen=False)
            self._output.write_raw(text)
            app.renderer.request_absolute_cursor_position()
            # Make the renderer discard cached texts, such as the toolbar of the last drawing.
            app.render_counter += 1
            app.renderer.render(app, app.layout)
        return True


_GAP = " · "


def short_url(url: str) -> str:
    """Return a short name for a server: its host, its port and the path before `/websocket`, escaped."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    path = path.removesuffix("websocket").strip("/")
    return escape_line(host + (f"/{path}" if path else "") if slash else rest or scheme)


def prompt_text(shell: Shell, width: int) -> str:
    """Return the prompt: `localhost:3000> `, or the server's name. In a narrow window it is cut."""
    profile = shell.link.profile
    name = (escape_line(profile.name or "") if profile is not None else "") or short_url(shell.link.url) or "ddp"
    return clip(name, max(3, width // 3)) + "> "


def toolbar(shell: Shell, width: int) -> StyledText:
    """Return the toolbar: state, server, user, calls and round-trip time. The last parts are left out if they do not fit."""
    (style, first), *parts = _toolbar_parts(shell)
    text: StyledText = [(style, clip(first, width))]
    used = cell_width(first)
    for style, part in parts:
        used += len(_GAP) + cell_width(part)
        if used > width:
            break
        text += [("", _GAP), (style, part)]
    return text


def _toolbar_parts(shell: Shell) -> StyledText:
    client = shell.link.current_client
    if client is None:
        return [("state", "connecting"), ("", short_url(shell.link.url))]
    status = client.status
    [(style, state)] = state_text(status)
    parts: StyledText = [(style, state), ("", short_url(status.url))]
    user = shell.link.user or status.user_id
    if user is not None:
        parts.append(("", escape_line(user)))
    if pending := len(shell.jobs.pending):
        parts.append(("state", f"{pending:,} pending"))
    if status.unsent:
        parts.append(("state", f"{plural(status.unsent, 'call')} in the outbox"))
    if status.to_resend:
        parts.append(("state", f"{plural(status.to_resend, 'call')} to send again"))
    # An older one says nothing about the present.
    if status.is_connected and shell.clock.now() - shell.link.round_trip_measured <= _ROUND_TRIP_AGE:
        parts.append(("", duration(shell.link.round_trip)))
    if shell.link.frame_filter is not None:
        parts.append(("", "debug"))
    return parts


# ---------------------------------------------------------------------------------------------------------- the history

#: The largest size of the file in bytes. If it is larger, the shell deletes the older half.
SIZE_LIMIT = 4 << 20


class ShellHistory(FileHistory):
    """The history of a user, in a file that other users cannot read.

    Args:
        path: The file. A missing folder is created.
        warn: Called once with a message if the history cannot be read or written.
    """

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        super().__init__(path)
        self._path = path
        self._warn: Callable[[str], object] | None = warn

    def append_string(self, string: str) -> None:
        """Add a line, unless it contains a secret."""
        if string.strip() and not is_private(string):
            super().append_string(string)

    def oldest_first(self) -> list[str]:
        """Return all lines of this session and of earlier ones."""
        return list(reversed(self.load_history_strings()))

    def load_history_strings(self) -> list[str]:
        """Read the file. If it cannot be read, return no lines."""
        try:
            self._shorten()
            return list(super().load_history_strings())
        except OSError as error:
            self._fail(error)
            return []

    def store_string(self, string: str) -> None:
        """Append a line to the file."""
        try:
            make_private(self._path.parent)
            if not self._path.exists():
                os.close(os.open(self._path, os.O_CREAT | os.O_APPEND, 0o600))
            if self._path.is_file() and self._path.stat().st_mode & 0o777 != 0o600:
                self._path.chmod(0o600)
            super().store_string(string)
        except OSError as error:
            self._fail(error)

    def _shorten(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size <= SIZE_LIMIT:
                return
            data = self._path.read_bytes()[-SIZE_LIMIT // 2 :]
            # Each entry begins with a comment line.
            replace_private(self._path, data[data.find(b"\n# ") :])

    def _fail(self, error: OSError) -> None:
        warn, self._warn = self._warn, None
        if warn is not None:
            warn(f"the history is not saved: {error.filename or self._path}: {error.strerror}")
