"""Every exception: its sentence, and its place in the tree."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from ddpshell import exceptions
from ddpshell.exceptions import (
    ClientClosed,
    CommandError,
    ConnectError,
    ConnectionLost,
    DDPError,
    DDPTimeout,
    EJSONError,
    InvalidURL,
    LocalProtocolError,
    LoginError,
    LoginLost,
    LoginNeeded,
    MessageTooLarge,
    MethodError,
    NegotiationError,
    OutcomeUnknown,
    QueryError,
    RateLimited,
    RecordingError,
    RemoteProtocolError,
    ServerError,
    SubscriptionError,
    TwoFactorError,
)

SENTENCES = [
    pytest.param(LocalProtocolError("the session is over"), "the session is over", id="local protocol"),
    pytest.param(RemoteProtocolError("no JSON"), "no JSON", id="remote protocol"),
    pytest.param(EJSONError("no EJSON: a set"), "no EJSON: a set", id="EJSON"),
    pytest.param(
        MessageTooLarge("the result of 'm'", 0x3FFFFFF), "the result of 'm' is larger than 64 MiB", id="too large"
    ),
    pytest.param(MessageTooLarge("a document", 1000), "a document is larger than 1,000 bytes", id="a small limit"),
    pytest.param(QueryError("unknown operator $foo"), "unknown operator $foo", id="selector"),
    pytest.param(InvalidURL("a b", "no spaces"), "invalid server URL 'a b': no spaces", id="URL"),
    pytest.param(
        NegotiationError("1", "pre2"),
        "DDP version negotiation failed; server requested version pre2",
        id="negotiation, with Meteor's text (C4)",
    ),
    pytest.param(
        ServerError("nope", "a reason"), "a reason [nope]", id="server, with the text of Meteor's client (C28)"
    ),
    pytest.param(ServerError("nope"), "[nope]", id="server, no reason"),
    pytest.param(ServerError("nope", ""), "[nope]", id="server, empty reason"),
    pytest.param(MethodError(404, "Method 'x' not found"), "Method 'x' not found [404]", id="method, number"),
    pytest.param(MethodError("404", "as a string"), "as a string [404]", id="method, string"),
    pytest.param(MethodError(4.5, "a fraction", {"d": 1}), "a fraction [4.5]", id="method, fraction and details"),
    pytest.param(LoginError(403, "Incorrect password"), "Incorrect password [403]", id="login"),
    pytest.param(LoginLost(403, "'m' was not sent"), "'m' was not sent [403]", id="a call without its user"),
    pytest.param(
        TwoFactorError("no-2fa-code", "2FA code required"), "2FA code required [no-2fa-code]", id="two factors"
    ),
    pytest.param(RecordingError("a.har is not a recording"), "a.har is not a recording", id="recording"),
    pytest.param(RateLimited("too-many-requests", "Slow down"), "Slow down [too-many-requests]", id="rate limit"),
    pytest.param(SubscriptionError("denied", "not yours"), "not yours [denied]", id="subscription"),
    pytest.param(ConnectError("refused", problem="refused"), "refused", id="connect"),
    pytest.param(ConnectionLost("the server closed the connection"), "the server closed the connection", id="lost"),
    pytest.param(
        OutcomeUnknown("pay", "the connection was lost"),
        "outcome of 'pay' unknown: the connection was lost before its result arrived; the method may or may not have run",
        id="outcome unknown",
    ),
    pytest.param(ClientClosed("the client is closed"), "the client is closed", id="closed"),
    pytest.param(DDPTimeout("no result within 5 s"), "no result within 5 s", id="timeout"),
    pytest.param(LoginNeeded("you are not logged in"), "you are not logged in", id="login needed"),
    pytest.param(InvalidURL("a", "b", what="proxy URL"), "invalid proxy URL 'a': b", id="proxy"),
    pytest.param(CommandError("no such command", "cll", 0), "no such command", id="command: without the position"),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES)
def test_an_error_reads_as_one_sentence(error: DDPError, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize(("error", "sentence"), SENTENCES)
def test_an_error_survives_pickling_and_copying(error: DDPError, sentence: str) -> None:
    """Process pools pickle errors."""
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(twin), str(twin), vars(twin)) == (type(error), sentence, vars(error))


def test_an_error_has_fields_to_branch_on() -> None:
    server = ServerError("nope", "a reason", {"d": 1}, error_type="My.Error")
    assert (server.error, server.reason, server.details, server.error_type) == (
        "nope",
        "a reason",
        {"d": 1},
        "My.Error",
    )
    assert MethodError(1).error_type == "Meteor.Error"
    connect = ConnectError("no", problem="redirect", detail="ws://h", retryable=False, status=404)
    assert (connect.problem, connect.detail, connect.retryable, connect.status) == ("redirect", "ws://h", False, 404)
    plain = ConnectError("no")
    assert (plain.problem, plain.detail, plain.retryable, plain.status) == ("", "", True, None)
    command = CommandError("no", "call {", 5)
    assert (command.message, command.text, command.position) == ("no", "call {", 5)
    negotiation = NegotiationError("1", "pre2")
    assert (negotiation.proposed, negotiation.suggested) == ("1", "pre2")
    outcome = OutcomeUnknown("pay", "it was lost")
    assert (outcome.method, outcome.why) == ("pay", "it was lost")
    url = InvalidURL("a b", "no spaces")
    assert (url.url, url.problem) == ("a b", "no spaces")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        pytest.param(EJSONError, ValueError, id="EJSON"),
        pytest.param(QueryError, ValueError, id="selector"),
        pytest.param(InvalidURL, ValueError, id="URL"),
        pytest.param(DDPTimeout, TimeoutError, id="timeout"),
    ],
)
def test_some_errors_are_also_built_in_exceptions(error: type[DDPError], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


# --------------------------------------------------------------------------------------------------------- the tree


def drawn() -> dict[str, str]:
    """Return the tree in the module's docstring: each class and its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (exceptions.__doc__ or "").splitlines():
        if match := re.match(r"    ((?:[│ ]  )*(?:[├└]─ )?)(\w+)( .*)?$", line):
            depth = len(match[1]) // 3
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    errors = dict(inspect.getmembers(exceptions, inspect.isclass))
    assert {name: error.__bases__[0].__name__ for name, error in errors.items()} == drawn()
    assert set(errors) == set(exceptions.__all__)


def test_every_leaf_of_the_tree_has_a_tested_sentence() -> None:
    leaves = set(exceptions.__all__) - set(drawn().values())
    assert leaves <= {type(parameters.values[0]).__name__ for parameters in SENTENCES}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        pytest.param(RateLimited("too-many-requests", details={"timeToReset": 1500}), 1.5, id="milliseconds"),
        pytest.param(SubscriptionError("too-many-requests", details={"timeToReset": 0.5}), 0.0005, id="subscription"),
        pytest.param(RateLimited("too-many-requests"), None, id="no details"),
        pytest.param(RateLimited("too-many-requests", details={"timeToReset": True}), None, id="no number"),
        pytest.param(MethodError(403, details={"timeToReset": 1500}), None, id="another error"),
    ],
)
def test_a_rate_limit_says_how_long_to_wait(error: ServerError, seconds: float | None) -> None:
    """S50."""
    assert error.time_to_reset == seconds


@pytest.mark.parametrize(
    ("text", "position", "place"),
    [
        pytest.param("call f {a 1}", 10, ("call f {a ", "1}"), id="one line"),
        pytest.param("a\n b 2}\nc", 5, (" b ", "2}"), id="one of several lines"),
        pytest.param("call f {", 8, ("call f {", ""), id="at the end"),
        pytest.param("call f {\n\n", 10, ("call f {", ""), id="below the end"),
        pytest.param("call f  ", 8, ("call f  ", ""), id="after a space"),
        pytest.param("call f", None, None, id="nowhere"),
    ],
)
def test_the_place_of_an_error_is_in_its_line(text: str, position: int | None, place: tuple[str, str] | None) -> None:
    assert CommandError("wrong", text, position).place == place
