"""Construction of nodes, with one method per rule or alias of `grammars/thrift.lark`.

Lark calls these methods during the parse, so no parse tree is built. A method gets the children of the rule in the
order of the grammar: tokens, and results of other methods. The builder has no state, so that all files share one
parser.

Lists grow in place on the parser's stack (`empty`, then `append`) and become tuples when their owner is built.
"""

from __future__ import annotations

from typing import Any

from idlc.syntax import nodes
from idlc.syntax.lexer import Token

__all__ = ["Builder"]

Children = list[Any]


class _AnnotationList(nodes.Node, frozen=True):
    """Annotations with the offsets of their brackets; temporary, until their owner is built."""

    items: tuple[nodes.Annotation, ...]


def _items(annotations: _AnnotationList | None) -> tuple[nodes.Annotation, ...]:
    return annotations.items if annotations is not None else ()


def _end(annotations: _AnnotationList | None, otherwise: int) -> int:
    return annotations.end if annotations is not None else otherwise


class Builder:
    """Builder of nodes; Lark finds its public methods by the names of rules and aliases."""

    # Used by several rules

    def empty(self, _: Children) -> list[Any]:
        return []

    def append(self, children: Children) -> list[Any]:
        children[0].append(children[1])
        return children[0]  # type: ignore[no-any-return]

    def nothing(self, _: Children) -> None:
        return None

    def first(self, children: Children) -> Any:
        return children[0]

    def second(self, children: Children) -> Any:
        return children[1]

    def name(self, children: Children) -> nodes.Identifier:
        token: Token = children[0]
        return nodes.Identifier(token.start, token.end, token.text)

    scope = name
    oneway = name
    separator = nothing
    xsd_all = nothing
    reference = first
    struct_kind = first
    requiredness = first
    void = first

    def document(self, children: Children) -> tuple[nodes.Item, ...]:
        return tuple(children[0])

    # Headers

    def include(self, children: Children) -> nodes.Include:
        path = self.string(children[1:])
        alias = children[3] if len(children) > 3 else None
        return nodes.Include(children[0].start, (alias or path).end, path, alias)

    def foreign_include(self, children: Children) -> nodes.ForeignInclude:
        path = self.string(children[1:])
        return nodes.ForeignInclude(children[0].start, path.end, children[0].text, path)

    def namespace(self, children: Children) -> nodes.Namespace:
        keyword, scope, name, annotations = children
        return nodes.Namespace(keyword.start, _end(annotations, name.end), scope, name, _items(annotations))

    def namespace_name(self, children: Children) -> nodes.Identifier:
        token: Token = children[0]
        text = token.value if token.type == "STRING" else token.text
        return nodes.Identifier(token.start, token.end, str(text))

    # Definitions

    def typedef(self, children: Children) -> nodes.Typedef:
        keyword, type_, name, annotations = children
        return nodes.Typedef(keyword.start, _end(annotations, name.end), name, type_, _items(annotations))

    def const(self, children: Children) -> nodes.Const:
        keyword, type_, name, _, value, annotations = children
        return nodes.Const(keyword.start, _end(annotations, value.end), name, type_, value, _items(annotations))

    def enum(self, children: Children) -> nodes.Enum:
        keyword, name, _, members, closing, annotations = children
        end = _end(annotations, closing.end)
        return nodes.Enum(keyword.start, end, name, tuple(members), _items(annotations))

    def senum(self, children: Children) -> nodes.Senum:
        keyword, name, _, words, closing, annotations = children
        end = _end(annotations, closing.end)
        return nodes.Senum(keyword.start, end, name, tuple(self.string([word]) for word in words), _items(annotations))

    def member(self, children: Children) -> nodes.EnumMember:
        name, value, annotations, _ = children
        end = _end(annotations, (value or name).end)
        return nodes.EnumMember(name.start, end, name, value, _items(annotations))

    def struct(self, children: Children) -> nodes.Struct:
        kind, name, _, _, fields, closing, annotations = children
        end = _end(annotations, closing.end)
        return nodes.Struct(kind.start, end, kind.text, name, tuple(fields), _items(annotations))

    def field_id(self, children: Children) -> nodes.IntLiteral:
        return self.integer(children)

    def field(self, children: Children) -> nodes.Field:
        id, requiredness, type_, reference, name, default, xsd, annotations, _ = children
        first = id or requiredness or type_
        end = annotations.end if annotations is not None else (default or name).end
        if xsd is not None and xsd > end:
            end = xsd
        return nodes.Field(
            first.start,
            end,
            id,
            requiredness.text if requiredness is not None else None,
            type_,
            name,
            default,
            annotations.items if annotations is not None else (),
            reference is not None,
            (requiredness.start, requiredness.end) if requiredness is not None else None,
        )

    def xsd(self, children: Children) -> int:
        return int(children[-1].end)

    def service(self, children: Children) -> nodes.Service:
        keyword, name, extends, _, functions, closing, annotations = children
        end = _end(annotations, closing.end)
        return nodes.Service(keyword.start, end, name, extends, tuple(functions), _items(annotations))

    def function(self, children: Children) -> nodes.Function:
        oneway, result, name, _, arguments, closing, throws, annotations, _ = children
        thrown, end = throws or ((), closing.end)
        is_void = isinstance(result, Token)
        return nodes.Function(
            (oneway or result).start,
            _end(annotations, end),
            oneway,
            None if is_void else result,
            name,
            tuple(arguments),
            thrown,
            _items(annotations),
        )

    def throws(self, children: Children) -> tuple[tuple[nodes.Field, ...], int]:
        return tuple(children[2]), children[3].end

    # Types

    def type(self, children: Children) -> nodes.NamedType:
        name, annotations = children
        if annotations is None:
            return nodes.NamedType(name.start, name.end, name)
        return nodes.NamedType(name.start, annotations.end, name, annotations.items)

    def list_type(self, children: Children) -> nodes.ListType:
        keyword, before, _, element, closing, after, annotations = children
        end, cpp_type = self._container_tail(closing, before, after, annotations)
        return nodes.ListType(keyword.start, end, element, cpp_type, _items(annotations))

    def set_type(self, children: Children) -> nodes.SetType:
        keyword, before, _, element, closing, after, annotations = children
        end, cpp_type = self._container_tail(closing, before, after, annotations)
        return nodes.SetType(keyword.start, end, element, cpp_type, _items(annotations))

    def map_type(self, children: Children) -> nodes.MapType:
        keyword, before, _, key, _, value, closing, after, annotations = children
        end, cpp_type = self._container_tail(closing, before, after, annotations)
        return nodes.MapType(keyword.start, end, key, value, cpp_type, _items(annotations))

    def _container_tail(
        self, closing: Token, before: Token | None, after: Token | None, annotations: _AnnotationList | None
    ) -> tuple[int, str | None]:
        clause = before or after
        return _end(annotations, (after or closing).end), None if clause is None else str(clause.value)

    # Values

    def integer(self, children: Children) -> nodes.IntLiteral:
        token = children[0]
        return nodes.IntLiteral(token.start, token.end, token.value)

    number = integer

    def double(self, children: Children) -> nodes.DoubleLiteral:
        token = children[0]
        return nodes.DoubleLiteral(token.start, token.end, token.value)

    def string(self, children: Children) -> nodes.StringLiteral:
        token = children[0]
        return nodes.StringLiteral(token.start, token.end, token.value)

    def constant_name(self, children: Children) -> nodes.ConstantName:
        token = children[0]
        return nodes.ConstantName(token.start, token.end, token.text)

    def list_value(self, children: Children) -> nodes.ListLiteral:
        opening, items, closing = children
        return nodes.ListLiteral(opening.start, closing.end, tuple(items))

    def map_value(self, children: Children) -> nodes.MapLiteral:
        opening, pairs, closing = children
        return nodes.MapLiteral(opening.start, closing.end, tuple(pairs))

    def pair(self, children: Children) -> tuple[nodes.Value, nodes.Value]:
        return children[0], children[2]

    # Annotations

    def annotations(self, children: Children) -> _AnnotationList:
        opening, items, closing = children
        return _AnnotationList(opening.start, closing.end, tuple(items))

    def annotation(self, children: Children) -> nodes.Annotation:
        name, value, _ = children
        if value is None:
            return nodes.Annotation(name.start, name.end, name, None)
        return nodes.Annotation(name.start, value.end, name, value.value)
