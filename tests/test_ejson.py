"""The name under which users import it."""

from __future__ import annotations

import ddpshell
from ddpshell import ejson
from ddpshell.protocol import ejson as original


def test_it_offers_all_that_the_original_does() -> None:
    assert ejson.__all__ == original.__all__
    assert all(getattr(ejson, name) is getattr(original, name) for name in original.__all__)
    assert ddpshell.ejson is ejson
