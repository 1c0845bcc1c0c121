"""Look up targets by name.

Targets register under the entry point group `idlc.targets`, the built-in Python target like any other. This module is
the only one that imports targets; they import the interface, `idlc.codegen.target`.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import cast

from idlc.codegen.target import Target, UnknownTarget

__all__ = ["find_target"]


def find_target(name: str) -> Target:
    """Return a new instance of the target called `name`.

    Raises:
        UnknownTarget: no target has that name.
    """
    found = {entry.name: entry for entry in entry_points(group="idlc.targets")}
    if name in found:
        return cast("Target", found[name].load()())
    if name == "python":  # a checkout that is not installed has no entry points
        from idlc.codegen.python import PythonTarget

        return PythonTarget()
    raise UnknownTarget(f"no target named {name!r}; known: {', '.join(sorted(found)) or 'python'}")
