"""The benchmarks, with the goals of the project."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import meteor
from tests.benchmarks import growth, leaks, programs, races
from tests.benchmarks.distant import DELAY
from tests.benchmarks.findings import Benchmark, Finding, Progress
from tests.benchmarks.programs import CLIENTS, DDP, NODE, PYTHON
from tests.benchmarks.races import Contender, Goal, Race
from tests.benchmarks.terminal import Terminal
from tests.benchmarks.typist import RATE, typed
from tests.machine import processor_time

__all__ = ["BENCHMARKS", "RACES"]

_NPM = {"npm ddp": [NODE, f"{CLIENTS}/npm_ddp.js"], "simpleddp": [NODE, f"{CLIENTS}/simpleddp.js"]}
_OURS = [PYTHON, f"{CLIENTS}/ddpshell_client.py"]


def _once(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    programs.install()
    url = stack.enter_context(programs.feeder())
    commands = {
        "ddpshell": [*DDP, "call", "-u", url, "upper", "Hello"],
        "script": [PYTHON, f"{CLIENTS}/script.py", url],
    } | {name: [*command, url, "once"] for name, command in _NPM.items()}
    return {name: functools.partial(programs.timed, command, '"HELLO"\n') for name, command in commands.items()}


def _weigh(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    url = stack.enter_context(programs.feeder(plain=size))

    def weighed() -> Mapping[str, float]:
        command = [*DDP, "weigh", "plain", str(size), "-u", url]
        return programs.timed(command, lambda out: json.loads(out)["documents"] == size)

    counted = [*DDP, "sub", "plain", str(size), "--count", "-u", url]
    return {"weigh": weighed, "sub --count": functools.partial(programs.timed, counted, f"{size}\n")}


def _lines(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    """Both print the same lines on a pipe."""
    programs.install()
    url = stack.enter_context(programs.feeder(plain=size))
    commands = {
        "ddpshell": [*DDP, "sub", "plain", str(size), "-u", url],
        "npm ddp": [NODE, f"{CLIENTS}/npm_ddp_lines.js", url, "plain", str(size)],
    }
    fields = '{"n":%d,"s":"item %d","done":false,"tags":["a","b"]}'
    expected = "".join(
        f'{{"msg":"added","collection":"items","id":"id{number}","fields":{fields % (number, number)}}}\n'
        for number in range(size)
    )
    return {name: functools.partial(programs.timed, command, expected) for name, command in commands.items()}


def _batch(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    """Both read the same file, keep 100 calls under way, and print the same lines in the order of the calls."""
    programs.install()
    url = stack.enter_context(programs.feeder())
    calls = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "calls.ndjson"
    calls.write_text("".join(f'["echo",{number},"item {number}"]\n' for number in range(size)))
    expected = "".join(f'{{"line":{number + 1},"result":[{number},"item {number}"]}}\n' for number in range(size))
    commands = {
        "ddpshell": [*DDP, "batch", "-j", str(_JOBS), "-u", url, str(calls)],
        "npm ddp": [NODE, f"{CLIENTS}/npm_ddp_batch.js", url, str(calls), str(_JOBS)],
    }

    def measured(command: list[str]) -> Mapping[str, float]:
        return {"rate": size / programs.timed(command, expected)["time"] * 1000}

    return {name: functools.partial(measured, command) for name, command in commands.items()}


def _follow(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    """One document changes again and again, and each change is printed."""
    counts = {"all": size, "a tenth": size // 10}
    url = stack.enter_context(programs.feeder())

    def measured(count: int) -> Mapping[str, float]:
        command = [*DDP, "sub", "changes", str(count), "--follow", "--limit", str(count + 1), "-u", url]
        return programs.largest(command, count + 1)

    return {name: functools.partial(measured, count) for name, count in counts.items()}


def _clients(task: str, stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    programs.install()
    url = stack.enter_context(programs.feeder(**({} if task == "calls" else {task: size})))
    return {
        name: functools.partial(programs.reported, [*command, url, task, str(size)], size)
        for name, command in {"ddpshell": _OURS, "npm ddp": _NPM["npm ddp"]}.items()
    }


def _awaited(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    url = stack.enter_context(programs.feeder())

    def measured(task: str) -> Mapping[str, float]:
        found = programs.reported([*_OURS, url, task, str(size)], size)
        return {"time": size / found["rate"] * 1000}

    return {name: functools.partial(measured, name) for name in ("awaited", "waited")}


def _distant(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    url = stack.enter_context(programs.feeder())
    proxy = stack.enter_context(programs.distant(url))

    def measured() -> Mapping[str, float]:
        near, far = (
            programs.first_line([*DDP, "call", "-u", to, "upper", "Hello"], '"HELLO"\n') for to in (url, proxy)
        )
        return {"trips": (far - near) / (DELAY * 2000)}

    return {"ddpshell": measured}


def _meteor(stack: contextlib.ExitStack) -> meteor.MeteorServer:
    meteor.install()
    server = meteor.MeteorServer(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "meteor.stderr")
    server.start()
    stack.callback(server.stop)
    return server


def _servers(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    """The same client, npm's ddp, calls the embedded server and Meteor.

    With the embedded server, the client limits the rate: it gets no more answers from the feeder, which does no work for
    them. The processor time shows the cost of the server itself.
    """
    programs.install()
    theirs = _meteor(stack)
    ours = stack.enter_context(programs.embedded())

    def measured(url: str, pid: int) -> Mapping[str, float]:
        before = processor_time(pid)
        found = programs.reported([*_NPM["npm ddp"], url, "calls", str(size)], size)
        return {"rate": found["rate"], "cpu": (processor_time(pid) - before) * 1e6 / size}

    return {
        "ddpshell": functools.partial(measured, *ours),
        "Meteor": functools.partial(measured, theirs.url, theirs.pid),
    }


def _fan_out(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    """The subscribers are in one process, which also makes the change."""
    programs.install()
    theirs = _meteor(stack)
    ours = stack.enter_context(programs.embedded())

    def measured(url: str, *methods: str) -> Mapping[str, float]:
        [found] = programs.figures([NODE, f"{CLIENTS}/fan_out.js", url, str(size), *methods])
        return found

    return {
        "ddpshell": functools.partial(measured, ours.url, "addTask", "resetTasks"),
        "Meteor": functools.partial(measured, theirs.url, "add", "reset"),
    }


def _load(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    """Each client makes its next call when the earlier one is answered."""
    programs.install()
    url = stack.enter_context(programs.embedded()).url
    ours = [
        *DDP,
        "bench",
        "call",
        "echo",
        "1",
        "-c",
        str(_LOAD_CLIENTS),
        "-n",
        str(size),
        "-u",
        url,
        "-o",
        "json",
        "-qq",
    ]

    def measured() -> Mapping[str, float]:
        [found] = programs.figures(ours)
        report: Any = found
        return {"rate": report["rate"], "cpu": report["client"]["cpu_s"] * 1e6 / size}

    def measured_in_node() -> Mapping[str, float]:
        command = [NODE, f"{CLIENTS}/simpleddp_load.js", url, str(_LOAD_CLIENTS), str(size)]
        [found] = programs.figures(command)
        return {"rate": size / found["seconds"], "cpu": found["cpu"] * 1e6 / size}

    return {"ddp bench": measured, "simpleddp": measured_in_node}


def _start(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    # The port is bound, but no server listens on it.
    nowhere = stack.enter_context(socket.socket())
    nowhere.bind(("127.0.0.1", 0))
    url = f"localhost:{nowhere.getsockname()[1]}"

    def started(command: list[str]) -> Mapping[str, float]:
        with Terminal(command) as terminal:
            return {"time": (terminal.wait_for() - terminal.started) * 1000}

    return {
        "ddpshell": functools.partial(started, [*DDP, "-u", url]),
        "bare prompt": functools.partial(started, [PYTHON, f"{CLIENTS}/bare_prompt.py"]),
    }


def _typing(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    url = stack.enter_context(programs.feeder())
    return {"ddpshell": functools.partial(typed, [*DDP, "-u", url], size)}


def _worst(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    """Each contender is held by many frames, of which the worst counts. `tests.benchmarks.hostile` prints all of them."""
    url = stack.enter_context(programs.embedded()).url
    arguments = {"client": ["client"], "client with -d": ["client", "-d"], "server": ["server", url]}

    def measured(peer: str, *options: str) -> Mapping[str, float]:
        [found] = programs.figures([PYTHON, "-m", "tests.benchmarks.hostile", peer, str(size), *options])
        return {"time": max(found.values())}

    return {name: functools.partial(measured, *words) for name, words in arguments.items()}


def _tap(stack: contextlib.ExitStack, size: int) -> Mapping[str, Contender]:
    """Messages are shown on standard output, as without --record."""
    programs.install()
    url = stack.enter_context(programs.embedded()).url
    proxy = stack.enter_context(programs.tapped(url))

    def measured() -> Mapping[str, float]:
        [found] = programs.figures([PYTHON, f"{CLIENTS}/two_ways.py", url, proxy, str(size), str(_TAP_RATE)])
        return found

    return {"ddpshell": measured}


# Round trips per second through the proxy. Each has three messages, so these are two thousand messages per second.
_TAP_RATE = 670

# The number of calls in flight at the same time.
_JOBS = 100

# The number of clients in one process.
_LOAD_CLIENTS = 100

_INGEST = (
    Goal("rate", against="npm ddp", at_least=3.5),
    Goal("memory", against="npm ddp", at_most=0.4),
)

RACES = {
    race.name: race
    for race in (
        Race(
            "once",
            "`ddp call upper Hello`, the whole process",
            size=1,
            tiny=1,
            rounds=21,
            measures={"time": "ms"},
            goals=(
                Goal("time", against="script", at_most=1.25),
                Goal("time", against="npm ddp", at_most=0.5),
                Goal("time", against="simpleddp", at_most=0.7),
            ),
            contenders=_once,
        ),
        Race(
            "plain",
            "{size} `added` messages into the local collection, plain JSON",
            size=100_000,
            tiny=100,
            rounds=5,
            measures={"rate": "messages/s", "memory": "MB"},
            goals=_INGEST,
            contenders=functools.partial(_clients, "plain"),
        ),
        Race(
            "items",
            "{size} `added` messages into the local collection, a date in each",
            size=100_000,
            tiny=100,
            rounds=5,
            measures={"rate": "messages/s", "memory": "MB"},
            goals=_INGEST,
            contenders=functools.partial(_clients, "items"),
        ),
        Race(
            "lines",
            "`ddp sub` that prints {size} documents as NDJSON, the whole process",
            size=100_000,
            tiny=100,
            rounds=5,
            measures={"time": "ms"},
            goals=(Goal("time", against="npm ddp", at_most=0.5),),
            contenders=_lines,
        ),
        Race(
            "follow",
            "the most memory of `ddp sub --follow` while one document changes {size} times, or a tenth as often",
            size=100_000,
            tiny=100,
            rounds=5,
            measures={"memory": "MB"},
            goals=(Goal("memory", ours="all", against="a tenth", at_most=1.1),),
            contenders=_follow,
        ),
        Race(
            "batch",
            f"`ddp batch -j {_JOBS}` with {{size}} calls, the whole process",
            size=100_000,
            tiny=100,
            rounds=5,
            measures={"rate": "calls/s"},
            goals=(Goal("rate", against="npm ddp", at_least=1.5),),
            contenders=_batch,
        ),
        Race(
            "weigh",
            "`ddp weigh` with {size} documents, the whole process",
            size=100_000,
            tiny=100,
            rounds=5,
            measures={"time": "ms"},
            goals=(Goal("time", ours="weigh", against="sub --count", at_most=1.3),),
            contenders=_weigh,
        ),
        Race(
            "calls",
            "{size} echo calls, all sent before the first result",
            size=20_000,
            tiny=100,
            rounds=5,
            measures={"rate": "calls/s"},
            goals=(Goal("rate", against="npm ddp", at_least=1.8),),
            contenders=functools.partial(_clients, "calls"),
        ),
        Race(
            "awaited",
            "{size} calls, each awaited in an event loop before the next one, or waited for on a thread",
            size=10_000,
            tiny=100,
            rounds=5,
            measures={"time": "ms"},
            goals=(Goal("time", ours="awaited", against="waited", at_most=1.3),),
            contenders=_awaited,
        ),
        Race(
            "distant",
            "round trips until the result of `ddp call`, from a server 100 ms away, without TCP's own",
            size=1,
            tiny=1,
            rounds=5,
            measures={"trips": "round trips"},
            goals=(Goal("trips", at_most=2.5),),
            contenders=_distant,
        ),
        Race(
            "start",
            "the shell, from its start to its prompt, with no network",
            size=1,
            tiny=1,
            rounds=21,
            measures={"time": "ms"},
            goals=(Goal("time", against="bare prompt", at_most=1.25),),
            contenders=_start,
        ),
        Race(
            "typing",
            f"until a key can be seen, 95 of 100 times, while {{size}} debug frames come, {RATE:,} a second",
            size=10_000,
            tiny=500,
            rounds=3,
            measures={"p95": "ms", "lost": "frames lost"},
            goals=(Goal("p95", at_most=20), Goal("lost", at_most=0)),
            contenders=_typing,
        ),
        Race(
            "server",
            "{size} echo calls by npm's client to the embedded server, and the server's CPU time for 1,000 calls",
            size=20_000,
            tiny=100,
            rounds=5,
            measures={"rate": "calls/s", "cpu": "ms"},
            goals=(Goal("rate", against="Meteor", at_least=1.5), Goal("cpu", against="Meteor", at_most=0.5)),
            contenders=_servers,
        ),
        Race(
            "fanout",
            "one change to {size} subscribers",
            size=1000,
            tiny=10,
            rounds=5,
            measures={"time": "ms"},
            goals=(Goal("time", against="Meteor", at_most=0.7),),
            contenders=_fan_out,
        ),
        Race(
            "load",
            f"{{size}} calls by {_LOAD_CLIENTS} clients in one process, and its CPU time for 1,000 calls",
            size=20_000,
            tiny=100,
            rounds=5,
            measures={"rate": "calls/s", "cpu": "ms"},
            goals=(
                Goal("rate", ours="ddp bench", against="simpleddp", at_least=1),
                Goal("cpu", ours="ddp bench", against="simpleddp", at_most=0.3),
            ),
            contenders=_load,
        ),
        Race(
            "worst",
            "the longest time for which a hostile peer holds a client or the server with {size} characters",
            size=1_000_000,
            tiny=1000,
            rounds=3,
            measures={"time": "ms"},
            goals=tuple(Goal("time", ours=name, at_most=200) for name in ("client", "client with -d", "server")),
            contenders=_worst,
        ),
        Race(
            "tap",
            f"what `ddp tap` adds to each of {{size}} calls, {_TAP_RATE} a second",
            size=2000,
            tiny=20,
            rounds=5,
            measures={"p50": "ms", "p99": "ms"},
            goals=(Goal("p99", at_most=1),),
            contenders=_tap,
        ),
    )
}


def _race(race: Race, rounds: int | None, *, tiny: bool, progress: Progress) -> Finding:
    return races.run(race, rounds=1 if tiny else rounds or race.rounds, tiny=tiny, progress=progress)


#: All benchmarks by name.
BENCHMARKS: Mapping[str, Benchmark] = {
    **{name: functools.partial(_race, race) for name, race in RACES.items()},
    "growth": growth.run,
    "leaks": leaks.run,
}
