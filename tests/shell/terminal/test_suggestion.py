"""Behind the cursor stands how the line may end: as one before did, or as it must."""

from __future__ import annotations

import pytest
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory

from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.names import Names
from ddpshell.shell.terminal.suggestion import LineSuggest

REGISTRY = shell_registry()


@pytest.mark.parametrize(
    ("text", "end"),
    [
        pytest.param("call up", "per 'b'", id="the latest line that began so"),
        pytest.param("call upper 'a", "'", id="an older one"),
        pytest.param("whoa", "mi", id="the only command it can be"),
        pytest.param("find tasks --ta", "ble", id="the only option"),
        pytest.param("w", None, id="several commands"),
        pytest.param("call upper 'b'", None, id="all of it is there"),
        pytest.param("call zzz", None, id="nothing known"),
        pytest.param("", None, id="nothing typed"),
        pytest.param("  ", None, id="space"),
    ],
)
def test_the_end_of_a_line_is_suggested(text: str, end: str | None) -> None:
    history = InMemoryHistory()
    for line in ("call upper 'a'", "call upper 'b'"):
        history.append_string(line)
    suggest = LineSuggest(REGISTRY, Names(REGISTRY), list)
    found = suggest.get_suggestion(Buffer(history=history), Document(text))
    assert (found.text if found else None) == end
