"""Assign a module to each IDL file and a Python name to each declaration.

One module a file, in the package of its namespace. Names are decided here once for the whole compile, so that every
view finds the same one. The names in a module depend on its file alone, so it does not matter with which other files it
is compiled; what the package offers of its modules is decided in `packages`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

import msgspec

from idlc.codegen.python import names
from idlc.codegen.python.chosen import chosen_name
from idlc.codegen.python.claims import Claim, Rank, resolve_claims
from idlc.codegen.python.known import Known
from idlc.codegen.python.members import Members
from idlc.codegen.python.packages import Module, Package, file_claim, place
from idlc.codegen.python.reserved import reserved_by
from idlc.diagnostics import Report
from idlc.model import Const, Declaration, Enum, Program, Service, Struct

__all__ = ["Layout", "ServiceNames"]


class ServiceNames(msgspec.Struct, frozen=True):
    """The Python names of a service."""

    protocol: str
    async_protocol: str
    client: str
    async_client: str
    bind: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.protocol, self.async_protocol, self.client, self.async_client, self.bind))


class Layout:
    """Modules of all programs of a compile.

    Args:
        programs: every program that is generated or referred to.
        package: dotted name that everything is nested under, or empty.
        existing: the text of a file below the output folder, or `None`.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        report: Report,
        *,
        package: str = "",
        existing: Callable[[PurePosixPath], str | None] = lambda path: None,
    ) -> None:
        self._report = report
        self._names: dict[int, str] = {}
        self._services: dict[int, ServiceNames] = {}
        self._modules: dict[int, Module] = {}
        self.known = Known(programs)
        self.members = Members(report, self.name, self.known)
        base = tuple(names.package_part(part) for part in package.split(".") if part)
        modules: dict[tuple[str, ...], list[Module]] = {}
        programs = sorted(programs, key=place)
        packages = _packages(programs, report, is_top=not base)
        for program in programs:
            module = Module(program=program, package=base + packages[id(program)])
            self._modules[id(program)] = module
            self._declare(module)
            modules.setdefault(module.package, []).append(module)
        self.packages = {
            parts: Package(
                parts,
                found,
                {other[len(parts)] for other in modules if len(other) > len(parts) and other[: len(parts)] == parts},
                existing,
                report,
            )
            for parts, found in modules.items()
        }

    def module(self, program: Program) -> Module:
        """Return the module of a program."""
        return self._modules[id(program)]

    def name(self, declaration: Declaration) -> str:
        """Return the name of a type or constant in its module."""
        return self._names[id(declaration)]

    def service(self, service: Service) -> ServiceNames:
        """Return the names of a service in its module."""
        return self._services[id(service)]

    def _declare(self, module: Module) -> None:
        program = module.program
        values = [*self.known.of(program.typedefs), *self.known.of(program.consts)]
        declared: list[Declaration] = [*program.enums, *program.structs, *values, *program.services]
        declared.sort(key=lambda declaration: declaration.span.start)
        claims = [Claim.of(each, names.top_level_name, _kind(each)) for each in declared]
        for service in program.services:
            claims += _derived(service)
        given: dict[int, list[str]] = {}
        for grant in resolve_claims(claims, names.is_top_level_taken):
            grant.report_to(self._report)
            module.exports[grant.name] = grant.claim
            given.setdefault(id(grant.claim.owner), []).append(grant.name)
        for declaration in declared:
            self._names[id(declaration)] = given[id(declaration)][0]
        for service in program.services:
            self._services[id(service)] = ServiceNames(*given[id(service)])


def _derived(service: Service) -> list[Claim]:
    """Return the claims to names derived from the name of a service, in the order of `ServiceNames`."""
    name = chosen_name(service) or service.name
    plain = names.top_level_name(name)
    bind = names.top_level_name(names.snake_case(name))
    wanted = {
        "asyncio Protocol of service": f"Async{name}",
        "client of service": f"{name}Client",
        "asyncio client of service": f"Async{name}Client",
        "function that binds service": bind + "_" if bind == plain else bind,
    }
    return [Claim(service, name, Rank.DERIVED, kind) for kind, name in wanted.items()]


def _kind(declaration: Declaration) -> str:
    match declaration:
        case Struct(kind=kind):
            return kind
        case Enum():
            return "enum"
        case Const():
            return "constant"
        case Service():
            return "service"
        case _:
            return "typedef"


def _packages(programs: Sequence[Program], report: Report, *, is_top: bool) -> dict[int, tuple[str, ...]]:
    """Identity of each program → its package.

    Apache's rule: `namespace py`, else `namespace *`, else the name of the file.
    Packages that are called like files make way for each other, and for names that are taken.

    Args:
        is_top: nothing is around them, so that they stand beside the modules and packages of everybody else.
    """
    found: dict[int, tuple[str, ...]] = {}
    claims: list[Claim] = []
    for program in programs:
        name = program.namespace("py", "python", "*")
        if name:
            found[id(program)] = tuple(names.package_part(part) for part in name.split(".") if part)
        else:
            claims.append(file_claim(program, "package"))
    for grant in resolve_claims(claims, lambda name: is_top and bool(reserved_by(name))):
        program, wanted = grant.claim.owner.program, grant.claim.name
        found[id(program)] = (grant.name,)
        other = reserved_by(wanted) if is_top else ""
        if not other:
            grant.report_to(report, is_always=True)
        elif program.is_requested:
            report.note(
                "python.package.yielded",
                f"the package of this file is called `{grant.name}` in Python, as `{wanted}` is {other}",
                grant.claim.owner.span,
                help="choose another one with `namespace py NAME`",
            )
    return found
