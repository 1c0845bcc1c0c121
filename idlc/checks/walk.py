"""Traversals of a program that several checks share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from idlc.model import Declaration, Field, ListType, MapType, Program, SetType, Type
from idlc.source import Span
from idlc.syntax import nodes

__all__ = ["declared_types", "duplicates", "field_lists", "id_span", "next_free_id", "type_nodes", "with_line_end"]

T = TypeVar("T", bound=Declaration)


def field_lists(program: Program) -> Iterator[Sequence[Field]]:
    """Yield all lists of fields in which ids and names must be unique: structs, arguments, throws."""
    for struct in program.structs:
        yield struct.fields
    for service in program.services:
        for function in service.functions:
            yield function.arguments
            yield function.throws


def declared_types(program: Program) -> Iterator[tuple[Type, nodes.Type]]:
    """Yield all types that the file uses, with their nodes, but not the element types of containers."""
    for typedef in program.typedefs:
        if isinstance(typedef.node, nodes.Typedef):
            yield typedef.type, typedef.node.type
    for const in program.consts:
        yield const.type, const.node.type
    for fields in field_lists(program):
        for field in fields:
            yield field.type, field.node.type
    for service in program.services:
        for function in service.functions:
            if function.result is not None and function.node.result is not None:
                yield function.result, function.node.result


@lru_cache(maxsize=1)  # the checks of a file run one after the other
def type_nodes(program: Program) -> Sequence[tuple[Type, nodes.Type]]:
    """Return all types that the file uses, with their nodes; containers before their element types."""
    found: list[tuple[Type, nodes.Type]] = []
    pending = list(declared_types(program))[::-1]
    while pending:
        each = type, node = pending.pop()
        found.append(each)
        if isinstance(node, nodes.NamedType):
            continue
        match type, node:
            case ListType(), nodes.ListType():
                pending.append((type.element, node.element))
            case SetType(), nodes.SetType():
                pending.append((type.element, node.element))
            case MapType(), nodes.MapType():
                pending += ((type.value, node.value), (type.key, node.key))
            case _:
                pass
    return found


def duplicates(things: Iterable[T]) -> Iterator[tuple[T, T]]:
    """Yield the declarations whose name is already taken, each with the first one of that name."""
    first: dict[str, T] = {}
    for thing in things:
        known = first.setdefault(thing.name, thing)
        if known is not thing:
            yield thing, known


def id_span(field: Field) -> Span:
    """Return the span of the id of a field; of its name if it has no id."""
    return field.program.document.span(field.node.id) if field.node.id is not None else field.span


def next_free_id(fields: Sequence[Field]) -> int:
    """Return the number after the highest id of a list."""
    return max((field.id for field in fields if 0 < field.id < 2**15), default=0) + 1


def with_line_end(span: Span) -> Span:
    """Return the span of the whole line, line end included, if there is nothing else on the lines of a span."""
    text = span.file.text
    start = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.end) + 1 or len(text)
    is_alone = not text[start : span.start].strip() and not text[span.end : end].strip()
    return Span(span.file, start, end) if is_alone else span
