"""What commands work with: the client, and all that a shell knows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from ..clock import Clock
from ..exceptions import CommandError, DDPError, InvalidURL
from ..text.frames import FrameFilter
from .jobs import Jobs, Results, Subscriptions, Watches
from .names import Names
from .registry import Registry
from .settings import Settings
from .terminal.display import Display
from .terminal.interrupts import Interrupts

if TYPE_CHECKING:
    from ..client import Client
    from ..client.events import Event
    from ..logins import LoginStore
    from ..protocol.accounts import LoginToken
    from .link import Observer
    from .outputs import Stream

__all__ = ["Connect", "Shell", "Terminal"]


class Connect(Protocol):
    """Opens connections, as the command line's options say: a shell never does it by itself."""

    def __call__(self, url: str | None, on_event: Callable[[Event], object], /) -> Client:
        """Make a client that connects in the background.

        Args:
            url: Where to; None for where the options say.
            on_event: What it is to call.

        Raises:
            InvalidURL: That is no address.
        """
        ...


class Terminal(Protocol):
    """What only a terminal can do."""

    def ask_secret(self, question: str) -> str:
        """Ask for something that is not shown while it is typed.

        Raises:
            KeyboardInterrupt: The user would rather not.
        """
        ...

    def clear(self) -> None:
        """Clear the screen."""
        ...

    def lent(self) -> AbstractContextManager[None]:
        """Let a program have the terminal for a while."""
        ...


# Seconds that the end of the shell waits for a login to be ended.
_GOODBYE = 2.0


class Shell:
    """One shell: its client, and what it knows. Commands get it as their first argument.

    Args:
        registry: The commands.
        display: Where to show things.
        settings: How they look.
        clock: What passes.
        connect: Opens connections.
        url: Where the first of them will go, for the prompt.
    """

    def __init__(
        self,
        registry: Registry,
        display: Display,
        settings: Settings,
        clock: Clock,
        connect: Connect,
        url: str = "",
    ) -> None:
        self.registry = registry
        self.display = display
        self.settings = settings
        self.clock = clock
        #: The terminal; None where there is none.
        self.terminal: Terminal | None = None
        #: Where the client goes; credentials masked.
        self.url = url
        #: What the user calls that server; None for nothing.
        self.profile: str | None = None
        self.results = Results()
        self.jobs = Jobs()
        self.interrupts = Interrupts()
        self.names = Names(registry)
        self.names.server = self._server_or_none
        self.subscriptions = Subscriptions()
        self.watches = Watches()
        #: What writes watches to files and programs.
        self.streams: list[Stream] = []
        #: The commands of this session that were run and may be seen by anybody, in order.
        self.lines: list[str] = []
        #: For their indices, the last number before each of them, and the last number after it.
        self.line_numbers: dict[int, tuple[int, int]] = {}
        #: What was typed, in earlier sessions too, oldest first.
        self.past: Callable[[], list[str]] = lambda: self.lines
        #: Which frames to show; None for none.
        self.debug: FrameFilter | None = None
        #: The number of the command that is being run, if it has one.
        self.number: int | None = None
        #: The file and the line of the command that is being run, for errors; "" for what is typed.
        self.where = ""
        #: Seconds until it must end, 0 at the least; None for no limit.
        self.time_left: Callable[[], float | None] = lambda: None
        #: Whether calls are sent again after a loss.
        self.retry = True
        #: Set by `exit`.
        self.is_leaving = False
        #: What fails now, fails because the shell ends.
        self.is_closing = False
        #: Who is logged in, by the name that was typed.
        self.user: str | None = None
        #: Finds the logins that outlast a session; None where none is to.
        self.login_store: Callable[[], LoginStore] | None = None
        #: Called with each new client, and with its address as it was typed, None where nobody typed one.
        self.log_in: Callable[[Client, str | None], object] = lambda client, url: None
        #: A login by password that is not saved: the server forgets it when another one replaces it, or the shell leaves.
        self.passing: LoginToken | None = None
        # The server's address as it was typed.
        self._first = self._address = url
        self._connect = connect
        self._client: Client | None = None
        self._observer: Observer | None = None
        self._opening: threading.Thread | None = None
        self._running: list[str] = []
        # Where the client was asked to go, and what ends logins there.
        self._url: str | None = None
        self._goodbyes: list[threading.Thread] = []

    @property
    def client(self) -> Client:
        """The client. Who asks for it while it is being made, waits for the moment that takes.

        Raises:
            CommandError: There is none yet.
        """
        if self._opening is not None:
            self._opening.join()
        if self._client is None:
            raise CommandError("there is no server; `connect HOST:PORT` goes to one")
        return self._client

    @property
    def made_client(self) -> Client | None:
        """The client, if there is one at this moment: for those who only look."""
        return self._client

    @property
    def server(self) -> str:
        """What the server's saved logins are kept for."""
        from ..logins import server_of
        from ..protocol.urls import parse_url

        # Where the host has a random part (U1), it is always the same for what is saved.
        return server_of(parse_url(self._address, lambda: 0.0))

    def _server_or_none(self) -> str | None:
        try:
            return self.server
        except InvalidURL:
            return None

    def open(self, url: str | None) -> None:
        """Go to a server, and leave the one before.

        Raises:
            InvalidURL: That is no address.
        """
        from .link import Observer

        observer = Observer(self)
        client = self._connect(url, observer)
        self.leave()
        self.url = client.status.url
        self.profile = self.profile if url is None else None
        self._address = url or self._first or self.url
        self._client, self._observer, self._url = client, observer, url
        client.debug = self.debug is not None
        self.log_in(client, url)

    def open_soon(self) -> None:
        """Go to where the options say, on a thread: a prompt need not wait for all that has to be loaded for that."""
        self._opening = threading.Thread(target=self.open, args=[None], name="ddp opening", daemon=True)
        self._opening.start()

    def reconnect(self) -> None:
        """Try to connect now, and tell what comes of it, whatever was told before."""
        client = self.client
        if self._observer is not None:
            self._observer.is_asked = True
        client.reconnect()

    def leave(self) -> None:
        """Leave the server, if there is one. What was pending fails."""
        client, self._client = self._client, None
        if self._observer is not None:
            self._observer.is_current = False
        self.user = None
        self.subscriptions.clear()
        self.watches.clear()
        passing, self.passing = self.passing, None
        if client is not None:
            # A goodbye may take its time, and nobody needs to wait for it.
            self._begin_goodbye(lambda: _close(client, passing))

    def close(self) -> None:
        """Leave the server, and wait for the goodbye. What is under way has been told of, or is of no interest."""
        self.is_closing = True
        if self._opening is not None:
            self._opening.join()
        client, self._client = self._client, None
        if self._observer is not None:
            # Nobody wants to see what a goodbye brings.
            self._observer.is_current = False
        if client is not None:
            _close(client, self.passing)
        self.watches.clear()
        for stream in self.streams:
            # A program that has no end would go on without us.
            if not stream.join(_GOODBYE):
                stream.stop()
        for goodbye in self._goodbyes:
            goodbye.join(_GOODBYE)

    def end_replaced(self, login: LoginToken) -> None:
        """Have this server forget a login that another has replaced, on a connection of its own, in the background."""
        connect, url = self._connect, self._url

        def end() -> None:
            from ..logins import end_replaced

            try:
                with connect(url, lambda _: None) as client:
                    end_replaced(login, client)
            except DDPError as error:
                until = f"it lasts until {login.expires:%Y-%m-%d}"
                self.display.warn(f"the login that was replaced was not ended on the server, {until}: {error}")

        self._begin_goodbye(end)

    def _begin_goodbye(self, say: Callable[[], object]) -> None:
        goodbye = threading.Thread(target=say, name="ddp goodbye", daemon=True)
        self._goodbyes = [*(other for other in self._goodbyes if other.is_alive()), goodbye]
        goodbye.start()

    @contextmanager
    def nested(self, name: str) -> Iterator[None]:
        """While a file is being run: a file that runs itself would have no end.

        Raises:
            CommandError: It is being run already.
        """
        if name in self._running:
            raise CommandError(f"{name} is being run already; it must not run itself")
        self._running.append(name)
        try:
            yield
        finally:
            self._running.pop()

    @contextmanager
    def located(self, where: str) -> Iterator[None]:
        """While a line of a file is being run: errors say where it is."""
        before, self.where = self.where, where
        try:
            yield
        finally:
            self.where = before

    def wait(self, numbers: set[int] | None = None, timeout: float | None = None) -> bool:
        """Wait for some commands to be answered, or for all; see `Jobs.wait`. At most until all time is over.

        Raises:
            KeyboardInterrupt: Ctrl-C ended it.
        """
        limits = [limit for limit in (timeout, self.time_left()) if limit is not None]
        with self.interrupts.allowed():
            return self.jobs.wait(numbers, min(limits, default=None))

    def settle(self, numbers: set[int] | None = None, *, age: float = 0.0) -> bool:
        """Show the answers that are here although the server has not confirmed the writes (C78, C79).

        Args:
            numbers: Of which commands; None for all.
            age: Seconds that a command must have been under way.

        Returns:
            Whether there were any.
        """
        found = False
        for job in self.jobs.pending:
            chosen = (numbers is None or job.number in numbers) and self.clock.now() - job.started >= age
            if chosen and job.settle():
                found = True
                self.display.warn(f"the server answered {job.what}, but did not confirm the writes")
        return found

    def lent_terminal(self) -> AbstractContextManager[None]:
        """Let a program have the terminal for a while, if there is one."""
        return nullcontext() if self.terminal is None else self.terminal.lent()


def _close(client: Client, passing: LoginToken | None) -> None:
    """Say goodbye, after ending a login that will not be used again."""
    if passing is not None:
        from ..logins import end_login

        end_login(passing, client)
    client.close()
