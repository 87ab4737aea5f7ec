"""Every check that this project keeps, one after another: `python -m tests [ARGUMENT OF PYTEST]...`.

Ends with the exit code of the first check that fails.
"""

from __future__ import annotations

import shlex
import subprocess
import sys

from tests.machine import TOP


def main(pytest_arguments: list[str]) -> int:
    checks = [
        ["ruff", "format", "--check"],
        ["ruff", "check"],
        ["mypy"],
        ["coverage", "erase"],
        ["coverage", "run", "-m", "pytest", *pytest_arguments],
        ["coverage", "combine", "--quiet"],
        # What a part of the suite covers says nothing.
        ["coverage", "report", *(["--fail-under=0"] if pytest_arguments else [])],
    ]
    for check in checks:
        print("$", shlex.join(check), flush=True)
        code = subprocess.run([sys.executable, "-m", *check], cwd=TOP, check=False).returncode
        if code:
            print("failed:", shlex.join(check), flush=True)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
