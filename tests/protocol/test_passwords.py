from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.protocol.passwords import digest
from tests import strategies


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        pytest.param("password", "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8", id="ASCII"),
        pytest.param("pässwörd", "46970bef70aced8123f0d5d094717e2a5cd412041e03b26376049fe65b2834a4", id="Latin"),
        pytest.param("\U0001f600", "ea645893a930e0872284cf8fbc8d14f66f052aea0bc8d9c4829f08a38219940c", id="CESU-8"),
    ],
)
def test_a20_digests_are_those_of_meteors_client(password: str, expected: str) -> None:
    assert digest(password) == {"digest": expected, "algorithm": "sha-256"}


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])))
def test_a20_up_to_ffff_the_digest_is_that_of_utf_8(password: str) -> None:
    assert digest(password)["digest"] == hashlib.sha256(password.encode()).hexdigest()


@given(strategies.texts())
def test_every_text_has_a_digest(password: str) -> None:
    assert len(digest(password)["digest"]) == 64


def test_a20_nothing_is_trimmed() -> None:
    assert digest("password\n") != digest("password")
