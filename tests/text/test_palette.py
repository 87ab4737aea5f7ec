"""Colored text is the same text, and contains no other codes for the terminal."""

from __future__ import annotations

import re

from hypothesis import given

from ddpshell.text.palette import terminal_text
from tests.strategies import hostile_text
from tests.text.test_escaping import harmless

_CODE = re.compile(r"\x1b\[[0-9;]+m")


@given(hostile_text(40))
def test_only_the_codes_of_the_styles_reach_the_terminal(text: str) -> None:
    shown = terminal_text([("string", text), ("", text)], color=True)
    assert harmless(_CODE.sub("", shown))
    without = terminal_text([("string", text), ("", text)], color=False)
    assert harmless(without)
    assert _CODE.sub("", shown) == without


def test_a_color_ends_with_its_text() -> None:
    assert terminal_text([("error", "no"), ("", "!")], color=True) == "\x1b[31mno\x1b[0m!"
