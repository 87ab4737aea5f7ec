"""Opening a connection: several addresses, deadlines and interruptions."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.sync.server import ServerConnection, serve

from ddpshell.advice import Place, advice
from ddpshell.client.network.tls import TLSOptions
from ddpshell.client.network.waiting import Interrupted
from ddpshell.exceptions import ConnectError
from tests import machine
from tests.client.conftest import (
    CONNECT_TIMEOUT,
    Authority,
    Client,
    ClientThread,
    connector,
    echo,
    failure,
    talking,
)
from tests.loopback import PATIENCE, ScriptedServer, silent_tcp

#: An address of IPv6, and one of a kind that this machine does not have, as IPv6 where it was turned off.
FAMILIES = {"::1": socket.AF_INET6, "no family": 63}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[str]], None]:
    """Give a host name several addresses of this machine without a name server."""
    entries: dict[str, list[str]] = {}

    def look_up_host(host: bytes, port: int, family: int, kind: int) -> list[tuple[object, ...]]:
        found = [(FAMILIES.get(address, socket.AF_INET), address) for address in entries[host.decode()]]
        addresses: list[tuple[object, ...]] = [
            (one, kind, 0, "", (address, port)) for one, address in found if family in (socket.AF_UNSPEC, one)
        ]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return addresses

    monkeypatch.setattr(socket, "getaddrinfo", look_up_host)
    return entries.__setitem__


@contextlib.contextmanager
def black_hole(address: str = "127.0.0.1") -> Iterator[int]:
    """A port that does not answer. Its queue is full, so the system drops packets like a firewall."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def free_port(address: str = "127.0.0.1") -> int:
    with socket.create_server((address, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_the_error_names_an_unknown_host(client: Client) -> None:
    error = client.refusal("ws://host.invalid:3000")
    assert str(error).startswith("cannot find the host 'host.invalid': ")
    assert (advice(error, Place.COMMAND_LINE), error.retryable) == ("check the name and the network", True)


def test_the_error_names_a_closed_port(client: Client) -> None:
    port = free_port()
    error = client.refusal(f"ws://127.0.0.1:{port}")
    assert str(error) == f"127.0.0.1:{port} refused the connection"
    assert (advice(error, Place.COMMAND_LINE), error.retryable) == ("is the server running there?", True)


def test_an_attempt_to_a_host_that_does_not_answer_ends_at_the_deadline(client_thread: ClientThread) -> None:
    """R7."""
    with black_hole() as port:
        attempt = client_thread.connect(f"ws://127.0.0.1:{port}")
        client_thread.clock.wait_until_waiting(deadline=client_thread.clock.now() + CONNECT_TIMEOUT)
        client_thread.clock.advance(CONNECT_TIMEOUT)
        error = failure(attempt)
    assert str(error) == f"no answer from 127.0.0.1:{port} in time"
    assert error.retryable


@pytest.mark.parametrize("first", ["127.0.0.2", "no family"])
def test_the_next_address_is_tried_after_a_failed_address(
    client: Client, names: Callable[[str, list[str]], None], first: str
) -> None:
    """This happens with `localhost` if the server listens on 127.0.0.1 and not on ::1."""
    names("two.test", [first, "127.0.0.1"])
    with ScriptedServer(echo) as server:
        transport = client.connect(f"ws://two.test:{server.port}")
        transport.send(["here"])
        assert client.receive(transport, 1) == ["here"]


def test_an_address_that_does_not_answer_gets_only_its_share_of_the_time(
    client_thread: ClientThread, names: Callable[[str, list[str]], None]
) -> None:
    names("three.test", ["127.0.0.2", "127.0.0.3", "127.0.0.1"])
    start = client_thread.clock.now()
    with black_hole("127.0.0.2") as port, socket.create_server(("127.0.0.1", port)) as listener:
        attempt = client_thread.connect(f"ws://three.test:{port}")
        client_thread.clock.wait_until_waiting(deadline=start + CONNECT_TIMEOUT / 3)
        client_thread.clock.advance(
            CONNECT_TIMEOUT / 3
        )  # the second address refuses at once, the third gets the rest of the time
        listener.settimeout(PATIENCE)
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(PATIENCE)
            assert peer.recv(3) == b"GET"
            client_thread.clock.wait_until_waiting(deadline=start + CONNECT_TIMEOUT)
            client_thread.clock.advance(CONNECT_TIMEOUT)
            assert "did not answer the upgrade in time" in str(failure(attempt))


def test_if_all_addresses_fail_the_last_error_is_raised(
    client: Client, names: Callable[[str, list[str]], None]
) -> None:
    names("two.test", ["no family", "127.0.0.3"])
    names("one.test", ["no family"])
    port = free_port()
    assert str(client.refusal(f"ws://two.test:{port}")) == f"two.test:{port} refused the connection"
    assert str(client.refusal(f"ws://one.test:{port}")).startswith(f"cannot reach one.test:{port}: Address family not")


def test_ip_version_selects_the_kind_of_addresses(client: Client, names: Callable[[str, list[str]], None]) -> None:
    names("both.test", ["::1", "127.0.0.1"])
    names("one.test", ["127.0.0.1"])
    with ScriptedServer(echo) as server:
        url = f"ws://both.test:{server.port}"
        assert client.open(connector(url, ip_version=4)).open
        with pytest.raises(ConnectError, match=f"both.test:{server.port}"):
            client.open(connector(url, ip_version=6))
        with pytest.raises(ConnectError) as raised:
            client.open(connector(f"ws://one.test:{server.port}", ip_version=6))
    assert str(raised.value) == "cannot find an IPv6 address of the host 'one.test': Name or service not known"
    assert "without --ipv6" in advice(raised.value, Place.COMMAND_LINE)


def test_an_ipv6_address_is_connected_to(client: Client) -> None:
    def answer(connection: ServerConnection) -> None:
        assert connection.request is not None
        connection.send(connection.request.headers["Host"])

    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        machine.unavailable(f"no IPv6: {error}")
    with serve(answer, sock=listener) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        port = listener.getsockname()[1]
        transport = client.connect(f"ws://[::1]:{port}/websocket")
        assert client.receive(transport, 1) == [f"[::1]:{port}"]
        transport.close(goodbye=True)
        server.shutdown()


# ------------------------------------------------------------------------------------------------------- interruption


def test_an_interruption_ends_a_connection_attempt_at_once(client_thread: ClientThread) -> None:
    with black_hole() as port:
        attempt = client_thread.connect(f"ws://127.0.0.1:{port}")
        client_thread.clock.wait_until_waiting()
        client_thread.client.waiter.interrupt()
        assert isinstance(attempt.exception(PATIENCE), Interrupted)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_an_interruption_ends_a_handshake_at_once(client_thread: ClientThread, scheme: str) -> None:
    """This holds for the handshakes of TLS and of the WebSocket."""
    with ScriptedServer(silent_tcp) as server:
        attempt = client_thread.connect(f"{scheme}://127.0.0.1:{server.port}")
        server.wait_for_connections(1)
        client_thread.clock.wait_until_waiting()
        client_thread.client.waiter.interrupt()
        assert isinstance(attempt.exception(PATIENCE), Interrupted)


def test_an_interruption_ends_the_wait_for_sockjs_at_once(client_thread: ClientThread) -> None:
    with ScriptedServer(talking(lambda conversation: None)) as server:
        attempt = client_thread.connect(f"ws://127.0.0.1:{server.port}/sockjs")
        server.wait_for_connections(1)
        client_thread.clock.wait_until_waiting()
        client_thread.client.waiter.interrupt()
        assert isinstance(attempt.exception(PATIENCE), Interrupted)


def test_the_url_is_shown_without_credentials() -> None:
    assert connector("https://user:wonderland@app.example.com/a").url == "wss://app.example.com/a/websocket"


def test_the_end_of_each_step_is_reported_with_its_time(client: Client, authority: Authority) -> None:
    steps: list[tuple[str | None, float]] = []

    def on_step(step: str | None, now: float) -> None:
        steps.append((step, now))

    with ScriptedServer(echo, tls=authority.server("localhost")) as server:
        made = connector(f"wss://localhost:{server.port}", tls=TLSOptions(cacert=authority.cacert), on_step=on_step)
        client.open(made)
    assert [step for step, _ in steps] == [None, "dns", "tcp", "tls", "upgrade"]
    assert [now for _, now in steps] == sorted(now for _, now in steps)
