"""Which web pages can connect, by the headers of their requests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ddpshell.server import Options, Server
from ddpshell.server.origins import Origins, Verdict, normalized

WELCOME, FOREIGN, REFUSED = Verdict.WELCOME, Verdict.FOREIGN, Verdict.REFUSED


@pytest.mark.parametrize(
    ("allowed", "origin", "host", "expected"),
    [
        pytest.param(None, None, "127.0.0.1:3000", WELCOME, id="no page, without a list"),
        pytest.param([], None, "127.0.0.1:3000", WELCOME, id="no page, with a list"),
        pytest.param(None, "http://evil.example", "127.0.0.1:3000", FOREIGN, id="another server"),
        pytest.param(None, "null", "127.0.0.1:3000", FOREIGN, id="a file or a sandbox"),
        pytest.param(None, "nonsense", "127.0.0.1:3000", WELCOME, id="a header that browsers do not send"),
        pytest.param(None, "http://localhost:8080", "127.0.0.1:3000", WELCOME, id="this machine"),
        pytest.param(None, "http://app.localhost", "127.0.0.1:3000", WELCOME, id="another name of this machine"),
        pytest.param(None, "http://[::1]:8080", "127.0.0.1:3000", WELCOME, id="this machine, IPv6"),
        pytest.param(
            None, "http://localhost.evil.example", "127.0.0.1:3000", FOREIGN, id="a name that looks like this machine"
        ),
        pytest.param(
            None, "http://127.0.0.1.evil.example", "127.0.0.1:3000", FOREIGN, id="a name that looks like an address"
        ),
        pytest.param(None, "https://app.example", "app.example", WELCOME, id="the server's own"),
        pytest.param(None, "https://app.example", "app.example:443", WELCOME, id="the server's own with its port"),
        pytest.param(None, "http://app.example:3000", "APP.example:3000", WELCOME, id="the server's own in capitals"),
        pytest.param(None, "http://app.example:81", "app.example:80", FOREIGN, id="another port"),
        pytest.param([], "http://evil.example", "127.0.0.1:3000", REFUSED, id="an empty list"),
        pytest.param([], "nonsense", "127.0.0.1:3000", REFUSED, id="a header that browsers do not send, with a list"),
        pytest.param([], "null", "127.0.0.1:3000", REFUSED, id="a sandbox is not on the list"),
        pytest.param([], "http://localhost:8080", "127.0.0.1:3000", REFUSED, id="another server on this machine"),
        pytest.param(
            [], "http://127.0.0.1:3000", "127.0.0.1:3000", WELCOME, id="the server's own address, with a list"
        ),
        pytest.param([], "http://10.1.2.3:3000", "10.1.2.3:3000", WELCOME, id="the server's own address in a network"),
        pytest.param([], "http://localhost:3000", "localhost:3000", WELCOME, id="the server's own as localhost"),
        pytest.param(
            [], "http://evil.example:3000", "evil.example:3000", REFUSED, id="a name that points to this machine"
        ),
        pytest.param(["http://a.example"], "http://a.example", "h", WELCOME, id="on the list"),
        pytest.param(["HTTP://A.example:80"], "http://a.example", "h", WELCOME, id="on the list in another spelling"),
        pytest.param(["http://a.example"], "https://a.example", "h", REFUSED, id="another scheme"),
        pytest.param(["http://a.example"], "http://a.example:8080", "h", REFUSED, id="a port that is not on the list"),
        pytest.param(["http://a.example"], "http://b.a.example", "h", REFUSED, id="a subdomain"),
        pytest.param(["http://a.example"], "http://a.example, http://a.example", "h", REFUSED, id="two headers"),
        pytest.param(["null"], "null", "h", WELCOME, id="null is on the list"),
        pytest.param(["*"], "http://evil.example", "h", WELCOME, id="the list allows all pages"),
    ],
)
def test_the_decision_depends_on_the_list_and_on_the_origin(
    allowed: Sequence[str] | None, origin: str | None, host: str, expected: Verdict
) -> None:
    assert Origins(allowed).judge(origin, host) is expected


@pytest.mark.parametrize(
    "text",
    ["", "a.example", "http://", "http://a.example/", "http://a.example/x", "http://u@a.example", "http://a b", "//a"],
)
def test_an_invalid_origin_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        normalized(text)
    with pytest.raises(ValueError, match="is not an origin"):
        Server(options=Options(origins=[text]))


def test_a_string_is_not_a_list_of_origins() -> None:
    with pytest.raises(ValueError, match="must be a list"):
        Server(options=Options(origins="http://a.example"))
