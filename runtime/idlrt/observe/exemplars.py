"""Exemplars: for each series and bucket of durations the last recorded call, by the id of its trace.

They are kept for recorded calls only, so they cost nothing elsewhere.

Source: https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from idlrt.core.forks import forks
from idlrt.observe.metric import Labels

if TYPE_CHECKING:
    from idlrt.observe.tracing.span import FinishedSpan

__all__ = ["BUCKETS", "SERVER_EXEMPLARS", "Exemplar", "Exemplars", "exemplar_of"]

BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    math.inf,
)
"""Upper bounds of buckets in seconds."""

_MAX: Final = 2000


class Exemplar(msgspec.Struct, frozen=True, gc=False):
    """A call.

    Attributes:
        trace_id: its trace.
        span_id: its span.
        value: its duration in seconds.
        at: its end, in seconds since 1970.
    """

    trace_id: str
    span_id: str
    value: float
    at: float


class Exemplars:
    """Exemplars of one metric. Threads may share it.

    Args:
        max_count: maximum number of them; further series have none.
    """

    def __init__(self, max_count: int = _MAX) -> None:
        self._max_count = max_count
        self._found: dict[tuple[Labels, int], Exemplar] = {}
        forks.register(self)

    def after_fork(self) -> None:
        """Forget the calls of the parent in a forked child."""
        self._found = {}

    def put(self, labels: Labels, exemplar: Exemplar) -> None:
        """Keep a call instead of the one before in the same bucket.

        Args:
            labels: values of the labels of its series.
            exemplar: the call.
        """
        key = labels, bisect_left(BUCKETS, exemplar.value)
        if key in self._found or len(self._found) < self._max_count:
            self._found[key] = exemplar

    def read(self) -> Mapping[tuple[Labels, int], Exemplar]:
        """Return the calls by series and number of the bucket."""
        return dict(self._found)


SERVER_EXEMPLARS: Final = Exemplars()
"""Calls of the servers of this process, by method, status code and error."""


def exemplar_of(span: FinishedSpan) -> tuple[Labels, Exemplar] | None:
    """Return the exemplar of the call that another process has served, with its labels; `None` for other spans."""
    if span.kind != "server" or span.is_late:
        return None
    attributes, seconds = span.attributes, span.duration / 1e9
    labels = (
        span.name,
        str(attributes.get("rpc.response.status_code", "")),
        # Series have the name of the class alone.
        str(attributes.get("error.type", "")).rpartition(".")[2],
    )
    return labels, Exemplar(span.trace_id, span.span_id, seconds, (span.started_at + span.duration) / 1e9)
