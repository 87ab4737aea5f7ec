from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.protocol.random_stream import Alea, RandomStream, pick, random_hex, random_id, random_secret
from tests import strategies

ID_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("seeds", "ids"),
    [
        pytest.param([0], ["cp9hWvhg8GSvuZ9os", "3f3k6Xo7rrHCifQhR"], id="a number"),
        pytest.param(["abc", "/collection/foo"], ["G54c3DHP7bs64gZRr", "EoEMffTapR4zMHDbJ"], id="a collection"),
        pytest.param(["abc", "default"], ["JCAvXzSrKXqdvAbER"], id="the unnamed stream"),
        pytest.param(["\u00e9\U0001f600", "x"], ["qFZc36XwPXw4KHbij"], id="by UTF-16 code unit"),
    ],
)
def test_i8_seeds_give_meteors_ids(seeds: Sequence[str | int], ids: Sequence[str]) -> None:
    random = Alea(*seeds)
    assert [random_id(random) for _ in ids] == ids


def test_i8_seeds_give_meteors_numbers() -> None:
    random = Alea("abc", "default")
    assert [random() for _ in range(3)] == [0.3024747173767537, 0.19660299690440297, 0.14993935264647007]


def test_i8_seeds_give_meteors_hexadecimal_digits() -> None:
    assert random_hex(Alea("abc", "/collection/foo"), 24) == "4009034619d10a86d3c35aa7"
    random = Alea("abc", "default")
    random_id(random)
    assert random_hex(random, 20) == "00173dc51de348341b8d"


def test_i5_the_seed_of_a_called_method_comes_from_a_source_with_its_name() -> None:
    stream = RandomStream("abc")
    assert [stream.method_seed("m"), stream.method_seed("m")] == ["84dee6511684421da74c", "2c4647ff013203d039ee"]


def test_i5_sources_do_not_affect_each_other() -> None:
    stream = RandomStream("abc")
    assert stream.document_id("foo") == "G54c3DHP7bs64gZRr"
    stream.document_id("bar")
    assert random_id(stream.source()) == "JCAvXzSrKXqdvAbER"
    assert stream.document_id("foo") == "EoEMffTapR4zMHDbJ"


def test_i3_a_number_picks_a_character() -> None:
    random = iter([0.0, 0.249, 0.25, 0.999999]).__next__
    assert pick(random, "abcd", 4) == "aabd"


@given(st.lists(strategies.texts() | st.integers(), max_size=3))
def test_i4_every_number_is_at_least_0_and_below_1(seeds: Sequence[str | int]) -> None:
    random = Alea(*seeds)
    assert all(0 <= random() < 1 for _ in range(100))


@given(st.integers())
def test_i1_i2_ids_and_secrets_consist_of_their_characters(seed: int) -> None:
    random = Alea(seed)
    identifier, secret = random_id(random), random_secret(random)
    assert len(identifier) == 17
    assert set(identifier) <= set(ID_CHARACTERS)
    assert len(secret) == 43
    assert secret.replace("-", "").replace("_", "").isalnum()
    assert secret.isascii()
