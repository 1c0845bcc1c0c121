"""Source positions of the parts of a declaration that findings are about."""

from __future__ import annotations

from typing import Literal, TypeAlias

from idlc.breaking.describe import Described
from idlc.model import Const, Declaration, EnumMember, Field, Function, Program, Service, Typedef
from idlc.source import Span
from idlc.syntax import nodes

__all__ = ["Part", "place_of", "start_of"]

Part: TypeAlias = Literal["name", "id", "type", "requiredness", "default", "value", "extends", "oneway", "annotations"]


def place_of(described: Described, key: str, part: Part = "name") -> Span | None:
    """Return the span of a part of a declaration, or of its name if the IDL does not have this part.

    It is `None` if there is no source, as of a snapshot that was read from a file.
    """
    declaration = described.declarations.get(key)
    if declaration is None:
        return None
    found = _node(declaration, part)
    if isinstance(found, nodes.Node):
        return declaration.program.document.span(found)
    return Span(declaration.program.source, *found) if found is not None else declaration.span


def start_of(program: Program, scope: str = "") -> Span:
    """Return the span of a namespace of a file, or the start of the file if it has none for this scope."""
    for namespace in program.namespaces:
        if scope and namespace.scope == scope:
            return namespace.span
    items = program.document.items
    return Span(program.source, items[0].start, items[0].start) if items else Span(program.source, 0, 0)


def _node(declaration: Declaration, part: Part) -> nodes.Node | tuple[int, int] | None:
    match declaration, part:
        case Field(node=node), "id":
            return node.id
        case Field(node=node), "requiredness":
            return node.requiredness_span
        case Field(node=node), "default":
            return node.default
        case ((Field(node=node) | Const(node=node)), "type"):
            return node.type
        case ((Const(node=node) | EnumMember(node=node)), "value"):
            return node.value
        case Typedef(node=nodes.Typedef(type=type)), "type":
            return type
        case Function(node=node), "type":
            return node.result
        case Function(node=node), "oneway":
            return node.oneway
        case Service(node=node), "extends":
            return node.extends
        case ((Field(node=node) | Function(node=node)), "annotations"):
            return node.annotations[0] if node.annotations else None
        case _:
            return None
