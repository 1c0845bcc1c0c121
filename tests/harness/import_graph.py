"""Graph of imports between modules, and the cycles in it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping


def import_graph(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Return the modules that each module imports, restricted to the given ones.

    All imports count: at the top, inside functions, and under `if TYPE_CHECKING`, because a module depends on the types
    that its annotations name.

    Args:
        trees: syntax trees of modules, by dotted name. Imports in them are absolute.
    """
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        found = graph[module] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {each if each in trees else node.module for each in whole}
        found &= trees.keys()
    return graph


def import_cycles(graph: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Return the cycles of a graph of imports: sets of modules that import each other, directly or indirectly.

    A package (`__init__.py`) that imports its modules is no cycle, unless one of them imports the package.

    Returns:
        Strongly connected components with more than one module, or with a module that imports itself, as sorted names.
        Source: R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972).
    """
    found: list[list[str]] = []
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        stack.append(module)
        for imported in sorted(graph[module]):
            if imported not in graph:
                continue
            if imported not in index:
                visit(imported)
            if imported in stack:
                lowest[module] = min(lowest[module], lowest[imported])
        if lowest[module] == index[module]:
            start = stack.index(module)
            component = sorted(stack[start:])
            del stack[start:]
            if len(component) > 1 or module in graph[module]:
                found.append(component)

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return sorted(found)
