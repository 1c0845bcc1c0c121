"""Which module each IDL file becomes, and what every declaration is called in it.

One module a file, in the package of its namespace; the package re-exports what its modules declare. Names
are decided here once for the whole compile, so that every view finds the same one, and names that become
one are reported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from idlc.codegen.python import names
from idlc.diagnostics import Diagnostic, Label, Report
from idlc.model import Declaration, Program, Service
from idlc.source import Span

__all__ = ["Layout", "Module", "ServiceNames"]


class ServiceNames(msgspec.Struct, frozen=True):
    """What a service is called in Python."""

    protocol: str
    async_protocol: str
    client: str
    async_client: str
    bind: str

    @classmethod
    def of(cls, service: Service) -> ServiceNames:
        """The names that are made from the service's own."""
        plain = names.top_level_name(service.name)
        bind = names.top_level_name(names.snake_case(service.name))
        return cls(
            protocol=plain,
            async_protocol=f"Async{service.name}",
            client=f"{service.name}Client",
            async_client=f"Async{service.name}Client",
            bind=bind + "_" if bind == plain else bind,
        )

    def __iter__(self) -> Iterator[str]:
        return iter((self.protocol, self.async_protocol, self.client, self.async_client, self.bind))


class Module(msgspec.Struct, eq=False, kw_only=True):
    """The module of one IDL file.

    Attributes:
        package: its package, parts from the output folder on.
        name: its file name without `.py`.
        exports: Python name → what the IDL declares by it, in the order of the IDL.
    """

    program: Program
    package: tuple[str, ...]
    name: str = ""
    exports: dict[str, Declaration] = {}


class Layout:
    """Modules of all programs of a compile.

    Args:
        programs: every program that is generated or referred to.
        package: dotted name that everything is nested under, or empty.
    """

    def __init__(self, programs: Sequence[Program], report: Report, *, package: str = "") -> None:
        self._report = report
        self._names: dict[int, str] = {}
        self._services: dict[int, ServiceNames] = {}
        self._modules: dict[int, Module] = {}
        base = tuple(names.package_part(part) for part in package.split(".") if part)
        for program in programs:
            module = Module(program=program, package=base + _namespace(program))
            self._modules[id(program)] = module
            self._declare(module)
        self.packages: dict[tuple[str, ...], list[Module]] = {}
        for module in self._modules.values():
            self.packages.setdefault(module.package, []).append(module)
        for package_parts, modules in self.packages.items():
            self._name_modules(package_parts, modules)

    def module(self, program: Program) -> Module:
        """The module of a program."""
        return self._modules[id(program)]

    def name(self, declaration: Declaration) -> str:
        """What a type or constant is called in its module."""
        return self._names[id(declaration)]

    def service(self, service: Service) -> ServiceNames:
        """What a service is called in its module."""
        return self._services[id(service)]

    def _declare(self, module: Module) -> None:
        program = module.program
        declarations: list[Declaration] = [*program.enums, *program.structs, *program.typedefs, *program.consts]
        for declaration in declarations:
            name = names.top_level_name(declaration.name)
            self._names[id(declaration)] = name
            self._export(module, name, declaration)
        for service in program.services:
            found = self._services[id(service)] = ServiceNames.of(service)
            for name in found:
                self._export(module, name, service)

    def _export(self, module: Module, name: str, declaration: Declaration) -> None:
        other = module.exports.setdefault(name, declaration)
        if other is not declaration:
            self._collision(name, declaration.span, other.span)

    def _name_modules(self, package: tuple[str, ...], modules: list[Module]) -> None:
        exported: dict[str, Declaration] = {}
        for module in modules:
            for name, declaration in module.exports.items():
                other = exported.setdefault(name, declaration)
                if other is not declaration:
                    self._collision(name, declaration.span, other.span, where=f" in package {'.'.join(package)}")
        below = {
            other[len(package)]
            for other in self.packages
            if len(other) > len(package) and other[: len(package)] == package
        }
        for name in sorted(below & exported.keys()):
            self._collision(name, exported[name].span, None, where=f", as the package {'.'.join((*package, name))}")
        found: dict[str, Module] = {}
        for module in modules:
            name = names.module_file_name(module.program.stem)
            # The package has its exports, its modules and its subpackages as attributes: exports keep the name.
            while name in exported or name in below:
                name += "_"
            module.name = name
            first = found.setdefault(name, module)
            if first is not module:
                self._file_collision(module, first)

    def _collision(self, name: str, span: Span, other: Span | None, where: str = "") -> None:
        self._report.add(
            Diagnostic(
                name="python.name.collision",
                message=f"two declarations are called `{name}` in Python{where}",
                span=span,
                labels=() if other is None else (Label(other, "the other one"),),
                help="rename one of them, or put the files into different namespaces (`namespace py ...`)",
            )
        )

    def _file_collision(self, module: Module, other: Module) -> None:
        place = ".".join((*module.package, module.name))
        self._report.add(
            Diagnostic(
                name="python.module.collision",
                message=f"{module.program.source.name} and {other.program.source.name} both become module `{place}`",
                span=Span(module.program.source, 0, 0),
                labels=(Label(Span(other.program.source, 0, 0), "the other file"),),
                help="rename one of the files, or give them different namespaces (`namespace py ...`)",
            )
        )


def _namespace(program: Program) -> tuple[str, ...]:
    """Apache's rule: `namespace py`, else `namespace *`, else the name of the file."""
    name = program.namespace("py", "python", "*") or names.module_file_name(program.stem)
    return tuple(names.package_part(part) for part in name.split(".") if part)
