"""Checks of names and namespaces."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.diagnostics import Label
from idlc.model import BASE_TYPES, Declaration, Program
from idlc.syntax import nodes

__all__: list[str] = []

_BUILTIN = frozenset(BASE_TYPES) - {"uuid"} | {"byte", "void", "list", "set", "map"}


def _types(program: Program) -> Iterator[Declaration]:
    yield from program.typedefs
    yield from program.enums
    yield from program.structs


def _declared(program: Program) -> Iterator[Declaration]:
    yield from _types(program)
    yield from program.consts
    for enum in program.enums:
        yield from enum.members
    for struct in program.structs:
        yield from struct.fields
    for service in program.services:
        yield service
        for function in service.functions:
            yield function
            yield from function.arguments
            yield from function.throws


@check("name.dotted", "error")
def dotted_names(program: Program) -> Iterator[Finding]:
    """Declared names contain no dot, because a dot separates the qualifier of a file from a name in it."""
    for declaration in _declared(program):
        if "." in declaration.name:
            yield Finding(
                f"name `{declaration.name}` contains a `.`",
                declaration.span,
                help=f"write `{declaration.name.replace('.', '_')}`",
            )


@check("name.builtin", "error")
def builtin_names(program: Program) -> Iterator[Finding]:
    """A type with the name of a built-in type cannot be used."""
    for declaration in _types(program):
        if declaration.name in _BUILTIN:
            yield Finding(f"`{declaration.name}` is the name of a built-in type", declaration.span)


@check("name.constant", "warning")
def constants_named_like_types(program: Program) -> Iterator[Finding]:
    """Constants and types of a file have different names, because they share a module in many languages."""
    types = {declaration.name: declaration for declaration in (*_types(program), *program.services)}
    for const in program.consts:
        known = types.get(const.name)
        if known is not None:
            yield Finding(
                f"constant `{const.name}` has the same name as a type",
                const.span,
                labels=(Label(known.span, "type declared here"),),
            )


@check("namespace.duplicate", "warning", "style")
def duplicate_namespaces(program: Program) -> Iterator[Finding]:
    """A file has at most one namespace per language; only the first one is used."""
    first: dict[str, int] = {}
    for index, namespace in enumerate(program.namespaces):
        known = first.setdefault(namespace.scope, index)
        if known != index:
            yield Finding(
                f"the namespace for `{namespace.scope}` is declared twice",
                namespace.span,
                labels=(Label(program.namespaces[known].span, "first declared here"),),
            )


@check("namespace.scope", "warning")
def namespaces_of_python(program: Program) -> Iterator[Finding]:
    """In Apache Thrift, the language is called `py`; a namespace for `python` is ignored."""
    for node in program.document.items:
        if isinstance(node, nodes.Namespace) and node.scope.text == "python":
            span = program.document.span(node)
            yield Finding(
                "Apache Thrift has no language `python` and ignores this namespace",
                span,
                help=f"write `namespace py {node.name.text}`",
            )


@check("namespace.hyphen", "warning", "portability")
def hyphens_in_namespaces(program: Program) -> Iterator[Finding]:
    """Apache Thrift rejects namespaces with hyphens."""
    for node in program.document.items:
        if isinstance(node, nodes.Namespace) and "-" in node.name.text:
            yield Finding(
                f"namespace `{node.name.text}` contains a hyphen, which Apache Thrift rejects",
                program.document.span(node.name),
                help=f"write `{node.name.text.replace('-', '_')}`",
            )
