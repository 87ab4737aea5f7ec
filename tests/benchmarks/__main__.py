"""Measure: `python -m tests.benchmarks [NAME]... [--rounds N] [--tiny] [--json FILE] [--markdown FILE]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.benchmarks import findings, programs
from tests.benchmarks.catalogue import BENCHMARKS
from tests.benchmarks.versions import machine, versions


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description="Measure ddpshell against its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how often everything is measured (default: each benchmark's own)"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="one short round of each: shows that they work, measures nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured to a file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables of the README to a file")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")

    programs.install()
    where, what = machine(), versions()
    names = ", ".join(f"{name} {version}" for name, version in what.items())
    conditions = f"{where['system']} on {where['processor']} with {where['cores']} cores; {names}"
    print(conditions)
    if len(programs.DDP) > 1:
        print(
            "no `ddp` is installed beside this Python: the command is `python -m ddpshell`, which starts a little later"
        )
    print(flush=True)

    found = []
    for name in options.names or BENCHMARKS:
        finding = BENCHMARKS[name](options.rounds, tiny=options.tiny, progress=_progress)
        _progress("")
        print(finding.text(), end="\n\n", flush=True)
        found.append(finding)
    if options.json:
        figures = {"machine": where, "versions": what, "benchmarks": [finding.as_json() for finding in found]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(f"Measured on {conditions}.\n\n{findings.markdown(found)}")
    met = [verdict.met for finding in found for verdict in finding.verdicts()]
    print(f"{met.count(True)} goals met, {met.count(False)} missed")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
