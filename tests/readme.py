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
  prompt (`word> `) is typed once the screen shows what stands above it. What is typed where it is not shown, at
  `Password:`, stands in the comment: `<!-- at a terminal, unseen: WORD... -->`.

What may differ from what was shown is told in `tests.transcript`. A port number after `localhost:`, `127.0.0.1:` or
`--port ` stands for some port of the machine, the same each time.

`python -m tests.readme record` types what those sessions at a terminal say, and writes what is shown into README.md.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.machine import TOP
from tests.transcript import Mismatch, TerminalSession, compare, matches

__all__ = ["Block", "Reader", "read", "record"]


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

    @property
    def is_at_terminal(self) -> bool:
        """Whether it shows a session at a terminal."""
        return self.comment.startswith("at a terminal")

    @property
    def unseen(self) -> list[str]:
        """What is typed in it, and not shown."""
        return self.comment.partition("unseen: ")[2].split()


_BLOCK = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def read(markdown: str) -> list[Block]:
    return [
        Block(found["language"], found["comment"] or "", found["text"], markdown[: found.start("text")].count("\n") + 1)
        for found in _BLOCK.finditer(markdown)
    ]


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
        # The reader is in a virtual environment, where ddpshell and what tests need are installed.
        for name, words in (("ddp", "-m ddpshell"), ("python", "")):
            program = self.bin / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            program.chmod(0o755)

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
            case Block(language="console", is_at_terminal=True):
                self._type(block)
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
            compare(f"$ {command}", expected, actual)
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
                compare(f"$ {command}", expected, self._theirs(actual))

    def record(self, block: Block) -> str:
        """Do what a block at a terminal says, whatever is shown; gives the block's text as it is then."""
        command, *lines = block.text.splitlines()
        with self._at_a_terminal(command) as session:
            return "".join(f"{line}\n" for line in [command, *session.record(lines, block.unseen)])

    def _type(self, block: Block) -> None:
        command, *lines = block.text.splitlines()
        with self._at_a_terminal(command) as session:
            session.follow(lines, block.unseen)

    def _at_a_terminal(self, command: str) -> TerminalSession:
        return TerminalSession(
            command.removeprefix("$ "), self.work, self._environment("xterm-256color"), self.patience,
            self._ours, self._theirs,
        )  # fmt: skip

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
        compare("the program's output", "".join(f"{line}\n" for line in expected), self._theirs(stdout))

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


def _end(process: subprocess.Popen[str]) -> None:
    """End a session: the process and whatever it left in the background."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def record(markdown: str) -> dict[str, str]:
    """What the sessions at a terminal show now, by what they are said to show; of those that are true still, nothing."""
    blocks = read(markdown)
    changed = {}
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder))
        try:
            for block in blocks:
                if block.file or block.comment == "keeps running":
                    reader.follow(block)
            for block in filter(lambda block: block.is_at_terminal, blocks):
                text = reader.record(block)
                if not matches(block.text, text, any_unit=True):
                    changed[block.text] = text
        finally:
            reader.close()
    return changed


if __name__ == "__main__":
    if sys.argv[1:] != ["record"]:
        sys.exit("usage: python -m tests.readme record")
    readme = TOP / "README.md"
    for old, new in record(readme.read_text()).items():
        # It may have been edited meanwhile.
        readme.write_text(readme.read_text().replace(old, new))
