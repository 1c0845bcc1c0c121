"""Counts of calls by their labels, from the metrics of a server."""

from __future__ import annotations

from collections import Counter
from typing import Any

from idlrt.observe import Histogram, Snapshot
from idlrt.observe.catalogue import SERVER_CALLS

__all__ = ["call_counts", "calls_of"]


def calls_of(snapshot: Snapshot) -> dict[tuple[str, ...], Histogram]:
    """Return histograms by method, status, error and caller."""
    return {labels: each for labels, each in snapshot.values(SERVER_CALLS).items() if isinstance(each, Histogram)}


def call_counts(snapshot: Snapshot) -> Counter[Any]:
    """Return the number of calls by method, status and error."""
    found: Counter[Any] = Counter()
    for labels, each in calls_of(snapshot).items():
        found[labels[:3]] += each.count
    return found
