from __future__ import annotations

from ddpshell.server.leaky_demo import LEAKS, leaky_demo_server


def test_there_are_fifteen_different_leaks_in_collections_that_are_published() -> None:
    assert len(set(LEAKS)) == len(LEAKS) == 15
    names = leaky_demo_server().publication_names
    assert {collection for _, collection, _ in LEAKS} - {*names} == {"settings"}
