"""What stands in one file, as it is written: the syntax tree.

Nothing is looked up and nothing is judged here; names are text. Every node knows the stretch of the file
it was read from as two character offsets (the file is the document's), so that making one costs next to
nothing. Comments are kept aside, in order, with their places.

The node classes are used with their module's name (`nodes.Field`), because linking has a class of the same
name for most of them.
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
    """A stretch of the file: character offsets, `end` exclusive."""

    start: int
    end: int


class Identifier(Node, frozen=True, gc=False):
    """A name where it is declared or used."""

    text: str


class Comment(Node, frozen=True, gc=False):
    """A comment with its marks, as it stands in the file."""

    text: str


class IntLiteral(Node, frozen=True, gc=False):
    """A whole number; fits in 64 bits."""

    value: int


class DoubleLiteral(Node, frozen=True, gc=False):
    """A number with a point or an exponent."""

    value: float


class StringLiteral(Node, frozen=True, gc=False):
    """A quoted text, escapes already replaced."""

    value: str


class ConstantName(Node, frozen=True, gc=False):
    """`true`, `false`, or the possibly qualified name of a constant or an enum member."""

    text: str


class ListLiteral(Node, frozen=True):
    """`[a, b]`."""

    items: tuple[Value, ...]


class MapLiteral(Node, frozen=True):
    """`{a: b}`: a map, or a struct with its fields' names as keys."""

    pairs: tuple[tuple[Value, Value], ...]


Value: TypeAlias = IntLiteral | DoubleLiteral | StringLiteral | ConstantName | ListLiteral | MapLiteral


class Annotation(Node, frozen=True):
    """`name = "value"`, or a name alone."""

    name: Identifier
    value: str | None


class NamedType(Node, frozen=True):
    """A base type or a declared one; `name` may be qualified."""

    name: Identifier
    annotations: tuple[Annotation, ...] = ()


class ListType(Node, frozen=True):
    """`list<element>`. `cpp_type` is what the clause of that name says; only C++ cares."""

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
    """`cpp_include` or `hs_include`: kept for formatters, means nothing here."""

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
    """`senum Name { "word", ... }`, the enum of strings that Thrift had in its youth."""

    name: Identifier
    words: tuple[StringLiteral, ...]
    annotations: tuple[Annotation, ...]


class Field(Node, frozen=True):
    """A field of a struct, an argument of a function, or one line of its `throws`."""

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
    """One function of a service. `result` is `None` for `void`; `oneway` is the word that was used."""

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
    """One parsed file.

    Attributes:
        source: the file.
        items: headers and definitions, in order.
        comments: all comments, in order.
        docs: offset at which a declaration or member starts → the cleaned text of its doc comment.
        doc: the doc comment at the head of the file, or `None`.
        errors: where syntax errors were found, in order; what contains one of them is not complete.
        lost: names that definitions would have declared, had they been read without error.
    """

    source: SourceFile
    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = ()
    docs: dict[int, str] = {}
    doc: str | None = None
    errors: tuple[int, ...] = ()
    lost: frozenset[str] = frozenset()

    def span(self, node: Node) -> Span:
        """Where `node` stands."""
        return Span(self.source, node.start, node.end)

    def is_broken(self, node: Node) -> bool:
        """Whether a syntax error was found inside `node`, so that parts of it may be missing."""
        return any(node.start <= error <= node.end for error in self.errors)
