"""What a client tells, and what of it is shown. Everything here runs on the client's thread, and is quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import __version__
from ..client.events import (
    CallFinished,
    Connecting,
    ConnectionDropped,
    ConnectionFailed,
    DocumentAdded,
    DocumentChanged,
    DocumentMoved,
    DocumentRemoved,
    Event,
    FrameReceived,
    FrameSent,
    LoggedIn,
    LoggedOut,
    Offline,
    SessionEstablished,
    SubscriptionReady,
    SubscriptionStopped,
    VersionRefused,
    Waiting,
    Warned,
)
from ..exceptions import ConnectError, DDPError, ServerError
from ..protocol.server_error import is_unknown_name
from ..text.escaping import escape_line
from ..text.palette import StyledText
from ..text.prose import duration, plural
from .registry import Role

if TYPE_CHECKING:
    from ..client.events import DocumentEvent
    from .state import Shell

__all__ = ["Observer"]

# How much of a session's id is shown.
_NAME = 4


class Observer:
    """Watches one client for a shell: it is what the client calls with its events.

    Args:
        shell: Where to show them.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._url = ""
        #: Whether the client is the shell's still; what others tell is of no interest.
        self.is_current = True
        self._was_connected = False  # there has been a session
        self._dropped: ConnectionDropped | None = None  # the loss that is not made up for
        self._told: str | None = None  # what was last said about not being connected
        #: Whether somebody has asked for an attempt, and wants to hear of it.
        self.is_asked = False

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if not self.is_current:
            return
        match event:
            case FrameSent(text) | FrameReceived(text):
                self._frame(text, is_sent=isinstance(event, FrameSent))
            case DocumentAdded():
                self._shell.names.add_fields(event.collection, event.fields)
                # What comes with a subscription is counted when it is ready.
                if not self._shell.subscriptions.count_added(event.collection, self._shell.clock.now()):
                    self._change(event)
            case DocumentChanged() | DocumentRemoved() | DocumentMoved():
                self._change(event)
            case CallFinished():
                self._learn(Role.METHOD, event.method, event.error)
            case SubscriptionReady():
                self._learn(Role.PUBLICATION, event.name, None)
            case SubscriptionStopped(error=DDPError()):
                self._learn(Role.PUBLICATION, event.name, event.error)
            case Warned(text, harmless=False):
                self._shell.display.warn(text)
            case _:
                self._connection(event)

    def _learn(self, role: Role, name: str, error: DDPError | None) -> None:
        """Learn from an answer of the server whether it has a method or a publication."""
        if isinstance(error, ServerError) and is_unknown_name(error):
            self._shell.names.forget(role, name)
        elif error is None or isinstance(error, ServerError):
            self._shell.names.add(role, name)

    def _frame(self, text: str, *, is_sent: bool) -> None:
        shell = self._shell
        if shell.debug is not None and shell.debug.shows(text):
            shell.display.frame(text, is_sent=is_sent, when=shell.clock.wall())

    def _change(self, event: DocumentEvent) -> None:
        shell = self._shell
        if shell.settings.is_on("changes") and not shell.watches.covers(event.collection):
            shell.display.change(None, event)

    def _connection(self, event: Event) -> None:
        match event:
            case Connecting(url):
                self._url = url
            case SessionEstablished():
                self._established(event)
            case ConnectionDropped():
                self._dropped = event
            case Waiting(seconds):
                self._waiting(seconds)
            case Offline():
                self._note([("state", "disconnected"), ("note", "; what is sent waits until `connect`")])
            case ConnectionFailed(error):
                self._note([*_reason("not connected", error), ("note", "; `reconnect` tries again")])
            case VersionRefused(suggested=suggested):
                self._note([("note", f"the server would rather speak DDP {escape_line(suggested)}")])
            case LoggedOut(error):
                self._logged_out(error)
            case LoggedIn() | _:
                pass

    def _logged_out(self, error: DDPError | None) -> None:
        user, self._shell.user = self._shell.user, None
        if error is None:
            return
        text = _reason("logged out", error)
        subscriptions = len(self._shell.subscriptions.all())
        if subscriptions:
            go_on = plural(subscriptions, "subscription goes on", "subscriptions go on")
            text.append(("note", f"; {go_on} without a user"))
        text.append(("hint", f"; `login {escape_line(user or 'USER')}` logs in again"))
        self._note(text)

    def _established(self, event: SessionEstablished) -> None:
        # Enough of it to see whether it is another one; `status` has all.
        name = "without an id" if event.session is None else event.session
        if event.session is not None and len(name) > _NAME:
            name = f"{name[:_NAME]}..."
        session = f"session {escape_line(name)}, {duration(event.round_trip)}"
        if not self._was_connected:
            # The version in short, as it is spoken.
            version = ".".join(__version__.split(".")[:2])
            text: StyledText = [("", f"ddp {version} - "), ("good", "connected"), ("", f" to {escape_line(self._url)}")]
            self._note([*text, ("note", f" ({session})")])
        else:
            how = "resumed" if event.resumed else "new"
            text = [("good", "connected again"), ("note", f" ({how} {session})")]
            again = [
                plural(count, noun)
                for count, noun in ((event.resent_calls, "call"), (event.resent_subs, "subscription"))
                if count
            ]
            self._note([*text, ("", f": sent again: {', '.join(again)}")] if again else text)
        self._was_connected = True
        self._dropped = self._told = None
        self.is_asked = False

    def _waiting(self, seconds: float) -> None:
        dropped = self._dropped
        if dropped is None:
            return
        what = "connection lost" if self._was_connected and self._told is None else "not connected"
        # The same reason again is told by the toolbar, with the seconds that are left.
        if str(dropped.error) == self._told and not self.is_asked:
            return
        self.is_asked = False
        self._told = str(dropped.error)
        text = _reason(what, dropped.error)
        text.append(("note", f"; next attempt in {duration(seconds)}"))
        if dropped.outstanding:
            text.append(("note", f"; {plural(dropped.outstanding, 'call waits', 'calls wait')}"))
        self._note(text)

    def _note(self, text: StyledText) -> None:
        self._shell.display.note(text)


def _reason(what: str, error: DDPError) -> StyledText:
    text: StyledText = [("state", what), ("", f": {escape_line(str(error))}")]
    if isinstance(error, ConnectError) and error.hint:
        text.append(("hint", f" ({escape_line(error.hint)})"))
    return text
