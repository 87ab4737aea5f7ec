"""What stands in grey behind the cursor: the end of a line typed before, or of the only name that it can be."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document

from ..names import Names
from ..registry import Registry
from .completion import suggestions

__all__ = ["LineSuggest"]


class LineSuggest(AutoSuggest):
    """Suggests how the line may end.

    Args:
        registry: The commands.
        names: What has been learnt.
        variables: Gives the names of results.
    """

    def __init__(self, registry: Registry, names: Names, variables: Callable[[], list[str]]) -> None:
        self._registry = registry
        self._names = names
        self._variables = variables

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        """Give what is missing at the end of the text."""
        text = document.text
        if not text.strip() or len(text) > 2000:
            return None
        for line in reversed(buffer.history.get_strings()):
            if line.startswith(text) and len(line) > len(text) and not self._names.is_unknown_in(line):
                return Suggestion(line[len(text) :])
        found = suggestions(text, self._registry, self._names, self._variables)
        if len(found) == 1:
            typed = text[found[0].start :]
            if typed and found[0].text.startswith(typed) and found[0].text != typed:
                return Suggestion(found[0].text[len(typed) :])
        return None
