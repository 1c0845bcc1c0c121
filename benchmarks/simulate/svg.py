"""Charts as SVG, of lines over time: no more than is needed, and nothing that has to be installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["chart"]

_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 34, 30
_COLOURS = ("#1f6feb", "#d1242f", "#9a6700", "#1a7f37", "#8250df")


def chart(title: str, series: Mapping[str, Sequence[float]], unit: str, below: str) -> str:
    """A line for each series; all over the same time, and to the same scale.

    Args:
        unit: what numbers are followed by.
        below: what the time is, in words.
    """
    top = max((max(values, default=0.0) for values in series.values()), default=0.0) or 1.0
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="14" font-size="13">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" font-size="11" fill="#57606a">{escape(below)}</text>',
    ]
    for step in range(5):
        y = _TOP + high - high * step / 4
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>')
        label = f"{top * step / 4:.3g}{escape(unit)}"
        parts.append(f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" font-size="11" text-anchor="end">{label}</text>')
    for number, (name, values) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        across = wide / max(len(values) - 1, 1)
        points = [
            f"{_LEFT + across * place:.1f},{_TOP + high - high * value / top:.1f}" for place, value in enumerate(values)
        ]
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        x = _LEFT + 150 * number
        parts.append(f'<text x="{x}" y="28" font-size="11" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
