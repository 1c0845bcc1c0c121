"""Imports of other generated modules, collected while a module is rendered.

Modules under one top-level package refer to each other relatively, so generated code can live anywhere.
Python has no relative way from one top-level package to another: there the import is absolute, and
`--package` (which puts everything under one) makes it relative.
"""

from __future__ import annotations

import msgspec

from idlc.codegen.python.layout import Layout, ServiceNames
from idlc.codegen.python.members import Members
from idlc.codegen.python.packages import Module
from idlc.model import Declaration, Program, Service

__all__ = ["ImportView", "Imports"]


class ImportView(msgspec.Struct, frozen=True, order=True):
    """`from SOURCE import NAME as ALIAS`."""

    source: str
    name: str
    alias: str


class Imports:
    """The other modules that one module refers to.

    Args:
        taken: the names that the module has. Aliases avoid them and are added, so that others avoid those.

    Attributes:
        mentions_deprecated: the module mentions the name of something deprecated, which type checkers may report.
    """

    def __init__(self, module: Module, layout: Layout, taken: set[str]) -> None:
        self._module = module
        self._layout = layout
        self._taken = taken
        self.mentions_deprecated = False
        self._aliases: dict[int, tuple[str, Module]] = {}

    @property
    def members(self) -> Members:
        """The names of the members of all classes."""
        return self._layout.members

    def prefix(self, program: Program) -> str:
        """Return the prefix for names of another file (`_shared.`); empty for the module's own file."""
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
        """Return the name of a type or constant, with its prefix."""
        if declaration.annotations and declaration.deprecated is not None:
            self.mentions_deprecated = True
        return self.prefix(declaration.program) + self._layout.name(declaration)

    def service(self, service: Service) -> ServiceNames:
        """Return the names of a service, as this module writes them."""
        if service.deprecated is not None:
            self.mentions_deprecated = True
        prefix = self.prefix(service.program)
        return ServiceNames(*[prefix + name for name in self._layout.service(service)])

    def statements(self) -> list[ImportView]:
        """Return the import statements, sorted as isort does: absolute ones first, then from far to near."""
        absolute: list[ImportView] = []
        relative: list[tuple[int, ImportView]] = []
        own = self._module.package
        for alias, other in self._aliases.values():
            if other.package[0] != own[0]:
                absolute.append(ImportView(".".join(other.package), other.name, alias))
                continue
            common = 0
            while common < min(len(own), len(other.package)) and own[common] == other.package[common]:
                common += 1
            dots = "." * (len(own) - common + 1)
            relative.append((-len(dots), ImportView(dots + ".".join(other.package[common:]), other.name, alias)))
        return sorted(absolute) + [each for _, each in sorted(relative)]
