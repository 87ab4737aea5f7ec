"""Errors of the server that do not say which request they refuse (C72, C76, C77).

Such an error can only be about a request that was unanswered when it came. Each request that is answered is ruled out;
when there are as many errors as requests left, each of those requests has been refused.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["NO_REQUEST", "Refusals", "quoted"]

#: Stands in place of an id for what is sent and is not a request, such as a ping. It cannot fail.
NO_REQUEST = ""

# A server can send any number of errors.
_MOST = 100


def quoted(refusal: str | None) -> str:
    """The end of the message of a timeout: what the server said of a message that it refused, if it did."""
    return "" if refusal is None else f"; the server refused a message: {refusal}"


class Refusals:
    """The errors that could not be assigned to a request yet, oldest first."""

    def __init__(self) -> None:
        self._open: list[tuple[str, set[str]]] = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._open)

    @property
    def text(self) -> str | None:
        """What the server said in the last one, or None."""
        return self._open[-1][0] if self._open else None

    def add(self, text: str, suspects: Iterable[str]) -> None:
        """Keep an error.

        Args:
            text: What the server said.
            suspects: The ids of the requests that it may be about.
        """
        self._open = [*self._open[1 - _MOST :], (text, set(suspects))]

    def answered(self, request_ids: Iterable[str]) -> None:
        """Rule out requests that have been answered."""
        ids = list(request_ids)
        for _, suspects in self._open:
            suspects.difference_update(ids)
        self._open = [refusal for refusal in self._open if refusal[1]]

    def take(self) -> list[tuple[str, str]]:
        """Take the ids of the requests that must have been refused, each with what the server said."""
        suspects: set[str] = set()
        for number, (_, more) in enumerate(self._open, start=1):
            suspects |= more
            if NO_REQUEST in suspects:
                break
            if len(suspects) <= number:
                texts = [text for text, _ in self._open[:number]]
                del self._open[:number]
                self.answered(suspects)
                return [*zip(sorted(suspects), texts, strict=False), *self.take()]
        return []

    def clear(self) -> None:
        """Forget all of them: no request of this connection will be answered any more."""
        self._open = []
