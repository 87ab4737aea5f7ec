"""Opens a file with frames, a recording or a HAR file, whichever it is."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from msgspec import Struct

from ..exceptions import RecordingError
from .har import read_har
from .recording import Entry, Header, json_object, read_recording

__all__ = ["FrameFile", "open_frames"]

# Bytes between two reports of the progress.
_STEP = 1 << 18

# Bytes of the first line that are read to recognize the file.
_HEAD = 1 << 16

_READABLE = "ddp reads recordings, as --record makes them, and HAR files"

#: Files that can contain HAR files or recordings in another form, by their first bytes.
_PACKED = {
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it first",
    b"\xff\xfe": "text in UTF-16; save it as UTF-8 first",
    b"\xfe\xff": "text in UTF-16; save it as UTF-8 first",
}


class FrameFile(Struct):
    """An open file with frames.

    Args:
        header: The header of the recording; for a HAR file, what corresponds to it.
        entries: The frames and events. To iterate can raise `RecordingError`.
        notes: What was left out. It is complete after the iteration.
    """

    header: Header
    entries: Iterator[Entry]
    notes: list[str]


@contextlib.contextmanager
def open_frames(path: str, on_progress: Callable[[float], object] = lambda share: None) -> Iterator[FrameFile]:
    """Open a recording or a HAR file.

    Args:
        path: The file.
        on_progress: Called now and then with the share of the file that has been read, from 0 to 1.

    Raises:
        RecordingError: The file is neither of them. The message says what was found, and what can be read.
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        # A pipe has no size.
        size = Path(path).stat().st_size or math.inf
        head = file.readline(_HEAD).removeprefix(b"\xef\xbb\xbf")
        if "ddp_recording" in (json_object(head) or {}):
            lines = _counted(file, lambda done: on_progress(done / size))
            header, entries = read_recording(chain([head], lines), path)
            yield FrameFile(header, entries, [])
            return
        text = head.lstrip()
        # The brace can be in a later line.
        while head and not text:
            head = file.readline(_HEAD)
            text = head.lstrip()
        if not text.startswith(b"{"):
            raise RecordingError(f"{path} is {_what_it_is(text)}; {_READABLE}")
        if json_object(head) is not None and file.readline(_HEAD).lstrip().startswith(b"{"):
            raise RecordingError(
                f"{path} has JSON in each line, but does not begin with the first line of a recording; {_READABLE}"
            )
        if not file.seekable():
            raise RecordingError(f"{path} is not a recording, and a HAR file cannot be read from a pipe; save it first")
        read = 0

        def count(number: int) -> None:
            nonlocal read
            read += number
            # The file is read twice.
            on_progress(read / size / 2)

        header, entries, notes = read_har(Path(path), path, count)
        yield FrameFile(header, entries, notes)


def _counted(lines: Iterable[bytes], on_read: Callable[[int], object]) -> Iterator[bytes]:
    """Yield all lines, and call the function from time to time with the number of bytes."""
    done = due = 0
    for line in lines:
        done += len(line)
        if done >= due:
            due = done + _STEP
            on_read(done)
        yield line


def _what_it_is(text: bytes) -> str:
    if not text:
        return "empty"
    for magic, packed in _PACKED.items():
        if text.startswith(magic):
            return packed
    return f"not a JSON object: it begins with {text.decode('utf-8', 'replace').strip()!r:.40}"
