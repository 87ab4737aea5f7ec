"""Transcripts of DDP as tests: what a session receives and what it must send and report, line by line.

    book.play('''
        open
        << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
        >> {"msg":"connected","session":"S"}
        !! SessionEstablished
    ''')

`>>` is a message that the session receives, and `<<` a message that it must send. `!!` is an event that it must report: the
name of the class, then any of its fields as Python prints them. `open`, `lost` and `wait SECONDS` are the other steps.
A `#` begins a comment. Anything that the session sends or reports beyond the script is a failure, and the
failure shows both sides.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator

from ddpshell.protocol.client_session import ClientSession
from ddpshell.protocol.events import CallFinished, SessionEvent

__all__ = ["CONNECTED", "Playbook", "counting_random", "finished"]

#: The steps that establish a session.
CONNECTED = """
    open
    << {"msg":"connect","version":"1","support":["1","pre2","pre1"]}
    >> {"msg":"connected","session":"one"}
    !! SessionEstablished session='one'; resumed=False
"""


class Playbook:
    """One client session and its time.

    Args:
        session: The session to test; by default a new one.
    """

    def __init__(self, session: ClientSession | None = None) -> None:
        self.session = session or ClientSession(counting_random())
        self.now = 0.0
        #: All events so far.
        self.events: list[SessionEvent] = []

    def play(self, script: str) -> None:
        """Run a script, and compare what the session does."""
        expected = [line for raw in script.splitlines() if (line := raw.partition(" #")[0].strip())]
        actual: list[str] = []
        pending: Iterator[str] = iter(self._collect(expected))
        for line in expected:
            if line.startswith(("<<", "!!")):
                actual.append(next(pending, "(nothing)"))
                continue
            # Before something happens, collect what the session did until now.
            actual += pending
            actual.append(line)
            self._happen(line)
            pending = iter(self._collect(expected))
        actual += pending
        wanted = [_normal(line) for line in expected]
        if actual != wanted:
            difference = "\n".join(line[:500] for line in difflib.ndiff(wanted, actual))
            raise AssertionError(f"the session deviates from the script (- script, + session):\n{difference}")

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
        """Let time pass, and run each timer when it is due."""
        end = self.now + seconds
        while (deadline := self.session.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.session.handle_timer(self.now)
        self.now = end

    def _collect(self, expected: list[str]) -> list[str]:
        """Return the new events and messages of the session as lines of a script, events first."""
        events = self.session.events_received()
        self.events += events
        told = [_as_scripted(repr(event), expected) for event in events]
        return told + [_normal(f"<< {text}") for text in self.session.texts_to_send()]


def finished(book: Playbook) -> list[tuple[str, object]]:
    """Return the finished calls, each as its id and its result or error."""
    return [
        (event.id, event.error if event.error is not None else event.result)
        for event in book.events
        if isinstance(event, CallFinished)
    ]


def counting_random() -> Callable[[], float]:
    """Return a source of predictable numbers, with which random ids are `222...`, `333...` and so on."""
    state = iter(range(10**9))

    def fraction() -> float:
        return (next(state) // 17 % 55) / 55

    return fraction


def _normal(line: str) -> str:
    """Return a line in a form that ignores spaces and the order of keys in JSON."""
    mark, _, rest = line.partition(" ")
    if mark in ("<<", ">>") and rest.startswith("{"):
        return f"{mark} {json.dumps(json.loads(rest), sort_keys=True)}" if mark == "<<" else line
    return line


def _as_scripted(event: str, expected: list[str]) -> str:
    """Return the line of the script that describes an event by its class, or by its class and fields. If there is none, return the event."""
    name, _, fields = event.partition("(")
    for line in expected:
        words = line.removeprefix("!! ").split(" ", 1)
        if line.startswith("!!") and words[0] == name and all(field in fields for field in _fields(words[1:])):
            return line
    return f"!! {event}"


def _fields(words: list[str]) -> list[str]:
    return [field for word in words for field in word.split("; ")]
