"""The settings of the shell, in one table: `set`, its help, its completion and all readers of a setting use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from ..exceptions import CommandError
from ..text.formatting import Limits
from ..text.palette import THEMES, styles_of
from ..text.prose import closest

_SWITCH = ("on", "off")

# Levels of nesting that are shown of one value.
_DEPTH = 20


class Setting(Struct, frozen=True):
    """One setting.

    Args:
        name: Its name.
        default: Its value at first.
        choices: The valid values; empty if it is a number.
        summary: What it changes, for `set`.
    """

    name: str
    default: str
    choices: tuple[str, ...]
    summary: str

    def parse(self, text: str) -> str:
        """The value that a text stands for.

        Raises:
            CommandError: The text is not a valid value of this setting.
        """
        if self.choices:
            if text.lower() in self.choices:
                return text.lower()
            raise CommandError(f"invalid {self.name} {text[:40]}: use {', '.join(self.choices)}")
        if text.isascii() and text.isdecimal() and 0 < int(text[:10]) < 10**9:
            return str(int(text))
        raise CommandError(f"invalid {self.name} {text[:40]}: use a whole number, 1 or more")

    def from_toml(self, value: object) -> str:
        """The value that the config file has. There, a switch is true or false, and a number has no quotes.

        Raises:
            CommandError: It is not a valid value of this setting.
        """
        if isinstance(value, bool) and "on" in self.choices:
            return "on" if value else "off"
        if isinstance(value, str) and self.choices:
            return self.parse(value)
        if isinstance(value, int) and not isinstance(value, bool) and not self.choices:
            return self.parse(str(value))
        forms = [f'"{choice}"' for choice in self.choices if choice not in _SWITCH]
        forms = ["true", "false", *forms] if "on" in self.choices else forms
        raise CommandError(f"{self.name} must be {' or '.join(forms) if forms else 'a whole number, 1 or more'}")

    def to_toml(self, text: str) -> str | int | bool:
        """What the config file has for a value.

        Raises:
            CommandError: The text is not a valid value of this setting.
        """
        value = self.parse(text)
        if value in _SWITCH and "on" in self.choices:
            return value == "on"
        return value if self.choices else int(value)


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            "output",
            "auto",
            ("auto", "pretty", "json", "raw", "table", "vertical"),
            "format of results; auto: pretty on screen, JSON elsewhere; vertical: one field a line",
        ),
        Setting(
            "timing",
            "on",
            (*_SWITCH, "full"),
            "show how long each answer took; full: also where the time of a call went",
        ),
        Setting("changes", "on", _SWITCH, "show documents as they are added, changed and removed"),
        Setting("burst", "20", (), "number of documents to list when many come or go at once"),
        Setting("color", "on", _SWITCH, "use colors"),
        Setting("theme", "auto", tuple(THEMES), "colors for a dark or a light background; plain: only bold"),
        Setting("pager", "on", _SWITCH, "show output that is longer than the screen in $PAGER, or less"),
        Setting("items", "100", (), "number of documents, items and fields to show of one result"),
        Setting("length", "2000", (), "number of characters to show of one string or frame"),
        Setting("editing", "emacs", ("emacs", "vi"), "keys for editing the line"),
        Setting("menu", "tab", ("tab", "typing"), "offer completions after Tab, or while you type"),
    )
}


class Settings:
    """The values of the settings in one shell.

    Args:
        values: The values that differ from the defaults.
    """

    def __init__(self, **values: str) -> None:
        self._values = {name: setting.default for name, setting in SETTINGS.items()} | values
        #: The terminal has 256 colors.
        self.is_rich = True

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[tuple[Setting, str]]:
        return ((setting, self._values[name]) for name, setting in SETTINGS.items())

    def find(self, name: str) -> Setting:
        """The setting with this name.

        Raises:
            CommandError: There is no such setting. The message suggests one.
        """
        # British spelling is accepted.
        name = "color" if name == "colour" else name
        if name not in SETTINGS:
            similar = closest(name, SETTINGS)
            advice = f"did you mean {similar}?" if similar else f"the settings are {', '.join(SETTINGS)}"
            raise CommandError(f"unknown setting {name[:40]}; {advice}")
        return SETTINGS[name]

    def change(self, name: str, text: str) -> None:
        """Change a setting.

        Raises:
            CommandError: There is no such setting, or the text is not a valid value of it.
        """
        setting = self.find(name)
        self._values[setting.name] = setting.parse(text)

    def is_on(self, name: str) -> bool:
        """Whether a switch is on."""
        return self._values[name] == "on"

    @property
    def styles(self) -> Mapping[str, str]:
        """The terminal's codes for the styles."""
        return styles_of(self["theme"], is_rich=self.is_rich)

    @property
    def limits(self) -> Limits:
        """How much of a value is shown."""
        return Limits(int(self["items"]), int(self["length"]), _DEPTH, "use `full`")
