"""TLS: certificates, the handshake, and TLS inside TLS for connections through an HTTPS proxy."""

from __future__ import annotations

import contextlib
import selectors
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar

from msgspec import Struct

from ...exceptions import ConnectError
from .waiting import Waiter

Value = TypeVar("Value")

#: The maximum number of bytes for one read while a connection is made.
READ_SIZE = 1 << 16


class ByteStream(Protocol):
    """A socket that does not block, or an object with the same methods, such as a TLS connection."""

    def fileno(self) -> int:
        """Return the file number to wait for."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Return bytes that have arrived, or b"" at the end of the stream. TLS may return more than `size` bytes.

        Raises:
            OSError: No bytes have arrived, or the connection is broken; see `blocked_on`.
        """
        ...

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """Send some of the bytes, and return how many.

        Raises:
            OSError: No bytes can be sent now, or the connection is broken; see `blocked_on`. The next call must start with
                the same bytes.
        """
        ...

    def close(self) -> None:
        """Close the stream."""
        ...


class TLSOptions(Struct, frozen=True):
    """The certificates to trust, and the client's own certificate.

    Args:
        cacert: A file with certificates to trust instead of the system's (PEM).
        cert: A file with the client's certificate (PEM).
        key: A file with the key of that certificate, if it is not in the same file.
        insecure: Do not check the server's certificate. For tests only.
        servername: The name to expect in the server's certificate and to send in the handshake, instead of the host.
        passphrase: The passphrase of an encrypted key.
    """

    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    insecure: bool = False
    servername: str | None = None
    passphrase: str = ""

    def __repr__(self) -> str:
        # Without the passphrase, which must not appear in logs.
        shown = [f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "passphrase"]
        return f"TLSOptions({', '.join(shown)})"


class Certificate(Struct, frozen=True):
    """A certificate that the peer has sent.

    Args:
        names: The host names and addresses for which it is valid.
        subject: The owner's names.
        issuer: The names of the authority that signed it.
        not_before: The beginning of its validity, in seconds since the epoch.
        not_after: The end of its validity, in seconds since the epoch.
    """

    names: tuple[str, ...]
    subject: str
    issuer: str
    not_before: float
    not_after: float


def blocked_on(error: OSError, events: int) -> int:
    """Return the events to wait for before trying again, or 0 if the connection is broken.

    Args:
        error: The error of a socket that does not block.
        events: The events that a plain socket would have to wait for.
    """
    if isinstance(error, BlockingIOError | InterruptedError):
        return events
    # TLS may have to read in order to write, and to write in order to read.
    if isinstance(error, ssl.SSLWantReadError):
        return selectors.EVENT_READ
    if isinstance(error, ssl.SSLWantWriteError):
        return selectors.EVENT_WRITE
    return 0


class PatientStream:
    """Sends to a stream and receives from it, and waits where the stream would block.

    Args:
        stream: A stream that does not block.
        waiter: The waiter of the calling thread.
        deadline: Seconds of the waiter's clock, or None.
    """

    def __init__(self, stream: ByteStream, waiter: Waiter, deadline: float | None) -> None:
        self._stream = stream
        self.waiter = waiter
        self.deadline = deadline

    def send_all(self, data: bytes) -> None:
        """Send all of the bytes."""
        unsent = memoryview(data)
        while unsent:
            unsent = unsent[self._repeat(partial(self._stream.send, unsent), selectors.EVENT_WRITE) :]

    def receive(self) -> bytes:
        """Wait for bytes; return b"" at the end of the stream."""
        return self._repeat(partial(self._stream.recv, READ_SIZE), selectors.EVENT_READ)

    def _repeat(self, operation: Callable[[], Value], events: int) -> Value:
        while True:
            try:
                return operation()
            except OSError as error:
                wanted = blocked_on(error, events)
                if not wanted:
                    self._raise_broken(error)
            if not self._is_ready(wanted, self.deadline):
                self._raise_late()

    def _is_ready(self, events: int, deadline: float | None) -> bool:
        return self.waiter.wait(self._stream, events, deadline)

    def _raise_broken(self, error: OSError) -> NoReturn:
        raise error

    def _raise_late(self) -> NoReturn:
        raise TimeoutError("no answer in time")


def wrap_tls(
    stream: ByteStream, host: str, peer: str, tls: TLSOptions, waiter: Waiter, deadline: float | None
) -> ByteStream:
    """Make the TLS handshake, and return the encrypted stream.

    Args:
        stream: A socket, or a stream that this function returned.
        host: The host name that the certificate must have.
        peer: The host with its port, for messages.
        tls: The TLS options.
        waiter: The waiter of the calling thread.
        deadline: Seconds of the waiter's clock, or None.

    Raises:
        ConnectError: The peer does not use TLS, its certificate is not trusted, or the handshake took too long.
        Interrupted: The attempt to connect was interrupted.
    """
    context = tls_context(tls)
    name = tls.servername or host
    try:
        wrapped = _TLSStream(stream, context, name)
    except (ValueError, TypeError) as error:
        raise ConnectError(
            f"{name!r} is not a valid name for a certificate: {error}",
            problem="invalid server name",
            retryable=False,
        ) from error
    while True:
        try:
            wrapped.do_handshake()
        except OSError as error:
            events = blocked_on(error, selectors.EVENT_READ)
            if not events:
                raise tls_error(error, peer) from error
            if not waiter.wait(wrapped, events, deadline):
                raise ConnectError(f"no TLS with {peer} in time", problem="no TLS") from None
        else:
            return wrapped


def certificates(stream: ByteStream) -> list[Certificate]:
    """Return the certificates that the peer has sent, its own first, also if they were not checked; [] without TLS."""
    return [_decoded(fields) for fields in stream.chain()] if isinstance(stream, _TLSStream) else []


def _decoded(fields: dict[str, Any]) -> Certificate:
    return Certificate(
        tuple([name for _, name in fields.get("subjectAltName", ())]),
        _joined(fields["subject"]),
        _joined(fields["issuer"]),
        ssl.cert_time_to_seconds(fields["notBefore"]),
        ssl.cert_time_to_seconds(fields["notAfter"]),
    )


def _joined(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return organization and name of a certificate's owner or issuer, such as `Let's Encrypt R3`."""
    parts = dict(part for group in name for part in group)
    shown = [parts[key] for key in ("organizationName", "organizationalUnitName", "commonName") if key in parts]
    return " ".join(shown) or ", ".join(parts.values())


def is_tls_error(error: OSError) -> bool:
    """Return whether TLS failed, not the connection below it."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)


def tls_error(error: OSError, peer: str) -> ConnectError:
    """Return the error for a TLS failure, in the handshake or after it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectError(
            f"the certificate of {peer} is not trusted: {error.verify_message}",
            problem=_CERTIFICATE_PROBLEMS.get(error.verify_code, "unknown authority"),
            retryable=False,
        )
    problem = "client rejected" if "ALERT" in str(getattr(error, "reason", "")) else "no TLS"
    # A connection that ends in the handshake may mean that the server restarts; other TLS errors are permanent.
    return ConnectError(f"no TLS with {peer}: {_reason(error)}", problem=problem, retryable=not is_tls_error(error))


# Problems by X509_V_ERR_..., that another authority would not solve.
_CERTIFICATE_PROBLEMS = {
    9: "certificate not yet valid",
    10: "certificate expired",
    62: "certificate of another host",
    64: "certificate of another host",  # another IP address
}


def tls_context(tls: TLSOptions) -> ssl.SSLContext:
    """Return the context for connections with these options.

    Raises:
        ConnectError: A certificate file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.cacert)
        if tls.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert is not None:
            # Without the argument `password`, OpenSSL asks for a passphrase at the terminal.
            context.load_cert_chain(tls.cert, tls.key, password=tls.passphrase)
    except OSError as error:
        files = ", ".join(name for name in (tls.cacert, tls.cert, tls.key) if name is not None)
        raise ConnectError(
            f"cannot use the certificate files ({files}): {_reason(error)}",
            problem="certificate files",
            retryable=False,
        ) from error
    return context


# Reasons of OpenSSL, in plain words.
_WORDS = {
    "UNEXPECTED_EOF_WHILE_READING": "the server ended the connection",
    "WRONG_VERSION_NUMBER": "the server uses another protocol",
    "HTTP_REQUEST": "the server uses HTTP without TLS",
}


def _reason(error: OSError) -> str:
    reason: str | None = getattr(error, "reason", None)
    if not reason:
        return error.strerror or str(error)
    return _WORDS.get(reason, reason.replace("_", " ").lower())


# The maximum number of bytes for one read of the lower stream, and of plain text for one encryption.
_SIZE = 1 << 18


class _TLSStream:
    """TLS over any stream of bytes: over a socket, or over TLS again, which `ssl.SSLSocket` does not support.

    `recv` returns all decrypted bytes, because `select` would not report the bytes that stay in memory.
    """

    def __init__(self, lower: ByteStream, context: ssl.SSLContext, name: str) -> None:
        self._lower = lower
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        # Encrypted bytes that are not sent yet.
        self._unsent = b""
        # The number of encrypted bytes of plain text that `send` has not reported yet.
        self._unreported = 0
        # The error that ended the stream, to be raised after the bytes before it are returned.
        self._fault: ssl.SSLError | None = None

    def fileno(self) -> int:
        return self._lower.fileno()

    def close(self) -> None:
        self._lower.close()

    def chain(self) -> list[dict[str, Any]]:
        """Return the fields of the certificates that the peer has sent, in the form of `SSLObject.getpeercert`."""
        # The public method decodes only a certificate that was checked, and the reason why another one is not trusted is of
        # interest. From Python 3.13 on, there is a public method that returns all of them, but not decoded.
        inner: Any = getattr(self._tls, "_sslobj", None)
        if hasattr(inner, "get_unverified_chain"):
            return [certificate.get_info() for certificate in inner.get_unverified_chain() or ()]
        checked = self._tls.getpeercert()
        return [checked] if checked else []

    def do_handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except OSError:
                # The alert with the reason must still be sent.
                with contextlib.suppress(OSError):
                    self._flush()
                raise
            else:
                self._flush()
                return

    def recv(self, size: int, /) -> bytes:
        if self._fault is not None:
            raise self._fault
        pieces: list[bytes] = []
        while True:
            try:
                piece = self._tls.read(size)
            except ssl.SSLWantReadError:
                if pieces:
                    break
                # If nothing can be sent any more, the alert that says why may have arrived.
                with contextlib.suppress(OSError):
                    self._flush()
                self._fill()
                continue
            except ssl.SSLEOFError:
                # Many servers end the connection without ending TLS first.
                break
            except ssl.SSLError as error:
                if not pieces:
                    raise
                # Return the bytes before the error first; OpenSSL raises the error only once.
                self._fault = error
                break
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces)

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        if not self._unreported:
            self._unreported = self._tls.write(data[:_SIZE])
        self._flush()
        count, self._unreported = self._unreported, 0
        return count

    def _fill(self) -> None:
        try:
            data = self._lower.recv(_SIZE)
        except OSError as error:
            if blocked_on(error, selectors.EVENT_READ):
                raise ssl.SSLWantReadError from None
            raise
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                sent = self._lower.send(self._unsent)
            except OSError as error:
                if blocked_on(error, selectors.EVENT_WRITE):
                    raise ssl.SSLWantWriteError from None
                raise
            self._unsent = self._unsent[sent:]
