"""A file in place of an argument holds a literal or text, and what is wrong with it is said of the file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ddpshell.ejson import EJSONValue
from ddpshell.exceptions import CommandError
from ddpshell.text import argument_files
from ddpshell.text.argument_files import read_value, text_of


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(b'{"a": 1}\n', {"a": 1}, id="JSON"),
        pytest.param(b"{a: 1, // one\n b: [2,],\n}\n", {"a": 1, "b": [2]}, id="a literal"),
        pytest.param(b"5", 5, id="a number"),
        pytest.param(b"Hello, you\r\n", "Hello, you", id="text"),
        pytest.param(b"\xef\xbb\xbf[1]", [1], id="with a mark of its encoding"),
        pytest.param(b"", "", id="nothing"),
    ],
)
def test_a_file_is_a_value(tmp_path: Path, data: bytes, value: EJSONValue) -> None:
    (tmp_path / "file").write_bytes(data)
    assert read_value(f"{tmp_path}/file") == value


def test_a_mistake_is_pointed_at_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{a: 1,\n b 2}\n")
    with pytest.raises(CommandError) as caught:
        read_value(f"{tmp_path}/file")
    assert caught.value.message == f"{tmp_path}/file, line 2: expected ':' after the key, not 2"
    assert (caught.value.text, caught.value.position) == ("{a: 1,\n b 2}", 10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("", "a file's name belongs behind @; the text @ is written @@", id="no name"),
        pytest.param(
            "/nowhere/x", "cannot read /nowhere/x: No such file or directory; the text itself is @@/nowhere/x", id="no file"
        ),
        pytest.param("/", "cannot read /: Is a directory; the text itself is @@/", id="a folder"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_told(name: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_value(name)
    assert caught.value.message == message


def test_what_is_no_text_is_told() -> None:
    with pytest.raises(CommandError, match="x is not UTF-8 text, from byte 1 on"):
        text_of(io.BytesIO(b"a\xff"), "x")


def test_what_fits_in_no_message_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argument_files, "MAX_SIZE", 1 << 20)
    file = io.BytesIO(b"x" * (3 << 20))
    with pytest.raises(CommandError, match="x is larger than any message may be \\(1 MiB\\)"):
        text_of(file, "x")
    assert file.tell() == (1 << 20) + 1
    assert len(text_of(io.BytesIO(b"x" * (1 << 20)), "x")) == 1 << 20
