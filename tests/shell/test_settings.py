"""Settings accept valid values only."""

from __future__ import annotations

import pytest

from ddpshell.exceptions import CommandError
from ddpshell.shell.settings import SETTINGS, Settings


def test_the_default_settings_are_valid() -> None:
    settings = Settings()
    for setting, value in settings:
        assert value == setting.default == setting.parse(value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        pytest.param("output", "TABLE", "table", id="a choice in capitals"),
        pytest.param("items", "7", "7", id="a number"),
        pytest.param("colour", "off", "off", id="British spelling"),
    ],
)
def test_a_valid_value_is_set(name: str, text: str, value: str) -> None:
    settings = Settings()
    settings.change(name, text)
    assert settings[settings.find(name).name] == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param("output", "xml", "invalid output xml: use auto, pretty, json, raw, table", id="an unknown choice"),
        pytest.param("items", "0", "invalid items 0: use a whole number, 1 or more", id="zero"),
        pytest.param("items", "-1", "use a whole number, 1 or more", id="a negative number"),
        pytest.param("items", "9" * 50, "use a whole number, 1 or more", id="a huge number"),
        pytest.param("ouptut", "json", "unknown setting ouptut; did you mean output?", id="misspelled"),
        pytest.param("zzz", "1", "unknown setting zzz; the settings are output, timing", id="unknown"),
    ],
)
def test_an_invalid_value_is_an_error_that_lists_the_valid_values(name: str, text: str, message: str) -> None:
    settings = Settings()
    with pytest.raises(CommandError, match=message):
        settings.change(name, text)
    assert [value for _, value in settings] == [setting.default for setting in SETTINGS.values()]


def test_limits_come_from_two_settings() -> None:
    limits = Settings(items="3", length="5").limits
    assert (limits.items, limits.characters) == (3, 5)
