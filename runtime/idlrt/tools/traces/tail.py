"""New calls, again and again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.tools.traces.reader import NothingReadable, Reading, Search, TraceReader

__all__ = ["Tail", "repeat"]

_FIRST: Final = 10
_MAX_SEEN: Final = 100_000


class Tail:
    """Calls that were not there at the reading before.

    Args:
        reader: reads the instances.
        search: calls to look for.
    """

    def __init__(self, reader: TraceReader, search: Search) -> None:
        self._reader = reader
        self._search = search
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._errors: Mapping[str, str] = {}

    def first(self, count: int = _FIRST) -> tuple[Sequence[SpanRecord], list[str]]:
        """Return the last calls, and messages about instances that cannot be read.

        Args:
            count: maximum number of calls.

        Raises:
            NothingReadable: no instance could be read.
        """
        found = self._reader.calls(self._search)
        return self._new(found)[-count:], self._changed(found.errors)

    def next(self) -> tuple[Sequence[SpanRecord], list[str]]:
        """Return new calls in the order of their starts, and messages about instances whose state has changed."""
        try:
            found = self._reader.calls(self._search)
        except NothingReadable as error:
            return (), self._changed(error.errors)
        return self._new(found), self._changed(found.errors)

    def _new(self, found: Reading) -> list[SpanRecord]:
        new = [each for each in found.spans if each.span_id not in self._seen]
        for each in found.spans:
            self._seen[each.span_id] = None
            self._seen.move_to_end(each.span_id)
        while len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)
        return new

    def _changed(self, errors: Mapping[str, str]) -> list[str]:
        before, self._errors = self._errors, errors
        lines = [f"{name}: {text}" for name, text in errors.items() if before.get(name) != text]
        return lines + [f"{name}: readable again" for name in before if name not in errors]


def repeat(
    tail: Tail,
    interval: float,
    write: Callable[[Sequence[SpanRecord]], object],
    complain: Callable[[str], object],
) -> None:
    """Write the last calls, then new ones at an interval, without end.

    Args:
        tail: the calls.
        interval: seconds between readings.
        write: writes calls.
        complain: writes a message about an instance.

    Raises:
        NothingReadable: no instance could be read at first.
    """
    due = time.monotonic()
    spans, messages = tail.first()
    while True:
        for each in messages:
            complain(each)
        if spans:
            write(spans)
        due = max(due + interval, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0.0))
        spans, messages = tail.next()
