"""How long to wait before connecting again (R1, R2).

Source: Meteor's `packages/retry/retry.js`.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["delay"]

BASE = 1.0
EXPONENT = 2.2
MAXIMUM = 300.0
#: Before the first two attempts: a server that was restarted should have its clients back at once.
MINIMUM = 0.01
MINIMUM_COUNT = 2
FUZZ = 0.5

# 2.2 ** 8 is past the maximum already; beyond that the power would only grow, in the end out of range.
_LAST_EXPONENT = 8


def delay(retry_count: int, fractions: Callable[[], float]) -> float:
    """Seconds before the attempt that `retry_count` others went before since the last session.

    The maximum comes before the fuzz, so that the true ceiling is 375 seconds.

    Args:
        retry_count: 0 for the first attempt to connect again.
        fractions: Random numbers in [0, 1): many clients must not come back in step.
    """
    if retry_count < MINIMUM_COUNT:
        return MINIMUM
    seconds = min(MAXIMUM, BASE * EXPONENT ** min(retry_count, _LAST_EXPONENT))
    return seconds * (1 - FUZZ / 2 + FUZZ * fractions())
