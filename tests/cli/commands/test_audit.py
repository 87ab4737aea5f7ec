from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ddpshell.analysis.recording import Header, RecordingWriter
from ddpshell.cli.commands import audit as audit_module
from ddpshell.cli.commands.audit import read_names
from ddpshell.exceptions import CommandError
from ddpshell.server.demo import demo_server
from ddpshell.server.leaky_demo import leaky_demo_server
from tests.analysis.frames import frames, received, sent
from tests.cli.conftest import Command
from tests.loopback import LoopbackServer
from tests.meteor import MeteorServer
from tests.server.test_leaky_demo import LEAKS


def audited(ddp: Command, *words: str) -> dict[str, Any]:
    return dict(json.loads(ddp(*words).out))


def test_all_leaks_of_the_leaky_demo_are_found_and_no_others(ddp: Command) -> None:
    ran = ddp("demo", "--leaky", "audit")
    found = json.loads(ran.out)["findings"]
    assert sorted((one["rule"], one["collection"], one["path"]) for one in found) == sorted(LEAKS)
    assert ran.code == 1
    assert ran.err.endswith("ddp: error: 15 findings: 11 high, 3 medium, 1 low\n")
    for one in found:
        assert one["publications"] == ([] if one["collection"] == "settings" else [one["collection"]])


def test_a_login_does_not_hide_a_leak(ddp: Command, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland")
    words = ["--login", "alice", "--password-file", str(tmp_path / "password")]
    found = audited(ddp, "demo", "--leaky", "audit", *words)
    assert found["user"] == "alice-in-wonderland"
    assert sorted((one["rule"], one["collection"], one["path"]) for one in found["findings"]) == sorted(LEAKS)


@pytest.mark.parametrize("login", [False, True])
def test_the_plain_demo_has_no_leaks(ddp: Command, tmp_path: Path, login: bool) -> None:
    (tmp_path / "password").write_text("wonderland")
    words = ["--login", "alice", "--password-file", str(tmp_path / "password")] if login else []
    names = sorted({*demo_server().publication_names} - {"neverReady"})
    (tmp_path / "names").write_text("\n".join(names))
    ran = ddp("demo", "audit", "--names", str(tmp_path / "names"), *words)
    tree = json.loads(ran.out)
    assert (ran.code, tree["findings"]) == (0, [])
    assert [one["name"] for one in tree["publications"]] == names
    assert {one["name"] for one in tree["publications"] if one["status"] != "ready"} == {"bad", "crashes"}


def test_a_publication_that_is_never_ready_is_not_waited_for(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_SILENCE", 0.3)
    ran = ddp("demo", "audit", "neverReady")
    assert ran.code == 0
    assert json.loads(ran.out)["publications"][0]["status"] == "not ready"
    assert "ddp: warning: neverReady was not ready; what it sent until then was checked\n" in ran.err


def test_an_audit_that_is_not_complete_in_time_is_not_a_success(ddp: Command, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("neverReady\nitems\n")
    ran = ddp("demo", "audit", "--names", str(tmp_path / "names"), "--timeout", "3")
    assert ran.code == 5
    assert [one["name"] for one in json.loads(ran.out)["publications"]] == ["neverReady"]
    assert "the audit did not end within 3 s, in which 1 of 2 publications were checked" in ran.err


def test_people_get_a_table_of_leaks(terminal: Callable[..., str]) -> None:
    shown = terminal("demo", "--leaky", "audit", "staff", "--no-pager", "--color", "never")
    assert re.search(r"^high +password-hash +staff\.passwordHash +1 +s1 +staff$", shown, re.MULTILINE)
    assert re.search(r"^low +unsolicited +settings +1 +\(all\) +\(none\)$", shown, re.MULTILINE)
    assert "ddp: note: checked without a login: 1 publication with 1 document\n" in shown


@pytest.fixture
def leaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with LoopbackServer(leaky_demo_server()) as server:
        monkeypatch.setenv("DDP_URL", server.url)
        yield


@pytest.mark.usefixtures("leaky")
def test_without_a_name_only_unsolicited_data_is_checked(ddp: Command) -> None:
    tree = audited(ddp, "audit")
    assert {one["collection"] for one in tree["findings"]} == {"settings"}
    assert tree["publications"] == []
    err = ddp("audit").err
    assert "only what the server sends without a subscription; name publications for more\n" in err


def test_a_real_meteor_server_sends_the_users_own_document_which_is_not_a_leak(
    ddp: Command, meteor_server: MeteorServer, tmp_path: Path
) -> None:
    """A `users` document has an address only for its own user; other users get the name."""
    digest = '{digest: "%s", algorithm: "sha-256"}' % ("0" * 64)
    user = f'{{username: "audit", email: "audit@example.com", password: {digest}}}'
    made = json.loads(ddp("call", "createUser", user, "-u", meteor_server.url).out)
    (tmp_path / "token").write_text(made["token"])
    words = ["-u", meteor_server.url, "--token-file", str(tmp_path / "token"), "--record", str(tmp_path / "recording")]
    ran = ddp("audit", "twoCursors", *words)
    tree = json.loads(ran.out)
    assert (ran.code, tree["user"], tree["findings"]) == (0, made["id"], [])
    assert "audit@example.com" in (tmp_path / "recording").read_text()


@pytest.mark.usefixtures("leaky")
def test_the_publications_in_a_file_are_checked(ddp: Command, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("# ours\nproducts\n\nstaff {active: true} 5\nstaff {active: true} 5\nnope\n")
    ran = ddp("audit", "--names", str(tmp_path / "names"))
    assert [(one["name"], one["status"]) for one in json.loads(ran.out)["publications"]] == [
        ("products", "ready"),
        ("staff", "refused"),
        ("nope", "refused"),
    ]
    assert "the server refused nope: Subscription 'nope' not found [404]" in ran.err


@pytest.mark.usefixtures("server")
def test_an_audit_fails_if_the_server_refuses_the_publication(ddp: Command) -> None:
    ran = ddp("audit", "bad")
    assert json.loads(ran.out)["publications"][0]["status"] == "refused"
    assert (ran.code, "ddp: error: denied [403]" in ran.err) == (1, True)


@pytest.mark.usefixtures("leaky")
def test_a_refusal_is_reported_together_with_the_findings(ddp: Command) -> None:
    ran = ddp("audit", "staff", "1", "2")
    assert (ran.code, "the server refused staff: Match failed [400]" in ran.err) == (1, True)


@pytest.mark.usefixtures("server")
def test_an_audit_of_a_file_fails_if_the_server_refuses_all_publications(ddp: Command, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("bad\nnope\n")
    ran = ddp("audit", "--names", str(tmp_path / "names"), "-o", "json")
    assert [one["status"] for one in json.loads(ran.out)["publications"]] == ["refused", "refused"]
    assert (ran.code, json.loads(ran.err.splitlines()[-1])["kind"]) == (1, "check")


@pytest.mark.usefixtures("leaky")
@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        pytest.param(["stuff"], 1, "Subscription 'stuff' not found", id="unknown"),
        pytest.param(
            ["staff", "--names", "x"], 2, "give either a publication or --names FILE", id="a publication and a file"
        ),
        pytest.param(["--names", "missing"], 2, "--names: cannot read 'missing': No such file", id="missing"),
        pytest.param(
            ["--names", "missing"], 2, "hint: give a recording, a HAR file, a text file with a publ", id="advice"
        ),
        pytest.param(["--names", ""], 2, "--names: must not be empty", id="an empty name"),
        pytest.param(["-u", "127.0.0.1:1"], 3, "refused the connection", id="no server"),
        pytest.param(["--login", "ann"], 4, "there is no saved login of 'ann'", id="no login"),
    ],
)
def test_an_audit_that_cannot_be_made_is_an_error(ddp: Command, words: list[str], code: int, problem: str) -> None:
    ran = ddp("audit", *words)
    assert (ran.code, problem in ran.err) == (code, True)
    assert ran.out == ""


# -------------------------------------------------------------------------------------------------------------- names


def test_names_and_arguments_come_from_a_recording(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a", Header("", "", ""))
    for entry in frames([
        sent(1, "sub", id="1", name="tasks", params=[{"at": {"$date": 0}}]),
        sent(1, "sub", id="2", name="tasks", params=[]),
        sent(1, "sub", id="3", name="tasks", params=[]),
        sent(1, "sub", id="4", name="secret", params=[{"token": "abcdefgh"}]),
        sent(1, "sub", id="5", name="nope", params=[]),
        received(1, "nosub", id="5", error={"error": 404, "reason": "Subscription 'nope' not found"}),
    ]):  # fmt: skip
        writer.write(entry)
    writer.close()
    found = read_names(str(tmp_path / "a"))
    assert [name for name, _ in found] == ["tasks", "tasks"]
    assert [len(params) for _, params in found] == [1, 0]


def test_names_come_from_the_history_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audit_module, "state_file", lambda name: str(tmp_path / "state" / name))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "history").write_text(
        "\n# 2026-01-31 12:00:00\n+call upper x\n\n# 2026-01-31 12:00:01\n+sub tasks {done:\n+ false}\n"
        "\n# 2026-01-31 12:00:02\n+sub tasks $x.y[\n\n# 2026-01-31 12:00:02\n+subscribe items 3\n"
    )
    assert read_names("history") == [("tasks", [{"done": False}]), ("items", [3])]
    (tmp_path / "history").write_text("mine\n")
    assert read_names("history") == [("mine", [])]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"tasks\ntasks {a 1}\n", "line 2 of", id="a value"),
        pytest.param(b"tasks > file\n", "give one publication with its arguments", id="redirected"),
        pytest.param(b"tasks @file\n", "does not read files", id="a file"),
        pytest.param(b"\xff\xfe\n", "is not UTF-8 text", id="not text"),
        pytest.param(b"{}", "neither a HAR file nor a recording", id="JSON"),
    ],
)
def test_an_invalid_file_of_names_is_an_error(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "names").write_bytes(data)
    with pytest.raises(CommandError, match=problem):
        read_names(str(tmp_path / "names"))


def test_names_that_are_not_text_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(b"tasks\n\xff\n")
    with pytest.raises(CommandError, match=r"--names: .* is not UTF-8 text"):
        read_names(str(tmp_path / "names"))
