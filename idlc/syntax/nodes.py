"""Syntax tree of an IDL file.

Names are unresolved text, and nothing is validated. Nodes have character offsets only, and the document has the file,
which makes nodes cheap to create. Comments are a separate list, in order.

Use node classes with the name of the module (`nodes.Field`), because the linked model has classes of the same names.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from idlc.source import SourceFile, Span

__all__ = [
    "Annotation",
    "Comment",
    "Const",
    "ConstantName",
    "Definition",
    "Document",
    "DoubleLiteral",
    "Enum",
    "EnumMember",
    "Field",
    "ForeignInclude",
    "Function",
    "Identifier",
    "Include",
    "IntLiteral",
    "Item",
    "ListLiteral",
    "ListType",
    "MapLiteral",
    "MapType",
    "NamedType",
    "Namespace",
    "Node",
    "Senum",
    "Service",
    "SetType",
    "StringLiteral",
    "Struct",
    "Type",
    "Typedef",
    "Value",
]


class Node(msgspec.Struct, frozen=True):
    """Node of the syntax tree: character offsets, with `end` exclusive."""

    start: int
    end: int


class Identifier(Node, frozen=True, gc=False):
    """Name in a declaration or a reference."""

    text: str


class Comment(Node, frozen=True, gc=False):
    """Comment as written in the file, including its markers."""

    text: str


class IntLiteral(Node, frozen=True, gc=False):
    """Integer; fits in 64 bits."""

    value: int


class DoubleLiteral(Node, frozen=True, gc=False):
    """Number with a decimal point or an exponent."""

    value: float


class StringLiteral(Node, frozen=True, gc=False):
    """String in quotes; escapes are replaced."""

    value: str


class ConstantName(Node, frozen=True, gc=False):
    """`true`, `false`, or the name of a constant or an enum member, which may be qualified."""

    text: str


class ListLiteral(Node, frozen=True):
    """`[a, b]`."""

    items: tuple[Value, ...]


class MapLiteral(Node, frozen=True):
    """`{a: b}`: a map, or a struct with the names of its fields as keys."""

    pairs: tuple[tuple[Value, Value], ...]


Value: TypeAlias = IntLiteral | DoubleLiteral | StringLiteral | ConstantName | ListLiteral | MapLiteral


class Annotation(Node, frozen=True):
    """`name = "value"`, or a name alone."""

    name: Identifier
    value: str | None


class NamedType(Node, frozen=True):
    """Base type or declared type; `name` may be qualified."""

    name: Identifier
    annotations: tuple[Annotation, ...] = ()


class ListType(Node, frozen=True):
    """`list<element>`. `cpp_type` is the value of the clause of that name, which is used by C++ only."""

    element: Type
    cpp_type: str | None = None
    annotations: tuple[Annotation, ...] = ()


class SetType(Node, frozen=True):
    """`set<element>`."""

    element: Type
    cpp_type: str | None = None
    annotations: tuple[Annotation, ...] = ()


class MapType(Node, frozen=True):
    """`map<key, value>`."""

    key: Type
    value: Type
    cpp_type: str | None = None
    annotations: tuple[Annotation, ...] = ()


Type: TypeAlias = NamedType | ListType | SetType | MapType


class Include(Node, frozen=True):
    """`include "path"` or `include "path" as alias`."""

    path: StringLiteral
    alias: Identifier | None


class ForeignInclude(Node, frozen=True):
    """`cpp_include` or `hs_include`: kept for formatters, ignored by the compiler."""

    keyword: str
    path: StringLiteral


class Namespace(Node, frozen=True):
    """`namespace scope name`."""

    scope: Identifier
    name: Identifier
    annotations: tuple[Annotation, ...]


class Typedef(Node, frozen=True):
    """`typedef type Name`."""

    name: Identifier
    type: Type
    annotations: tuple[Annotation, ...]


class Const(Node, frozen=True):
    """`const type NAME = value`."""

    name: Identifier
    type: Type
    value: Value
    annotations: tuple[Annotation, ...]


class EnumMember(Node, frozen=True):
    """`NAME` or `NAME = number`."""

    name: Identifier
    value: IntLiteral | None
    annotations: tuple[Annotation, ...]


class Enum(Node, frozen=True):
    """`enum Name { ... }`."""

    name: Identifier
    members: tuple[EnumMember, ...]
    annotations: tuple[Annotation, ...]


class Senum(Node, frozen=True):
    """`senum Name { "word", ... }`, an enum of strings in early versions of Thrift."""

    name: Identifier
    words: tuple[StringLiteral, ...]
    annotations: tuple[Annotation, ...]


class Field(Node, frozen=True):
    """Field of a struct, argument of a function, or exception in its `throws`."""

    id: IntLiteral | None
    requiredness: Literal["required", "optional"] | None
    type: Type
    name: Identifier
    default: Value | None
    annotations: tuple[Annotation, ...]
    is_reference: bool
    requiredness_span: tuple[int, int] | None = None


class Struct(Node, frozen=True):
    """`struct`, `union` or `exception`."""

    kind: Literal["struct", "union", "exception"]
    name: Identifier
    fields: tuple[Field, ...]
    annotations: tuple[Annotation, ...]


class Function(Node, frozen=True):
    """Function of a service. `result` is `None` for `void`; `oneway` is the keyword `oneway` or `async`, if present."""

    oneway: Identifier | None
    result: Type | None
    name: Identifier
    arguments: tuple[Field, ...]
    throws: tuple[Field, ...]
    annotations: tuple[Annotation, ...]


class Service(Node, frozen=True):
    """`service Name extends Base { ... }`."""

    name: Identifier
    extends: Identifier | None
    functions: tuple[Function, ...]
    annotations: tuple[Annotation, ...]


Definition: TypeAlias = Typedef | Const | Enum | Senum | Struct | Service
Item: TypeAlias = Include | ForeignInclude | Namespace | Definition


class Document(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Parsed IDL file.

    Attributes:
        source: source file.
        items: headers and definitions, in order.
        comments: all comments, in order.
        docs: cleaned texts of doc comments, by the start offset of the declaration or member.
        doc: doc comment of the file, or `None`.
        errors: offsets of syntax errors, in order; nodes that contain one of them may be incomplete.
        unparsed_names: names of definitions that could not be parsed.
    """

    source: SourceFile
    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = ()
    docs: dict[int, str] = {}
    doc: str | None = None
    errors: tuple[int, ...] = ()
    unparsed_names: frozenset[str] = frozenset()

    def span(self, node: Node) -> Span:
        """Return the span of a node."""
        return Span(self.source, node.start, node.end)

    def is_broken(self, node: Node) -> bool:
        """Return whether there is a syntax error in `node`, so that parts of it may be missing."""
        return any(node.start <= error <= node.end for error in self.errors)
