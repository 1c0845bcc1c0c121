"""Command line of the compiler: options, output and exit codes. The compile itself is in `driver`.

Exit codes: 0 success (also with warnings); 1 errors in the IDL or, with `--check`, output that is out of date;
2 usage errors. Diagnostics go to standard error. `doctor` exits with 1 if the installation is broken.
"""

from __future__ import annotations

import os
import sys
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from idlc import __version__
from idlc.files import readable
from idlc.text import plural

if TYPE_CHECKING:
    from idlc.diagnostics import Report
    from idlc.driver import Result

__all__ = ["main"]


class _CompileByDefault(click.Group):
    """Command group with `compile` as its default command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "-h", "--version"}
        if args and args[0] not in self.commands and args[0] not in own:
            args = ["compile", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_CompileByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="idlc")
def main() -> None:
    """Compile Thrift-compatible IDL files into small typed Python stubs.

    `idlc FILES...` is short for `idlc compile FILES...`.

    \b
    Examples:
      idlc shop.idl -o gen
      idlc compile idl/ -o src -I idl/common --package myapp.rpc
      idlc compile idl/ -o gen --check
      idlc doctor

    `idlc COMMAND --help` shows the options of a command.
    """


@main.command("compile", short_help="Compile IDL files into stubs.")
@click.argument("paths", nargs=-1, required=True, metavar="FILES...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("gen"),
    show_default=True,
    help="Output folder; created if it does not exist.",
)
@click.option(
    "-I",
    "--include",
    "include_dirs",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to search for includes, after the folder of the including file. Can be repeated.",
)
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
@click.option(
    "--allow-neg-keys",
    "allow_negative_ids",
    is_flag=True,
    help="Keep field ids that are zero or negative (as the option of that name in Apache Thrift).",
)
@click.option("--check", "only_compare", is_flag=True, help="Write nothing; fail if the output is out of date.")
@click.option(
    "--cache/--no-cache",
    "use_cache",
    default=True,
    show_default=True,
    help="Skip the compile if nothing has changed since the last one.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["full", "short"]),
    default="full",
    show_default=True,
    help="Format of diagnostics: with source code, or one line each (file:line:column: ...).",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colors in diagnostics; `auto` depends on the terminal, NO_COLOR and FORCE_COLOR.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print diagnostics only.")
def compile_command(paths: tuple[Path, ...], output: Path, style: str, color: str, quiet: bool, **options: Any) -> None:
    """Compile FILES (IDL files, or folders with `.idl` and `.thrift` files) into Python stubs.

    Includes are searched in the folder of the including file, in each `-I` folder, and in the working directory. Output
    files that have not changed are not written.

    Exits with 1 if the IDL has errors or, with `--check`, if the output is out of date.
    """
    from idlc.codegen.target import UnknownTarget
    from idlc.driver import Request, compile_files, find_sources

    for path in paths:
        if not path.exists():
            raise click.UsageError(f"no such file or folder: '{readable(path)}'")
    sources = find_sources(paths)
    if not sources:
        searched = ", ".join(f"'{readable(path)}'" for path in paths)
        raise click.UsageError(f"no .idl or .thrift files in {searched}")
    if output.exists() and not output.is_dir():
        raise click.UsageError(f"--output '{readable(output)}': is a file, must be a folder")
    package: str = options["package"]
    if package and not all(part.isidentifier() and not iskeyword(part) for part in package.split(".")):
        raise click.UsageError(f"--package '{readable(package)}': must be a dotted Python name")
    try:
        result = compile_files(Request(paths=tuple(sources), output=output, **options))
    except UnknownTarget as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(
            f"cannot write '{readable(error.filename or output)}': {error.strerror or error}"
        ) from None
    _print_findings(result.report, style, is_colored=_is_colored(color))
    if result.report.has_errors:
        sys.exit(1)
    sys.exit(_conclude(result, output, quiet=quiet, only_compare=options["only_compare"]))


@main.command("doctor", short_help="Check the installation.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object instead of text.")
def doctor_command(is_json: bool) -> None:
    """Check the installation and suggest fixes.

    Shows versions, dependencies, extras, the codecs that the runtime uses and why, the cache folder, and all plugins
    with errors of those that cannot be loaded. Exits with 1 if there are errors.
    """
    from idlc.doctor import examine, render, to_json

    installation = examine()
    # Names of folders may contain bytes that cannot be printed.
    click.echo(to_json(installation) if is_json else "\n".join(map(readable, render(installation).split("\n"))))
    sys.exit(0 if installation.is_fine else 1)


def _conclude(result: Result, output: Path, *, quiet: bool, only_compare: bool) -> int:
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


def _print_findings(report: Report, style: str, *, is_colored: bool) -> None:
    if not len(report):
        return
    from idlc.diagnostics import render, render_short, summary

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
