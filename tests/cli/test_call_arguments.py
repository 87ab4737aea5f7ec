"""What help says of the words behind a name is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddpshell.cli.call_arguments import GRAMMAR
from tests.cli.conftest import Command


@pytest.mark.parametrize("command", ["call", "sub"])
def test_the_commands_that_take_such_words_explain_them(ddp: Command, command: str) -> None:
    out = ddp(command, "--help").out
    assert "[ARG]..." in out
    assert "-s, --string" in out
    for written, meaning in GRAMMAR:
        assert written in out
        assert meaning.split(";")[0] in out


@pytest.mark.usefixtures("server")
def test_the_words_mean_what_help_says(ddp: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("[5]")
    words = ["5", "-1", "true", "null", "Hello", "http://x", '"5"', "{a: [1, 2]}", 'Date("2026-01-02")', '{"$date": 0}']
    out = ddp("call", "echo", *words, "@FILE", "-", "@@x", "--", "--follow", stdin=b"6").out
    assert out == (
        '[5,-1,true,null,"Hello","http://x","5",{"a":[1,2]},{"$date":1767312000000},{"$date":0},[5],6,"@x","--follow"]\n'
    )
