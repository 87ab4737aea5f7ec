"""The wheel is built, installed into an empty environment, and used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipapp
import zipfile
from pathlib import Path

import pytest

import ddpshell
from tests.machine import ENVIRONMENT, TOP
from tests.readme import read

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "build", "--outdir", str(folder), str(TOP)], ENVIRONMENT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with only the wheel and its requirements."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    _install(folder, str(wheel))
    return folder / "bin"


def _run(command: list[str], environment: dict[str, str], folder: Path = Path("/")) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, timeout=280, check=False,
        stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _install(folder: Path, *requirements: str) -> None:
    """Make an environment of these packages without pip, because installing pip would take longer than the packages."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], ENVIRONMENT)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python")]
    _run([*pip, "install", "--quiet", "--no-compile", *requirements], ENVIRONMENT)


def test_the_wheel_holds_the_package_its_manual_and_its_marker_for_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = [file.relative_to(TOP).as_posix() for file in (TOP / "ddpshell").rglob("*.py")]
    manual = [file.relative_to(TOP).as_posix() for file in (TOP / "ddpshell/manual").iterdir()]
    assert set(names) >= {*sources, *manual, "ddpshell/py.typed", "ddpshell/analysis/page.html"}
    assert not [name for name in names if name.startswith(("tests/", "completions/"))]


def test_an_index_accepts_both_archives(wheel: Path) -> None:
    archives = [str(file) for file in wheel.parent.iterdir()]
    assert len(archives) == 2
    _run([sys.executable, "-m", "twine", "check", "--strict", *archives], ENVIRONMENT)


def test_the_source_archive_has_the_tests(wheel: Path) -> None:
    [archive] = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    files = (file.relative_to(TOP) for file in (TOP / "tests").rglob("*.py"))
    tests = {file.as_posix() for file in files if "node_modules" not in file.parts}
    assert names >= {*tests, "pyproject.toml", "README.md", "CHANGELOG.md", "completions/ddp.1"}


def test_a_zip_archive_of_the_installed_packages_is_the_same_command(scripts: Path, tmp_path: Path) -> None:
    [packages] = scripts.parent.glob("lib/python*/site-packages")
    archive = tmp_path / "ddp.pyz"
    # A module written in C cannot be imported from a zip archive, so msgspec is in a folder next to it, where shiv unpacks it.
    zipapp.create_archive(
        packages, archive, main="ddpshell.__main__:main", filter=lambda path: not str(path).startswith("msgspec")
    )
    (tmp_path / "beside").mkdir()
    shutil.copytree(packages / "msgspec", tmp_path / "beside/msgspec")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "beside")}
    for words, printed in (
        (["demo", "call", "upper", "Hello"], '"HELLO"\n'),
        (["--version"], f"ddp {ddpshell.__version__}\n"),
    ):
        assert _run([sys.executable, "-S", str(archive), *words], environment) == printed


def test_uv_and_pipx_run_the_command_without_installing_it(wheel: Path, tmp_path: Path) -> None:
    _install(tmp_path / "tools", "uv", "pipx")
    links = str(tmp_path / "links")
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--dest", links, str(wheel), "pip"], ENVIRONMENT)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIP_FIND_LINKS": links,
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_FIND_LINKS": links,
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_PYTHON": sys.executable,
    }
    uv = [str(tmp_path / "tools/bin/uv"), "tool", "run"]
    pipx = [str(tmp_path / "tools/bin/pipx"), "run"]
    words = ["demo", "call", "upper", "Hello"]
    assert _run([*uv, "ddpshell", *words], environment) == '"HELLO"\n'
    assert _run([*uv, "--from", str(wheel), "ddp", *words], environment) == '"HELLO"\n'
    assert _run([*pipx, "ddpshell", *words], environment) == '"HELLO"\n'
    assert _run([*pipx, "--spec", str(wheel), "ddp", *words], environment) == '"HELLO"\n'


def test_shells_and_man_find_their_files_beside_the_command(scripts: Path) -> None:
    for name, source in (
        ("bash-completion/completions/ddp", "ddpshell.bash"),
        ("zsh/site-functions/_ddp", "_ddpshell"),
        ("fish/vendor_completions.d/ddp.fish", "ddpshell.fish"),
        ("man/man1/ddp.1", "ddp.1"),
    ):
        assert (scripts.parent / "share" / name).read_text() == (TOP / "completions" / source).read_text()


def test_the_installed_command_prints_its_version(scripts: Path) -> None:
    assert ddpshell.__version__ in _run([str(scripts / "ddp"), "--version"], dict(os.environ))


def test_the_installed_package_is_the_same_command(scripts: Path) -> None:
    as_module = _run([str(scripts / "python"), "-m", "ddpshell", "--version"], dict(os.environ))
    assert as_module == _run([str(scripts / "ddp"), "--version"], dict(os.environ))


def test_the_first_command_of_the_readme_works(scripts: Path) -> None:
    [first, _] = [block.text for block in read((TOP / "README.md").read_text()) if block.language == ""]
    words = first.rpartition(" && .venv/bin/")[2].split()
    assert _run([str(scripts / words[0]), *words[1:]], dict(os.environ)) == '"HELLO"\n'


def test_the_installed_command_has_the_manual(scripts: Path) -> None:
    assert _run([str(scripts / "ddp"), "help", "errors"], dict(os.environ)).startswith("Errors and exit codes\n")


def test_code_of_users_type_checks_with_the_installed_package(scripts: Path, tmp_path: Path) -> None:
    shutil.copy(TOP / "tests/typing/api.py", tmp_path)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--python-executable={scripts / 'python'}"]
    printed = _run([*mypy, f"--cache-dir={tmp_path / 'cache'}", str(tmp_path / "api.py")], dict(os.environ))
    assert printed == "Success: no issues found in 1 source file\n"


def test_all_requirements_of_the_wheel_are_installed(scripts: Path) -> None:
    assert (
        _run([sys.executable, "-m", "pip", "--python", str(scripts / "python"), "check"], ENVIRONMENT)
        == "No broken requirements found.\n"
    )


#: A program that prints the versions of the named packages that it finds.
_VERSIONS = """
import importlib.metadata, sys
for pin in sys.argv[1:]:
    name, _, wanted = pin.partition("==")
    found = importlib.metadata.version(name)
    print(f"{name}=={wanted if (found + '.').startswith(wanted + '.') else found}")
"""


def test_the_command_line_works_with_the_lowest_versions_that_the_bounds_allow(tmp_path: Path) -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    lowest = [bound.partition(",")[0].replace(">=", "==") for bound in project["dependencies"]]
    assert all("==" in pin for pin in lowest)
    _install(tmp_path, *lowest)
    # Other requirements of the tests are found later in the path, in the environment of this test.
    [packages] = tmp_path.glob("lib/python*/site-packages")
    (packages / "tools.pth").write_text("".join(f"{path}\n" for path in sys.path if path.endswith("site-packages")))
    told = _run([str(tmp_path / "bin/python"), "-c", _VERSIONS, *lowest], ENVIRONMENT)
    assert told.split() == lowest
    smoke_tests = (
        "tests/cli/test_main.py",
        "tests/cli/test_group.py",
        "tests/cli/test_options.py",
        "tests/cli/commands/test_call.py",
        "tests/cli/commands/test_demo.py",
        "tests/shell/terminal/test_prompt.py",
    )
    tests = ["-q", "-p", "no:cacheprovider", "-m", "not node", *smoke_tests]
    _run([str(tmp_path / "bin/python"), "-m", "pytest", *tests], dict(os.environ), TOP)
