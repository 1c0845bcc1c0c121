"""`idlc breaking`: find incompatible changes of an interface."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from idlc.cli.findings import finding_options, is_document, show
from idlc.cli.options import include_option, negative_ids_option
from idlc.cli.project import config_option, found_config, load_config
from idlc.cli.sources import read_sources
from idlc.files import readable
from idlc.text import plural

if TYPE_CHECKING:
    from idlc.breaking import Category, Finding, Ignored

__all__ = ["command"]


@click.command("breaking", short_help="Find incompatible changes of an interface.")
@click.argument("paths", nargs=-1, metavar="[FILES...]", type=click.Path(path_type=Path))
@click.option(
    "--against",
    metavar="VERSION",
    help="Earlier version: `git:REF` (a branch, a tag, `git:HEAD~1`), `git:REF:DIR`, a folder with the same layout, a "
    "file, or the output of `idlc snapshot`.",
)
@click.option(
    "-c",
    "--categories",
    metavar="LIST",
    help="Categories to report, separated by commas: `WIRE` (`binary` and `compact`), `JSON`, `REST` (HTTP routes), "
    "`SOURCE` (code that uses the stubs). Default: all.",
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="RULE[:PLACE]",
    help="Expected changes: a rule, and optionally a path or an element (`Order.note`), each with `*` for any text. "
    "Can be repeated.",
)
@click.option("--rules", "is_list", is_flag=True, help="List all rules with their categories, and exit.")
@include_option
@negative_ids_option
@config_option
@finding_options
@click.option("-q", "--quiet", is_flag=True, help="Print findings only.")
def command(
    paths: tuple[Path, ...],
    against: str | None,
    categories: str | None,
    ignored: tuple[str, ...],
    include_dirs: tuple[Path, ...],
    config_file: Path | None,
    style: str,
    color: str,
    max_errors: int | None,
    *,
    is_list: bool,
    allow_negative_ids: bool,
    quiet: bool,
) -> None:
    """Compare FILES (IDL files, or folders with `.idl` and `.thrift` files) with an earlier version.

    \b
    Examples:
      idlc breaking idl/ --against git:origin/main
      idlc breaking idl/ --against snapshot.json --categories WIRE
      idlc breaking shop.idl --against old/shop.idl --ignore field.removed:Order.note

    Without FILES, the inputs of `idlc.toml` are compared. Its table [breaking] has defaults of the options: `against`,
    `categories`, `ignore` and `ignore_paths`.

    Exits with 1 if there are incompatible changes, or errors in the IDL of one of both versions.
    """
    if is_list:
        _print_rules()
        return
    from idlc.breaking import Ignored, compare, to_report
    from idlc.breaking.against import AgainstError, read_earlier
    from idlc.breaking.snapshot import SnapshotError
    from idlc.config import BreakingConfig
    from idlc.diagnostics import Report
    from idlc.findings.suppression import changes_suppressed

    config = load_config(config_file) if not paths or config_file is not None else found_config(None)
    settings = BreakingConfig() if config is None else config.breaking
    wanted = _categories(categories.split(",") if categories is not None else settings.categories)
    expected = [*_ignored("--ignore", ignored), *_ignored("[breaking] ignore:", settings.ignore)]
    expected += (Ignored("breaking.*", pattern) for pattern in settings.ignore_paths)
    if against is None and config is not None and settings.against:
        against = settings.against if settings.against.startswith("git:") else str(config.path(settings.against))
    if not against:  # also an empty variable of CI
        raise click.UsageError("missing option '--against': name the earlier version, such as git:origin/main")
    report = Report()
    current = read_sources(paths, config, report, include_dirs=include_dirs, allow_negative_ids=allow_negative_ids)
    if report.has_errors:
        show(report, style=style, color=color, max_errors=max_errors)
        sys.exit(1)
    earlier = Report()
    try:
        before, after = read_earlier(against, current, earlier)
        if earlier.has_errors:
            show(earlier, style=style, color=color, max_errors=max_errors)
            click.echo(f"cannot compare with '{readable(against)}': it has errors", err=True)
            sys.exit(1)
        found = compare(before, after, categories=wanted, ignore=expected)
        is_suppressed = changes_suppressed(program.document for program in current.programs)
        found = [change for change in found if not is_suppressed(change.rule, change.span)]
    except (AgainstError, SnapshotError) as error:
        raise click.UsageError(str(error)) from None
    findings = Report()
    to_report(found, findings)
    show(findings, style=style, color=color, max_errors=max_errors)
    if not quiet and not is_document(style):
        click.echo(_summary(found, len(after.snapshot.files), against))
    sys.exit(1 if found else 0)


def _summary(found: Sequence[Finding], files: int, against: str) -> str:
    compared = f"compared {plural(files, 'file')} with {readable(against)}"
    if not found:
        return f"{compared}: no incompatible changes"
    counts = Counter(category for finding in found for category in finding.categories)
    each = ", ".join(f"{category} {count}" for category, count in sorted(counts.items()))
    return f"{compared}: {plural(len(found), 'incompatible change')} ({each})"


def _categories(words: Sequence[str]) -> list[Category]:
    from idlc.breaking import CATEGORIES

    names = [each.strip().upper() for each in words if each.strip()]
    for name in names:
        if name not in CATEGORIES:
            raise click.UsageError(f"unknown category {name!r} (known: {', '.join(CATEGORIES)})")
    return [each for each in CATEGORIES if not names or each in names]


def _ignored(origin: str, texts: Sequence[str]) -> list[Ignored]:
    from idlc.breaking import RULES, Ignored
    from idlc.model.scope import nearest

    found: list[Ignored] = []
    for text in texts:
        try:
            found.append(Ignored.parse(text))
        except ValueError as error:
            name = text.partition(":")[0]
            known = [rule.removeprefix("breaking.") for rule in RULES]
            near = nearest(name.removeprefix("breaking."), iter(known))
            advice = f"did you mean {near!r}?" if near else "`idlc breaking --rules` lists them"
            raise click.UsageError(f"{origin} {text!r}: {error}; {advice}") from None
    return found


def _print_rules() -> None:
    from idlc.breaking import RULES

    for rule in RULES.values():
        click.echo(f"{rule.name}  [{', '.join(rule.categories)}]\n    {rule.doc}")
