"""Does what a README says, as a reader would, and finds out whether it is so.

What it understands, block by block, in order, all in one folder and with one home:

* ```` ```console ````: each line that begins with `$ ` is a command for bash, with what it must print below it, both
  streams together. A command that ends in a backslash goes on in the next line.
* ```` ```python ````: a program that must run without a word on stderr. Each `print(...)  # prints TEXT` in it says what
  is printed, in that order.
* ```` ```text ````: shown, and not run. So is a block without a language.
* `<!-- file: NAME -->` on the line above a block of any language: the block is that file's text, and is not run.
* `<!-- keeps running -->` above a console block: its one command is a server; once it has printed what it must, the
  reader goes on in another terminal.
* `<!-- at a terminal -->` above a console block: its one command is a program with a prompt. Each line that begins with a
  prompt (`word> `) is typed once the screen shows what stands above it.

Compared are lines. `...` stands for any text in a line, and alone on a line for any lines. These may differ, as long as
each is of its kind: durations (`3 ms`), times, ids of 17 letters and digits, numbers of 13 digits (milliseconds since the
epoch), and how many spaces there are side by side. A port number after `localhost:`, `127.0.0.1:` or `--port ` stands for some port of the machine, the same each time.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pexpect
import pyte

from ddpshell.clock import SystemClock
from tests.machine import TOP

__all__ = ["Block", "Mismatch", "Reader", "read"]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the comment on the line above it, its text, and the line it begins on."""

    language: str
    comment: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file that this block is the text of."""
        return self.comment.removeprefix("file: ") if self.comment.startswith("file: ") else None


class Mismatch(AssertionError):
    """What happened is not what the README says."""


_BLOCK = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def read(markdown: str) -> list[Block]:
    return [
        Block(found["language"], found["comment"] or "", found["text"], markdown[: found.start("text")].count("\n") + 1)
        for found in _BLOCK.finditer(markdown)
    ]


_KINDS = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "<time>"),
    (re.compile(r"\b\d{13}\b"), "<milliseconds>"),
    (re.compile(r"\b[2-9A-HJ-NP-TW-Za-km-z]{17}\b"), "<id>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s)\b"), r"<duration> \2"),
    (re.compile(r"(?<=\S)  +"), "  "),
]


def _normal(text: str) -> str:
    for kind, name in _KINDS:
        text = kind.sub(name, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def matches(expected: str, actual: str) -> bool:
    pattern = re.escape(_normal(expected))
    pattern = re.sub(r"^\\\.\\\.\\\.\\?\n", r"(.*\n)*", pattern, flags=re.MULTILINE).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, _normal(actual)) is not None


def _compare(what: str, expected: str, actual: str) -> None:
    if not matches(expected, actual):
        lines = difflib.ndiff(_normal(expected).splitlines(), _normal(actual).splitlines())
        raise Mismatch("\n".join([what, *lines]))


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output below it."""
    command: list[str] = []
    output: list[str] = []
    for line in text.splitlines():
        if command and command[-1].endswith("\\"):
            command.append(line)
        elif line.startswith("$ "):
            if command:
                yield "\n".join(command), "".join(output)
            command, output = [line.removeprefix("$ ")], []
        else:
            output.append(line + "\n")
    yield "\n".join(command), "".join(output)


_PORT = re.compile(r"((?:\blocalhost|\b127\.0\.0\.1):|--port )(\d+)\b")
_END = "\x1e"


@dataclass
class Reader:
    """Reads on and on in one folder.

    Args:
        folder: Empty; the reader's working directory and home are made in it.
        ports: The port of this machine that a port of the README stands for; those not named yet are found when met.
        patience: How long a program may take to show something, in seconds.
    """

    folder: Path
    ports: dict[str, str] = field(default_factory=dict)
    patience: float = 30
    _running: list[subprocess.Popen[str]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.work, self.home, self.bin = (self.folder / name for name in ("work", "home", "bin"))
        for made in (self.work, self.home, self.bin):
            made.mkdir()
        ddp = self.bin / "ddp"
        ddp.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ddpshell "$@"\n')
        ddp.chmod(0o755)

    def close(self) -> None:
        """End what keeps running, as Ctrl-C in its terminal does."""
        for process in self._running:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=self.patience)
            finally:
                _end(process)

    def follow(self, block: Block) -> None:
        """Do what the block says.

        Raises:
            Mismatch: It is not so.
        """
        match block:
            case Block(file=str(name)):
                file = self.work / name.replace("~", str(self.home), 1)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self._ours(block.text))
            case Block(language="console", comment="keeps running"):
                self._keep_running(block.text)
            case Block(language="console", comment="at a terminal"):
                self._type(block.text)
            case Block(language="console"):
                self._run_commands(block.text)
            case Block(language="python"):
                self._run_program(block.text)
            case Block(language=""):
                pass
            case _:
                assert block.language == "text", f"line {block.line}: what is a block of {block.language}?"

    def _run_commands(self, text: str) -> None:
        asked = list(commands(text))
        script = "".join(
            f"{{ {self._ours(command)}\n}} 2>&1; status=$?; printf '{_END}'; (exit $status)\n" for command, _ in asked
        )
        with (self.folder / "printed").open("w+") as printed:
            process = self._start(["bash", "-c", script], stdout=printed)
            try:
                process.wait(self.patience)
            finally:
                _end(process)
            printed.seek(0)
            outputs = self._theirs(printed.read()).split(_END)
        for (command, expected), actual in zip(asked, outputs, strict=False):
            _compare(f"$ {command}", expected, actual)
        assert len(outputs) == len(asked) + 1, "a command ended the shell"

    def _keep_running(self, text: str) -> None:
        [(command, expected)] = commands(text)
        process = self._start(["bash", "-c", f"exec {self._ours(command)} 2>&1"], stdout=subprocess.PIPE)
        self._running.append(process)
        assert process.stdout is not None
        actual = ""
        while not matches(expected, self._theirs(actual)):
            readable, _, _ = select.select([process.stdout], [], [], self.patience)
            more = os.read(process.stdout.fileno(), 65536).decode() if readable else ""
            actual += more
            if not more:
                _compare(f"$ {command}", expected, self._theirs(actual))

    def _type(self, text: str) -> None:
        command, *lines = text.splitlines()
        command = command.removeprefix("$ ")
        environment = [f"{name}={value}" for name, value in self._environment("xterm-256color").items()]
        child: pexpect.spawn[bytes] = pexpect.spawn(
            "env", ["-i", *environment, "bash", "-c", f"exec {self._ours(command)}"],
            cwd=str(self.work), dimensions=(_LINES, _COLUMNS),
        )  # fmt: skip
        child.delaybeforesend = None
        screen = _Screen(child)
        stream = pyte.ByteStream(screen)

        def wait_for(expected: list[str], prompt: str | None) -> None:
            deadline = SystemClock().now() + self.patience
            while True:
                shown = [self._theirs(line.rstrip()) for line in screen.display]
                above = "\n".join(shown[: screen.cursor.y])
                if matches("\n".join(expected), above) and (
                    prompt is None or shown[screen.cursor.y] == prompt.rstrip()
                ):
                    return
                try:
                    stream.feed(child.read_nonblocking(65536, timeout=deadline - SystemClock().now()))
                except (pexpect.EOF, pexpect.TIMEOUT):
                    _compare(f"$ {command}", "\n".join([*expected, prompt or ""]), "\n".join(shown).rstrip())
                    raise Mismatch(f"$ {command}\nended, or waits, where this is expected: {prompt}") from None

        try:
            for number, line in enumerate(lines):
                if typed := re.fullmatch(r"(\S*> )(.*)", line):
                    wait_for(lines[:number], typed[1])
                    child.send(self._ours(typed[2]) + "\r")
            wait_for(lines, None)
        finally:
            child.close(force=True)

    def _run_program(self, text: str) -> None:
        process = self._start(
            [sys.executable, "-W", "error", "-c", self._ours(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            stdout, stderr = process.communicate(timeout=self.patience)
        finally:
            _end(process)
        if stderr or process.returncode:
            raise Mismatch(f"the program ended with {process.returncode}:\n{stderr}")
        expected = re.findall(r"\bprint\(.*\)  # prints (.*)$", text, re.MULTILINE)
        _compare("the program's output", "".join(f"{line}\n" for line in expected), self._theirs(stdout))

    def _start(self, command: list[str], **streams: object) -> subprocess.Popen[str]:
        started: subprocess.Popen[str] = subprocess.Popen(
            command, cwd=self.work, env=self._environment("dumb"), text=True,
            stdin=subprocess.DEVNULL, start_new_session=True, **streams,
        )  # type: ignore[call-overload]  # fmt: skip  # the streams are handed on
        return started

    def _environment(self, terminal: str) -> dict[str, str]:
        # Nothing of the developer's; what is measured for coverage goes on being measured.
        kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        return kept | {
            "DDP_URL": self._ours("localhost:3000"),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(TOP),
            "TERM": terminal,
        }

    def _ours(self, text: str) -> str:
        def port(found: re.Match[str]) -> str:
            return found[1] + self.ports.setdefault(found[2], _free_port())

        return _PORT.sub(port, text)

    def _theirs(self, text: str) -> str:
        theirs = {ours: theirs for theirs, ours in self.ports.items()}
        return _PORT.sub(lambda found: found[1] + theirs.get(found[2], found[2]), text)


#: No line of an example may be lost at the top.
_LINES, _COLUMNS = 200, 80


class _Screen(pyte.Screen):
    def __init__(self, program: pexpect.spawn[bytes]) -> None:
        super().__init__(_COLUMNS, _LINES)
        self._program = program

    def write_process_input(self, data: str) -> None:
        """Answer a program's question, such as where the cursor is."""
        self._program.send(data)


def _end(process: subprocess.Popen[str]) -> None:
    """End a session: the process and whatever it left in the background."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
