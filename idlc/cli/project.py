"""The configuration of the project, for commands that read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

import idlc
from idlc.files import readable

__all__ = ["config_option", "found_config", "load_config", "project_sources"]

Function = TypeVar("Function", bound=Callable[..., object])


def config_option(function: Function) -> Function:
    """Add `--config` to a command, as `config_file`."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Configuration file; by default `idlc.toml`, or `pyproject.toml` with [tool.idlc], in the working "
        "directory or the nearest folder above it.",
    )(function)


def load_config(file: Path | None) -> idlc.Config:
    """Read the configuration of the project.

    Raises:
        click.UsageError: there is none, or it is invalid.
    """
    found = found_config(file)
    if found is None:
        where = readable(Path.cwd())
        raise click.UsageError(
            f"no idlc.toml, and no pyproject.toml with [tool.idlc], in '{where}' or above; `idlc init` creates one"
        )
    return found


def project_sources(config: idlc.Config) -> list[Path]:
    """Return the input files of a project.

    Raises:
        click.UsageError: an input matches nothing, or all are excluded.
    """
    try:
        sources = config.sources()
    except FileNotFoundError as error:
        raise click.UsageError(
            f"{readable(config.file)}: inputs: '{readable(str(error))}' matches no .idl or .thrift file"
        ) from None
    if not sources:
        raise click.UsageError(f"{readable(config.file)}: all inputs are excluded")
    return sources


def found_config(file: Path | None) -> idlc.Config | None:
    """Read the configuration of the project if there is one.

    Raises:
        click.UsageError: it is invalid.
    """
    try:
        place = file if file is not None else idlc.find_config(Path())
        return None if place is None else idlc.read_config(place)
    except idlc.ConfigError as error:
        raise click.UsageError(str(error)) from None
