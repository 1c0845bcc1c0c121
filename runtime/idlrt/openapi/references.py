"""References to schemas of classes, and the names of these schemas.

The name of a schema depends on all classes of a document, so schemas refer to classes first. When a document is
complete, `resolved` replaces the references.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeGuard

import msgspec

from idlrt.openapi.scalars import Schema
from idlrt.spec import name_of

__all__ = ["Key", "names_of", "reference", "resolved"]

SCHEMAS: Final = "#/components/schemas/"


class Key(msgspec.Struct, frozen=True):
    """A schema of a class.

    Attributes:
        cls: the class.
        use: `input` if values are read, `output` if they are written, `problem` for the error response of an exception.
    """

    cls: Any
    use: str


def reference(key: Key) -> Schema:
    """Return a reference, which `resolved` replaces."""
    return {"$ref": key}


def resolved(node: Any, name: Callable[[Key], str]) -> Any:
    """Return a copy of a part of a document with all references replaced.

    Args:
        name: returns the name of a schema.
    """
    if _is_object(node):
        return {each: resolved(value, name) for each, value in node.items()}
    if _is_array(node):
        return [resolved(each, name) for each in node]
    return SCHEMAS + name(node) if isinstance(node, Key) else node


def _is_object(node: Any) -> TypeGuard[Schema]:
    return isinstance(node, dict)


def _is_array(node: Any) -> TypeGuard[list[Any]]:
    return isinstance(node, list)


def names_of(classes: Iterable[Any], package: str = "") -> dict[Any, str]:
    """Return a name for each class: that of the class, or with its namespace where several have the same.

    Args:
        package: package that is left out of namespaces.
    """
    found = [*classes]
    for attempt in (_short, _with_namespace, _with_module):
        names = {cls: attempt(cls, package) for cls in found}
        if attempt is not _short:
            shared = Counter(_short(cls, package) for cls in found)
            names = {cls: name if shared[name_of(cls)] > 1 else name_of(cls) for cls, name in names.items()}
        if len({*names.values()}) == len(found):
            return names
    return {cls: f"{name_of(cls)}.{number}" for number, cls in enumerate(found, 1)}


def _short(cls: Any, package: str) -> str:
    return name_of(cls)


def _with_namespace(cls: Any, package: str) -> str:
    return _joined(cls.__module__.rpartition(".")[0], cls, package)


def _with_module(cls: Any, package: str) -> str:
    return _joined(cls.__module__, cls, package)


def _joined(place: str, cls: Any, package: str) -> str:
    if package and f"{place}.".startswith(f"{package}."):
        place = place[len(package) + 1 :]
    return f"{place}.{name_of(cls)}" if place else name_of(cls)
