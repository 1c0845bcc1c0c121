"""Layers: which package may import which.

A layer may import lower layers only. Imports inside functions count, and so do imports under `if TYPE_CHECKING`,
because a module depends on the types that its annotations name. Exceptions are in `ALLOWED`, with their reasons.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from import_graph import import_cycles, import_graph

ROOT = Path(__file__).parents[2]
SOURCES = {"idlc": ROOT / "idlc", "idlrt": ROOT / "runtime" / "idlrt"}

# From the lowest layer to the highest. Names in one set are siblings, which do not import each other.
# A name is a module, or a package with all its modules.
LAYERS: dict[str, list[set[str]]] = {
    "idlc": [
        {"idlc.version"},
        {"idlc.shadowing", "idlc.files", "idlc.resources", "idlc.text", "idlc.transaction"},
        {"idlc.source"},
        {"idlc.diagnostics"},
        {"idlc.syntax"},
        {"idlc.formatting", "idlc.model"},
        {"idlc.breaking", "idlc.checks", "idlc.codegen"},
        {"idlc.findings"},
        {"idlc.request"},
        {"idlc.compile_cache"},
        {"idlc.doctor", "idlc.driver", "idlc.results"},
        {"idlc.api", "idlc.config", "idlc.linting"},
        {"idlc.loading", "idlc.project"},
        {"idlc"},  # the Python API
        {"idlc.build_hooks", "idlc.cli"},
        {"idlc.__main__"},
    ],
    "idlrt": [
        {"idlrt.errors", "idlrt.exports", "idlrt.plugins", "idlrt.printable", "idlrt.version"},
        {"idlrt.named", "idlrt.spec"},
        {"idlrt.core", "idlrt.serialization"},
        {"idlrt.protocol"},
        {"idlrt.net", "idlrt.openapi", "idlrt.web"},
        {"idlrt.balance", "idlrt.fault", "idlrt.guard", "idlrt.observe", "idlrt.registry", "idlrt.route"},
        {"idlrt.config"},
        {"idlrt.client", "idlrt.server"},
        {"idlrt.codegen", "idlrt.codecs", "idlrt.testing", "idlrt.wire"},
        {"idlrt"},  # the door of the whole
        {"idlrt.collector", "idlrt.embedded"},  # a collector and a registry, as services of our own
        {"idlrt.tools"},
        {"idlrt.cli"},
        {"idlrt.__main__"},
    ],
}

# Stubs, which import each other as stubs do.
GENERATED = {SOURCES["idlrt"] / name / "api" for name in ("collector", "embedded")}

ALLOWED = {
    ("idlrt.plugins", "idlrt.errors"): "a plugin that is not there is an error of the caller",
}

# Modules of the runtime that import the compiler, or the other way round.
BRIDGES = {
    "idlrt.openapi.target": "a target of the compiler that describes services as the runtime serves them",
}

# Modules of the runtime that use the Python API of the compiler, in functions only: without IDL files they need none.
API_USERS = {
    "idlrt.tools.stubs": "tools compile the IDL files that they are given",
}

# Third-party libraries, each with the modules that may use it.
THIRD_PARTIES = {
    "black": {"idlc.codegen"},
    "click": {"idlc.cli", "idlrt.cli"},
    "confluent_kafka": {"idlrt.collector.kafka"},
    "dns": {"idlrt.registry.dns"},
    "httptools": {"idlrt.protocol.http"},
    "httpx": {"idlrt.observe.adapters.httpx_transport", "idlrt.registry.etcd"},
    "hatchling": {"idlc.build_hooks.hatch"},
    "hypothesis": {"idlrt.testing.strategies"},
    "jinja2": {"idlc.codegen", "idlrt.web"},
    "kazoo": {"idlrt.registry.zookeeper"},
    "lark": {"idlc.syntax"},
    "msgspec": {"idlc", "idlrt"},
    "opentelemetry": {
        "idlrt.observe.otlp",
        "idlrt.observe.tracing.exporters.otlp",
        "idlrt.observe.tracing.opentelemetry_context",
    },
    "pinpoint": {"idlrt.observe.tracing.exporters.pinpoint"},
    "packaging": {"idlc.config", "idlc.doctor"},
    "prometheus_client": {"idlrt.observe.prometheus"},
    "psutil": {"idlrt.observe.host"},
    "python_multipart": {"idlrt.protocol.http.multipart"},
    "redis": {"idlrt.observe.adapters.redis_client"},
    "setuptools": {"idlc.build_hooks.setuptools"},
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
SOCKET_OPENERS = {
    "idlrt.cli.health": "a probe starts within milliseconds, so it imports nothing of the runtime",
}
SOCKETS_ALLOWED = {
    **SOCKET_OPENERS,
    "idlrt.server.base": "the type of the listening socket is named; `net` opens and accepts",
    "idlrt.server.process_slot": "likewise",
    "idlrt.server.processes": "likewise; processes are waited for with `select`",
    "idlrt.server.server": "likewise",
}
ASYNCIO_USERS = {
    "idlrt.client.aio",
    "idlrt.client.aio_link",
    "idlrt.client.connecting",
    "idlrt.client.watch",
    "idlrt.core.driver",
    "idlrt.collector.pages.frame",
    "idlrt.collector.server",
    "idlrt.embedded",
    "idlrt.net",
    "idlrt.observe.loop_lag",
    "idlrt.registry",
    "idlrt.server.admin",
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
            if GENERATED & {*path.parents}:
                continue
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *(part for part in parts if part != "__init__")))
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@cache
def imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Return all imported modules, with the lines of their imports."""
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
    """Return the number of a module's layer and the name in it that matches; the longest match counts."""
    candidates = [
        (number, name)
        for number, names in enumerate(LAYERS[module.partition(".")[0]])
        for name in names
        if module == name or (module.startswith(name + ".") and "." in name)
    ]
    return max(candidates, key=lambda candidate: len(candidate[1]), default=None)


def test_every_module_has_a_layer() -> None:
    assert [module for module in modules() if layer(module) is None] == []


def test_layers_import_lower_layers_only() -> None:
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


def test_exceptions_to_the_layers_are_used() -> None:
    used = {
        (own[1], other[1])
        for module, tree in modules().items()
        for imported, _ in imports(tree)
        if imported.partition(".")[0] in LAYERS and (own := layer(module)) and (other := layer(imported))
    }
    assert set(ALLOWED) <= used


def test_compiler_and_runtime_do_not_import_each_other() -> None:
    other = {"idlc": "idlrt", "idlrt": "idlc"}
    wrong = [
        f"{module}:{line} imports {imported}"
        for module, tree in modules().items()
        for imported, line in imports(tree)
        if imported.partition(".")[0] == other[module.partition(".")[0]]
        and module not in BRIDGES
        and not (module in API_USERS and imported == "idlc")
    ]
    assert wrong == []


@pytest.mark.parametrize("module", API_USERS)
def test_the_compiler_is_imported_late(module: str) -> None:
    tree = modules()[module]
    assert "idlc" in [imported for imported, _ in imports(tree)]
    assert [node.lineno for node in tree.body if isinstance(node, ast.Import) and node.names[0].name == "idlc"] == []


def test_no_module_imports_a_bridge() -> None:
    # The runtime must work where the compiler is not installed, and start without it.
    wrong = [
        f"{module}:{line} imports {imported}"
        for module, tree in modules().items()
        for imported, line in imports(tree)
        if imported in BRIDGES
    ]
    assert wrong == []


def test_only_net_uses_sockets() -> None:
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
        if isinstance(node, ast.Attribute) and node.attr in SOCKET_CALLS
        if not is_under(module, "idlrt.net") and module not in SOCKET_OPENERS
    ]
    assert wrong == []


def test_asyncio_is_used_in_known_modules_only() -> None:
    wrong = [
        f"{module}:{line}"
        for module, tree in modules().items()
        for imported, line in imports(tree)
        if is_under(imported, "asyncio") and not any(is_under(module, user) for user in ASYNCIO_USERS)
    ]
    assert wrong == []


@pytest.mark.parametrize("library", THIRD_PARTIES)
def test_libraries_are_used_in_known_modules_only(library: str) -> None:
    wrong = [
        f"{module}:{line}"
        for module, tree in modules().items()
        for imported, line in imports(tree)
        if is_under(imported, library) and not any(is_under(module, user) for user in THIRD_PARTIES[library])
    ]
    assert wrong == []


def test_no_other_libraries_are_used() -> None:
    import sys

    known = {*THIRD_PARTIES, *SOURCES, *sys.stdlib_module_names}
    used = {imported.partition(".")[0] for tree in modules().values() for imported, _ in imports(tree)}
    assert used <= known


def _at_import(tree: ast.Module) -> Iterator[str]:
    """Yield modules that are imported with the module itself: not inside functions or under `if TYPE_CHECKING`."""
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


def test_no_cycles_when_modules_are_imported() -> None:
    # A module of a package that imports the package sees it half initialized.
    assert import_cycles({module: {*_at_import(tree)} for module, tree in modules().items()}) == []


@pytest.mark.parametrize("package", SOURCES)
def test_modules_do_not_import_each_other(package: str) -> None:
    own = {module: tree for module, tree in modules().items() if is_under(module, package)}
    assert import_cycles(import_graph(own)) == []
