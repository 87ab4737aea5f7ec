"""Ctrl-C ends the current or the next wait, and nothing else."""

from __future__ import annotations

import inspect
import itertools
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

import pytest

from ddpshell.shell.state import Interrupts
from tests.loopback import PATIENCE

TraceFunction: TypeAlias = Callable[[FrameType, str, Any], Any]


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_a_wait() -> None:
    interrupts = Interrupts()
    with interrupts.installed(), pytest.raises(KeyboardInterrupt), interrupts.allowed():
        press()


def test_ctrl_c_ends_a_wait_that_blocks() -> None:
    interrupts = Interrupts()
    main = threading.main_thread().ident
    assert main is not None
    killer = threading.Thread(target=signal.pthread_kill, args=[main, signal.SIGINT])

    def wait() -> None:
        with interrupts.allowed():
            killer.start()
            threading.Event().wait(PATIENCE)

    with interrupts.installed(), pytest.raises(KeyboardInterrupt):
        wait()
    killer.join()


def test_ctrl_c_outside_a_wait_ends_the_next_wait() -> None:
    interrupts = Interrupts()
    with interrupts.installed():
        press()
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            raise AssertionError("Ctrl-C was pressed before the wait")
        with interrupts.allowed():
            pass


def test_after_a_nested_wait_the_outer_wait_can_be_interrupted() -> None:
    interrupts = Interrupts()

    def wait() -> None:
        with interrupts.allowed():
            with interrupts.allowed():
                pass
            press()

    with interrupts.installed(), pytest.raises(KeyboardInterrupt):
        wait()


def test_a_remembered_ctrl_c_can_be_forgotten() -> None:
    interrupts = Interrupts()
    with interrupts.installed():
        press()
        interrupts.is_pending = False
        with interrupts.allowed():
            pass


def test_a_ctrl_c_read_as_a_key_ends_the_next_wait() -> None:
    interrupts = Interrupts()
    interrupts.is_pending = True
    with pytest.raises(KeyboardInterrupt), interrupts.allowed():
        pass


def test_afterwards_python_handles_ctrl_c_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts().installed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_between_any_two_instructions_ends_exactly_one_wait() -> None:
    """Press Ctrl-C at each instruction of a short wait in turn. Ctrl-C ends that wait or the next one, and no later wait."""
    ended_here = ended_later = 0
    for step in itertools.count():
        interrupts = Interrupts()
        with interrupts.installed():
            here, was_pressed = _pressed_at(step, interrupts)
            later = _is_interrupted(interrupts)
            if not was_pressed:
                break
            assert here != later, step
            ended_here, ended_later = ended_here + here, ended_later + later
            # No further wait is interrupted.
            press()
            interrupts.is_pending = False
            assert not _is_interrupted(interrupts)
    assert ended_here > 5
    assert ended_later > 0


def _is_interrupted(interrupts: Interrupts) -> bool:
    try:
        with interrupts.allowed():
            pass
    except KeyboardInterrupt:
        return True
    return False


def _pressed_at(step: int, interrupts: Interrupts) -> tuple[bool, bool]:
    """Press Ctrl-C at an instruction of a wait. Returns whether it ended the wait, and whether the instruction exists."""
    steps = itertools.count()
    was_pressed = False

    def trace(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        nonlocal was_pressed
        if not frame.f_code.co_filename.endswith("shell/state.py"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not was_pressed and next(steps) == step:
            was_pressed = True
            press()
        return trace

    before = sys.gettrace()
    own = inspect.currentframe()
    assert own is not None
    # CPython 3.12 reports instructions only if a frame has asked for them before `settrace`.
    own.f_trace_opcodes = True
    sys.settrace(trace)
    try:
        return _is_interrupted(interrupts), was_pressed
    finally:
        sys.settrace(before)
