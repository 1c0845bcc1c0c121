"""Options of all commands that print diagnostics, and their output.

Text (`full`, `short`) and the commands of GitHub Actions go to standard error; documents (`json`, `sarif`)
go to standard output, which then has nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from idlc.files import readable
from idlc.text import plural
from idlc.version import __version__

if TYPE_CHECKING:
    from idlc.diagnostics import Report
    from idlc.driver import FrontEnd
    from idlc.findings import Policy

__all__ = [
    "baseline_options",
    "finding_options",
    "is_document",
    "policy_of",
    "policy_option",
    "require_text",
    "show",
    "write_baseline",
]

Function = TypeVar("Function", bound=Callable[..., object])

FORMATS = ("full", "short", "json", "github", "sarif")
_DOCUMENTS = ("json", "sarif")


def finding_options(function: Function) -> Function:
    """Add the options of diagnostics to a command: `style`, `color` and `max_errors`, which `show` takes."""
    options = (
        click.option(
            "--error-format",
            "style",
            type=click.Choice(FORMATS),
            default="full",
            show_default=True,
            help="Format of diagnostics: with source code, one line each (file:line:column: ...), a JSON document, "
            "commands of GitHub Actions, or SARIF. JSON and SARIF go to standard output.",
        ),
        click.option(
            "--max-errors",
            type=click.IntRange(min=0),
            metavar="N",
            help="Print at most N errors; 0 prints all. The default is `max_errors` of [checks] in the configuration. "
            "JSON and SARIF always have all.",
        ),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            show_default=True,
            help="Colors in diagnostics; `auto` depends on the terminal, NO_COLOR and FORCE_COLOR.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def policy_option(function: Function) -> Function:
    """Add `-W` to a command, as `warnings`, from which `policy_of` makes a policy."""
    return click.option(
        "-W",
        "--warnings",
        multiple=True,
        metavar="NAME[=LEVEL]",
        help="Severity of diagnostics: `error`, `warning`, `note` or `off` for a name, the start of a name, a "
        "category, `lint` or `all`; without a level `warning`. `-W error` makes all warnings errors. Can be repeated.",
    )(function)


def baseline_options(function: Function) -> Function:
    """Add the options of baselines to a command: `baseline`, `write_baseline` and `baseline_expires`."""
    options = (
        click.option(
            "--baseline",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Do not report the findings in FILE.",
        ),
        click.option(
            "--write-baseline",
            is_flag=True,
            help="Write all findings, errors aside, to the file of --baseline.",
        ),
        click.option(
            "--baseline-expires",
            type=click.DateTime(["%Y-%m-%d"]),
            metavar="DATE",
            help="With --write-baseline: date from which new entries no longer apply (YYYY-MM-DD).",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def policy_of(warnings: Iterable[str], policy: Policy | None = None) -> Policy:
    """Return a policy with the options `-W` of the command line, which override it.

    Raises:
        click.UsageError: a name or level is unknown, or an error is turned off.
    """
    from idlc.findings import Policy, PolicyError

    try:
        return (policy if policy is not None else Policy()).with_options(warnings)
    except PolicyError as error:
        raise click.UsageError(f"-W: {error}") from None


def write_baseline(front_end: FrontEnd, expires: datetime | None) -> None:
    """Write the baseline of a request, with the findings that it would have without one.

    Raises:
        click.UsageError: the request has no baseline, or its file exists and is not a baseline.
        click.ClickException: the file cannot be written.
    """
    from idlc.driver import check_files
    from idlc.findings import BaselineError, write_baseline

    path = front_end.baseline
    if path is None:
        raise click.UsageError("--write-baseline needs --baseline FILE")
    checked = check_files(msgspec.structs.replace(front_end, baseline=None))
    files = [program.source.path for program in checked.programs if program.is_requested]
    try:
        count = write_baseline(path, checked.acceptable(), files, expires=None if expires is None else expires.date())
    except BaselineError as error:
        raise click.UsageError(f"--baseline '{readable(path)}': {error}") from None
    except OSError as error:
        raise click.ClickException(f"cannot write '{readable(path)}': {error.strerror or error}") from None
    click.echo(f"{readable(path)}: {plural(count, 'finding')}", err=True)


def is_document(style: str) -> bool:
    """Return whether diagnostics are one document on standard output, so that nothing else may be printed there."""
    return style in _DOCUMENTS


def require_text(style: str, *options: str) -> None:
    """Refuse options that print to standard output, which has the diagnostics of a document.

    Raises:
        click.UsageError: there is one.
    """
    for option in options if is_document(style) else ():
        raise click.UsageError(f"{option} and --error-format {style} both print to standard output; use one of them")


def show(report: Report, *, style: str = "full", color: str = "auto", max_errors: int | None = None) -> None:
    """Print all diagnostics and, in the full format, their number.

    Args:
        style: one of `FORMATS`.
        max_errors: number of errors after which the others are only counted; 0 or `None` prints all, and so does a
            document.
    """
    from idlc.diagnostics import summary

    total = summary(report)
    shown, left_out = _limited(report, max_errors) if max_errors and not is_document(style) else (report, 0)
    if is_document(style):
        click.echo(_document(shown, style), nl=False)
    elif len(shown):
        _print_each(shown, style, is_colored=_is_colored(color))
    if left_out:
        click.echo(f"{plural(left_out, 'more error')} not shown (--max-errors {max_errors})", err=True)
    if style == "full" and total:
        click.echo(total, err=True)


def _print_each(report: Report, style: str, *, is_colored: bool) -> None:
    from idlc.diagnostics import render, render_github, render_short

    for diagnostic in report:
        if style == "full":
            click.echo(render(diagnostic, color=is_colored), err=True, color=is_colored)
        else:
            text = render_short(diagnostic) if style == "short" else render_github((diagnostic,))
            click.echo(text, err=True, nl=False)


def _document(report: Report, style: str) -> str:
    from idlc.diagnostics import render_json, render_sarif
    from idlc.findings import all_rules

    if style == "json":
        return render_json(report, tool_version=__version__)
    return render_sarif(report, all_rules().values(), tool_version=__version__, root=Path.cwd())


def _limited(report: Report, max_errors: int) -> tuple[Report, int]:
    """Return a report with at most `max_errors` errors, and the number of errors that were left out."""
    from idlc.diagnostics import Report

    shown = Report()
    left_out = 0
    for diagnostic in report:
        if diagnostic.severity == "error" and shown.errors == max_errors:
            left_out += 1
        else:
            shown.add(diagnostic)
    return shown, left_out


def _is_colored(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()
