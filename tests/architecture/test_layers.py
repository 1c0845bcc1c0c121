"""Arrows point down: which package may import which.

A layer may import the layers under it and nothing beside or above it. Imports inside functions count; imports
under `if TYPE_CHECKING` count too, because a module that speaks of a type depends on it. What reality asks for beyond
that is in `ALLOWED`, with a reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {"idlc": ROOT / "idlc", "idlrt": ROOT / "runtime" / "idlrt"}

# From the bottom up. Names in one set are siblings: none imports another.
# A name is a module, or a package with all it holds.
LAYERS: dict[str, list[set[str]]] = {
    "idlc": [
        {"idlc"},  # the version
        {"idlc.elsewhere", "idlc.files", "idlc.request", "idlc.resources", "idlc.text"},
        {"idlc.source"},
        {"idlc.diagnostics"},
        {"idlc.syntax"},
        {"idlc.model"},
        {"idlc.checks", "idlc.codegen"},
        {"idlc.uptodate"},
        {"idlc.doctor", "idlc.driver"},
        {"idlc.cli"},
        {"idlc.__main__"},
    ],
    "idlrt": [
        {"idlrt.errors", "idlrt.exports", "idlrt.plugins", "idlrt.printable", "idlrt.version"},
        {"idlrt.named", "idlrt.spec"},
        {"idlrt.core", "idlrt.serialization"},
        {"idlrt.protocol"},
        {"idlrt.net"},
        {"idlrt.balance", "idlrt.fault", "idlrt.guard", "idlrt.observe", "idlrt.registry", "idlrt.route"},
        {"idlrt.config"},
        {"idlrt.client", "idlrt.server"},
        {"idlrt.codegen", "idlrt.door", "idlrt.testing", "idlrt.wire"},
        {"idlrt"},  # the door of the whole
        {"idlrt.embedded"},  # a registry, as a service of our own
        {"idlrt.tools"},
        {"idlrt.cli"},
        {"idlrt.__main__"},
    ],
}

# Stubs, which import each other as stubs do.
GENERATED = SOURCES["idlrt"] / "embedded" / "api"

ALLOWED = {
    ("idlrt.plugins", "idlrt.errors"): "a plugin that is not there is an error of the caller",
}

# Import circles that still exist, each as the sorted names of its modules. Imports inside functions and under
# `if TYPE_CHECKING` count. A circle that is gone must be removed from here.
KNOWN_CIRCLES: dict[str, list[list[str]]] = {
    "idlc": [
        ["idlc.codegen.python", "idlc.codegen.python.shadows", "idlc.codegen.python.target", "idlc.codegen.target"],
    ],
}

# Who may use what is not ours. A missing name means nobody.
THIRD_PARTIES = {
    "black": {"idlc.codegen"},
    "click": {"idlc.cli", "idlrt.cli"},
    "dns": {"idlrt.registry.dns"},
    "httpx": {"idlrt.registry.etcd"},
    "hypothesis": {"idlrt.testing.strategies"},
    "jinja2": {"idlc.codegen"},
    "kazoo": {"idlrt.registry.zookeeper"},
    "lark": {"idlc.syntax"},
    "msgspec": {"idlc", "idlrt"},
    "packaging": {"idlc.doctor"},
    "typing_extensions": {"idlrt.codegen"},
}

SOCKET_MODULES = {"selectors", "socket", "socketserver", "ssl"}
SOCKET_CALLS = {
    "create_connection",
    "create_server",
    "create_unix_server",
    "open_connection",
    "sock_recv",
    "start_server",
}
SOCKETS_ALLOWED = {
    "idlrt.server.base": "the type of the listening socket is named; `net` opens and accepts",
    "idlrt.server.processes": "likewise; processes are waited for with `select`",
    "idlrt.server.server": "likewise",
}
ASYNCIO_USERS = {
    "idlrt.client.aio",
    "idlrt.client.aio_link",
    "idlrt.client.connecting",
    "idlrt.client.watch",
    "idlrt.core.driver",
    "idlrt.embedded",
    "idlrt.net",
    "idlrt.registry",
    "idlrt.server.aio",
    "idlrt.server.coroutines",
    "idlrt.server.eager",
    "idlrt.testing",
    "idlrt.cli",
    "idlrt.tools.load",
}


def is_under(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            if GENERATED in path.parents:
                continue
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *(part for part in parts if part != "__init__")))
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@cache
def imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Every module that is imported, wherever it stands, and the line."""
    return list(_imports(tree))


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: sources import absolutely"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in modules() else node.module), node.lineno


def layer(module: str) -> tuple[int, str] | None:
    """The number of a module's layer and which name of it matched; the longest match counts."""
    candidates = [
        (number, name)
        for number, names in enumerate(LAYERS[module.partition(".")[0]])
        for name in names
        if module == name or (module.startswith(name + ".") and "." in name)
    ]
    return max(candidates, key=lambda candidate: len(candidate[1]), default=None)


def test_every_module_has_a_layer() -> None:
    assert [module for module in modules() if layer(module) is None] == []


def test_imports_point_down_and_siblings_stay_apart() -> None:
    wrong = []
    for module, tree in modules().items():
        own = layer(module)
        assert own is not None
        for imported, line in imports(tree):
            if imported.partition(".")[0] != module.partition(".")[0]:
                continue
            other = layer(imported)
            assert other is not None, f"{module}:{line} imports {imported}, which is in no layer"
            if own[1] == other[1] or other[0] < own[0] or (own[1], other[1]) in ALLOWED:
                continue
            wrong.append(f"{module}:{line} imports {imported}")
    assert wrong == []


def test_what_is_allowed_beyond_the_layers_is_needed() -> None:
    used = {
        (own[1], other[1])
        for module, tree in modules().items()
        for imported, _ in imports(tree)
        if imported.partition(".")[0] in LAYERS and (own := layer(module)) and (other := layer(imported))
    }
    assert set(ALLOWED) <= used


def test_compiler_and_runtime_know_nothing_of_each_other() -> None:
    other = {"idlc": "idlrt", "idlrt": "idlc"}
    wrong = [
        f"{module}:{line} imports {imported}"
        for module, tree in modules().items()
        for imported, line in imports(tree)
        if imported.partition(".")[0] == other[module.partition(".")[0]]
    ]
    assert wrong == []


def test_only_net_touches_sockets() -> None:
    wrong = [
        f"{module}:{line} imports {imported}"
        for module, tree in modules().items()
        for imported, line in imports(tree)
        if imported in SOCKET_MODULES and not is_under(module, "idlrt.net") and module not in SOCKETS_ALLOWED
    ]
    wrong += [
        f"{module}:{node.lineno} uses {node.attr}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in SOCKET_CALLS and not is_under(module, "idlrt.net")
    ]
    assert wrong == []


def test_asyncio_stays_where_it_is_known() -> None:
    wrong = [
        f"{module}:{line}"
        for module, tree in modules().items()
        for imported, line in imports(tree)
        if is_under(imported, "asyncio") and not any(is_under(module, user) for user in ASYNCIO_USERS)
    ]
    assert wrong == []


@pytest.mark.parametrize("library", THIRD_PARTIES)
def test_each_library_is_used_where_it_belongs(library: str) -> None:
    wrong = [
        f"{module}:{line}"
        for module, tree in modules().items()
        for imported, line in imports(tree)
        if is_under(imported, library) and not any(is_under(module, user) for user in THIRD_PARTIES[library])
    ]
    assert wrong == []


def test_no_other_library_is_used() -> None:
    import sys

    known = {*THIRD_PARTIES, *SOURCES, *sys.stdlib_module_names}
    used = {imported.partition(".")[0] for tree in modules().values() for imported, _ in imports(tree)}
    assert used <= known


def _at_import(tree: ast.Module) -> Iterator[str]:
    """What is imported when the module is: not inside functions, not for type checkers only."""
    open_nodes: list[ast.AST] = list(tree.body)
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            open_nodes += node.orelse
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (name for name, _ in imports(node))
        open_nodes += ast.iter_child_nodes(node)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: sorted({*_at_import(tree)} & modules().keys()) for module, tree in modules().items()}
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        for imported in graph[module]:
            # A module of a package that imports the package's door has it half made; the other way is the door's work.
            visit(imported, [*path, module])
        done.add(module)

    for module in graph:
        visit(module, [])


def circles(package: str) -> list[list[str]]:
    """Return the import circles of a package: modules that import each other, directly or through others.

    All imports count: at the top, inside functions, and under `if TYPE_CHECKING`. Generated stubs are no modules here.

    Returns:
        The strongly connected components of the graph of imports, each as sorted names, but for single modules.
        Source: R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972).
    """
    graph = {
        module: sorted({name for name, _ in imports(tree)} & modules().keys())
        for module, tree in modules().items()
        if is_under(module, package)
    }
    found: list[list[str]] = []
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        path.append(module)
        for imported in graph[module]:
            if imported not in graph:
                continue
            if imported not in index:
                visit(imported)
            if imported in path:
                lowest[module] = min(lowest[module], lowest[imported])
        if lowest[module] == index[module]:
            component = path[path.index(module) :]
            del path[path.index(module) :]
            if len(component) > 1 or module in graph[module]:
                found.append(sorted(component))

    for module in graph:
        if module not in index:
            visit(module)
    return sorted(found)


@pytest.mark.parametrize("package", KNOWN_CIRCLES)
def test_no_modules_import_each_other(package: str) -> None:
    assert circles(package) == KNOWN_CIRCLES[package]


def test_circles_through_deferred_and_type_checking_imports_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        "p": "from p.top import main",
        "p.top": "from p.left import a",
        "p.left": "def a():\n    from p.right import b",
        "p.right": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.left import a",
        "p.leaf": "import p.leaf",
        "q": "import p",
    }
    trees = {name: ast.parse(source) for name, source in sources.items()}
    monkeypatch.setattr(f"{__name__}.modules", lambda: trees)
    assert circles("p") == [["p.leaf"], ["p.left", "p.right"]]
