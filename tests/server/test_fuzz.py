"""A server under rubbish: each attack by itself, all of them in turn, and whatever hypothesis makes of JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpshell.protocol.server_session import MethodReceived
from ddpshell.server import ConnectionHandle
from tests.server.fuzz import Failed, attacked, fuzzed_server
from tests.server.wire import WireClient
from tests.strategies import hostile_text, json_trees


@pytest.fixture(scope="module")
def client() -> Iterator[WireClient]:
    """A client whose one session must last."""
    with fuzzed_server().running() as server, WireClient(server.url) as client:
        yield client


ATTACKS = """
texts | texts before connect | texts in fragments | texts in SockJS frames | broken SockJS frames | compressed texts |
broken frames | bytes | HTTP | ends
""".replace("\n", " ").strip()


@pytest.mark.parametrize("name", ATTACKS.split(" | "))
def test_an_attack_hurts_nobody_but_its_own_connection(name: str) -> None:
    """S10, S80, U11: and nothing of it is left, neither a session nor a socket nor a line in the log."""
    with attacked(1) as fuzzer:
        assert name in fuzzer.attacks
        fuzzer.run(60, only=name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_all_attacks_in_turn_hurt_nobody(seed: int) -> None:
    with attacked(seed) as fuzzer:
        assert sorted(fuzzer.attacks) == sorted(ATTACKS.split(" | "))
        fuzzer.run(3000)


def test_a_server_that_gives_up_a_session_is_found_out() -> None:
    server = fuzzed_server()

    def close(message: object, connection: ConnectionHandle) -> None:
        if isinstance(message, MethodReceived) and message.method == "refuse":
            connection.close()

    server.on_message(close)
    with pytest.raises(Failed, match="attack by texts"), attacked(2, server) as fuzzer:
        fuzzer.run(500, only="texts")


def test_an_exception_that_asyncio_caught_is_found_out() -> None:
    server = fuzzed_server()
    server.on_message(lambda *_: logging.getLogger("asyncio").error("Fatal error: data_received() failed."))
    with pytest.raises(Failed, match="logged"), attacked(2, server) as fuzzer:
        fuzzer.run(1)


trees = st.one_of(
    json_trees(), st.fixed_dictionaries({"msg": st.sampled_from(["sub", "unsub", "method"]) | hostile_text()})
)


@settings(deadline=None)
@given(st.lists(trees.map(json.dumps) | hostile_text().filter(lambda text: text.isprintable()), max_size=20))
def test_whatever_json_comes_the_session_lives(client: WireClient, texts: list[str]) -> None:
    """S80: and the next good call is answered."""
    for text in texts:
        client.send_text(text)
    client.receive_rest()
    assert client.call("echo", len(texts)) == [len(texts)]
