"""The link between a shell and its server: the client, its login, and the lines that report its events."""

from __future__ import annotations

import math
import shlex
import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from .. import __version__
from ..advice import Place, advice
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
    LoggedOut,
    Offline,
    PongReceived,
    SessionEstablished,
    SubscriptionReady,
    SubscriptionStopped,
    VersionRefused,
    Waiting,
    Warned,
)
from ..clock import Clock
from ..exceptions import CommandError, ConnectError, DDPError, InvalidURL, NegotiationError, ServerError
from ..logins import LoginStore, end_login, end_replaced
from ..protocol.accounts import LoginToken
from ..protocol.server_error import is_unknown_name
from ..protocol.urls import parse_url
from ..text.escaping import escape_line
from ..text.palette import StyledText
from ..text.prose import duration, plural
from .jobs import Subscriptions, Watch
from .names import Names
from .registry import Role
from .settings import Settings
from .terminal.display import Display

if TYPE_CHECKING:
    from ..analysis.recording import LiveRecorder
    from ..analysis.timeline import FrameFilter
    from ..client import Client
    from ..client.events import DocumentEvent


#: Seconds that a shell which ends waits for a logout, and for each program that it feeds.
DISCONNECT_TIMEOUT = 2.0

# How many characters of a session's id are shown.
_ID_LENGTH = 4


#: Creates a client with the options of the command line, which connects in the background.
#:
#: Its arguments are the server's address (None for the server that the options name), and a function that gets each event of
#: the client. It raises InvalidURL if the address is not valid.
Connect: TypeAlias = "Callable[[str | None, Callable[[Event], object]], Client]"


class Profile(Struct, frozen=True):
    """A server with a name.

    Args:
        name: The user's name for it; None if it has none.
        url: Its address.
        color: The color of its name in the prompt, or None.
        confirm: Ask before each call.
        allow: Patterns for the methods about which not to ask.
    """

    name: str | None
    url: str
    color: str | None = None
    confirm: bool = False
    allow: Sequence[str] = ()

    def asks_before(self, method: str) -> bool:
        """Whether a call of this method needs a confirmation."""
        return self.confirm and not any(fnmatchcase(method, pattern) for pattern in self.allow)


class Hooks(Struct):
    """What the command line decides for a shell.

    Args:
        connect: Creates clients.
        log_in: Called with each new client, and with its address as it was typed; None if the options named it.
        login_store: Opens the saved logins; None if this shell does not save logins.
        time_left: Gives the seconds until the shell must end, 0 or more; None for no limit.
        retry: Send a call again when the connection was lost before its result.
        profile: What the user has said about the server of the options, if anything.
        find_profile: Finds a server by its name, and raises CommandError if the config file is not valid.
        profiles: Gives the names of all servers that have one.
        save_setting: Keeps a setting for later sessions, and returns the name of the file; None if this shell cannot.
        saved_users: Gives the users with a saved login.
        page: Shows a text in a pager if it is longer than the screen. Returns whether it did.
        recorder: Records the frames of the clients that `connect` creates; None if it does not record them.
    """

    connect: Connect
    log_in: Callable[[Client, str | None], object] = lambda client, url: None
    login_store: Callable[[], LoginStore] | None = None
    time_left: Callable[[], float | None] = lambda: None
    retry: bool = True
    profile: Profile | None = None
    find_profile: Callable[[str], Profile | None] = lambda name: None
    profiles: Callable[[], Sequence[str]] = tuple
    save_setting: Callable[[str, str], str] | None = None
    saved_users: Callable[[], Sequence[str]] = tuple
    page: Callable[[str], bool] = lambda text: False
    recorder: LiveRecorder | None = None


class ServerLink:
    """One client at a time, and what belongs to it: its login, its subscriptions and its watches.

    Args:
        hooks: Creates the clients and logs them in.
        display: Shows the events.
        settings: Say which events are shown.
        names: Learns the names that the server knows.
        clock: Time source.
        url: The address of the first server, for the prompt.
    """

    def __init__(
        self, hooks: Hooks, display: Display, settings: Settings, names: Names, clock: Clock, url: str
    ) -> None:
        #: The server's address, with credentials masked.
        self.url = url
        #: What the user has said about the present server, if anything.
        self.profile = hooks.profile
        #: The name under which the user is logged in; None if the shell did not log in.
        self.user: str | None = None
        #: A password login that is not saved. The shell ends it when it leaves the server, or logs in anew.
        self.unsaved_login: LoginToken | None = None
        #: Changes of documents are not shown, because something else shows them.
        self.hides_changes = False
        #: The last round trip, and when it was measured, in seconds.
        self.round_trip = 0.0
        self.round_trip_measured = -math.inf
        #: Selects the frames to show; None shows none.
        self.frame_filter: FrameFilter | None = None
        self.subscriptions = Subscriptions()
        #: The watches by the numbers of their commands.
        self.watches: dict[int, Watch] = {}
        #: The shell is ending, so failures of calls are no longer shown.
        self.is_closing = False
        self._hooks = hooks
        self._display = display
        # Each client has a reporter of its own.
        self._new_reporter = partial(_EventReporter, self, display, settings, names, clock)
        # The server's address as it was typed, for the first server and for the present one.
        self._first_address = self._address = url
        # The argument of the present client's `connect`.
        self._url: str | None = None
        #: The client, or None if there is no client at this moment. `client` waits for it.
        self.current_client: Client | None = None
        self._reporter: _EventReporter | None = None
        self._opening: threading.Thread | None = None
        self._disconnects: list[threading.Thread] = []

    @property
    def client(self) -> Client:
        """The client. If it is being created, this waits for it.

        Raises:
            CommandError: The shell has no server.
        """
        if self._opening is not None:
            self._opening.join()
        if self.current_client is None:
            raise CommandError("there is no server; `connect HOST:PORT` connects to one")
        return self.current_client

    @property
    def server(self) -> str:
        """What identifies the server in saved logins.

        Raises:
            InvalidURL: The server's address is not valid.
        """
        # The random part of a host (U1) is the same each time, so that a saved login is found again.
        return parse_url(self._address, lambda: 0.0).server

    def server_or_none(self) -> str | None:
        """The same as `server`, or None if the address is not valid."""
        try:
            return self.server
        except InvalidURL:
            return None

    def open(self, url: str | None) -> None:
        """Connect to a server, and leave the present one.

        Args:
            url: The address or the name of the server; None for the server of the options.

        Raises:
            InvalidURL: `url` is not a valid address. The shell stays with its server.
            CommandError: The config file is not valid.
        """
        profile = self._hooks.profile if url is None else self._hooks.find_profile(url)
        reporter = self._new_reporter()
        client = self._hooks.connect(url, reporter)
        self.leave()
        self.url = client.status.url
        self.profile = profile
        self._address = (profile.url if profile is not None else url) or self._first_address or self.url
        self.current_client, self._reporter, self._url = client, reporter, url
        client.debug = self.frame_filter is not None
        self._hooks.log_in(client, url)

    def open_in_background(self) -> None:
        """Connect to the server of the options on a thread, so that the prompt appears before the network code is loaded."""
        self._opening = threading.Thread(target=self.open, args=[None], name="ddp opening", daemon=True)
        self._opening.start()

    def reconnect(self) -> None:
        """Try to connect now, and report the outcome even if the same reason was reported before."""
        client = self.client
        if self._reporter is not None:
            self._reporter.is_attempt_requested = True
        client.reconnect()

    def leave(self) -> None:
        """Leave the server, if there is one. Calls without an answer fail, and subscriptions and watches end."""
        client, login = self.current_client, self.unsaved_login
        self.current_client = self.user = self.unsaved_login = None
        if self._reporter is not None:
            self._reporter.is_current = False
        self.subscriptions.clear()
        for number in list(self.watches):
            self.end_watch(number)
        if client is None:
            return

        def disconnect() -> None:
            if login is not None:
                # It will not be used again.
                end_login(login, client)
            client.close()

        # A logout may take seconds.
        self._in_background(disconnect)

    def close(self) -> None:
        """Leave the server, and wait until logouts are done. Failures are no longer shown."""
        self.is_closing = True
        if self._opening is not None:
            self._opening.join()
        self.leave()
        for disconnect in self._disconnects:
            disconnect.join(DISCONNECT_TIMEOUT)

    def end_watch(self, number: int) -> bool:
        """End the watch of a command. Returns False if it has ended before."""
        watch = self.watches.pop(number, None)
        if watch is not None:
            watch.stop()
        return watch is not None

    def end_replaced_login(self, login: LoginToken) -> None:
        """Have the server forget a login that was replaced by another, in the background, on a connection of its own."""
        connect, url = self._hooks.connect, self._url

        def end() -> None:
            try:
                with connect(url, lambda _: None) as client:
                    end_replaced(login, client)
            except DDPError as error:
                until = f"{login.expires:%Y-%m-%d}"
                self._display.warn(f"the server did not end the earlier login, which is valid until {until}: {error}")

        self._in_background(end)

    def _in_background(self, disconnect: Callable[[], object]) -> None:
        thread = threading.Thread(target=disconnect, name="ddp disconnect", daemon=True)
        self._disconnects = [*(other for other in self._disconnects if other.is_alive()), thread]
        thread.start()


class _EventReporter:
    """Receives the events of one client, and shows those that the user wants to see.

    It runs on the client's thread, so it never waits.

    Args:
        link: The link that the client belongs to.
        display: Shows the events.
        settings: Say which events are shown.
        names: Learns the names that the server knows.
        clock: Time source.
    """

    def __init__(self, link: ServerLink, display: Display, settings: Settings, names: Names, clock: Clock) -> None:
        self._link = link
        self._display = display
        self._settings = settings
        self._names = names
        self._clock = clock
        #: The shell still uses the client. Events of a client that was left are ignored.
        self.is_current = True
        #: The user asked for an attempt to connect, and has not seen its outcome.
        self.is_attempt_requested = False
        self._url = ""
        self._was_connected = False
        self._dropped: ConnectionDropped | None = None  # the loss after which there is no connection yet
        self._last_reason: str | None = None  # the last reported reason for not being connected

    def __call__(self, event: Event) -> None:
        """Report an event."""
        if not self.is_current:
            return
        match event:
            case FrameSent(text) | FrameReceived(text):
                frame_filter, is_sent = self._link.frame_filter, isinstance(event, FrameSent)
                if frame_filter is not None and frame_filter.shows(text, is_sent=is_sent):
                    self._display.frame(text, is_sent=is_sent, when=self._clock.wall())
            case DocumentAdded():
                self._names.add_fields(event.collection, event.fields)
                # The documents of a new subscription are counted, and reported when it is ready.
                if not self._link.subscriptions.count_added(event.collection, self._clock.now()):
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
                self._display.warn(text)
            case Connecting(url):
                self._url = url
            case PongReceived(round_trip=seconds):
                self._note_round_trip(seconds)
            case SessionEstablished():
                self._note_round_trip(event.round_trip)
                self._established(event)
            case ConnectionDropped():
                self._dropped = event
            case Waiting(seconds):
                self._waiting(seconds)
            case Offline():
                self._display.note([("state", "disconnected"), ("note", "; calls wait until `connect`")])
            case ConnectionFailed(error):
                again = ("note", "; `reconnect` tries again")
                self._display.note([*_reason("not connected", error), again, *self._next_step(error)])
            case VersionRefused(suggested=suggested):
                self._display.note([("note", f"the server asks for DDP version {escape_line(suggested)}")])
            case LoggedOut(error):
                self._logged_out(error)
            case _:
                pass

    def _note_round_trip(self, seconds: float) -> None:
        self._link.round_trip, self._link.round_trip_measured = seconds, self._clock.now()

    def _learn(self, role: Role, name: str, error: DDPError | None) -> None:
        """Learn from the server's answer whether it has a method or a publication."""
        if isinstance(error, ServerError) and is_unknown_name(error):
            self._names.mark_unknown(role, name)
        elif error is None or isinstance(error, ServerError):
            self._names.mark_known(role, name)

    def _change(self, event: DocumentEvent) -> None:
        # Watches show the changes of their collections. Other threads add and remove watches.
        is_watched = any(watch.collection == event.collection for watch in list(self._link.watches.values()))
        if not is_watched and not self._link.hides_changes and self._settings.is_on("changes"):
            self._display.change(None, event)

    def _logged_out(self, error: DDPError | None) -> None:
        user, self._link.user = self._link.user, None
        if error is None:
            return
        text = _reason("logged out", error)
        subscriptions = len(self._link.subscriptions.all())
        if subscriptions:
            go_on = plural(subscriptions, "subscription continues", "subscriptions continue")
            text.append(("note", f"; {go_on} without a user"))
        text.append(("hint", f"; `login {escape_line(user or 'USER')}` logs in again"))
        self._display.note(text)

    def _established(self, event: SessionEstablished) -> None:
        # Enough of the id to tell two sessions apart; `status` shows all of it.
        name = "without an id" if event.session is None else event.session
        if event.session is not None and len(name) > _ID_LENGTH:
            name = f"{name[:_ID_LENGTH]}..."
        session = f"session {escape_line(name)}, {duration(event.round_trip)}"
        if not self._was_connected:
            version = ".".join(__version__.split(".")[:2])
            text: StyledText = [("", f"ddp {version} - "), ("good", "connected"), ("", f" to {escape_line(self._url)}")]
            self._display.note([*text, ("note", f" ({session})")])
        else:
            how = "resumed" if event.resumed else "new"
            text = [("good", "connected again"), ("note", f" ({how} {session})")]
            counts = ((event.resent_calls, "call"), (event.resent_subs, "subscription"))
            resent = [plural(count, noun) for count, noun in counts if count]
            self._display.note([*text, ("", f": sent again: {', '.join(resent)}")] if resent else text)
        self._was_connected = True
        self._dropped = self._last_reason = None
        self.is_attempt_requested = False

    def _waiting(self, seconds: float) -> None:
        dropped = self._dropped
        if dropped is None:
            return
        what = "connection lost" if self._was_connected and self._last_reason is None else "not connected"
        # The toolbar counts the seconds, so the same reason is not reported twice.
        if str(dropped.error) == self._last_reason and not self.is_attempt_requested:
            return
        self.is_attempt_requested = False
        self._last_reason = str(dropped.error)
        text = _reason(what, dropped.error)
        text.append(("note", f"; next attempt in {duration(seconds)}"))
        if dropped.outstanding:
            text.append(("note", f"; {plural(dropped.outstanding, 'call is', 'calls are')} waiting"))
        self._display.note([*text, *self._next_step(dropped.error)])

    def _next_step(self, error: DDPError) -> StyledText:
        """What examines the way to the server."""
        if not isinstance(error, ConnectError | NegotiationError):
            return []
        return [("hint", f"; `!ddp doctor {escape_line(shlex.quote(self._url))}` finds the cause")]


def _reason(what: str, error: DDPError) -> StyledText:
    text: StyledText = [("state", what), ("", f": {escape_line(str(error))}")]
    if isinstance(error, ConnectError) and (hint := advice(error, Place.PROMPT)):
        text.append(("hint", f" ({escape_line(hint)})"))
    return text
