from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.benchmarks import hostile


@pytest.mark.parametrize("attacks", [hostile.from_server, hostile.from_client])
def test_each_attack_has_its_own_name_and_about_as_many_characters_as_are_asked_for(
    attacks: Callable[[int], Iterator[tuple[str, list[str]]]],
) -> None:
    found = list(attacks(100_000))
    assert len(dict(found)) == len(found)
    for name, messages in found:
        size = sum(len(text.encode()) for text in messages)
        assert 50_000 < size < 150_000, name


@pytest.mark.parametrize("options", [[], ["-d"]])
def test_a_client_answers_pings_after_each_attack(options: list[str]) -> None:
    held = hostile.hold_client(1000, options)
    assert list(held) == [name for name, _ in hostile.from_server(1000)]
