"""Compile IDL in a test, and import the stubs."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import idlc

LIBRARY = Path(__file__).parent / "library.idl"


@contextlib.contextmanager
def importable(*paths: Path, output: Path) -> Iterator[None]:
    """Within, the stubs of IDL files can be imported.

    Args:
        output: an empty folder.
    """
    result = idlc.compile(sources=paths, output=output, use_cache=False)
    assert not result.report.has_errors, [diagnostic.message for diagnostic in result.report]
    before = {*sys.modules}
    sys.path.insert(0, str(output))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(output))
        for name in [name for name in sys.modules if name not in before and _is_below(name, output)]:
            del sys.modules[name]


def _is_below(name: str, folder: Path) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and folder in Path(file).parents


def written(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write IDL files, and return their paths."""
    paths = [folder / name for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


@contextlib.contextmanager
def library(output: Path) -> Iterator[Any]:
    """The stubs of the library."""
    with importable(LIBRARY, output=output):
        yield importlib.import_module("library")
