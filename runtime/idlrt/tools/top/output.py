"""Figures as plain text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from idlrt.observe.figures import Report
from idlrt.tools.top.columns import SUBJECTS, columns_of, name_text, title_of
from idlrt.tools.top.screen import summary
from idlrt.tools.top.table import Reports, Table, in_flight
from idlrt.tools.top.text import fit, width
from idlrt.tools.top.view import View
from idlrt.web.formats import time_of_day

__all__ = ["InstanceState", "Output", "json_output", "plain_lines"]


class InstanceState(msgspec.Struct, frozen=True, kw_only=True):
    """An instance in JSON.

    Attributes:
        name: its name.
        url: its admin port; empty if it is unknown.
        is_up: whether it could be read.
        error: why it could not be read; `None` if it could.
        started_at: its start, in seconds since 1970; `None` if it was never read.
    """

    name: str
    url: str
    is_up: bool
    error: str | None
    started_at: float | None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Output of `--json`. Fields may be added in later versions.

    Attributes:
        at: time in seconds since 1970.
        side: what the figures are about.
        by: dimension of the rows.
        instances: all instances, ordered by name.
        in_flight: calls in flight; `None` if the side has no such number.
        interval: figures of the last interval; `None` if there is none.
        since_start: figures since the start of the instances.
    """

    at: float
    side: str
    by: str
    instances: Sequence[InstanceState]
    in_flight: float | None
    interval: Report | None
    since_start: Report


def json_output(reports: Reports, table: Table, view: View) -> Output:
    """Return what `--json` prints. Rows of the reports are those of the table, in its order."""
    poll, where = reports.poll, dict(view.where)
    whole = in_flight(poll, view.side, "", where)
    added = None if view.is_since_start else reports.added(view.side, view.by, where)
    return Output(
        at=poll.at,
        side=view.side,
        by=view.by,
        instances=[
            InstanceState(
                name=each.name,
                url=each.url,
                is_up=each.is_up,
                error=each.error or None,
                started_at=each.total.started_at if each.total is not None else None,
            )
            for each in poll.readings
        ],
        in_flight=whole[""] if whole is not None else None,
        interval=_like(table, added, view) if added is not None else None,
        since_start=_like(table, reports.since_start(view.side, view.by, where), view),
    )


def _like(table: Table, report: Report, view: View) -> Report:
    by_name = {each.labels[view.by]: each for each in report.rows}
    changes: dict[str, Any] = {"rows": [by_name[name] for name in table.names if name in by_name]}
    return msgspec.structs.replace(report, **changes)


def plain_lines(table: Table, view: View) -> list[str]:
    """Return the table as lines of text: a summary, instances that could not be read, and the rows."""
    lines = [f"{time_of_day(table.at)} UTC  {SUBJECTS[view.side]}  {'  '.join(summary(table))}"]
    lines += [f"! {each.name}: {each.error}" for each in table.failed if view.by != "instance"]
    columns = columns_of(table)
    rows = [[title_of(view.side, view.by), *(each.title for each in columns)]]
    errors: dict[int, str] = {}
    for each in table.rows:
        if each.error:
            errors[len(rows)] = each.error
            rows.append([name_text(each.name)])
        else:
            name = name_text(each.name) + (" *" if each.figures.is_core and view.by in ("method", "service") else "")
            rows.append([name, *(column.text(each) for column in columns)])
    names = max(width(row[0]) for row in rows)
    sizes = [max(width(row[at]) for row in rows if len(row) > at) for at in range(1, len(columns) + 1)]
    for number, row in enumerate(rows):
        text = fit(row[0], names)
        if number in errors:
            lines.append(f"{text}  {errors[number]}")
        else:
            pairs = zip(row[1:], sizes, strict=True)
            lines.append("  ".join((text, *(fit(cell, size, is_right=True) for cell, size in pairs))))
    return lines
