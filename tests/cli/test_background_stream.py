"""Streams that a background thread writes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ddpshell.cli.background_stream import LogStream, ResultStream, written_in_background
from ddpshell.cli.output import Console, Stream
from tests.loopback import PATIENCE


class Reader(Stream):
    """A stream with a slow reader: each text is written when the test allows it."""

    def __init__(self) -> None:
        super().__init__(None)
        self.texts: list[str] = []
        self.begun = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)

    def write(self, text: str) -> None:
        self.begun.release()
        assert self.allowed.acquire(timeout=PATIENCE)
        self.texts.append(text)


class Place(NamedTuple):
    """A stream and its reader."""

    reader: Reader
    stream: LogStream


@pytest.fixture
def place() -> Iterator[Place]:
    reader = Reader()
    stream = LogStream(reader, most_waiting=10)
    yield Place(reader, stream)
    reader.allowed.release(100)
    stream.close()


def test_writing_does_not_wait_for_the_reader(place: Place) -> None:
    place.stream.write("a\n")
    assert place.reader.begun.acquire(timeout=PATIENCE)
    for text in ("b\n", "c\n"):
        place.stream.write(text)
    assert place.reader.texts == []
    place.reader.allowed.release(2)
    place.stream.close()
    assert place.reader.texts == ["a\n", "b\nc\n"], "waiting texts are written in one write"


def test_lines_beyond_the_limit_are_counted_and_reported(place: Place) -> None:
    place.stream.write("first\n")
    assert place.reader.begun.acquire(timeout=PATIENCE)
    for text in ("12345678\n", "three\nlines\nmore\n", "x\n"):
        place.stream.write(text)
    place.reader.allowed.release(2)
    place.stream.close()
    kept, told = place.reader.texts[1].splitlines()
    assert kept == "12345678"
    assert told == "ddp: warning: left out 4 lines, because the lines before were not read in time"


def test_lines_left_out_are_also_reported_at_the_end(place: Place) -> None:
    place.stream.write("too long for it\n")
    place.reader.allowed.release()
    place.stream.close()
    assert place.reader.texts == ["ddp: warning: left out 1 line, because the lines before were not read in time\n"]


def test_close_does_not_wait_forever() -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as file, open(reading, "rb") as kept:  # noqa: PTH123 - descriptors
        stream = LogStream(Stream(file))
        stream.write("x" * 200_000 + "\n")  # more than a pipe holds
        stream.close()
        assert len(kept.read(200_001)) == 200_001


def test_the_console_gets_its_own_stream_back(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console()
    before = console.err
    with written_in_background(console):
        assert isinstance(console.err, LogStream)
    assert console.err is before


def test_results_for_a_slow_reader_are_queued_and_hold_their_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All results are written in order, and the thread that receives them never waits."""
    reading, writing = os.pipe()
    held: list[bool] = []
    with os.fdopen(writing, "w") as file, os.fdopen(reading, "rb") as pipe:
        monkeypatch.setattr(sys, "stdout", file)
        stream = ResultStream(held.append, lambda: None)
        texts = [f"{number:04}".ljust(4095, "x") + "\n" for number in range(400)]

        def receive() -> None:
            for text in texts:
                stream.write(text)

        receiving = threading.Thread(target=receive)
        receiving.start()
        receiving.join(PATIENCE)
        assert not receiving.is_alive()
        assert True in held
        assert pipe.read(4096 * 400) == "".join(texts).encode()
        stream.finish()
        assert held[-1] is False
        stream.write("at once\n")
        assert pipe.readline() == b"at once\n"


def test_results_that_cannot_be_written_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    broken = threading.Event()
    with os.fdopen(writing, "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        stream = ResultStream(lambda _: None, broken.set)
        writer = threading.Thread(target=stream.write, args=["x" * (1 << 18)])
        writer.start()
        writer.join(PATIENCE)
        os.close(reading)
        assert broken.wait(PATIENCE)
        with pytest.raises(BrokenPipeError):
            stream.write("more")
        with pytest.raises(BrokenPipeError):
            stream.finish()
