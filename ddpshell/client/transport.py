"""A WebSocket to a DDP server: the only place that knows of sockets, TLS and websocket-client.

`connect` gives a `WebSocketTransport` or raises a `ConnectError` that says what to do; foreign errors end here.
Nothing in here waits but through a `Waiter`, so a deadline holds for all of it, one slow byte after the
other included, and so does an interruption. The one exception is name resolution, which no program can interrupt.
"""

from __future__ import annotations

import base64
import errno
import os
import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from http.cookies import CookieError
from typing import TYPE_CHECKING, NoReturn, Protocol

import websocket
from msgspec import Struct

from ..exceptions import ConnectError, ConnectionLost
from ..protocol import sockjs
from ..protocol.urls import Endpoint
from .frames import CloseFrame, FrameReader, PingFrame, close_frame, pong_frame, text_frames
from .waiting import Waiter, Woken

if TYPE_CHECKING:
    from .proxy import Proxy

__all__ = ["ConnectOptions", "Connector", "TLSOptions", "Transport", "WebSocketConnector", "WebSocketTransport"]

# Bytes asked of a socket at once: enough for some thousand messages, little enough to answer a ping between two reads.
READ_SIZE = 1 << 18
# Bytes of a handshake answer, headers and body: nobody who means well sends more.
MAX_HANDSHAKE = 1 << 18
# Seconds that a goodbye may take, until the server has read it.
GOODBYE_PATIENCE = 0.25
NORMAL_CLOSURE = 1000

# A server that is overloaded or restarting; every other 4xx will be the same the next time.
_TRANSIENT_STATUSES = frozenset({408, 425, 429})


class Transport(Protocol):
    """An open connection that carries whole text messages, and never blocks."""

    def fileno(self) -> int:
        """What to wait for."""
        ...

    @property
    def events(self) -> int:
        """What to wait for it to be ready for: `selectors.EVENT_READ`, and `EVENT_WRITE` while something is unsent."""
        ...

    @property
    def lost(self) -> ConnectionLost | None:
        """Why there is nothing more to come, once there is not."""
        ...

    def receive(self) -> list[str]:
        """Take what has arrived; then look at `lost`."""
        ...

    def send(self, texts: Sequence[str]) -> None:
        """Send messages, in order, as far as the network takes them now; the rest is kept."""
        ...

    def flush(self) -> None:
        """Send on what was kept."""
        ...

    def close(self, *, goodbye: bool) -> None:
        """End it, with a closing handshake or without."""
        ...


class Connector(Protocol):
    """What opens connections to one server."""

    @property
    def url(self) -> str:
        """Where to, for people; credentials masked."""
        ...

    def connect(self, waiter: Waiter, deadline: float | None) -> Transport:
        """Open one.

        Raises:
            ConnectError: It could not be, or not in time.
            Woken: It is not wanted any more.
        """
        ...


class TLSOptions(Struct, frozen=True):
    """How to trust a server, and how to be trusted.

    Args:
        cacert: A file of certificates to trust instead of the system's (PEM).
        cert: A file with our own certificate (PEM).
        key: A file with its key, if that is not in the same file.
        insecure: Trust whomever answers. For tests only.
        servername: The name to expect in the server's certificate, and to ask for, if it is not the host's.
    """

    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    insecure: bool = False
    servername: str | None = None


class ConnectOptions(Struct, frozen=True):
    """What a handshake says besides the address.

    Args:
        headers: More headers, as (name, value).
        origin: The `Origin` header; none is sent without.
        tls: For `wss` only.
        user_agent: The `User-Agent` header.
        proxy: What to go through, or None.
    """

    headers: tuple[tuple[str, str], ...] = ()
    origin: str | None = None
    tls: TLSOptions = TLSOptions()
    user_agent: str = "ddpshell"
    proxy: Proxy | None = None


class WebSocketConnector(Struct, frozen=True):
    """Opens WebSockets to one endpoint.

    Args:
        endpoint: Where.
        options: How.
        fractions: Random numbers in [0, 1), for the path of a SockJS session (U9).
    """

    endpoint: Endpoint
    options: ConnectOptions
    fractions: Callable[[], float]

    @property
    def url(self) -> str:
        """Where to, for people; credentials masked."""
        return self.endpoint.url

    def connect(self, waiter: Waiter, deadline: float | None) -> WebSocketTransport:
        """Resolve the name, open TCP, TLS and the WebSocket, and wait for SockJS if that is spoken."""
        proxy = self.options.proxy
        sock = self._connect_tcp(waiter, deadline)
        try:
            if proxy is not None:
                # Seldom needed, so not loaded for every call.
                from .tunnels import open_tunnel

                target = (self.endpoint.host, self.endpoint.port)
                open_tunnel(sock, proxy, target, waiter, deadline, self.options.user_agent)
            if self.endpoint.secure:
                sock = self._wrap_tls(sock, waiter, deadline)
            rest = self._upgrade(_PatientSocket(sock, waiter, deadline))
            transport = WebSocketTransport(sock, waiter, rest, framed=self.endpoint.framed)
            self._await_open(transport, waiter, deadline)
        except BaseException:
            sock.close()
            raise
        return transport

    def _await_open(self, transport: WebSocketTransport, waiter: Waiter, deadline: float | None) -> None:
        """With SockJS, nothing may be sent before the server says `o` (U11)."""
        while not transport.open:
            if transport.lost is not None:
                raise ConnectError(f"{self.url} closed the SockJS connection at once: {transport.lost}")
            if not waiter.wait(transport, transport.events, deadline):
                raise ConnectError(f"{self.url} accepted a SockJS connection, but did not open it in time")
            transport.take()

    # TCP

    def _connect_tcp(self, waiter: Waiter, deadline: float | None) -> socket.socket:
        peer = self.options.proxy or self.endpoint
        host, port = peer.host, peer.port
        try:
            # In bytes, the name is taken as it stands; a string is put through IDNA, which takes half a millisecond to load.
            name = host.encode() if host.isascii() else host
            addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, socket.gaierror) else "it is no host name"
            what = "host" if self.options.proxy is None else "proxy"
            raise ConnectError(
                f"cannot find the {what} {host!r}: {reason}", hint="check the name, or the network"
            ) from error
        failure: ConnectError | None = None
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            now = waiter.clock.now()
            # Each address gets its share of the time, so that a dead one does not eat up the living one's.
            share = None if deadline is None else now + (deadline - now) / (len(addresses) - index)
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:
                failure = self._unreachable(error.errno or 0)
                continue
            try:
                problem = self._connect_address(sock, address, waiter, share)
            except BaseException:
                sock.close()
                raise
            if problem is None:
                return sock
            sock.close()
            failure = problem
        assert failure is not None, "getaddrinfo gives at least one address"
        raise failure

    def _connect_address(
        self, sock: socket.socket, address: tuple[object, ...], waiter: Waiter, deadline: float | None
    ) -> ConnectError | None:
        sock.setblocking(False)
        # Small messages must not wait for an acknowledgement of the one before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = sock.connect_ex(address)
        if number == errno.EINPROGRESS:
            if not waiter.wait(sock, selectors.EVENT_WRITE, deadline):
                return ConnectError(f"no answer from {self._peer} in time", hint="check host, port and firewall")
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return self._unreachable(number) if number else None

    def _unreachable(self, number: int) -> ConnectError:
        if number == errno.ECONNREFUSED:
            hint = "is the server running there?" if self.options.proxy is None else "--no-proxy goes without it"
            return ConnectError(f"{self._peer} refused the connection", hint=hint)
        return ConnectError(f"cannot reach {self._peer}: {os.strerror(number)}", hint="check host and port")

    @property
    def _peer(self) -> str:
        """What the socket is connected to, for people."""
        proxy = self.options.proxy
        return self.endpoint.authority if proxy is None else f"the proxy {proxy.authority}"

    # TLS

    def _wrap_tls(self, sock: socket.socket, waiter: Waiter, deadline: float | None) -> socket.socket:
        tls = self.options.tls
        context = _tls_context(tls)
        name = tls.servername or self.endpoint.host
        try:
            # Without a socket first: one that a bad name keeps from being wrapped would stay open unseen.
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        except (ValueError, TypeError) as error:
            raise ConnectError(
                f"{name!r} is no name that a certificate can have: {error}",
                hint="expect another one with --servername NAME",
                retryable=False,
            ) from error
        try:
            wrapped = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        except OSError as error:
            # The connection went meanwhile.
            raise self._untrusted(error) from error
        try:
            while True:
                try:
                    wrapped.do_handshake()
                except OSError as error:
                    events = _blocked_on(error, selectors.EVENT_READ)
                    if not events:
                        raise self._untrusted(error) from error
                    if not waiter.wait(wrapped, events, deadline):
                        raise ConnectError(
                            f"no TLS with {self.endpoint.authority} in time",
                            hint="does the server speak TLS on this port?",
                        ) from None
                else:
                    return wrapped
        except BaseException:
            wrapped.close()
            raise

    def _untrusted(self, error: OSError) -> ConnectError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConnectError(
                f"the certificate of {self.endpoint.authority} is not trusted: {error.verify_message}",
                hint="name the authority that signed it with --cacert FILE, or skip the check with --insecure",
                retryable=False,
            )
        reason = _tls_reason(error)
        if "ALERT" in reason:
            hint = "the server refused our side of TLS; if it wants a certificate of ours, name it with --cert FILE"
        else:
            hint = "does the server speak TLS on this port? Without it the URL begins with ws: or http:"
        # A connection that ends in the handshake may be a server restarting; a fault of TLS stays one.
        permanent = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
        return ConnectError(f"no TLS with {self.endpoint.authority}: {reason}", hint=hint, retryable=not permanent)

    # HTTP

    def _upgrade(self, sock: _PatientSocket) -> bytes:
        """Make the opening handshake, and give the bytes that came behind it."""
        endpoint, options = self.endpoint, self.options
        headers = [f"{name}: {value}" for name, value in options.headers]
        if not any(name.lower() == "user-agent" for name, _ in options.headers):
            headers.append(f"User-Agent: {options.user_agent}")
        if endpoint.user is not None:
            credentials = f"{endpoint.user}:{endpoint.password or ''}".encode()
            headers.append(f"Authorization: Basic {base64.b64encode(credentials).decode()}")
        peer = websocket.WebSocket()
        try:
            peer.connect(  # type: ignore[no-untyped-call]  # websocket-client types only some of its functions
                endpoint.connection_url(self.fractions),
                socket=sock,
                header=headers,
                origin=options.origin,
                suppress_origin=options.origin is None,
                redirect_limit=0,
            )
        except websocket.WebSocketBadStatusException as error:
            if not error.status_code:  # the library's None, for an answer that is one empty line
                raise self._no_websocket("the answer has no status") from error
            body = error.resp_body or b""
            raise self._refused(error.status_code, error.status_message or "", body, "") from error
        except (websocket.WebSocketException, CookieError, ValueError) as error:
            if isinstance(sock.failure, ConnectError | Woken):
                raise sock.failure from None
            response = peer.handshake_response
            if response is not None and 300 <= response.status < 400:
                raise self._refused(response.status, "", b"", response.headers.get("location", "")) from error
            if isinstance(error, websocket.WebSocketConnectionClosedException):
                raise ConnectError(
                    f"{self.endpoint.authority} closed the connection during the handshake",
                    hint="is this the port of a Meteor server?",
                ) from error
            raise self._no_websocket(str(error)) from error
        except OSError as error:
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                # By TLS 1.3, the server judges our certificate when for us the handshake is over.
                raise self._untrusted(error) from error
            raise ConnectError(
                f"{self.endpoint.authority} broke the connection during the handshake: {error}"
            ) from error
        return sock.unread

    def _no_websocket(self, why: str) -> ConnectError:
        return ConnectError(
            f"{self.endpoint.authority} does not speak WebSocket: {why}",
            hint="is this the port of a Meteor server?",
            retryable=False,
        )

    def _refused(self, status: int, phrase: str, body: bytes, location: str) -> ConnectError:
        message = f"{self.url} answered the upgrade with HTTP {status} {phrase}".rstrip()
        lines = body.decode("utf-8", "replace").strip().splitlines()
        if lines:
            message += f": {lines[0][:200]}"
        if location:
            hint = f"it points to {location}: use that address"
        elif status in (401, 403):
            hint = "credentials go into the URL (https://user:password@host) or a header"
        elif status == 404 or status < 300:
            hint = "is this the address of a Meteor server, and the path right?"
        elif status >= 500:
            hint = "the server, or the proxy before it, is in trouble: try again later"
        else:
            hint = "does a proxy before the server let WebSockets through?"
        retryable = status >= 500 or status in _TRANSIENT_STATUSES
        return ConnectError(message, hint=hint, retryable=retryable, status=status)


class WebSocketTransport:
    """One open WebSocket, raw or with SockJS's envelope (U4, U9).

    Args:
        sock: Open, upgraded, not blocking.
        waiter: For the end, which is allowed to take a moment.
        unread: What was read behind the handshake.
        framed: Whether SockJS is spoken.
    """

    def __init__(self, sock: socket.socket, waiter: Waiter, unread: bytes, *, framed: bool) -> None:
        self._sock = sock
        self._waiter = waiter
        self._framed = framed
        self._reader = FrameReader()
        self._unsent = bytearray()
        self._texts: list[str] = []
        self.lost: ConnectionLost | None = None
        #: Whether messages may be sent: at once, or when SockJS says so (U11).
        self.open = not framed
        if unread:
            self._take_bytes(unread)

    def fileno(self) -> int:
        """What to wait for."""
        return self._sock.fileno()

    @property
    def events(self) -> int:
        """What to wait for it to be ready for. What is here already is ready, so nothing must be waited for then."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def receive(self) -> list[str]:
        """Take what has arrived; then look at `lost`."""
        self.take()
        texts, self._texts = self._texts, []
        return texts

    def take(self) -> None:
        """Read some of what has arrived, and keep it for `receive`; of more than `READ_SIZE`, a select tells again.

        No select would tell of what TLS has decrypted and nobody has read; but its records are far smaller.
        """
        if self.lost is not None:
            return
        try:
            data = self._sock.recv(READ_SIZE)
        except OSError as error:
            self._check(error)
            return
        if data:
            self._take_bytes(data)
        else:
            self.lost = ConnectionLost("the server ended the connection")

    def _take_bytes(self, data: bytes) -> None:
        for message in self._reader.receive(data):
            match message:
                case str():
                    if self._framed:
                        self._take_sockjs(message)
                        if self.lost is not None:
                            return
                    else:
                        self._texts.append(message)
                case PingFrame():
                    self._unsent += pong_frame(message.payload)
                case CloseFrame():
                    self.lost = ConnectionLost(_closed_by_server(message.code, message.reason))
                    return
        if self._reader.fault is not None:
            self.lost = ConnectionLost(f"the server sent what is no WebSocket frame: {self._reader.fault}")

    def _take_sockjs(self, text: str) -> None:
        match sockjs.unframe(text):
            case sockjs.Open():
                self.open = True
            case sockjs.Messages(texts):
                self._texts += texts
            case sockjs.Close(code, reason):
                self.lost = ConnectionLost(_closed_by_server(code, reason))
            case _:
                # A heartbeat, or what no version of SockJS sends (U10).
                return

    def send(self, texts: Sequence[str]) -> None:
        """Send messages in one write, as far as the network takes them now."""
        if self._framed:
            # Each in a frame of its own, as SockJS's own client sends them: a server with sockjs 0.3.19, which is
            # Meteor 1.9's, dies if a connection breaks while it reads a frame with several.
            texts = [sockjs.frame([text]) for text in texts]
        self._unsent += text_frames(texts)
        self.flush()

    def flush(self) -> None:
        """Send on what was kept."""
        while self._unsent and self.lost is None:
            try:
                sent = self._sock.send(self._unsent)
            except OSError as error:
                self._check(error)
                return
            del self._unsent[:sent]

    def _check(self, error: OSError) -> None:
        if not _blocked_on(error, selectors.EVENT_READ):
            self.lost = ConnectionLost(f"the connection broke: {error.strerror or error}")

    def close(self, *, goodbye: bool) -> None:
        """End it. A goodbye waits a moment for the server to read it: else the system may throw it away unread."""
        try:
            if goodbye and self.lost is None:
                self._say_goodbye()
        finally:
            self._sock.close()

    def _say_goodbye(self) -> None:
        deadline = self._waiter.clock.now() + GOODBYE_PATIENCE
        self._unsent += close_frame(NORMAL_CLOSURE)
        self.flush()
        # The server's own close frame, or the end of its stream, says that it has read ours.
        while self.lost is None and self._waiter.clock.now() < deadline:
            if self._waiter.wait_any(self, self.events, deadline):
                self.flush()
                self.take()


class _PatientSocket:
    """A socket as websocket-client's handshake wants one, with one deadline for all of it.

    It reads ahead, where the library asks for one byte at a time; what was read too much is in `unread`.
    """

    def __init__(self, sock: socket.socket, waiter: Waiter, deadline: float | None) -> None:
        self._sock = sock
        self._waiter = waiter
        self._deadline = deadline
        self._read_ahead = b""
        self._position = 0
        self._given = 0
        #: What ended the handshake, where the library would wrap it into something else.
        self.failure: ConnectError | Woken | None = None

    def recv(self, size: int) -> bytes:
        """Give at least one byte, or b"" at the end."""
        if self._position == len(self._read_ahead):
            self._read_ahead, self._position = self._read(), 0
        data = self._read_ahead[self._position : self._position + size]
        self._position += len(data)
        self._given += len(data)
        if self._given > MAX_HANDSHAKE:
            self._fail(
                ConnectError(
                    f"the answer to the upgrade is longer than {MAX_HANDSHAKE:,} bytes",
                    hint="is this the address of a Meteor server?",
                    retryable=False,
                )
            )
        return data

    @property
    def unread(self) -> bytes:
        """What was read, and not given."""
        return self._read_ahead[self._position :]

    def send(self, data: bytes) -> int:
        """Send all of it: the library takes one call for enough, however little that sends."""
        unsent = memoryview(data)
        while unsent:
            try:
                unsent = unsent[self._sock.send(unsent) :]
            except OSError as error:
                self._wait(_blocked_on(error, selectors.EVENT_WRITE), error)
        return len(data)

    def gettimeout(self) -> float | None:
        """None: waiting is done in here."""
        return None

    def close(self) -> None:
        """Nothing: whoever made the socket closes it."""

    def _read(self) -> bytes:
        while True:
            try:
                return self._sock.recv(READ_SIZE)
            except OSError as error:
                self._wait(_blocked_on(error, selectors.EVENT_READ), error)

    def _wait(self, events: int, error: OSError) -> None:
        if not events:
            raise error
        try:
            ready = self._waiter.wait(self._sock, events, self._deadline)
        except Woken as woken:
            self.failure = woken
            raise websocket.WebSocketException from woken
        if not ready:
            self._fail(
                ConnectError(
                    "the server accepted the connection, but did not answer the upgrade in time",
                    hint="is this the port of a Meteor server?",
                )
            )

    def _fail(self, error: ConnectError) -> NoReturn:
        self.failure = error
        raise websocket.WebSocketException(str(error))


def _blocked_on(error: OSError, events: int) -> int:
    """What to wait for before trying again; 0 where that is of no use.

    Args:
        error: What a socket that does not block raised.
        events: What a plain socket would have to wait for.
    """
    if isinstance(error, BlockingIOError | InterruptedError):
        return events
    # TLS may have to read in order to write, and the other way round.
    if isinstance(error, ssl.SSLWantReadError):
        return selectors.EVENT_READ
    if isinstance(error, ssl.SSLWantWriteError):
        return selectors.EVENT_WRITE
    return 0


def _tls_context(tls: TLSOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.cacert)
        if tls.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert is not None:
            # Without a passphrase given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
    except OSError as error:
        files = ", ".join(name for name in (tls.cacert, tls.cert, tls.key) if name is not None)
        raise ConnectError(
            f"cannot use the certificate files ({files}): {_tls_reason(error)}",
            hint="they must be readable, in PEM form and without a passphrase, and key and certificate must belong together",
            retryable=False,
        ) from error
    return context


def _tls_reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or error)


def _closed_by_server(code: int, reason: str) -> str:
    # Meteor closes with 1000 whatever the cause, so only other codes tell anything (U22).
    detail = f" (code {code}{': ' + reason if reason else ''})" if code not in (NORMAL_CLOSURE, 1005) else ""
    return f"the server closed the connection{detail}"
