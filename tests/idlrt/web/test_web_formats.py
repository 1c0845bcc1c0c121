"""Values as text: rounded, with units, and never better than they are."""

from __future__ import annotations

import pytest

from idlrt.web.formats import duration, number, rate, share, time_of_day
from idlrt.web.site import formatted, kind_of
from idlrt.web.tables import Badge, Link


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (5e-9, "5 ns"),
        (850e-6, "850 µs"),
        (0.00212, "2.12 ms"),
        (0.0999, "99.9 ms"),
        (0.9996, "1 s"),
        (1.25, "1.25 s"),
        (59.9, "59.9 s"),
        (59.97, "60 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7_260, "2 h 1 min"),
        (86_400 * 3 + 7_200, "3 d 2 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 %"),
        (0.00166, "0.17 %"),
        (0.05, "5 %"),
        (0.9983, "99.8 %"),
        (0.99999, "99.999 %"),
        (0.9999999, "99.999 %"),
        (1, "100 %"),
    ],
)
def test_shares(value: float, text: str) -> None:
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.05, "0.05"), (20.05, "20.1"), (1203.4, "1,203"), (1e-7, "1.0e-07"), (0.5, "0.5")]
)
def test_rates(value: float, text: str) -> None:
    assert rate(value) == text


def test_counts_and_times() -> None:
    assert number(1_234_567) == "1,234,567"
    assert time_of_day(1_796_000_003) == "00:53:23"


def test_values_without_unit() -> None:
    assert [formatted(each, None) for each in (None, True, False, 1.5, "a\n b")] == ["none", "yes", "no", "1.5", "a b"]
    assert formatted(None, "duration") == "\u2013"
    values: list[object] = [Link("a", "b"), Badge("a", "bad"), {}, [{}], [], [1], "a", None]
    assert [kind_of(each) for each in values] == [
        "link", "badge", "table", "rows", "list", "list", "text", "text",
    ]  # fmt: skip
