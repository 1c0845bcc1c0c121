"""Import cycles of the runtime. Imports inside functions and under `if TYPE_CHECKING` count: a module that can only be
understood together with another one is in a cycle with it, even if Python can import both.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

RUNTIME = Path(__file__).parents[2] / "runtime"


def imported(tree: ast.Module, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_runtime_has_no_import_cycle() -> None:
    trees: dict[str, ast.Module] = {}
    for path in (RUNTIME / "idlrt").rglob("*.py"):
        name = ".".join(path.relative_to(RUNTIME).with_suffix("").parts).removesuffix(".__init__")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    modules = set(trees)
    graph = {name: {*imported(tree, modules)} & modules - {name} for name, tree in trees.items()}
    assert len(graph) > 200
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle
