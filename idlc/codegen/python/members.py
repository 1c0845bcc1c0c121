"""Assign Python names to members of classes and parameters of methods.

Names are decided once for each declaration. Those of a service's functions depend on the services that it extends, as
Python's classes inherit: a name that a base already has would replace the base's method, so it gives way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from idlc.codegen.python import names
from idlc.codegen.python.claims import Claim, resolve_claims
from idlc.codegen.python.known import Known
from idlc.codegen.python.mentions import mentioned
from idlc.diagnostics import Report
from idlc.model import Declaration, Enum, Function, Program, Service, Struct, Type, Typedef

__all__ = ["Members"]


class Members:
    """Names of fields, members of enums, functions and parameters: identity of the declaration → its Python name.

    Args:
        name: returns the name of a type in its module.
        known: the declarations that are generated.
    """

    def __init__(self, report: Report, name: Callable[[Declaration], str], known: Known) -> None:
        self._report = report
        self._name = name
        self._declared = known
        self._known: dict[int, dict[int, str]] = {}
        self._homes: dict[str, dict[int, Claim]] = {}

    def decide(self, programs: Iterable[Program]) -> None:
        """Assign all names, which are otherwise assigned when they are asked for."""
        for program in programs:
            for struct in program.structs:
                self.of_struct(struct)
            for enum in program.enums:
                self.of_enum(enum)
            for service in program.services:
                self.of_service(service)
                for function in service.functions:
                    self.of_parameters(function)

    def of_struct(self, struct: Struct) -> dict[int, str]:
        """The fields of a struct. Types that its own annotations mention keep their names."""
        found = self._known.get(id(struct))
        if found is None:
            fields = self._declared.of(struct.fields)
            taken = self._hidden((field.type for field in fields), struct.program)
            if struct.kind == "exception":
                taken |= names.EXCEPTION_NAMES
            found = self._known[id(struct)] = self._resolved(fields, "field", taken)
        return found

    def of_enum(self, enum: Enum) -> dict[int, str]:
        """Return the names of the members of an enum."""
        found = self._known.get(id(enum))
        if found is None:
            found = self._known[id(enum)] = self._resolved(enum.members, "member", names.ENUM_NAMES)
        return found

    def of_service(self, service: Service) -> dict[int, str]:
        """Return the names of the functions of a service, without inherited ones."""
        missing: list[Service] = []
        each: Service | None = service
        while each is not None and id(each) not in self._known:
            missing.append(each)
            each = each.extends
        for each in reversed(missing):
            self._known[id(each)] = self._functions(each)
        return self._known[id(service)]

    def of_parameters(self, function: Function) -> dict[int, str]:
        """The arguments of a function, and separately from these the exceptions that it throws."""
        found = self._known.get(id(function))
        if found is None:
            arguments = self._resolved(function.arguments, "argument")
            found = self._known[id(function)] = arguments | self._resolved(function.throws, "exception")
        return found

    def _resolved(
        self, members: Sequence[Declaration], kind: str, taken: AbstractSet[str] = frozenset()
    ) -> dict[int, str]:
        claims = [Claim.of(member, lambda name: names.member_name(name, taken), kind) for member in members]
        grants = resolve_claims(claims, lambda name: names.is_taken(name, taken))
        for grant in grants:
            grant.report_to(self._report)
        return {id(grant.claim.owner): grant.name for grant in grants}

    def _functions(self, service: Service) -> dict[int, str]:
        functions = self._declared.of(service.functions)
        types = (
            type
            for function in functions
            for type in (function.result, *[field.type for field in function.arguments])
            if type is not None
        )
        taken = names.CLIENT_NAMES | self._hidden(types, service.program)
        claims = [Claim.of(each, lambda name: names.member_name(name, taken), "function") for each in functions]
        grants = resolve_claims(
            claims, lambda name: names.is_taken(name, taken) or self._inherited(name, service) is not None
        )
        for grant in grants:
            inherited = self._inherited(grant.claim.name, service) if grant.claim.is_chosen else None
            (msgspec.structs.replace(grant, holder=inherited) if inherited else grant).report_to(self._report)
        found = {id(grant.claim.owner): grant.name for grant in grants}
        for claim in claims:
            self._homes.setdefault(found[id(claim.owner)], {})[id(service)] = claim
        return found

    def _inherited(self, name: str, service: Service) -> Claim | None:
        homes = self._homes.get(name)
        base = service.extends if homes else None
        while base is not None and homes is not None:
            if id(base) in homes:
                return homes[id(base)]
            base = base.extends
        return None

    def _hidden(self, types: Iterable[Type], program: Program) -> set[str]:
        """Names of the types in annotations of a class, which a member of that name would hide from them."""
        return {
            self._name(declaration)
            for declaration in mentioned(*types)
            if declaration.program is program and not isinstance(declaration, Typedef)
        }
