"""A logout ends the login on the server and deletes the saved one, and an error says what was not done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ddpshell.ejson import JSONValue
from tests.cli.conftest import Command
from tests.loopback import Conversation, LoopbackServer, ScriptedServer, converse

LogIn = Callable[[], None]


@pytest.fixture
def log_in(ddp: Command, server: LoopbackServer) -> LogIn:
    """Log in as alice."""

    def call() -> None:
        assert ddp("login", "alice", "--password-file", "-", stdin=b"wonderland").code == 0

    return call


@pytest.fixture
def saved(home: Path) -> Callable[[], list[Path]]:
    """The files of saved logins."""
    return lambda: sorted((home / "state/ddpshell/logins").glob("*"))


def tokens(server: LoopbackServer) -> int:
    """The number of logins that the server knows."""
    [user] = server.server.accounts.users.find({"username": "alice"})
    services = user["services"]
    assert isinstance(services, dict)
    return len(services.get("resume", {}).get("loginTokens", []))


def test_a_logout_ends_the_login_on_the_server_and_deletes_its_file(
    ddp: Command, server: LoopbackServer, log_in: LogIn, saved: Callable[[], list[Path]]
) -> None:
    log_in()
    assert (tokens(server), len(saved())) == (1, 1)
    ran = ddp("logout")
    assert ran == (0, "", f"ddp: note: logged out alice at ws://127.0.0.1:{server.port}\n")
    assert (tokens(server), len(saved())) == (0, 0)
    assert ddp("call", "whoami").out == "null\n"


def test_all_logins_can_be_ended_at_once(
    ddp: Command, server: LoopbackServer, log_in: LogIn, saved: Callable[[], list[Path]]
) -> None:
    with LoopbackServer() as other:
        other.server.accounts.add("bob", "builder")
        for user, password in (("alice", b"wonderland"), ("bob", b"builder")):
            ddp("login", user, "-u", other.url, "--password-file", "-", stdin=password)
        log_in()
        assert (tokens(server), tokens(other), len(saved())) == (1, 1, 3)
        ran = ddp("logout", "--all", "-u", other.url)
        assert (ran.code, len(ran.err.splitlines()), len(saved())) == (0, 2, 1)
        log_in_other = ddp("login", "alice", "-u", other.url, "--password-file", "-", stdin=b"wonderland")
        assert log_in_other.code == 0
        ran = ddp("logout", "--all")
        assert (ran.code, tokens(server), tokens(other), len(saved())) == (0, 0, 0, 0)
    assert sorted(ran.err.splitlines()) == sorted(
        f"ddp: note: logged out alice at ws://127.0.0.1:{port}" for port in (server.port, other.port)
    )
    assert ddp("logout", "--all") == (0, "", "ddp: note: there are no saved logins\n")


def test_an_unreachable_server_does_not_prevent_the_other_logouts(
    ddp: Command, server: LoopbackServer, log_in: LogIn, saved: Callable[[], list[Path]]
) -> None:
    with LoopbackServer() as other:
        ddp("login", "alice", "-u", other.url, "--password-file", "-", stdin=b"wonderland")
    log_in()
    ran = ddp("logout", "--all")
    assert (ran.code, tokens(server), len(saved())) == (3, 0, 1)
    assert "refused the connection" in ran.err
    assert ddp("logout", "--all", "--local").code == 0
    assert saved() == []


def test_all_does_not_take_a_user(ddp: Command) -> None:
    assert ddp("logout", "--all", "--login", "ann").err.startswith("ddp: error: --all and --login cannot be used")


def test_logout_without_a_login_is_an_error(ddp: Command, server: LoopbackServer) -> None:
    ran = ddp("logout")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == (
        f"ddp: error: you are not logged in at ws://127.0.0.1:{server.port}\nddp: hint: ddp login USER\n"
    )


def test_a_login_that_was_ended_elsewhere_is_deleted(
    ddp: Command, server: LoopbackServer, log_in: LogIn, saved: Callable[[], list[Path]]
) -> None:
    log_in()
    server.server.accounts.users.update("alice-in-wonderland", {"$set": {"services.resume.loginTokens": []}})
    ran = ddp("logout")
    assert ran == (0, "", f"ddp: note: the login of alice at ws://127.0.0.1:{server.port} had already ended\n")
    assert saved() == []


def test_an_unreachable_server_is_reported_with_a_hint(
    ddp: Command, server: LoopbackServer, log_in: LogIn, saved: Callable[[], list[Path]]
) -> None:
    log_in()
    server.stop()
    ran = ddp("logout")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(
        "ddp: note: alice is still logged in; ddp logout --local deletes only the saved login\n"
        f"ddp: error: 127.0.0.1:{server.port} refused the connection\n"
    )
    assert len(saved()) == 1
    ran = ddp("logout", "--local")
    assert (ran.code, ran.out, saved()) == (0, "", [])
    assert ran.err.startswith("ddp: note: deleted the saved login of alice at ")
    assert "; the server still accepts it until 20" in ran.err
    server.start()


def test_a_saved_login_is_chosen_by_the_name_of_its_user(
    ddp: Command, server: LoopbackServer, log_in: LogIn, saved: Callable[[], list[Path]]
) -> None:
    log_in()
    server.server.accounts.add("bob", "builder")
    ddp("login", "bob", "--password-file", "-", stdin=b"builder")
    assert ddp("logout", "--login", "alice").code == 0
    assert len(saved()) == 1
    assert '"bob"' in ddp("whoami").out


def test_a_token_of_a_file_can_be_ended(
    ddp: Command, server: LoopbackServer, log_in: LogIn, tmp_path: Path, saved: Callable[[], list[Path]]
) -> None:
    log_in()
    token = tmp_path / "token"
    token.write_text(saved()[0].read_text().split('"token": "')[1].split('"')[0])
    assert ddp("logout", "--local", "--token-file", str(token)).code == 2
    ran = ddp("logout", "--token-file", str(token))
    assert ran == (0, "", f"ddp: note: ended the login at ws://127.0.0.1:{server.port}\n")
    assert tokens(server) == 0
    # The saved login is not deleted; in this test, it has the same token.
    assert len(saved()) == 1
    assert ddp("whoami").code == 4


def test_a_connection_closed_instead_of_an_answer_counts_as_a_logout(ddp: Command) -> None:
    """A42: Meteor closes the connections with a deleted token, sometimes before it answers the logout."""
    refusal: dict[str, JSONValue] = {"error": 403, "reason": "You've been logged out by the server."}

    def log_in(server: Conversation) -> None:
        server.finish(server.expect("method"), result={"id": "x", "token": "t"})

    def log_out(server: Conversation) -> None:
        server.finish(server.expect("method"), result={"id": "x", "token": "t"})
        assert server.expect("method")["method"] == "logout"
        server.drop()

    def replace(server: Conversation) -> None:
        server.finish(server.expect("method"), result={"id": "x", "token": "another"})
        log_out(server)

    def refuse_once(server: Conversation) -> None:
        # The login can come from the session or from the command.
        server.finish(server.expect("method"), error=refusal)

    with ScriptedServer(converse(log_in), converse(replace), converse(refuse_once)) as server:
        words = ["login", "alice", "-u", server.url, "--password-file", "-"]
        assert ddp(*words, stdin=b"x").code == 0
        ran = ddp(*words, stdin=b"x")
        assert (ran.code, "was not ended" in ran.err) == (0, False)
    with ScriptedServer(converse(log_in), converse(log_out), converse(refuse_once)) as server:
        words = ["login", "alice", "-u", server.url, "--password-file", "-"]
        assert ddp(*words, stdin=b"x").code == 0
        ran = ddp("logout", "-u", server.url)
        assert (ran.code, "logged out alice" in ran.err) == (0, True)
