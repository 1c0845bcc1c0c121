"""Options of all commands that print diagnostics, and their output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from idlc.diagnostics import Report

__all__ = ["finding_options", "show"]

Function = TypeVar("Function", bound=Callable[..., object])


def finding_options(function: Function) -> Function:
    """Add the options of diagnostics to a command: `style` and `color`, which `show` takes."""
    color = click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Colors in diagnostics; `auto` depends on the terminal, NO_COLOR and FORCE_COLOR.",
    )
    style = click.option(
        "--format",
        "style",
        type=click.Choice(["full", "short"]),
        default="full",
        show_default=True,
        help="Format of diagnostics: with source code, or one line each (file:line:column: ...).",
    )
    return style(color(function))


def show(report: Report, *, style: str = "full", color: str = "auto") -> None:
    """Print all diagnostics and, in the full format, their number to standard error."""
    if not len(report):
        return
    from idlc.diagnostics import render, render_short, summary

    is_colored = _is_colored(color)
    for diagnostic in report:
        text = render_short(diagnostic) if style == "short" else render(diagnostic, color=is_colored)
        click.echo(text.rstrip("\n") if style == "short" else text, err=True, color=is_colored)
    if style == "full":
        click.echo(summary(report), err=True)


def _is_colored(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()
