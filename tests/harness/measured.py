"""Figures of this process, as tests look at them."""

from __future__ import annotations

from collections.abc import Iterable

from idlrt.observe import PROCESS, Histogram, Series

__all__ = ["Ticks", "counts", "grown", "process_counts"]


def counts(series: Iterable[Series], name: str) -> dict[tuple[str, ...], float]:
    """Values of a metric by labels; of histograms the counts."""
    return {
        labels: value.count if isinstance(value, Histogram) else value
        for each in series
        if each.metric.name == name
        for labels, value in each.values.items()
    }


def process_counts(name: str) -> dict[tuple[str, ...], float]:
    """Values of a metric of this process."""
    return counts(PROCESS.read(), name)


def grown(before: dict[tuple[str, ...], float], name: str) -> dict[tuple[str, ...], float]:
    """By how much values of this process have grown; those that have not are left out."""
    now = process_counts(name)
    return {labels: value - before.get(labels, 0) for labels, value in now.items() if value != before.get(labels, 0)}


class Ticks:
    """A clock in nanoseconds that tests move."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Move the clock."""
        self.now += round(seconds * 1e9)
