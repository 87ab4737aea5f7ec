"""Colour changes how a value looks, and nothing else."""

from __future__ import annotations

import re

from hypothesis import given

from ddpshell.protocol.ejson import EJSONValue
from ddpshell.shell.highlighting import TOKEN_TYPES, colour
from ddpshell.shell.rendering import Style, format_value, value_fragments
from tests.strategies import ejson_values


@given(ejson_values())
def test_without_its_colours_a_value_is_the_same(value: EJSONValue) -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", colour(value_fragments(value)))
    assert plain == format_value(value)


def test_every_style_has_its_type() -> None:
    assert set(TOKEN_TYPES) == set(Style)


def test_a_string_and_a_number_look_different() -> None:
    assert colour([(Style.STRING, "x")]) != colour([(Style.NUMBER, "x")])
