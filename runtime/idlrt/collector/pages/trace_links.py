"""Links between traces and the figures of their services and methods."""

from __future__ import annotations

import math

from idlrt.collector.pages.view import href

__all__ = ["figures_link", "traces_link"]

# Seconds that figures around a trace show.
_AROUND_S = 1800


def traces_link(
    start: float,
    end: float,
    *,
    service: str = "",
    operation: str = "",
    failed: bool = False,
    min_s: float = 0.0,
    order: str = "",
) -> str:
    """Return the link, relative to pages at the root, to the example traces of a time range.

    Args:
        start: start of the time range, in seconds since 1970.
        end: its end, exclusive.
        service: name of a program with a span in the traces; empty for any.
        operation: name of a span; empty for any.
        failed: whether the span, or the trace, must have failed.
        min_s: minimum duration in seconds.
        order: `slowest`; empty for the newest first.
    """
    return href(
        "traces",
        service=service,
        operation=operation,
        failed="yes" if failed else "",
        min_s=f"{min_s:g}" if min_s else "",
        order=order,
        start=f"{start:.15g}",
        end=f"{end:.15g}",
    )


def figures_link(at: float, *, service: str = "", method: str = "") -> str:
    """Return the link, relative to pages at the root, to the figures of a service or method around a time.

    Args:
        at: time in seconds since 1970.
        service: name of the service.
        method: name of the method; empty for the service as a whole.
    """
    path = "method" if method else "service"
    end = math.ceil(at + _AROUND_S / 2)
    return href(path, service=service, method=method, last=str(_AROUND_S), end=str(end))
