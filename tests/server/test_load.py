"""The program that measures the server, run with small numbers."""

from __future__ import annotations

import re
import sys

import pytest

from tests.server.load import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]


def test_every_figure_is_printed_with_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--idle", "3", "--calls", "400", "--subscribers", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    units = [re.fullmatch(r".*? +(-?[\d,]+\.\d) (\S+)", line) for line in lines]
    assert [found and found[2] for found in units] == [
        "calls/s", "calls/s", "calls/s", "calls/s", "KiB", "KiB", "ms", "%", "KiB", "ms", "messages/s",
    ]  # fmt: skip
