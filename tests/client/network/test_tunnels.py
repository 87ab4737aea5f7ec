"""Tunnels through proxies, and errors of proxies."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme

import ddpshell
from ddpshell.advice import Place, advice
from ddpshell.exceptions import ConnectError
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse, http_answer, silent_tcp
from tests.proxies import HTTPProxy, Proxy, SOCKSProxy

KINDS = [pytest.param(HTTPProxy, id="HTTP"), pytest.param(SOCKSProxy, id="SOCKS5")]


def refusal(
    proxy: str,
    url: str = "ddp.example.com:3000",
    *,
    timeout: float = PATIENCE,
    tls: ddpshell.TLSOptions | None = None,
) -> ConnectError:
    with (
        ddpshell.Client(url, proxy=proxy, reconnect=False, connect_timeout=timeout, tls=tls) as client,
        pytest.raises(ConnectError) as raised,
    ):
        client.wait_connected(PATIENCE)
    return raised.value


@pytest.mark.parametrize("kind", KINDS)
class TestThrough:
    def test_a_call_goes_through_the_proxy(self, kind: Callable[..., Proxy]) -> None:
        with LoopbackServer() as server, kind() as proxy:
            with ddpshell.Client(server.url, proxy=proxy.url) as client:
                assert client.call("upper", "x" * 100_000).result(PATIENCE) == "X" * 100_000
            assert proxy.targets == [("127.0.0.1", server.port)]

    def test_the_proxy_looks_up_the_name(self, kind: Callable[..., Proxy]) -> None:
        """Only the proxy knows the name of the server."""
        with LoopbackServer() as server, kind(hosts={"ddp.invalid": ("127.0.0.1", server.port)}) as proxy:
            with ddpshell.Client("ddp.invalid:3000", proxy=proxy.url) as client:
                assert client.call("upper", "x").result(PATIENCE) == "X"
            assert proxy.targets == [("ddp.invalid", 3000)]

    def test_an_international_name_is_encoded_for_dns(self, kind: Callable[..., Proxy]) -> None:
        with LoopbackServer() as server, kind(hosts={"xn--bcher-kva.invalid": ("127.0.0.1", server.port)}) as proxy:
            with ddpshell.Client("bücher.invalid", proxy=proxy.url) as client:
                client.wait_connected(PATIENCE)
            assert proxy.targets == [("xn--bcher-kva.invalid", 80)]

    def test_an_ipv6_address_is_reached_through_the_proxy(self, kind: Callable[..., Proxy]) -> None:
        with LoopbackServer() as server, kind(hosts={"2001:db8::1": ("127.0.0.1", server.port)}) as proxy:
            with ddpshell.Client("[2001:db8::1]:3000", proxy=proxy.url) as client:
                client.wait_connected(PATIENCE)
            assert proxy.targets == [("2001:db8::1", 3000)]

    def test_tls_is_with_the_server_and_not_with_the_proxy(self, kind: Callable[..., Proxy]) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("ddp.invalid").configure_cert(context)

        def answer(server: Conversation) -> None:
            server.finish(server.expect("method"), result=1)

        with (
            ScriptedServer(converse(answer), tls=context) as server,
            kind(hosts={"ddp.invalid": ("127.0.0.1", server.port)}) as proxy,
            authority.cert_pem.tempfile() as file,
        ):
            tls = ddpshell.TLSOptions(cacert=file)
            with ddpshell.Client("wss://ddp.invalid", proxy=proxy.url, tls=tls) as client:
                assert client.call("m").result(PATIENCE) == 1
            assert proxy.targets == [("ddp.invalid", 443)]

    def test_a_proxy_accepts_user_and_password(self, kind: Callable[..., Proxy]) -> None:
        with (
            LoopbackServer() as server,
            kind("ann", "hunter2") as proxy,
            ddpshell.Client(server.url, proxy=proxy.url) as client,
        ):
            client.wait_connected(PATIENCE)

    @pytest.mark.parametrize("credentials", ["", "ann:hunter3@", "ann@", "bob:hunter2@"])
    def test_wrong_credentials_are_a_permanent_error(self, kind: Callable[..., Proxy], credentials: str) -> None:
        with kind("ann", "hunter2") as proxy:
            error = refusal(f"{proxy.scheme}://{credentials}{proxy.address}")
            assert proxy.targets == []
        assert str(error).startswith(f"the proxy {proxy.address} ")
        assert not error.retryable
        assert "password" in advice(error, Place.COMMAND_LINE)
        assert "hunter" not in f"{error} {advice(error, Place.COMMAND_LINE)}"

    def test_an_unreachable_server_is_reported(self, kind: Callable[..., Proxy]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with kind() as proxy:
            error = refusal(proxy.url, f"127.0.0.1:{port}")
        assert str(error).startswith(f"the proxy {proxy.address} ")
        assert f"127.0.0.1{', port ' if kind is SOCKSProxy else ':'}{port}" in str(error)
        assert error.retryable

    def test_an_unreachable_proxy_is_reported(self, kind: Callable[..., Proxy]) -> None:
        with kind() as proxy:
            pass
        error = refusal(proxy.url)
        assert str(error) == f"the proxy {proxy.address} refused the connection"
        assert advice(error, Place.COMMAND_LINE) == "--no-proxy connects without it"

    def test_a_client_reconnects_through_the_proxy(self, kind: Callable[..., Proxy]) -> None:
        with LoopbackServer() as server, kind() as proxy:
            with ddpshell.Client(server.url, proxy=proxy.url) as client:
                client.wait_connected(PATIENCE)
                server.drop()
                assert client.call("upper", "x").result(PATIENCE) == "X"
            assert len(proxy.targets) == 2


class TestTLSToTheProxy:
    """`https://`: the connection to the proxy is encrypted, including its credentials."""

    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def trusting(self, authority: trustme.CA) -> Iterator[ddpshell.TLSOptions]:
        with authority.cert_pem.tempfile() as file:
            yield ddpshell.TLSOptions(cacert=file, servername="ddp.invalid")

    @staticmethod
    def proving(authority: trustme.CA, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    def test_a_call_goes_through_a_tls_proxy(self, authority: trustme.CA, trusting: ddpshell.TLSOptions) -> None:
        context = self.proving(authority, "127.0.0.1")
        with LoopbackServer() as server, HTTPProxy("ann", "hunter2", tls=context) as proxy:
            assert proxy.url.startswith("https://ann:hunter2@")
            with ddpshell.Client(server.url, proxy=proxy.url, tls=trusting) as client:
                assert client.call("upper", "x" * 1_000_000).result(PATIENCE) == "X" * 1_000_000
            assert proxy.targets == [("127.0.0.1", server.port)]

    def test_a_call_with_tls_inside_tls_goes_through(
        self, authority: trustme.CA, trusting: ddpshell.TLSOptions
    ) -> None:
        def talk(server: Conversation) -> None:
            call = server.expect("method")
            server.finish(call, result=call["params"][0])

        with (
            ScriptedServer(converse(talk), tls=self.proving(authority, "ddp.invalid")) as server,
            HTTPProxy(
                hosts={"ddp.invalid": ("127.0.0.1", server.port)}, tls=self.proving(authority, "127.0.0.1")
            ) as proxy,
            ddpshell.Client("wss://ddp.invalid", proxy=proxy.url, tls=trusting) as client,
        ):
            assert client.call("echo", "x" * 5_000_000).result(PATIENCE) == "x" * 5_000_000

    def test_nothing_is_sent_to_an_untrusted_proxy(self, authority: trustme.CA) -> None:
        """This holds even with `insecure`, which applies only to the server."""
        with HTTPProxy("ann", "hunter2", tls=self.proving(authority, "127.0.0.1")) as proxy:
            error = refusal(proxy.url, tls=ddpshell.TLSOptions(insecure=True))
            assert proxy.targets == []
        assert str(error).startswith(f"the certificate of the proxy {proxy.address} is not trusted: ")
        assert not error.retryable

    def test_a_proxy_without_tls_is_reported(self) -> None:
        def script(server: Conversation) -> None:
            server.read_bytes(10)
            server.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            server.hold()

        with ScriptedServer(script) as proxy:
            error = refusal(f"https://127.0.0.1:{proxy.port}")
            assert str(error).startswith(f"no TLS with the proxy 127.0.0.1:{proxy.port}: ")
        assert "begins with ws: or http:" in advice(error, Place.COMMAND_LINE)

    def test_a_tls_proxy_without_https_in_its_url_is_reported(self, authority: trustme.CA) -> None:
        with HTTPProxy(tls=self.proving(authority, "127.0.0.1")) as proxy:
            error = refusal(proxy.url.replace("https:", "http:"))
        assert str(proxy.address) in str(error)
        assert "check the kind and the port" in advice(error, Place.COMMAND_LINE)


def test_socks5_without_h_looks_up_the_name_locally() -> None:
    with LoopbackServer() as server, SOCKSProxy() as proxy:
        url = f"socks5://{proxy.address}"
        with ddpshell.Client(f"localhost:{server.port}", proxy=url) as client:
            client.wait_connected(PATIENCE)
        assert proxy.targets[0][0] in ("127.0.0.1", "::1")
        error = refusal(url, "ddp.invalid")
    assert str(error).startswith("cannot find the host 'ddp.invalid'")
    assert "socks5h" in advice(error, Place.COMMAND_LINE)


def test_an_unknown_proxy_host_is_reported() -> None:
    assert str(refusal("http://nowhere.invalid:3128")).startswith("cannot find the proxy 'nowhere.invalid'")


@pytest.mark.parametrize(
    ("answer", "sentence", "retryable"),
    [
        pytest.param(http_answer(403, "Forbidden"), "answered HTTP 403 Forbidden for ddp.example.com:3000", False, id="403"),
        pytest.param(http_answer(503, "Busy"), "answered HTTP 503 Busy", True, id="503"),
        pytest.param(lambda server: server.send_bytes(b"220 mail ESMTP\r\n\r\n"), "does not answer like a proxy for HTTP", False, id="not HTTP"),
        pytest.param(lambda server: server.send_bytes(b"HTTP/1.1 200 OK\r\n\r\nx"), "it sent more than an answer", False, id="bytes after the answer"),
        pytest.param(lambda server: server.send_bytes(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000), "its answer is too long", False, id="an endless answer"),
        pytest.param(lambda server: server.read_request(), "closed the connection instead of answering", True, id="no answer"),
        pytest.param(lambda server: server.read_request() and server.reset(), "broke the connection", True, id="a reset"),
    ],
)  # fmt: skip
def test_the_refusal_of_an_http_proxy_is_reported(
    answer: Callable[[Conversation], object], sentence: str, *, retryable: bool
) -> None:
    with ScriptedServer(answer) as proxy:
        error = refusal(f"http://127.0.0.1:{proxy.port}")
    assert sentence in str(error)
    assert error.retryable is retryable
    assert advice(error, Place.COMMAND_LINE) or "broke" in sentence


@pytest.mark.parametrize(
    ("answers", "sentence", "retryable"),
    [
        pytest.param([b"HT"], "does not answer like a proxy for SOCKS5: its first byte is 72", False, id="HTTP"),
        pytest.param([b"\x05\x07"], "does not accept connections without credentials", False, id="a method that was not offered"),
        pytest.param([b"\x05\x00", b"\x05\x02\x00\x01" + bytes(6)], "its rules do not allow the connection", False, id="forbidden"),
        pytest.param([b"\x05\x00", b"\x05\x63\x00\x01" + bytes(6)], "unknown reply 99", True, id="an unknown failure"),
        pytest.param([b"\x05\x00", b"\x04\x00\x00\x01" + bytes(6)], "its reply begins with 4", False, id="another version"),
        pytest.param([b"\x05\x00", b"\x05\x00\x00\x09" + bytes(6)], "an address of type 9", False, id="an unknown address"),
        pytest.param([b"\x05"], "closed the connection instead of answering", True, id="an incomplete answer"),
    ],
)  # fmt: skip
def test_the_refusal_of_a_socks_proxy_is_reported(answers: list[bytes], sentence: str, *, retryable: bool) -> None:
    def script(server: Conversation) -> None:
        server.read_bytes(3)
        for answer in answers:
            server.send_bytes(answer)
        if answers != [b"\x05"]:
            server.hold()

    with ScriptedServer(script) as proxy:
        error = refusal(f"socks5h://127.0.0.1:{proxy.port}")
    assert sentence in str(error)
    assert error.retryable is retryable


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_an_attempt_ends_in_time_if_the_proxy_does_not_answer(scheme: str) -> None:
    with ScriptedServer(silent_tcp) as proxy:
        error = refusal(f"{scheme}://127.0.0.1:{proxy.port}", timeout=0.2)
    assert "did not connect to the server in time" in str(error)


def test_a_long_password_for_socks_raises_an_error() -> None:
    def script(server: Conversation) -> None:
        server.send_bytes(b"\x05\x02")
        server.hold()

    with ScriptedServer(script) as proxy:
        error = refusal(f"socks5h://ann:{'x' * 256}@127.0.0.1:{proxy.port}")
    assert "up to 255 bytes" in str(error)
    assert not error.retryable


def test_closing_a_client_ends_an_attempt_that_waits_for_the_proxy() -> None:
    with ScriptedServer(silent_tcp) as proxy:
        client = ddpshell.Client("ddp.example.com", proxy=f"http://127.0.0.1:{proxy.port}", connect_timeout=0)
        proxy.wait_for_connections(1)
        client.close()
