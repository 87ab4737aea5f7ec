from __future__ import annotations

import pytest

from tests import machine


def test_what_is_wanting_skips_a_test() -> None:
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        machine.unavailable("no such thing", in_ci=False)


def test_what_is_wanting_fails_a_test_in_ci() -> None:
    with pytest.raises(pytest.fail.Exception, match="no such thing"):
        machine.unavailable("no such thing", in_ci=True)
