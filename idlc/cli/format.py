"""Command `format`: print, check or write formatted IDL files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from idlc.cli.findings import finding_options, is_document, require_text, show
from idlc.cli.project import config_option, found_config, load_config, project_sources
from idlc.cli.sources import require_sources
from idlc.config import FormatConfig
from idlc.files import readable
from idlc.text import plural

if TYPE_CHECKING:
    from idlc.diagnostics import Report
    from idlc.formatting import FormattedFile

__all__ = ["command"]

_STDIN = Path("-")
_MIN_WIDTH = 20  # that of `idlc.formatting`, which takes long to import


@click.command("format", short_help="Format IDL files.")
@click.argument("paths", nargs=-1, metavar="[FILES]...", type=click.Path(path_type=Path, allow_dash=True))
@click.option("-w", "--write", "is_written", is_flag=True, help="Write the files back; formatted ones are not touched.")
@click.option("--check", "is_checked", is_flag=True, help="Write nothing; fail if a file is not formatted.")
@click.option("--diff", "is_diff", is_flag=True, help="Print the changes as unified diffs.")
@click.option(
    "--width",
    type=click.IntRange(min=_MIN_WIDTH),
    metavar="COLUMNS",
    help="Columns that a line should not exceed; by default `width` of [format] in the configuration, or 100.",
)
@click.option(
    "--stdin-filename",
    default="",
    metavar="NAME",
    help="File name in messages and diffs if the input is `-`.",
)
@config_option
@finding_options
@click.option("-q", "--quiet", is_flag=True, help="Print no counts and no names of formatted files.")
def command(
    paths: tuple[Path, ...],
    is_written: bool,
    is_checked: bool,
    is_diff: bool,
    width: int | None,
    stdin_filename: str,
    config_file: Path | None,
    style: str,
    color: str,
    max_errors: int | None,
    quiet: bool,
) -> None:
    """Format FILES (IDL files, folders with `.idl` and `.thrift` files, or `-` for standard input).

    Without FILES, the inputs of the project are formatted (`idlc.toml`).

    Without --write, --check or --diff, the formatted text of one file is printed.

    Definitions with syntax errors are left as they are, and everything else is formatted.

    Exits with 1 if there are syntax errors or, with `--check`, if a file is not formatted.
    """
    from idlc.diagnostics import Report

    _check_usage(paths, is_written=is_written, is_checked=is_checked, stdin_filename=stdin_filename)
    is_printed = not (is_written or is_checked or is_diff)
    require_text(style, *["--diff"] * is_diff, *["the formatted text"] * is_printed)
    quiet = quiet or is_document(style)
    config = found_config(config_file) if paths else load_config(config_file)
    if width is None:
        width = (FormatConfig() if config is None else config.format).width
    report = Report()
    if paths == (_STDIN,):
        files = _formatted_stdin(stdin_filename or "<stdin>", report, width)
    else:
        sources = project_sources(config) if config is not None and not paths else _sources(paths)
        if len(sources) > 1 and is_printed:
            raise click.UsageError(f"cannot print {plural(len(sources), 'file')}; add --write, --check or --diff")
        files = _formatted(sources, report, width)
    count = 0
    changed: list[FormattedFile] = []
    for file in files:
        count += 1
        if file.is_changed:
            changed.append(file)
            if is_diff:
                click.echo(file.diff(), nl=False)
            if is_written:
                _write(file, quiet=quiet)
        if is_printed:
            click.echo(file.after, nl=False)
    show(report, style=style, color=color, max_errors=max_errors)
    if is_checked:
        _print_unformatted(changed, count, quiet=quiet or report.has_errors)
    elif is_written and not quiet:
        click.echo(f"{plural(count, 'file')}, {len(changed)} formatted, {count - len(changed)} unchanged")
    sys.exit(1 if report.has_errors or (is_checked and changed) else 0)


def _check_usage(paths: tuple[Path, ...], *, is_written: bool, is_checked: bool, stdin_filename: str) -> None:
    if is_written and is_checked:
        raise click.UsageError("--write and --check exclude each other")
    if _STDIN in paths and len(paths) > 1:
        raise click.UsageError("`-` must be the only input")
    if _STDIN in paths and is_written:
        raise click.UsageError("--write needs files; without it, formatted standard input is printed")
    if _STDIN not in paths and stdin_filename:
        raise click.UsageError("--stdin-filename needs the input `-`")


def _sources(paths: tuple[Path, ...]) -> list[Path]:
    """Return all files, each once."""
    return list({path.resolve(): path for path in reversed(require_sources(paths))}.values())[::-1]


def _formatted(sources: list[Path], report: Report, width: int) -> Iterator[FormattedFile]:
    from idlc.formatting import format_file

    for path in sources:
        file = format_file(path, report, name=readable(path), width=width)
        if file is not None:
            yield file


def _formatted_stdin(name: str, report: Report, width: int) -> Iterator[FormattedFile]:
    from idlc.formatting import format_bytes

    data = sys.stdin.buffer.read()
    file = format_bytes(data, Path(name).absolute(), report, name=readable(name), width=width)
    if file is not None:
        yield file


def _write(file: FormattedFile, *, quiet: bool) -> None:
    try:
        file.write()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.ClickException(f"cannot write '{file.name}': {reason}") from None
    if not quiet:
        click.echo(f"formatted: {file.name}")


def _print_unformatted(files: list[FormattedFile], count: int, *, quiet: bool) -> None:
    for file in files:
        click.echo(f"not formatted: {file.name}", err=True)
    if files:
        verb = "is" if len(files) == 1 else "are"
        click.echo(f"{len(files)} of {plural(count, 'file')} {verb} not formatted; run `idlc format --write`", err=True)
    elif not quiet:
        click.echo(f"OK ({plural(count, 'file')})")
