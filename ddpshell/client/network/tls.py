"""TLS: whom to trust, how to be trusted, the handshake, and TLS within TLS for what goes through a proxy that wants its own."""

from __future__ import annotations

import contextlib
import selectors
import ssl
from typing import Protocol

from msgspec import Struct

from ...exceptions import ConnectError
from .waiting import Waiter

__all__ = ["ByteStream", "TLSOptions", "blocked_on", "untrusted", "wrap_tls"]


class ByteStream(Protocol):
    """A socket that does not block, or what is one to its user; TLS included."""

    def fileno(self) -> int:
        """What to wait for."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Give what has come, or b"" at the end: as much as was asked for, give or take what TLS has decrypted.

        Raises:
            OSError: `blocked_on` says what to wait for, if anything.
        """
        ...

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """Send the beginning, and say how much of it; tried again, it must begin with the same bytes."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class TLSOptions(Struct, frozen=True):
    """How to trust a server, and how to be trusted.

    Args:
        cacert: A file of certificates to trust instead of the system's (PEM).
        cert: A file with our own certificate (PEM).
        key: A file with its key, if that is not in the same file.
        insecure: Trust whomever answers. For tests only.
        servername: The name to expect in the server's certificate, and to ask for, if it is not the host's.
        passphrase: What the key is encrypted with, if it is.
    """

    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    insecure: bool = False
    servername: str | None = None
    passphrase: str = ""

    def __repr__(self) -> str:
        # Without the passphrase, which would end up in logs.
        shown = [f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "passphrase"]
        return f"TLSOptions({', '.join(shown)})"


def blocked_on(error: OSError, events: int) -> int:
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


def wrap_tls(
    stream: ByteStream, host: str, peer: str, tls: TLSOptions, waiter: Waiter, deadline: float | None
) -> ByteStream:
    """Speak TLS from here on.

    Args:
        stream: A socket, or what this function made of one.
        host: Who should answer.
        peer: The same for people, with its port.
        tls: How to trust it.
        waiter: What waits.
        deadline: Seconds of its clock, or None.

    Raises:
        ConnectError: There is no TLS, no trust, or not in time.
        Woken: It is not wanted any more.
    """
    context = _context(tls)
    name = tls.servername or host
    try:
        # Without a socket first: one that a bad name keeps from being wrapped would stay open unseen.
        wrapped = _Within(stream, context, name)
    except (ValueError, TypeError) as error:
        raise ConnectError(
            f"{name!r} is no name that a certificate can have: {error}",
            hint="expect another one with --servername NAME",
            retryable=False,
        ) from error
    while True:
        try:
            wrapped.do_handshake()
        except OSError as error:
            events = blocked_on(error, selectors.EVENT_READ)
            if not events:
                raise untrusted(error, peer) from error
            if not waiter.wait(wrapped, events, deadline):
                raise ConnectError(
                    f"no TLS with {peer} in time", hint="does the server speak TLS on this port?"
                ) from None
        else:
            return wrapped


def untrusted(error: OSError, peer: str) -> ConnectError:
    """Say what went wrong with TLS, in the handshake or behind it, where a server may tell so too."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectError(
            f"the certificate of {peer} is not trusted: {error.verify_message}",
            hint=_ADVICE.get(error.verify_code, _UNKNOWN_AUTHORITY),
            retryable=False,
        )
    if "ALERT" in str(getattr(error, "reason", "")):
        hint = "the server refused our side of TLS; if it wants a certificate of ours, name it with --cert FILE"
    else:
        hint = "does the server speak TLS on this port? Without it the URL begins with ws: or http:"
    # A connection that ends in the handshake may be a server restarting; a fault of TLS stays one.
    permanent = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
    return ConnectError(f"no TLS with {peer}: {_reason(error)}", hint=hint, retryable=not permanent)


_UNKNOWN_AUTHORITY = "name the authority that signed it with --cacert FILE, or skip the check with --insecure"
_ANOTHER_NAME = "connect by a name that stands in it, or expect one with --servername NAME; --insecure skips the check"

# By X509_V_ERR_...: what to do where no other authority would help.
_ADVICE = {
    9: "is this machine's clock right? --insecure skips the check",  # not yet valid
    10: "the server needs a new one; is this machine's clock right? --insecure skips the check",  # has expired
    62: _ANOTHER_NAME,  # another host
    64: _ANOTHER_NAME,  # another address
}


def _context(tls: TLSOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.cacert)
        if tls.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert is not None:
            # Without a passphrase given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(tls.cert, tls.key, password=tls.passphrase)
    except OSError as error:
        files = ", ".join(name for name in (tls.cacert, tls.cert, tls.key) if name is not None)
        raise ConnectError(
            f"cannot use the certificate files ({files}): {_reason(error)}",
            hint="they must be readable and in PEM form, key and certificate belong together, and the passphrase be the key's",
            retryable=False,
        ) from error
    return context


# In the words of OpenSSL, and in ours.
_WORDS = {
    "UNEXPECTED_EOF_WHILE_READING": "it ended the connection",
    "WRONG_VERSION_NUMBER": "it speaks something else",
    "HTTP_REQUEST": "it speaks HTTP",
}


def _reason(error: OSError) -> str:
    reason: str | None = getattr(error, "reason", None)
    if not reason:
        return error.strerror or str(error)
    return _WORDS.get(reason, reason.replace("_", " ").lower())


# Bytes of TLS asked of what is below at once, and of plain text encrypted at once.
_SIZE = 1 << 18


class _Within:
    """TLS over any stream of bytes: over a socket, or over TLS again, which `ssl.SSLSocket` cannot do.

    Unlike that, it gives all that has come, so that nothing is left where no select would tell of it.
    """

    def __init__(self, below: ByteStream, context: ssl.SSLContext, name: str) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        # Encrypted, and not sent on yet.
        self._unsent = b""
        # Bytes of plain text that are in there, and of which `send` has not told.
        self._taken = 0
        # What ended it, behind what has been given.
        self._fault: ssl.SSLError | None = None

    def fileno(self) -> int:
        return self._below.fileno()

    def close(self) -> None:
        self._below.close()

    def do_handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except OSError:
                # What says why is on its way out.
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
                with contextlib.suppress(ssl.SSLWantWriteError):
                    self._flush()
                self._fill()
                continue
            except ssl.SSLEOFError:
                # Many a server ends the connection without ending TLS first.
                break
            except ssl.SSLError as error:
                if not pieces:
                    raise
                # First what came before it; OpenSSL itself tells of it once.
                self._fault = error
                break
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces)

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        if not self._taken:
            self._taken = self._tls.write(data[:_SIZE])
        self._flush()
        taken, self._taken = self._taken, 0
        return taken

    def _fill(self) -> None:
        try:
            data = self._below.recv(_SIZE)
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
                sent = self._below.send(self._unsent)
            except OSError as error:
                if blocked_on(error, selectors.EVENT_WRITE):
                    raise ssl.SSLWantWriteError from None
                raise
            self._unsent = self._unsent[sent:]
