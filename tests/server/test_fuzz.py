"""Invalid input for a server: each attack alone, all attacks together, and JSON from hypothesis."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpshell.protocol.server_session import MethodReceived
from ddpshell.server import ConnectionHandle
from tests.server.fuzz import Failed, attack_server, fuzzed_server
from tests.server.wire import WireClient
from tests.strategies import hostile_text, json_trees


@pytest.fixture(scope="module")
def client() -> Iterator[WireClient]:
    """A client whose session must not end during the tests."""
    with fuzzed_server().running() as server, WireClient(server.url) as client:
        yield client


ATTACKS = """
texts | texts before connect | texts in fragments | texts in SockJS frames | broken SockJS frames | compressed texts |
broken frames | bytes | HTTP | disconnects
""".replace("\n", " ").strip()


@pytest.mark.parametrize("name", ATTACKS.split(" | "))
def test_an_attack_only_affects_its_own_connection(name: str) -> None:
    """An attack leaves no session, no socket and no line in the log (S10, S80, U11)."""
    with attack_server(1) as fuzzer:
        assert name in fuzzer.attacks
        fuzzer.run(60, only=name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_all_attacks_together_do_no_harm(seed: int) -> None:
    with attack_server(seed) as fuzzer:
        assert sorted(fuzzer.attacks) == sorted(ATTACKS.split(" | "))
        fuzzer.run(3000)


def test_the_fuzzer_detects_a_server_that_ends_a_session() -> None:
    server = fuzzed_server()

    def close(message: object, connection: ConnectionHandle) -> None:
        if isinstance(message, MethodReceived) and message.method == "refuse":
            connection.close()

    server.on_message(close)
    with pytest.raises(Failed, match="attack by texts"), attack_server(2, server) as fuzzer:
        fuzzer.run(500, only="texts")


def test_the_fuzzer_detects_an_exception_that_asyncio_caught() -> None:
    server = fuzzed_server()
    server.on_message(lambda *_: logging.getLogger("asyncio").error("Fatal error: data_received() failed."))
    with pytest.raises(Failed, match="logged"), attack_server(2, server) as fuzzer:
        fuzzer.run(1)


trees = st.one_of(
    json_trees(), st.fixed_dictionaries({"msg": st.sampled_from(["sub", "unsub", "method"]) | hostile_text()})
)


@settings(deadline=None)
@given(st.lists(trees.map(json.dumps) | hostile_text().filter(lambda text: text.isprintable()), max_size=20))
def test_any_json_leaves_the_session_usable(client: WireClient, texts: list[str]) -> None:
    """The next valid call is answered (S80)."""
    for text in texts:
        client.send_text(text)
    client.receive_rest()
    assert client.call("echo", len(texts)) == [len(texts)]
