"""The data that templates get for enums, structs, typedefs and constants.

A view is made for one declaration in one module. It holds names, types, values and comments as the module writes them,
but no statements and no line breaks: these are the templates' part. `docs/templates.md` lists all views.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, TypeAlias

import msgspec

from idlc.codegen.python.docs import text_of
from idlc.codegen.python.imports import Imports
from idlc.codegen.python.layout import Layout
from idlc.codegen.python.types import annotation, expression
from idlc.codegen.python.values import is_immutable, value
from idlc.model import Annotations, Const, Declaration, Enum, Field, Struct, Type, Typedef, runtime_annotations

__all__ = [
    "Context",
    "DefaultView",
    "EnumView",
    "FieldView",
    "MemberView",
    "StructView",
    "ValueView",
    "const_view",
    "deprecation",
    "enum_view",
    "struct_view",
    "typedef_view",
]

Presence: TypeAlias = Literal["required", "optional", "argument"]
"""The function of `rpc` that describes a field in a table."""


class Context(msgspec.Struct, eq=False):
    """The state that the views of one module share.

    Attributes:
        defined: identities of the structs that the module has defined so far.
        nullable_arguments: signatures allow `None` for arguments that are neither `required` nor have a default.
    """

    layout: Layout
    imports: Imports
    defined: set[int] = msgspec.field(default_factory=set[int])
    nullable_arguments: bool = False


class MemberView(msgspec.Struct, frozen=True):
    """A member of an enum.

    Attributes:
        name: its name in Python.
        wire_name: its name in the IDL.
        value: its number.
        runtime_annotations: annotations that generated code contains, see `idlc.model.runtime_annotations`.
    """

    name: str
    wire_name: str
    value: int
    doc: str | None
    annotations: Annotations
    runtime_annotations: Annotations


class EnumView(msgspec.Struct, frozen=True):
    """An enum.

    Attributes:
        name: its name in Python.
        wire_name: its name in the IDL.
        deprecated: the text of its deprecation, or `None`.
        runtime_annotations: annotations that generated code contains, see `idlc.model.runtime_annotations`.
        wire_names: name in Python → name in the IDL, of members where these differ.
    """

    name: str
    wire_name: str
    doc: str | None
    deprecated: str | None
    annotations: Annotations
    runtime_annotations: Annotations
    wire_names: dict[str, str]
    members: list[MemberView]


class FieldView(msgspec.Struct, frozen=True):
    """A field of a struct, or an exception that a method throws.

    Attributes:
        id: its number on the wire.
        name: its name in Python.
        wire_name: its name in the IDL.
        type: its type, printed as in the IDL.
        annotation: its type as a Python annotation, with `| None` where the value may be `None`.
        spec: its type as an expression of a table of fields.
        presence: the function of `rpc` that describes it in the table.
        default: the expression of its default, which may be `"None"`; `None` if it has none.
        is_default_mutable: each instance needs a separate default.
        runtime_annotations: annotations that generated code contains, see `idlc.model.runtime_annotations`.
    """

    id: int
    name: str
    wire_name: str
    type: Type
    annotation: str
    spec: str
    presence: Presence
    default: str | None
    is_default_mutable: bool
    doc: str | None
    annotations: Annotations
    runtime_annotations: Annotations


class DefaultView(msgspec.Struct, frozen=True):
    """The field that an empty union has, and the expression of its value."""

    name: str
    value: str


class StructView(msgspec.Struct, frozen=True):
    """A struct, union or exception.

    Attributes:
        name: its name in Python.
        wire_name: its name in the IDL.
        kind: `struct`, `union` or `exception`.
        is_frozen: instances cannot be changed (the annotation `python.immutable`).
        deprecated: the text of its deprecation, or `None`.
        default: the default of a union, or `None`.
        runtime_annotations: annotations that generated code contains, see `idlc.model.runtime_annotations`.
    """

    name: str
    wire_name: str
    kind: Literal["struct", "union", "exception"]
    is_frozen: bool
    doc: str | None
    deprecated: str | None
    annotations: Annotations
    runtime_annotations: Annotations
    fields: list[FieldView]
    default: DefaultView | None


class ValueView(msgspec.Struct, frozen=True):
    """A typedef or a constant.

    Attributes:
        name: its name in Python.
        wire_name: its name in the IDL.
        annotation: the type of a constant; the type that a typedef stands for.
        value: the expression of a constant; `None` for a typedef.
    """

    name: str
    wire_name: str
    annotation: str
    value: str | None
    doc: str | None
    annotations: Annotations


def deprecation(declaration: Declaration) -> str | None:
    """Return the text for `@rpc.deprecated(...)` where the IDL says `(deprecated = "...")`, else `None`."""
    text = declaration.deprecated
    return None if text is None else text or f"{declaration.name} is deprecated"


def enum_view(enum: Enum, context: Context) -> EnumView:
    """Return the view of an enum."""
    given = context.layout.members.of_enum(enum)
    return EnumView(
        name=context.layout.name(enum),
        wire_name=enum.name,
        doc=_doc(enum),
        deprecated=deprecation(enum),
        annotations=enum.annotations,
        runtime_annotations=runtime_annotations(enum),
        wire_names={given[id(member)]: member.name for member in enum.members if given[id(member)] != member.name},
        members=[
            MemberView(
                name=given[id(member)],
                wire_name=member.name,
                value=member.value,
                doc=_doc(member),
                annotations=member.annotations,
                runtime_annotations=runtime_annotations(member),
            )
            for member in enum.members
        ],
    )


def struct_view(struct: Struct, context: Context) -> StructView:
    """Return the view of a struct, union or exception."""
    given = context.layout.members.of_struct(struct)
    hidden = frozenset(given.values())
    fields = context.layout.known.of(struct.fields)
    view = StructView(
        name=context.layout.name(struct),
        wire_name=struct.name,
        kind=struct.kind,
        # Apache Thrift's annotation for structs that cannot change once they are made.
        is_frozen=struct.kind == "struct" and "python.immutable" in struct.annotations,
        doc=_doc(struct),
        deprecated=deprecation(struct),
        annotations=struct.annotations,
        runtime_annotations=runtime_annotations(struct),
        fields=[_field_view(struct, field, given[id(field)], hidden, context) for field in fields],
        default=_union_default(struct, fields, given, context),
    )
    context.defined.add(id(struct))
    return view


def typedef_view(typedef: Typedef, context: Context) -> ValueView:
    """Return the view of a typedef."""
    text = annotation(typedef.type, context.imports)
    return ValueView(context.layout.name(typedef), typedef.name, text, None, _doc(typedef), typedef.annotations)


def const_view(const: Const, context: Context) -> ValueView:
    """Return the view of a constant."""
    text = annotation(const.type, context.imports)
    expression = value(const.value, const.type, context.imports)
    return ValueView(context.layout.name(const), const.name, text, expression, _doc(const), const.annotations)


def _field_view(struct: Struct, field: Field, name: str, hidden: AbstractSet[str], context: Context) -> FieldView:
    text = annotation(field.type, context.imports, expand=hidden)
    is_required = field.requiredness == "required" and struct.kind != "union"
    default: str | None = None
    is_mutable = False
    if field.default is not None and struct.kind != "union":
        default = value(field.default, field.type, context.imports)
        is_mutable = not is_immutable(field.default)
    elif not is_required:
        text += " | None"
        default = "None"
    return FieldView(
        id=field.id,
        name=name,
        wire_name=field.name,
        type=field.type,
        annotation=text,
        spec=expression(field.type, context.imports, context.defined),
        presence="required" if is_required else "optional",
        default=default,
        is_default_mutable=is_mutable,
        doc=_doc(field),
        annotations=field.annotations,
        runtime_annotations=runtime_annotations(field),
    )


def _doc(declaration: Declaration) -> str | None:
    """Return the comment, followed by the deprecation of what has no decorator that type checkers report."""
    note = declaration.deprecated
    if note is None or isinstance(declaration, Struct):
        return text_of(declaration.doc)
    return text_of("\n\n".join(filter(None, [text_of(declaration.doc), f"Deprecated. {note}".rstrip()])))


def _union_default(
    struct: Struct, fields: Sequence[Field], given: dict[int, str], context: Context
) -> DefaultView | None:
    for field in fields if struct.kind == "union" else ():
        if field.default is not None:
            return DefaultView(given[id(field)], value(field.default, field.type, context.imports))
    return None
