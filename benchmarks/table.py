"""Numbers and the tables they are shown in."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence

__all__ = ["Table", "measure", "progress", "unit"]


def progress(text: str) -> None:
    """Print what is being measured to stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)


def measure(
    candidates: dict[str, Callable[[], object]], *, rounds: int = 15, seconds_per_round: float = 0.005
) -> dict[str, list[float]]:
    """CPU seconds per call of each candidate, once per round.

    They take turns, so that a noisy moment hits all of them.
    """
    counts = {name: _calibrate(run, seconds_per_round) for name, run in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            times[name].append(_time(run, counts[name]) / counts[name])
    return times


def _calibrate(run: Callable[[], object], seconds: float) -> int:
    count = 1
    while (spent := _time(run, count)) < seconds / 4:
        count *= 4
    return max(1, int(count * seconds / spent))


def _time(run: Callable[[], object], count: int) -> float:
    turns = range(count)
    start = time.process_time()
    for _ in turns:
        run()
    return time.process_time() - start


def unit(seconds: float) -> str:
    """Return a duration as text, with a unit."""
    if seconds < 1e-6:
        return f"{seconds * 1e9:.0f} ns"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def middle(times: Sequence[float]) -> float:
    """The median."""
    return statistics.median(times)


class Table:
    """A table of text.

    Args:
        title: what it shows.
        head: its columns.
        note: how to read it.

    Attributes:
        title: see above.
        head: see above.
        rows: the cells of each row below the head.
        note: see above.
    """

    def __init__(self, title: str, head: Sequence[str], note: str = "") -> None:
        self.title = title
        self.head = list(head)
        self.rows: list[list[str]] = []
        self.note = note

    def add(self, *cells: str) -> None:
        """Add a row.

        Raises:
            ValueError: it has more or fewer cells than the head.
        """
        if len(cells) != len(self.head):
            raise ValueError(f"{self.title}: a row needs {len(self.head)} cells, got {len(cells)}: {cells}")
        self.rows.append(list(cells))

    def __str__(self) -> str:
        """As Markdown, aligned for the eye."""
        rows = [self.head, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self.head))]
        first, *rest = [self._line(row, widths) for row in rows]
        rule = "|" + "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
        note = f"\n{self.note}\n" if self.note else ""
        return "\n".join([f"## {self.title}", note, first, rule, *rest, ""])

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"
