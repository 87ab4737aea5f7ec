"""Every check of this project: `python -m tests [ARGUMENT OF PYTEST]...`.

`python -m tests fast` leaves out the tests that take seconds, and those that need Node or a pseudo-terminal.
`python -m tests coverage` runs everything, measures which lines run, and fails if there are too few of them. That takes half as
long again, because the tests start thousands of programs, so it is not a part of the other runs.

Types are checked while the tests run, and the tests run in several processes. Exits with the code of the first check
that fails. Tests that fail while others compete for the machine run once more, alone: a failure that a user can meet fails
again, and the others are listed at the end, to be made independent of the machine.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile

from tests.machine import TOP

#: Tests spend half of their time waiting, for other processes and for each other's servers.
WORKERS = max(2, (os.cpu_count() or 2) * 3 // 2)

#: Seconds after which a run has hung; the stack of each test that takes over a minute has been shown by then.
PATIENCE = 45 * 60

#: How many failed tests run again.
FEW = 5


def main(arguments: list[str]) -> int:
    # A shell starts background jobs with SIGINT ignored, and tests send it to the programs that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The tests start thousands of programs, which must not all compile the same modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    kind = arguments[0] if arguments[:1] in (["fast"], ["coverage"]) else ""
    selection = arguments[bool(kind) :]
    marks = ["-m", "not (slow or node or terminal)"] if kind == "fast" else []
    workers = ["-n", str(WORKERS), "--dist", "worksteal"] if not selection else []
    with tempfile.TemporaryFile() as types:
        mypy = subprocess.Popen([sys.executable, "-m", "mypy"], cwd=TOP, stdout=types, stderr=subprocess.STDOUT)
        try:
            code = run("ruff", "format", "--check") or run("ruff", "check")
            if not code and kind == "coverage":
                code = (
                    run("coverage", "erase")
                    or run_tests("coverage", "run", "-m", "pytest", *workers, *selection)
                    or run("coverage", "combine", "--quiet")
                    # A part of the tests says nothing about coverage.
                    or run("coverage", "report", *(["--fail-under=0"] if selection else []))
                )
            elif not code:
                code = run_tests("pytest", *marks, *workers, *selection)
            if code:
                return code
            print("$ mypy", flush=True)
            code = mypy.wait(PATIENCE)
            types.seek(0)
            print(types.read().decode(), end="", flush=True)
            return code
        finally:
            mypy.kill()
            mypy.wait()


def run_tests(*command: str) -> int:
    """Run tests. If only a few of them fail, run these again, one after another."""
    code = run(*command)
    if code != 1:  # other codes: there was no test, or pytest itself failed
        return code
    failed = list(json.loads((TOP / ".pytest_cache" / "v" / "cache" / "lastfailed").read_text()))
    if len(failed) > FEW:
        return code
    code = run(*command, "-n", "0", "--last-failed")
    if not code:
        print(f"{len(failed)} failed next to others, and passed alone:", *failed, sep="\n  ", flush=True)
    return code


def run(module: str, *arguments: str) -> int:
    """Run a module of Python, and return its exit code."""
    print("$", shlex.join([module, *arguments]), flush=True)
    code = subprocess.run([sys.executable, "-m", module, *arguments], cwd=TOP, check=False, timeout=PATIENCE).returncode
    if code:
        print("failed:", shlex.join([module, *arguments]), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
