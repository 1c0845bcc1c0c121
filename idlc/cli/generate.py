"""`idlc generate`: everything that the configuration of a project asks for."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import idlc
from idlc.cli.findings import finding_options, is_document, policy_of, policy_option, require_text, show
from idlc.cli.options import depfile_option, jobs_option, list_outputs_option
from idlc.cli.outputs import cannot_write, print_diff, write_depfile
from idlc.cli.project import config_option, load_config
from idlc.files import readable
from idlc.text import plural

__all__ = ["command"]


@click.command("generate", short_help="Generate everything that idlc.toml asks for.")
@config_option
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Generate this target only: its name, or NAME:OUTPUT. Can be repeated.",
)
@click.option("--check", "only_compare", is_flag=True, help="Write nothing; fail if files are out of date or orphaned.")
@click.option(
    "--diff/--no-diff",
    "with_diff",
    default=True,
    show_default=True,
    help="With --check, print what would change.",
)
@click.option("--clean", is_flag=True, help="Remove orphaned files: those of IDL files and targets that are gone.")
@depfile_option
@list_outputs_option
@click.option(
    "--cache/--no-cache",
    "use_cache",
    default=True,
    show_default=True,
    help="Skip the generation if nothing has changed since the last one.",
)
@jobs_option
@policy_option
@finding_options
@click.option("-q", "--quiet", is_flag=True, help="Print diagnostics only.")
def command(
    config_file: Path | None,
    targets: tuple[str, ...],
    only_compare: bool,
    with_diff: bool,
    clean: bool,
    depfile: Path | None,
    list_outputs: bool,
    use_cache: bool,
    jobs: int,
    warnings: tuple[str, ...],
    style: str,
    color: str,
    max_errors: int | None,
    quiet: bool,
) -> None:
    """Generate everything that `idlc.toml`, or `[tool.idlc]` in `pyproject.toml`, asks for.

    All files of all targets are written, or none. Files that have not changed are not written. `--check` finds files
    that are out of date, and orphaned files: those of IDL files and targets that are gone.

    Exits with 1 if the IDL has errors or, with `--check`, if files are out of date or orphaned; with 2 if the
    configuration is invalid.
    """
    given = [("--check", only_compare), ("--clean", clean), ("--list-outputs", list_outputs)]
    exclusive = [name for name, is_given in given if is_given]
    if len(exclusive) > 1:
        raise click.UsageError(f"{' and '.join(exclusive)} exclude each other")
    require_text(style, *["--list-outputs"] * list_outputs)
    config = load_config(config_file)
    policy = policy_of(warnings, config.policy())
    try:
        result = idlc.generate_project(
            config,
            targets=targets,
            only_compare=only_compare or list_outputs,
            clean=clean,
            use_cache=use_cache,
            jobs=jobs,
            policy=policy,
        )
    except (idlc.ConfigError, idlc.UnknownTarget) as error:
        raise click.UsageError(str(error)) from None
    except idlc.BaselineError as error:
        raise click.UsageError(f"baseline '{readable(config.baseline)}': {error}") from None
    except OSError as error:
        raise cannot_write(error, config.folder) from None
    show(result.report, style=style, color=color, max_errors=policy.max_errors if max_errors is None else max_errors)
    if result.report.has_errors:
        sys.exit(1)
    outputs = [path for each in result.folders for path in (*each.written, *each.unchanged)]
    if depfile is not None and not only_compare and not list_outputs:
        write_depfile(depfile, outputs, result.inputs)
    if list_outputs:
        for path in sorted(outputs):
            click.echo(readable(path))
    elif only_compare and not result.is_up_to_date:
        _print_stale(result, with_diff=with_diff and not is_document(style))
        sys.exit(1)
    elif not quiet:
        _print_written(result, with_counts=not is_document(style))


def _print_stale(result: idlc.ProjectResult, *, with_diff: bool) -> None:
    for folder in result.folders:
        for path in folder.written:
            if with_diff:
                print_diff(path, folder.texts[path])
            click.echo(f"out of date: {readable(path)}", err=True)
        for path in folder.orphaned:
            click.echo(f"orphaned: {readable(path)}", err=True)
    stale, orphaned = (sum(len(getattr(each, name)) for each in result.folders) for name in ("written", "orphaned"))
    advice = "idlc generate --clean" if orphaned else "idlc generate"
    click.echo(f"{plural(stale, 'file')} out of date, {orphaned} orphaned; run `{advice}`", err=True)


def _print_written(result: idlc.ProjectResult, *, with_counts: bool) -> None:
    for folder in result.folders:
        count = len(folder.written) + len(folder.unchanged)
        removed = f", {len(folder.removed)} removed" if folder.removed else ""
        if with_counts:
            click.echo(
                f"{readable(folder.folder)}: {plural(count, 'file')}, {len(folder.written)} written, "
                f"{len(folder.unchanged)} unchanged{removed}"
            )
        for path in folder.orphaned:
            click.echo(f"orphaned: {readable(path)}; `idlc generate --clean` removes it", err=True)
