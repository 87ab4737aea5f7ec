"""The README and the manual are correct: their examples are run, one after another, against a demo server."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urldefrag

import pytest

from tests.machine import TOP, program
from tests.readme import DOCUMENTS, README, Block, Reader, read, record, redraw, servers_and_files
from tests.transcript import Mismatch, matches


def test_each_of_the_two_commands_is_one_line() -> None:
    install, check = (block.text for block in read(README.read_text()) if block.language == "")
    assert install.startswith("python3 -m venv .venv && ")
    assert install.endswith(".venv/bin/ddp demo call upper Hello\n")
    assert check.startswith("python3 -m venv .venv && ")
    assert check.endswith(".venv/bin/python -m tests\n")
    assert (install + check).count("\n") == 2


def test_ci_runs_the_readmes_test_command() -> None:
    [check] = [block.text for block in read(README.read_text()) if block.comment == "the test command"]
    command = subprocess.run([TOP / ".ci/run", "--show"], check=True, capture_output=True, text=True).stdout
    assert command == check


def test_the_readme_is_short() -> None:
    assert README.read_text().count("\n") < 350


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(TOP)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        file, _ = urldefrag(target)
        assert "://" in file or not file or (document.parent / file).exists(), target


#: Each page with each of its examples. The session of the picture has a test of its own.
PAIRS = [
    (document, block)
    for document in DOCUMENTS
    for block in read(document.read_text())
    if block not in servers_and_files(document) and not block.picture
]
EXAMPLES = [pytest.param(*pair, id=f"{pair[0].relative_to(TOP)}:{pair[1].line}") for pair in PAIRS]


@pytest.fixture(scope="module")
def reader_of() -> Iterator[Callable[[Path, Block], Reader]]:
    """The reader of a page at a block, with all servers and files of the earlier blocks.

    When tests run in several processes, each process can have a part of the page. Its reader also follows the blocks before that part.
    """
    readers: dict[Path, Reader] = {}
    folders: list[Path] = []
    unread: list[Block] = []

    def start(document: Path, block: Block) -> Reader:
        if document not in readers:
            close()  # Pages are read one after another.
            folder = Path(tempfile.mkdtemp())
            folders.append(folder)
            readers[document] = Reader(folder)
            for early in servers_and_files(document):
                readers[document].follow(early)
            unread[:] = [value for page, value in PAIRS if page == document]
        while unread and unread[0].line < block.line:
            readers[document].follow(unread.pop(0))
        if unread and unread[0] == block:
            unread.pop(0)
        return readers[document]

    def close() -> None:
        while readers:
            readers.popitem()[1].close()
        while folders:
            shutil.rmtree(folders.pop())

    yield start
    close()


@pytest.mark.parametrize(("document", "block"), EXAMPLES)
def test_the_examples_have_the_documented_output(
    reader_of: Callable[[Path, Block], Reader], document: Path, block: Block
) -> None:
    if block.comment == "with jq":
        program("jq")
    reader_of(document, block).follow(block)


def test_the_picture_shows_the_output_of_the_shell() -> None:
    """If this fails because the shell's output was changed on purpose, run: python -m tests.readme record"""
    [page] = [document for document in DOCUMENTS for block in read(document.read_text()) if block.picture]
    assert redraw(page) == {}
    assert "shell.svg" in README.read_text()


def test_a_stand_in_from_a_recording_of_the_picture_shows_the_same_session(tmp_path: Path) -> None:
    [session] = [block.text for document in DOCUMENTS for block in read(document.read_text()) if block.picture]
    recorded = session.replace("ddp -u", "ddp --record session.ddprec -u")
    served = "<!-- keeps running -->\n```console\n$ ddp serve {}--port {}\nddp: note: serving at ...\n...\n```\n"
    typed = "<!-- at a terminal -->\n```console\n{}```\n"
    reader = Reader(tmp_path)
    try:
        for markdown in (
            served.format("", 3000),
            typed.format(recorded),
            served.format("--from session.ddprec ", 3001),
            typed.format(session.replace("localhost:3000", "localhost:3001")),
        ):
            for block in read(markdown):
                reader.follow(block)
    finally:
        reader.close()


# ------------------------------------------------------------------------------------- correct and incorrect documents


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.close()


def follow(reader: Reader, markdown: str) -> None:
    for block in read(markdown):
        reader.follow(block)


TERMINAL = "<!-- at a terminal -->\n```console\n$ python3 -q\n"
SECRET = """<!-- at a terminal, unseen: s3cret -->
```console
$ python3 -q
>>> import getpass; len(getpass.getpass())
Password:
6
```
"""

TRUE = [
    pytest.param("```console\n$ echo one\none\n$ echo two >&2; false\ntwo\n$ echo $?\n1\n```", id="console"),
    pytest.param("```console\n$ echo a \\\n  b\na b\n```", id="a command of two lines"),
    pytest.param("```console\n$ printf 'a\\nb\\nc\\n'\na\n...\n```", id="any lines"),
    pytest.param("```console\n$ seq 12 | tr '\\n' ' '\n1 2 ... 12\n```", id="any text in a line"),
    pytest.param("```console\n$ echo took 17 ms, 3.5 s\ntook 3 ms, 4 s\n```", id="durations"),
    pytest.param("```console\n$ sleep 60 & echo hi\nhi\n```", id="left in the background"),
    pytest.param("```python\nprint(1)  # prints 1\nprint(2)  # prints 2\n```", id="python"),
    pytest.param("<!-- file: a/b.txt -->\n```toml\nx = 1\n```\n```console\n$ cat a/b.txt\nx = 1\n```", id="file"),
    pytest.param("<!-- file: ~/c -->\n```text\nhome\n```\n```console\n$ cat ~/c\nhome\n```", id="file at home"),
    pytest.param(
        "```console\n$ export A=1\n$ echo $A\n1\n$ cd /; pwd\n/\n$ pwd\n/\n```", id="one shell for each block"
    ),
    pytest.param(f"{TERMINAL}>>> 1 + 1\n2\n>>> print('a   b')\na  b\n>>> 5\n5\n```", id="at a terminal"),
    pytest.param(f"{TERMINAL}>>> print('session abcD..., 12.5 ms')\nsession efgH..., 3 ms\n```", id="a session's name"),
    pytest.param(f"{TERMINAL}>>> [1,\n... 2]\n[1, 2]\n```", id="a continued line"),
    pytest.param(f"{TERMINAL}>>> exit()\n```", id="a session that is left"),
    pytest.param(SECRET, id="a password"),
    pytest.param("```text\n$ rm x\n```", id="not run"),
]

FALSE = [
    pytest.param("```console\n$ echo one\ntwo\n```", id="other words"),
    pytest.param("```console\n$ echo one\none\n\n```", id="a line too many"),
    pytest.param("```console\n$ echo one; echo two\none\n```", id="a line too few"),
    pytest.param("```console\n$ echo one >&2\n```", id="stderr not shown"),
    pytest.param("```console\n$ echo 3 s\n3 ms\n```", id="another unit"),
    pytest.param("```console\n$ exit 3\n$ echo here\nhere\n```", id="never reached"),
    pytest.param("```python\nprint(1)  # prints 2\n```", id="other printed text"),
    pytest.param("```python\nprint(1)\n```", id="printed text that is not shown"),
    pytest.param("```python\nraise SystemExit(1)\n```", id="a program that fails"),
    pytest.param("```python\nimport warnings; warnings.warn('x')\n```", id="a program that warns"),
    pytest.param(f"{TERMINAL}>>> 1 + 1\n3\n>>> 5\n5\n```", id="other text at a terminal"),
    pytest.param(f"{TERMINAL}>>> print('1\\n2')\n1\n```", id="a line too few at a terminal"),
    pytest.param(f"{TERMINAL}>>> print('1\\n2')\n1\n>>> exit()\n```", id="a line too few above another"),
    pytest.param(SECRET.replace("unseen: s3cret", "unseen: s3cre"), id="another password"),
    pytest.param(f"{TERMINAL}>>> exit()\n>>> 1\n1\n```", id="ended at a terminal"),
    pytest.param("```ruby\nputs 1\n```", id="an unknown language"),
]


@pytest.mark.parametrize("markdown", TRUE)
def test_a_correct_document_passes(reader: Reader, markdown: str) -> None:
    follow(reader, markdown)


@pytest.mark.parametrize("markdown", FALSE)
def test_an_incorrect_document_fails(reader: Reader, markdown: str) -> None:
    reader.patience = 2
    with pytest.raises(AssertionError):
        follow(reader, markdown)


def test_the_present_output_of_a_terminal_session_can_be_recorded(tmp_path: Path) -> None:
    true, false = f"{TERMINAL}>>> 1 + 1\n2\n>>> exit()\n```\n", f"{TERMINAL}>>> 1 + 2\n2\n4\n>>> exit()\n```\n"
    [block] = read(false)
    document = tmp_path / "page.md"
    document.write_text(true + false)
    assert record(document) == {block.text: block.text.replace("2\n4\n", "3\n")}


def test_a_picture_has_the_text_and_the_colors_of_the_screen(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    session = (
        "<!-- at a terminal, shown in page.svg -->\n```console\n$ python3 -q\n>>> print('\\x1b[31m<red>')\n<red>\n```\n"
    )
    document.write_text(session)
    [(file, drawn)] = redraw(document).items()
    assert file == tmp_path / "page.svg"
    assert ">$ python3 -q</text>" in drawn
    assert '<tspan fill="#e06c75">&lt;red&gt;' in drawn
    file.write_text(drawn.replace("#e06c75", "#98c379"))
    assert redraw(document) == {file: drawn}


SERVER = """
<!-- file: server.py -->
```python
import http.server, sys
with http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), http.server.SimpleHTTPRequestHandler) as server:
    print(f"at 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
```
<!-- keeps running -->
```console
$ python3 server.py --port 4000
at 127.0.0.1:4000
```
```python
import urllib.request
print(urllib.request.urlopen("http://localhost:4000/server.py").status)  # prints 200
```
"""


def test_a_server_keeps_running_for_later_blocks(reader: Reader) -> None:
    follow(reader, SERVER)


def test_a_server_that_ends_too_early_is_a_difference(reader: Reader) -> None:
    with pytest.raises(Mismatch, match="on strike"):
        follow(reader, "<!-- keeps running -->\n```console\n$ echo on strike\nlistening\n```")


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        pytest.param("session 8f3kQsWEmKLtyvbnA", "session 2kQsWEmKjtyvbnAzz", id="ids"),
        pytest.param("at 2026-01-02T03:04:05.678Z", "at 2027-11-12T13:14:15.000Z", id="times"),
        pytest.param("12:00:00.123 -> x", "01:02:03.456 -> x", id="times of day"),
        pytest.param('{"$date":1767323045678}', '{"$date":1800000000000}', id="milliseconds"),
    ],
)
def test_ids_and_times_may_differ_from_the_document(expected: str, actual: str) -> None:
    assert matches(expected, actual)


def test_blocks_are_found_in_the_text_around_them() -> None:
    markdown = "# T\n\n<!-- file: x.py -->\n```python\na\n```\ntext `b`\n```console\n$ c\n```\n"
    assert read(markdown) == [Block("python", "file: x.py", "a\n", 5), Block("console", "", "$ c\n", 9)]
