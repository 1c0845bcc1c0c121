"""Scatter plot of traces: their durations over time, as SVG whose points are links.

It needs no script. Durations are on a logarithmic axis. Failed traces are squares, others are circles. The table of the
page has the same values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from idlrt.collector.traces import TraceSummary
from idlrt.web.formats import duration

__all__ = ["Scatter", "scatter"]

# Places on both axes are parts of these numbers.
_WIDTH: Final = 1000
_HEIGHT: Final = 160
_MARGIN: Final = 8
_TICKS: Final = 4
_MIN_S: Final = 1e-6
_DAY: Final = 86_400.0


class _Point(msgspec.Struct, frozen=True):
    x: str
    y: str
    href: str
    text: str
    is_failed: bool


class Scatter(msgspec.Struct, frozen=True, kw_only=True):
    """A scatter plot as the template shows it.

    Attributes:
        points: the traces.
        times: labels of the time axis.
        durations: labels of the other axis, the lowest first, each with its place from the top.
        width: width of the plot.
        height: its height.
    """

    points: Sequence[_Point]
    times: Sequence[str]
    durations: Sequence[tuple[str, str]]
    width: int = _WIDTH
    height: int = _HEIGHT


def scatter(found: Sequence[TraceSummary], start: float, end: float, *, is_matched: bool) -> Scatter:
    """Return the plot of traces.

    Args:
        found: the traces, at least one.
        start: start of the time axis, in seconds since 1970.
        end: its end.
        is_matched: whether durations are those of the matching spans, not of the whole traces.
    """
    durations = [max(each.matched_s if is_matched else each.duration_s, _MIN_S) for each in found]
    low = math.floor(math.log10(min(durations)))
    high = max(math.ceil(math.log10(max(durations))), low + 1)

    def place(seconds: float) -> str:
        part = (math.log10(seconds) - low) / (high - low)
        return f"{_HEIGHT - _MARGIN - part * (_HEIGHT - 2 * _MARGIN):.1f}"

    points = [
        _Point(
            x=f"{_MARGIN + min(max((each.started_at - start) / (end - start), 0), 1) * (_WIDTH - 2 * _MARGIN):.1f}",
            y=place(seconds),
            href=f"traces/{each.trace_id}",
            text=f"{each.operation}, {duration(seconds)}, {_clock(each.started_at, end - start)}"
            + (", failed" if each.failed else ""),
            is_failed=bool(each.failed),
        )
        for each, seconds in zip(found, durations, strict=True)
    ]
    # Failed ones are drawn last, so that others do not hide them.
    points.sort(key=lambda each: each.is_failed)
    return Scatter(
        points=points,
        times=[_clock(start + (end - start) * at / _TICKS, end - start) for at in range(_TICKS + 1)],
        durations=[(duration(10.0**power), place(10.0**power)) for power in range(low, high + 1)],
    )


def _clock(at: float, span_s: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M" if span_s > _DAY else "%H:%M:%S")
