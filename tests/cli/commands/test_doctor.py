"""Set-ups that are broken in one place: the doctor names the layer and advice that mends it, and the mended set-up passes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ddpshell.advice import REVERSE_PROXIES
from ddpshell.server import Options, Server
from tests.cli.conftest import Command
from tests.client.network.test_connector import black_hole, free_port
from tests.gateway import Gateway, Request, http_page
from tests.loopback import Conversation, LoopbackServer, ScriptedServer, refuse_version, silent_websocket
from tests.machine import program
from tests.meteor import MeteorServer
from tests.proxies import HTTPProxy, SOCKSProxy

LAYERS = ["dns", "tcp", "proxy", "tls", "page", "sockjs", "upgrade", "ddp", "ping", "size", "login", "resume"]


@dataclass
class Setup:
    """A broken set-up.

    Args:
        words: The words after `ddp doctor`.
        layer: The layer that the doctor must name.
        advice: A part of the expected advice.
        mend: Mends the set-up, and returns the words after `ddp doctor` for the second examination.
        status: The status of the layer.
        code: The exit code.
        found: A part of the layer's expected finding.
        works: Whether all layers of the mended set-up work, without warnings.
    """

    words: list[str]
    layer: str
    advice: str
    mend: Callable[[dict[str, Any]], list[str]]
    status: str = "fail"
    code: int = 3
    found: str = ""
    works: bool = field(default=True)


class World:
    """The servers and files of one test."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.authority = trustme.CA()

    def server(self, server: Server | None = None, port: int = 0) -> LoopbackServer:
        return self.stack.enter_context(LoopbackServer(server, port=port))

    def gateway(self, *backends: int, **settings: Any) -> Gateway:
        return self.stack.enter_context(Gateway(*backends, **settings))

    def script(self, script: Callable[[Conversation], object]) -> int:
        """Return the port of a gateway that has a page, with a scripted server for WebSockets after it."""
        server = self.stack.enter_context(ScriptedServer(script))
        return self.gateway(
            server.port, answer=lambda request: None if request.wants_websocket else http_page("404 Not Found")
        ).port

    def file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    @property
    def cacert(self) -> str:
        return self.file("ca.pem", self.authority.cert_pem.bytes().decode())


def context(cert: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(made)
    return made


SETUPS: dict[str, Callable[[World], Setup]] = {}


def setup(function: Callable[[World], Setup]) -> Callable[[World], Setup]:
    SETUPS[function.__name__.replace("_", " ")] = function
    return function


# --------------------------------------------------------------------------------------------------- dns, tcp, proxy


@setup
def an_unknown_name(world: World) -> Setup:
    server = world.server()
    return Setup(
        [f"ws://host.invalid:{server.port}"],
        "dns",
        "check the spelling of the name",
        lambda layer: [f"ws://localhost:{server.port}"],
        found="cannot find the host 'host.invalid'",
    )


@setup
def a_closed_port(world: World) -> Setup:
    port = free_port()

    def mend(layer: dict[str, Any]) -> list[str]:
        world.server(port=port)
        return [f"localhost:{port}"]

    return Setup([f"localhost:{port}"], "tcp", "start it", mend, found="refused the connection")


@setup
def a_firewall_that_swallows(world: World) -> Setup:
    port = world.stack.enter_context(black_hole())
    server = world.server()
    return Setup(
        ["--connect-timeout", "0.2", f"127.0.0.1:{port}"],
        "tcp",
        "a firewall drops the packets",
        lambda layer: [f"127.0.0.1:{server.port}"],
        found="no answer from",
    )


@setup
def a_proxy_that_refuses(world: World) -> Setup:
    server = world.server()
    proxy = world.stack.enter_context(HTTPProxy("ann", "secret"))
    return Setup(
        ["--proxy", f"http://{proxy.address}", server.url],
        "proxy",
        "put user and password into the proxy URL",
        lambda layer: ["--proxy", proxy.url, server.url],
        found="407",
    )


@setup
def a_proxy_that_cannot_reach_the_server(world: World) -> Setup:
    port = free_port()
    proxy = world.stack.enter_context(HTTPProxy())

    def mend(layer: dict[str, Any]) -> list[str]:
        world.server(port=port)
        return ["--proxy", proxy.url, f"localhost:{port}"]

    return Setup(["--proxy", proxy.url, f"localhost:{port}"], "proxy", "cannot reach the server", mend, found="502")


@setup
def a_proxy_that_does_not_run(world: World) -> Setup:
    server = world.server()
    return Setup(
        ["--proxy", f"http://127.0.0.1:{free_port()}", server.url],
        "tcp",
        "--no-proxy",
        lambda layer: ["--no-proxy", server.url],
        found="the proxy",
    )


@setup
def a_SOCKS_proxy_with_another_password(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    server = world.server()
    proxy = world.stack.enter_context(SOCKSProxy("ann", "secret"))
    return Setup(
        ["--proxy", f"socks5h://ann:wrong@{proxy.address}", server.url],
        "proxy",
        "check user and password in the proxy URL",
        lambda layer: ["--proxy", proxy.url, server.url],
    )


@setup
def a_proxy_that_is_a_web_server(world: World) -> Setup:
    server, proxy = world.server(), world.server()
    return Setup(
        ["--proxy", f"http://127.0.0.1:{proxy.port}", server.url],
        "proxy",
        "the proxy may not allow this server",
        lambda layer: ["--no-proxy", server.url],
        found="405",
    )


# --------------------------------------------------------------------------------------------------------------- tls


def secure(world: World, cert: trustme.LeafCert, *, cacert: str = "") -> tuple[Gateway, list[str]]:
    """A gateway with TLS, and the words to examine it."""
    gateway = world.gateway(world.server().port, tls=context(cert))
    return gateway, ["--cacert", cacert or world.cacert, f"https://localhost:{gateway.port}"]


def renewing(world: World, gateway: Gateway, words: list[str]) -> Callable[[dict[str, Any]], list[str]]:
    def mend(layer: dict[str, Any]) -> list[str]:
        gateway.use_tls(context(world.authority.issue_cert("localhost")))
        return words

    return mend


@setup
def an_expired_certificate(world: World) -> Setup:
    now = datetime.now(UTC)
    cert = world.authority.issue_cert("localhost", not_before=now - timedelta(90), not_after=now - timedelta(3, 60))
    gateway, words = secure(world, cert)
    mend = renewing(world, gateway, words)
    return Setup(words, "tls", "certbot renew", mend, found="expired 3 days ago")


@setup
def a_certificate_that_is_not_valid_yet(world: World) -> Setup:
    now = datetime.now(UTC)
    cert = world.authority.issue_cert("localhost", not_before=now + timedelta(2), not_after=now + timedelta(9))
    gateway, words = secure(world, cert)
    return Setup(
        words, "tls", "check the clock of this machine", renewing(world, gateway, words), found="valid in 2 days"
    )


@setup
def a_certificate_for_another_name(world: World) -> Setup:
    _, words = secure(world, world.authority.issue_cert("app.example", "www.app.example"))

    def mend(layer: dict[str, Any]) -> list[str]:
        assert layer["names"] == ["app.example", "www.app.example"]
        name = re.search(r"--servername (\S+)", layer["advice"])
        assert name is not None
        return ["--servername", name[1], *words]

    return Setup(words, "tls", "use a name in the certificate, such as app.example", mend, found="app.example, www")


@setup
def a_self_signed_certificate(world: World) -> Setup:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = cert.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(world.file("own.pem", pem), world.file("own.key", private.decode()))
    gateway = world.gateway(world.server().port, tls=made)
    url = f"https://localhost:{gateway.port}"
    return Setup(
        [url],
        "tls",
        f"openssl s_client -connect localhost:{gateway.port}",
        lambda layer: ["--cacert", world.file("server.pem", pem), url],
        found="the certificate is self-signed: localhost",
    )


@setup
def an_incomplete_chain(world: World) -> Setup:
    cert = world.authority.create_child_ca().issue_cert("localhost")
    gateway, words = secure(world, cert)
    only = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    only.load_cert_chain(
        world.file("cert.pem", cert.cert_chain_pems[0].bytes().decode()),
        world.file("key.pem", cert.private_key_pem.bytes().decode()),
    )
    gateway.use_tls(only)

    def mend(layer: dict[str, Any]) -> list[str]:
        gateway.use_tls(context(cert))
        return words

    return Setup(words, "tls", "fullchain.pem", mend, found="the server sends 1 certificate")


@setup
def an_unknown_authority(world: World) -> Setup:
    _, words = secure(world, world.authority.issue_cert("localhost"))
    return Setup(words[2:], "tls", "trust it with --cacert FILE", lambda layer: words)


@setup
def a_server_that_requires_a_certificate(world: World) -> Setup:
    """With TLS 1.3, the server rejects the client only when the client reads the first answer."""
    demanding = context(world.authority.issue_cert("localhost"))
    world.authority.configure_trust(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    gateway = world.gateway(world.server().port, tls=demanding)
    words = ["--cacert", world.cacert, f"https://localhost:{gateway.port}"]
    own = world.authority.issue_cert("ann@example.com")
    chain = "".join([pem.bytes().decode() for pem in (own.private_key_pem, *own.cert_chain_pems)])
    cert = world.file("ann.pem", chain)
    return Setup(words, "tls", "use --cert FILE, and --key FILE", lambda layer: ["--cert", cert, *words])


@setup
def a_server_that_rejects_the_certificate(world: World) -> Setup:
    demanding = context(world.authority.issue_cert("localhost"))
    world.authority.configure_trust(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    gateway = world.gateway(world.server().port, tls=demanding)
    certs = []
    for name, authority in (("other", trustme.CA()), ("ann", world.authority)):
        own = authority.issue_cert("ann@example.com")
        chain = "".join([pem.bytes().decode() for pem in (own.private_key_pem, *own.cert_chain_pems)])
        certs.append(["--cert", world.file(f"{name}.pem", chain)])
    words = ["--cacert", world.cacert, f"https://localhost:{gateway.port}"]
    advice = "use --cert FILE with one from an authority that the server trusts"
    return Setup([*certs[0], *words], "tls", advice, lambda layer: [*certs[1], *words])


@setup
def a_server_without_TLS(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    port = world.server().port
    return Setup(
        [f"https://localhost:{port}"], "tls", "begins with http: or ws:", lambda layer: [f"http://localhost:{port}"]
    )


@setup
def TLS_where_none_is_expected(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    _, words = secure(world, world.authority.issue_cert("localhost"))
    plain = [words[-1].replace("https", "http")]
    return Setup(plain, "upgrade", "begins with https: or wss:", lambda layer: words)


@setup
def nginx_with_TLS_where_none_is_expected(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    nginx = Nginx(world, world.server().port)
    cert = world.authority.issue_cert("127.0.0.1")
    chain = b"".join(pem.bytes() for pem in cert.cert_chain_pems).decode()
    world.file("nginx.crt", chain)
    world.file("nginx.key", cert.private_key_pem.bytes().decode())
    nginx.start("\n".join(REVERSE_PROXIES["nginx"]), secure=True)
    url = nginx.url.replace("http", "https")
    return Setup([nginx.url], "page", "wss: or https:", lambda layer: ["--cacert", world.cacert, url], found="uses TLS")


# -------------------------------------------------------------------------------------------- page, sockjs, upgrade


def meteor_page(config: dict[str, Any] | None = None, head: str = "") -> str:
    text = quote(json.dumps({"meteorRelease": "METEOR@3.5.0", "ROOT_URL_PATH_PREFIX": "", **(config or {})}))
    script = f'__meteor_runtime_config__ = JSON.parse(decodeURIComponent("{text}"))'
    return f'<html><head>{head}<script type="text/javascript">{script}</script></head></html>'


def answering(page: bytes) -> Callable[[Request], bytes | None]:
    """Answer requests for pages. Other requests are passed on."""
    return lambda request: None if request.wants_websocket or "sockjs" in request.path else page


@setup
def the_wrong_path(world: World) -> Setup:
    server = world.server(Server(path_prefix="/app"))
    url = f"ws://localhost:{server.port}"
    advice = f"ddp doctor http://localhost:{server.port}/PREFIX"
    return Setup([url], "upgrade", advice, lambda layer: [f"{url}/app"], found="404")


@setup
def a_prefix_to_which_the_page_redirects(world: World) -> Setup:
    server = world.server(Server(path_prefix="/app"))
    gateway = world.gateway(server.port)
    gateway.answer = lambda request: http_page("302 Found", Location="/app/") if request.path == "/" else None

    def mend(layer: dict[str, Any]) -> list[str]:
        command = re.search(r"ddp doctor (\S+)", layer["advice"])
        assert command is not None
        return [command[1]]

    url = f"http://localhost:{gateway.port}"
    return Setup([url], "upgrade", f"ddp doctor {url}/app/", mend, found="404")


@setup
def a_prefix_that_the_page_names(world: World) -> Setup:
    server = world.server(Server(path_prefix="/app"))
    gateway = world.gateway(
        server.port, answer=answering(http_page("200 OK", meteor_page({"ROOT_URL_PATH_PREFIX": "/app"})))
    )

    def mend(layer: dict[str, Any]) -> list[str]:
        command = re.search(r"ddp doctor (\S+)", layer["advice"])
        assert command is not None
        return [command[1]]

    return Setup(
        [f"localhost:{gateway.port}"],
        "upgrade",
        f"use the address of the application: ddp doctor http://localhost:{gateway.port}/app",
        mend,
    )


@setup
def a_redirect(world: World) -> Setup:
    server = world.server(Server(path_prefix="/new"))
    gateway = world.gateway(server.port)
    target = f"http://localhost:{gateway.port}/new"

    def answer(request: Request) -> bytes | None:
        if request.path.startswith("/new"):
            return None
        return http_page("301 Moved Permanently", Location=target + request.path)

    gateway.answer = answer

    def mend(layer: dict[str, Any]) -> list[str]:
        command = re.search(r"ddp doctor (\S+)", layer["advice"])
        assert command is not None
        return [command[1]]

    return Setup([f"localhost:{gateway.port}"], "upgrade", f"use that address: ddp doctor {target}", mend, found="301")


def guarded(world: World, status: str, header: str) -> Gateway:
    """A gateway that requires a header."""
    gateway = world.gateway(world.server().port)
    gateway.answer = lambda request: None if header in request.headers else http_page(status)
    return gateway


@setup
def a_password_that_is_missing(world: World) -> Setup:
    gateway = guarded(world, "401 Unauthorized", "authorization")
    return Setup(
        [f"localhost:{gateway.port}"],
        "upgrade",
        "https://user:password@host",
        lambda layer: [f"http://ann:secret@localhost:{gateway.port}"],
        found="401",
    )


@setup
def a_header_that_is_missing(world: World) -> Setup:
    gateway = guarded(world, "403 Forbidden", "x-key")
    headers = world.file("headers", "X-Key: secret\n")
    return Setup(
        [f"localhost:{gateway.port}"],
        "upgrade",
        "-H @FILE",
        lambda layer: ["-H", f"@{headers}", f"localhost:{gateway.port}"],
        found="403",
    )


@setup
def an_origin_that_is_not_allowed(world: World) -> Setup:
    server = world.server(Server(options=Options(origins=["https://app.example"])))
    return Setup(
        ["--origin", "https://other.example", server.url],
        "upgrade",
        "--origin URL",
        lambda layer: ["--origin", "https://app.example", server.url],
        found="403",
    )


@setup
def a_proxy_whose_Meteor_does_not_run(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    gateway = world.gateway(answer=lambda request: http_page("502 Bad Gateway", Server="nginx"))

    def mend(layer: dict[str, Any]) -> list[str]:
        gateway.backends = [world.server().port]
        gateway.answer = lambda request: None
        return [f"localhost:{gateway.port}"]

    return Setup([f"localhost:{gateway.port}"], "upgrade", "check the address and the port after proxy_pass", mend)


@setup
def a_proxy_that_removes_Upgrade(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    gateway = world.gateway(world.server().port)

    def answer(request: Request) -> bytes | None:
        return http_page("400 Bad Request", "Not a valid websocket request") if request.wants_websocket else None

    gateway.answer = answer

    def mend(layer: dict[str, Any]) -> list[str]:
        # The response does not name the proxy, so the advice has the lines for every kind.
        assert all(line in layer["advice"] for lines in REVERSE_PROXIES.values() for line in lines)
        gateway.answer = lambda request: None
        return [f"localhost:{gateway.port}"]

    return Setup([f"localhost:{gateway.port}"], "upgrade", "lost its Upgrade header", mend)


@setup
def nginx_without_Upgrade(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    nginx = Nginx(world, world.server().port)
    nginx.start("location / { proxy_pass http://localhost:3000; }")

    def mend(layer: dict[str, Any]) -> list[str]:
        nginx.start(layer["advice"].partition("nginx:\n")[2])
        return [nginx.url]

    return Setup([nginx.url], "upgrade", "proxy_set_header Upgrade $http_upgrade;", mend, found="400")


@setup
def nginx_before_a_closed_port(world: World) -> Setup:
    nginx = Nginx(world, free_port())
    lines = "\n".join(REVERSE_PROXIES["nginx"])
    nginx.start(lines)

    def mend(layer: dict[str, Any]) -> list[str]:
        nginx.backend = world.server().port
        nginx.start(lines)
        return [nginx.url]

    return Setup([nginx.url], "upgrade", "proxy_pass (nginx)", mend, found="502")


class Nginx:
    """The real nginx from Debian, as a proxy for a server."""

    def __init__(self, world: World, backend: int) -> None:
        self.backend = backend
        self._program = program("nginx", "nginx-light")
        self._folder = world.folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        world.stack.callback(self.stop)

    def start(self, location: str, *, secure: bool = False) -> None:
        """Start nginx with these lines of configuration, and wait until nginx listens."""
        self.stop()
        paths = " ".join(
            f"{name}_temp_path {self._folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        tls = (
            f"ssl; ssl_certificate {self._folder}/nginx.crt; ssl_certificate_key {self._folder}/nginx.key"
            if secure
            else ""
        )
        location = location.replace("localhost:3000", f"127.0.0.1:{self.backend}")
        config = f"""
            pid {self._folder}/nginx.pid; error_log {self._folder}/nginx.log; events {{}}
            http {{ access_log off; {paths} server {{ listen 127.0.0.1:{self._port} {tls};\n{location}\n}} }}
        """
        (self._folder / "nginx.conf").write_text(config)
        subprocess.run(self._words(), check=True, capture_output=True)

    def stop(self) -> None:
        """Stop nginx if it runs."""
        if (self._folder / "nginx.pid").exists():
            subprocess.run([*self._words(), "-s", "stop"], check=True, capture_output=True)
            wait_until_free(self._port)
            (self._folder / "nginx.pid").unlink(missing_ok=True)

    def _words(self) -> list[str]:
        return [self._program, "-p", str(self._folder), "-c", "nginx.conf", "-e", "nginx.log"]


def wait_until_free(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return


@setup
def WebSockets_that_are_switched_off(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    gateway = world.gateway(world.server().port)

    def answer(request: Request) -> bytes | None:
        if "/info" in request.path:
            return http_page("200 OK", '{"websocket":false,"origins":["*:*"],"cookie_needed":false,"entropy":1}')
        return http_page("404 Not Found") if request.wants_websocket else None

    gateway.answer = answer

    def mend(layer: dict[str, Any]) -> list[str]:
        gateway.answer = lambda request: None
        return [f"localhost:{gateway.port}"]

    return Setup([f"localhost:{gateway.port}"], "upgrade", "unset DISABLE_WEBSOCKETS", mend, found="404")


@setup
def a_policy_without_the_socket(world: World) -> Setup:
    gateway = world.gateway(world.server().port)
    url = f"localhost:{gateway.port}"
    policy = "default-src 'self'; connect-src https://api.example"
    gateway.answer = answering(http_page("200 OK", meteor_page(), Content_Security_Policy=policy))

    def mend(layer: dict[str, Any]) -> list[str]:
        directive = re.search("^  (connect-src .*)$", layer["advice"], re.MULTILINE)
        assert directive is not None
        page = meteor_page(head=f'<meta http-equiv="Content-Security-Policy" content="{directive[1]}">')
        gateway.answer = answering(http_page("200 OK", page))
        return [url]

    return Setup(
        [url],
        "page",
        f"connect-src https://api.example ws://localhost:{gateway.port}",
        mend,
        status="warn",
        code=0,
        found="keeps browsers from",
    )


@setup
def a_policy_of_another_page(world: World) -> Setup:
    """An application can replace Meteor's page."""
    gateway = world.gateway(world.server().port)
    url = f"localhost:{gateway.port}"
    gateway.answer = answering(http_page("200 OK", "<html>", Content_Security_Policy="default-src 'none'"))

    def mend(layer: dict[str, Any]) -> list[str]:
        directive = re.search("^  (connect-src .*)$", layer["advice"], re.MULTILINE)
        assert directive is not None
        policy = f"default-src 'none'; {directive[1]}"
        gateway.answer = answering(http_page("200 OK", "<html>", Content_Security_Policy=policy))
        return [url]

    advice = f"connect-src 'self' ws://localhost:{gateway.port}"
    return Setup([url], "page", advice, mend, status="warn", code=0, found="default-src 'none'")


@setup
def a_page_that_names_another_server(world: World) -> Setup:
    gateway, server = world.gateway(world.server().port), world.server()
    page = meteor_page({"DDP_DEFAULT_CONNECTION_URL": f"http://localhost:{server.port}"})
    gateway.answer = answering(http_page("200 OK", page))

    def mend(layer: dict[str, Any]) -> list[str]:
        assert layer["ddp_url"] == f"http://localhost:{server.port}"
        command = re.search(r"ddp doctor (\S+)", layer["advice"])
        assert command is not None
        return [command[1]]

    return Setup(
        [f"localhost:{gateway.port}"], "page", "check that server, too", mend, status="warn", code=0,
        found=f"browsers connect to ws://localhost:{server.port}/websocket",
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- ddp


@setup
def a_server_that_is_not_for_the_web(world: World) -> Setup:
    def ssh(conversation: Conversation) -> None:
        conversation.send_bytes(b"SSH-2.0-OpenSSH_9.2\r\n")
        conversation.hold()

    port = world.stack.enter_context(ScriptedServer(ssh)).port
    server = world.server()
    return Setup(
        [f"localhost:{port}"],
        "page",
        "the address and the port of a Meteor server",
        lambda layer: [f"localhost:{server.port}"],
        found="its answer is 'SSH-2.0-OpenSSH_9.2'",
    )


@setup
def a_web_server_without_WebSockets(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    gateway = world.gateway(answer=lambda request: http_page("200 OK", "<h1>Welcome</h1>"))
    server = world.server()
    return Setup(
        [f"localhost:{gateway.port}"],
        "upgrade",
        "the path may be wrong",
        lambda layer: [f"localhost:{server.port}"],
        found="200",
    )


@setup
def a_WebSocket_that_is_not_DDP(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    def goodbye(conversation: Conversation) -> None:
        conversation.upgrade()
        conversation.receive_text()
        conversation.close(1008, "what is that?")

    port, server = world.script(goodbye), world.server()
    return Setup(
        [f"localhost:{port}"],
        "ddp",
        "there is no DDP server at its other end",
        lambda layer: [f"localhost:{server.port}"],
        found="what is that?",
    )


@setup
def a_version_that_is_refused(world: World) -> Setup:
    port, server = world.script(refuse_version("9")), world.server()
    return Setup(
        [f"localhost:{port}"],
        "ddp",
        "does not speak any version of DDP that ddp speaks",
        lambda layer: [f"localhost:{server.port}"],
        found="version 9",
    )


@setup
def a_WebSocket_that_is_silent(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    port, server = world.script(silent_websocket), world.server()
    return Setup(
        ["--connect-timeout", "1", f"localhost:{port}"],
        "ddp",
        "passes messages on to Meteor",
        lambda layer: [f"localhost:{server.port}"],
        found="did not send `connected` in time",
    )


@setup
def pings_that_are_not_answered(world: World) -> Setup:
    def deaf(conversation: Conversation) -> None:
        conversation.establish()
        conversation.wait_closed()

    port, server = world.script(deaf), world.server()
    return Setup(
        ["--connect-timeout", "1", f"localhost:{port}"],
        "ping",
        "look at its load and its log",
        lambda layer: [f"localhost:{server.port}"],
    )


@setup
def a_message_limit_of_48_KiB(world: World) -> Setup:  # noqa: N802 - it becomes the test's id
    server = world.server(Server(options=Options(message_limit=48 << 10)))
    other = world.server(Server(options=Options(message_limit=2 << 20)))

    def mend(layer: dict[str, Any]) -> list[str]:
        assert layer["bytes"] == 48 << 10
        return [other.url]

    return Setup(
        [server.url], "size", "payloadLength", mend, status="warn", code=0, found="messages of up to 48 KiB pass"
    )


@setup
def large_messages_that_are_lost(world: World) -> Setup:
    def lossy(conversation: Conversation) -> None:
        conversation.establish()
        while True:
            text = conversation.receive_text()
            if len(text) <= 100 << 10:
                conversation.send_text(text.replace("ping", "pong", 1))

    port = world.script(lossy)

    def mend(layer: dict[str, Any]) -> list[str]:
        assert layer["bytes"] in range(50 << 10, 101 << 10)
        assert "MTU" in layer["advice"]
        return ["--max-size", "40K", "--drop", "0", f"localhost:{port}"]

    words = ["--connect-timeout", "0.5", "--drop", "0", f"localhost:{port}"]
    return Setup(words, "size", "send less in one message", mend, status="warn", code=0, found="no answer in time")


@setup
def a_login_that_is_refused(world: World) -> Setup:
    server = world.server()
    words = ["--login", "alice", "--password-file"]
    wrong, right = world.file("wrong", "jabberwock\n"), world.file("right", "wonderland\n")
    return Setup(
        [*words, wrong, server.url],
        "login",
        "check the user and the password",
        lambda layer: [*words, right, server.url],
        code=4,
        found="Incorrect password",
    )


@setup
def a_login_that_is_not_saved(world: World) -> Setup:
    server = world.server()
    return Setup(
        ["--login", "alice", server.url],
        "login",
        f"ddp login alice -u {server.url}",
        lambda layer: ["--no-login", server.url],
        code=4,
    )


@setup
def sessions_that_do_not_come_back(world: World) -> Setup:
    gateway = world.gateway(world.server().port, world.server().port)

    def mend(layer: dict[str, Any]) -> list[str]:
        assert (layer["drops"], layer["resumed"]) == (1, 0)
        gateway.backends = gateway.backends[:1]
        return [f"localhost:{gateway.port}"]

    return Setup(
        [f"localhost:{gateway.port}"], "resume", "ip_hash;", mend, status="warn", code=0, found="came back 0 of 1 time"
    )


@setup
def a_server_that_forgets_sessions(world: World) -> Setup:
    server, other = world.server(Server(options=Options(grace_period=0))), world.server()
    return Setup(
        ["--drop", "2", server.url],
        "resume",
        "Meteor keeps sessions from 3.5 on",
        lambda layer: ["--drop", "2", other.url],
        status="warn",
        code=0,
        found="came back 0 of 2 times",
    )


@setup
def a_server_that_accepts_a_client_only_once(world: World) -> Setup:
    gateway = world.gateway(world.server().port)
    upgrades: list[Request] = []

    def answer(request: Request) -> bytes | None:
        if request.wants_websocket:
            upgrades.append(request)
        # These are the clients of the layers upgrade, ddp, size and resume.
        return http_page("429 Too Many Requests") if len(upgrades) > 4 else None

    gateway.answer = answer

    def mend(layer: dict[str, Any]) -> list[str]:
        gateway.answer = lambda request: None
        return [f"localhost:{gateway.port}"]

    words = ["--connect-timeout", "1", f"localhost:{gateway.port}"]
    return Setup(words, "resume", "limits per client", mend, found="429")


# ---------------------------------------------------------------------------------------------------------- the tests


def examined(ddp: Command, *words: str) -> tuple[int, list[dict[str, Any]]]:
    ran = ddp("doctor", *words, "-o", "json", "-qq")
    assert ran.err == ""
    report = json.loads(ran.out)
    layers = report["layers"]
    assert [layer["layer"] for layer in layers] == LAYERS
    statuses = [layer["status"] for layer in layers]
    assert report["verdict"] == next((status for status in ("fail", "warn") if status in statuses), "ok")
    return ran.code, layers


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(tmp_path, stack)


@pytest.mark.parametrize("name", SETUPS)
def test_a_broken_setup_is_named_at_its_layer_and_mended_by_the_advice(ddp: Command, world: World, name: str) -> None:
    broken = SETUPS[name](world)
    code, layers = examined(ddp, *broken.words)
    found = {layer["layer"]: layer for layer in layers}
    layer = found[broken.layer]
    assert (layer["status"], code) == (broken.status, broken.code), layers
    assert broken.found in layer["found"]
    assert broken.advice in layer["advice"]
    if broken.status == "fail":
        rest = layers[LAYERS.index(broken.layer) + 1 :]
        assert {(after["status"], after["ms"], after["found"]) for after in rest} <= {("skip", None, "not tried")}

    code, layers = examined(ddp, *broken.mend(layer))
    assert (code, {layer["status"] for layer in layers} <= {"ok", "skip"}) == (0, True), layers


def test_at_least_twenty_setups_are_broken() -> None:
    assert len(SETUPS) >= 40


# ------------------------------------------------------------------------------------------------------ the command


def test_a_healthy_server_is_examined_in_all_layers(ddp: Command, server: LoopbackServer) -> None:
    """Without -u, the server is that of $DDP_URL."""
    code, layers = examined(ddp)
    assert code == 0
    assert [layer["layer"] for layer in layers if layer["status"] == "skip"] == ["proxy", "tls", "login"]
    assert all(layer["ms"] is not None and layer["found"] for layer in layers if layer["status"] == "ok")
    assert {"layer", "status", "ms", "found", "advice"} <= layers[0].keys()


def test_a_healthy_server_is_examined_without_a_pause(ddp: Command, server: LoopbackServer) -> None:
    """The times of the layers, without a pause, are far below a second, also on a slow machine."""
    _, layers = examined(ddp)
    assert sum(layer["ms"] or 0 for layer in layers) < 5_000


@pytest.mark.parametrize("words", [["URL"], ["-u", "URL"], ["-p", "prod"]], ids=" ".join)
def test_the_server_can_be_named_by_url_option_or_profile(
    ddp: Command, server: LoopbackServer, home: Path, words: list[str]
) -> None:
    config = home / "config/ddpshell/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[servers.prod]\nurl = "{server.url}"\n')
    ran = ddp("doctor", *[server.url if word == "URL" else word for word in words], "-o", "json")
    assert (ran.code, json.loads(ran.out)["url"]) == (0, server.url)


@pytest.mark.parametrize("words", [["-u", "localhost:1"], ["-p", "prod"]], ids=" ".join)
def test_two_servers_are_an_error(ddp: Command, words: list[str]) -> None:
    ran = ddp("doctor", "localhost:2", *words)
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be used together; name the server once" in ran.err


def test_an_invalid_url_is_a_usage_error(ddp: Command) -> None:
    assert ddp("doctor", "ftp://h").code == 2


def test_a_certificate_file_that_holds_none_is_a_usage_error(ddp: Command, world: World) -> None:
    _, words = secure(world, world.authority.issue_cert("localhost"), cacert=__file__)
    ran = ddp("doctor", *words)
    assert ran.code == 2
    assert "cannot use the certificate files" in ran.err
    assert checked(ddp, *words)[0] == 3


def test_options_of_the_connection_are_used_on_every_layer(ddp: Command, world: World) -> None:
    """The same headers are sent with each request, through the same proxy."""
    requests: list[Request] = []

    def answer(request: Request) -> bytes | None:
        requests.append(request)
        return None

    gateway = world.gateway(world.server().port, answer=answer)
    proxy = world.stack.enter_context(HTTPProxy())
    words = ["-H", "X-Key: 1", "--cookie", "a=b", "--origin", "https://o.example", "--user-agent", "probe"]
    code, _ = examined(ddp, *words, "--proxy", proxy.url, f"http://ann:secret@127.0.0.1:{gateway.port}")
    assert code == 0
    # The layers page, sockjs, upgrade, ddp and size send one request each, and resume sends two.
    assert len(requests) == len(proxy.targets) == 7
    for request in requests:
        sent = [request.headers.get(name) for name in ("x-key", "cookie", "origin", "user-agent")]
        assert sent == ["1", "a=b", "https://o.example", "probe"]
        assert request.headers["authorization"].startswith("Basic ")


def test_a_server_with_sockjs_framing_is_examined_through_it(ddp: Command, server: LoopbackServer) -> None:
    """U9-U11: the framing of SockJS is used for every message."""
    code, layers = examined(ddp, f"ws://127.0.0.1:{server.port}/sockjs")
    assert (code, {layer["status"] for layer in layers}) == (0, {"ok", "skip"})
    assert layers[LAYERS.index("size")]["bytes"] == 1 << 20


def test_sizes_up_to_the_limit_are_tried(ddp: Command, server: LoopbackServer) -> None:
    _, layers = examined(ddp, "--max-size", "3000000", "--drop", "3")
    found = {layer["layer"]: layer for layer in layers}
    assert found["size"]["bytes"] == 3_000_000
    assert (found["resume"]["drops"], found["resume"]["resumed"]) == (3, 3)


@pytest.mark.parametrize(("release", "status"), [("3.4.1", "ok"), ("2.16", "ok"), ("3.5.0", "warn"), ("", "warn")])
def test_meteor_before_3_5_need_not_keep_sessions(ddp: Command, world: World, release: str, status: str) -> None:
    """C5: older versions of Meteor do not keep sessions."""
    server = world.server(Server(options=Options(grace_period=0)))
    page = http_page("200 OK", meteor_page({"meteorRelease": f"METEOR@{release}"}))
    gateway = world.gateway(server.port, answer=answering(page))
    code, layers = examined(ddp, f"localhost:{gateway.port}")
    assert (code, layers[-1]["status"]) == (0, status)


def test_the_configuration_can_be_in_a_script(ddp: Command, world: World) -> None:
    def answer(request: Request) -> bytes | None:
        if request.path.startswith("/meteor_runtime_config.js"):
            return http_page("200 OK", meteor_page())
        if request.path == "/":
            return http_page("200 OK", '<script src="/meteor_runtime_config.js?hash=x"></script>')
        return None

    gateway = world.gateway(world.server().port, answer=answer)
    _, layers = examined(ddp, f"localhost:{gateway.port}")
    assert layers[LAYERS.index("page")]["release"] == "3.5.0"


def test_a_valid_certificate_is_described(ddp: Command, world: World) -> None:
    _, words = secure(world, world.authority.issue_cert("localhost", "*.app.example"))
    code, layers = examined(ddp, *words)
    tls = layers[LAYERS.index("tls")]
    assert (code, tls["status"], tls["names"]) == (0, "ok", ["localhost", "*.app.example"])
    assert tls["days"] > 1000
    assert "trustme" in tls["issuer"]


@pytest.mark.parametrize("words", [[], ["--insecure"]], ids=" ".join)
def test_a_certificate_that_ends_soon_or_is_not_checked_is_a_warning(
    ddp: Command, world: World, words: list[str]
) -> None:
    _, known = secure(world, world.authority.issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(5, 60)))
    code, layers = examined(ddp, *words, *known)
    tls = layers[LAYERS.index("tls")]
    assert (code, tls["status"], tls["days"]) == (0, "warn", 5)


def test_control_characters_in_text_of_the_server_are_escaped(ddp: Command, world: World) -> None:
    page = http_page("500 \x1b[2J", "<p>bad \x1b]0;x\x07 \u202e</p>", Server="\x1b[31mnginx")
    gateway = world.gateway(answer=lambda request: page)
    for form in ("pretty", "json"):
        ran = ddp("doctor", f"localhost:{gateway.port}", "-o", form)
        assert ran.code == 3
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", ran.out)


def test_people_read_one_line_for_each_layer_and_the_advice_below_it(ddp: Command, world: World) -> None:
    server = world.server(Server(options=Options(message_limit=48 << 10)))
    lines = ddp("doctor", server.url, "-o", "pretty", "--color", "never").out.splitlines()
    assert [line.split()[1] for line in lines if re.match("ok|warn|skip", line)] == LAYERS
    size = next(number for number, line in enumerate(lines) if line.startswith("warn  size "))
    assert any(line.startswith("      the server or a proxy") for line in lines[size:])
    assert lines[-2:] == ["", f"{server.url} works, with warnings about: size"]

    lines = ddp("doctor", f"localhost:{free_port()}", "-o", "pretty").out.splitlines()
    assert len([line for line in lines if re.fullmatch(r"skip  \w+ +not tried", line)]) == 10
    assert lines[-1].endswith("ends at tcp")


def test_colors_are_used_only_on_request(ddp: Command) -> None:
    words = ["doctor", f"localhost:{free_port()}", "-o", "pretty"]
    assert "\x1b" not in ddp(*words).out
    colored = ddp(*words, "--color", "always").out
    assert "\x1b[31mfail" in colored
    uncolored = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert re.sub(" +[0-9.]+ m?s ", "", uncolored) == re.sub(" +[0-9.]+ m?s ", "", ddp(*words).out)


# ------------------------------------------------------------------------------------------------------- for monitors


def checked(ddp: Command, *words: str) -> tuple[int, str, dict[str, str]]:
    """The exit code, the text and the numbers of a check."""
    ran = ddp("doctor", "--check", *words)
    assert ran.err == ""
    assert ran.out.count("\n") == 1
    text, _, numbers = ran.out.rstrip().partition(" | ")
    return ran.code, text, dict(number.split("=") for number in numbers.split())


def test_a_check_of_a_healthy_server_is_OK(ddp: Command, server: LoopbackServer) -> None:  # noqa: N802
    code, text, numbers = checked(ddp, server.url)
    assert (code, text) == (0, f"DDP OK - {server.url}")
    assert (numbers["size_limit"], numbers["resumed"]) == ("1048576B", "1")
    assert re.fullmatch(r"[0-9]+\.[0-9]{3}s", numbers["connect"])


def test_a_check_with_a_warning_is_WARNING(ddp: Command, world: World) -> None:  # noqa: N802
    server = world.server(Server(options=Options(message_limit=48 << 10)))
    code, text, numbers = checked(ddp, server.url)
    assert (code, numbers["size_limit"]) == (1, "49152B")
    assert text.startswith(f"DDP WARNING - {server.url}: size: messages of up to 48 KiB pass")


def test_a_check_of_a_broken_server_is_CRITICAL(ddp: Command, world: World) -> None:  # noqa: N802
    port = free_port()
    code, text, numbers = checked(ddp, f"localhost:{port}")
    assert (code, text) == (
        2,
        f"DDP CRITICAL - ws://localhost:{port}/websocket: tcp: localhost:{port} refused the connection",
    )
    assert numbers.keys() == {"dns", "tcp"}


def test_a_check_that_fails_at_the_login_is_CRITICAL(ddp: Command, server: LoopbackServer) -> None:  # noqa: N802
    assert checked(ddp, server.url, "--login", "ann")[0] == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["ftp://h"], "invalid server URL 'ftp://h': unknown scheme"),
        (["localhost:1", "-u", "localhost:2"], "URL and --url cannot be used together"),
        (["-p", "unknown"], "unknown profile 'unknown'"),
    ],
)
def test_a_check_that_cannot_be_made_is_UNKNOWN(ddp: Command, words: list[str], text: str) -> None:  # noqa: N802
    code, shown, _ = checked(ddp, *words)
    assert code == 3
    assert shown.startswith(f"DDP UNKNOWN - {text}")


# ---------------------------------------------------------------------------------------------------- the real Meteor


def test_a_real_meteor_server_passes_all_layers(ddp: Command, meteor_server: MeteorServer) -> None:
    code, layers = examined(ddp, meteor_server.url)
    found = {layer["layer"]: layer for layer in layers}
    assert code == 0
    assert [found[name]["status"] for name in ("upgrade", "ddp", "ping", "size")] == ["ok"] * 4
    assert found["sockjs"]["status"] == "ok"
    # C5: this version does not keep sessions.
    assert (found["resume"]["drops"], found["resume"]["resumed"]) == (1, 0)
