"""Memory of the traces that were written or dropped last, for spans that come later. It is bounded."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

__all__ = ["Written"]

F = TypeVar("F")


class Written(Generic[F]):
    """Files of traces, and which traces were dropped. Traces that are remembered may be confused, rarely: their ids are
    hashed.
    """

    MAX: Final = 100_000
    """Number of traces that are remembered at least; twice as many at most."""

    def __init__(self) -> None:
        self._recent: dict[int, F | None] = {}
        self._older: dict[int, F | None] = {}

    def add(self, trace_id: str, file: F | None) -> None:
        """Remember that a trace is in a file, or was dropped (`None`)."""
        if len(self._recent) >= self.MAX:
            self._older, self._recent = self._recent, {}
        self._recent[hash(trace_id)] = file

    def get(self, trace_id: str) -> F | None:
        """Return the file of a trace; `None` if it was dropped or is unknown."""
        key = hash(trace_id)
        return self._recent[key] if key in self._recent else self._older.get(key)

    def is_dropped(self, trace_id: str) -> bool:
        """Return whether a trace was dropped."""
        key = hash(trace_id)
        found = self._recent if key in self._recent else self._older
        return key in found and found[key] is None
