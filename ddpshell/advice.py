"""What the user can do about an error: one table, with words for the command line, for a script and for the shell's prompt.

Code that raises an error says what happened, in fields of the error. The words about what to do next are here, because they
depend on where the user reads them: options and `ddp ...` on the command line, the shell's own commands at its prompt.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from enum import IntEnum

from .exceptions import (
    CommandError,
    ConnectError,
    ConnectionLost,
    DDPTimeout,
    EJSONError,
    LoginError,
    LoginLost,
    LoginNeeded,
    MessageTooLarge,
    NegotiationError,
    OutcomeUnknown,
    ServerError,
    TwoFactorError,
)
from .protocol.server_error import is_unknown_name


class Place(IntEnum):
    """Where the user reads the advice."""

    COMMAND_LINE = 0
    #: A file with commands of the shell: advice names these commands, and options of `ddp run`.
    SCRIPT = 1
    PROMPT = 2


def advice(error: BaseException, place: Place, server: Sequence[str] = ()) -> str:
    """Return what the user can do about an error, in one sentence without a full stop; "" if there is nothing to say.

    Args:
        error: The error.
        place: Where the user reads the advice.
        server: The options of `ddp` that name the server, for the command to log in.
    """
    if isinstance(error, LoginNeeded):
        return LOGIN_ADVICE[error.problem][place].format(
            command=login_command(error.user or "USER", server),
            user=error.user or "USER",
            option=error.option,
            secret=error.option.removeprefix("--").removesuffix("-file"),
        )
    texts = next(texts for fits, texts in _TABLE if fits(error))
    text = texts[{1: 0, 2: place // 2, 3: place}[len(texts)]]
    return text if isinstance(text, str) else text(error)


def doctor_advice(error: BaseException) -> str:
    """Return what mends a problem that `ddp doctor` has found."""
    if isinstance(error, ConnectError):
        return _DOCTOR_ADVICE.get(error.problem) or CONNECT_ADVICE.get(error.problem, "").format(error.detail)
    return advice(error, Place.COMMAND_LINE)


#: What to do about a connection that could not be established, by `ConnectError.problem`; `{}` is `ConnectError.detail`.
CONNECT_ADVICE = {
    # The server's host
    "unknown host": "check the name and the network",
    "no such address": "check the name; without --ipv{}, other addresses are tried too",
    "refused": "is the server running there?",
    "unreachable": "check host and port",
    "no answer": "check host, port and firewall",
    # TLS
    "no TLS": "does the server use TLS on this port? If not, use a URL that begins with ws: or http:",
    "TLS": "use a URL that begins with wss: or https:",
    "certificate not yet valid": "check the clock of this machine; --insecure skips the check",
    "certificate expired": "the server needs a new certificate, or the clock of this machine is wrong; --insecure skips the check",
    "certificate of another host": "use a host name that is in the certificate, or --servername NAME; --insecure skips the check",
    "unknown authority": "trust the authority that signed it with --cacert FILE, or skip the check with --insecure",
    "invalid server name": "name the server in the certificate with --servername NAME",
    "client rejected": "the server rejected the handshake; if it requires a client certificate, use --cert FILE",
    "certificate files": "check that they are readable PEM files, that the key belongs to the certificate, and that the passphrase is right",
    # HTTP and WebSocket
    "not Meteor": "check that this is the address and the path of a Meteor server",
    "not Meteor, or TLS": "check that this is the port and the path of a Meteor server; if it uses TLS, use a URL that begins with wss: or https:",
    "redirect": "the server redirects to {}: use that address",
    "credentials": "put the credentials into a header (-H @FILE) or into the URL: https://user:password@host",
    "server error": "the server, or a proxy before it, has a problem: try again later",
    "no WebSocket": "check whether a proxy before the server blocks WebSockets",
    "invalid upgrade": "the server, or a proxy before it, violates RFC 6455, section 4.1",
    # Proxies
    "proxy refused": "--no-proxy connects without it",
    "not a proxy": "check the kind and the port of the proxy {}",
    "proxy failed": "check the kind and the port of the proxy {}; --no-proxy connects without it",
    "proxy silent": "the proxy may not reach the server; --no-proxy connects without it",
    "proxy without server": "the proxy cannot reach the server: check the server's host and port",
    "proxy refused the server": "check the server's host and port; --no-proxy connects without the proxy",
    "proxy forbids": "the proxy may not allow this server; --no-proxy connects without it",
    "proxy credentials missing": "put user and password into the proxy URL, best in $ALL_PROXY: {}://user:password@host:port",
    "proxy credentials invalid": "check user and password in the proxy URL",
    "proxy credentials rejected": "the proxy does not accept this user and password, or not in this way",
    "local lookup failed": "with socks5h:// the proxy looks up the name",
}

# What mends a problem, for `ddp doctor`, where the advice of `CONNECT_ADVICE` can say more.
_DOCTOR_ADVICE = {
    "unknown host": "check the spelling of the name, and the DNS of this machine: getent hosts NAME",
    "refused": "no server listens at this address and port: start it, check its port, and the address that it binds to",
    "no answer": "a firewall drops the packets, or the address is wrong: open the port for this machine, or correct the address",
    "no TLS": "the port does not speak TLS: use a URL that begins with http: or ws:, or configure TLS on the server",
    "certificate expired": "renew the certificate on the server, for example with `certbot renew`, and check the clock of this machine",
    "not Meteor": "check that this is the address and the port of a Meteor server",
    "not Meteor, or TLS": "check that this is the port of a Meteor server; if it uses TLS, use a URL that begins with https: or wss:",
    "proxy refused": "start the proxy, or correct its address (--proxy, $HTTPS_PROXY); --no-proxy connects without it",
}

_SECOND_FACTOR = (
    "the account has two factors: ddp login asks for the code, or reads it from --code-file",
    "the account has two factors: `login USER --code-file FILE` reads the code from a file",
    "the account has two factors: `login USER --code` asks for the one-time code, too",
)
_IN_THE_SHELL = ("`login {user} --password-file FILE` logs in", "`login {user}` logs in")

#: What to do without a usable login, at each `Place`, by `LoginNeeded.problem`.
LOGIN_ADVICE: dict[str, tuple[str, ...]] = {
    "not logged in": ("{command}", *_IN_THE_SHELL),
    "ended": ("log in again: {command}", *_IN_THE_SHELL),
    "password": ("check the user and the password", *_IN_THE_SHELL),
    "second factor": _SECOND_FACTOR,
    "unreadable": ("{command} saves a new login; --no-login ignores saved logins", *_IN_THE_SHELL),
    "no terminal": ("{option} FILE reads the {secret} from a file, - from standard input",) * 3,
    "no user": ("name the user: ddp login USER",) * 3,
    "no accounts": ("",) * 3,
}

#: The configuration with which a reverse proxy passes WebSockets on, by the name in its `Server` header.
REVERSE_PROXIES = {
    "nginx": (
        "location / {",
        "    proxy_pass http://localhost:3000;",
        "    proxy_http_version 1.1;",
        "    proxy_set_header Upgrade $http_upgrade;",
        '    proxy_set_header Connection "upgrade";',
        "    proxy_set_header Host $host;",
        "    proxy_read_timeout 1h;",
        "}",
    ),
    "Caddy": ("# passes Upgrade on, unless header_up removes it:", "reverse_proxy localhost:3000"),
    "Apache": ("# from 2.4.47 on, with mod_proxy_http:", 'ProxyPass "/" "http://localhost:3000/" upgrade=websocket'),
}

# An option of `ddp` in a text.
_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")


def _connect(error: BaseException) -> str:
    assert isinstance(error, ConnectError)
    notes = [f"({note})" for note in getattr(error, "__notes__", ())]
    return " ".join(filter(None, [CONNECT_ADVICE.get(error.problem, "").format(error.detail), *notes]))


def _connect_or_repeat(error: BaseException) -> str:
    assert isinstance(error, OutcomeUnknown)
    assert error.connect_error is not None
    return f"{_connect(error.connect_error)}; if it is, find out whether the method ran before you repeat the call"


def _connect_at_prompt(error: BaseException) -> str:
    text = _connect(error)
    return f"{text} (`exit`, and start ddp with that option)" if _OPTION.search(text) else text


def _is_a(*classes: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, classes)


def _has_code(kind: type[ServerError], code: int | str) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kind) and error.error == code


def login_command(user: str, server: Sequence[str]) -> str:
    """Return the command to log in.

    Args:
        user: The user.
        server: The options that name the server.
    """
    return shlex.join(["ddp", "login", user, *server])


def _notes(error: BaseException) -> str:
    """The hints that were added to the error where it was found."""
    return " ".join(getattr(error, "__notes__", ()))


def _seconds_to_wait(error: BaseException) -> float | None:
    return error.time_to_reset if isinstance(error, ServerError) else None


# The advice for each kind of error: a function that returns whether an error is of the kind, and the texts. There is one text
# for each `Place`; or one for the command line and scripts, and one for the prompt; or one for all places. A function makes
# the text from the error. The last row fits all errors.
_TABLE: tuple[tuple[Callable[[BaseException], bool], tuple[str | Callable[[BaseException], str], ...]], ...] = (
    (_is_a(ConnectError), (_connect, _connect, _connect_at_prompt)),
    (
        # The shell needs no second pair of quotes.
        lambda error: isinstance(error, CommandError) and error.position is not None,
        (lambda error: _notes(error) or "put text in its own quotes, '\"...\"', or after -S", "", ""),
    ),
    (
        lambda error: math.isfinite(_seconds_to_wait(error) or math.inf),
        (lambda error: f"try again in {max(1, math.ceil(_seconds_to_wait(error) or 0))} s",),
    ),
    (_is_a(TwoFactorError), _SECOND_FACTOR),
    (_has_code(LoginError, "totp-max-attempts"), ("too many wrong codes: try again later",)),
    (_is_a(LoginLost), ("log in again: ddp login USER", "", "log in with `login USER`, then repeat the call")),
    (_has_code(LoginError, 400), ("the server may not support this kind of login",)),
    (
        _is_a(LoginError),
        (
            "check user name and password; an e-mail address contains an @, and --id takes a user id",
            "check user name and password; an e-mail address contains an @",
            "check user name and password; an e-mail address contains an @",
        ),
    ),
    (_has_code(ServerError, 500), ("the server does not send details of this error: look in its log",)),
    (
        lambda error: isinstance(error, ServerError) and is_unknown_name(error),
        (lambda error: _notes(error) or "check the spelling; names are case-sensitive",),
    ),
    (_has_code(ServerError, 400), ("the server does not accept these arguments",)),
    (_is_a(NegotiationError), ("the server does not speak any version of DDP that ddp speaks (1, pre2, pre1)",)),
    (lambda error: isinstance(error, OutcomeUnknown) and error.connect_error is not None, (_connect_or_repeat,)),
    (
        _is_a(OutcomeUnknown),
        (
            "find out whether it ran before you repeat it; with --reconnect, ddp repeats it itself",
            "find out whether it ran before you repeat it",
        ),
    ),
    (
        _is_a(ConnectionLost),
        ("with --reconnect, ddp connects again after a lost connection", "`reconnect` tries to connect now"),
    ),
    (_is_a(DDPTimeout), ("--timeout S allows more time; 0 means no limit", "")),
    (
        _is_a(MessageTooLarge),
        (
            "--max-message SIZE allows larger messages, such as 1G",
            "`exit`, and start ddp with --max-message SIZE, such as 1G",
        ),
    ),
    (_is_a(EJSONError), ("-d shows what the server sent", "`debug on` shows what the server sends")),
    (lambda error: True, (_notes,)),
)
