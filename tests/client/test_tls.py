"""TLS with servers that can be trusted, and with those that cannot."""

from __future__ import annotations

import contextlib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from ddpshell.client.tls import TLSOptions

# -------------------------------------------------------------------------------------------------------------- TLS
from tests.client.conftest import (
    CONNECT_TIMEOUT,
    Authority,
    Client,
    Patient,
    echo,
    failure,
)
from tests.loopback import PATIENCE, Conversation, ScriptedServer, silent_tcp


def test_a_server_with_a_certificate_of_a_named_authority_is_trusted(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        transport = client.connect(server.url, tls=TLSOptions(cacert=authority.cacert))
        transport.send(["over TLS"])
        assert client.receive(transport, 1) == ["over TLS"]


YEAR_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
YEAR_ONE = datetime(2001, 1, 1, tzinfo=UTC)
FAR_FUTURE = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("certificate", "named_authority", "reason", "advice"),
    [
        pytest.param({}, False, "unable to get local issuer certificate", "--cacert FILE", id="unknown authority"),
        pytest.param({"names": ["elsewhere.test"]}, True, "IP address mismatch, certificate is not valid for", "--servername NAME", id="another host"),
        pytest.param({"not_before": YEAR_ZERO, "not_after": YEAR_ONE}, True, "certificate has expired", "needs a new one", id="expired"),
        pytest.param({"not_before": FAR_FUTURE, "not_after": FAR_FUTURE}, True, "certificate is not yet valid", "clock right?", id="not yet valid"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_prove_who_it_is_is_not_tried_again(
    client: Client, authority: Authority, certificate: dict[str, Any], named_authority: bool, reason: str, advice: str
) -> None:
    """R5."""
    names = certificate.pop("names", ["127.0.0.1"])
    with ScriptedServer(echo, tls=authority.server(*names, **certificate)) as server:
        error = client.refusal(server.url, tls=TLSOptions(cacert=authority.cacert if named_authority else None))
        assert f"the certificate of 127.0.0.1:{server.port} is not trusted: " in str(error)
    assert reason in str(error)
    assert advice in (error.hint or "")
    assert "--insecure" in (error.hint or "")
    assert not error.retryable


def test_insecure_trusts_whomever_answers(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("elsewhere.test")) as server:
        transport = client.connect(server.url, tls=TLSOptions(insecure=True))
        transport.send(["hello, whoever you are"])
        assert client.receive(transport, 1) == ["hello, whoever you are"]


def test_another_name_can_be_expected_of_a_server(client: Client, authority: Authority) -> None:
    """And is asked for, as a server of many names needs (SNI)."""
    asked: list[str | None] = []
    context = authority.server("elsewhere.test")
    context.sni_callback = lambda connection, name, context: asked.append(name)
    tls = TLSOptions(cacert=authority.cacert, servername="elsewhere.test")
    with ScriptedServer(echo, tls=context) as server:
        assert client.connect(server.url, tls=tls).open
    assert asked == ["elsewhere.test"]


@pytest.mark.parametrize("name", [".example.com", "a..b", "x" * 300, "nul\0"])
def test_a_name_that_no_server_has_is_refused(client: Client, authority: Authority, name: str) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        error = client.refusal(server.url, tls=TLSOptions(insecure=True, servername=name))
    assert str(error).startswith(f"{name!r} is no name that a certificate can have: ")
    assert "--servername" in (error.hint or "")
    assert not error.retryable


def demanding(context: ssl.SSLContext, authority: Authority) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.cacert)
    return context


def test_a_client_proves_who_it_is(client: Client, authority: Authority) -> None:
    context = demanding(authority.server("127.0.0.1"), authority)
    cert, key = authority.client()
    with ScriptedServer(echo, tls=context) as server:
        tls = TLSOptions(cacert=authority.cacert, cert=cert, key=key)
        assert client.connect(server.url, tls=tls).open


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_does_not_prove_who_it_is_learns_what_is_wanting(
    client: Client, authority: Authority, version: ssl.TLSVersion
) -> None:
    """By TLS 1.3 the client's handshake is over by then, and the refusal comes where the upgrade's answer should."""
    context = demanding(authority.server("127.0.0.1"), authority)
    context.minimum_version = context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as aside:
        refusing = aside.submit(refuse_tls, listener, context)
        url = f"wss://127.0.0.1:{listener.getsockname()[1]}"
        error = client.refusal(url, tls=TLSOptions(cacert=authority.cacert))
        refusing.result(PATIENCE)
    assert "certificate" in str(error).lower().replace("handshake failure", "certificate")
    assert "--cert FILE" in (error.hint or "")
    assert not error.retryable


def refuse_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Fail a client's handshake, and leave the connection open until the client has read why."""
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


def test_certificate_files_that_are_missing_or_wrong_are_named(client: Client, authority: Authority) -> None:
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
        TLSOptions(cert=cert),  # the key is in another file
        TLSOptions(cert=cert, key=str(other_key)),
        TLSOptions(cert=key, key=cert),
    ]
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        for tls in wrong:
            error = client.refusal(server.url, tls=tls)
            files = ", ".join(name for name in (tls.cacert, tls.cert, tls.key) if name)
            assert str(error).startswith(f"cannot use the certificate files ({files}): "), tls
            assert not error.retryable


def test_a_key_with_a_passphrase_is_refused_without_it_and_nobody_is_asked_for_it(
    client: Client, authority: Authority
) -> None:
    """Left alone, the TLS library would ask at the terminal, in the middle of whatever is going on there."""
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
    assert "passphrase" in (error.hint or "")
    assert "secret" not in repr(TLSOptions(key=key, passphrase="secret"))


def test_a_server_without_tls_is_found_out(client: Client) -> None:
    def script(conversation: Conversation) -> None:
        conversation.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        conversation.hold()

    with ScriptedServer(script) as server:
        error = client.refusal(f"wss://127.0.0.1:{server.port}")
        assert str(error) == f"no TLS with 127.0.0.1:{server.port}: it speaks something else"
    assert "Without it the URL begins with ws: or http:" in (error.hint or "")
    assert not error.retryable


def test_a_server_that_hangs_up_in_the_handshake_of_tls_may_be_tried_again(client: Client) -> None:
    with ScriptedServer(Conversation.drop) as server:
        error = client.refusal(f"wss://127.0.0.1:{server.port}")
        assert str(error).startswith(f"no TLS with 127.0.0.1:{server.port}: ")
    assert error.retryable


def test_a_server_that_does_not_answer_tls_is_given_up_at_the_deadline(patient: Patient) -> None:
    with ScriptedServer(silent_tcp) as server:
        attempt = patient.connect(f"wss://127.0.0.1:{server.port}")
        server.wait_for_connections(1)
        patient.pass_time(CONNECT_TIMEOUT)
        error = failure(attempt)
        assert str(error) == f"no TLS with 127.0.0.1:{server.port} in time"
    assert error.retryable


def test_a_server_with_tls_is_found_out_by_a_client_without(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        error = client.refusal(f"ws://127.0.0.1:{server.port}")
    assert "does not speak WebSocket" in str(error) or "during the handshake" in str(error)
