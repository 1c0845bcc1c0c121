"""`idlrt monitor dashboards`: write dashboards for Grafana and rules for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from idlrt.cli.options import parse_pair
from idlrt.cli.output import echo, fail, report_errors
from idlrt.errors import ConfigurationError
from idlrt.printable import plural

__all__ = ["dashboards"]


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    return dict(parse_pair(text, option) for text in texts)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{name}: must be a number, got {text!r}") from None


@click.command(short_help="Write dashboards for Grafana and rules for Prometheus.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Output directory."
)
@click.option(
    "--slo",
    default="99.9",
    show_default=True,
    metavar="PERCENT",
    help="Objective for success: percentage of the calls in 30 days.",
)
@click.option(
    "--latency-slo",
    default="0.3:99",
    show_default=True,
    metavar="SECONDS:PERCENT",
    help="Objective for latency: percentage of the calls that take at most this time.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Threshold of an alert, such as workers=0.8; repeatable.",
)
@click.option(
    "--severity",
    "severities",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of the label severity for page or ticket, such as page=critical; repeatable.",
)
@click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="Label of all alerts, such as team=shop; repeatable."
)
@click.option("--runbooks", default=None, metavar="URL", help="Page that describes the alerts.")
@click.option("--check", is_flag=True, help="Write nothing; exit with status 1 if files are out of date.")
@report_errors
def dashboards(
    out: Path,
    slo: str,
    latency_slo: str,
    thresholds: Sequence[str],
    severities: Sequence[str],
    labels: Sequence[str],
    runbooks: str | None,
    check: bool,
) -> None:
    """Write dashboards for Grafana, rules for Prometheus, and examples of their configuration, into a directory.

    Files that are up to date stay as they are, and so do other files in the directory.

    \b
    Examples:
      idlrt monitor dashboards --out monitoring
      idlrt monitor dashboards --out monitoring --slo 99.5 --latency-slo 0.1:95 --severity page=critical
      idlrt monitor dashboards --out monitoring --check
    """
    # Other commands do not need them.
    from idlrt.observe.dashboards import LatencyObjective, Objectives, monitoring_files, outdated_files, write_files
    from idlrt.observe.dashboards.objectives import RUNBOOKS

    objectives = Objectives(
        slo=_number("SLO", slo),
        latency=LatencyObjective.parse(latency_slo),
        thresholds={
            name: _number(f"threshold {name}", text) for name, text in _pairs(thresholds, "--threshold").items()
        },
        severities=_pairs(severities, "--severity"),
        labels=_pairs(labels, "--label"),
        runbooks=RUNBOOKS if runbooks is None else runbooks,
    )
    files = monitoring_files(objectives)
    if check:
        outdated = outdated_files(out, files)
        for name in outdated:
            echo(f"out of date: {out / name}", err=True)
        if outdated:
            fail(f"{out}: {len(outdated)} of {plural(len(files), 'file')} out of date; run it without --check", 1)
        echo(f"{out}: {plural(len(files), 'file')} up to date")
        return
    changed = write_files(out, files)
    for name in changed:
        echo(f"wrote {out / name}")
    if not changed:
        echo(f"{out}: {plural(len(files), 'file')} up to date")
