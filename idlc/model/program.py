"""Linked model of IDL files: programs, their declarations, types and constants, with every name resolved.

Checks and targets work with these classes. They are in one module because a model is a graph with cycles: a declaration
knows its program, a type its declaration, and a constant the enum or struct that it is a value of.

Declarations are created by the gather pass with their names, and completed by the link and constants passes; after
`build` they are not modified. They are compared by identity (`eq=False`), because of the cycles. Each keeps the syntax
node that it was created from, for the source positions of messages.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from idlc.source import SourceFile, Span
from idlc.syntax import Document, nodes

__all__ = [
    "BASE_TYPES",
    "UNKNOWN",
    "Annotations",
    "BaseType",
    "Const",
    "Constant",
    "Declaration",
    "Enum",
    "EnumConstant",
    "EnumMember",
    "Field",
    "Function",
    "Include",
    "ListConstant",
    "ListType",
    "MapConstant",
    "MapType",
    "Namespace",
    "Program",
    "Reference",
    "Requiredness",
    "Service",
    "SetConstant",
    "SetType",
    "Struct",
    "StructConstant",
    "Type",
    "Typedef",
    "is_true",
    "resolve",
]

Annotations: TypeAlias = dict[str, tuple[str, ...]]
"""Annotation name → its values in order; a value-less annotation has the value `"1"`, as in Apache Thrift."""

Requiredness: TypeAlias = Literal["required", "optional", "default"]
"""Requiredness of a field; `default` is Thrift's term for fields that are neither `required` nor `optional`."""


class BaseType(msgspec.Struct, frozen=True):
    """One of Thrift's scalar types.

    Attributes:
        name: `bool`, `i8`, `i16`, `i32`, `i64`, `double`, `string`, `binary`, `uuid`
            (`byte` is read as `i8`).
    """

    name: str

    def __str__(self) -> str:
        return self.name


class ListType(msgspec.Struct, frozen=True):
    """`list<element>`."""

    element: Type

    def __str__(self) -> str:
        return f"list<{self.element}>"


class SetType(msgspec.Struct, frozen=True):
    """`set<element>`."""

    element: Type

    def __str__(self) -> str:
        return f"set<{self.element}>"


class MapType(msgspec.Struct, frozen=True):
    """`map<key, value>`."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"map<{self.key}, {self.value}>"


class Reference(msgspec.Struct, frozen=True):
    """Reference to a declared type: a typedef, an enum, or a struct, union or exception.

    References to typedefs are kept, because targets print the short name; `resolve` looks through them.
    """

    target: Typedef | Enum | Struct

    def __str__(self) -> str:
        return self.target.name


Type: TypeAlias = BaseType | ListType | SetType | MapType | Reference

UNKNOWN = BaseType("unknown")
"""Placeholder for a type that was not found. It is compatible with everything, so that an error is reported once."""

BASE_TYPES = {
    name: BaseType(name) for name in ("bool", "i8", "i16", "i32", "i64", "double", "string", "binary", "uuid")
}


def resolve(type: Type) -> Type:
    """Look through typedefs: return the type that is used on the wire, which is never a reference to a typedef."""
    while isinstance(type, Reference) and isinstance(type.target, Typedef):
        type = type.target.type
    return type


class EnumConstant(msgspec.Struct, frozen=True):
    """A constant of an enum type. `member` is `None` for a number that no member has."""

    enum: Enum
    number: int
    member: EnumMember | None


class ListConstant(msgspec.Struct, frozen=True):
    """A constant of a list type."""

    items: tuple[Constant, ...]


class SetConstant(msgspec.Struct, frozen=True):
    """A constant of a set type; items in the order of the IDL, without duplicates."""

    items: tuple[Constant, ...]


class MapConstant(msgspec.Struct, frozen=True):
    """A constant of a map type; pairs in the order of the IDL."""

    pairs: tuple[tuple[Constant, Constant], ...]


class StructConstant(msgspec.Struct, frozen=True):
    """A constant of a struct, union or exception type: the fields that it sets, in order."""

    struct: Struct
    fields: tuple[tuple[Field, Constant], ...]


Constant: TypeAlias = (
    bool | int | float | str | bytes | EnumConstant | ListConstant | SetConstant | MapConstant | StructConstant
)
"""A constant after the third pass, as a value of its declared type: `bool` for `bool`, `bytes` for `binary`, `float`
for `double`, `str` for `string` and for `uuid` (canonical form), `EnumConstant` for an enum."""


def is_true(value: str) -> bool:
    """Return whether the value of a boolean annotation means true."""
    return value.lower() in ("1", "true")


class Declaration(msgspec.Struct, eq=False, kw_only=True):
    """Common attributes of all named declarations.

    Attributes:
        name: name as written in the IDL.
        span: span of the name.
        program: file that contains the declaration.
        doc: cleaned text of the doc comment, or `None`.
        annotations: `(key = "value")` pairs.
    """

    name: str
    span: Span
    program: Program
    doc: str | None = None
    annotations: Annotations = {}

    @property
    def qualified_name(self) -> str:
        """`file.Name`, as written in another file."""
        return f"{self.program.stem}.{self.name}"

    @property
    def deprecated(self) -> str | None:
        """Text of the `deprecated` annotation (empty if it has no text), or `None` if there is none."""
        values = self.annotations.get("deprecated")
        if values is None or values[-1].lower() == "false":
            return None
        return "" if is_true(values[-1]) else values[-1]


class Typedef(Declaration, eq=False, kw_only=True):
    """`typedef type Name`."""

    node: nodes.Typedef | nodes.Senum = None  # type: ignore[assignment]  # set by the gather pass
    type: Type = None  # type: ignore[assignment]  # set by the link pass


class EnumMember(Declaration, eq=False, kw_only=True):
    """Member of an enum.

    Attributes:
        value: signed 32-bit integer.
        enum: enum that the member belongs to.
        is_explicit: whether the IDL contains the value.
    """

    node: nodes.EnumMember = None  # type: ignore[assignment]  # set by the gather pass
    value: int
    enum: Enum
    is_explicit: bool = True


class Enum(Declaration, eq=False, kw_only=True):
    """`enum Name { ... }`; members in the order of the IDL."""

    node: nodes.Enum = None  # type: ignore[assignment]  # set by the gather pass
    members: list[EnumMember] = []

    def member(self, name: str) -> EnumMember | None:
        """Return the member called `name`, or `None`."""
        return next((member for member in self.members if member.name == name), None)


class Field(Declaration, eq=False, kw_only=True):
    """Field of a struct, argument of a function, or exception in its `throws`.

    Attributes:
        id: id on the wire; fields without an id in the IDL are numbered -1, -2, ...
        is_explicit: whether the IDL contains the id.
        default: default value, or `None`.
        is_reference: whether the field is marked `&` (no effect in Python; kept for tools).
    """

    node: nodes.Field = None  # type: ignore[assignment]  # set by the gather pass
    id: int
    is_explicit: bool = True
    requiredness: Requiredness = "default"
    type: Type = None  # type: ignore[assignment]  # set by the link pass
    default: Constant | None = None
    is_reference: bool = False


class Struct(Declaration, eq=False, kw_only=True):
    """Struct, union or exception; fields in the order of the IDL."""

    node: nodes.Struct = None  # type: ignore[assignment]  # set by the gather pass
    kind: Literal["struct", "union", "exception"]
    fields: list[Field] = []


class Const(Declaration, eq=False, kw_only=True):
    """`const type NAME = value`."""

    node: nodes.Const = None  # type: ignore[assignment]  # set by the gather pass
    type: Type = None  # type: ignore[assignment]  # set by the link pass
    value: Constant = None  # type: ignore[assignment]  # set by the constants pass


class Function(Declaration, eq=False, kw_only=True):
    """Function of a service.

    Attributes:
        service: service that declares the function.
        result: return type, `None` for `void`.
        arguments: arguments in the order of the IDL.
        throws: declared exceptions in the order of the IDL.
    """

    node: nodes.Function = None  # type: ignore[assignment]  # set by the gather pass
    service: Service
    is_oneway: bool = False
    result: Type | None = None
    arguments: list[Field] = []
    throws: list[Field] = []

    @property
    def is_idempotent(self) -> bool:
        """Whether an `idempotent` annotation states that repeated calls have the same effect as one."""
        values = self.annotations.get("idempotent")
        return values is not None and is_true(values[-1])


class Service(Declaration, eq=False, kw_only=True):
    """`service Name extends Base { ... }`; functions in the order of the IDL, without inherited ones."""

    node: nodes.Service = None  # type: ignore[assignment]  # set by the gather pass
    extends: Service | None = None
    functions: list[Function] = []


class Include(msgspec.Struct, eq=False):
    """`include "path"`; `name` is the qualifier of the included declarations."""

    name: str
    program: Program
    span: Span
    is_used: bool = False


class Namespace(msgspec.Struct, frozen=True):
    """`namespace scope name`; `scope` may be `*`, or dotted as in `py.twisted`."""

    scope: str
    name: str
    span: Span
    annotations: Annotations = {}


class Program(msgspec.Struct, eq=False, kw_only=True):
    """Linked IDL file. Lists are in the order of the file.

    Attributes:
        source: source file.
        document: syntax tree.
        is_requested: whether the file was requested, and not only included.
        is_complete: whether all included files were found; if not, that is an error for requested files only.
        stem: file name without folder and extension, which is the qualifier in other files.
        includes: direct includes.
        doc: doc comment of the file, or `None`.
    """

    source: SourceFile
    document: Document
    is_requested: bool = False
    is_complete: bool = True
    stem: str
    doc: str | None = None
    namespaces: list[Namespace] = []
    includes: list[Include] = []
    typedefs: list[Typedef] = []
    enums: list[Enum] = []
    structs: list[Struct] = []
    consts: list[Const] = []
    services: list[Service] = []

    def namespace(self, *scopes: str) -> str | None:
        """Return the namespace for the first of `scopes` that the file has one for, or `None`."""
        for scope in scopes:
            for namespace in self.namespaces:
                if namespace.scope == scope:
                    return namespace.name
        return None
