"""The selected frames are printed as they are, each on one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given

from ddpshell.text.event_lines import frame_line
from ddpshell.text.palette import plain
from tests.strategies import hostile_text
from tests.text.test_escaping import harmless

NOON = datetime(2026, 1, 2, 12, 0, 0, 5000, UTC)


def test_a_frame_has_its_time_and_direction() -> None:
    line = plain(frame_line('{"msg":"ping"}', is_sent=True, when=NOON))
    stamp = NOON.astimezone().strftime("%H:%M:%S")
    assert line == f'{stamp}.005 -> {{"msg":"ping"}}'
    assert " <- " in plain(frame_line("{}", is_sent=False, when=NOON))


def test_the_session_follows_the_time() -> None:
    line = plain(frame_line("{}", is_sent=True, when=NOON, session="abcd"))
    assert line.endswith(".005 abcd -> {}")


def test_a_frame_takes_one_line() -> None:
    line = plain(frame_line('{\n\t"msg": "ping"\r\n}', is_sent=True, when=NOON))
    assert line.endswith(r' -> {\n\t"msg": "ping"\u000d\n}')


@pytest.mark.parametrize(
    ("text", "colored", "styles"),
    [
        pytest.param('{"n":1}', True, ["punctuation", "key", "punctuation", "number", "punctuation"], id="colored"),
        pytest.param('{"n":1}', False, [""], id="without colors"),
        pytest.param(f'["{"x" * 10_000}"]', True, [""], id="too long for colors"),
    ],
)
def test_values_in_a_frame_are_colored(text: str, colored: bool, styles: list[str]) -> None:
    line = frame_line(text, is_sent=True, when=NOON, colored=colored)
    assert plain(line).endswith(text)
    assert [style for style, _ in line[2:]] == styles


def test_the_characters_that_are_left_out_are_counted() -> None:
    line = plain(frame_line("x" * 100, is_sent=True, when=NOON, omitted=1400))
    assert line.endswith("x" * 100 + " ... 1,400 more characters")


@given(hostile_text(40))
def test_a_printed_frame_is_harmless_and_still_the_same_message(text: str) -> None:
    frame = json.dumps({"msg": "result", "result": text}, ensure_ascii=False)
    line = plain(frame_line(frame, is_sent=False, when=NOON))
    assert harmless(line)
    assert json.loads(line.partition(" <- ")[2])["result"] == text
