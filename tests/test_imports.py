"""Which modules may be loaded when: a command takes 80 ms, and each module costs a tenth of a millisecond or more.

The modules that msgspec and websocket-client load themselves are not on these lists.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ddpshell.server.demo import demo_server
from tests.machine import TOP

#: Libraries that a call may load. Everything that they load is allowed, too.
THEIRS = ("msgspec", "websocket")

#: The modules that the library loads when a client is made.
CLIENT = """
    ddpshell ddpshell.clock ddpshell.exceptions

    ddpshell.client ddpshell.client.network ddpshell.client.client
    ddpshell.client.network.connector ddpshell.client.events ddpshell.client.network.frames ddpshell.client.handles
    ddpshell.client.lifecycle ddpshell.client.runner ddpshell.client.network.tls
    ddpshell.client.network.transport ddpshell.client.network.upgrade ddpshell.client.network.waiting

    ddpshell.protocol ddpshell.protocol.calls ddpshell.protocol.client_session ddpshell.protocol.codec
    ddpshell.protocol.documents ddpshell.protocol.events ddpshell.protocol.heartbeat ddpshell.ejson.json_text
    ddpshell.protocol.snapshot
    ddpshell.protocol.messages
    ddpshell.protocol.random_stream ddpshell.protocol.server_error ddpshell.protocol.sockjs
    ddpshell.protocol.subscriptions ddpshell.protocol.urls

    ddpshell.ejson ddpshell.ejson.convert ddpshell.ejson.plain_text ddpshell.ejson.values

    concurrent concurrent.futures concurrent.futures._base gc json json.decoder json.encoder json.scanner
""".split()

#: The modules that `ddp call` loads in addition: the part of the command line without click.
CALL = """
    ddpshell.cli ddpshell.cli.connection ddpshell.cli.credentials ddpshell.cli.event_queue
    ddpshell.cli.main ddpshell.cli.method_call ddpshell.cli.option_table ddpshell.cli.output ddpshell.cli.process
    ddpshell.cli.settings ddpshell.cli.call_arguments

    ddpshell.text ddpshell.text.escaping

    signal
""".split()


#: The files of the package, by the names of their modules.
MODULES = {
    ".".join(file.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((TOP / "ddpshell").rglob("*.py"))
}


def loaded(program: str, *arguments: str) -> set[str]:
    """Return the modules that a program has loaded at its end, without those like `_json`, which are parts of others."""
    # Coverage measurement loads modules of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)", *arguments],
        cwd=TOP, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {name for name in done.stdout.splitlines()[-1].split() if not name.startswith("_")}


def over_budget(modules: Iterable[str], budget: Iterable[str]) -> str:
    """Return a message about the modules that are not in the budget; "" if there are none."""
    new = sorted(set(modules) - set(budget))
    if not new:
        return ""
    return (
        f"loaded, and not in the budget: {', '.join(new)}. `python -X importtime` shows who imports it, and what it costs. "
        "Import it in the function that needs it. If every call needs it, measure `python -m tests.benchmarks once` with "
        "and without, and put it on the list here."
    )


@pytest.fixture(scope="module")
def theirs() -> set[str]:
    """Return the modules of Python and of the two libraries."""
    return loaded(f"import {', '.join(THEIRS)}")


def test_a_call_loads_what_is_in_its_budget_and_nothing_more(theirs: set[str]) -> None:
    with demo_server().running() as server:
        program = "from ddpshell.cli.main import run; assert run(sys.argv[1:]) == 0"
        modules = loaded(program, "call", "-u", server.url, "upper", "Hello")
    assert "ddpshell.client.network.transport" in modules
    assert over_budget(modules - theirs, [*CLIENT, *CALL]) == ""


def test_a_call_with_a_config_file_does_not_load_click(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("DDP_CONFIG", str(file))
    with demo_server().running() as server:
        file.write_text(f"""
            [default]
            timeout = 20
            max-message = "1M"
            no-retry = true
            [servers.here]
            url = "{server.url}"
            headers = {{ X-Team = "red" }}
            cacert = "ca.pem"
            confirm = true
            allow = ["tasks.*"]
            color = "red"
            [shell]
            theme = "light"
        """)
        program = "from ddpshell.cli.main import run; assert run(sys.argv[1:]) == 0"
        modules = loaded(program, "call", "-u", server.url, "upper", "Hello")
    assert "ddpshell.cli.config_file" in modules
    assert "click" not in modules


def test_a_subscription_loads_neither_the_shell_nor_the_server() -> None:
    with demo_server().running() as server:
        program = "from ddpshell.cli.main import run; assert run(sys.argv[1:]) == 0"
        modules = loaded(program, "sub", "-u", server.url, "tasks")
    assert "ddpshell.cli.subscription" in modules
    assert {name.split(".")[1] for name in modules if name.startswith("ddpshell.")} & {
        "shell",
        "server",
        "analysis",
    } == set()


def test_a_client_loads_what_is_in_its_budget_and_nothing_more(theirs: set[str]) -> None:
    modules = loaded("import ddpshell; ddpshell.Client")
    assert "ddpshell.client.network.transport" in modules
    assert over_budget(modules - theirs, CLIENT) == ""
    assert not any(name.startswith("click") for name in modules)


def test_the_prompt_appears_before_click_and_the_network_code_are_loaded() -> None:
    modules = loaded("import ddpshell.cli.main, ddpshell.cli.shell_session, ddpshell.shell.terminal.prompt")
    assert "ddpshell.client.events" in modules
    unwanted = {"click", "difflib", "pygments", "websocket", "ddpshell.client.client", "ddpshell.cli.connection"}
    assert modules & unwanted == set()


def test_the_prompt_appears_before_modules_for_single_commands_are_loaded() -> None:
    """The views of recordings, selectors, live tables and the plain prompt take 15 ms to load."""
    modules = loaded("import ddpshell.cli.main, ddpshell.cli.shell_session, ddpshell.shell.terminal.prompt")
    assert "ddpshell.shell.commands.shell" in modules
    shell = {
        f"ddpshell.shell.{name}" for name in ("call_timing", "live", "terminal.live_screen", "terminal.plain_prompt")
    }
    assert modules & {"ddpshell.analysis", "ddpshell.minimongo.selector", *shell} == set()


def test_importing_the_library_loads_its_parts_only_on_demand() -> None:
    modules = loaded("import ddpshell")
    assert {name for name in modules if name.startswith("ddpshell")} == {"ddpshell"}
    assert {
        "asyncio",
        "click",
        "msgspec",
        "prompt_toolkit",
        "pygments",
        "socket",
        "ssl",
        "websocket",
        "websockets",
    }.isdisjoint(modules)


def imports(module: str) -> tuple[set[str], set[str]]:
    """Return what a module of the package imports when it is loaded, and what its functions import; not for types."""
    at_once: set[str] = set()
    later: set[str] = set()

    def absolute(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        yield from (name if (name := f"{base}.{alias.name}") in MODULES else base for alias in node.names)

    def visit(node: ast.AST, found: set[str]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import | ast.ImportFrom):
                found.update(absolute(child))
            visit(child, later if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else found)

    visit(ast.parse(MODULES[module].read_text()), at_once)
    return at_once, later


IMPORTS = {module: imports(module) for module in MODULES}


def loaded_with(module: str) -> set[str]:
    """Return the modules that loading a module loads, as far as files of the package name them."""
    found: set[str] = set()
    pending = {module}
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending |= IMPORTS.get(name, (set(),))[0] | {name.rpartition(".")[0]} - {""}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_function_imports_only_modules_that_its_module_does_not_load(module: str) -> None:
    """An import in a function must save time at the start."""
    assert IMPORTS[module][1] & loaded_with(module) == set()


def test_an_additional_module_is_found(theirs: set[str]) -> None:
    modules = loaded("import ddpshell; ddpshell.Client; import importlib; importlib.import_module('wave')")
    told = over_budget(modules - theirs, CLIENT)
    assert told.startswith("loaded, and not in the budget: ")
    assert "wave" in told


def test_an_additional_module_is_named_with_advice() -> None:
    told = over_budget(["a", "b", "c"], ["b"])
    assert told.startswith("loaded, and not in the budget: a, c.")
    assert "Import it in the function that needs it" in told


@pytest.mark.parametrize("name", [name for name in [*CLIENT, *CALL] if name.startswith("ddpshell")])
def test_every_module_in_the_budget_exists(name: str) -> None:
    path = TOP / name.replace(".", "/")
    assert path.with_suffix(".py").exists() or (path / "__init__.py").exists()
