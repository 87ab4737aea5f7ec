"""Saved logins: they are found only for their server and user, and only their owner can read them."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from ddpshell.ejson import EJSONValue
from ddpshell.exceptions import LoginNeeded
from ddpshell.logins import LoginStore, SavedLogin, describe_user, user_names
from ddpshell.protocol.accounts import LoginToken
from ddpshell.protocol.urls import parse_url

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVER = "wss://app.example.com"


def login(user: str = "ann", server: str = SERVER, *, hours: int = 0, token: str = "t0ken") -> SavedLogin:
    made = LoginToken(f"id-of-{user}", token, NOW + timedelta(days=90), "password")
    return SavedLogin(server, made, (user, f"{user}@example.com"), NOW + timedelta(hours=hours))


class Store(LoginStore):
    """A store that records its warnings."""

    def __init__(self, folder: Path | None) -> None:
        self.warnings: list[str] = []
        super().__init__(folder, self.warnings.append)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state" / "logins")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "logins"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        pytest.param("localhost:3000", "ws://localhost:3000", id="a host"),
        pytest.param("http://LOCALHOST:3000/", "ws://localhost:3000", id="another spelling"),
        pytest.param("ws://localhost:3000/websocket", "ws://localhost:3000", id="the endpoint"),
        pytest.param("http://localhost:3000/sockjs", "ws://localhost:3000", id="through SockJS"),
        pytest.param("ws://h/sockjs/000/abc/websocket", "ws://h", id="one session of SockJS"),
        pytest.param("ws://h/sockjs/websocket", "ws://h", id="SockJS without its frames"),
        pytest.param("https://h/a/b/sockjs/", "wss://h/a/b", id="SockJS below a path"),
        pytest.param("ddp+sockjs://h/a/sockjs", "wss://h/a", id="Meteor's old scheme"),
        pytest.param("ws://h/my-sockjs/websocket/", "ws://h/my-sockjs", id="a path that ends like SockJS"),
        pytest.param("ws://h/old-websocket", "ws://h/old-websocket", id="a path that ends like the endpoint"),
        pytest.param("https://h:443/prefix/?a=b", "wss://h/prefix", id="a path, and a query"),
        pytest.param("wss://ann:secret@h", "wss://h", id="credentials"),
    ],
)
def test_different_urls_of_a_server_identify_the_same_server(url: str, server: str) -> None:
    assert parse_url(url).server == server


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("ws://h", "wss://h", id="TLS"),
        pytest.param("ws://h:1", "ws://h:2", id="port"),
        pytest.param("ws://h", "ws://h.example.com", id="host"),
        pytest.param("ws://h/a", "ws://h/b", id="path"),
        pytest.param("localhost", "127.0.0.1", id="name and address"),
        pytest.param("ws://h/app", "ws://h/app/sockjs-other-tenant", id="a segment that begins like SockJS"),
        pytest.param("ws://h/app", "ws://h/app/sockjs-other/sockjs", id="SockJS below such a segment"),
        pytest.param("ws://h", "ws://h/sockjs_evil/000/abc/websocket", id="a path that looks like a session"),
        pytest.param("ws://h/app", "ws://h/app/sockjs/tenant", id="a path below SockJS"),
        pytest.param("ws://h/app", "ws://h/app/sockjs/a/b/c/websocket", id="a longer path below SockJS"),
        pytest.param("ws://h/app", "ws://h/app/sockjs/tenant/sockjs/", id="SockJS below SockJS"),
        pytest.param("ws://h/app", "ws://h/app/sockjs/%2e%2e/%2E%2E/websocket", id="an encoded way up"),
        pytest.param("ws://h/app", "ws://h/app/sockjs/../websocket", id="a way up"),
        pytest.param("ws://h/app", "ws://h/app/sockjs/../../evil/sockjs", id="a way up and down"),
        pytest.param("ws://h/app", "ws://h/application", id="a longer segment"),
        pytest.param("ws://h/app", "ws://h/app/b", id="a longer path"),
        pytest.param("ws://h/app", "ws://h/App", id="case of a path"),
        pytest.param("ws://h/app", "ws://h/app/SockJS", id="case of sockjs"),
        pytest.param("ws://h/app", "ws://h//app", id="an empty segment"),
        pytest.param("ws://h/a/b", "ws://h/a%2Fb", id="an encoded slash"),
        pytest.param("ws://h/app", "ws://h/app;x", id="a parameter of a segment"),
        pytest.param("ws://h", "ws://h./", id="a host with its dot"),
        pytest.param("ws://h:80", "ws://h:443", id="the other scheme's port"),
    ],
)
def test_different_servers_are_distinguished(one: str, other: str) -> None:
    assert parse_url(one).server != parse_url(other).server


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wss://H.example.com/app", "https://h.EXAMPLE.com:443/app/"),
        ("h:80/app", "http://h/app/websocket?x=1"),
        ("ws://[::1]:3000", "ws://[0:0:0:0:0:0:0:1]:3000/sockjs"),
        ("ws://ann:pw@h/app/sockjs/000/abcdefgh/websocket", "ws://h/app#top"),
    ],
)
def test_case_default_port_and_trailing_slash_do_not_matter(one: str, other: str) -> None:
    assert parse_url(one).server == parse_url(other).server


@pytest.mark.parametrize(
    ("typed", "document", "names"),
    [
        pytest.param("ann", {"username": "ann", "emails": [{"address": "a@b"}]}, ("ann", "a@b"), id="each once"),
        pytest.param("a@b", {"username": "ann", "emails": [{"address": "a@b"}]}, ("a@b", "ann"), id="as typed first"),
        pytest.param(None, {"username": "", "emails": [{}, 5, {"address": 5}]}, (), id="missing or invalid values"),
        pytest.param(None, {"emails": "a@b"}, (), id="no addresses"),
    ],
)
def test_the_names_of_a_user_are_typed_or_published(
    typed: str | None, document: dict[str, EJSONValue], names: tuple[str, ...]
) -> None:
    """A58."""
    assert user_names(typed, document) == names


def test_describe_user_has_the_published_fields_and_no_token() -> None:
    """A58."""
    token = LoginToken("u1", "s3cret", datetime(2027, 1, 2, tzinfo=UTC), "password")
    assert describe_user(token, {"_id": "u1", "username": "ann", "profile": {"x": 1}}, "ws://h") == {
        "id": "u1", "username": "ann", "server": "ws://h", "expires": datetime(2027, 1, 2, tzinfo=UTC),
    }  # fmt: skip


class TestFinding:
    def test_a_saved_login_is_found(self, store: Store) -> None:
        store.save(login())
        assert store.find(SERVER) == login()
        assert store.warnings == []

    def test_a_login_is_not_found_for_another_server(self, store: Store) -> None:
        store.save(login())
        assert store.find("ws://app.example.com") is None
        assert store.find(f"{SERVER}/prefix") is None

    @pytest.mark.parametrize("name", ["ann", "ann@example.com", "id-of-ann"])
    def test_a_login_is_found_by_each_name_of_the_user(self, store: Store, name: str) -> None:
        store.save(login())
        store.save(login("bob", hours=1))
        found = store.find(SERVER, name)
        assert found is not None
        assert found.user == "ann"
        assert store.find(SERVER, "an") is None

    def test_without_a_name_the_last_login_is_found(self, store: Store) -> None:
        for user, hours in (("ann", 2), ("bob", 3), ("eve", 1)):
            store.save(login(user, hours=hours))
        assert [found.user for found in store.all(SERVER)] == ["eve", "ann", "bob"]
        assert store.find(SERVER) == login("bob", hours=3)

    def test_a_second_login_replaces_the_first(self, store: Store, folder: Path) -> None:
        store.save(login(token="old"))
        store.save(login(token="new", hours=1))
        assert [found.token.token for found in store.all()] == ["new"]
        assert len(list(folder.iterdir())) == 1

    def test_each_server_has_its_own_logins(self, store: Store) -> None:
        store.save(login())
        store.save(login(server="ws://localhost", hours=1, token="other"))
        found = store.find(SERVER)
        assert found is not None
        assert found.token.token == "t0ken"
        assert len(store.all()) == 2

    def test_a_deleted_login_is_not_found(self, store: Store, folder: Path) -> None:
        store.save(login())
        store.forget(login())
        store.forget(login())
        assert store.find(SERVER) is None
        assert list(folder.iterdir()) == []

    def test_special_characters_in_names_do_not_affect_paths(self, store: Store, folder: Path) -> None:
        store.save(login("../../etc/passwd", server="ws://h/../..\0/\n"))
        assert [path.parent for path in folder.iterdir()] == [folder]

    def test_without_a_folder_there_are_no_logins(self, tmp_path: Path) -> None:
        store = Store(None)
        assert store.find(SERVER) is None
        store.forget(login())
        with pytest.raises(OSError, match="no home folder"):
            store.save(login())
        assert Store(tmp_path / "nowhere").all() == []
        # Some services have a device as their home folder, such as /dev/null.
        (tmp_path / "home").write_text("")
        assert Store(tmp_path / "home/state/ddpshell/logins").all() == []


class TestSafety:
    def test_only_the_owner_can_read_a_saved_login(self, store: Store, folder: Path) -> None:
        before = os.umask(0)
        try:
            store.save(login())
        finally:
            os.umask(before)
        [file] = folder.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_files_that_others_can_read_cause_a_warning(self, store: Store, folder: Path) -> None:
        store.save(login())
        [file] = folder.iterdir()
        file.chmod(0o640)
        folder.chmod(0o755)
        assert store.find(SERVER) == login()
        assert [warning.rpartition(": ")[2] for warning in store.warnings] == [
            f"chmod 700 {folder}",
            f"chmod 600 {file}",
        ]

    def test_links_are_not_followed(self, store: Store, folder: Path, tmp_path: Path) -> None:
        store.save(login())
        [file] = folder.iterdir()
        other = tmp_path / "other"
        file.rename(other)
        file.symlink_to(other)
        with pytest.raises(LoginNeeded, match="cannot be read"):
            store.find(SERVER)
        # A save does not write through a link, but replaces it.
        store.save(login(token="new"))
        assert "t0ken" in other.read_text()
        assert not file.is_symlink()

    def test_a_leftover_file_of_a_failed_write_is_replaced(self, store: Store, folder: Path) -> None:
        store.save(login())
        [file] = folder.iterdir()
        file.with_name(f"{file.name}.{os.getpid()}.new").write_text("half")
        store.save(login(token="new"))
        assert [found.token.token for found in store.all()] == ["new"]
        assert len(list(folder.iterdir())) == 1

    def test_a_failed_write_keeps_the_earlier_login(self, store: Store, folder: Path) -> None:
        store.save(login())
        [file] = folder.iterdir()
        content = file.read_text()
        file.unlink()
        file.mkdir()
        with pytest.raises(OSError, match="directory"):
            store.save(login())
        assert list(folder.iterdir()) == [file]
        file.rmdir()
        file.write_text(content)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param("", id="an empty file"),
            pytest.param("{", id="an incomplete file"),
            pytest.param("[]", id="an array"),
            pytest.param('"text"', id="a string"),
            pytest.param("\xff", id="bytes"),
            pytest.param("[" * 100_000, id="nested too deeply"),
            pytest.param('{"server": 1, "id": "i", "token": "t", "type": "", "names": [], "expires": "2026-01-01T00:00:00Z", "saved": "2026-01-01T00:00:00Z"}', id="a number"),
            pytest.param('{"server": "s", "id": "i", "token": "t", "type": "", "names": [], "expires": "2026-01-01", "saved": "2026-01-01"}', id="a date without a time zone"),
            pytest.param('{"server": "s", "id": "i", "token": "t", "type": "", "names": [7], "expires": "2026-01-01T00:00:00Z", "saved": "2026-01-01T00:00:00Z"}', id="a name that is not a string"),
        ],
    )  # fmt: skip
    def test_an_invalid_file_is_reported_and_not_changed(self, store: Store, folder: Path, content: str) -> None:
        store.save(login())
        file = folder / "x.json"
        file.write_bytes(content.encode("latin-1"))
        file.chmod(0o600)
        problem = f"{file} is not a valid saved login; delete the file, and log in again"
        assert store.find(SERVER, "ann") == login()
        assert store.warnings == [problem]
        for server, user in ((SERVER, None), (SERVER, "bob"), ("ws://other", None)):
            # This file may contain the requested login.
            with pytest.raises(LoginNeeded) as raised:
                store.find(server, user)
            assert str(raised.value) == problem
        # A file that is older than another login for the server is not the last one.
        os.utime(file, (0, 0))
        assert store.find(SERVER) == login()
        assert store.warnings == [problem] * 2
        assert file.exists()

    @pytest.mark.parametrize(
        "prepare",
        [
            pytest.param(lambda file: file.unlink() or file.mkdir(), id="a folder"),
            pytest.param(lambda file: file.unlink() or file.symlink_to(file), id="a link to itself"),
            pytest.param(
                lambda file: [make(file) for make in (os.unlink, partial(os.mkfifo, mode=0o600))], id="a pipe"
            ),
            pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-9]), id="an incomplete file"),
            pytest.param(lambda file: file.write_text(" " * (1 << 17)), id="too large"),
        ],
    )
    def test_a_login_that_cannot_be_read_is_an_error(
        self, store: Store, folder: Path, prepare: Callable[[Path], object]
    ) -> None:
        store.save(login())
        [file] = folder.iterdir()
        prepare(file)
        with pytest.raises(LoginNeeded, match=f"{re.escape(str(file))}"):
            store.find(SERVER)
        assert store.all() == []
        assert len(store.warnings) == 1

    def test_an_invalid_login_of_another_server_causes_only_a_warning(self, store: Store, folder: Path) -> None:
        store.save(login(server="ws://other"))
        [file] = folder.iterdir()
        file.write_text('{"server": "ws://other", "id": "id-of-ann"}')
        assert store.find(SERVER) is None
        assert len(store.warnings) == 1
        with pytest.raises(LoginNeeded):
            store.find("ws://other")

    @pytest.mark.parametrize(
        "prepare",
        [
            pytest.param(lambda folder: folder.touch(), id="a file in place of the folder"),
            pytest.param(lambda folder: folder.symlink_to(folder / "nowhere"), id="a link to nowhere"),
            pytest.param(lambda folder: folder.symlink_to(folder), id="a link to itself"),
            pytest.param(lambda folder: folder.parent.rmdir() or folder.parent.touch(), id="a file above it"),
        ],
    )
    def test_a_folder_that_cannot_be_read_is_an_error(
        self, store: Store, folder: Path, prepare: Callable[[Path], object]
    ) -> None:
        folder.parent.mkdir()
        prepare(folder)
        for read in (store.all, partial(store.find, SERVER)):
            with pytest.raises(LoginNeeded, match=f"the saved logins in {re.escape(str(folder))} cannot be read: "):
                read()

    def test_files_of_another_user_cause_a_warning(
        self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.save(login())
        [file] = folder.iterdir()
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        assert store.find(SERVER) == login()
        assert store.warnings == [
            f"{path} has a saved login, but belongs to another user (uid {owner})" for path in (folder, file)
        ]

    @pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o777])
    def test_new_files_are_private_with_any_umask(self, tmp_path: Path, umask: int) -> None:
        store = Store(tmp_path / "home/.local/state/ddpshell/logins")
        before = os.umask(umask)
        try:
            store.save(login())
        finally:
            os.umask(before)
        made = list((tmp_path / "home").rglob("*"))
        assert len(made) == 5
        assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700, 0o600}

    def test_the_next_login_removes_write_permission_of_others(self, store: Store, folder: Path) -> None:
        folder.mkdir(parents=True)
        for path in (folder, folder.parent, folder.parent.parent):
            path.chmod(0o777)
        store.save(login())
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent, folder.parent.parent)]
        # The folder above is not changed.
        assert modes == [0o700, 0o755, 0o777]

    def test_the_file_has_all_fields(self, store: Store, folder: Path) -> None:
        store.save(login())
        [file] = folder.iterdir()
        assert json.loads(file.read_text())["server"] == SERVER

    def test_no_representation_shows_the_token(self) -> None:
        assert "t0ken" not in repr(login())
