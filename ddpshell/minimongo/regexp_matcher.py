"""A regular expression matcher with a bounded number of steps.

Python's `re` tries every way in which a pattern could match, with the interpreter locked. Some patterns match a short text in
so many ways that this never ends. Each step of the matcher here is much slower, but it tries each part of the pattern at each
position of the text only once, and it gives up after a number of steps. Therefore, `regexps` uses `re` if even its worst case
is fast, and this matcher otherwise.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final, TypeAlias

from msgspec import Struct

from ..exceptions import QueryError

#: All worst cases above this number of steps count as equal.
CEILING: Final = 10**12

# About a third of a second.
_MOST_STEPS: Final = 500_000
_MOST_INSTRUCTIONS: Final = 100_000


class Single(Struct, frozen=True):
    """One character of a set, or a place in the text such as its end.

    Args:
        text: The pattern for `re`.
        ignores_case: Whether upper and lower case are equal.
        width: 1 for a character, 0 for a place.
    """

    text: str
    ignores_case: bool
    width: int


class Repeat(Struct, frozen=True):
    """A node that is repeated; without a limit if `most` is None. In JavaScript, each repetition resets the groups in it."""

    node: Node
    least: int
    most: int | None
    groups: range


class Alternation(Struct, frozen=True):
    """One of several nodes."""

    options: tuple[Node, ...]


class Group(Struct, frozen=True):
    """A capturing group; its number counts from 0."""

    node: Node
    number: int


class Backreference(Struct, frozen=True):
    """A reference to the text that a group has matched."""

    number: int
    ignores_case: bool


class Lookaround(Struct, frozen=True):
    """A test whether a node matches the text that follows or, if `is_behind`, the text before."""

    node: Node
    is_behind: bool
    is_negative: bool


#: A tuple is a sequence of nodes.
Node: TypeAlias = "Single | Repeat | Alternation | Group | Backreference | Lookaround | tuple[Node, ...]"


def worst_case(node: Node, length: int) -> tuple[int, int]:
    """Estimate the cost of matching a node with `re` at one position of a text.

    Args:
        node: The node.
        length: The length of the text.

    Returns:
        The largest number of ways in which the node can match, and of steps to try them all. Both are at most `CEILING`.
    """
    match node:
        case Single():
            # `re` tests the ranges of a class one by one.
            return 1, 1 + len(node.text) // 8
        case Backreference():
            return 1, length
        case Group():
            return worst_case(node.node, length)
        case Lookaround():
            return 1, worst_case(node.node, length)[1]
        case Alternation():
            costs = [worst_case(option, length) for option in node.options]
            return min(CEILING, sum(ways for ways, _ in costs)), min(CEILING, 1 + sum(steps for _, steps in costs))
        case Repeat():
            ways, steps = worst_case(node.node, length)
            most = max(node.least, length + 1) if node.most is None else min(node.most, max(node.least, length + 1))
            if ways == 1:
                return min(CEILING, most - node.least + 1), min(CEILING, 1 + most * steps)
            # The number of ways is 1 + ways + ways**2 + ..., since the repetition may stop after each round.
            total, power = 0, 1
            for _ in range(most + 1):
                total += power
                power *= ways
                if total > CEILING:
                    break
            return min(CEILING, total), min(CEILING, total * steps)
        case _:
            all_ways, all_steps = 1, 1
            for part in node:
                ways, steps = worst_case(part, length)
                all_steps = min(CEILING, all_steps + all_ways * steps)
                all_ways = min(CEILING, all_ways * ways)
            return all_ways, all_steps


def size(node: Node) -> int:
    """Return the number of instructions for a node, or slightly more."""
    match node:
        case Single() | Backreference():
            return 1
        case Group() | Lookaround():
            return 2 + size(node.node)
        case Alternation():
            return sum(2 + size(option) for option in node.options)
        case Repeat():
            return (node.least + 1 if node.most is None else node.most) * (3 + size(node.node))
        case _:
            return sum(map(size, node))


def width(node: Node) -> int:
    """Return the number of characters that a node in a lookbehind matches. `re` requires that it is always the same."""
    match node:
        case Single():
            return node.width
        case Group():
            return width(node.node)
        case Alternation():
            return width(node.options[0])
        case Repeat():
            return node.least * width(node.node)
        case tuple():
            return sum(map(width, node))
        case _:
            return 0


_CHARACTER: Final = 0  # a set of characters
_ASSERTION: Final = 1  # a function of text and position
_SPLIT: Final = 2  # the other instruction to continue with
_JUMP: Final = 3  # the instruction to continue with
_SAVE: Final = 4  # 2 * group for the beginning of a group, 2 * group + 1 for its end
_RESET: Final = 5  # the groups in a repetition
_BACKREFERENCE: Final = 6  # the Backreference
_LOOK: Final = 7  # is negative, the distance to its beginning, the instruction to continue with
_MATCH: Final = 8

# The positions at which groups begin and end; -1 for groups without a match.
_Saved: TypeAlias = tuple[int, ...]


class Matcher:
    """Searches texts for a node.

    Args:
        node: The node.
        name: The regular expression, for errors.
        groups: The number of groups; 0 without backreferences, to save time.

    Raises:
        QueryError: The regular expression is too large.
    """

    def __init__(self, node: Node, name: str, groups: int) -> None:
        self._name = name
        self._groups = groups
        self._program: list[tuple[int, Any]] = []
        if size(node) > _MOST_INSTRUCTIONS:
            raise QueryError(f"the regular expression {name} is too large")
        self._emit(node)
        self._program.append((_MATCH, None))

    def search(self, text: str) -> bool:
        """Return whether the node matches somewhere in a text.

        Raises:
            QueryError: The search takes too many steps.
        """
        return _Search(self._program, self._name, text).run((-1,) * 2 * self._groups)

    def _emit(self, node: Node) -> None:
        program = self._program
        match node:
            case Single():
                pattern = re.compile(node.text, re.IGNORECASE if node.ignores_case else re.NOFLAG)
                # Few different characters occur, often many times.
                is_in = functools.cache(lambda character: pattern.fullmatch(character) is not None)
                program.append((_CHARACTER, is_in) if node.width else (_ASSERTION, pattern.match))
            case Backreference():
                program.append((_BACKREFERENCE, node))
            case Group() if self._groups:
                program.append((_SAVE, 2 * node.number))
                self._emit(node.node)
                program.append((_SAVE, 2 * node.number + 1))
            case Group():
                self._emit(node.node)
            case Lookaround():
                place = self._reserve()
                self._emit(node.node)
                program.append((_MATCH, None))
                program[place] = (_LOOK, (node.is_negative, width(node.node) if node.is_behind else 0, len(program)))
            case Alternation():
                jumps = []
                for option in node.options[:-1]:
                    split = self._reserve()
                    self._emit(option)
                    jumps.append(self._reserve())
                    program[split] = (_SPLIT, len(program))
                self._emit(node.options[-1])
                for jump in jumps:
                    program[jump] = (_JUMP, len(program))
            case Repeat():
                splits = []
                for number in range(node.least + 1 if node.most is None else node.most):
                    if number >= node.least:
                        splits.append(self._reserve())
                    if self._groups and node.groups:
                        program.append((_RESET, node.groups))
                    self._emit(node.node)
                if node.most is None:
                    program.append((_JUMP, splits[0]))
                for split in splits:
                    program[split] = (_SPLIT, len(program))
            case _:
                for part in node:
                    self._emit(part)

    def _reserve(self) -> int:
        self._program.append((_JUMP, None))
        return len(self._program) - 1


class _Search(Struct):
    """The search of one text."""

    program: list[tuple[int, Any]]
    name: str
    text: str
    steps: int = 0
    # The states that cannot lead to a match, by the start of their part of the program.
    failed: dict[int, set[object]] = {}

    def run(self, saved: _Saved) -> bool:
        return any(self._match(0, position, saved) is not None for position in range(len(self.text) + 1))

    def _match(self, start: int, position: int, saved: _Saved) -> _Saved | None:
        """Match the part of the program that begins at `start`, and return the positions of its groups, or None."""
        program, text = self.program, self.text
        seen = self.failed.setdefault(start, set())
        visited: list[object] = []
        pending = [(start, position, saved)]
        while pending:
            place, position, saved = pending.pop()
            while True:
                state: object = place + position * len(program)
                if saved:
                    state = (state, saved)
                if state in seen:
                    break
                seen.add(state)
                if start:
                    visited.append(state)
                self.steps += 1
                if self.steps > _MOST_STEPS:
                    raise QueryError(
                        f"the regular expression {self.name} takes too many steps on a text with {len(text)} characters"
                    )
                operation, operand = program[place]
                place += 1
                if operation == _CHARACTER:
                    if position >= len(text) or not operand(text[position]):
                        break
                    position += 1
                elif operation == _SPLIT:
                    pending.append((operand, position, saved))
                elif operation == _JUMP:
                    place = operand
                elif operation == _ASSERTION:
                    if operand(text, position) is None:
                        break
                elif operation == _SAVE:
                    saved = (*saved[:operand], position, *saved[operand + 1 :])
                elif operation == _RESET:
                    saved = tuple(-1 if number // 2 in operand else value for number, value in enumerate(saved))
                elif operation == _BACKREFERENCE:
                    end = self._end_of_backreference(operand, position, saved)
                    if end is None:
                        break
                    position = end
                elif operation == _LOOK:
                    is_negative, behind, after = operand
                    found = self._match(place, position - behind, saved) if position >= behind else None
                    if (found is None) is not is_negative:
                        break
                    place, saved = after, saved if found is None else found
                else:
                    seen.difference_update(visited)
                    return saved
        return None

    def _end_of_backreference(self, backreference: Backreference, position: int, saved: _Saved) -> int | None:
        begin, end = saved[2 * backreference.number : 2 * backreference.number + 2]
        if end < 0:
            return position  # In JavaScript, a reference to a group without a match matches the empty text.
        wanted = self.text[begin:end]
        found = self.text[position : position + len(wanted)]
        if found == wanted or (backreference.ignores_case and found.lower() == wanted.lower()):
            return position + len(wanted)
        return None
