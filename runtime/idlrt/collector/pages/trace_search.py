"""Search for traces, as the URL of a page says it."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Final, cast

from idlrt.collector.traces import TraceQuery
from idlrt.collector.traces.query import Order
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.search_fields import parse_seconds, parse_tags
from idlrt.web import Parameter, ViewState

__all__ = ["LIMITS", "ORDERS", "PERIODS", "SEARCH_PARAMETERS", "field_time", "query_of", "time_range"]

ORDERS: Final = (("newest", "Newest"), ("slowest", "Slowest"))
"""Values and texts of the parameter `order`."""

LIMITS: Final = ("20", "100", "500")
"""Values of the parameter `limit`."""

PERIODS: Final = (
    ("900", "15 min"),
    ("3600", "1 h"),
    ("21600", "6 h"),
    ("86400", "1 day"),
    ("259200", "3 days"),
    ("604800", "7 days"),
)
"""Values and texts of the parameter `last`."""

SEARCH_PARAMETERS: Final = (
    Parameter("service"),
    Parameter("operation"),
    Parameter("tags"),
    Parameter("min_s"),
    Parameter("failed", "", ("", "yes")),
    Parameter("order", "newest", tuple(value for value, _ in ORDERS)),
    Parameter("limit", "100", LIMITS),
    Parameter("last", "3600"),
    Parameter("start"),
    Parameter("end"),
)
"""Parameters of a search."""


def query_of(state: ViewState) -> TraceQuery:
    """Return the search of a URL.

    Raises:
        ConfigurationError: a parameter is invalid.
    """
    start, end = time_range(state)
    return TraceQuery(
        start=start,
        end=end,
        service=state["service"].strip(),
        operation=state["operation"].strip(),
        tags=parse_tags("tags", state["tags"]),
        min_s=parse_seconds("min_s", state["min_s"]),
        is_failed=bool(state["failed"]),
        order=cast("Order", state["order"]),
        limit=int(state["limit"]),
    )


def time_range(state: ViewState) -> tuple[float, float]:
    """Return start and end of a search, in seconds since 1970: those of the URL, else the last seconds until now.

    Raises:
        ConfigurationError: a parameter is invalid.
    """
    now = time.time()
    end = _time("end", state["end"]) if state["end"] else None
    if state["start"]:
        return _time("start", state["start"]), now if end is None else end
    last = parse_seconds("last", state["last"])
    end = now if end is None else end
    return end - last, end


def _time(name: str, text: str) -> float:
    """Return a time in seconds since 1970, from such a number or from a date and time in UTC."""
    try:
        found = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            found = math.nan
        else:
            found = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(found):
        raise ConfigurationError(f"{name}: must be a time such as 2026-12-01T13:30:00, or Unix seconds, got {text!r}")
    return found


def field_time(name: str, text: str) -> str:
    """Return a time of the URL as fields of forms have it: whole seconds in UTC. An end is rounded up.

    Args:
        name: name of the parameter.
        text: its value.
    """
    if not text:
        return ""
    try:
        found = _time(name, text)
        at = datetime.fromtimestamp(math.ceil(found) if name == "end" else math.floor(found), UTC)
    except (ConfigurationError, ValueError, OverflowError, OSError):
        return ""
    return at.strftime("%Y-%m-%dT%H:%M:%S")
