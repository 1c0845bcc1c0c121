"""Text plots: lines over time, bars and histograms."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

__all__ = ["bars", "histogram", "lines"]

_LEVELS = "▁▂▃▄▅▆▇█"
_BAR = "█"
_PARTS = " ▏▎▍▌▋▊▉"


def _shrunk(values: Sequence[float], width: int) -> list[float]:
    """No more than `width` of them; each the largest of those that it stands for."""
    if len(values) <= width:
        return list(values)
    edges = [round(number * len(values) / width) for number in range(width + 1)]
    return [max(values[start:end]) for start, end in itertools.pairwise(edges)]


def lines(title: str, series: Mapping[str, Sequence[float]], shape: str, seconds: float, width: int = 80) -> str:
    """One line for each series, all to the same scale, as a block of Markdown.

    Args:
        shape: how a number is written, as `{:.1f} ms`.
        seconds: that a whole line stands for.
    """
    top = max((max(values, default=0.0) for values in series.values()), default=0.0) or 1.0
    wide = max(map(len, series))
    rows = [f"{title}; a line is {seconds:g} s, its top {shape.format(top)}"]
    for name, values in series.items():
        shrunk = _shrunk(values, width)
        line = "".join(
            _LEVELS[min(int(each / top * len(_LEVELS)), len(_LEVELS) - 1)] if each else " " for each in shrunk
        )
        rows.append(f"{name:<{wide}} |{line:<{min(width, len(shrunk))}}| most {shape.format(max(values, default=0.0))}")
    return _block(rows)


def bars(title: str, values: Mapping[str, float], shape: str, width: int = 50) -> str:
    """One bar for each, as a block of Markdown."""
    top = max(values.values(), default=0.0) or 1.0
    wide = max(map(len, values))
    rows = [title]
    for name, value in values.items():
        eighths = round(value / top * width * 8)
        bar = _BAR * (eighths // 8) + _PARTS[eighths % 8].strip()
        rows.append(f"{name:<{wide}} {bar} {shape.format(value)}")
    return _block(rows)


def histogram(title: str, columns: Mapping[str, Sequence[float]], width: int = 60) -> str:
    """Return a histogram with one line per series, all over the same range, as a block of Markdown."""
    least = min(min(numbers) for numbers in columns.values())
    most = max(max(numbers) for numbers in columns.values())
    step = (most - least) / width or 1.0
    wide = max(map(len, columns))
    rows = [f"{title}; from {least:.0f} to {most:.0f}"]
    for name, numbers in columns.items():
        counts = [0] * (width + 1)
        for each in numbers:
            counts[int((each - least) / step)] += 1
        counts[width - 1] += counts.pop()
        top = max(counts)
        line = "".join(_LEVELS[(each * 7 + top - 1) // top] if each else " " for each in counts)
        rows.append(f"{name:<{wide}} |{line}|")
    return _block(rows)


def _block(rows: Sequence[str]) -> str:
    return "\n".join(["```", *rows, "```", ""])
