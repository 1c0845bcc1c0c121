"""What the templates print: every word decided, every line broken.

A view is made for one module and one declaration. Templates only loop over views and print their lines.
"""

from __future__ import annotations

import msgspec

from idlc.codegen.python.docs import docstring
from idlc.codegen.python.imports import Imports
from idlc.codegen.python.layout import Layout
from idlc.codegen.python.types import annotation, expression
from idlc.codegen.python.values import is_immutable, quoted, value
from idlc.codegen.python.wrap import Node, Pair, annotated, call, class_head, display, lines, subscript
from idlc.diagnostics import Report
from idlc.model import Const, Declaration, Enum, Field, Struct, Typedef

__all__ = [
    "Context",
    "EnumView",
    "MemberView",
    "StructView",
    "ValueView",
    "const_view",
    "enum_view",
    "struct_view",
    "typedef_view",
]


class Context(msgspec.Struct, eq=False):
    """What all views of one module share.

    Attributes:
        defined: identities of the structs that were already written.
        nullable_arguments: whether arguments that are not marked may be `None` in signatures.
    """

    layout: Layout
    imports: Imports
    report: Report
    defined: frozenset[int] = frozenset()
    nullable_arguments: bool = False


class MemberView(msgspec.Struct, frozen=True):
    """A line or lines of a class body, and the docstring under them."""

    lines: list[str]
    doc: list[str]


class EnumView(msgspec.Struct, frozen=True):
    """An enum."""

    name: str
    decorators: list[str]
    doc: list[str]
    members: list[MemberView]


class StructView(msgspec.Struct, frozen=True):
    """A struct, union or exception."""

    head: list[str]
    decorators: list[str]
    doc: list[str]
    fields: list[MemberView]
    table: list[str]


class ValueView(msgspec.Struct, frozen=True):
    """A typedef or a constant."""

    lines: list[str]
    doc: list[str]


def decorators(declaration: Declaration, indent: int = 0) -> list[str]:
    """`@rpc.deprecated(...)`, where the IDL says `(deprecated = "...")`."""
    text = declaration.deprecated
    if text is None:
        return []
    return lines(call("@rpc.deprecated", quoted(text or f"{declaration.name} is deprecated")), indent)


def enum_view(enum: Enum, context: Context) -> EnumView:
    """The view of an enum."""
    given = context.layout.members.of_enum(enum)
    members = [
        MemberView([f"    {given[id(member)]} = {member.value}"], docstring(_doc(member), 4)) for member in enum.members
    ]
    return EnumView(context.layout.name(enum), decorators(enum), docstring(_doc(enum), 4), members)


def struct_view(struct: Struct, context: Context) -> StructView:
    """The view of a struct, union or exception."""
    given = context.layout.members.of_struct(struct)
    hidden = frozenset(given.values())
    fields = [
        MemberView(_field_lines(struct, field, given[id(field)], hidden, context), docstring(_doc(field), 4))
        for field in struct.fields
    ]
    base = {"struct": "rpc.Struct, kw_only=True", "union": "rpc.Union, kw_only=True", "exception": "rpc.DeclaredError"}
    return StructView(
        head=class_head(
            context.layout.name(struct),
            "rpc.FrozenStruct, kw_only=True, frozen=True" if _is_frozen(struct) else base[struct.kind],
        ),
        decorators=decorators(struct),
        doc=docstring(_doc(struct), 4),
        fields=fields,
        table=_table(struct, given, context),
    )


def typedef_view(typedef: Typedef, context: Context) -> ValueView:
    """The view of a typedef."""
    text = annotation(typedef.type, context.imports)
    return ValueView(
        annotated(context.layout.name(typedef), "TypeAlias", subscript(text), 0), docstring(_doc(typedef), 0)
    )


def const_view(const: Const, context: Context) -> ValueView:
    """The view of a constant."""
    text = annotation(const.type, context.imports)
    expression = value(const.value, const.type, context.imports)
    return ValueView(annotated(context.layout.name(const), f"Final[{text}]", expression, 0), docstring(_doc(const), 0))


def table_entry(field: Field, name: str, context: Context, *, is_required: bool) -> Node:
    """A field as its table has it: `rpc.required(1, "id", rpc.I64)`."""
    items: list[Node] = [str(field.id), quoted(field.name), expression(field.type, context.imports, context.defined)]
    if name != field.name:
        items.append(f"attribute={quoted(name)}")
    return call("rpc.required" if is_required else "rpc.optional", *items)


def _doc(declaration: Declaration) -> str | None:
    """The comment, and what a decorator cannot say about a member."""
    note = declaration.deprecated
    if note is None or isinstance(declaration, Struct):
        return declaration.doc
    return "\n\n".join(filter(None, [declaration.doc, f"Deprecated. {note}".rstrip()]))


def _field_lines(struct: Struct, field: Field, name: str, hidden: frozenset[str], context: Context) -> list[str]:
    text = annotation(field.type, context.imports, expand=hidden)
    renamed = () if name == field.name or struct.kind == "exception" else (f"name={quoted(field.name)}",)
    default: Node | None = None
    if struct.kind == "union" or (field.default is None and field.requiredness != "required"):
        text += " | None"
        default = "None"
    elif field.default is not None:
        default = value(field.default, field.type, context.imports)
        if not is_immutable(field.default):
            default = call("rpc.field", Pair("default_factory=lambda: ", default), *renamed)
        elif renamed:
            default = call("rpc.field", Pair("default=", default), *renamed)
        return annotated(name, text, default, 4)
    if renamed:
        default = call("rpc.field", *(["default=None"] if default else []), *renamed)
    return annotated(name, text, default, 4)


def _is_frozen(struct: Struct) -> bool:
    """Apache Thrift's annotation for structs that cannot change once they are made."""
    return struct.kind == "struct" and "python.immutable" in struct.annotations


def _table(struct: Struct, given: dict[int, str], context: Context) -> list[str]:
    if not struct.fields:
        return []
    entries = [
        table_entry(
            field, given[id(field)], context, is_required=field.requiredness == "required" and struct.kind != "union"
        )
        for field in struct.fields
    ]
    table = lines(display("()", *entries, always_breaks=len(entries) > 1), 4, "__thrift_fields__ = ")
    defaults = [field for field in struct.fields if field.default is not None]
    if struct.kind == "union" and defaults and defaults[0].default is not None:
        default = value(defaults[0].default, defaults[0].type, context.imports)
        made = Pair("lambda: ", default)
        table += lines(display("()", quoted(given[id(defaults[0])]), made), 4, "__thrift_default__ = ")
    return table
