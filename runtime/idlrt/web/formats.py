"""Values as text for readers. The script of the kit formats the values of plots in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

__all__ = ["FORMATS", "NONE", "Unit", "data_size", "duration", "number", "rate", "share", "time_of_day"]

NONE: Final = "\u2013"
"""Text of a number that does not exist, such as a percentile without calls."""

Unit: TypeAlias = Literal["number", "rate", "share", "duration", "time", "bytes"]
"""Kind of a number: a count, a number per second, a share between 0 and 1, seconds, seconds since 1970, or bytes."""

_MINUTE: Final = 60
# Units of long durations, each with the next smaller one.
_LONG: Final = ((86_400, "d", 3_600, "h"), (3_600, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s"))


def number(value: float) -> str:
    """Return a count: `1,203`."""
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """Return a number per second, with three significant digits: `0.05`, `20.1`, `1,203`."""
    return _significant(value)


def share(value: float) -> str:
    """Return a share between 0 and 1 as a percentage: `0.17 %`. A share close to 1 is not rounded to 100 %."""
    percent = value * 100
    if 99.9 < percent < 100:
        return f"{min(percent, 99.999):.3f} %"
    return f"{_significant(percent)} %"


def duration(value: float) -> str:
    """Return seconds with three significant digits and a unit: `850 µs`, `2.1 ms`, `1.25 s`, `3 min 5 s`."""
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        text = _significant(value * factor)
        if value > 0 and float(text.replace(",", "")) < 1000:
            return f"{text} {unit}"
    if value < _MINUTE:
        return f"{_significant(value)} s"
    seconds = max(round(value), _MINUTE)
    size, unit, part, small = next(each for each in _LONG if seconds >= each[0])
    rest = seconds % size // part
    return f"{seconds // size:,} {unit} {rest} {small}" if rest else f"{seconds // size:,} {unit}"


def data_size(value: float) -> str:
    """Return a number of bytes with three significant digits and a unit: `512 B`, `1.5 KiB`, `3 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        text = _significant(value)
        if abs(float(text.replace(",", ""))) < 1024:
            return f"{text} {unit}"
        value /= 1024
    return f"{_significant(value)} TiB"


def time_of_day(value: float) -> str:
    """Return a time in seconds since 1970 as the time of day, in UTC: `12:03:10`."""
    return datetime.fromtimestamp(value, UTC).strftime("%H:%M:%S")


def _significant(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    if "e" in text:
        return f"{value:.1e}"
    return text.rstrip("0").rstrip(".") if "." in text else text


FORMATS: Final[Mapping[Unit, Callable[[float], str]]] = {
    "number": number,
    "rate": rate,
    "share": share,
    "duration": duration,
    "time": time_of_day,
    "bytes": data_size,
}
"""Formats by unit."""
