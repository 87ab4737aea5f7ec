"""TLS with trusted and untrusted servers."""

from __future__ import annotations

import contextlib
import itertools
import random
import selectors
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ddpshell.advice import Place, advice
from ddpshell.client.network.tls import ByteStream, TLSOptions, blocked_on, wrap_tls
from ddpshell.client.network.waiting import Waiter
from ddpshell.clock import SystemClock
from tests.client.conftest import (
    CONNECT_TIMEOUT,
    Authority,
    Client,
    ClientThread,
    echo,
    failure,
)
from tests.loopback import PATIENCE, Conversation, ScriptedServer, silent_tcp


def test_a_certificate_of_the_cacert_authority_is_trusted(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        transport = client.connect(server.url, tls=TLSOptions(cacert=authority.cacert))
        transport.send(["over TLS"])
        assert client.receive(transport, 1) == ["over TLS"]


YEAR_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
YEAR_ONE = datetime(2001, 1, 1, tzinfo=UTC)
FAR_FUTURE = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("certificate", "named_authority", "reason", "hint"),
    [
        pytest.param({}, False, "unable to get local issuer certificate", "--cacert FILE", id="unknown authority"),
        pytest.param({"names": ["elsewhere.test"]}, True, "IP address mismatch, certificate is not valid for", "--servername NAME", id="another host"),
        pytest.param({"not_before": YEAR_ZERO, "not_after": YEAR_ONE}, True, "certificate has expired", "needs a new certificate", id="expired"),
        pytest.param({"not_before": FAR_FUTURE, "not_after": FAR_FUTURE}, True, "certificate is not yet valid", "check the clock", id="not yet valid"),
    ],
)  # fmt: skip
def test_an_invalid_certificate_is_a_permanent_error(
    client: Client, authority: Authority, certificate: dict[str, Any], named_authority: bool, reason: str, hint: str
) -> None:
    """R5."""
    names = certificate.pop("names", ["127.0.0.1"])
    with ScriptedServer(echo, tls=authority.server(*names, **certificate)) as server:
        error = client.refusal(server.url, tls=TLSOptions(cacert=authority.cacert if named_authority else None))
        assert f"the certificate of 127.0.0.1:{server.port} is not trusted: " in str(error)
    assert reason in str(error)
    assert hint in advice(error, Place.COMMAND_LINE)
    assert "--insecure" in advice(error, Place.COMMAND_LINE)
    assert not error.retryable


def test_insecure_trusts_any_server(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("elsewhere.test")) as server:
        transport = client.connect(server.url, tls=TLSOptions(insecure=True))
        transport.send(["hello"])
        assert client.receive(transport, 1) == ["hello"]


def test_servername_sets_the_expected_name(client: Client, authority: Authority) -> None:
    """The name is also sent to the server (SNI)."""
    asked: list[str | None] = []
    context = authority.server("elsewhere.test")
    context.sni_callback = lambda connection, name, context: asked.append(name)
    tls = TLSOptions(cacert=authority.cacert, servername="elsewhere.test")
    with ScriptedServer(echo, tls=context) as server:
        assert client.connect(server.url, tls=tls).open
    assert asked == ["elsewhere.test"]


@pytest.mark.parametrize("name", [".example.com", "a..b", "x" * 300, "nul\0"])
def test_an_invalid_server_name_raises_an_error(client: Client, authority: Authority, name: str) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        error = client.refusal(server.url, tls=TLSOptions(insecure=True, servername=name))
    assert str(error).startswith(f"{name!r} is not a valid name for a certificate: ")
    assert "--servername" in advice(error, Place.COMMAND_LINE)
    assert not error.retryable


def demanding(context: ssl.SSLContext, authority: Authority) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.cacert)
    return context


def test_a_client_certificate_is_sent(client: Client, authority: Authority) -> None:
    context = demanding(authority.server("127.0.0.1"), authority)
    cert, key = authority.client()
    with ScriptedServer(echo, tls=context) as server:
        tls = TLSOptions(cacert=authority.cacert, cert=cert, key=key)
        assert client.connect(server.url, tls=tls).open


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_missing_client_certificate_is_reported_with_a_hint(
    client: Client, authority: Authority, version: ssl.TLSVersion
) -> None:
    """With TLS 1.3, the alert comes after the client's handshake, instead of the answer to the upgrade."""
    context = demanding(authority.server("127.0.0.1"), authority)
    context.minimum_version = context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        refusing = pool.submit(refuse_tls, listener, context)
        url = f"wss://127.0.0.1:{listener.getsockname()[1]}"
        error = client.refusal(url, tls=TLSOptions(cacert=authority.cacert))
        refusing.result(PATIENCE)
    assert "certificate" in str(error).lower().replace("handshake failure", "certificate")
    assert "--cert FILE" in advice(error, Place.COMMAND_LINE)
    assert not error.retryable


def refuse_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Fail a client's handshake, and keep the connection open until the client has read the alert."""
    listener.settimeout(PATIENCE)
    raw, _ = listener.accept()
    raw.settimeout(PATIENCE)
    with raw.dup() as kept:
        wrapped = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        with wrapped, pytest.raises(ssl.SSLError):
            wrapped.do_handshake()
        kept.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            while kept.recv(1 << 16):
                pass


def test_the_error_names_missing_or_invalid_certificate_files(client: Client, authority: Authority) -> None:
    cert, key = authority.client()
    other_key = authority.folder / "other.pem"
    trustme.CA().issue_cert("bob@example.com").private_key_pem.write_to_path(other_key)
    empty = authority.folder / "empty.pem"
    empty.write_text("")
    wrong = [
        TLSOptions(cacert="missing.pem"),
        TLSOptions(cacert=str(empty)),
        TLSOptions(cert="missing.pem"),
        TLSOptions(cert=cert, key="missing.pem"),
        TLSOptions(cert=cert),  # the key is in a separate file
        TLSOptions(cert=cert, key=str(other_key)),
        TLSOptions(cert=key, key=cert),
    ]
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        for tls in wrong:
            error = client.refusal(server.url, tls=tls)
            files = ", ".join(name for name in (tls.cacert, tls.cert, tls.key) if name)
            assert str(error).startswith(f"cannot use the certificate files ({files}): "), tls
            assert not error.retryable


def test_an_encrypted_key_without_a_passphrase_raises_an_error_and_does_not_prompt(
    client: Client, authority: Authority
) -> None:
    """Without the error, the TLS library would ask at the terminal."""
    from cryptography.hazmat.primitives import serialization

    cert, key = authority.client()
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    Path(key).write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        error = client.refusal(server.url, tls=TLSOptions(cert=cert, key=key))
        assert client.connect(server.url, tls=TLSOptions(insecure=True, cert=cert, key=key, passphrase="secret")).open
    assert str(error).startswith("cannot use the certificate files")
    assert "passphrase" in advice(error, Place.COMMAND_LINE)
    assert "secret" not in repr(TLSOptions(key=key, passphrase="secret"))


def test_a_server_without_tls_is_detected(client: Client) -> None:
    def script(conversation: Conversation) -> None:
        conversation.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        conversation.hold()

    with ScriptedServer(script) as server:
        error = client.refusal(f"wss://127.0.0.1:{server.port}")
        assert str(error) == f"no TLS with 127.0.0.1:{server.port}: the server uses another protocol"
    assert "If not, use a URL that begins with ws: or http:" in advice(error, Place.COMMAND_LINE)
    assert not error.retryable


def test_a_connection_that_ends_in_the_tls_handshake_is_a_temporary_error(client: Client) -> None:
    with ScriptedServer(Conversation.drop) as server:
        error = client.refusal(f"wss://127.0.0.1:{server.port}")
        assert str(error).startswith(f"no TLS with 127.0.0.1:{server.port}: ")
    assert error.retryable


def test_the_tls_handshake_ends_at_the_deadline(client_thread: ClientThread) -> None:
    with ScriptedServer(silent_tcp) as server:
        attempt = client_thread.connect(f"wss://127.0.0.1:{server.port}")
        server.wait_for_connections(1)
        client_thread.pass_time(CONNECT_TIMEOUT)
        error = failure(attempt)
        assert str(error) == f"no TLS with 127.0.0.1:{server.port} in time"
    assert error.retryable


def test_a_tls_server_is_detected_by_a_client_without_tls(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        error = client.refusal(f"ws://127.0.0.1:{server.port}")
    assert "is not a WebSocket server" in str(error) or "during the handshake" in str(error)


# -------------------------------------------------------------------------------------------- over any stream of bytes


class Stingy:
    """A socket that sends and receives few bytes at a time, or none, according to a repeated list of sizes."""

    def __init__(self, sock: socket.socket, sizes: list[int]) -> None:
        self._sock = sock
        self._sizes = itertools.cycle([*sizes, 1])

    def fileno(self) -> int:
        return self._sock.fileno()

    def recv(self, size: int, /) -> bytes:
        return self._sock.recv(min(size, self._next()))

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        return self._sock.send(data[: self._next()])

    def close(self) -> None:
        self._sock.close()

    def _next(self) -> int:
        size = next(self._sizes)
        if not size:
            raise BlockingIOError
        return size


@pytest.fixture(scope="module")
def contexts() -> Iterator[tuple[ssl.SSLContext, str]]:
    """A server's TLS context for the name tls.test, and the file with its authority."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("tls.test").configure_cert(context)
    with ca.cert_pem.tempfile() as file:
        yield context, file


@pytest.mark.parametrize("depth", [1, 2])
@given(sizes=st.lists(st.integers(0, 20_000), max_size=8), length=st.integers(0, 100_000))
@settings(
    max_examples=20, phases=[Phase.explicit, Phase.generate]
)  # a failure takes a whole timeout, so do not search for smaller examples
def test_data_passes_unchanged_in_pieces_of_any_size(
    contexts: tuple[ssl.SSLContext, str], depth: int, sizes: list[int], length: int
) -> None:
    """This holds for TLS and for TLS inside TLS. Bytes that are sent again after an error arrive once."""
    context, file = contexts
    sent = random.Random(length).randbytes(length)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    clock = SystemClock()
    with ours, theirs, ThreadPoolExecutor(1) as pool, contextlib.closing(Waiter(clock)) as waiter:
        theirs.settimeout(PATIENCE)
        echoing = pool.submit(echo_within, theirs, context, depth, length)
        stream: ByteStream = Stingy(ours, sizes)
        deadline = clock.now() + PATIENCE
        for _ in range(depth):
            stream = wrap_tls(stream, "tls.test", "tls.test", TLSOptions(cacert=file), waiter, deadline)
        unsent, received = bytearray(sent), b""
        while unsent or len(received) < length:
            assert clock.now() < deadline
            events = 0
            try:
                if unsent:
                    del unsent[: stream.send(unsent)]
            except OSError as error:
                events |= blocked_on(error, selectors.EVENT_WRITE)
                assert events
            try:
                received += stream.recv(1 << 16)
            except OSError as error:
                events |= blocked_on(error, selectors.EVENT_READ)
                assert events
        echoing.result(PATIENCE)
        assert received == sent


def echo_within(sock: socket.socket, context: ssl.SSLContext, depth: int, length: int) -> None:
    """An echo server with `depth` layers of TLS."""
    layers: list[tuple[ssl.MemoryBIO, ssl.MemoryBIO, ssl.SSLObject]] = []
    for _ in range(depth):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        layers.append((incoming, outgoing, context.wrap_bio(incoming, outgoing, server_side=True)))

    def take(level: int) -> bytes:
        """Read bytes that the lower layers have decrypted."""
        if level < 0:
            return sock.recv(1 << 16)
        data: bytes = attempt(level, lambda: layers[level][2].read(1 << 16))
        return data

    def give(level: int, data: bytes) -> None:
        if level < 0:
            sock.sendall(data)
            return
        layers[level][2].write(data)
        give(level - 1, layers[level][1].read())

    def attempt(level: int, action: Callable[[], Any]) -> Any:
        incoming, outgoing, _ = layers[level]
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    give(level - 1, outgoing.read())
                incoming.write(take(level - 1))
            finally:
                if outgoing.pending:
                    give(level - 1, outgoing.read())

    for level in range(depth):
        attempt(level, layers[level][2].do_handshake)
    while length:
        data = take(depth - 1)
        length -= len(data)
        give(depth - 1, data)


def test_data_before_an_abrupt_end_is_returned_first(contexts: tuple[ssl.SSLContext, str]) -> None:
    """Many servers end the connection without ending TLS first."""
    context, file = contexts
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    clock = SystemClock()
    with ours, ThreadPoolExecutor(1) as pool, contextlib.closing(Waiter(clock)) as waiter:

        def talk() -> None:
            theirs.settimeout(PATIENCE)
            with context.wrap_socket(theirs, server_side=True) as server:
                server.sendall(b"last words")

        talking = pool.submit(talk)
        deadline = clock.now() + PATIENCE
        stream = wrap_tls(ours, "tls.test", "tls.test", TLSOptions(cacert=file), waiter, deadline)
        talking.result(PATIENCE)
        assert stream.recv(100) == b"last words"
        assert stream.recv(100) == b""
        assert stream.recv(100) == b""


def test_data_before_a_tls_error_is_returned_first(contexts: tuple[ssl.SSLContext, str]) -> None:
    context, file = contexts
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    clock = SystemClock()
    with ours, theirs, ThreadPoolExecutor(1) as pool, contextlib.closing(Waiter(clock)) as waiter:

        def talk() -> None:
            theirs.settimeout(PATIENCE)
            with theirs.dup() as kept, context.wrap_socket(theirs, server_side=True) as server:
                server.sendall(b"sense")
                kept.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

        talking = pool.submit(talk)
        deadline = clock.now() + PATIENCE
        stream = wrap_tls(ours, "tls.test", "tls.test", TLSOptions(cacert=file), waiter, deadline)
        talking.result(PATIENCE)
        assert stream.recv(100) == b"sense"
        with pytest.raises(ssl.SSLError) as raised:
            stream.recv(100)
        assert not blocked_on(raised.value, selectors.EVENT_READ)


def test_the_closing_alert_of_tls_ends_the_stream(contexts: tuple[ssl.SSLContext, str]) -> None:
    context, file = contexts
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    clock = SystemClock()
    with ours, theirs, ThreadPoolExecutor(1) as pool, contextlib.closing(Waiter(clock)) as waiter:

        def talk() -> None:
            theirs.settimeout(PATIENCE)
            with context.wrap_socket(theirs, server_side=True, suppress_ragged_eofs=False) as server:
                server.sendall(b"good")
                server.sendall(b"bye")
                server.setblocking(False)
                with contextlib.suppress(ssl.SSLWantReadError):
                    server.unwrap()

        talking = pool.submit(talk)
        deadline = clock.now() + PATIENCE
        stream = wrap_tls(ours, "tls.test", "tls.test", TLSOptions(cacert=file), waiter, deadline)
        talking.result(PATIENCE)
        assert stream.recv(100) == b"goodbye"
        assert stream.recv(100) == b""
