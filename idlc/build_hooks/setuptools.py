"""Plugin of setuptools: `[tool.idlc-build]` in `pyproject.toml`.

For projects that have this table, the plugin generates everything that their configuration asks for before setuptools
looks for packages, also for editable installs, and adds the IDL files and the configuration to sdists. It does nothing
for other projects: setuptools calls plugins in all builds of an environment.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from setuptools import Distribution
from setuptools.errors import SetupError

from idlc.build_hooks.generation import BuildError, BuildOptions, Built, generate_for_build

__all__ = ["find_inputs", "generate_stubs"]

_TABLE = "idlc-build"


def generate_stubs(distribution: Distribution) -> None:
    """Generate stubs; entry point `setuptools.finalize_distribution_options`, which runs before packages are found.

    Raises:
        SetupError: they cannot be generated; diagnostics have been printed.
    """
    _build(Path(distribution.src_root or ".").resolve())


def find_inputs(folder: str) -> Iterator[str]:
    """Return the files in a folder that belong into an sdist; entry point `setuptools.file_finders`.

    They are the configuration, the IDL files, the generated files and their manifests.

    Raises:
        SetupError: stubs cannot be generated; diagnostics have been printed.
    """
    root = Path(folder or ".").resolve()
    built = _build(root)
    for path in () if built is None else (*built.inputs, *built.outputs):
        if path.is_relative_to(root):
            yield str(Path(folder) / path.relative_to(root))


@cache  # one build asks for them twice
def _build(root: Path) -> Built | None:
    table = _table(root / "pyproject.toml")
    if table is None:
        return None
    try:
        return generate_for_build(root, BuildOptions.read(table, f"[tool.{_TABLE}]"))
    except BuildError as error:
        raise SetupError(f"idlc: {error}") from None


def _table(file: Path) -> dict[str, Any] | None:
    try:
        found: Any = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get(_TABLE)
    except (OSError, ValueError, AttributeError):
        return None  # setuptools itself reports files that are invalid
    return cast(dict[str, Any], found) if isinstance(found, dict) else None
