"""Follows a document (the README, a page of the manual) as a reader would, and checks whether it is correct.

A reader does what the blocks of a document say, in order, in one folder and with one home folder:

* ```` ```console ````: each line that begins with `$ ` is a command for bash, followed by everything that it must print,
  on both streams. A command that ends in a backslash continues on the next line.
* ```` ```python ````: a program that must run without writing to stderr. Each `print(...)  # prints TEXT` in it says what
  is printed, in that order.
* ```` ```text ````: only shown, not run. The same is true of a block without a language.
* `<!-- file: NAME -->` on the line above a block of any language: the block is the content of that file, and is not run.
* `<!-- keeps running -->` above a console block: its one command is a server. When it has printed what it must, the
  reader continues in another terminal.
* `<!-- at a terminal -->` above a console block: its one command is a program with a prompt. Each line that begins with a
  prompt (`word> `) is typed when the screen shows everything above it. The comment holds what is typed at `Password:`,
  which is not shown: `<!-- at a terminal, unseen: WORD... -->`.
* `<!-- at a terminal, shown in FILE -->`: the last screen of this session is drawn in that SVG file, beside the document.

`tests.transcript` says what can differ from the document. A port number after `localhost:`, `127.0.0.1:` or `--port `
stands for a free port of the machine, the same one each time.

`python -m tests.readme record` types the sessions at a terminal again, and writes what is shown into the documents and
the pictures.
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
from tests.picture import svg
from tests.transcript import Mismatch, TerminalSession, compare, matches

__all__ = ["DOCUMENTS", "Block", "Reader", "read", "record", "redraw", "servers_and_files"]

README = TOP / "README.md"

#: The README, and the pages of the manual.
DOCUMENTS = [README, *sorted((TOP / "ddpshell/manual").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the comment on the line above it, its text, and the number of its first line."""

    language: str
    comment: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file whose content is this block."""
        return self.comment.removeprefix("file: ") if self.comment.startswith("file: ") else None

    @property
    def is_at_terminal(self) -> bool:
        """Whether the block shows a session at a terminal."""
        return self.comment.startswith("at a terminal")

    @property
    def unseen(self) -> list[str]:
        """The words that are typed in the block but not shown."""
        return self.comment.partition("unseen: ")[2].split()

    @property
    def picture(self) -> str:
        """The name of the file with a picture of the last screen, or an empty text."""
        return self.comment.partition("shown in ")[2]


_BLOCK = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def read(markdown: str) -> list[Block]:
    return [
        Block(found["language"], found["comment"] or "", found["text"], markdown[: found.start("text")].count("\n") + 1)
        for found in _BLOCK.finditer(markdown)
    ]


def servers_and_files(document: Path) -> list[Block]:
    """The blocks that are followed before all others, so that each example can be followed alone.

    Every page of the manual expects the demo server, which the README says how to run.
    """
    demo = [block for block in read(README.read_text()) if block.comment == "keeps running"]
    own = [block for block in read(document.read_text()) if block.file or block.comment == "keeps running"]
    return own if document == README else [*demo, *own]


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
    """Follows blocks, one after another, in one folder.

    Args:
        folder: An empty folder, in which the reader's working directory and home folder are made.
        ports: The ports of this machine, by the ports in the document. Missing ones are added when needed.
        patience: Seconds that a program may take to show something.
    """

    folder: Path
    ports: dict[str, str] = field(default_factory=dict)
    patience: float = 30
    _running: list[subprocess.Popen[str]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.work, self.home, self.bin = (self.folder / name for name in ("work", "home", "bin"))
        for made in (self.work, self.home, self.bin):
            made.mkdir()
        # The reader uses a virtual environment in which ddpshell and the requirements of the tests are installed.
        for name, words in (("ddp", "-m ddpshell"), ("locust", "-m locust"), ("python", "")):
            program = self.bin / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            program.chmod(0o755)

    def close(self) -> None:
        """End the servers, as Ctrl-C in their terminals does."""
        for process in self._running:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=self.patience)
            finally:
                _end(process)

    def follow(self, block: Block) -> None:
        """Do what the block says.

        Raises:
            Mismatch: The result differs from what the block says.
        """
        match block:
            case Block(file=str(name)):
                file = self.work / name.replace("~", str(self.home), 1)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self._ours(block.text))
            case Block(language="console", comment="keeps running"):
                self._keep_running(block.text)
            case Block(language="console", is_at_terminal=True):
                self.draw(block)
            case Block(language="console"):
                self._run_commands(block.text)
            case Block(language="python"):
                self._run_program(block.text)
            case Block(language=""):
                pass
            case _:
                assert block.language == "text", f"line {block.line}: unknown language {block.language!r}"

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
        """Type the input of a block at a terminal without comparing the output, and return the new text of the block."""
        command, *lines = block.text.splitlines()
        with self._at_a_terminal(command) as session:
            return "".join(f"{line}\n" for line in [command, *session.record(lines, block.unseen)])

    def draw(self, block: Block) -> str:
        """Follow a block at a terminal, and draw its last screen as SVG.

        Raises:
            Mismatch: The screen does not show what the block says.
        """
        command, *lines = block.text.splitlines()
        with self._at_a_terminal(command) as session:
            session.follow(lines, block.unseen)
            return svg(command, session.styled_lines())

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
        # The environment has no variables of the developer, except those that measure coverage.
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
    """End a process and everything that it started in the background."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def record(document: Path) -> dict[str, str]:
    """Type the sessions at a terminal in a document again.

    Returns:
        The new text of each session that has changed, by its old text.
    """
    changed = {}
    with _reader_of(document) as (reader, sessions):
        for block in sessions:
            text = reader.record(block)
            if not matches(block.text, text, any_unit=True):
                changed[block.text] = text
    return changed


def redraw(document: Path) -> dict[Path, str]:
    """Draw the pictures of a document again.

    Returns:
        The new text of each picture that has changed, by its file.
    """
    changed = {}
    with _reader_of(document) as (reader, sessions):
        for block in sessions:
            if block.picture:
                file, drawn = document.parent / block.picture, reader.draw(block)
                if not file.exists() or not matches(file.read_text(), drawn, any_unit=True):
                    changed[file] = drawn
    return changed


@contextlib.contextmanager
def _reader_of(document: Path) -> Iterator[tuple[Reader, list[Block]]]:
    """A reader with all servers and files of a document, and the document's sessions at a terminal."""
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder))
        try:
            for block in servers_and_files(document):
                reader.follow(block)
            yield reader, [block for block in read(document.read_text()) if block.is_at_terminal]
        finally:
            reader.close()


if __name__ == "__main__":
    if sys.argv[1:] != ["record"]:
        sys.exit("usage: python -m tests.readme record")
    for page in DOCUMENTS:
        if any(block.is_at_terminal for block in read(page.read_text())):
            for old, new in record(page).items():
                # The page is read again, because it may have been edited meanwhile.
                page.write_text(page.read_text().replace(old, new))
            for picture, drawn in redraw(page).items():
                picture.write_text(drawn)
