"""The modules of `idlc.codegen` form no import circle, deferred and type-checking imports included."""

from __future__ import annotations

import ast
from pathlib import Path

import idlc.codegen
from idlc.model.cycles import sort_topologically

FOLDER = Path(idlc.codegen.__file__).parent


def _name(path: Path) -> str:
    parts = path.relative_to(FOLDER.parents[1]).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _imported(tree: ast.Module, known: frozenset[str]) -> list[str]:
    """Return the modules among `known` that `tree` imports, at any depth."""
    found: set[str] = set()
    for node in ast.sort_topologically(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & known or {node.module}
    return sorted(found & known)


def test_no_module_of_codegen_is_in_an_import_circle() -> None:
    trees = {_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in FOLDER.rglob("*.py")}
    known = frozenset(trees)
    # `sort_topologically` compares by identity.
    names = {name: name for name in known}
    graph = {name: [names[each] for each in _imported(tree, known)] for name, tree in trees.items()}
    assert graph["idlc.codegen.registry"] == ["idlc.codegen.python", "idlc.codegen.target"]
    _, circles = sort_topologically(sorted(names.values()), graph.__getitem__)
    assert circles == []
