"""What may be loaded when: a command that takes 80 ms has none to lose, and each module costs a tenth of one or more.

What click, msgspec and websocket-client load by themselves is theirs to say, and no part of these lists.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

import pytest

from ddpshell.server.demo import demo_server
from tests.machine import TOP

#: Who may be loaded by a call that is not ours. Everything else that they load comes with them.
THEIRS = ("click", "msgspec", "websocket")

#: What the library loads when a client is made.
CLIENT = """
    ddpshell ddpshell.clock ddpshell.exceptions

    ddpshell.client ddpshell.client.addresses ddpshell.client.backoff ddpshell.client.client ddpshell.client.condition
    ddpshell.client.connector
    ddpshell.client.events ddpshell.client.frames ddpshell.client.handles ddpshell.client.lifecycle
    ddpshell.client.runner ddpshell.client.tls ddpshell.client.transport ddpshell.client.upgrade ddpshell.client.waiting

    ddpshell.protocol ddpshell.protocol.client_session ddpshell.protocol.codec ddpshell.protocol.document_ids
    ddpshell.protocol.documents ddpshell.protocol.events ddpshell.protocol.heartbeat ddpshell.protocol.json_text
    ddpshell.protocol.messages ddpshell.protocol.outstanding ddpshell.protocol.quiescence
    ddpshell.protocol.random_stream ddpshell.protocol.server_error ddpshell.protocol.sockjs ddpshell.protocol.states
    ddpshell.protocol.subscriptions ddpshell.protocol.urls

    ddpshell.protocol.ejson ddpshell.protocol.ejson.canonical ddpshell.protocol.ejson.convert
    ddpshell.protocol.ejson.equality ddpshell.protocol.ejson.patterns ddpshell.protocol.ejson.values

    concurrent concurrent.futures concurrent.futures._base json json.decoder json.encoder json.scanner
""".split()

#: What `ddp call` loads besides: the command line, and the grammar of arguments.
CALL = """
    ddpshell.cli ddpshell.cli.arguments ddpshell.cli.call ddpshell.cli.commands ddpshell.cli.connection
    ddpshell.cli.credentials ddpshell.cli.errors ddpshell.cli.exit_codes ddpshell.cli.folders ddpshell.cli.inbox
    ddpshell.cli.main ddpshell.cli.options ddpshell.cli.output ddpshell.cli.precedence ddpshell.cli.process
    ddpshell.cli.signals ddpshell.cli.types ddpshell.cli.words

    ddpshell.shell ddpshell.shell.constructors ddpshell.shell.escaping ddpshell.shell.literals ddpshell.shell.tokens

    difflib gc heapq locale signal
""".split()


def loaded(*arguments: str) -> set[str]:
    """The modules that a run of this Python imports, without `_json` and the like, which are parts of others."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=TOP, check=True, capture_output=True, text=True
    )
    lines = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert lines[0] == "imported package"
    return {name for name in lines[1:] if not name.startswith("_")}


def over_budget(modules: Iterable[str], budget: Iterable[str]) -> str:
    """What to tell of the modules that are not in the budget; nothing if there are none."""
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
    """What is there anyway: Python's own, what runs a module, and the three libraries with all that they load."""
    return loaded("-c", f"import runpy, {', '.join(THEIRS)}")


def test_a_call_loads_what_is_in_its_budget_and_nothing_more(theirs: set[str]) -> None:
    with demo_server().running() as server:
        modules = loaded("-m", "ddpshell", "call", "-u", server.url, "upper", "Hello")
    assert "ddpshell.client.transport" in modules
    assert over_budget(modules - theirs, [*CLIENT, *CALL]) == ""


def test_a_client_loads_what_is_in_its_budget_and_nothing_more(theirs: set[str]) -> None:
    modules = loaded("-c", "import ddpshell; ddpshell.Client")
    assert "ddpshell.client.transport" in modules
    assert over_budget(modules - theirs, CLIENT) == ""
    assert not any(name.startswith("click") for name in modules)


def test_importing_the_library_loads_no_part_of_it_before_it_is_asked_for() -> None:
    modules = loaded("-c", "import ddpshell")
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


def test_a_module_that_is_not_in_the_budget_is_found(theirs: set[str]) -> None:
    modules = loaded("-c", "import ddpshell; ddpshell.Client; import wave")
    assert over_budget(modules - theirs, CLIENT).startswith("loaded, and not in the budget: ")
    assert "wave" in over_budget(modules - theirs, CLIENT)


def test_what_is_new_is_named_with_what_to_do_about_it() -> None:
    told = over_budget(["a", "b", "c"], ["b"])
    assert told.startswith("loaded, and not in the budget: a, c.")
    assert "Import it in the function that needs it" in told


@pytest.mark.parametrize("name", [name for name in [*CLIENT, *CALL] if name.startswith("ddpshell")])
def test_what_is_in_the_budget_is_there(name: str) -> None:
    path = TOP / name.replace(".", "/")
    assert path.with_suffix(".py").exists() or (path / "__init__.py").exists()
