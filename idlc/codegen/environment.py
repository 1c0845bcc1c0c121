"""The jinja2 environment of a target.

Templates show the shape of their output. A name that a view does not have is an error, not an empty string.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2
from jinja2.bccache import Bucket

from idlc import resources
from idlc.files import replace_file

__all__ = ["environment"]


class _Cache(jinja2.BytecodeCache):
    """Compiled templates, one file each.

    Compiling the templates takes some 45 ms, loading them 2 ms. jinja2 checks that an entry belongs to the text of its
    template and to this version of Python. A missing or damaged entry, or a folder that cannot be written, only means
    that a template is compiled again.

    Args:
        folder: is created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError), open(self._path(bucket), "rb") as file:
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            replace_file(self._path(bucket), bucket.bytecode_to_string(), mode=0o600)

    def _path(self, bucket: Bucket) -> Path:
        return self._folder / f"{bucket.key}.cache"


def environment(
    target: str,
    *,
    override: Path | None = None,
    filters: Mapping[str, Callable[..., str]] | None = None,
    cache: Path | None = None,
) -> jinja2.Environment:
    """Return the templates of `target`.

    Args:
        override: a folder whose templates replace the built-in ones of the same name.
        filters: name → function, in addition to those of jinja2.
        cache: a folder for compiled templates.
    """
    folders = [resources.resource_dir("templates") / target]
    if override is not None:
        folders.insert(0, override)
    found = jinja2.Environment(
        bytecode_cache=None if cache is None else _Cache(cache),
        loader=jinja2.FileSystemLoader([str(folder) for folder in folders]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The stubs of jinja know its own filters only.
    added: Any = filters or {}
    found.filters.update(added)
    return found
