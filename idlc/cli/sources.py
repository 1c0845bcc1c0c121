"""IDL files as arguments of commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from idlc.files import readable

__all__ = ["require_sources"]


def require_sources(paths: Sequence[Path]) -> list[Path]:
    """Return the IDL files among some paths and below those that are folders.

    Raises:
        click.UsageError: a path does not exist, or there are no IDL files.
    """
    from idlc.driver import find_sources

    for path in paths:
        if not path.exists():
            raise click.UsageError(f"no such file or folder: '{readable(path)}'")
    found = find_sources(paths)
    if not found:
        searched = ", ".join(f"'{readable(path)}'" for path in paths)
        raise click.UsageError(f"no .idl or .thrift files in {searched}")
    return found
