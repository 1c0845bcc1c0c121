"""`idlc init`: a project with a service that runs. Its files come from `templates/init`."""

from __future__ import annotations

import keyword
import re
import shlex
from pathlib import Path, PurePosixPath
from string import Template
from typing import Final

import click

from idlc.cli.outputs import cannot_write
from idlc.files import readable
from idlc.resources import read_text
from idlc.text import plural
from idlc.transaction import Transaction
from idlc.version import __version__

__all__ = ["command"]

_FILES: Final = {
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    "idlc.toml": "idlc.toml",
    "idl/notes.thrift": "notes.thrift",
    "src/$folder/__init__.py": "package.py",
    "src/$folder/server.py": "server.py",
    "src/$folder/client.py": "client.py",
    "tests/test_service.py": "test_service.py",
    ".github/workflows/ci.yml": "ci.yml",
    ".gitignore": "gitignore",
}
"""File of the project → template, without its suffix."""

_NAME: Final = re.compile(r"[a-z0-9]+([._-]?[a-z0-9]+)*", re.IGNORECASE | re.ASCII)  # a name of PyPI, PEP 508
_PACKAGE: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*", re.IGNORECASE | re.ASCII)
_MOST_CHARACTERS: Final = 50  # with more, lines of the project get too long
_TAKEN: Final = {"idl", "idlc", "idlrt", "tests"}


@click.command("init", short_help="Create a project with a service that runs.")
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="Name of the project. Default: the name of the folder.")
@click.option("--package", metavar="NAME", help="Dotted name of the Python package. Default: from the project's name.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def command(folder: Path, name: str | None, package: str | None, quiet: bool) -> None:
    """Create a project in DIR (default: the working directory): IDL, server, client, tests and a CI workflow.

    The folder is created if it does not exist. Files that exist are not overwritten: if there are any of the same
    names, nothing is written.
    """
    name = _project_name(folder, name)
    package = _package_name(name, package)
    values = {
        "name": name,
        "package": package,
        "folder": package.replace(".", "/"),
        "top": package.partition(".")[0],
        "version": __version__,
    }
    texts = {Template(file).substitute(values): _text(template, values) for file, template in _FILES.items()}
    paths = [folder / file for file in texts]
    existing = [path for path in paths if path.exists() or path.is_symlink()]
    if existing:
        names = ", ".join(f"'{readable(path)}'" for path in existing)
        verb = "exists" if len(existing) == 1 else "exist"
        raise click.UsageError(f"cannot create the project: {names} {verb}; choose another folder")
    _write(folder, texts)
    if not quiet:
        _print_next_steps(folder, paths, package)


def _project_name(folder: Path, name: str | None) -> str:
    found = folder.resolve().name if name is None else name
    if not _NAME.fullmatch(found) or len(found) > _MOST_CHARACTERS:
        advice = "; choose one with --name" if name is None else ""
        raise click.UsageError(
            f"project name must be letters, digits, `-`, `_` and `.`, at most {_MOST_CHARACTERS} characters, "
            f"got {found!r}{advice}"
        )
    return found


def _package_name(name: str, package: str | None) -> str:
    found = re.sub(r"[-.]", "_", name).lower() if package is None else package
    parts = found.split(".")
    advice = "; choose one with --package" if package is None else ""
    if not _PACKAGE.fullmatch(found) or any(map(keyword.iskeyword, parts)) or len(found) > _MOST_CHARACTERS:
        raise click.UsageError(
            f"package must be a Python identifier or a dotted name, at most {_MOST_CHARACTERS} characters, "
            f"got {found!r}{advice}"
        )
    if parts[0] in _TAKEN:
        raise click.UsageError(f"package {found!r} hides another package of that name; choose one with --package")
    return found


def _text(template: str, values: dict[str, str]) -> str:
    return Template(read_text("templates", f"init/{template}.template")).substitute(values)


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write all files or none."""
    try:
        with Transaction(folder) as transaction:
            for file, text in texts.items():
                transaction.replace(PurePosixPath(file), text.encode())
            transaction.commit()
    except OSError as error:
        raise cannot_write(error, folder) from None


def _print_next_steps(folder: Path, paths: list[Path], package: str) -> None:
    for path in paths:
        click.echo(f"created: {readable(path)}")
    click.echo(f"\n{plural(len(paths), 'file')}. Next steps:\n")
    if folder.resolve() != Path.cwd():
        click.echo(f"  cd {readable(shlex.quote(str(folder)))}")
    for step in (
        "idlc generate",
        "pip install -e . --group dev",
        "pytest",
        f"python -m {package}.server &",
        f"python -m {package}.client",
    ):
        click.echo(f"  {step}")
