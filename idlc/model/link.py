"""Pass 2: resolution of the names of types and services.

An unknown name is reported at its span and becomes `UNKNOWN`, which later passes ignore. Cycles of typedefs and of
services, and structs that require themselves, are reported here. Cycles of typedefs and services are also cut, so that
later passes can follow references without checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from idlc.diagnostics import Diagnostic, Fix, Label, Report
from idlc.model.cycles import sort_topologically
from idlc.model.foreign import foreign_type
from idlc.model.program import (
    BASE_TYPES,
    UNKNOWN,
    Field,
    ListType,
    MapType,
    Reference,
    Service,
    SetType,
    Struct,
    Type,
    Typedef,
    resolve,
)
from idlc.model.scope import Ambiguous, Found, NamedDeclaration, Scope, kind_of, suggest
from idlc.source import Span
from idlc.syntax import nodes
from idlc.text import with_article

__all__ = ["link"]

_BASE_NAMES = {**BASE_TYPES, "byte": BASE_TYPES["i8"]}


def link(scopes: Sequence[Scope], report: Report) -> None:
    """Set the types of all declarations."""
    linkers = [_Linker(scope, scopes, report) for scope in scopes]
    for linker in linkers:
        linker.link()
    used = set[int]().union(*(linker.used for linker in linkers))
    for linker in linkers:
        linker.settle_typedefs(used)
    _cut_typedef_cycles(scopes, report)
    _cut_service_cycles(scopes, report)
    _report_infinite_structs(scopes, report)


class _Linker:
    """Linker of one file.

    Attributes:
        used: ids (`id()`) of the declarations that the file refers to.
    """

    def __init__(self, scope: Scope, scopes: Sequence[Scope], report: Report) -> None:
        self._scope = scope
        self._scopes = scopes
        self._report = report
        self._document = scope.program.document
        self._typedef: Typedef | None = None
        self._unsettled: list[tuple[Typedef, Diagnostic]] = []
        self.used: set[int] = set()

    def link(self) -> None:
        program = self._scope.program
        for typedef in program.typedefs:
            if isinstance(typedef.node, nodes.Typedef):
                self._typedef = typedef
                typedef.type = self._type(typedef.node.type)
        self._typedef = None
        for struct in program.structs:
            self._fields(struct.fields)
        for const in program.consts:
            const.type = self._type(const.node.type)
        for service in program.services:
            if service.node.extends is not None:
                service.extends = self._service(service.node.extends)
            for function in service.functions:
                if function.node.result is not None:
                    result = self._type(function.node.result)
                    # As in Apache Thrift, a oneway function returns nothing, and its return type is ignored.
                    function.result = None if function.is_oneway else result
                self._fields(function.arguments)
                self._fields(function.throws)

    def settle_typedefs(self, used: set[int]) -> None:
        """Report typedefs of unknown types. As Apache Thrift ignores unused ones, they are dropped with a warning."""
        for typedef, diagnostic in self._unsettled:
            if id(typedef) in used:
                self._report.add(diagnostic)
                continue
            note = "this typedef is unused"
            self._report.add(
                msgspec.structs.replace(diagnostic, name="typedef.undefined", severity="warning", note=note)
            )
            typedefs = self._scope.program.typedefs
            typedefs[:] = [other for other in typedefs if other is not typedef]
            self._scope.types.pop(typedef.name, None)

    def _fields(self, fields: Iterable[Field]) -> None:
        for field in fields:
            field.type = self._type(field.node.type)

    def _type(self, node: nodes.Type) -> Type:
        if isinstance(node, nodes.NamedType):
            return self._named(node.name)
        if isinstance(node, nodes.ListType):
            return ListType(self._type(node.element))
        if isinstance(node, nodes.SetType):
            return SetType(self._type(node.element))
        return MapType(self._type(node.key), self._type(node.value))

    def _named(self, name: nodes.Identifier) -> Type:
        base = _BASE_NAMES.get(name.text)
        if base is not None and name.text not in self._scope.types:  # old files have their own `uuid`
            return base
        declaration = self._found(name, self._scope.find_type(name.text))
        if declaration is None:
            return UNKNOWN
        self.used.add(id(declaration))
        if isinstance(declaration, Service):
            self._report.error(
                "type.service",
                f"`{name.text}` is a service, not a type",
                self._document.span(name),
                labels=(Label(declaration.span, "declared here"),),
            )
            return UNKNOWN
        return Reference(declaration)

    def _service(self, name: nodes.Identifier) -> Service | None:
        found = self._scope.find_type(name.text)
        if found is None and not self._scope.may_be_unparsed(name.text):
            self._undefined(name, "service", "service.undefined", self._scope.service_names())
            return None
        declaration = self._found(name, found)
        if declaration is None or isinstance(declaration, Service):
            return declaration
        self._report.error(
            "service.extends.kind",
            f"`{name.text}` is {with_article(kind_of(declaration))}; only a service can be extended",
            self._document.span(name),
            labels=(Label(declaration.span, "declared here"),),
        )
        return None

    def _found(
        self, name: nodes.Identifier, found: Found[NamedDeclaration] | Ambiguous | None
    ) -> NamedDeclaration | None:
        if isinstance(found, Found):
            if found.include is not None:
                found.include.is_used = True
            return found.declaration
        if found is None:
            if not self._scope.may_be_unparsed(name.text):
                self._undefined(name, "type", "type.undefined", self._scope.type_names())
            return None
        self._report.error(
            "name.ambiguous",
            f"`{name.text}` is ambiguous: two included files with this qualifier declare it",
            self._document.span(name),
            labels=tuple(Label(include.span, "declared in this file") for include in found.includes),
            help='give one of them an alias: `include "..." as other`',
        )
        for include in found.includes:
            include.is_used = True
        return None

    def _undefined(self, name: nodes.Identifier, kind: str, code: str, known: Iterator[str]) -> None:
        span = self._document.span(name)
        message = f"{kind} `{name.text}` is not declared"
        help = ""
        fixes: tuple[Fix, ...] = ()
        foreign = foreign_type(name.text) if kind == "type" else None
        constant = self._scope.find_constant(name.text)
        if foreign is not None:
            message, replacement = foreign
            fixes = (Fix(span, replacement, is_safe=False),) if replacement else ()
            help = f"write `{replacement}`" if replacement else ""
        elif isinstance(constant, Found):
            message = f"`{name.text}` is {with_article(kind_of(constant.declaration))}, not {with_article(kind)}"
            if constant.include is not None:
                constant.include.is_used = True
        else:
            help, fixes = suggest(name.text, span, known)
            help = self._declared_elsewhere(name.text, kind == "service") or help or self._unknown_qualifier(name.text)
            for include in self._scope.program.includes:
                if name.text.startswith(f"{include.name}.") or f"`{include.name}." in help:
                    include.is_used = True
        diagnostic = Diagnostic(name=code, message=message, span=span, help=help, fixes=fixes)
        if self._typedef is not None:
            self._unsettled.append((self._typedef, diagnostic))
        else:
            self._report.add(diagnostic)

    def _declared_elsewhere(self, name: str, is_service: bool) -> str:
        """Return a help text for a name that is declared in a known file that is not included here; else empty."""
        qualifier, _, last = name.rpartition(".")
        program = self._scope.program
        included = {id(include.program) for include in program.includes}
        for other in self._scopes:
            if other is self._scope or id(other.program) in included:
                continue
            declaration = other.types.get(last)
            if declaration is None or isinstance(declaration, Service) is not is_service:
                continue
            if qualifier in ("", other.program.stem):
                file = other.program.source.path.name
                return (
                    f'`{last}` is declared in `{other.program.source.name}`, which is not included: `include "{file}"`'
                )
        if qualifier and qualifier not in self._scope.includes:
            for suffix in (".thrift", ".idl"):
                if (program.source.path.parent / f"{qualifier}{suffix}").is_file():
                    return f'this file is not included: `include "{qualifier}{suffix}"`'
        return ""

    def _unknown_qualifier(self, name: str) -> str:
        qualifier = name.rpartition(".")[0]
        if not qualifier or qualifier in self._scope.includes:
            return ""
        return f"no included file is named `{qualifier}`"


def _named_parts(node: nodes.Type, type: Type) -> Iterator[tuple[nodes.Identifier, Type]]:
    """Yield the names in a type, with the types that they refer to."""
    pending: list[tuple[nodes.Type, Type]] = [(node, type)]
    while pending:
        node, type = pending.pop()
        match node, type:
            case nodes.NamedType(), _:
                yield node.name, type
            case nodes.ListType(), ListType():
                pending.append((node.element, type.element))
            case nodes.SetType(), SetType():
                pending.append((node.element, type.element))
            case nodes.MapType(), MapType():
                pending += ((node.value, type.value), (node.key, type.key))
            case _:
                pass


def _cut_typedef_cycles(scopes: Sequence[Scope], report: Report) -> None:
    def successors(typedef: Typedef) -> Iterator[Typedef]:
        if isinstance(typedef.node, nodes.Typedef):
            for _, part in _named_parts(typedef.node.type, typedef.type):
                if isinstance(part, Reference) and isinstance(part.target, Typedef):
                    yield part.target

    _, cycles = sort_topologically((typedef for scope in scopes for typedef in scope.program.typedefs), successors)
    for cycle in cycles:
        _report_cycle("typedef.cycle", "typedef", cycle, report)
    for cycle in cycles:
        cycle[0].type = UNKNOWN


def _cut_service_cycles(scopes: Sequence[Scope], report: Report) -> None:
    def successors(service: Service) -> list[Service]:
        return [service.extends] if service.extends is not None else []

    _, cycles = sort_topologically((service for scope in scopes for service in scope.program.services), successors)
    for cycle in cycles:
        if len(cycle) == 1:
            report.error("service.cycle", f"service `{cycle[0].name}` extends itself", _extends_span(cycle[0]))
        else:
            path = " -> ".join(service.name for service in (*cycle, cycle[0]))
            message = f"services extend each other in a cycle: {path}"
            report.error("service.cycle", message, _extends_span(cycle[0]))
        cycle[-1].extends = None


def _extends_span(service: Service) -> Span:
    assert service.node.extends is not None
    return service.program.document.span(service.node.extends)


def _report_infinite_structs(scopes: Sequence[Scope], report: Report) -> None:
    def requirements(struct: Struct) -> Iterator[tuple[Field, Struct]]:
        if struct.kind == "union":
            return
        for field in struct.fields:
            if field.requiredness == "required" and field.default is None and field.node.default is None:
                type = resolve(field.type)
                if isinstance(type, Reference) and isinstance(type.target, Struct):
                    yield field, type.target

    def successors(struct: Struct) -> Iterator[Struct]:
        for _, target in requirements(struct):
            yield target

    _, cycles = sort_topologically((struct for scope in scopes for struct in scope.program.structs), successors)
    for cycle in cycles:
        following = cycle[1] if len(cycle) > 1 else cycle[0]
        field = next(field for field, target in requirements(cycle[0]) if target is following)
        path = " -> ".join(struct.name for struct in (*cycle, cycle[0]))
        message = (
            f"{cycle[0].kind} `{cycle[0].name}` requires itself, so it has no values"
            if len(cycle) == 1
            else f"structs require each other in a cycle, so they have no values: {path}"
        )
        report.warning("struct.endless", message, field.span, help="make one of the fields `optional`")


def _report_cycle(name: str, kind: str, cycle: Sequence[Typedef], report: Report) -> None:
    if len(cycle) == 1:
        report.error(name, f"{kind} `{cycle[0].name}` refers to itself", cycle[0].span)
        return
    path = " -> ".join(typedef.name for typedef in (*cycle, cycle[0]))
    labels = tuple(Label(typedef.span, "part of the cycle") for typedef in cycle[1:3])
    report.error(name, f"{kind}s refer to each other in a cycle: {path}", cycle[0].span, labels=labels)
