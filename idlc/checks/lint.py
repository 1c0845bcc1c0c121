"""Lint checks of fields, enums, services and files: what makes IDL easier to evolve, to port and to read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from idlc.checks.base import Finding, check
from idlc.checks.walk import id_span
from idlc.diagnostics import Fix, Label
from idlc.model import BaseType, Declaration, Program, resolve
from idlc.source import Span
from idlc.syntax import nodes

__all__: list[str] = []

_SECRET: Final = re.compile(r"(?:^|_)(?:password|passwd|passphrase|secret|private_key|api_key|access_token)(?:$|_)")
_CAMEL_STEP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@check("field.required", "warning", "compatibility")
def required_fields(program: Program) -> Iterator[Finding]:
    """A `required` field can never be removed: programs with the old IDL reject data without it."""
    for struct in program.structs:
        for field in struct.fields:
            at = field.node.requiredness_span
            if struct.kind != "union" and field.node.requiredness == "required" and at is not None:
                yield Finding(
                    f"field `{field.name}` is `required`, so it can never be removed",
                    Span(program.source, *at),
                    help="make it `optional`, or leave the word out, and validate values where they are used",
                )


@check("field.id.order", "warning", "style")
def ids_ascend(program: Program) -> Iterator[Finding]:
    """Fields are in the order of their ids, so that the next free id is easy to see. Reported once per struct."""
    for struct in program.structs:
        explicit = [field for field in struct.fields if field.is_explicit]
        for before, field in pairwise(explicit):
            if field.id < before.id:
                yield Finding(
                    f"field `{field.name}` has id {field.id}, after id {before.id}",
                    id_span(field),
                    labels=(Label(id_span(before), "a higher id"),),
                    help="sort the fields by their ids",
                )
                break


@check("field.sensitive", "warning", "security")
def secrets_are_marked(program: Program) -> Iterator[Finding]:
    """Fields whose names suggest a secret have the annotation `sensitive`, so that their values are not logged."""
    for struct in program.structs:
        for field in struct.fields:
            words = _CAMEL_STEP.sub("_", field.name).lower()
            is_text = resolve(field.type) in (BaseType("string"), BaseType("binary"))
            if is_text and _SECRET.search(words) and "sensitive" not in field.annotations:
                yield Finding(
                    f"field `{field.name}` seems to be a secret, and its value can be printed",
                    field.span,
                    help="write `(sensitive)` after it",
                )


@check("enum.value.implicit", "warning", "compatibility", is_fixable=True)
def values_are_explicit(program: Program) -> Iterator[Finding]:
    """Enum members have explicit values, because a member that is inserted changes the values of later ones."""
    for enum in program.enums:
        implicit = [member for member in enum.members if not member.is_explicit]
        if implicit:
            first = implicit[0]
            fixes = [
                Fix(Span(program.source, member.node.name.end, member.node.name.end), f" = {member.value}")
                for member in implicit
            ]
            yield Finding(
                f"member `{first.name}` of enum `{enum.name}` has no value",
                first.span,
                help=f"write `{first.name} = {first.value}`",
                fixes=tuple(fixes),
            )


@check("enum.zero", "warning", "portability")
def enums_have_a_zero(program: Program) -> Iterator[Finding]:
    """Enums have a member with the value 0, which is what fields without a value have in languages such as Go."""
    for enum in program.enums:
        if enum.members and all(member.value != 0 for member in enum.members):
            yield Finding(f"enum `{enum.name}` has no member with the value 0", enum.span)


@check("include.parent", "warning", "portability")
def includes_stay_below_their_folder(program: Program) -> Iterator[Finding]:
    """Paths of includes are relative to an include folder, without `..`, so that files can be moved together."""
    for node in program.document.items:
        if isinstance(node, nodes.Include):
            path = node.path.value.replace("\\", "/")
            if ".." in path.split("/") or path.startswith("/"):
                yield Finding(
                    f"the path of include `{node.path.value}` leaves the folder of this file",
                    program.document.span(node.path),
                    help="write it relative to a folder that is given with `-I`",
                )


@check("namespace.missing", "warning", "style")
def files_have_a_namespace(program: Program) -> Iterator[Finding]:
    """A file has a namespace; without one, its types are in the global namespace of the generated code."""
    if not program.namespaces and not program.document.errors:
        first = next(_declared(program), None)
        if first is not None:
            yield Finding(
                "this file has no namespace",
                first.span,
                help=f"write `namespace * {program.stem.replace('-', '_')}` at its start, or one for each language",
            )


@check("doc.missing", "warning", "docs")
def declarations_are_documented(program: Program) -> Iterator[Finding]:
    """Types, services and their functions have doc comments, which become docstrings of the generated code."""
    for declaration in _declared(program):
        if not declaration.doc:
            yield Finding(f"`{declaration.name}` has no doc comment", declaration.span)


def _declared(program: Program) -> Iterator[Declaration]:
    yield from program.enums
    yield from program.structs
    for service in program.services:
        yield service
        yield from service.functions
