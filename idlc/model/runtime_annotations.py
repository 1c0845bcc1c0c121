"""Annotations that generated code contains, for the runtime and for programs.

Those that the runtime reads are there by their current names (see `idlc.model.http`), once they are valid. All others
are there as the IDL has them, so that programs can define their own: roles, permissions, routes, units. Left out are
annotations that only generators read: those for other languages (`go.tag`, `cpp.type`) and for the shape of the Python
code (`py.name`), and those that generated code has as attributes (`rpc.timeout`, `idempotent`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from idlc.model.http import given, is_synonym
from idlc.model.policy import HASH_KEYS, PREFIX
from idlc.model.program import (
    Annotations,
    Declaration,
    Enum,
    EnumMember,
    Field,
    Function,
    Service,
    Struct,
    is_true,
)
from idlc.syntax import nodes

__all__ = ["Annotated", "runtime_annotations"]

Annotated: TypeAlias = Function | Field | Struct | Service | Enum | EnumMember
"""Declarations whose annotations generated code contains."""

_LANGUAGES: Final = frozenset(
    {
        *(
            "android",
            "as3",
            "c",
            "c_glib",
            "cocoa",
            "cpp",
            "cpp2",
            "csharp",
            "d",
            "dart",
            "delphi",
            "elixir",
            "erl",
            "go",
        ),
        *(
            "hack",
            "haskell",
            "haxe",
            "hs",
            "java",
            "java2",
            "javame",
            "js",
            "kotlin",
            "lua",
            "netcore",
            "netstd",
            "node",
        ),
        *("nodejs", "objc", "ocaml", "perl", "php", "php_path", "py", "py3", "python", "rb", "rs", "ruby", "rust"),
        *("scala", "st", "swift", "ts"),
    }
)
"""Scopes of annotations that generators of single languages read."""

_COMPILER: Final = "idlc"
"""Scope of annotations that control the compiler, such as `idlc.ignore`."""

_READ: Final = ("http", "vt")
"""Scopes of annotations that are left out where they are invalid: the runtime would reject them."""

_ATTRIBUTES: Final = frozenset({"allow_alias", "core", "deprecated", "idempotent", "sensitive", *HASH_KEYS})


def runtime_annotations(declaration: Annotated) -> Annotations:
    """Return the annotations that generated code contains: name → values; the value of a flag is empty.

    Those that the runtime reads come first, the others follow in the order of the IDL.
    """
    if not declaration.annotations:
        return {}
    found: Annotations = {}
    if not isinstance(declaration, Enum | EnumMember):
        for each in given(declaration):
            found[each.name] = (*found.get(each.name, ()), each.value)
    found |= _deprecation(declaration) | _core(declaration)
    return found | _values(node for node in declaration.node.annotations if _is_free(node))


def _values(annotations: Iterable[nodes.Annotation]) -> Annotations:
    found: Annotations = {}
    for node in annotations:
        found[node.name.text] = (*found.get(node.name.text, ()), node.value or "")
    return found


def _is_free(node: nodes.Annotation) -> bool:
    """Whether an annotation is one of programs, or of protocols that the compiler does not know."""
    name = node.name.text
    scope, dot, _ = name.partition(".")
    if dot:
        is_left_out = scope in _LANGUAGES or scope in _READ or scope == _COMPILER or name.startswith(PREFIX)
        return not is_left_out and not is_synonym(name)
    return name not in _ATTRIBUTES


def _deprecation(declaration: Declaration) -> Annotations:
    text = declaration.deprecated
    return {} if text is None else {"deprecated": (text,)}


def _core(declaration: Declaration) -> Annotations:
    """Return the annotation that marks a core service or method, whose figures come first."""
    values = declaration.annotations.get("core")
    is_core = isinstance(declaration, Function | Service) and values is not None and is_true(values[-1])
    return {"core": ("true",)} if is_core else {}
