"""Whether memory grows with work that is finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks import programs
from tests.benchmarks.findings import Progress, Table, Verdict
from tests.benchmarks.programs import CLIENTS, PYTHON

__all__ = ["TASKS", "Leaks", "run"]

#: The number of repetitions of each task of `clients/lasting.py`.
TASKS = {"calls": 1_000_000, "reconnects": 1_000}
_TINY = {"calls": 1000, "reconnects": 10}

#: The largest good ratio of the memory at the end to the memory after a tenth of the work. The allocator keeps some free
#: memory; a leak of 64 bytes for each of a million calls would be three times the memory of a client.
_AT_MOST = 1.05
#: The largest good number of additional objects. If each call kept an object, there would be thousands.
_OBJECTS = 50


#: The tenths of the work that a README shows.
_TENTHS = (0, 1, 2, 4, 6, 8, 10)


@dataclass(frozen=True)
class Leaks:
    """For each task, the figures before it and after each tenth of it: `done`, `memory` (bytes), `objects`, `threads` and `files`."""

    found: Mapping[str, Sequence[Mapping[str, float]]]

    def verdicts(self) -> list[Verdict]:
        verdicts = []
        for task, found in self.found.items():
            _, first, *_, last = found
            name = f"{last['done']:,.0f} {task}"
            memory = last["memory"] / first["memory"]
            verdicts.append(Verdict(f"memory after {name} <= {_AT_MOST} x after a tenth", memory, memory <= _AT_MOST))
            for what, limit in (("objects", _OBJECTS), ("threads", 0), ("files", 0)):
                more = last[what] - first[what]
                verdicts.append(Verdict(f"{what} more after {name} <= {limit}", more, more <= limit))
        return verdicts

    def text(self) -> str:
        lines = ["What a client holds after each tenth of a long time"]
        for task, found in self.found.items():
            rows = [
                (
                    f"{figures['done']:,.0f}",
                    f"{figures['memory'] / 1e6:.2f}",
                    *(f"{figures[name]:,.0f}" for name in ("objects", "threads", "files")),
                )
                for figures in found
            ]
            table = Table((task, "MB", "objects", "threads", "files"), rows)
            lines += ["", *(f"  {line}" for line in table.lines())]
        return "\n".join([*lines, "", *(f"  {verdict}" for verdict in self.verdicts())])

    def table(self) -> Table:
        rows = []
        for task, found in self.found.items():
            memory = (f"{found[tenth]['memory'] / 1e6:.1f} MB" for tenth in _TENTHS)
            objects = (f"{found[tenth]['objects']:,.0f}" for tenth in _TENTHS)
            title = f"{found[-1]['done']:,.0f} {task}"
            rows += [(title, *memory), (f"{title}, live objects", *objects)]
        return Table(("what a client holds after", *(f"{10 * tenth} %" for tenth in _TENTHS)), rows)

    def as_json(self) -> dict[str, object]:
        return {
            "name": "leaks",
            "tasks": {task: [dict(figures) for figures in found] for task, found in self.found.items()},
            "goals": [vars(verdict) for verdict in self.verdicts()],
        }


def run(rounds: int | None, *, tiny: bool, progress: Progress = lambda _: None) -> Leaks:
    """Do each task once, because one run shows every leak. `rounds` has no effect."""
    found = {}
    with programs.feeder(items=10) as url:
        for task, count in (_TINY if tiny else TASKS).items():
            progress(f"leaks: {count:,} {task}")
            command = [PYTHON, f"{CLIENTS}/lasting.py", url, task, str(count)]
            found[task] = programs.figures(command, seconds=600)
    return Leaks(found)
