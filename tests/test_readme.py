"""The README is true: its examples are followed, one after another, against a demo server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import TOP, program
from tests.readme import Block, Reader, read, record
from tests.transcript import Mismatch, matches

README = (TOP / "README.md").read_text()


def test_the_two_commands_are_of_one_line_each() -> None:
    install, check = (block.text for block in read(README) if block.language == "")
    assert install.startswith("python3 -m venv .venv && ")
    assert install.endswith('.venv/bin/ddp demo call upper "Hello, World!"\n')
    assert check.startswith("python3 -m venv .venv && ")
    assert check.endswith(".venv/bin/python -m tests\n")
    assert (install + check).count("\n") == 2


def test_ci_runs_the_readmes_test_command() -> None:
    [check] = [block.text for block in read(README) if block.comment == "the test command"]
    command = subprocess.run([TOP / ".ci/run", "--show"], check=True, capture_output=True, text=True).stdout
    assert command == check


#: Files and servers come first, so that each of the other blocks can be followed by itself.
FIRST = [block for block in read(README) if block.file or block.comment == "keeps running"]
EXAMPLES = [block for block in read(README) if block not in FIRST]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has made all the files, and started all the servers."""
    reader = Reader(tmp_path_factory.mktemp("readme"))
    try:
        for block in FIRST:
            reader.follow(block)
        yield reader
    finally:
        reader.close()


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: f"line {block.line}")
def test_the_examples_are_true(begun: Reader, block: Block) -> None:
    if block.comment == "with jq":
        program("jq")
    begun.follow(block)


# ------------------------------------------------------------------------------------------ what the reader notices


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
    pytest.param("```console\n$ export A=1\n$ echo $A\n1\n$ cd /; pwd\n/\n$ pwd\n/\n```", id="one shell a block"),
    pytest.param(f"{TERMINAL}>>> 1 + 1\n2\n>>> print('a   b')\na  b\n>>> 5\n5\n```", id="at a terminal"),
    pytest.param(f"{TERMINAL}>>> print('session abcD..., 12.5 ms')\nsession efgH..., 3 ms\n```", id="a session's name"),
    pytest.param(f"{TERMINAL}>>> [1,\n... 2]\n[1, 2]\n```", id="a line that goes on"),
    pytest.param(f"{TERMINAL}>>> exit()\n```", id="left"),
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
    pytest.param("```python\nprint(1)  # prints 2\n```", id="printed otherwise"),
    pytest.param("```python\nprint(1)\n```", id="printed and not shown"),
    pytest.param("```python\nraise SystemExit(1)\n```", id="a program that fails"),
    pytest.param("```python\nimport warnings; warnings.warn('x')\n```", id="a program that warns"),
    pytest.param(f"{TERMINAL}>>> 1 + 1\n3\n>>> 5\n5\n```", id="shown otherwise at a terminal"),
    pytest.param(f"{TERMINAL}>>> print('1\\n2')\n1\n```", id="a line too few at a terminal"),
    pytest.param(f"{TERMINAL}>>> print('1\\n2')\n1\n>>> exit()\n```", id="a line too few above another"),
    pytest.param(SECRET.replace("unseen: s3cret", "unseen: s3cre"), id="another password"),
    pytest.param(f"{TERMINAL}>>> exit()\n>>> 1\n1\n```", id="ended at a terminal"),
    pytest.param("```ruby\nputs 1\n```", id="an unknown language"),
]


@pytest.mark.parametrize("markdown", TRUE)
def test_a_true_readme_is_found_true(reader: Reader, markdown: str) -> None:
    follow(reader, markdown)


@pytest.mark.parametrize("markdown", FALSE)
def test_a_false_readme_is_found_false(reader: Reader, markdown: str) -> None:
    reader.patience = 2
    with pytest.raises(AssertionError):
        follow(reader, markdown)


def test_what_a_terminal_shows_now_can_be_recorded() -> None:
    true, false = f"{TERMINAL}>>> 1 + 1\n2\n>>> exit()\n```\n", f"{TERMINAL}>>> 1 + 2\n2\n4\n>>> exit()\n```\n"
    [block] = read(false)
    assert record(true + false) == {block.text: block.text.replace("2\n4\n", "3\n")}


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


def test_a_server_keeps_running_at_the_port_that_later_blocks_name(reader: Reader) -> None:
    follow(reader, SERVER)


def test_a_server_that_ends_before_it_printed_what_it_must_is_noticed(reader: Reader) -> None:
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
def test_what_differs_from_run_to_run_may_differ(expected: str, actual: str) -> None:
    assert matches(expected, actual)


def test_blocks_are_told_from_the_text_around_them() -> None:
    markdown = "# T\n\n<!-- file: x.py -->\n```python\na\n```\ntext `b`\n```console\n$ c\n```\n"
    assert read(markdown) == [Block("python", "file: x.py", "a\n", 5), Block("console", "", "$ c\n", 9)]
