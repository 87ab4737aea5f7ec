from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import machine


def test_something_missing_skips_a_test() -> None:
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        machine.unavailable("no such thing", in_ci=False)


def test_something_missing_fails_a_test_in_ci() -> None:
    with pytest.raises(pytest.fail.Exception, match="no such thing"):
        machine.unavailable("no such thing", in_ci=True)


def test_a_program_is_found() -> None:
    assert machine.program("sh", in_ci=False).endswith("/sh")


def test_a_missing_program_skips_a_test() -> None:
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        machine.program("no-such-program", in_ci=False)


def test_a_missing_program_is_installed_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for Debian's apt-get writes down its arguments and installs the package."""
    asked = tmp_path / "asked"
    stand_in = tmp_path / "apt-get"
    new = tmp_path / "new-program"
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\ncase "$*" in *new-package) echo "#!/bin/sh" > {new}; chmod +x {new};; esac\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for _ in range(2):
        assert machine.program("new-program", "new-package", in_ci=True) == str(new)
    assert asked.read_text() == "--quiet update\n--quiet install --yes --no-install-recommends new-package\n"
