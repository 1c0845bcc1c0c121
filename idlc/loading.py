"""Compilation and import of IDL files in memory, without files of stubs.

    shop = idlc.load("shop.thrift")
    item = shop.Item(id=1)

Modules are placed in a private package whose name depends on the generated code, so that IDL files with the same
namespace do not collide, and the same code is imported once. Code that is imported from memory shows its lines in
tracebacks.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from os import PathLike
from pathlib import PurePosixPath
from types import CodeType, ModuleType

import msgspec

from idlc.api import Sources, generate

__all__ = ["LoadedModules", "load", "load_all"]

_lock = threading.RLock()
_memories: dict[str, _Memory] = {}


class LoadedModules(msgspec.Struct, frozen=True):
    """Modules of IDL files.

    Attributes:
        requested: modules of the requested files, in the order of their names.
        included: modules of included files.
    """

    requested: tuple[ModuleType, ...]
    included: tuple[ModuleType, ...]


class _Memory(MetaPathFinder, InspectLoader):
    """Finder and loader of generated modules.

    Args:
        texts: dotted name of a module → its code; a package has the suffix `.__init__`.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts: dict[str, str] = {}
        self.packages: set[str] = set()
        self.add(texts)

    def add(self, texts: Mapping[str, str]) -> None:
        """Add modules."""
        self.texts.update(texts)
        parts = [name.split(".") for name in texts]
        self.packages.update(".".join(each[:depth]) for each in parts for depth in range(1, len(each)))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.packages:
            return ModuleSpec(fullname, self, origin=_origin(fullname), is_package=True)
        return ModuleSpec(fullname, self, origin=_origin(fullname)) if fullname in self.texts else None

    def is_package(self, fullname: str) -> bool:
        return fullname in self.packages

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_source(fullname), _origin(fullname))

    def get_source(self, fullname: str) -> str:
        return self.texts.get(f"{fullname}.__init__" if fullname in self.packages else fullname, "")


def load(
    source: str | PathLike[str] | Mapping[str, str], *, include_dirs: Sequence[str | PathLike[str]] = ()
) -> ModuleType:
    """Compile one IDL file in memory, and import and return its module.

    Args:
        source: path, or a mapping of one path to a text.
        include_dirs: folders that are searched for includes, after the folder of the including file.

    Raises:
        IdlError: the file has errors.
        ValueError: `source` stands for several files.
    """
    modules = load_all(source, include_dirs=include_dirs).requested
    if len(modules) != 1:
        raise ValueError(f"idlc.load: expected one IDL file, got {len(modules)}; use idlc.load_all")
    return modules[0]


def load_all(
    sources: Sources,
    *,
    include_dirs: Sequence[str | PathLike[str]] = (),
    package: str | None = None,
    prefer_installed: bool = False,
) -> LoadedModules:
    """Compile IDL files in memory, and import their modules.

    Args:
        sources: a path, several paths, or a mapping of paths to texts.
        include_dirs: folders that are searched for includes, after the folder of the including file.
        package: dotted name of the package of all modules; by default a private one, `""` for none.
        prefer_installed: without a package, modules that can be imported already take precedence.

    Raises:
        IdlError: a file has errors.
        ValueError: the package was loaded from other IDL files.
    """
    alone = generate(sources, with_includes=False, include_dirs=include_dirs)
    alone.raise_for_errors()
    requested = {_module_name(file.path) for file in alone.files}
    found = generate(sources, include_dirs=include_dirs)
    texts = {_module_name(file.path): file.text for file in found.files if file.path.suffix == ".py"}
    if package is None:
        package = "_idlc_" + hashlib.blake2b(repr(sorted(texts.items())).encode(), digest_size=12).hexdigest()
    prefix = f"{package}." if package else ""
    names = [name for name in texts if not name.endswith(".__init__")]
    _serve(package, {prefix + name: text for name, text in texts.items()}, is_last=prefer_installed)
    modules = {name: import_module(prefix + name) for name in sorted(names)}
    return LoadedModules(
        tuple(module for name, module in modules.items() if name in requested),
        tuple(module for name, module in modules.items() if name not in requested),
    )


def _serve(package: str, texts: Mapping[str, str], *, is_last: bool) -> None:
    """Let modules be imported.

    Raises:
        ValueError: the package has other modules of the same names.
    """
    with _lock:
        earlier = _memories.get(package) if package else None
        if earlier is None:
            memory = _memories[package] = _Memory(texts)
            sys.meta_path.insert(len(sys.meta_path) if is_last else 0, memory)
            return
        changed = sorted(name for name, text in texts.items() if earlier.texts.get(name, text) != text)
        if changed:
            raise ValueError(f"package {package!r} was loaded from other IDL files: {', '.join(changed)} differ")
        earlier.add(texts)


def _origin(name: str) -> str:
    # Names in angle brackets stand for code without lines.
    return f"idlc:{name}"


def _module_name(path: PurePosixPath) -> str:
    return ".".join(path.with_suffix("").parts)
