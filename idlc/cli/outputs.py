"""Output files of commands: differences, and files for build tools."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import click

from idlc.files import readable, replace_file
from idlc.text import plural

__all__ = ["cannot_write", "print_diff", "write_depfile"]

_MOST_LINES = 100


def cannot_write(error: OSError, folder: Path) -> click.ClickException:
    """Return the message about a file that cannot be written."""
    return click.ClickException(f"cannot write '{readable(error.filename or folder)}': {error.strerror or error}")


def print_diff(path: Path, text: str) -> None:
    """Print the difference between a file and its new text as a unified diff; of a long one the first 100 lines."""
    try:
        old = path.read_bytes().decode("utf-8")  # with its line ends
    except (OSError, UnicodeDecodeError):
        old = ""
    name = readable(path)
    lines = list(
        difflib.unified_diff(old.splitlines(keepends=True), text.splitlines(keepends=True), name, f"{name} (generated)")
    )
    for line in lines[:_MOST_LINES]:
        click.echo(line.rstrip("\n"))
    if len(lines) > _MOST_LINES:
        click.echo(f"... {plural(len(lines) - _MOST_LINES, 'more line')}")


def write_depfile(file: Path, outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Write a rule of make: outputs, and the files that they depend on.

    Raises:
        click.ClickException: the file cannot be written.
    """
    rule = f"{' '.join(map(_escaped, sorted(outputs)))}: {' '.join(map(_escaped, sorted(inputs)))}\n"
    try:
        replace_file(file, rule.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise cannot_write(error, file) from None


def _escaped(path: Path) -> str:
    text = str(path).replace("$", "$$")
    return "".join(f"\\{character}" if character in " #:\\" else character for character in text)
