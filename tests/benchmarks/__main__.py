"""Measure: `python -m tests.benchmarks [NAME]... [--rounds N] [--tiny] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from tests.benchmarks import races
from tests.benchmarks.catalogue import RACES


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description="Measure ddpshell against its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(RACES)} (default: all)")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how often each contender runs (default: each race's own)"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="one short round of each: shows that they work, measures nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured to a file")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(RACES):
        parser.error(f"no race is called {', '.join(sorted(unknown))}; there are {', '.join(RACES)}")

    results = []
    for race in [RACES[name] for name in options.names or RACES]:
        result = races.run(
            race, rounds=1 if options.tiny else options.rounds or race.rounds, tiny=options.tiny, progress=_progress
        )
        _progress("")
        print(races.report(result), end="\n\n", flush=True)
        results.append(result)
    if options.json:
        machine = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
        found = {"machine": machine, "races": [result.as_json() for result in results]}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    missed = sum(not goal.met(result) for result in results for goal in result.race.goals)
    print(f"{sum(len(result.race.goals) for result in results) - missed} goals met, {missed} missed")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
