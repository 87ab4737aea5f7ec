"""Load servers from files, report errors in the files, and load changed files again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ddpshell.exceptions import CommandError
from ddpshell.server import Server
from ddpshell.server.loading import ServedApp, load_app
from tests.server.wire import WireClient

GOOD = """
from ddpshell.server import Server

server = Server()

@server.method
def version():
    return 1

if __name__ == "__main__":
    server.serve_forever()
"""


def app(folder: Path, text: str, name: str = "app.py") -> str:
    file = folder / name
    file.write_text(text)
    return str(file)


def test_the_server_of_a_file_is_loaded_and_not_started(tmp_path: Path) -> None:
    path = list(sys.path)
    server = load_app(app(tmp_path, GOOD))
    assert server.method_names == ["version"]
    assert server.wait(0)
    assert sys.path == path


def test_a_file_can_import_from_its_own_folder(tmp_path: Path) -> None:
    app(tmp_path, "def greet(name):\n    return 'Hello, ' + name\n", "greetings_of_a_test.py")
    text = GOOD + "\nfrom greetings_of_a_test import greet\nserver.method(greet)\n"
    assert load_app(app(tmp_path, text)).call("greet", "Ann") == "Hello, Ann"
    del sys.modules["greetings_of_a_test"]


def test_the_only_server_can_have_any_name(tmp_path: Path) -> None:
    assert load_app(app(tmp_path, GOOD.replace("server =", "mine = server =").replace("\nserver", "\nmine"))).wait(0)
    assert load_app(app(tmp_path, "from ddpshell.server import Server\nmine = also = Server()")).wait(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("x = 1\ny = (\n", "app.py, line 2: SyntaxError", id="a syntax error"),
        pytest.param("x = 1\n\nx.y\n", "app.py, line 3: AttributeError: 'int'", id="an exception"),
        pytest.param(
            "def f():\n    1 / 0\n\nf()\n", "app.py, line 2: ZeroDivisionError", id="an exception in a function"
        ),
        pytest.param(
            "import json\njson.loads('{')\n", "app.py, line 2: JSONDecodeError", id="an exception in a library"
        ),
        pytest.param("import nothing_of_the_sort\n", "app.py, line 1: ModuleNotFoundError", id="a missing module"),
        pytest.param("open('/nonexistent/file')\n", "app.py, line 1: FileNotFoundError", id="a missing file"),
        pytest.param("import sys\nsys.exit(3)\n", "app.py, line 2: the file exits the program", id="an exit"),
        pytest.param(
            "x = 1\n",
            "makes no server; add `from ddpshell.server import Server` and `server = Server()`",
            id="no server",
        ),
        pytest.param(
            "from ddpshell.server import Server\na = Server()\nb = Server()\n",
            "assign the one to run to `server`",
            id="two servers",
        ),
        pytest.param(
            "from ddpshell.server import Server\nserver = Server()\n@server.method\ndef f(*, key): pass\n",
            "app.py, line 3: TypeError: 'f' requires 'key' by keyword",
            id="an invalid method",
        ),
        pytest.param(
            "from ddpshell.server import Server\nserver = Server()\nserver.start(port=0)\n",
            "app.py, line 3: RuntimeError: the file starts its own server: put that under",
            id="a file that starts the server",
        ),
        pytest.param(
            "from ddpshell.server import Server\nserver = Server()\nserver.serve_forever(port=0)\n",
            "app.py, line 3: RuntimeError: the file starts its own server",
            id="a file that serves forever",
        ),
    ],
)
def test_an_error_in_a_file_is_reported_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(CommandError) as error:
        load_app(app(tmp_path, text))
    assert expected in str(error.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot read .*app\.py: No such file"):
        load_app(str(tmp_path / "app.py"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("app.py", "cannot read app.py: No such file or directory"),
        (".", "cannot read .: Is a directory"),
        ("", "cannot read '': Is a directory"),
    ],
)
def test_an_error_has_the_path_as_the_user_gave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError) as error:
        load_app(path)
    assert str(error.value) == message


def test_an_error_in_an_imported_file_is_reported_with_that_file_and_line(tmp_path: Path) -> None:
    for name, text in [("broken_of_a_test.py", "x = (\n"), ("failing_of_a_test.py", "x = 1\nx.y\n")]:
        helper = app(tmp_path, text, name)
        with pytest.raises(CommandError) as error:
            load_app(app(tmp_path, f"import {name.removesuffix('.py')}\n"))
        assert str(error.value).startswith(f"{helper}, line {text.count(chr(10))}: ")


def test_installed_modules_below_the_folder_are_not_watched_or_loaded_again(tmp_path: Path) -> None:
    installed = tmp_path / ".venv/lib/python3/site-packages"
    installed.mkdir(parents=True)
    app(installed, "NUMBER = 1\n", "installed_of_a_test.py")
    text = GOOD + f"\nimport sys\nsys.path.append({str(installed)!r})\nimport installed_of_a_test\nsys.path.pop()\n"
    served = ServedApp(app(tmp_path, text))
    served.start(port=0)
    try:
        library = sys.modules["installed_of_a_test"]
        os.utime(str(installed / "installed_of_a_test.py"), ns=(1, 1))
        assert not served.is_changed()
        served.reload()
        assert sys.modules["installed_of_a_test"] is library
    finally:
        served.stop()
        del sys.modules["installed_of_a_test"]


def test_every_server_of_the_file_is_prepared_before_it_starts(tmp_path: Path) -> None:
    prepared: list[tuple[Server, bool]] = []
    served = ServedApp(app(tmp_path, GOOD), lambda server: prepared.append((server, server.wait(0))))
    served.start(port=0)
    try:
        served.reload()
        assert [is_stopped for _, is_stopped in prepared] == [True, True]
        assert prepared[1][0] is served.server
    finally:
        served.stop()


def test_a_broken_imported_file_is_watched_until_it_is_fixed(tmp_path: Path) -> None:
    served = ServedApp(app(tmp_path, GOOD))
    served.start(port=0)
    try:
        helper = app(tmp_path, "x = (\n", "fixed_of_a_test.py")
        app(tmp_path, GOOD + "\nimport fixed_of_a_test\n")
        with pytest.raises(CommandError, match=r"fixed_of_a_test\.py, line 1"):
            served.reload()
        assert not served.is_changed()
        app(tmp_path, "x = ()\n", "fixed_of_a_test.py")
        os.utime(helper, ns=(1, 1))
        assert served.is_changed()
        served.reload()
        assert not served.is_changed()
    finally:
        served.stop()
        del sys.modules["fixed_of_a_test"]


def test_a_file_that_changes_during_the_load_counts_as_changed(tmp_path: Path) -> None:
    path = app(tmp_path, GOOD)
    served = ServedApp(path)
    served.start(port=0)
    try:
        app(tmp_path, GOOD + f"\nimport os\nos.utime({path!r}, ns=(1, 1))\n")
        served.reload()
        assert served.is_changed()
    finally:
        served.stop()


def test_a_changed_file_is_served_on_the_same_port(tmp_path: Path) -> None:
    helper = app(tmp_path, "NUMBER = 1\n", "number_of_a_test.py")
    text = GOOD.replace("return 1", "return NUMBER") + "\nfrom number_of_a_test import NUMBER\n"
    path = app(tmp_path, text)
    served = ServedApp(path)
    served.start(port=0)
    try:
        url = served.server.url
        assert not served.is_changed()
        with WireClient(url) as client:
            assert client.call("version") == 1
        app(tmp_path, "NUMBER = 22\n", "number_of_a_test.py")
        os.utime(helper, ns=(1, 1))
        assert served.is_changed()
        served.reload()
        assert not served.is_changed()
        assert served.server.url == url
        with WireClient(url) as client:
            assert client.call("version") == 22
    finally:
        served.stop()
        del sys.modules["number_of_a_test"]


def test_after_a_failed_reload_the_old_server_keeps_running(tmp_path: Path) -> None:
    path = app(tmp_path, GOOD)
    served = ServedApp(path)
    served.start(port=0)
    try:
        app(tmp_path, "not Python code\n")
        with pytest.raises(CommandError):
            served.reload()
        assert not served.is_changed()
        with WireClient(served.server.url) as client:
            assert client.call("version") == 1
        Path(path).unlink()
        assert served.is_changed()
    finally:
        served.stop()


def test_a_variable_can_be_named(tmp_path: Path) -> None:
    path = app(tmp_path, GOOD + "\nother = Server()\n@other.method\ndef second(): pass\n")
    assert load_app(path, "other").method_names == ["second"]
    assert load_app(path, "server").method_names == ["version"]
    with pytest.raises(CommandError, match="has no server 'nope'; its servers are: server, other"):
        load_app(path, "nope")


def test_a_module_can_import_from_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "package_of_a_test"
    folder.mkdir()
    app(folder, "", "__init__.py")
    app(folder, "def version(): return 2\n", "methods.py")
    path = app(
        folder,
        "from ddpshell.server import Server\nfrom .methods import version\nserver = Server()\nserver.method(version)\n",
    )
    before = list(sys.path)
    assert load_app(path, "server", "package_of_a_test.app").call("version") == 2
    assert sys.path == before
    for name in [name for name in sys.modules if name.startswith("package_of_a_test")]:
        del sys.modules[name]
