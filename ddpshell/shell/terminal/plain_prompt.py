"""A plain prompt for terminals that cannot move the cursor, and the tour of `ddp demo --tour`, which uses that prompt."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from msgspec import Struct

from ...text.palette import terminal_text
from ..parser import Continuation
from ..state import Shell
from .modes import ask_at_terminal, has_modes, hidden
from .output import PlainScreen
from .printer import Printer
from .prompt import prompt_text


class PlainPrompt:
    """A prompt for terminals that cannot move the cursor (TERM=dumb). The terminal itself edits the line.

    Output during the input goes on rows of its own, and the prompt appears again below it. The text that the user has typed
    stays above, and still counts.

    Args:
        shell: The shell that runs the lines.
        printer: Writes to the terminal.
        screen: The output of the terminal.
        keys: Standard input.
        remember: Called with each text, for the history.
    """

    def __init__(
        self, shell: Shell, printer: Printer, screen: PlainScreen, keys: TextIO, remember: Callable[[str], object]
    ) -> None:
        self.can_draw = False
        self._shell = shell
        self._printer = printer
        self._screen = screen
        self._keys = keys
        self._remember = remember

    def read(self) -> str:
        """Read a command. It ends with Enter, unless a bracket or a comment is open.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C, which discards the text.
            EOFError: The user pressed Ctrl-D on an empty line.
        """
        continuation = Continuation()
        lines = [self._read_line(prompt_text(self._shell, self._screen.columns))]
        while continuation.continues_after(lines[-1]):
            lines.append(self._read_line("... "))
        text = "\n".join(lines)
        self._remember(text)
        return text

    def ask_secret(self, question: str) -> str:
        """Ask for a secret, which is not shown."""
        if not has_modes():
            self._printer.flush()
            return ask_at_terminal(question, is_hidden=True)
        with hidden(self._keys):
            answer = self._read_line(question)
        self._printer.flush()
        self._screen.write_raw("\n")
        self._screen.flush()
        return answer

    def ask(self, question: str) -> str:
        """Ask for a text."""
        return self._read_line(question)

    def clear(self) -> None:
        """Do nothing, because this terminal cannot be cleared."""

    @contextlib.contextmanager
    def hand_over(self) -> Iterator[None]:
        """Let another program use the terminal during a `with` block."""
        self._printer.flush()
        with self._printer.paused():
            yield

    def _read_line(self, question: str) -> str:
        self._printer.flush()
        # Other threads must not write between the question and `attach`.
        with self._printer.paused():
            self._screen.write_raw(question)
            self._screen.flush()
            self._printer.attach(_PlainLine(self._screen, question))
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


class _PlainLine:
    """The line of a plain prompt; see `PromptLine`."""

    def __init__(self, screen: PlainScreen, question: str) -> None:
        self._screen = screen
        self._question = question

    def request_flush(self, flush: Callable[[], None]) -> None:
        """Call `flush` at once, because no other thread writes."""
        flush()

    def print_above(self, text: str) -> bool:
        """Write below the typed text, and write the question again."""
        self._screen.write_raw(f"\n{text}{self._question}")
        self._screen.flush()
        return True


# ---------------------------------------------------------------------------------------------------------------- the tour

# Seconds to wait for the connection, and for the answers to a command, before the next step.
_PATIENCE = 10.0

_GREETING = "Press Enter to run each command. To leave, type q and press Enter."
_FAREWELL = "This was the tour. To type commands yourself: ddp demo. For your own server: ddp -u HOST:PORT."


class Step(Struct, frozen=True):
    """One step of the tour.

    Args:
        text: What the command shows.
        command: The command.
        waits: Whether the next step waits for the answer.
    """

    text: str
    command: str
    waits: bool = True


STEPS = (
    Step("A call of a method. The results are numbered, and $1 is the first one.", 'call upper "Hello"'),
    Step(
        "Arguments are earlier results, objects without quotes around their keys, dates, and more.",
        'call echo $1 {n: 1, when: Date("2026-01-02")}',
    ),
    Step("$_ is the last result, and this is a part of it.", "echo $_[1].when"),
    Step("An unknown name is answered with the nearest known one.", 'call uper "Hello"'),
    Step("An invalid value is found before anything is sent.", "call upper {a 1}"),
    Step("An error of the server has its details.", "call fail"),
    Step("A subscription brings documents into a local collection.", "sub tasks"),
    Step(
        "MongoDB's selectors find documents in it; the server is not asked.",
        "find tasks {done: false} --sort -n --limit 1",
    ),
    Step("The same, as a table.", "find tasks --fields title,done --table"),
    Step("When the server changes a document, the change is shown: ~ for a changed field.", "call toggleTask b"),
    Step("A watch shows the documents that match, and from then on their changes.", "watch tasks {done: false}"),
    Step("This task matches.", 'call addTask "tell a friend"'),
    Step("The number of the watch ends it.", "unwatch 9"),
    Step("The prompt does not wait for an answer.", "call slow 1000", waits=False),
    Step("These commands have no answer yet.", "pending", waits=False),
    Step("You can wait for them.", "wait"),
    Step("These are the messages that the client and the server really send.", "debug on upper"),
    Step("-> is sent, <- is received.", 'call upper "wire"'),
    Step("Enough of them.", "debug off"),
    Step("Text from a server cannot harm the terminal: control characters are escaped.", r'call echo "\u001b[2J"'),
    Step("Without a connection ...", "disconnect"),
    Step("... a call waits ...", 'call upper "sent later"', waits=False),
    Step("... and is sent when there is a connection again. The subscriptions are renewed, too.", "connect"),
    Step("The demo server has a user, alice. The tour types her password.", "login alice"),
    Step("The server knows who you are, until you log out.", "call whoami"),
    Step("This ends the login.", "logout"),
    Step("Where you are, and what is going on.", "status"),
    Step("All commands. `help call` explains one of them.", "help"),
)


class TourPrompt(PlainPrompt):
    """A prompt at which the commands are typed by themselves.

    Args:
        shell: The shell that runs the commands.
        printer: Writes to the terminal.
        screen: The output.
        keys: Standard input, where the reader presses Enter; None to run all commands without waiting.
        is_colored: Returns whether to write colors.
    """

    def __init__(
        self, shell: Shell, printer: Printer, screen: PlainScreen, keys: TextIO | None, is_colored: Callable[[], bool]
    ) -> None:
        super().__init__(shell, printer, screen, keys or sys.stdin, lambda text: None)
        self._enter = keys
        self._is_colored = is_colored
        self._steps = iter(STEPS)
        self._previous: Step | None = None

    def read(self) -> str:
        """Show the next step, and return its command when the reader presses Enter.

        Raises:
            EOFError: There are no more steps, or the reader wants to leave.
        """
        try:
            return self._next_command()
        except KeyboardInterrupt:
            raise EOFError from None

    def _next_command(self) -> str:
        if self._previous is None:
            self._shell.client.wait_connected(_PATIENCE)
            if self._enter is not None:
                self._say(_GREETING)
        elif self._previous.waits:
            self._shell.wait({job.number for job in self._shell.jobs.pending}, _PATIENCE)
        step = self._previous = next(self._steps, None)
        if step is None:
            self._say(_FAREWELL)
            raise EOFError
        line = prompt_text(self._shell, self._screen.columns) + step.command
        if self._enter is None:
            # At once, so that no event comes between them.
            self._say(step.text, f"{line}\n")
            return step.command
        self._say(step.text)
        if self._read_line(line).strip().lower() in ("q", "quit", "exit"):
            raise EOFError
        return step.command

    def ask_secret(self, question: str) -> str:
        """Type the password of the demo's user."""
        self._write(question, "***\n")
        return "wonderland"

    def _say(self, text: str, line: str = "") -> None:
        self._write("\n", terminal_text([("comment", f"# {text}")], color=self._is_colored()), "\n", line)

    def _write(self, *texts: str) -> None:
        self._printer.flush()
        with self._printer.paused():
            self._screen.write_raw("".join(texts))
            self._screen.flush()
