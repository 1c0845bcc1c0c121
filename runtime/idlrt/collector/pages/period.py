"""Period of a page: its parameters in the URL, and the times that they stand for."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from idlrt.protocol.http.pages import HttpRequest
from idlrt.web import Parameter, ViewState
from idlrt.web.formats import duration
from idlrt.web.time_plots import TABLE

__all__ = ["PERIODS", "Period", "period_choices", "period_of", "view_state"]

PERIODS: Final = (
    ("900", "15 min"),
    ("3600", "1 h"),
    ("21600", "6 h"),
    ("86400", "1 day"),
    ("604800", "7 days"),
    ("2592000", "30 days"),
)
"""Values and texts of the parameter `last`."""

_DEFAULT: Final = "3600"
_STEPS: Final = (10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_MAX_STEPS: Final = 180
_LEAST_S: Final = 60.0
_MOST_S: Final = 400 * 86_400.0
# Seconds after which a page is requested again; longer periods change less.
_REFRESH_S: Final = 5
_SLOW_S: Final = 60
_FINE_S: Final = 6 * 3600.0


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Period of a page.

    Attributes:
        start: start in seconds since 1970, a multiple of the step.
        end: end.
        step: length of a step of plots in seconds.
        until: end of the part that has passed.
        is_live: whether it ends now, and follows the time.
    """

    start: float
    end: float
    step: int
    until: float
    is_live: bool

    @property
    def seconds(self) -> float:
        """Length of the part that has passed, in seconds."""
        return self.until - self.start

    @property
    def text(self) -> str:
        """Description: `the last 1 h`, or both times."""
        if self.is_live:
            return f"the last {duration(self.end - self.start)}"
        low, high = (datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%d %H:%M:%S") for each in (self.start, self.end))
        return f"{low} to {high} UTC"

    @property
    def refresh_s(self) -> int:
        """Seconds after which the page is requested again; 0 for never."""
        return 0 if not self.is_live else _REFRESH_S if self.seconds <= _FINE_S else _SLOW_S

    def earlier(self, seconds: float) -> Period:
        """Return the period of the same length that was some seconds earlier."""
        start, end = self.start - seconds, self.end - seconds
        return Period(start=start, end=end, step=self.step, until=self.until - seconds, is_live=False)

    def earlier_steps(self, seconds: float) -> Period:
        """Return the period that was some seconds earlier, for plots: also of its last step all has passed."""
        found = self.earlier(seconds)
        return msgspec.structs.replace(found, until=min(found.end, self.until))


def view_state(request: HttpRequest, *parameters: Parameter) -> ViewState:
    """Return the parameters of a request: those of the period, and others."""
    return ViewState(request, (Parameter("last", _DEFAULT), Parameter("end"), Parameter(TABLE), *parameters))


def period_of(state: ViewState, *, steps: int = _MAX_STEPS) -> Period:
    """Return the period of a view; invalid values count as the default.

    Args:
        state: the view.
        steps: maximum number of steps.
    """
    last = min(max(_number(state["last"], float(_DEFAULT)), _LEAST_S), _MOST_S)
    now = time.time()
    end = _number(state["end"], now)
    is_live = not state["end"] or not 0 < end < now + last
    if is_live:
        end = now
    step = next((each for each in _STEPS if last / each <= steps), 7 * 86_400)
    end = math.ceil(end / step) * step
    start = max(end - math.ceil(last / step) * step, 0)
    end = max(end, start + step)
    return Period(start=float(start), end=float(end), step=step, until=float(min(end, now)), is_live=is_live)


def _number(text: str, default: float) -> float:
    try:
        found = float(text)
    except ValueError:
        return default
    return found if math.isfinite(found) else default


def period_choices(state: ViewState) -> Sequence[tuple[str, str]]:
    """Return the choices of the parameter `last`: the usual ones, and the one of the view."""
    if any(state["last"] == value for value, _ in PERIODS):
        return PERIODS
    return (*PERIODS, (state["last"], duration(min(max(_number(state["last"], 3600.0), _LEAST_S), _MOST_S))))
