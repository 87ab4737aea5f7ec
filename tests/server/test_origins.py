"""Which web pages may connect, by the headers of their requests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ddpshell.server import Options, Server
from ddpshell.server.origins import Origins, Verdict, normalized

WELCOME, FOREIGN, REFUSED = Verdict.WELCOME, Verdict.FOREIGN, Verdict.REFUSED


@pytest.mark.parametrize(
    ("allowed", "origin", "host", "expected"),
    [
        pytest.param(None, None, "127.0.0.1:3000", WELCOME, id="no page"),
        pytest.param([], None, "127.0.0.1:3000", WELCOME, id="no page, and a list"),
        pytest.param(None, "http://evil.example", "127.0.0.1:3000", FOREIGN, id="elsewhere"),
        pytest.param(None, "null", "127.0.0.1:3000", FOREIGN, id="a file, or a sandbox"),
        pytest.param(None, "nonsense", "127.0.0.1:3000", WELCOME, id="no browser's"),
        pytest.param(None, "http://localhost:8080", "127.0.0.1:3000", WELCOME, id="this machine"),
        pytest.param(None, "http://app.localhost", "127.0.0.1:3000", WELCOME, id="this machine by another name"),
        pytest.param(None, "http://[::1]:8080", "127.0.0.1:3000", WELCOME, id="this machine, IPv6"),
        pytest.param(None, "http://localhost.evil.example", "127.0.0.1:3000", FOREIGN, id="not this machine"),
        pytest.param(None, "http://127.0.0.1.evil.example", "127.0.0.1:3000", FOREIGN, id="not an address"),
        pytest.param(None, "https://app.example", "app.example", WELCOME, id="its own"),
        pytest.param(None, "https://app.example", "app.example:443", WELCOME, id="its own, with the port"),
        pytest.param(None, "http://app.example:3000", "APP.example:3000", WELCOME, id="its own, in capitals"),
        pytest.param(None, "http://app.example:81", "app.example:80", FOREIGN, id="another port"),
        pytest.param([], "http://evil.example", "127.0.0.1:3000", REFUSED, id="nobody is on the list"),
        pytest.param([], "nonsense", "127.0.0.1:3000", REFUSED, id="no browser's, and a list"),
        pytest.param([], "null", "127.0.0.1:3000", REFUSED, id="a sandbox is not on the list"),
        pytest.param([], "http://localhost:8080", "127.0.0.1:3000", REFUSED, id="another server of this machine"),
        pytest.param([], "http://127.0.0.1:3000", "127.0.0.1:3000", WELCOME, id="the list, and its own"),
        pytest.param([], "http://10.1.2.3:3000", "10.1.2.3:3000", WELCOME, id="its own in a network"),
        pytest.param([], "http://localhost:3000", "localhost:3000", WELCOME, id="its own as localhost"),
        pytest.param([], "http://evil.example:3000", "evil.example:3000", REFUSED, id="a name that points here"),
        pytest.param(["http://a.example"], "http://a.example", "h", WELCOME, id="on the list"),
        pytest.param(["HTTP://A.example:80"], "http://a.example", "h", WELCOME, id="on the list, written otherwise"),
        pytest.param(["http://a.example"], "https://a.example", "h", REFUSED, id="another scheme"),
        pytest.param(["http://a.example"], "http://a.example:8080", "h", REFUSED, id="not that port"),
        pytest.param(["http://a.example"], "http://b.a.example", "h", REFUSED, id="below it"),
        pytest.param(["http://a.example"], "http://a.example, http://a.example", "h", REFUSED, id="two headers"),
        pytest.param(["null"], "null", "h", WELCOME, id="null is on the list"),
        pytest.param(["*"], "http://evil.example", "h", WELCOME, id="all are on the list"),
    ],
)
def test_a_page_is_judged_by_the_list_and_by_where_it_comes_from(
    allowed: Sequence[str] | None, origin: str | None, host: str, expected: Verdict
) -> None:
    assert Origins(allowed).judge(origin, host) is expected


@pytest.mark.parametrize(
    "text",
    ["", "a.example", "http://", "http://a.example/", "http://a.example/x", "http://u@a.example", "http://a b", "//a"],
)
def test_what_is_not_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        normalized(text)
    with pytest.raises(ValueError, match="is not an origin"):
        Server(options=Options(origins=[text]))


def test_a_text_is_not_a_list_of_origins() -> None:
    with pytest.raises(ValueError, match="must be a list"):
        Server(options=Options(origins="http://a.example"))
