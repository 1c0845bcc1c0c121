"""`idlc compile`: options and output. The compile itself is in `driver`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from keyword import iskeyword
from pathlib import Path
from typing import Any

import click

import idlc
from idlc.cli.findings import (
    baseline_options,
    finding_options,
    is_document,
    policy_of,
    policy_option,
    require_text,
    show,
    write_baseline,
)
from idlc.cli.options import depfile_option, include_option, jobs_option, list_outputs_option, negative_ids_option
from idlc.cli.outputs import cannot_write, print_diff, write_depfile
from idlc.cli.project import config_option, found_config
from idlc.cli.sources import require_sources
from idlc.driver import FrontEnd
from idlc.files import readable
from idlc.text import plural

__all__ = ["command"]


@click.command("compile", short_help="Compile IDL files into stubs.")
@click.argument("paths", nargs=-1, required=True, metavar="FILES...", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("gen"),
    show_default=True,
    help="Output folder; created if it does not exist.",
)
@include_option
@click.option("--package", default="", metavar="NAME", help="Dotted name of a package that contains all output.")
@click.option(
    "--target",
    default="python",
    show_default=True,
    metavar="NAME",
    help="Output: `python` for stubs, `openapi` for an OpenAPI 3.1 document, or a plugin.",
)
@click.option(
    "--templates",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder with templates that override built-in ones of the same name.",
)
@click.option(
    "--includes/--no-includes",
    "with_includes",
    default=True,
    show_default=True,
    help="Compile included files, too.",
)
@click.option(
    "--nullable-arguments",
    is_flag=True,
    help="Allow `None` for arguments that are neither `required` nor have a default.",
)
@negative_ids_option
@click.option("--check", "only_compare", is_flag=True, help="Write nothing; fail if the output is out of date.")
@click.option("--diff", "with_diff", is_flag=True, help="With --check, print what would change.")
@click.option(
    "--stdin-filename",
    type=click.Path(path_type=Path),
    default=Path("stdin.thrift"),
    show_default=True,
    metavar="FILE",
    help="Name of the IDL file that is read from standard input (`-`), for its includes, output and diagnostics.",
)
@depfile_option
@list_outputs_option
@click.option(
    "--cache/--no-cache",
    "use_cache",
    default=True,
    show_default=True,
    help="Skip the compile if nothing has changed since the last one.",
)
@jobs_option
@config_option
@policy_option
@baseline_options
@finding_options
@click.option(
    "--format",
    "old_style",
    type=click.Choice(["full", "short"]),
    hidden=True,
    help="Old name of --error-format.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print diagnostics only.")
def command(
    paths: tuple[Path, ...],
    output: Path,
    stdin_filename: Path,
    with_diff: bool,
    depfile: Path | None,
    list_outputs: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Compile FILES (IDL files, or folders with `.idl` and `.thrift` files) into Python stubs; `-` is standard input.

    Includes are searched in the folder of the including file, in each `-I` folder, and in the working directory. All
    output files are written, or none; those that have not changed are not written.

    Of a configuration (`idlc.toml`), [checks] and the baseline apply; `idlc generate` does all that it asks for.

    Exits with 1 if the IDL has errors or, with `--check`, if the output is out of date.
    """
    shown = {name: options.pop(name) for name in ("style", "color", "max_errors")}
    config = found_config(options.pop("config_file"))
    policy = policy_of(options.pop("warnings"), None if config is None else config.policy())
    options["root"] = None if config is None else config.folder
    if options["baseline"] is None and config is not None:
        options["baseline"] = config.baseline_file
    if shown["max_errors"] is None:
        shown["max_errors"] = policy.max_errors
    old_style = options.pop("old_style")
    if old_style is not None:
        click.echo("warning: --format is deprecated; use --error-format", err=True)
        shown["style"] = old_style
    sources = _sources(paths, stdin_filename)
    if output.exists() and not output.is_dir():
        raise click.UsageError(f"--output '{readable(output)}': is a file, must be a folder")
    package: str = options["package"]
    if package and not all(part.isidentifier() and not iskeyword(part) for part in package.split(".")):
        raise click.UsageError(f"--package '{readable(package)}': must be a dotted Python name")
    if with_diff and not options["only_compare"]:
        raise click.UsageError("--diff needs --check")
    if list_outputs and options["only_compare"]:
        raise click.UsageError("--list-outputs and --check exclude each other")
    require_text(shown["style"], *["--list-outputs"] * list_outputs, *["--diff"] * with_diff)
    options["only_compare"] = only_compare = options["only_compare"] or list_outputs
    expires = options.pop("baseline_expires")
    if options.pop("write_baseline"):
        front_end = FrontEnd(
            paths=tuple(sources),
            texts=sources if isinstance(sources, dict) else {},
            include_dirs=options["include_dirs"],
            allow_negative_ids=options["allow_negative_ids"],
            policy=policy,
            root=options["root"],
            baseline=options["baseline"],
        )
        write_baseline(front_end, expires)
    try:
        result = idlc.compile(sources, output, policy=policy, **options)
    except idlc.BaselineError as error:
        raise click.UsageError(f"--baseline '{readable(str(options['baseline']))}': {error}") from None
    except idlc.UnknownTarget as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise cannot_write(error, output) from None
    show(result.report, **shown)
    if result.has_errors:
        sys.exit(1)
    outputs = [*result.written, *result.unchanged]
    if depfile is not None and not only_compare:
        write_depfile(depfile, outputs, [path for path in result.inputs if path.exists()])
    if list_outputs:
        for path in sorted(outputs):
            click.echo(readable(path))
        return
    if only_compare and with_diff:
        for path in result.written:
            print_diff(path, result.texts[path])
    quiet = quiet or is_document(shown["style"])
    sys.exit(_conclude(result, output, quiet=quiet, only_compare=only_compare))


def _sources(paths: Sequence[Path], stdin_filename: Path) -> list[Path] | dict[Path, str]:
    """Return the IDL files; with standard input among them, their texts."""
    files = [path for path in paths if str(path) != "-"]
    sources = require_sources(files) if files else []
    if len(files) == len(paths):
        return sources
    texts = {path: _text(path.read_bytes(), f"'{readable(path)}'") for path in sources}
    if sys.stdin is None:  # closed
        raise click.UsageError("cannot read standard input: it is closed")
    return {**texts, stdin_filename: _text(sys.stdin.buffer.read(), "standard input")}


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"cannot read {name}: not UTF-8") from None


def _conclude(result: idlc.Compiled, output: Path, *, quiet: bool, only_compare: bool) -> int:
    count = len(result.written) + len(result.unchanged)
    if only_compare and result.written:
        for path in result.written:
            click.echo(f"out of date: {readable(path)}", err=True)
        verb = "is" if len(result.written) == 1 else "are"
        click.echo(
            f"{readable(output)}: {len(result.written)} of {plural(count, 'file')} {verb} out of date; "
            "compile again without --check",
            err=True,
        )
        return 1
    if not quiet:
        click.echo(
            f"{readable(output)}: {plural(count, 'file')}, {len(result.written)} written, "
            f"{len(result.unchanged)} unchanged"
        )
    return 0
