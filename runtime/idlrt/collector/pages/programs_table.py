"""Table of instances: what they have measured, and whether they report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from idlrt.collector.pages.figures import Figures
from idlrt.collector.pages.view import CALL_COLUMNS, href
from idlrt.collector.programs import Program
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels
from idlrt.web import Badge, Column, Link, Table, ViewState
from idlrt.web.formats import duration
from idlrt.web.tables import Level

__all__ = ["instance_table", "state_badge"]

_COLUMNS: Final = (
    Column(key="instance", title="Instance"),
    Column(key="host", title="Host"),
    Column(key="zone", title="Zone"),
    Column(key="version", title="Version"),
    Column(key="state", title="State"),
    *CALL_COLUMNS,
)
_LEVELS: Final[dict[str, Level]] = {"live": "good", "ended": "warning", "lost": "bad"}


def instance_table(
    figures: Sequence[Figures], programs: Sequence[Program], state: ViewState, link: Callable[[str], str]
) -> Table:
    """Return the instances that had calls in a period, or report.

    Args:
        figures: figures by instance, host, zone and version.
        programs: programs.
        state: parameters of the request: `instances` sorts.
        link: returns the link of an instance.
    """
    latest = {_identity(each): each for each in sorted(programs, key=lambda each: each.seen_at)}
    rows: list[dict[str, Any]] = []
    for each in figures:
        instance, host, zone, version = each.key
        rows.append(_row(each, instance, host, zone, version, latest.pop(each.key, None), link))
    for program in latest.values():
        values = _identity(program)
        none = Figures(key=values, histogram=Histogram(), errors=0, codes={}, seconds=1.0)
        rows.append(_row(none, values[0], values[1], values[2], values[3], program, link))
    return Table(
        id="instances-table",
        caption="Instances, those with the most calls first",
        columns=_COLUMNS,
        rows=rows,
        sort=state["instances"],
        parameter="instances",
        empty="no instances in this period",
    )


def _identity(program: Program) -> Labels:
    return tuple(program.resource.get(name, "") for name in ("instance", "host", "zone", "version"))


def _row(
    figures: Figures,
    instance: str,
    host: str,
    zone: str,
    version: str,
    program: Program | None,
    link: Callable[[str], str],
) -> dict[str, Any]:
    return {
        **figures.row(),
        "instance": Link(instance or "unknown", link(instance)),
        "host": Link(host, href("host", host=host)) if host else "",
        "zone": zone,
        "version": version,
        "state": state_badge(program) if program is not None else "not seen for an hour",
    }


def state_badge(program: Program) -> Badge:
    """Return the state of a program, with the time of its last report if it is not live."""
    if program.state == "live":
        return Badge("live", "good")
    clock = datetime.fromtimestamp(program.at, UTC).strftime("%H:%M:%S")
    ago = duration(max(time.time() - program.at, 1))
    return Badge(f"{program.state} at {clock}, {ago} ago", _LEVELS[program.state])
