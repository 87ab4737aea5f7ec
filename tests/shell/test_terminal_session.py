"""Longer sessions in a real pseudo-terminal: the screen, the history and the saved files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ddpshell.server import Server, Subscription
from tests.loopback import LoopbackServer
from tests.shell.commands.test_accounts import careful_server
from tests.shell.window import Window


def test_the_toolbar_is_up_to_date_when_a_result_is_shown(window: Window) -> None:
    window.press("call slow 500\r")
    window.wait_for(lambda: "1 pending" in window.rows[-1])
    window.wait_for("[1] 500")
    assert "pending" not in window.rows[-1]


def test_in_vi_mode_escape_and_enter_are_two_keys(window: Window) -> None:
    """Users press them quickly, and the terminal sends the same bytes for Alt-Enter."""
    window.press("set editing vi\r")
    window.wait_for("editing is vi")
    window.press("call upper quick\x1b\r")
    window.wait_for('[1] "QUICK"')


# ------------------------------------------------------------------------------------------------------------ secrets


def test_secrets_appear_only_where_the_user_typed_them(home: Path) -> None:
    """Password, digest, one-time code and token: not on the screen, in frames, in `pending`, the history, or `save`."""
    server = careful_server("code-123456")

    @server.method
    def echo(*values: object) -> object:
        return values

    with LoopbackServer(server) as running, Window("-u", running.url, "--debug", columns=200) as window:
        window.wait_for("connected to")
        window.press("login ann\r")
        window.wait_for("Password of ann:")
        window.press("pw-s3cret\r")
        window.wait_for("One-time code:")
        window.press("code-123456\r")
        window.wait_for("[1] logged in as ann, until")
        running.drop()
        # The token is sent again, and the server returns it.
        window.wait_for("connected again")
        window.press("disconnect\r")
        window.wait_for("disconnected")
        typed = "call login {user: {username: 'ann'}, password: 'typed-s3cret', code: 'code-typed'}"
        window.press(f"{typed}\rpending\r")
        window.wait_for("[2] call login ")
        window.press("connect\r")
        window.wait_for("[2] error invalid-2fa-code")
        window.press(f"history\rstatus\rcall echo seen\rsave {home}/saved\r")
        window.wait_for('[3] ["seen"]')
        window.wait_for("saved: ")
        window.press("\x04")
        assert window.wait_for_end() == 0
        [file] = (home / "state/ddpshell/logins").iterdir()
        assert "the-token-of-u1" in file.read_text()
        # The user typed secrets in these lines, which the prompt draws once for each key.
        typings = "".join(line for line in window.plain.splitlines(keepends=True) if "> call login" not in line)
    kept = {
        "bytes": bytes(window.written).decode(),
        "screen": window.plain,
        "history": (home / "state/ddpshell/history").read_text(),
        "saved": (home / "saved").read_text(),
    }
    digest = hashlib.sha256(b"pw-s3cret").hexdigest()
    for where, text in kept.items():
        assert "echo" in text, where
        for secret in ("pw-s3cret", digest, "code-123456", "the-token-of-u1"):
            assert secret not in text, where
    for text in (typings, kept["history"], kept["saved"]):
        assert "typed-s3cret" not in text
        assert "code-typed" not in text
    assert len(re.findall(r'-> \{"msg":"method".*"method":"login"', window.plain)) >= 4


# ------------------------------------------------------------------------------------------------------ the line


def test_an_editor_can_use_the_terminal_and_later_output_is_shown_afterwards(
    server: LoopbackServer, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\necho editing\nread key < /dev/tty\nprintf 'call upper edited\\n' > \"$1\"\n")
    editor.chmod(0o755)
    with Window("-u", f"localhost:{server.port}", environment={"EDITOR": str(editor)}) as window:
        window.wait_for("connected to")
        window.press("sub ticker 2\r")
        window.wait_for('~ ticks/tick {"n": 2}')
        window.press("call upper typed\x18\x05")
        window.wait_for("editing")
        before = len(window.plain)
        window.press("\r")
        window.wait_for_prompt("call upper edited")
        window.press("\r")
        window.wait_for('[2] "EDITED"')
        window.press("unsub --all\r")
        window.wait_for("[1] sub ticker: ended")
        assert "~ ticks/tick" in window.plain[before:]
        changes = [int(found) for found in re.findall(r'~ ticks/tick \{"n": (\d+)', window.plain)]
        assert changes == list(range(1, len(changes) + 1)), "all changes are shown in order"


def test_the_history_is_searched_by_whole_commands(window: Window) -> None:
    window.press("call upper one\r")
    window.wait_for('[1] "ONE"')
    window.press("call echo {\ra: 2}\r")
    window.wait_for('[2] [{"a": 2}]')
    window.press("status\r")
    window.wait_for("subscriptions 0")
    window.press("\x12upper")
    window.wait_for("(reverse-i-search)`upper': call upper one")
    window.press("\r")
    # The cursor is at the match.
    window.wait_for(lambda: window.rows[-2].endswith("> call upper one"))
    window.press("\r")
    window.wait_for('[3] "ONE"')
    window.press("\x1b[A\x1b[A\x1b[A")
    window.wait_for("... a: 2}")
    window.press("\r")
    window.wait_for('[4] [{"a": 2}]')


def test_the_shell_works_in_a_window_of_five_lines(server: LoopbackServer) -> None:
    with Window("-u", f"localhost:{server.port}", columns=20, lines=5) as window:
        window.wait_for("connected")
        window.press("login alice\r")
        window.wait_for("Password of alice:")
        window.press("wonderland\r")
        window.wait_for("[1] logged in")
        window.press("call upper x\r")
        window.wait_for('[2] "X"')
        assert all(len(row) <= 20 for row in window.rows)


# ------------------------------------------------------------------------------------------------ colors and the pager


def test_themes_change_the_colors_at_once(server: LoopbackServer) -> None:
    with Window("-u", f"localhost:{server.port}", environment={"TERM": "xterm-256color"}) as window:
        window.wait_for("connected to")
        for theme, code in (("auto", b"38;5;244"), ("light", b"38;5;241"), ("dark", b"38;5;247")):
            window.press(f"set theme {theme}\r")
            window.wait_for(f"theme is {theme}")
            start = len(window.written)
            window.press("call upper x\r")
            window.wait_for(lambda: bytes(window.written[start:]).count(b"ms") >= 1)  # noqa: B023 - in this iteration
            assert code in bytes(window.written[start:])
            assert b"\x1b[90m" not in window.written
        window.press("set theme plain\r")
        window.wait_for("theme is plain")
        start = len(window.written)
        window.press("call upper 'plain'\r")
        window.wait_for('"PLAIN"')
        assert not re.search(rb"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;5;\d+)m", bytes(window.written[start:]))


def test_with_sixteen_colors_nothing_is_gray(server: LoopbackServer) -> None:
    with Window("-u", f"localhost:{server.port}", environment={"TERM": "linux", "COLORTERM": ""}) as window:
        window.wait_for("connected to")
        window.press("call upper x\r")
        window.wait_for('[1] "X"')
        assert b"38;5;" not in window.written
        assert b"\x1b[90m" not in window.written
        assert b"\x1b[0;90m" not in window.written
        assert b"32m" in window.written, "results have a color"


def test_long_answers_of_the_shell_are_paged(server: LoopbackServer) -> None:
    pager = {"PAGER": "sed 's/^/paged: /'"}
    with Window("-u", f"localhost:{server.port}", environment=pager, lines=12) as window:
        window.wait_for("connected to")
        window.press("set\r")
        window.wait_for("paged: theme")
        window.wait_for_prompt()
        window.press("call upper after\r")
        window.wait_for('[1] "AFTER"')
        window.press("sub items 30\r")
        window.wait_for("[2] sub items: ready, 30 documents")
        window.press("find items --limit 20\r")
        window.wait_for("paged: [3] 20 documents")
        window.press("status\r")
        window.wait_for("subscriptions 1")
        assert "paged: subscriptions" not in window.plain, "a short list is not paged"
        window.press("set pager off\rset\r")
        window.wait_for(lambda: "\ntheme " in window.plain)


# ------------------------------------------------------------------------------------------------ the config file


def test_the_shell_uses_settings_profiles_and_the_startup_file_of_the_config_folder(
    server: LoopbackServer, home: Path
) -> None:
    folder = home / "config/ddpshell"
    folder.mkdir(parents=True)
    config = folder / "config.toml"
    config.write_text(
        f"""\
[servers.prod]
url = "localhost:{server.port}"
color = "red"
confirm = true
allow = ["upper", "slow*"]

[servers.here]  # another name of the same server
url = "127.0.0.1:{server.port}"

[shell]
timing = false
items = 3
"""
    )
    (folder / "startup.ddp").write_text("# each time\nset length 77\nname = call upper started\n")
    with Window("-p", "prod", environment={"TERM": "xterm-256color"}) as window:
        window.wait_for("length is 77")
        window.wait_for('[1] "STARTED"')
        window.wait_for_prompt()
        assert window.rows[-2] == "prod>"
        assert re.search(rb"\x1b\[0;(?:31;1|1;31)mprod> |\x1b\[0;31;1mprod> ", bytes(window.written)), (
            "the prompt is red"
        )
        window.press("call upper $name\r")
        window.wait_for('[2] "STARTED"')
        assert " ms" not in window.plain.partition("[2]")[2].partition("\n")[0]
        window.press("call echo a {b: 1}\r")
        window.wait_for('call echo "a" {"b": 1} at prod? [y/N]')
        window.press("n\r")
        window.wait_for('error: not sent: call echo "a" {"b": 1}')
        window.press("apply echo [[1]]\r")
        window.wait_for("call echo [1] at prod? [y/N]")
        window.press("y\r")
        window.wait_for("[4] [[1]]")
        window.press("set theme light --save\rset pager off --save\rset items 5\r")
        window.wait_for("theme is light, saved in")
        window.wait_for("items is 5")
        window.press("connect here\r")
        window.wait_for(lambda: window.plain.count("connected to") == 2)
        window.wait_for(lambda: window.rows[-2] == "here>")
        window.press("call echo unasked\r")
        window.wait_for('[5] ["unasked"]')
        # The setting to confirm calls belongs to the server, whichever name the user connects with.
        window.press(f"connect http://LOCALHOST:{server.port}/\r")
        window.wait_for(lambda: window.plain.count("connected to") == 3)
        window.press("call echo d\r")
        window.wait_for('call echo "d" at ws://localhost:')
        window.press("\r")
        window.wait_for('error: not sent: call echo "d"')
        window.press("connect nosuchprofile.invalid\r")
        window.wait_for("nosuchprofile.invalid>")
        window.press("connect prod\r")
        window.wait_for(lambda: window.plain.count("connected to") == 4)
        window.press("call echo c\r")
        window.wait_for('call echo "c" at prod? [y/N]')
        window.press("\x03")
        window.wait_for('error: not sent: call echo "c"')
        window.press("\x04")
        assert window.wait_for_end() == 0
    text = config.read_text()
    assert text.endswith('[shell]\ntiming = false\nitems = 3\ntheme = "light"\npager = false\n')
    assert "# another name of the same server" in text


def test_completion_knows_profiles_users_parts_of_results_and_fills_the_window(
    server: LoopbackServer, home: Path
) -> None:
    folder = home / "config/ddpshell"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'[servers.prodigy]\nurl = "{server.url}"\n')
    with Window("-u", server.url, lines=40) as window:
        window.wait_for("connected to")
        window.press("login alice\r")
        window.wait_for("Password of alice:")
        window.press("wonderland\r")
        window.wait_for("[1] logged in as alice")
        window.press("login al\t")
        window.wait_for_prompt("login alice")
        window.press("\x03connect pro\t")
        window.wait_for_prompt("connect prodigy")
        window.press("\x03call echo {title: 'x', deep: {er: [5]}}\r")
        window.wait_for('[2] [{"title": "x"')
        window.press("echo $2[0].d\t.\t[0]\r")
        window.wait_for("echo $2[0].deep.er[0]")
        window.wait_for(lambda: "5" in window.rows)
        # The menu has as many rows as prompt_toolkit can show, and no more than it needs.
        window.press("\t")
        window.wait_for(lambda: sum(row.startswith(" ") for row in window.rows) >= 15)
        window.press("\x03find x {n: {\t")
        window.wait_for("$elemMatch:")
        window.press("\x03")
        window.wait_for_prompt()


def test_a_mistake_in_the_startup_file_is_shown_and_the_shell_opens(server: LoopbackServer, home: Path) -> None:
    folder = home / "config/ddpshell"
    folder.mkdir(parents=True)
    (folder / "startup.ddp").write_text("call upper one\nfrobnicate\ncall upper two\n")
    with Window("-u", server.url) as window:
        window.wait_for("error: startup.ddp, line 2: unknown command frobnicate")
        window.wait_for('[1] "ONE"')
        window.press("call upper three\r")
        window.wait_for('[2] "THREE"')
        assert "TWO" not in window.plain


# --------------------------------------------------------------------------------------------- habits of other shells


def test_the_shell_accepts_the_habits_of_other_shells(server: LoopbackServer, tmp_path: Path) -> None:
    with Window("-u", server.url) as window:
        window.wait_for("connected to")
        window.press("?\r")
        window.wait_for("`help COMMAND` explains a command")
        window.wait_for_prompt()
        assert window.rows[0].endswith("> ?"), "the whole help is visible"
        window.press("call --help\r")
        window.wait_for("call METHOD [VALUE]... [--wait]")
        window.press("!echo one && echo two\r")
        window.wait_for("one\ntwo\n")
        window.press("subscribe tasks; wait; t = find tasks {title: /^WRITE THE/i};\r")
        window.wait_for('[2] 1 document\n{"_id": "c", "title": "write the tests"')
        window.press("call echo $t[0]._id /tmp/x/i $none\r")
        window.wait_for("error: unknown variable $none; `none = call METHOD` sets it")
        window.press("call echo $t[0]._id /tmp/x/i new Date(0)\r")
        window.wait_for('[3] ["c", "/tmp/x/i", Date("1970-01-01T00:00:00.000Z")]')
        window.press("find tasks --vertical --limit 1\r")
        window.wait_for("-- 1 --\n_id    a\ntitle  write a client\n")
        window.press("call identity [{_id: 'abcdefghijklmnopq', text: 'some text', at: Date(0), n: 1, m: 2}]\r")
        window.wait_for("[5] [")
        window.press("set output table\recho $_\r")
        window.wait_for("1970-01-01 00:00:00Z")
        window.wait_for_prompt()
        window.resize(40, 24)
        window.press("echo $_\r")
        window.wait_for("... 3 more fields: at, n, m")
        window.wait_for_prompt()
        window.resize(80, 24)
        window.press("set output auto\r")
        window.press("subs | cat\r")
        window.wait_for('{"number":1,"publication":"tasks","params":[],"ready":true')
        window.press(f"watch tasks {{_id: 'c'}} > {tmp_path}/changes\r")
        window.wait_for("watching tasks")
        window.press("call toggleTask c\r")
        window.wait_for("[7] true")
        window.wait_for(lambda: (tmp_path / "changes").read_text().count("\n") == 2)
        window.press("call frobnicate\r")
        window.wait_for("[8] error 404")
        window.press("call frob\t")
        window.wait_for_prompt("call frob")
        window.press("\x03q\r")
        assert window.wait_for_end() == 0


def test_the_end_of_a_subscription_that_removes_fields_is_a_summary() -> None:
    app = Server()

    @app.publish
    def titles(sub: Subscription) -> None:
        for number in range(58):
            sub.added("tasks", str(number), {"title": "x"})
        sub.ready()

    @app.publish
    def owners(sub: Subscription) -> None:
        for number in range(58):
            sub.added("tasks", str(number), {"owner": "ann"})
        sub.ready()

    with LoopbackServer(app) as running, Window("-u", running.url) as window:
        window.wait_for("connected to")
        window.press("sub titles; wait; sub owners\r")
        window.wait_for("[2] sub owners: ready")
        window.press("unsub owners\r")
        window.wait_for("~ tasks: 53 more documents with fewer fields")
        assert window.plain.count(" without owner") == 5
