"""The full-screen view of a live table: its keys, its colors, and the terminal, which is left as it was found."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from prompt_toolkit.application import Application
from prompt_toolkit.filters import Condition, Filter
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from ...clock import switch_interval
from ...text.escaping import escape_line
from ...text.palette import STYLES, StyledText, named_style, plain
from ...text.prose import cell_width, clip
from ..commands.session import state_text
from ..live import LiveTable
from .output import standard_output

if TYPE_CHECKING:
    from ...client import Client
    from ...client.events import DocumentEvent


# Seconds between two drawings of changes. Keys are drawn at once.
_INTERVAL = 0.05
# Seconds of work between two looks at the keys.
_PORTION = 0.005
# Seconds after which one thread lets another run; five times as often as usual.
_SWITCH_INTERVAL = 0.001
# Seconds after which Escape is a key of its own, and not the beginning of a sequence.
_ESCAPE_TIMEOUT = 0.05

# Windows has no SIGHUP.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)]

_KEYS = "↑↓ move  / filter  Enter open  ←→ columns  q leave"
_KEYS_OF_SEVERAL = "↑↓ move  / filter  Enter open  ←→ columns  Tab next collection  q leave"
_KEYS_OF_DOCUMENT = "↑↓ scroll  Esc back  q leave"

_LIVE_STYLES = {
    "live.title": "reverse",
    "live.heading": "bold underline",
    "live.selected": "reverse",
    "live.row.lit": "bold fg:ansiblack bg:ansiyellow",
    "live.selected.lit": "noreverse bold underline fg:ansiblack bg:ansiyellow",
    "live.status": "",
    "live.problem": "fg:ansired",
}


class LiveScreen:
    """Shows a live table until the user leaves.

    Args:
        table: The table.
        what: The publication and its arguments, escaped.
        client: The client whose documents are in the table.
        is_colored: Whether to use colors.
    """

    def __init__(self, table: LiveTable, what: str, client: Client, *, is_colored: bool) -> None:
        self._table = table
        self._what = what
        self._client = client
        self._is_typing = False
        # Whether work is due already.
        self._is_scheduled = False
        self._loop: AbstractEventLoop | None = None
        self._signal: int | None = None
        self._is_over = False
        # When the last changes were drawn.
        self._drawn = 0.0
        self._is_late = False
        self._output = standard_output()
        self._app: Application[None] = Application(
            Layout(
                HSplit(
                    [
                        Window(FormattedTextControl(self._title, show_cursor=False), height=1),
                        Window(FormattedTextControl(self._body, show_cursor=False)),
                        Window(FormattedTextControl(self._last_line, show_cursor=False), height=1),
                    ]
                )
            ),
            key_bindings=self._bindings(),
            style=Style.from_dict({name: named_style(code) for name, code in STYLES.items()} | _LIVE_STYLES),
            include_default_pygments_style=False,
            full_screen=True,
            # The status shows seconds.
            refresh_interval=1.0,
            color_depth=None if is_colored else ColorDepth.DEPTH_1_BIT,
            output=self._output,
        )
        self._app.ttimeoutlen = self._app.timeoutlen = _ESCAPE_TIMEOUT

    def put(self, event: DocumentEvent) -> None:
        """Show a change. Any thread may call it."""
        self._table.put(event)
        self._schedule(_INTERVAL)

    def end(self) -> None:
        """Leave the screen. Any thread may call it."""
        self._is_over = True
        loop = self._loop
        if loop is not None:
            self._call(loop, self._exit)

    def run(self, seconds: float | None = None) -> bool:
        """Show the table until the user leaves, or `end` is called.

        Args:
            seconds: The longest time; None for no limit.

        Returns:
            False if the time is over.
        """
        with _guarded(), self._signals_handled(), switch_interval(_SWITCH_INTERVAL):
            # An error in a key or a drawing must not wait for Enter in a screen that is broken.
            self._app.run(pre_run=lambda: self._begin(seconds), set_exception_handler=False, handle_sigint=False)
        if self._signal is not None:
            # The terminal is as it was, so that the signal can do now what it does everywhere else.
            signal.raise_signal(self._signal)
        return not self._is_late

    # --------------------------------------------------------------------------------------------------------- work

    def _begin(self, seconds: float | None) -> None:
        loop = self._app.loop
        assert loop is not None, "the application runs"
        loop.set_exception_handler(self._fail)
        self._loop = loop
        for number in _SIGNALS:
            # Outside of the main thread, and in the event loop of Windows, there are no signals.
            with contextlib.suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self._interrupt, number)
        if self._is_over:
            self._exit()
        if seconds is not None:
            loop.call_later(max(0.0, seconds), self._expire)
        self._schedule(0.0)

    def _expire(self) -> None:
        self._is_late = True
        self._exit()

    def _work(self) -> None:
        self._is_scheduled = False
        loop = self._loop
        if loop is None or not self._app.is_running:
            return
        is_left = self._table.work(_PORTION)
        if not is_left or loop.time() >= self._drawn + _INTERVAL:
            self._drawn = loop.time()
            self._app.invalidate()
        if is_left:
            # Keys come first.
            self._schedule(0.001)
        elif (change := self._table.next_change()) is not None:
            loop.call_later(max(0.0, change + 0.01), self._app.invalidate)

    def _schedule(self, seconds: float) -> None:
        """Have changes applied after some seconds, unless that is due already. Any thread may call it."""
        loop = self._loop
        if loop is not None and not self._is_scheduled:
            self._is_scheduled = True
            self._call(loop, lambda: loop.call_later(seconds, self._work))

    def _call(self, loop: AbstractEventLoop, function: Callable[[], object]) -> None:
        # If the loop is closed, the screen is gone.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(function)

    def _exit(self) -> None:
        if self._app.is_running and not self._app.is_done:
            self._app.exit()

    def _interrupt(self, number: int) -> None:
        self._signal = number
        self._exit()

    def _fail(self, loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and self._app.is_running and not self._app.is_done:
            self._app.exit(exception=error)

    @contextlib.contextmanager
    def _signals_handled(self) -> Iterator[None]:
        """Restore the handlers of signals, which the loop replaces by the system's defaults when it ends."""
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            yield
        finally:
            self._loop = None
            with contextlib.suppress(ValueError):
                for number, handler in before.items():
                    signal.signal(number, handler)

    # --------------------------------------------------------------------------------------------------------- lines

    def _title(self) -> StyleAndTextTuples:
        return _fragments([self._table.title(self._what, self._output.columns)])

    def _body(self) -> StyleAndTextTuples:
        size = self._output.get_size()
        return _fragments(self._table.body(size.columns, max(1, size.rows - 2)))

    def _last_line(self) -> StyleAndTextTuples:
        table, width = self._table, self._output.columns
        if self._is_typing:
            text = f"/{escape_line(table.filter)}"
            # The end of a long filter is visible, and the cursor after it.
            while cell_width(text) > width - 1:
                text = text[1:]
            note = self._filter_note(width - cell_width(text) - 1)
            return [("class:live.status", text), ("reverse", " "), note]
        keys = _KEYS_OF_DOCUMENT if table.is_open else _KEYS_OF_SEVERAL if table.collections > 1 else _KEYS
        status = self._client.status
        parts = ["" if status.is_connected else plain(state_text(status))]
        if table.filter and not table.is_open:
            parts.append(f"/{escape_line(table.filter)}{self._filter_note(width)[1]}")
        text = "  ".join([part for part in (*parts, keys) if part])
        return [("class:live.status", clip(text, width))]

    def _filter_note(self, room: int) -> tuple[str, str]:
        """Return how many documents match, or what is wrong with the filter."""
        table = self._table
        if table.problem:
            return ("class:live.problem", clip(f"  {escape_line(table.problem)}", room))
        return ("class:live.status", clip(f"  {len(table.matching):,} match", room) if table.filter else "")

    # ---------------------------------------------------------------------------------------------------------- keys

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        table = self._table
        typing = Condition(lambda: self._is_typing)
        is_open = Condition(lambda: table.is_open)

        def bind(*names: str, action: Callable[[], object], when: Filter = ~typing) -> None:
            for name in names:
                keys.add(name, filter=when)(lambda event: action())

        bind("q", "Q", "c-c", "c-d", action=self._exit)
        bind("up", "k", action=lambda: table.move(-1))
        bind("down", "j", action=lambda: table.move(1))
        bind("pageup", "c-b", action=lambda: table.move_page(-1))
        bind("pagedown", "c-f", " ", action=lambda: table.move_page(1))
        bind("home", "g", action=lambda: table.move_to_end(last=False))
        bind("end", "G", action=lambda: table.move_to_end(last=True))
        bind("left", "h", action=lambda: table.move_columns(-1))
        bind("right", "l", action=lambda: table.move_columns(1))
        bind("tab", action=table.next_collection)
        bind("s-tab", action=lambda: table.next_collection(-1))
        bind("enter", action=lambda: table.close() if table.is_open else table.open())
        bind("escape", action=lambda: table.close() if table.is_open else self._set_filter(""))
        keys.add("c-z")(lambda event: event.app.suspend_to_background())
        bind("/", action=lambda: self._set_typing(True), when=~typing & ~is_open)
        bind("enter", action=lambda: self._set_typing(False), when=typing)
        bind("escape", "c-c", action=self._discard_filter, when=typing)
        bind("backspace", "c-h", action=lambda: self._set_filter(table.filter[:-1]), when=typing)
        bind("c-u", action=lambda: self._set_filter(""), when=typing)

        @keys.add(Keys.Any, filter=typing)
        @keys.add(Keys.BracketedPaste, filter=typing)
        def _(event: KeyPressEvent) -> None:
            self._set_filter(table.filter + " ".join(event.data.split("\n")))

        return keys

    def _set_typing(self, is_typing: bool) -> None:
        self._is_typing = is_typing

    def _discard_filter(self) -> None:
        self._is_typing = False
        self._set_filter("")

    def _set_filter(self, text: str) -> None:
        self._table.set_filter(text)
        # After the key is drawn.
        self._schedule(0.001)


def _fragments(lines: list[StyledText]) -> StyleAndTextTuples:
    found: StyleAndTextTuples = []
    for line in lines:
        if found:
            found.append(("", "\n"))
        found += [(f"class:{style}" if style else "", text) for style, text in line]
    return found


# ------------------------------------------------------------------------------------------------------------- the guard

# It waits for the end of its input. A word means that all is well. An end without a word means that the program was killed:
# then the guard restores the modes of the terminal, unless a shell has done that already, leaves the alternate screen, and
# shows the cursor. It ignores the signals of the terminal, because it is in the background.
_GUARD = """trap '' TTOU TTIN HUP INT QUIT TERM
read -r word && exit
case $(stty -a < /dev/tty) in *-isig*) stty "$1" < /dev/tty ;; esac
printf '\\033[?1049l\\033[?25h\\033[0m' > /dev/tty
"""


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Have the terminal restored during a `with` block even if this process is killed."""
    guard: subprocess.Popen[bytes] | None = None
    stty = shutil.which("stty")
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        modes = subprocess.run(
            [stty or "stty", "-g"], stdin=sys.stdin, capture_output=True, check=True, timeout=5
        ).stdout
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "ddp-guard", modes.decode().strip()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    try:
        yield
    finally:
        if guard is not None:
            with contextlib.suppress(OSError):
                guard.communicate(b"done\n", timeout=5)
