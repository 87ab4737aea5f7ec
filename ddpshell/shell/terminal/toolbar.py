"""The line below the line: which server, and how it is."""

from __future__ import annotations

from ...text.escaping import escape_line
from ...text.palette import StyledText
from ...text.prose import cell_width, clip, duration, plural
from ..commands.session import state_text
from ..state import Shell

__all__ = ["prompt_text", "short_url", "toolbar"]

_GAP = " · "


def short_url(url: str) -> str:
    """A server as people call it: host and port, and what path there is before DDP's own; escaped."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    path = path.removesuffix("websocket").strip("/")
    return escape_line(host + (f"/{path}" if path else "") if slash else rest or scheme)


def prompt_text(shell: Shell, width: int) -> str:
    """What stands before the line: `localhost:3000> `, or the server's name; in a narrow window, less of it."""
    name = escape_line(shell.profile or "") or short_url(shell.url) or "ddp"
    return clip(name, max(3, width // 3)) + "> "


def toolbar(shell: Shell, width: int) -> StyledText:
    """Server, state, user, round trip, calls pending, messages in the outbox: as much as fits, in this order."""
    parts = _parts(shell)
    text: StyledText = []
    used = 0
    for ink, part in parts:
        gap = _GAP if text else ""
        if used + len(gap) + cell_width(part) > width:
            break
        text += [("", gap), (ink, part)]
        used += len(gap) + cell_width(part)
    if not text:
        ink, part = parts[0]
        text = [(ink, clip(part, width))]
    return text


def _parts(shell: Shell) -> StyledText:
    client = shell.made_client
    if client is None:
        return [("state", "connecting"), ("", short_url(shell.url))]
    status = client.status
    [(ink, state)] = state_text(status)
    parts: StyledText = [(ink, state), ("", short_url(status.url))]
    user = shell.user or status.user_id
    if user is not None:
        parts.append(("", escape_line(user)))
    pending = len(shell.jobs.pending)
    if pending:
        parts.append(("state", f"{pending:,} pending"))
    if status.unsent:
        parts.append(("state", f"{plural(status.unsent, 'call')} in the outbox"))
    if status.to_resend:
        parts.append(("state", f"{plural(status.to_resend, 'call')} to send again"))
    if status.round_trip is not None and status.is_connected:
        parts.append(("", duration(status.round_trip)))
    if shell.debug is not None:
        parts.append(("", "debug"))
    return parts
