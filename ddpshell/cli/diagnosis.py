"""Tries the way to a DDP server layer by layer, from the name of its host to a session that survives a lost connection.

Each layer uses the client's own code for it. The layers below DDP are tried one step after another on connections of their
own; those from `ddp` on are tried with clients, as commands use them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal
from urllib.parse import urljoin

from msgspec import Struct

from ..advice import REVERSE_PROXIES, Place, advice, doctor_advice
from ..client import Client
from ..client.client import make_connector
from ..client.events import ConnectionFailed, Event, SessionEstablished, Waiting
from ..client.network.http_get import Answer, http_get
from ..client.network.tls import ByteStream, Certificate, TLSOptions, certificates, wrap_tls
from ..client.network.waiting import Address, Waiter
from ..ejson import JSONValue, json_text
from ..exceptions import (
    ConnectError,
    DDPError,
    EJSONError,
    LoginError,
    LoginNeeded,
    NegotiationError,
    TransportError,
)
from ..protocol.web_page import PageFacts, blocking_policy, page_facts, page_path, socket_of
from ..text.prose import plural
from .connection import EventReporter, make_client, network_options, wait_for_outcome, wait_for_server, wait_for_session
from .credentials import find_credential, read_passphrase, server_options
from .event_queue import EventQueue, wait_until_done
from .message_sizes import SizeSearch, size_text
from .process import ExitCode, Process, exit_code
from .settings import ConnectionSettings

Status = Literal["ok", "warn", "fail", "skip"]

#: The layers in order. `Diagnosis` has a method `_try_NAME` for each.
LAYERS: Final = ("dns", "tcp", "proxy", "tls", "page", "sockjs", "upgrade", "ddp", "ping", "size", "login", "resume")

_KIB = 1 << 10
_PINGS = 3
# A certificate that ends sooner than this is a warning: Let's Encrypt's are renewed 30 days before their end.
_FEW_DAYS = 14
_DAY = 86_400
# Meteor resumes sessions from this version on (C5).
_RESUMING_METEOR = (3, 5)
# What nginx, Apache and Caddy say to a client without TLS on a port with TLS.
_EXPECTS_TLS = re.compile(r"plain HTTP request was sent to HTTPS|plain HTTP to an SSL|HTTP request to an HTTPS server")
# Statuses with which a server answers a request for a WebSocket that has lost its Upgrade header on the way (U7).
_LOST_UPGRADE = (400, 405, 426, 501)


class Layer(Struct):
    """What was found in one layer.

    Args:
        status: `ok`, `warn` (something to know or to mend), `fail` or `skip`.
        found: What was found, in one line.
        advice: What to do, which can have several lines; "" if there is nothing to do.
        facts: More values for programs.
        layer: The layer's name.
        ms: Milliseconds; None if nothing was tried.
    """

    status: Status
    found: str
    advice: str = ""
    facts: Mapping[str, JSONValue] = {}
    layer: str = ""
    ms: float | None = None

    def as_json(self) -> dict[str, JSONValue]:
        """Return the object for programs."""
        return {
            "layer": self.layer,
            "status": self.status,
            "ms": None if self.ms is None else round(self.ms, 3),
            "found": self.found,
            "advice": self.advice,
            **self.facts,
        }


class Diagnosis:
    """One examination of a server.

    Args:
        process: The run of `ddp`.
        settings: How to connect.
        max_size: The largest message to try, in bytes.
        drops: How often to cut the connection.

    Raises:
        InvalidURL: The URL is not valid.
        CommandError: A certificate file cannot be read.
    """

    def __init__(self, process: Process, settings: ConnectionSettings, *, max_size: int, drops: int) -> None:
        self._process = process
        self._settings = settings
        self._clock = process.clock
        self._max_size = min(max_size, settings.max_message)
        self._drops = drops
        self._passphrase = read_passphrase(process, settings)
        self._connector = make_connector(settings.url, **network_options(settings, self._passphrase))
        self.endpoint = self._connector.endpoint
        self._proxy = self._connector.options.proxy
        self._cleanup = contextlib.ExitStack()
        self._waiter = Waiter(self._clock)
        self._cleanup.callback(self._waiter.close)
        # What the layers leave for those after them.
        self._addresses: list[Address] = []
        self._stream: ByteStream | None = None
        self._page: Answer | None = None
        self._rejection: ConnectError | None = None
        self._facts = PageFacts(None, "", ())
        self._sockjs_refuses_websockets = False
        self._client: Client | None = None
        #: The exit code, after `run`.
        self.exit_code = ExitCode.DONE

    def run(self, begin: Callable[[str], object] = lambda name: None) -> Iterator[Layer]:
        """Try each layer, and yield what was found. After the first failure, the other layers are not tried.

        Args:
            begin: Called with the name of each layer before it is tried.
        """
        tls: Layer | None = None
        for layer in self._try_all(begin):
            if layer.layer == "tls" and layer.status in ("ok", "warn"):
                tls = layer
            elif tls is not None and self._rejection is not None:
                # With TLS 1.3, a server rejects the client after the handshake, in the place of its first answer.
                tls.status, tls.found, tls.advice = "fail", f"{tls.found}; {layer.found}", self._rejection_advice()
                yield tls
                yield Layer("skip", "not tried", layer=layer.layer)
                tls = None
            else:
                if tls is not None:
                    yield tls
                yield layer
                tls = None

    def _try_all(self, begin: Callable[[str], object]) -> Iterator[Layer]:
        with self._cleanup:
            # If the server does not start in time, the layers show what is missing.
            with contextlib.suppress(TransportError, NegotiationError):
                wait_for_server(self._process, self._settings, self._passphrase)
            for name in LAYERS:
                if self.exit_code is not ExitCode.DONE:
                    yield Layer("skip", "not tried", layer=name)
                    continue
                begin(name)
                began = self._clock.now()
                layer = self._examine(getattr(self, f"_try_{name}"))
                layer.layer = name
                if layer.status != "skip":
                    layer.ms = (self._clock.now() - began) * 1000
                if layer.status == "fail" and self.exit_code is ExitCode.DONE:
                    self.exit_code = ExitCode.NOT_CONNECTED
                yield layer

    def _examine(self, examine: Callable[[], Layer]) -> Layer:
        try:
            return examine()
        except (LoginError, LoginNeeded) as error:
            self.exit_code = ExitCode.LOGIN
            return Layer("fail", str(error), advice(error, Place.COMMAND_LINE, server_options(self._process)))
        except DDPError as error:
            if exit_code(error) is ExitCode.USAGE:
                # A file with a password cannot be read, for example. That says nothing about the server.
                raise
            return Layer("fail", str(error), doctor_advice(error))

    # ------------------------------------------------------------------------------------------------- the network

    def _try_dns(self) -> Layer:
        self._addresses = list(self._connector.look_up(self._waiter, self._deadline()))
        host = (self._proxy or self.endpoint).host
        found = list(dict.fromkeys([str(address[4][0]) for address in self._addresses]))
        text = f"{host} needs no lookup" if found == [host] else f"{host} is {', '.join(found)}"
        return Layer("ok", text, facts={"addresses": [*found]})

    def _try_tcp(self) -> Layer:
        sock = self._connector.open_socket(self._addresses, self._waiter, self._deadline())
        self._cleanup.callback(sock.close)
        self._stream = sock
        host, port = sock.getpeername()[:2]
        return Layer("ok", f"connected to {f'[{host}]' if ':' in host else host}:{port}")

    def _try_proxy(self) -> Layer:
        if self._proxy is None:
            return Layer("skip", "no proxy")
        assert self._stream is not None
        self._stream = self._connector.open_tunnel(self._stream, self._waiter, self._deadline())
        return Layer("ok", f"{self._proxy.url} connects to {self.endpoint.authority}")

    def _try_tls(self) -> Layer:
        if not self.endpoint.secure:
            return Layer("skip", "the URL is for a connection without TLS")
        assert self._stream is not None
        try:
            self._stream = self._connector.secure(self._stream, self._waiter, self._deadline())
        except ConnectError as error:
            if error.problem == "client rejected":
                return Layer("fail", str(error), self._rejection_advice())
            if error.problem == "certificate files":
                raise
            return self._untrusted(error)
        sent = certificates(self._stream)
        if not sent:
            return Layer("ok", "the certificate is trusted")
        own, facts = sent[0], self._certificate_facts(sent[0])
        text = f"certificate of {_names(own)}, issued by {own.issuer}, {self._validity(own)}"
        if self._settings.insecure:
            return Layer("warn", f"{text}; not checked", "leave out --insecure to check it", facts)
        if own.not_after - self._now() < _FEW_DAYS * _DAY:
            return Layer("warn", text, "renew the certificate, for example with `certbot renew`", facts)
        return Layer("ok", text, facts=facts)

    def _rejection_advice(self) -> str:
        if self._settings.cert is None:
            return "the server rejects clients without a certificate: use --cert FILE, and --key FILE if the key is elsewhere"
        return "the server rejects this client certificate: use --cert FILE with one from an authority that the server trusts"

    def _untrusted(self, error: ConnectError) -> Layer:
        """Describe the certificate that is not trusted, which a second connection reads."""
        sent: list[Certificate] = []
        if error.problem.startswith("certificate") or error.problem == "unknown authority":
            with contextlib.suppress(ConnectError):
                sent = certificates(self._open(checks_certificate=False))
        if not sent:
            raise error
        own, last = sent[0], sent[-1]
        # OpenSSL ends some of its sentences with a full stop.
        text = f"{str(error).removesuffix('.')}; the certificate is of {_names(own)}, issued by {own.issuer}, {self._validity(own)}"
        what = doctor_advice(error)
        if error.problem == "certificate of another host" and own.names:
            name = next((name for name in own.names if not name.startswith("*")), own.names[0])
            what = (
                f"use a name in the certificate, such as {name}, or get a certificate for {self.endpoint.host}; "
                f"--servername {name} expects that name"
            )
        elif error.problem == "unknown authority" and own.issuer == own.subject:
            text = f"the certificate is self-signed: {_names(own)}, {self._validity(own)}"
            what = (
                "install a certificate that an authority has signed, or trust this one: save it with\n"
                f"  openssl s_client -connect {self.endpoint.host}:{self.endpoint.port} </dev/null | openssl x509 >ca.pem\n"
                "and use --cacert ca.pem"
            )
        elif error.problem == "unknown authority" and last.issuer != last.subject:
            text = (
                f"the chain of certificates is incomplete: the server sends {plural(len(sent), 'certificate')}, and "
                f"the certificate of {last.issuer}, which issued {_names(own)}, is missing"
            )
            what = (
                "let the server send the whole chain: with Let's Encrypt fullchain.pem in place of cert.pem (nginx: "
                f"ssl_certificate). If {last.issuer} is your own authority, trust it with --cacert FILE"
            )
        return Layer("fail", text, what, self._certificate_facts(own))

    def _certificate_facts(self, own: Certificate) -> dict[str, JSONValue]:
        return {"issuer": own.issuer, "names": [*own.names], "days": int((own.not_after - self._now()) // _DAY)}

    def _validity(self, own: Certificate) -> str:
        now = self._now()
        if now < own.not_before:
            return f"valid in {plural(int((own.not_before - now) // _DAY) + 1, 'day')}"
        if now > own.not_after:
            return f"expired {plural(int((now - own.not_after) // _DAY), 'day')} ago"
        return f"{plural(int((own.not_after - now) // _DAY), 'day')} left"

    # ----------------------------------------------------------------------------------------------------- the web

    def _try_page(self) -> Layer:
        path = page_path(self.endpoint)
        try:
            self._page = page = self._get(path, self._stream)
        except ConnectError as error:
            if error.problem == "client rejected":
                self._rejection = error
            if error.retryable:
                # Some DDP servers answer nothing but requests for WebSockets.
                return Layer("warn", f"no page at {path}: {error}", doctor_advice(error))
            raise
        text = f"HTTP {page.status} {page.phrase}".rstrip() + f" for {path}"
        if page.header("server"):
            text += f" from {page.header('server')[:40]}"
        if page.status == 400 and _EXPECTS_TLS.search(page.text):
            raise ConnectError(f"{text}: the server uses TLS", problem="TLS", retryable=False)
        if target := self._target(page.header("location")):
            text += f", redirects to {target}"
            if target.startswith(f"{self._origin()}/"):
                # The WebSocket has another path, which need not be redirected.
                return Layer("ok", text)
            return Layer("warn", text, f"use that address: ddp doctor {target}")
        if page.status == 404:
            # A server needs no page. If the path is wrong, the upgrade fails, too.
            return Layer("skip", f"there is no page at {path}: HTTP 404")
        if page.status >= 400:
            return Layer("warn", f"{text}: {_first_line(page.text)}".removesuffix(": "), _status_advice(page.status))
        self._facts = self._read_facts(page, path)
        return self._judge_page(text, path)

    def _read_facts(self, page: Answer, path: str) -> PageFacts:
        facts = page_facts(page.text)
        if facts.config is None and facts.config_script.startswith("/"):
            with contextlib.suppress(ConnectError):
                script = page_facts(self._get(facts.config_script).text)
                facts = PageFacts(script.config, facts.config_script, facts.policies)
        header = page.header("content-security-policy")
        return PageFacts(facts.config, facts.config_script, (*facts.policies, *([header] if header else [])))

    def _judge_page(self, text: str, path: str) -> Layer:
        facts = self._facts
        data: dict[str, JSONValue] = {}
        if facts.config is None:
            text += ", not a page of Meteor"
        else:
            release = facts.setting("meteorRelease").removeprefix("METEOR@")
            text += f", Meteor {release}" if release else ", Meteor"
            data = {"release": release, "prefix": facts.setting("ROOT_URL_PATH_PREFIX")}
        # What is to be mended, and how.
        problems: dict[str, str] = {}
        if self._right_address():
            place = f"the application is at {facts.setting('ROOT_URL_PATH_PREFIX') or '/'}, not at {path}"
            problems[place] = f"use its address: ddp doctor {self._right_address()}"
        ddp_url = facts.setting("DDP_DEFAULT_CONNECTION_URL")
        other = socket_of(ddp_url, self.endpoint) if ddp_url else None
        if ddp_url:
            data["ddp_url"] = ddp_url
        if other is not None and other.authority != self.endpoint.authority:
            problems[f"browsers connect to {other.url}"] = f"check that server, too: ddp doctor {other.url}"
        elif ddp_url and other is None:
            what = f"DDP_DEFAULT_CONNECTION_URL is not a valid URL: {ddp_url}"
            problems[what] = "correct it in the server's environment"
        target = other or self.endpoint
        if directive := blocking_policy(facts.policies, self.endpoint, target):
            origin = f"{'wss' if target.secure else 'ws'}://{target.authority}"
            name, *sources = directive.split()
            allowed = [source for source in sources if source != "'none'"] if name == "connect-src" else ["'self'"]
            what = f"the Content-Security-Policy of the page keeps browsers from {origin}: {directive}"
            problems[what] = (
                "allow it in the header Content-Security-Policy:\n"
                f"  connect-src {' '.join([*allowed, origin])}\n"
                f'or with browser-policy: BrowserPolicy.content.allowConnectOrigin("{origin}")'
            )
        if not problems:
            return Layer("ok", text, facts=data)
        return Layer("warn", "; ".join([text, *problems]), "\n".join(problems.values()), data)

    def _right_address(self) -> str:
        """Return the address of the application, if its page says that it has another path."""
        prefix = self._facts.setting("ROOT_URL_PATH_PREFIX").rstrip("/")
        if self._facts.config is None or "ROOT_URL_PATH_PREFIX" not in self._facts.config:
            return ""
        if prefix + "/" == page_path(self.endpoint):
            return ""
        return self._origin() + prefix

    def _origin(self) -> str:
        return f"{'https' if self.endpoint.secure else 'http'}://{self.endpoint.authority}"

    def _target(self, location: str) -> str:
        """Return the whole address of a redirect; "" if there is none."""
        return urljoin(self._origin() + page_path(self.endpoint), location) if location else ""

    def _try_sockjs(self) -> Layer:
        if self._page is None:
            # Waiting for another answer would only take time.
            return Layer("skip", "the server does not answer requests for pages")
        path = f"{page_path(self.endpoint)}sockjs/info"
        missing: Status = "warn" if self.endpoint.framed else "skip"
        try:
            answer = self._get(path)
        except ConnectError as error:
            return Layer(missing, f"no answer for {path}: {error}")
        try:
            info = json_text.parse(answer.text)
        except EJSONError:
            info = None
        if answer.status != 200 or not isinstance(info, dict) or "websocket" not in info:
            return Layer(missing, f"no SockJS at {path}: HTTP {answer.status}")
        if not info["websocket"]:
            self._sockjs_refuses_websockets = True
            return Layer(
                "warn",
                "SockJS says that WebSockets are switched off",
                "start Meteor without DISABLE_WEBSOCKETS: unset DISABLE_WEBSOCKETS",
            )
        return Layer("ok", "SockJS answers, and WebSockets are allowed")

    def _try_upgrade(self) -> Layer:
        try:
            # Each step again, because a server answers only one request on a connection that is upgraded.
            stream = self._open()
            transport = self._connector.upgrade(stream, self._waiter, self._deadline())
        except ConnectError as error:
            return Layer("fail", str(error), self._upgrade_advice(error))
        transport.close(goodbye=False)
        return Layer("ok", f"{self.endpoint.url} accepts WebSockets")

    def _upgrade_advice(self, error: ConnectError) -> str:
        if error.problem == "redirect":
            return f"use that address: ddp doctor {re.sub('/websocket/?$', '', self._target(error.detail))}"
        if self._sockjs_refuses_websockets:
            return "start Meteor without DISABLE_WEBSOCKETS: unset DISABLE_WEBSOCKETS"
        if self._right_address():
            return f"use the address of the application: ddp doctor {self._right_address()}"
        status = error.status
        if status in _LOST_UPGRADE:
            return self._upgrade_lines()
        if status is None and (self._page is None or error.problem not in ("not Meteor", "not Meteor, or TLS")):
            return doctor_advice(error)
        if status is not None and not (status < 300 or status == 404):
            return _status_advice(status)
        where = "the path may be wrong: if the application has a prefix, add it: ddp doctor "
        where += self._target(self._header("location")) or f"{self._origin()}{page_path(self.endpoint)}PREFIX"
        if not self._header("server"):
            return where
        return f"{where}\nIf the path is right: {self._upgrade_lines()}"

    def _header(self, name: str) -> str:
        """Return a header of the page; "" without one."""
        return "" if self._page is None else self._page.header(name)

    def _upgrade_lines(self) -> str:
        """Return the configuration with which a reverse proxy passes WebSockets on."""
        known = [name for name in REVERSE_PROXIES if name.lower() in self._header("server").lower()]
        lines = [
            f"{name}:\n" + "".join([f"  {line}\n" for line in REVERSE_PROXIES[name]])
            for name in known or REVERSE_PROXIES
        ]
        what = "the request has lost its Upgrade header on the way; the reverse proxy must pass it on"
        return f"{what}. {''.join(lines)}".rstrip()

    # --------------------------------------------------------------------------------------------------------- DDP

    def _try_ddp(self) -> Layer:
        try:
            self._client = self._connect()
        except ConnectError as error:
            if error.problem != "not Meteor":
                raise
            what = (
                "the WebSocket opens, but there is no DDP server at its other end: check the path, and that the proxy passes "
                "messages on to Meteor"
            )
            return Layer("fail", str(error), what)
        status = self._client.status
        session = "without an id" if status.session is None else status.session
        return Layer("ok", f"session {session}")

    def _try_ping(self) -> Layer:
        assert self._client is not None
        times = []
        for _ in range(_PINGS):
            answer = self._client.ping()
            wait_until_done(answer, self._clock, self._deadline())
            if not answer.done():
                return Layer(
                    "fail",
                    "no answer to a DDP ping",
                    "the server accepts sessions but does not answer: look at its load and its log",
                )
            times.append(answer.result(0) * 1000)
        # The fastest one has waited least for other work.
        return Layer("ok", f"round trip of {min(times):.1f} ms", facts={"round_trip_ms": round(min(times), 3)})

    def _try_size(self) -> Layer:
        largest = self._max_size
        if largest < _KIB:
            return Layer("skip", "the largest message to try is smaller than 1 KiB")
        search = SizeSearch(self._connect, self._clock, self._deadline, largest)
        passed, failed = search.run()
        facts: dict[str, JSONValue] = {"bytes": passed}
        if failed is None:
            return Layer("ok", f"messages of {size_text(passed)} pass", facts=facts)
        what = (
            "the server or a proxy before it limits the size of WebSocket messages: raise that limit "
            "(Meteor with DDP_TRANSPORT=uws: payloadLength), or send less in one message"
        )
        if search.is_silent:
            what = (
                "the messages are lost on the way: check the MTU of the network or the VPN, and the limits of firewalls and "
                "proxies, or send less in one message"
            )
        text = f"messages of {size_text(failed)} do not pass: {search.reason}"
        if not passed:
            return Layer("fail", text, what, facts)
        return Layer("warn", f"messages of up to {size_text(passed)} pass; {text}", what, facts)

    def _try_login(self) -> Layer:
        assert self._client is not None
        credential = find_credential(self._process, self._settings)
        if credential is None:
            return Layer("skip", "no login was named, and none is saved")
        try:
            awaited = credential.log_in(self._client)
            wait_until_done(awaited, self._clock, self._deadline())
            made = wait_for_outcome(awaited, self._client, self._process, "answer to the login")
        except LoginError as error:
            raise credential.rejection(error) from None
        credential.end_login(self._client, made)
        return Layer("ok", f"the server accepts {credential.what}")

    def _try_resume(self) -> Layer:
        if not self._drops:
            return Layer("skip", "no connection was cut")
        resumed = 0
        with EventQueue[Event](self._clock) as queue:
            client = self._connect(queue.put, reconnect=True)
            for number in range(1, self._drops + 1):
                queue.take_all(self._clock.now())
                client.drop()
                event = self._await_return(client, queue)
                if event is None:
                    why = client.status.error
                    return Layer(
                        "fail",
                        f"after connection {number} was cut, the client could not connect again: {why}",
                        "the server or a balancer before it must accept connections again at once: look for limits "
                        "per client, and for instances that do not run",
                        {"drops": number, "resumed": resumed},
                    )
                resumed += event.resumed
        return self._judge_resumption(resumed)

    def _await_return(self, client: Client, queue: EventQueue[Event]) -> SessionEstablished | None:
        """Wait until there is a session again; None if there is none in time."""
        deadline = self._deadline()
        while events := queue.take_all(deadline):
            for event in events:
                match event:
                    case SessionEstablished():
                        return event
                    case ConnectionFailed():
                        return None
                    case Waiting(seconds) if seconds > 1 and client.status.retry_count == 0:
                        # The pauses grow after several sessions that were of no use (R4).
                        client.reconnect()
                    case _:
                        pass
        return None

    def _judge_resumption(self, resumed: int) -> Layer:
        facts: dict[str, JSONValue] = {"drops": self._drops, "resumed": resumed}
        times = plural(self._drops, "time")
        if resumed == self._drops:
            return Layer("ok", f"the session came back {resumed} of {times}", facts=facts)
        version = re.match(r"([0-9]+)\.([0-9]+)", self._facts.setting("meteorRelease").removeprefix("METEOR@"))
        text = f"the session came back {resumed} of {times}; otherwise there was a new one"
        if version and (int(version[1]), int(version[2])) < _RESUMING_METEOR:
            return Layer("ok", f"{text}, as always before Meteor 3.5", facts=facts)
        what = (
            "clients subscribe and load everything again after each loss. Meteor keeps sessions from 3.5 on; with "
            "several instances, the balancer must send a client to the same one again (nginx: ip_hash; in the upstream)"
        )
        return Layer("warn", text, what, facts)

    # ------------------------------------------------------------------------------------------------------- tools

    def _connect(self, watch: Callable[[Event], object] | None = None, *, reconnect: bool = False) -> Client:
        """Return a client with a session, which is closed at the end."""
        client = self._cleanup.enter_context(
            make_client(
                self._process,
                self._settings,
                passphrase=self._passphrase,
                reconnect=reconnect,
                on_event=EventReporter(self._process, watch, reconnect=False),
            )
        )
        wait_for_session(client, self._process)
        return client

    def _deadline(self) -> float | None:
        """Return the end of the time for one step, in seconds of the clock; None for no limit."""
        limits = [self._process.deadline] if self._process.deadline is not None else []
        if self._settings.connect_timeout:
            limits.append(self._clock.now() + self._settings.connect_timeout)
        return min(limits, default=None)

    def _now(self) -> float:
        return self._clock.wall().timestamp()

    def _open(self, *, checks_certificate: bool = True) -> ByteStream:
        """Open another connection to the server, up to TLS."""
        deadline, waiter, connector = self._deadline(), self._waiter, self._connector
        sock = connector.open_socket(self._addresses, waiter, deadline)
        self._cleanup.callback(sock.close)
        stream = connector.open_tunnel(sock, waiter, deadline)
        if checks_certificate:
            return connector.secure(stream, waiter, deadline)
        own = connector.options.tls
        options = TLSOptions(None, own.cert, own.key, True, own.servername, own.passphrase)
        return wrap_tls(stream, self.endpoint.host, self.endpoint.authority, options, waiter, deadline)

    def _get(self, path: str, stream: ByteStream | None = None) -> Answer:
        stream = stream or self._open()
        options = self._connector.options.handshake
        return http_get(stream, self.endpoint, path, options, self._waiter, self._deadline())


def _names(certificate: Certificate) -> str:
    """Return the names of a certificate, at most three."""
    names = list(certificate.names) or [certificate.subject]
    return ", ".join([*names[:3], *([f"{len(names) - 3} more"] if len(names) > 3 else [])])


def _first_line(text: str) -> str:
    """Return the first line of a page as text."""
    plain = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text[:4096], flags=re.DOTALL)
    return " ".join(plain.split())[:80]


def _status_advice(status: int) -> str:
    """Return what to do about an HTTP status that refuses."""
    return _STATUS_ADVICE.get(status, "look at the log of the server" if status >= 500 else "")


_BAD_GATEWAY = (
    "the proxy does not reach Meteor: start Meteor, and check the address and the port after proxy_pass (nginx), "
    "reverse_proxy (Caddy) or ProxyPass (Apache)"
)
_STATUS_ADVICE = {
    401: "send the credentials that it asks for: in a header (-H @FILE), or https://user:password@host as URL",
    403: "the server or a proxy before it forbids this: allow this machine there, send credentials (-H @FILE, --cookie), "
    "or the address of a web page that is allowed (--origin URL)",
    404: "check the path, and the prefix of the application (ROOT_URL)",
    502: _BAD_GATEWAY,
    503: _BAD_GATEWAY,
    504: _BAD_GATEWAY,
}
