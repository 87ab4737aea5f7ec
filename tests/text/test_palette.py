"""Colored text is the same text, and contains no other codes for the terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from ddpshell.text.palette import STYLES, THEMES, named_style, styles_of, terminal_text
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


def _luminance(color: str) -> float:
    parts = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG."""
    lower, higher = sorted((_luminance(one), _luminance(other)))
    return (higher + 0.05) / (lower + 0.05)


_BACKGROUNDS = {"black": "#000000", "white": "#ffffff", "Solarized Dark": "#002b36", "Solarized Light": "#fdf6e3"}


@pytest.mark.parametrize("style", ["note", "time", "tag", "omission", "comment"])
@pytest.mark.parametrize(
    ("theme", "background", "least"),
    [
        *[pytest.param("auto", name, 3.5, id=f"auto on {name}") for name in _BACKGROUNDS],
        *[pytest.param("dark", name, 5, id=f"dark on {name}") for name in ("black", "Solarized Dark")],
        *[pytest.param("light", name, 5, id=f"light on {name}") for name in ("white", "Solarized Light")],
    ],
)
def test_secondary_text_is_readable(style: str, theme: str, background: str, least: float) -> None:
    """Bright black, code 90, is the background of Solarized Dark. The colors from 16 on are the same everywhere."""
    color = named_style(styles_of(theme)[style])
    assert color.startswith("#")
    assert _contrast(color, _BACKGROUNDS[background]) >= least


@pytest.mark.parametrize("theme", [theme for theme in THEMES if theme != "plain"])
def test_with_sixteen_colors_secondary_text_has_the_default_color(theme: str) -> None:
    styles = styles_of(theme, is_rich=False)
    assert styles["note"] == ""
    assert styles["good"] == "32"
    assert not [code for code in styles.values() if "38;5" in code or "90" in code]


def test_every_theme_has_all_styles_and_the_plain_theme_has_no_colors() -> None:
    for theme in THEMES:
        styles = styles_of(theme)
        assert styles.keys() == STYLES.keys()
        for code in styles.values():
            named_style(code)
    assert set(styles_of("plain").values()) == {"", "1", "4"}
    shown = terminal_text([("error", "no"), ("command", "x")], color=True, styles=styles_of("plain"))
    assert shown == "no\x1b[1mx\x1b[0m"
