"""Imports of other generated modules, collected while a module is rendered.

Modules under one top-level package refer to each other relatively, so generated code can live anywhere.
Python has no relative way from one top-level package to another: there the import is absolute, and
`--package` (which puts everything under one) makes it relative.
"""

from __future__ import annotations

from idlc.codegen.python.layout import Layout
from idlc.codegen.python.members import Members
from idlc.codegen.python.packages import Module
from idlc.codegen.python.wrap import WIDTH
from idlc.model import Declaration, Program, Service

__all__ = ["Imports"]


class Imports:
    """What one module refers to.

    Args:
        taken: the names that the module has. Aliases avoid them and are added, so that others avoid those.
    """

    def __init__(self, module: Module, layout: Layout, taken: set[str]) -> None:
        self._module = module
        self._layout = layout
        self._taken = taken
        self._aliases: dict[int, tuple[str, Module]] = {}

    @property
    def members(self) -> Members:
        """What members of all classes are called."""
        return self._layout.members

    def prefix(self, program: Program) -> str:
        """What stands before a name of another file (`_shared.`); empty for the module's own."""
        if program is self._module.program:
            return ""
        found = self._aliases.get(id(program))
        if found is None:
            other = self._layout.module(program)
            alias = base = f"_{other.name}"
            count = 1
            while alias in self._taken:
                count += 1
                alias = f"{base}_{count}"
            self._taken.add(alias)
            found = self._aliases[id(program)] = (alias, other)
        return f"{found[0]}."

    def name(self, declaration: Declaration) -> str:
        """A type or constant, as this module says it."""
        return self.prefix(declaration.program) + self._layout.name(declaration)

    def service(self, service: Service, kind: str) -> str:
        """One of a service's names (an attribute of `ServiceNames`), as this module says it."""
        return self.prefix(service.program) + str(getattr(self._layout.service(service), kind))

    def statements(self) -> list[str]:
        """The lines of the import statements, sorted as isort does: absolute ones first, then from far to near."""
        absolute: list[str] = []
        relative: list[tuple[int, str]] = []
        own = self._module.package
        for alias, other in self._aliases.values():
            if other.package[0] != own[0]:
                absolute.append(f"from {'.'.join(other.package)} import {other.name} as {alias}")
                continue
            common = 0
            while common < min(len(own), len(other.package)) and own[common] == other.package[common]:
                common += 1
            dots = "." * (len(own) - common + 1)
            source = dots + ".".join(other.package[common:])
            relative.append((-len(dots), f"from {source} import {other.name} as {alias}"))
        statements = sorted(absolute) + [statement for _, statement in sorted(relative)]
        return [line for statement in statements for line in _broken(statement)]


def _broken(statement: str) -> list[str]:
    if len(statement) <= WIDTH:
        return [statement]
    source, names = statement.split(" import ")
    return [f"{source} import (", f"    {names},", ")"]
