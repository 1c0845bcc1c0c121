"""IDL files that a command works on: its arguments, or the inputs of the project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import idlc
from idlc.cli.project import project_sources
from idlc.files import readable

if TYPE_CHECKING:
    from idlc.breaking.against import Current
    from idlc.diagnostics import Report

__all__ = ["read_sources", "require_sources"]


def read_sources(
    paths: Sequence[Path],
    config: idlc.Config | None,
    report: Report,
    *,
    include_dirs: Sequence[Path],
    allow_negative_ids: bool,
) -> Current:
    """Read and link files and the files below folders, or the inputs of the configuration if there are no paths.

    Raises:
        click.UsageError: a path does not exist, or there are no IDL files.
    """
    from idlc.breaking.against import read_current

    if config is not None:
        include_dirs = (*include_dirs, *config.include_dirs)
        allow_negative_ids = allow_negative_ids or config.allow_negative_ids
    if paths or config is None:
        return read_current(
            require_sources(paths),
            report,
            include_dirs=include_dirs,
            allow_negative_ids=allow_negative_ids,
            folders=[path for path in paths if path.is_dir()],
        )
    files = project_sources(config)
    requested = [config.path(name) for name in config.inputs or config.roots or ["."]]
    return read_current(
        files,
        report,
        include_dirs=include_dirs,
        allow_negative_ids=allow_negative_ids,
        folders=[path for path in requested if path.is_dir()],
        home=config.folder,
        exclude=config.exclude,
    )


def require_sources(paths: Sequence[Path]) -> list[Path]:
    """Return the IDL files among some paths and below those that are folders.

    Raises:
        click.UsageError: a path does not exist, or there are no IDL files.
    """
    for path in paths:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise click.UsageError(f"no such file or folder: '{readable(path)}'") from None
        except OSError as error:
            raise click.UsageError(f"cannot read '{readable(path)}': {(error.strerror or '').lower()}") from None
    found = idlc.find_sources(paths)
    if not found:
        searched = ", ".join(f"'{readable(path)}'" for path in paths)
        raise click.UsageError(f"no .idl or .thrift files in {searched}")
    return found
