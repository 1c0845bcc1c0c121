"""`idlc lint`: all checks, lint included, without generating code; and their fixes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from idlc.cli.findings import (
    baseline_options,
    finding_options,
    is_document,
    policy_of,
    policy_option,
    show,
    write_baseline,
)
from idlc.cli.options import include_option, negative_ids_option
from idlc.cli.project import config_option, found_config, load_config, project_sources
from idlc.cli.sources import require_sources
from idlc.files import readable
from idlc.text import plural

if TYPE_CHECKING:
    from idlc.driver import FrontEnd
    from idlc.findings import FixPlan
    from idlc.linting import LintResult

__all__ = ["command"]


@click.command("lint", short_help="Check IDL files, and fix them.")
@click.argument("paths", nargs=-1, metavar="[FILES]...", type=click.Path(path_type=Path))
@include_option
@negative_ids_option
@click.option("--fix", "is_fixing", is_flag=True, help="Apply fixes that do not change what the IDL means.")
@click.option("--diff", "is_diff", is_flag=True, help="Print these fixes as a unified diff, and apply none.")
@click.option("--unsafe-fixes", "with_unsafe", is_flag=True, help="With --fix or --diff: include all other fixes.")
@click.option("--list", "is_listing", is_flag=True, help="List all checks and other diagnostics.")
@config_option
@policy_option
@baseline_options
@finding_options
@click.option("-q", "--quiet", is_flag=True, help="Print diagnostics only.")
def command(
    paths: tuple[Path, ...], is_fixing: bool, is_diff: bool, with_unsafe: bool, is_listing: bool, **options: Any
) -> None:
    """Check FILES (IDL files, or folders with `.idl` and `.thrift` files) with all checks, and fix them.

    Unlike `idlc compile`, this includes lint: portability, compatibility, names, style, security and docs. Without
    FILES, the inputs of the project are checked (`idlc.toml`).

    Exits with 1 if there are errors or warnings.
    """
    from idlc.driver import FrontEnd
    from idlc.findings import BaselineError, Policy
    from idlc.linting import lint_files

    shown = {name: options.pop(name) for name in ("style", "color", "max_errors")}
    quiet = options.pop("quiet") or is_document(shown["style"])
    is_writing, expires = options.pop("write_baseline"), options.pop("baseline_expires")
    warnings, config_file = options.pop("warnings"), options.pop("config_file")
    if is_listing:
        _print_list()
        return
    config = found_config(config_file) if paths else load_config(config_file)
    policy = Policy() if config is None else config.policy()
    policy = policy_of(warnings, msgspec.structs.replace(policy, with_lint=True))
    if shown["max_errors"] is None:
        shown["max_errors"] = policy.max_errors
    if with_unsafe and not (is_fixing or is_diff):
        raise click.UsageError("--unsafe-fixes needs --fix or --diff")
    if is_diff and (is_fixing or is_document(shown["style"])):
        raise click.UsageError("--diff cannot be combined with --fix, or with a document on standard output")
    if config is not None:
        options["root"] = config.folder
        options["baseline"] = options["baseline"] or config.baseline_file
        options["allow_negative_ids"] = options["allow_negative_ids"] or config.allow_negative_ids
        options["include_dirs"] = (*options["include_dirs"], *config.include_dirs)
    sources = require_sources(paths) if config is None or paths else project_sources(config)
    request = FrontEnd(paths=tuple(sources), policy=policy, **options)
    if is_writing:
        write_baseline(request, expires)
    try:
        result = lint_files(request)
    except BaselineError as error:
        raise click.UsageError(f"--baseline '{readable(str(request.baseline))}': {error}") from None
    if is_fixing or is_diff:
        result = _fix(request, result, with_unsafe=with_unsafe, is_diff=is_diff, quiet=quiet)
    show(result.report, **shown)
    if not quiet and not len(result.report):
        click.echo(f"no findings in {plural(len(sources), 'file')}")
    sys.exit(1 if result.report.errors or result.report.warnings else 0)


def _fix(request: FrontEnd, result: LintResult, *, with_unsafe: bool, is_diff: bool, quiet: bool) -> LintResult:
    from idlc.findings import SourceChanged, unified_diff, write_fixes
    from idlc.linting import FixesRejected, safe_plan

    try:
        plan, fixed = safe_plan(request, result, with_unsafe=with_unsafe)
    except FixesRejected as error:
        raise click.ClickException(
            f"cannot fix {error}: the result would have more errors; nothing was changed"
        ) from None
    _print_conflicts(plan)
    if is_diff:
        click.echo(unified_diff(plan), nl=False)
        return result
    try:
        write_fixes(plan)
    except SourceChanged as error:
        raise click.ClickException(f"cannot fix {error}: the file was modified; nothing was changed") from None
    except OSError as error:
        name = readable(error.filename or "")
        raise click.ClickException(f"cannot write '{name}': {error.strerror or error}") from None
    if not quiet:
        unsafe = f"; {plural(plan.unsafe, 'unsafe fix', 'unsafe fixes')} left (--unsafe-fixes)" if plan.unsafe else ""
        click.echo(f"fixed {plural(len(plan.fixed), 'finding')} in {plural(len(plan.texts), 'file')}{unsafe}")
    return fixed


def _print_conflicts(plan: FixPlan) -> None:
    for first, second in plan.conflicts:
        click.echo(
            f"not fixed, because their edits overlap: {first.span} [{first.name}] and {second.span} [{second.name}]",
            err=True,
        )


def _print_list() -> None:
    from idlc.findings import all_rules

    width = max(map(len, all_rules()))
    for rule in all_rules().values():
        fix = "fix" if rule.is_fixable else ""
        severity = "off" if rule.is_lint else rule.severity
        click.echo(f"{rule.name:{width}}  {rule.category:13}  {severity:7}  {fix:3}  {rule.summary}")
