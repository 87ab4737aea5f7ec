from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpshell.exceptions import MethodError
from ddpshell.server import Server, Subscription, User
from tests.cli.conftest import Command
from tests.loopback import LoopbackServer

NOTES = {"a": {"title": "plan", "owner": "ann"}, "b": {"title": "menu", "owner": "bob"}}


@pytest.fixture(autouse=True)
def _logins(ddp: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that sends different documents to different users, and saved logins of two users."""
    server = Server(users={name: User(f"secret {name}", id=name) for name in ("ann", "bob", "field")})

    @server.publish
    def notes(sub: Subscription) -> None:
        for id_, note in NOTES.items():
            if sub.user_id == note["owner"]:
                sub.added("notes", id_, note)
            elif id_ == "a":
                sub.added("notes", id_, {"title": "secret"})
        sub.added("extra", "x", {})
        sub.ready()

    @server.publish
    def mine(sub: Subscription) -> None:
        if sub.user_id is None:
            raise MethodError(403, "log in first")
        sub.ready()

    with LoopbackServer(server) as running:
        monkeypatch.setenv("DDP_URL", running.url)
        for user in ("ann", "bob"):
            (tmp_path / "password").write_text(f"secret {user}")
            assert ddp("login", user, "--password-file", str(tmp_path / "password")).code == 0
        yield


def test_people_see_the_views_of_users_side_by_side(ddp: Command) -> None:
    ran = ddp("sub", "notes", "--as", "ann", "--as", "bob", "--as", "anonymous", "-o", "table", "--collection", "notes")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
notes: how many documents each user sees, and with which fields
field        ann  bob  anonymous
-----------  ---  ---  ---------
(documents)    1    2          1
title          1    2          1
owner          1    1          0

documents that are not the same for all; * marks values that differ
_id  ann            bob           anonymous
---  -------------  ------------  ----------
a    title*, owner  title*        title*
b    (not seen)     title, owner  (not seen)
"""
    )


def test_programs_get_one_object_for_all_users(ddp: Command) -> None:
    tree = json.loads(ddp("sub", "notes", "--as", "ann", "--as", "anonymous").out)
    assert tree["views"] == [{"as": "ann", "error": None}, {"as": "anonymous", "error": None}]
    assert [one["collection"] for one in tree["collections"]] == ["notes", "extra"]
    [note] = tree["collections"][0]["documents"]
    assert note == {"id": "a", "fields": {"ann": ["title", "owner"], "anonymous": ["title"]}, "differs": ["title"]}


def test_equal_views_are_shown_without_the_table_of_documents(ddp: Command) -> None:
    out = ddp("sub", "notes", "--as", "anonymous", "-o", "table").out
    assert "not the same" not in out
    assert out.count("how many documents") == 2


def test_a_refused_user_is_reported_unless_all_users_are_refused(ddp: Command) -> None:
    ran = ddp("sub", "mine", "--as", "ann", "--as", "anonymous")
    assert ran.code == 0
    assert json.loads(ran.out)["views"][1] == {"as": "anonymous", "error": "log in first [403]"}
    shown = ddp("sub", "mine", "--as", "ann", "--as", "anonymous", "-o", "pretty")
    assert shown.err == "ddp: note: the server refused mine to anonymous: log in first [403]\n"
    assert ddp("sub", "mine", "--as", "anonymous").code == 1


def test_the_frames_of_all_users_are_recorded(ddp: Command, tmp_path: Path) -> None:
    file = str(tmp_path / "both.ddprec")
    ddp("sub", "notes", "--as", "ann", "--as", "bob", "--record", file)
    assert json.loads(ddp("read", file).out)["connections"] == 2


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        pytest.param(["notes", "--as", "ann", "--as", "ann"], 2, "--as ann is given twice", id="the same user twice"),
        pytest.param(["notes", "--as", "ann", "--login", "bob"], 2, "--as and --login cannot be used together", id="login"),
        pytest.param(["notes", "--as", "ann", "--no-login"], 2, "--as and --no-login cannot be used together", id="no login"),
        pytest.param(["notes", "--as", "ann", "-f"], 2, "--as can be used with --collection", id="follow"),
        pytest.param(["notes", "--as", "ann", "--count"], 2, "--as can be used with --collection", id="count"),
        pytest.param(["notes", "--as", "zed"], 4, "there is no saved login of 'zed'", id="unknown user"),
        pytest.param(["nope", "--as", "ann", "--as", "bob"], 1, "Subscription 'nope' not found", id="unknown publication"),
    ],
)  # fmt: skip
def test_options_and_users_that_cannot_be_compared_are_errors(
    ddp: Command, words: list[str], code: int, problem: str
) -> None:
    ran = ddp("sub", *words)
    assert (ran.code, ran.out) == (code, "")
    assert problem in ran.err


def test_a_user_can_have_the_name_of_a_column(ddp: Command, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret field")
    ddp("login", "field", "--password-file", str(tmp_path / "password"))
    out = ddp("sub", "notes", "--as", "field", "-o", "table").out
    assert out.splitlines()[1].split("  ")[0] == "field"
    assert "as field" in out.splitlines()[1]
