"""Every check of this project: `python -m tests [ARGUMENT OF PYTEST]...`, or the quick ones: `python -m tests fast`.

Types are checked while the tests run, and the tests run in several processes. Exits with the code of the first check
that fails.
"""

from __future__ import annotations

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


def main(arguments: list[str]) -> int:
    # A shell starts background jobs with SIGINT ignored, and tests send it to the programs that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    is_fast = arguments[:1] == ["fast"]
    selection = arguments[is_fast:]
    workers = ["-n", str(WORKERS), "--dist", "worksteal"] if not selection else []
    pytest = ["-m", "pytest", *workers, *(["-m", "not (slow or node or terminal)"] if is_fast else []), *selection]
    with tempfile.TemporaryFile() as types:
        mypy = subprocess.Popen([sys.executable, "-m", "mypy"], cwd=TOP, stdout=types, stderr=subprocess.STDOUT)
        try:
            code = run("ruff", "format", "--check") or run("ruff", "check")
            if not code and is_fast:
                code = run(*pytest[1:])
            elif not code:
                code = (
                    run("coverage", "erase")
                    or run("coverage", "run", *pytest)
                    or run("coverage", "combine", "--quiet")
                    # A part of the tests says nothing about coverage.
                    or run("coverage", "report", *(["--fail-under=0"] if selection else []))
                )
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


def run(module: str, *arguments: str) -> int:
    """Run a module of Python, and return its exit code."""
    print("$", shlex.join([module, *arguments]), flush=True)
    code = subprocess.run([sys.executable, "-m", module, *arguments], cwd=TOP, check=False, timeout=PATIENCE).returncode
    if code:
        print("failed:", shlex.join([module, *arguments]), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
