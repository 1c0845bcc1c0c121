"""The jinja2 environment of a target.

Templates look like their output: loops and blocks, nothing else. A name that a view does not have is an
error, not an empty string.
"""

from __future__ import annotations

from pathlib import Path

import jinja2

from idlc import resources

__all__ = ["environment"]


def environment(target: str, override: Path | None = None) -> jinja2.Environment:
    """The templates of `target`; those in the folder `override` come first."""
    folders = [resources.resource_dir("templates") / target]
    if override is not None:
        folders.insert(0, override)
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([str(folder) for folder in folders]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
