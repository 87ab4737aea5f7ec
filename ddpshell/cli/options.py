"""The options that commands share: declared once, accepted before and after the command's name, and what they come to.

An option given in both places counts where it stands last; one that can be repeated counts in both.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from .output import OutputFormat
from .process import Given, Process

__all__ = [
    "CONNECTION_OPTIONS",
    "OUTPUT_OPTIONS",
    "ConnectionSettings",
    "Seconds",
    "SharedOption",
    "connection_options",
]

DEFAULT_URL = "localhost:3000"
DEFAULT_TIMEOUT = 30.0
DEFAULT_CONNECT_TIMEOUT = 10.0


class SharedOption(click.Option):
    """An option that commands share; its value goes to what the process was `given`, not to the command's function.

    Args:
        section: The heading under which `--help` lists it.
    """

    def __init__(self, *names: str, section: str, **attributes: Any) -> None:
        super().__init__(names, expose_value=False, callback=_collect, **attributes)
        self.section = section


def _collect(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if ctx.get_parameter_source(param.name) is not click.core.ParameterSource.COMMANDLINE:
        return
    process = ctx.find_object(Process)
    assert process is not None, "a context is made with its Process"
    given = process.given
    before = given.get(param.name)
    if before is not None and param.multiple:
        value = (*before, *value)
    elif before is not None and isinstance(param, click.Option) and param.count:
        value += before
    given[param.name] = value


# --------------------------------------------------------------------------------------------------------- types


class Seconds(click.ParamType[float]):
    """A time, in seconds; 0 stands for no limit."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; negative, infinite and other numbers that are no time are refused."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        if not 0 <= seconds < math.inf:
            self.fail(f"{value} is no number of seconds; 0 means no limit", param, ctx)
        return seconds


class _Header(click.ParamType[tuple[str, str]]):
    name = "header"

    # RFC 9110, "Field Names" and "Field Values".
    _FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([\t\x20-\x7e\x80-\xff]*)")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read `Name: value`, which must fit on one line of HTTP."""
        match = self._FIELD.fullmatch(value)
        if match is None:
            # Not repeated here: a header's value may be a secret.
            self.fail("must look like 'Name: value', in Latin letters, without line breaks", param, ctx)
        return match[1], match[2].rstrip(" \t")


class _ReadableFile(click.ParamType[str]):
    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that it can be read, before anything is sent."""
        path = Path(value).expanduser()
        try:
            path.open("rb").close()
        except OSError as error:
            self.fail(f"cannot read {value!r}: {error.strerror}", param, ctx)
        return str(path)


# ------------------------------------------------------------------------------------------------------- options

_CONNECTION = "Connection"
_OUTPUT = "Output"

CONNECTION_OPTIONS = [
    SharedOption(
        "-u", "--url", section=_CONNECTION, metavar="URL",
        help=f"The server: host:port, or ws, wss, http or https URL. [default: $DDP_URL, or {DEFAULT_URL}]",
    ),
    SharedOption(
        "--timeout", section=_CONNECTION, type=Seconds(), metavar="S",
        help=f"Seconds for the whole command, 0 for no limit. [default: {DEFAULT_TIMEOUT:g}]",
    ),
    SharedOption(
        "--connect-timeout", section=_CONNECTION, type=Seconds(), metavar="S",
        help=f"Seconds until the session must stand, 0 for no limit. [default: {DEFAULT_CONNECT_TIMEOUT:g}]",
    ),
    SharedOption(
        "--reconnect/--no-reconnect", section=_CONNECTION, default=None,
        help="Connect again after a loss, and send unanswered calls again. [default: no]",
    ),
    SharedOption("--no-retry", section=_CONNECTION, is_flag=True, help="Never send a call twice."),
    SharedOption(
        "-H", "--header", "headers", section=_CONNECTION, type=_Header(), multiple=True, metavar="'NAME: VALUE'",
        help="Add a header to the handshake; can be repeated.",
    ),
    SharedOption("--origin", section=_CONNECTION, metavar="ORIGIN", help="Send this Origin header."),
    SharedOption(
        "--cacert", section=_CONNECTION, type=_ReadableFile(), metavar="FILE",
        help="Trust the authorities in this file (PEM) instead of the system's.",
    ),
    SharedOption(
        "--cert", section=_CONNECTION, type=_ReadableFile(), metavar="FILE", help="Show this certificate (PEM)."
    ),
    SharedOption(
        "--key", section=_CONNECTION, type=_ReadableFile(), metavar="FILE", help="The certificate's key, if it is not in there."
    ),
    SharedOption("--insecure", section=_CONNECTION, is_flag=True, help="Do not check the server's certificate."),
    SharedOption(
        "--servername", section=_CONNECTION, metavar="NAME", help="Expect this name in the server's certificate."
    ),
]  # fmt: skip

OUTPUT_OPTIONS = [
    SharedOption(
        "-o", "--output", section=_OUTPUT, type=click.Choice([choice.value for choice in OutputFormat]),
        help="How results look. auto is pretty on a terminal, else json: EJSON, one value a line. raw: no quotes.",
    ),
    SharedOption("--color", section=_OUTPUT, type=click.Choice(["auto", "always", "never"]), help="When to colour."),
    SharedOption("-d", "--debug", section=_OUTPUT, is_flag=True, help="Show each frame, secrets masked, on stderr."),
    SharedOption("-v", "--verbose", section=_OUTPUT, count=True, help="Show the steps of the connection on stderr."),
    SharedOption("-q", "--quiet", section=_OUTPUT, is_flag=True, help="No notes, warnings and hints on stderr."),
]  # fmt: skip


def connection_options(timeout: str) -> list[SharedOption]:
    """`CONNECTION_OPTIONS` for a command where `--timeout` means something else.

    Args:
        timeout: What, for the help.
    """
    return [
        SharedOption("--timeout", section=_CONNECTION, type=Seconds(), metavar="S", help=timeout)
        if option.name == "timeout"
        else option
        for option in CONNECTION_OPTIONS
    ]


class ConnectionSettings(Struct, frozen=True):
    """How to connect, when all is taken together: options, environment, defaults, in this order.

    Args:
        url: As given.
        timeout: Seconds for the whole command; None for no limit.
        connect_timeout: Seconds; 0 for no limit.
        reconnect: Whether to connect again after a loss; None where the command decides.
        retry: Whether a call may be sent twice.
        headers: More headers, as (name, value).
        origin: The Origin header, or None.
        cacert: A file.
        cert: A file.
        key: A file.
        insecure: Trust any certificate.
        servername: The name to expect in it, or None for the host's.
    """

    url: str
    timeout: float | None
    connect_timeout: float
    reconnect: bool | None
    retry: bool
    headers: tuple[tuple[str, str], ...]
    origin: str | None
    cacert: str | None
    cert: str | None
    key: str | None
    insecure: bool
    servername: str | None

    @classmethod
    def of(cls, given: Given, environment: Mapping[str, str] = os.environ) -> ConnectionSettings:
        """Take them together.

        Raises:
            click.UsageError: Options that make no sense together.
        """
        if given.get("key") and not given.get("cert"):
            raise click.UsageError("--key needs --cert, the certificate that it belongs to")
        return cls(
            url=given.get("url", environment.get("DDP_URL") or DEFAULT_URL),
            timeout=given.get("timeout", DEFAULT_TIMEOUT) or None,
            connect_timeout=given.get("connect_timeout", DEFAULT_CONNECT_TIMEOUT),
            reconnect=given.get("reconnect"),
            retry=not given.get("no_retry", False),
            headers=given.get("headers", ()),
            origin=given.get("origin"),
            cacert=given.get("cacert"),
            cert=given.get("cert"),
            key=given.get("key"),
            insecure=given.get("insecure", False),
            servername=given.get("servername"),
        )
