from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import machine, meteor, npm
from tests.benchmarks import __main__ as program
from tests.benchmarks import programs, races
from tests.benchmarks.catalogue import BENCHMARKS, RACES

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
    assert result.text()


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in RACES])
def test_every_other_benchmark_can_be_run(name: str) -> None:
    finding = BENCHMARKS[name](None, tiny=True, progress=lambda _: None)
    assert finding.verdicts()
    assert finding.text()
    assert finding.table().rows
    assert finding.as_json()["name"] == name


def test_the_program_prints_a_table_and_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"--json={tmp_path / 'found.json'}", f"--markdown={tmp_path / 'found.md'}"]
    program.main(["once", "--tiny", *files])
    printed = capsys.readouterr().out
    assert "`ddp call upper Hello`, the whole process" in printed
    assert " goals met, " in printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found["benchmarks"][0]["medians"]) == ["ddpshell", "script", "npm ddp", "simpleddp"]
    assert found["versions"]["npm ddp"] == "0.12.1"
    conditions, _, tables = (tmp_path / "found.md").read_text().partition("\n\n")
    assert "npm ddp 0.12.1" in conditions
    assert tables.startswith("| what | ddpshell | compared with | ratio | goal |\n| --- | ---: |")


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        program.main(["nosuch"])
    assert "no benchmark is called nosuch; there are once, plain" in capsys.readouterr().err
