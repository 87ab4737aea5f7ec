from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import machine, meteor, npm
from tests.benchmarks import __main__ as program
from tests.benchmarks import programs, races
from tests.benchmarks.catalogue import RACES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    try:
        programs.install()
        meteor.install()
    except npm.NpmError as error:
        machine.unavailable(f"no peers to be measured against: {error}")


@pytest.mark.parametrize("name", RACES)
def test_every_race_can_be_run(name: str) -> None:
    result = races.run(RACES[name], rounds=1, tiny=True)
    assert {measure for of_one in result.samples.values() for measure in of_one} == set(RACES[name].measures)
    assert all(goal.ours in result.samples for goal in RACES[name].goals)
    assert races.report(result)


def test_the_program_prints_a_table_and_writes_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.main(["once", "--tiny", "--json", str(tmp_path / "found.json")])
    printed = capsys.readouterr().out
    assert "`ddp call upper Hello`, the whole process" in printed
    assert " goals met, " in printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found["races"][0]["medians"]) == ["ddpshell", "script", "npm ddp", "simpleddp"]


def test_a_race_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        program.main(["nosuch"])
    assert "no race is called nosuch; there are once, plain" in capsys.readouterr().err
