"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["depfile_option", "include_option", "jobs_option", "list_outputs_option", "negative_ids_option"]

include_option = click.option(
    "-I",
    "--include",
    "include_dirs",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to search for includes, after the folder of the including file. Can be repeated.",
)
"""Adds `include_dirs`."""

negative_ids_option = click.option(
    "--allow-neg-keys",
    "allow_negative_ids",
    is_flag=True,
    help="Keep field ids that are zero or negative (as the option of that name in Apache Thrift).",
)
"""Adds `allow_negative_ids`."""

depfile_option = click.option(
    "--depfile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the outputs and the IDL files that they depend on to FILE, as a rule of make.",
)
"""Adds `depfile`."""

list_outputs_option = click.option(
    "--list-outputs", is_flag=True, help="Write nothing; print the paths of all output files."
)
"""Adds `list_outputs`."""

jobs_option = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Number of processes that generate code; by default as many as cores if there are many files.",
)
"""Adds `jobs`."""
