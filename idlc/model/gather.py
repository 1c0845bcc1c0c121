"""Pass 1: loading of all files, and creation of a named object for each declaration.

No names are resolved yet, so files and declarations can be processed in any order. Enum values and field ids are set
here, because they depend only on their neighbors; field ids follow the rule of Apache Thrift
(compiler/cpp/src/thrift/thrifty.yy, `FieldIdentifier`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from idlc.diagnostics import Diagnostic, Fix, Report
from idlc.model.cycles import sort_topologically
from idlc.model.program import (
    BASE_TYPES,
    Annotations,
    Const,
    Enum,
    EnumMember,
    Field,
    Function,
    Include,
    Namespace,
    Program,
    Service,
    Struct,
    Typedef,
)
from idlc.model.scope import Scope
from idlc.source import Loader, SourceFile, SourceNotFound, SourceUnreadable, Span
from idlc.syntax import Document, nodes, parse

__all__ = ["gather"]


class _Common(TypedDict):
    name: str
    span: Span
    program: Program
    doc: str | None
    annotations: Annotations


def gather(paths: Sequence[Path], loader: Loader, report: Report, *, allow_negative_ids: bool) -> list[Scope]:
    """Return the scopes of all files that are reachable from `paths`, each after the files that it includes."""
    scopes: dict[Path, Scope] = {}
    pending: deque[Scope] = deque()

    def read(source: SourceFile) -> Scope:
        scope = scopes.get(source.path)
        if scope is None:
            scope = scopes[source.path] = _declare(parse(source, report), report, allow_negative_ids)
            pending.append(scope)
        return scope

    for path in paths:
        try:
            read(loader.load(path)).program.is_requested = True
        except SourceNotFound as error:
            report.error("file.missing", f"no such file: `{error.name}`", None)
        except SourceUnreadable as error:
            report.error("file.unreadable", f"cannot read `{error.name}`: {error.reason}", error.span)
    requested = list(scopes.values())
    while pending:
        scope = pending.popleft()
        for node in scope.program.document.items:
            if isinstance(node, nodes.Include):
                source = _included(node, scope, loader, report)
                if source is not None:
                    _connect(node, scope, read(source))
    return _in_order(requested, report)


def _included(node: nodes.Include, scope: Scope, loader: Loader, report: Report) -> SourceFile | None:
    document = scope.program.document
    name = node.path.value
    if not name:
        report.error("include.empty", "the path of an include is empty", document.span(node.path))
        scope.program.is_complete = False
        return None
    try:
        return loader.include(name, document.source)
    except SourceNotFound as error:
        searched = ", ".join(f"`{folder}`" for folder in error.searched) or "nowhere"
        diagnostic = Diagnostic(
            name="include.missing",
            message=f"cannot find included file `{name}`",
            span=document.span(node.path),
            help=f"searched in {searched}; add a folder with `-I`",
        )
        scope.missing_diagnostics.append((_qualifier(node), diagnostic))
    except SourceUnreadable as error:
        message = f"cannot include `{name}`: {error.reason}"
        report.error("file.unreadable", message, error.span if error.span is not None else document.span(node.path))
    scope.program.is_complete = False
    scope.missing.add(_qualifier(node))
    return None


def _connect(node: nodes.Include, scope: Scope, included: Scope) -> None:
    program = scope.program
    if any(known.program is included.program and known.name == _qualifier(node) for known in program.includes):
        return
    include = Include(_qualifier(node), included.program, program.document.span(node))
    program.includes.append(include)
    scope.connect(include, included)


def _qualifier(node: nodes.Include) -> str:
    return node.alias.text if node.alias is not None else Path(node.path.value).stem


def _in_order(requested: Iterable[Scope], report: Report) -> list[Scope]:
    def includes(scope: Scope) -> list[Scope]:
        return [scope.included(include) for include in scope.program.includes]

    ordered, cycles = sort_topologically(requested, includes)
    for cycle in cycles:
        programs = [scope.program for scope in cycle]
        last = next(include for include in programs[-1].includes if include.program is programs[0])
        path = " -> ".join(program.source.path.name for program in (*programs, programs[0]))
        message = "a file includes itself" if len(programs) == 1 else "files include each other in a cycle"
        last.is_used = True  # one diagnostic is enough for this include
        report.error("include.cycle", f"{message}: {path}", last.span)
    return ordered


# One file


def _declare(document: Document, report: Report, allow_negative_ids: bool) -> Scope:
    source = document.source
    program = Program(source=source, document=document, stem=source.path.stem, doc=document.doc)
    scope = Scope(program)
    numbering = _Gatherer(program, allow_negative_ids)
    for node in document.items:
        match node:
            case nodes.Namespace():
                program.namespaces.append(
                    Namespace(node.scope.text, node.name.text, document.span(node), _annotations(node.annotations))
                )
            case nodes.Typedef():
                typedef = Typedef(**numbering.common(node), node=node)
                program.typedefs.append(typedef)
                scope.declare(typedef, report)
            case nodes.Senum():
                typedef = Typedef(**numbering.common(node), node=node, type=BASE_TYPES["string"])
                program.typedefs.append(typedef)
                scope.declare(typedef, report)
                _warn_senum(document, node, report)
            case nodes.Enum():
                enum = numbering.enum(node)
                program.enums.append(enum)
                scope.declare(enum, report)
            case nodes.Struct():
                struct = Struct(**numbering.common(node), node=node, kind=node.kind)
                struct.fields = numbering.fields(node.fields)
                # Exactly one field is set, despite other requiredness (t_struct.h, `validate_union_member`).
                if struct.kind == "union":
                    for field in struct.fields:
                        field.requiredness = "optional"
                program.structs.append(struct)
                scope.declare(struct, report)
            case nodes.Const():
                const = Const(**numbering.common(node), node=node)
                program.consts.append(const)
                scope.declare(const, report)
            case nodes.Service():
                service = numbering.service(node)
                program.services.append(service)
                scope.declare(service, report)
            case _:
                pass
    return scope


def _warn_senum(document: Document, node: nodes.Senum, report: Report) -> None:
    report.warning(
        "enum.senum",
        "`senum` is no longer part of Thrift; it is read as a typedef of `string`",
        Span(document.source, node.start, node.start + len("senum")),
        help=f"write `typedef string {node.name.text}`, or an `enum`",
        fixes=(Fix(document.span(node), f"typedef string {node.name.text}"),),
    )


def _annotations(annotations: tuple[nodes.Annotation, ...]) -> Annotations:
    if not annotations:
        return {}
    gathered: Annotations = {}
    for annotation in annotations:
        value = annotation.value if annotation.value is not None else "1"
        gathered[annotation.name.text] = (*gathered.get(annotation.name.text, ()), value)
    return gathered


class _Gatherer:
    """Creation of the declarations of one file."""

    def __init__(self, program: Program, allow_negative_ids: bool) -> None:
        self._program = program
        self._source = program.source
        self._docs = program.document.docs
        self._allow_negative_ids = allow_negative_ids

    def common(self, node: nodes.Definition | nodes.EnumMember | nodes.Field | nodes.Function) -> _Common:
        name = node.name
        return {
            "name": name.text,
            "span": Span(self._source, name.start, name.end),
            "program": self._program,
            "doc": self._docs.get(node.start),
            "annotations": _annotations(node.annotations),
        }

    def enum(self, node: nodes.Enum) -> Enum:
        enum = Enum(**self.common(node), node=node)
        value = -1
        for member in node.members:
            value = member.value.value if member.value is not None else value + 1
            enum.members.append(
                EnumMember(
                    **self.common(member), node=member, value=value, enum=enum, is_explicit=member.value is not None
                )
            )
        return enum

    def service(self, node: nodes.Service) -> Service:
        service = Service(**self.common(node), node=node)
        for function in node.functions:
            service.functions.append(
                Function(
                    **self.common(function),
                    node=function,
                    service=service,
                    is_oneway=function.oneway is not None,
                    arguments=self.fields(function.arguments),
                    throws=self.fields(function.throws),
                )
            )
        return service

    def fields(self, found: tuple[nodes.Field, ...]) -> list[Field]:
        """Create the fields of one list.

        Fields without an id, and fields with an id that is not positive (unless allowed), are numbered -1, -2, and so
        on.
        """
        fields: list[Field] = []
        automatic = -1
        for node in found:
            written = node.id.value if node.id is not None else None
            if written is not None and written > 0:
                id, is_explicit = written, True
            elif written is not None and self._allow_negative_ids:
                id, is_explicit = written, True
                automatic = written - 1
            else:
                id, is_explicit = automatic, False
                automatic -= 1
            fields.append(
                Field(
                    **self.common(node),
                    node=node,
                    id=id,
                    is_explicit=is_explicit,
                    requiredness=node.requiredness or "default",
                    is_reference=node.is_reference,
                )
            )
        return fields
