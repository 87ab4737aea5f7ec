"""What a user can set: how results look, how lines are edited."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from ..exceptions import CommandError
from ..text.formatting import Limits

__all__ = ["SETTINGS", "Setting", "Settings"]

_SWITCH = ("on", "off")


class Setting(NamedTuple):
    """One setting.

    Args:
        name: What it is called.
        default: What it is at first.
        choices: What it can be; none for a number.
        summary: What it is for.
    """

    name: str
    default: str
    choices: tuple[str, ...]
    summary: str

    def read(self, text: str) -> str:
        """Take a new value.

        Raises:
            CommandError: It cannot be that.
        """
        if self.choices:
            if text.lower() in self.choices:
                return text.lower()
            raise CommandError(f"{self.name} can be {', '.join(self.choices)}; not {text[:40]}")
        if text.isascii() and text.isdecimal() and 0 < int(text[:10]) < 10**9:
            return str(int(text))
        raise CommandError(f"{self.name} is a number, 1 or more; not {text[:40]}")


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            "output",
            "auto",
            ("auto", "pretty", "json", "raw", "table"),
            "how results look; auto: pretty on the screen, JSON in files, programs and scripts",
        ),
        Setting("timing", "on", _SWITCH, "show how long answers took"),
        Setting("changes", "on", _SWITCH, "show documents as they are added, changed and removed"),
        Setting("burst", "20", (), "how many documents to list that come or go all at once"),
        Setting("color", "on", _SWITCH, "colours"),
        Setting("items", "100", (), "how many documents, items and fields to show of one result"),
        Setting("length", "2000", (), "how many characters to show of one string or frame"),
        Setting("editing", "emacs", ("emacs", "vi"), "how the line is edited"),
        Setting("menu", "tab", ("tab", "typing"), "when to offer completions: at Tab, or while typing"),
    )
}

_DEPTH = 20


class Settings:
    """The values of one shell.

    Args:
        values: Those that differ from the defaults.
    """

    def __init__(self, **values: str) -> None:
        self._values = {name: setting.default for name, setting in SETTINGS.items()} | values

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[tuple[Setting, str]]:
        return ((setting, self._values[name]) for name, setting in SETTINGS.items())

    def find(self, name: str) -> Setting:
        """The setting of this name.

        Raises:
            CommandError: There is none; the message says what may have been meant.
        """
        # British spelling is no mistake.
        name = "color" if name == "colour" else name
        if name not in SETTINGS:
            similar = get_close_matches(name, SETTINGS, n=1)
            advice = f"did you mean {similar[0]}?" if similar else f"there are {', '.join(SETTINGS)}"
            raise CommandError(f"no setting {name[:40]}; {advice}")
        return SETTINGS[name]

    def change(self, name: str, text: str) -> None:
        """Set one.

        Raises:
            CommandError: It does not exist, or cannot be that.
        """
        setting = self.find(name)
        self._values[setting.name] = setting.read(text)

    def is_on(self, name: str) -> bool:
        """Whether a switch is on."""
        return self._values[name] == "on"

    @property
    def limits(self) -> Limits:
        """How much of a value to show."""
        return Limits(int(self["items"]), int(self["length"]), _DEPTH, "use `full`")
