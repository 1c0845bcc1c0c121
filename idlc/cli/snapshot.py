"""`idlc snapshot`: write what `idlc breaking` compares."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from idlc.cli.findings import finding_options, show
from idlc.cli.options import include_option, negative_ids_option
from idlc.cli.project import config_option, load_config
from idlc.cli.sources import read_sources
from idlc.files import readable

__all__ = ["command"]


@click.command("snapshot", short_help="Write a snapshot of an interface for `idlc breaking`.")
@click.argument("paths", nargs=-1, metavar="[FILES...]", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default=Path("-"),
    show_default=True,
    help="Output file; `-` is standard output.",
)
@include_option
@click.option(
    "--since",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="SNAPSHOT",
    help="Earlier snapshot (may be the output): keep the ids of fields that were removed since, so that "
    "`idlc breaking` finds out if they are used again.",
)
@negative_ids_option
@config_option
@finding_options
def command(
    paths: tuple[Path, ...],
    output: Path,
    include_dirs: tuple[Path, ...],
    since: Path | None,
    config_file: Path | None,
    style: str,
    color: str,
    max_errors: int | None,
    *,
    allow_negative_ids: bool,
) -> None:
    """Write a snapshot of FILES (IDL files, or folders with `.idl` and `.thrift` files) as JSON.

    A snapshot is the baseline of `idlc breaking --against snapshot.json`. It has types, services and constants, no
    comments and positions, and is the same for equal interfaces, so that it can be committed.

    Paths in it are relative to the folder if FILES is one folder, otherwise to the working directory. Without FILES, it
    has the inputs of `idlc.toml`.

    Exits with 1 if the IDL has errors.
    """
    from idlc.breaking import SnapshotError, dump, load, retire
    from idlc.diagnostics import Report
    from idlc.files import replace_file

    config = load_config(config_file) if not paths or config_file is not None else None
    report = Report()
    current = read_sources(paths, config, report, include_dirs=include_dirs, allow_negative_ids=allow_negative_ids)
    if report.has_errors:
        show(report, style=style, color=color, max_errors=max_errors)
        sys.exit(1)
    found = current.described().snapshot
    if since is not None:
        try:
            found = retire(found, load(since.read_bytes()))
        except OSError as error:
            raise click.UsageError(f"cannot read '{readable(since)}': {error.strerror or error}") from None
        except SnapshotError as error:
            raise click.UsageError(f"--since '{readable(since)}': {error}") from None
    data = dump(found)
    if str(output) == "-":
        click.echo(data, nl=False)
        return
    try:
        replace_file(output, data)
    except OSError as error:
        raise click.ClickException(f"cannot write '{readable(output)}': {error.strerror or error}") from None
