"""Text in colour is the same text, and nothing that a terminal obeys gets through."""

from __future__ import annotations

import re

from hypothesis import given

from ddpshell.text.palette import terminal_text
from tests.strategies import hostile_text
from tests.text.test_escaping import harmless

_CODE = re.compile(r"\x1b\[[0-9;]+m")


@given(hostile_text(40))
def test_whatever_the_text_only_our_own_codes_reach_the_terminal(text: str) -> None:
    shown = terminal_text([("string", text), ("", text)], color=True)
    assert harmless(_CODE.sub("", shown))
    without = terminal_text([("string", text), ("", text)], color=False)
    assert harmless(without)
    assert _CODE.sub("", shown) == without


def test_a_colour_ends_with_its_text() -> None:
    assert terminal_text([("error", "no"), ("", "!")], color=True) == "\x1b[31mno\x1b[0m!"
