"""Checks of fields, of arguments and exceptions of functions, and of their types."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.checks.walk import duplicates, field_lists, id_span, next_free_id, type_nodes
from idlc.diagnostics import Fix, Label
from idlc.model import UNKNOWN, BaseType, Enum, MapType, Program, Reference, SetType, Struct, Type, Typedef, resolve
from idlc.source import Span
from idlc.syntax import nodes
from idlc.text import plural

__all__: list[str] = []

_MAX_ID = 2**15 - 1


@check("field.id.duplicate", "error")
def duplicate_ids(program: Program) -> Iterator[Finding]:
    """Field ids are unique within a struct, because they identify fields on the wire."""
    for fields in field_lists(program):
        first: dict[int, int] = {}
        for index, field in enumerate(fields):
            known = first.setdefault(field.id, index)
            if known != index:
                yield Finding(
                    f"field id {field.id} is used twice",
                    id_span(field),
                    note="used again here",
                    labels=(Label(id_span(fields[known]), "first used here"),),
                    help=f"the next free id is {next_free_id(fields)}",
                )


@check("field.name.duplicate", "error")
def duplicate_names(program: Program) -> Iterator[Finding]:
    """Names of fields are unique within a struct, names of arguments within a function."""
    for fields in field_lists(program):
        for again, first in duplicates(fields):
            yield Finding(
                f"field name `{again.name}` is used twice",
                again.span,
                note="used again here",
                labels=(Label(first.span, "first used here"),),
            )


@check("field.id.missing", "warning", "compatibility", is_fixable=True)
def missing_ids(program: Program) -> Iterator[Finding]:
    """Fields without an id are numbered by their order; inserting one is incompatible with users of the old file."""
    for fields in field_lists(program):
        missing = [field for field in fields if field.node.id is None]
        if missing:
            first, more = missing[0], len(missing) - 1
            others = f" and {plural(more, 'later field')} have" if more else " has"
            free = next_free_id(fields)
            at = Span(first.span.file, first.node.start, first.node.start)
            yield Finding(
                f"field `{first.name}`{others} no id",
                first.span,
                help=f"write `{free}:` before it; otherwise its id is {first.id}",
                fixes=(Fix(at, f"{free}: ", is_safe=False),),
            )


@check("field.id.negative", "warning")
def negative_ids(program: Program) -> Iterator[Finding]:
    """Field ids are positive. Apache Thrift replaces other ids by its own numbers, unless an option keeps them."""
    for fields in field_lists(program):
        for field in fields:
            written = field.node.id
            if written is not None and written.value <= 0:
                replaced = "" if field.id == written.value else f"; `{field.name}` gets id {field.id} instead"
                yield Finding(
                    f"field id {written.value} is not positive{replaced}",
                    id_span(field),
                    help=f"the next free id is {next_free_id(fields)}",
                )


@check("field.id.range", "error")
def ids_out_of_range(program: Program) -> Iterator[Finding]:
    """Field ids are 16-bit integers on the wire."""
    for fields in field_lists(program):
        for field in fields:
            if not -_MAX_ID - 1 <= field.id <= _MAX_ID:
                yield Finding(
                    f"field id {field.id} does not fit in 16 bits",
                    id_span(field),
                    help=f"ids must be at most {_MAX_ID}",
                )


@check("union.required", "warning", is_fixable=True)
def required_in_union(program: Program) -> Iterator[Finding]:
    """Exactly one field of a union is set, so no field can be required."""
    for struct in program.structs:
        for field in struct.fields:
            at = field.node.requiredness_span
            if struct.kind == "union" and field.node.requiredness == "required" and at is not None:
                span = Span(program.source, *at)
                yield Finding(
                    "fields of a union cannot be required",
                    span,
                    help="remove `required`",
                    fixes=(Fix(Span(program.source, at[0], field.node.type.start), ""),),
                )


@check("union.empty", "warning", "portability")
def unions_without_fields(program: Program) -> Iterator[Finding]:
    """A union has exactly one field set; a union without fields has no values and cannot be sent."""
    for struct in program.structs:
        if struct.kind == "union" and not struct.fields and not program.document.is_broken(struct.node):
            yield Finding(
                f"union `{struct.name}` has no fields, so it has no values",
                struct.span,
                help="add a field, or make it a struct",
            )


@check("union.defaults", "error")
def two_defaults_in_union(program: Program) -> Iterator[Finding]:
    """A union has exactly one field set, so at most one field can have a default value."""
    for struct in program.structs:
        if struct.kind == "union":
            with_default = [field for field in struct.fields if field.node.default is not None]
            for field in with_default[1:]:
                yield Finding(
                    f"union `{struct.name}` has two default values",
                    field.span,
                    labels=(Label(with_default[0].span, "first default value here"),),
                )


@check("field.type.exception", "warning", "portability")
def exceptions_as_values(program: Program) -> Iterator[Finding]:
    """Exceptions are for `throws`; many implementations, newer Apache compilers included, reject them as values."""
    places = [(fields, "field") for fields in (struct.fields for struct in program.structs)]
    functions = [function for service in program.services for function in service.functions]
    places += [(function.arguments, "argument") for function in functions]
    for fields, kind in places:
        for field in fields:
            if _is_exception(field.type):
                yield Finding(f"{kind} `{field.name}` has an exception type", program.document.span(field.node.type))
    for function in functions:
        if function.result is not None and function.node.result is not None and _is_exception(function.result):
            yield Finding(
                f"function `{function.name}` returns an exception", program.document.span(function.node.result)
            )


def _is_exception(type: object) -> bool:
    while isinstance(type, Reference) and isinstance(type.target, Typedef):
        type = type.target.type
    return isinstance(type, Reference) and isinstance(type.target, Struct) and type.target.kind == "exception"


@check("type.key", "warning", "portability")
def non_portable_keys(program: Program) -> Iterator[Finding]:
    """Many languages do not support structs and containers as map keys, and equality of doubles is not reliable."""
    for type, node in type_nodes(program):
        if isinstance(type, MapType) and isinstance(node, nodes.MapType) and not _is_simple(type.key):
            yield Finding(f"`{type.key}` is not portable as a map key", program.document.span(node.key))


@check("type.element", "warning", "portability")
def non_portable_elements(program: Program) -> Iterator[Finding]:
    """Many languages do not support structs and containers in sets, and equality of doubles is not reliable."""
    for type, node in type_nodes(program):
        if isinstance(type, SetType) and isinstance(node, nodes.SetType) and not _is_simple(type.element):
            span = program.document.span(node.element)
            help = f"write `list<{type.element}>` for interoperability with other languages"
            yield Finding(f"`{type.element}` is not portable as a set element", span, help=help)


def _is_simple(type: Type) -> bool:
    """Return whether values of a type are hashable and have a reliable equality in all languages."""
    wire = resolve(type)
    is_enum = isinstance(wire, Reference) and isinstance(wire.target, Enum)
    return wire == UNKNOWN or is_enum or (isinstance(wire, BaseType) and wire.name != "double")


@check("type.byte", "warning", "style", is_fixable=True)
def byte_is_deprecated(program: Program) -> Iterator[Finding]:
    """`byte` is the old name of `i8`, which does not show that it is signed."""
    for _, node in type_nodes(program):
        if isinstance(node, nodes.NamedType) and node.name.text == "byte":
            span = program.document.span(node.name)
            yield Finding("`byte` is deprecated", span, help="write `i8`", fixes=(Fix(span, "i8"),))
