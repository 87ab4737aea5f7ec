"""Scripts run one command after another, up to an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpshell.client import Client
from ddpshell.clock import SystemClock
from ddpshell.exceptions import CommandError, DDPTimeout, MethodError
from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.link import Hooks
from ddpshell.shell.replies import error_text
from ddpshell.shell.script import ScriptOutcome, run_script
from ddpshell.shell.settings import Settings
from ddpshell.shell.state import Shell
from ddpshell.shell.terminal.display import ScriptDisplay
from ddpshell.text.palette import plain
from tests.loopback import LoopbackServer


class Stage:
    """A shell for scripts that keeps its output."""

    def __init__(self, url: str) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        settings = Settings()
        display = ScriptDisplay(settings, self.out.append, self.err.append, self.fail, show_notes=False)
        self.shell = Shell(
            shell_registry(),
            display,
            settings,
            SystemClock(),
            Hooks(lambda _, on_event: Client(url, reconnect=False, on_event=on_event)),
        )
        self.shell.link.open(None)

    def fail(self, error: BaseException, where: str) -> None:
        self.err.append(plain(error_text(error, 80, where=where)))

    def run(
        self, text: str, *, keep_going: bool = False, time_left: Callable[[], float] = lambda: 20.0
    ) -> ScriptOutcome:
        self.shell.hooks.time_left = time_left
        return run_script(self.shell, text.splitlines(keepends=True), keep_going=keep_going)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with LoopbackServer() as server:
        stage = Stage(server.url)
        yield stage
        stage.shell.close()


def test_each_command_waits_for_the_earlier_command(stage: Stage) -> None:
    done = stage.run("call slowUnblocked 50\ncall echo $1\nsub tasks\nfind tasks {n: 1} --fields n\ncount tasks\n")
    assert done == ScriptOutcome(5, None)
    assert stage.out == ["50\n", "[50]\n", '{"_id":"a","n":1}\n', "3\n"]
    assert stage.err == []


def test_a_command_may_stretch_over_lines(stage: Stage) -> None:
    assert stage.run("call echo {a: 1,\n  b: [2,\n 3]}\ncall upper \\\n 'x'").commands == 2
    assert stage.out == ['[{"a":1,"b":[2,3]}]\n', '"X"\n']


def test_comments_and_empty_lines_are_skipped(stage: Stage) -> None:
    assert stage.run("# one\n\n  # two\ncall upper a\n") == ScriptOutcome(1, None)


def test_the_first_error_ends_a_script(stage: Stage) -> None:
    done = stage.run("call upper a\ncall fail\ncall upper b")
    assert isinstance(done.error, MethodError)
    assert done.commands == 2
    assert stage.out == ['"A"\n']
    assert stage.err[0].startswith("error demo-failure: This method always fails (script, line 2)")


def test_keep_going_continues_after_an_error(stage: Stage) -> None:
    done = stage.run("call fail\nzzz\ncall upper b", keep_going=True)
    assert isinstance(done.error, MethodError), "the error is the first one"
    assert done.commands == 3
    assert stage.out == ['"B"\n']
    assert len(stage.err) == 2


def test_an_error_names_its_line(stage: Stage) -> None:
    done = stage.run("call upper a\n\ncall f {a: 1,\n b 2}\n")
    assert isinstance(done.error, CommandError)
    assert "script, line 3: expected ':' after the key, not 2" in stage.err[0]
    assert "\n   b 2}\n     ^" in stage.err[0]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param("call fail", "error demo-failure: This method always fails", id="a method"),
        pytest.param("sub bad", "error 403: denied", id="a publication"),
        pytest.param("login --token-file {folder}/token", "error 403: ", id="a login"),
        pytest.param("whoami", "you are not logged in", id="a missing login"),
        pytest.param("call upper a | exit 3", "exit 3 ended with code 3", id="a program"),
        pytest.param("echo $9", "there is no result yet", id="a variable"),
    ],
)
@pytest.mark.parametrize("is_within", [False, True], ids=["a script", "a file within a script"])
def test_any_error_names_its_file_and_line(
    stage: Stage, tmp_path: Path, line: str, error: str, is_within: bool
) -> None:
    (tmp_path / "token").write_text("wrong\n")
    text = f"# a comment\n\n{line.format(folder=tmp_path)}\n"
    (tmp_path / "inner").write_text(text)
    assert stage.run(f"source {tmp_path}/inner\n" if is_within else text).error is not None
    [told] = [" ".join(line.split()) for line in stage.err]
    assert (f"{tmp_path}/inner, line 3" if is_within else "script, line 3") in told
    assert error in told


def test_a_subscription_that_ends_later_names_its_file_and_line(stage: Stage) -> None:
    stage.run("sub failsLater 1\n")
    subscribed = [item.handle for item in stage.shell.link.subscriptions.all()]
    for handle in filter(None, subscribed):
        handle.stopped.result(20)
    stage.shell.wait()
    assert [" ".join(text.split()) for text in stage.err] == ["error later: it failed in the end (script, line 1)"]


def test_an_unclosed_bracket_is_an_error(stage: Stage) -> None:
    done = stage.run("call f {a: 1\ncall upper b\n")
    assert isinstance(done.error, CommandError)
    assert stage.out == []


def test_lines_are_run_as_they_come(stage: Stage) -> None:
    def lines() -> Iterator[str]:
        yield "call upper a\n"
        assert stage.out == ['"A"\n'], "the first line is run before the next line is read"
        yield "call upper b\n"

    assert run_script(stage.shell, lines()) == ScriptOutcome(2, None)


def test_the_time_limit_is_for_the_whole_script(stage: Stage) -> None:
    done = stage.run("call upper a\ncall slow 60000\ncall upper b", time_left=lambda: 1)
    assert isinstance(done.error, DDPTimeout)
    assert done.commands == 2
    assert "script, line 2: no answer to call within the time limit" in stage.err[0]


@pytest.mark.parametrize("keep_going", [False, True])
def test_nothing_is_run_after_the_time_limit(stage: Stage, keep_going: bool) -> None:
    left = iter([5.0, 5.0, 0.0])
    done = stage.run("call upper a\ncall upper b\ncall upper c", keep_going=keep_going, time_left=lambda: next(left))
    assert isinstance(done.error, DDPTimeout)
    assert (done.commands, stage.out) == (1, ['"A"\n'])
    assert "script, line 2: not run: the time limit was reached" in stage.err[0]


def test_a_sourced_file_has_the_same_time_limit(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("call slow 60000\n")
    done = stage.run(f"source {tmp_path}/inner", time_left=lambda: 0.05)
    assert isinstance(done.error, DDPTimeout)
    assert "inner, line 1: no answer to call within the time limit" in " ".join(stage.err[0].split())


def test_an_error_in_a_sourced_file_ends_the_script(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("call upper a\ncall fail\n")
    done = stage.run(f"source {tmp_path}/inner\ncall upper b")
    assert isinstance(done.error, MethodError)
    assert stage.out == ['"A"\n']
    assert len(stage.err) == 1, "the error is printed once"


def test_exit_ends_the_loop(stage: Stage) -> None:
    assert stage.run("call upper a\nexit\ncall upper b") == ScriptOutcome(2, None)
    assert stage.out == ['"A"\n']


def test_requested_text_goes_to_standard_output(stage: Stage) -> None:
    stage.run("help subs\nset output raw\ncall upper a\nset output")
    assert stage.out[0].startswith("subs\n\nList the subscriptions.")
    assert stage.out[1:] == ["A\n", stage.out[2]]
    assert stage.out[2].startswith("output is raw")


def test_a_watch_writes_its_lines_among_the_results(stage: Stage) -> None:
    stage.run("sub tasks\nwatch tasks {n: 1}\ncall upper a\n")
    assert '+ tasks/a {"title": "write a client", "done": true, "n": 1}\n' in stage.out


def test_a_program_that_fails_is_an_error(stage: Stage) -> None:
    assert isinstance(stage.run("call upper a | exit 3").error, CommandError)
