"""Options of one compile: the argument of `compile_files`, and part of the key of the compile cache."""

from __future__ import annotations

from pathlib import Path

import msgspec

__all__ = ["Request"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Input files, output folder and options of a compile.

    Attributes:
        paths: IDL files.
        output: output folder; created if it does not exist.
        include_dirs: folders that are searched for includes, in this order.
        with_includes: whether included files are generated too, so that the output can be imported as it is.
        target: output language.
        package: dotted name of the package that all generated packages are placed in; empty for none.
        templates: folder with templates that override built-in ones of the same name.
        nullable_arguments: whether arguments that are neither `required` nor have a default may be `None`.
        allow_negative_ids: whether field ids that are zero or negative are kept.
        only_compare: compare with the files in the output folder instead of writing them.
        use_cache: skip the compile if inputs, options and outputs are unchanged since the last one.
    """

    paths: tuple[Path, ...]
    output: Path
    include_dirs: tuple[Path, ...] = ()
    with_includes: bool = True
    target: str = "python"
    package: str = ""
    templates: Path | None = None
    nullable_arguments: bool = False
    allow_negative_ids: bool = False
    only_compare: bool = False
    use_cache: bool = True
