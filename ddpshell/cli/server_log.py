"""What a server does, line by line on standard error: one for each call, and with -v one for each frame."""

from __future__ import annotations

from ..server import Activity, Frame, Server
from ..text.escaping import escape_line, quote
from ..text.frames import frame_line, time_of_day
from ..text.palette import terminal_text
from ..text.prose import duration, plural
from .process import Process

__all__ = ["ServerLog", "outcome", "what"]

#: Of longer names the rest is not shown.
_LONGEST_NAME = 80


class ServerLog:
    """Writes the log.

    Args:
        process: Where to, and how late it is.
        shows_frames: Whether frames are shown as well.
    """

    def __init__(self, process: Process, *, shows_frames: bool) -> None:
        self._console = process.console
        self._clock = process.clock
        self._shows_frames = shows_frames

    def watch(self, server: Server) -> None:
        """Have what this server does logged, from now on."""
        server.on_activity(self._activity)
        if self._shows_frames:
            server.on_frame(self._frame)

    def _activity(self, activity: Activity) -> None:
        result = outcome(activity)
        if activity.error is not None:
            result = self._console.emphasised("31", result)
        self._write(activity.session, f"{what(activity)}  {result}  {duration(activity.duration)}")

    def _frame(self, frame: Frame) -> None:
        color = self._console.colours_err
        line = frame_line(
            frame.text,
            is_sent=frame.is_sent,
            when=self._clock.wall(),
            session=_short(frame.session),
            colored=color,
        )
        self._console.error_lines([terminal_text(line, color=color)])

    def _write(self, session: str | None, text: str) -> None:
        self._console.error_lines([f"{time_of_day(self._clock.wall())} {_short(session)} {text}"])


def _short(session: str | None) -> str:
    return f"{(session or '-')[:4]:4}"


def what(activity: Activity) -> str:
    """What was called or subscribed to, never with which arguments: `upper(1 argument)`, `sub tasks`."""
    name = activity.name if len(activity.name) <= _LONGEST_NAME else activity.name[:_LONGEST_NAME] + "..."
    # Such a name cannot pass for more than a name.
    if not name or not name.isprintable() or set(name) & set(" ()\"'"):
        name = quote(name)
    if activity.kind == "method":
        return f"{name}({plural(activity.argument_count, 'argument') if activity.argument_count else ''})"
    arguments = f"({plural(activity.argument_count, 'argument')})" if activity.argument_count else ""
    return f"{'sub' if activity.kind == 'sub' else 'unsub'} {name}{arguments}"


def outcome(activity: Activity) -> str:
    """What came of it: `ok`, `error 404`."""
    if activity.error is None:
        return "ok"
    code = activity.error
    return f"error {code if not isinstance(code, str) else escape_line(code[:_LONGEST_NAME])}"
