"""Transcripts of DDP as tests: what a session hears and what it must say, line by line.

    book.play('''
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"msg":"connected","session":"S"}
        !! SessionEstablished
    ''')

`>>` is received, `<<` must have been sent, `!!` must have been told: the class of the event, and after it the values of
its fields as Python would print them, as many as matter. `open`, `lost` and `wait SECONDS` are what else may happen.
A `#` begins a remark. Whatever the session says or tells and the script does not have is a failure, and the
failure shows both sides.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator

from ddpshell.protocol.client_session import ClientSession
from ddpshell.protocol.events import CallFinished, SessionEvent

__all__ = ["CONNECTED", "Playbook", "counting_random", "finished"]

#: How a session comes to stand.
CONNECTED = """
    open
    << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
    >> {"msg":"connected","session":"one"}
    !! SessionEstablished session='one'; resumed=False
"""


class Playbook:
    """One client session, and the time it lives in.

    Args:
        session: Under test; a new one unless given.
    """

    def __init__(self, session: ClientSession | None = None) -> None:
        self.session = session or ClientSession(counting_random())
        self.now = 0.0
        #: All that was told so far.
        self.events: list[SessionEvent] = []

    def play(self, script: str) -> None:
        """Do what a script says, and compare."""
        expected = [line for raw in script.splitlines() if (line := raw.partition(" #")[0].strip())]
        actual: list[str] = []
        pending: Iterator[str] = iter(self._collect(expected))
        for line in expected:
            if line.startswith(("<<", "!!")):
                actual.append(next(pending, "(nothing)"))
                continue
            # Something happens: by now the script must have had all that came of what happened before.
            actual += pending
            actual.append(line)
            self._happen(line)
            pending = iter(self._collect(expected))
        actual += pending
        wanted = [_normal(line) for line in expected]
        if actual != wanted:
            difference = "\n".join(line[:500] for line in difflib.ndiff(wanted, actual))
            raise AssertionError(f"the session did otherwise (- script, + session):\n{difference}")

    def _happen(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        actions: dict[str, Callable[[], object]] = {
            ">>": lambda: self.session.receive_text(rest, self.now),
            "open": lambda: self.session.connection_made(self.now),
            "lost": self.session.receive_eof,
            "wait": lambda: self._wait(float(rest)),
        }
        actions[word]()

    def _wait(self, seconds: float) -> None:
        """Let time pass, with every timer at its time."""
        end = self.now + seconds
        while (deadline := self.session.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.session.handle_timer(self.now)
        self.now = end

    def _collect(self, expected: list[str]) -> list[str]:
        """What the session has to say, events first, each as the script would have it."""
        events = self.session.events_received()
        self.events += events
        told = [_as_scripted(repr(event), expected) for event in events]
        return told + [_normal(f"<< {text}") for text in self.session.texts_to_send()]


def finished(book: Playbook) -> list[tuple[str, object]]:
    """The calls that are done, by id, with what became of them."""
    return [
        (event.id, event.error if event.error is not None else event.result)
        for event in book.events
        if isinstance(event, CallFinished)
    ]


def counting_random() -> Callable[[], float]:
    """Random numbers that are none: ids are then `222...`, `333...` and so on, 17 of each."""
    state = iter(range(10**9))

    def fraction() -> float:
        return (next(state) // 17 % 55) / 55

    return fraction


def _normal(line: str) -> str:
    """A line in the form in which two of them are compared: JSON without regard to spaces and order of keys."""
    mark, _, rest = line.partition(" ")
    if mark in ("<<", ">>") and rest.startswith("{"):
        return f"{mark} {json.dumps(json.loads(rest), sort_keys=True)}" if mark == "<<" else line
    return line


def _as_scripted(event: str, expected: list[str]) -> str:
    """An event as some line of the script has it, if one has: by its class, or by class and some fields."""
    name, _, fields = event.partition("(")
    for line in expected:
        words = line.removeprefix("!! ").split(" ", 1)
        if line.startswith("!!") and words[0] == name and all(field in fields for field in _fields(words[1:])):
            return line
    return f"!! {event}"


def _fields(words: list[str]) -> list[str]:
    return [field for word in words for field in word.split("; ")]
