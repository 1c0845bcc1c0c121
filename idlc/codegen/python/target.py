"""The Python target: one module an IDL file, one `__init__.py` a namespace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath
from typing import Any

import jinja2

import idlc
from idlc.codegen.environment import environment
from idlc.codegen.python.docs import comment_text, docstring
from idlc.codegen.python.imports import Imports
from idlc.codegen.python.layout import Layout
from idlc.codegen.python.packages import Module, Package
from idlc.codegen.python.services import service_views
from idlc.codegen.python.shadows import report_shadows
from idlc.codegen.python.types import is_known, mentioned, typedefs_within
from idlc.codegen.python.views import Context, StructView, const_view, enum_view, struct_view, typedef_view
from idlc.codegen.python.wrap import WIDTH, Pair, display, lines
from idlc.codegen.target import GeneratedFile, TargetOptions
from idlc.diagnostics import Report
from idlc.model import Function, Program, Type, Typedef
from idlc.model.cycles import walk

__all__ = ["PythonTarget"]

# Which runtime the stubs need: checked when they are imported.
RUNTIME = ".".join(idlc.__version__.split(".")[:2])


class PythonTarget:
    """Typed Python stubs for `idlrt`."""

    name = "python"

    def generate(self, programs: Sequence[Program], report: Report, options: TargetOptions) -> list[GeneratedFile]:
        """See `Target.generate`."""
        unknown = _unknown_typedefs(programs)
        for program in programs:
            _leave_out_unknown(program, unknown)
        layout = Layout(programs, report, package=options.package, existing=options.existing)
        templates = environment("python", options.templates)
        files: list[GeneratedFile] = []
        wanted = [program for program in programs if program.is_requested or options.with_includes]
        report_shadows(layout, wanted, report, options)
        for package in layout.packages.values():
            package.check_sources(wanted)
        for program in wanted:
            module = layout.module(program)
            text = self._module(module, layout, report, templates, options)
            files.append(GeneratedFile(PurePosixPath(*module.package, f"{module.name}.py"), text))
        for _, package in sorted(layout.packages.items()):
            if any(module.program in wanted for module in package.modules):
                files += self._package(package, wanted, templates)
        if options.templates is not None and any(options.templates.rglob("*.j2")):
            # What strangers' templates print is not wrapped by the views.
            files = [_formatted(file) for file in files]
        return files

    def _module(
        self, module: Module, layout: Layout, report: Report, templates: jinja2.Environment, options: TargetOptions
    ) -> str:
        program = module.program
        taken = set(module.exports)
        imports = Imports(module, layout, taken)
        context = Context(layout, imports, report, nullable_arguments=options.nullable_arguments)
        structs: list[StructView] = []
        for struct in program.structs:
            structs.append(struct_view(struct, context))
            context.defined |= {id(struct)}
        view: dict[str, Any] = {
            "version": idlc.__version__,
            "runtime": RUNTIME,
            "source": comment_text(program.source.path.name),
            "enums": [enum_view(enum, context) for enum in program.enums],
            "structs": structs,
            "typedefs": [typedef_view(typedef, context) for typedef in _typedefs_in_order(program)],
            "consts": [const_view(const, context) for const in program.consts],
            "services": service_views(program, context, taken),
        }
        typing = [
            name
            for name, is_used in (
                ("Final", bool(program.consts or program.services)),
                ("Protocol", bool(program.services)),
                ("TypeAlias", bool(program.typedefs)),
            )
            if is_used
        ]
        title = f"Types and services of `{'.'.join(module.package)}`."
        view |= {
            "doc": docstring(program.doc or title, 0),
            "typing": typing,
            "imports": imports.statements(),
            "exports": _exports(module.exports),
            "mentions_deprecated": _mentions_deprecated(program),
        }
        return templates.get_template("module.py.j2").render(view)

    def _package(
        self, package: Package, programs: Sequence[Program], templates: jinja2.Environment
    ) -> list[GeneratedFile]:
        exports = package.offers(programs)
        table = display(
            "{}",
            *[_table_line(name, exported) for name, exported in exports.items()],
            always_breaks=True,
        )
        text = templates.get_template("package.py.j2").render(
            version=idlc.__version__,
            package=".".join(package.parts),
            modules=list(exports),
            imports=[
                line
                for name, exported in exports.items()
                for line in _import(name, None if package.is_whole(name) else exported)
            ]
            or ["    pass"],
            exports=_exports({name: None for exported in exports.values() for name in exported}),
            table=lines(table, 4, "_modules = "),
        )
        return [GeneratedFile(package.folder / "__init__.py", text), GeneratedFile(package.folder / "py.typed", "")]


def _import(module: str, offered: Sequence[str] | None) -> list[str]:
    """What a package imports of a module, for type checkers: `offered`, or everything."""
    if offered is None:
        return [f"    from .{module} import *"]
    statement = f"    from .{module} import {', '.join(offered)}"
    if len(statement) <= WIDTH:
        return [statement] if offered else []
    return [f"    from .{module} import (", *[f"        {name}," for name in offered], "    )"]


def _leave_out_unknown(program: Program, unknown: AbstractSet[int]) -> None:
    """Drop what an included file says with names that were not found (the model warned of each).

    On the wire a field that is left out is an unknown field, which readers skip.

    Args:
        unknown: identities of the typedefs to drop.
    """
    for struct in program.structs:
        struct.fields = [field for field in struct.fields if is_known(field.type, unknown)]
    program.typedefs = [typedef for typedef in program.typedefs if id(typedef) not in unknown]
    program.consts = [const for const in program.consts if is_known(const.type, unknown)]
    for service in program.services:
        service.functions = [each for each in service.functions if _is_signature_known(each, unknown)]


def _is_signature_known(function: Function, unknown: AbstractSet[int]) -> bool:
    types = [function.result, *(field.type for field in (*function.arguments, *function.throws))]
    return all(is_known(type, unknown) for type in types)


def _unknown_typedefs(programs: Sequence[Program]) -> set[int]:
    """Identities of the typedefs in which something was not found."""
    ordered, _ = walk(
        (typedef for program in programs for typedef in program.typedefs), lambda typedef: typedefs_within(typedef.type)
    )
    unknown: set[int] = set()
    for typedef in ordered:  # each after those that it is made of
        if not is_known(typedef.type, unknown):
            unknown.add(id(typedef))
    return unknown


def _table_line(name: str, exported: Sequence[str]) -> Pair:
    return Pair(f'"{name}": ', display("[]", *[f'"{each}"' for each in exported]))


def _exports(names: dict[str, Any]) -> list[str]:
    return lines(display("[]", *[f'"{name}"' for name in sorted(names)]), 0, "__all__ = ")


def _typedefs_in_order(program: Program) -> list[Typedef]:
    """Each typedef behind those of the same file that it is made of: aliases are evaluated at import."""

    def successors(typedef: Typedef) -> Iterator[Typedef]:
        return (other for other in typedefs_within(typedef.type) if other.program is program)

    ordered, _ = walk(program.typedefs, successors)
    return ordered


def _mentions_deprecated(program: Program) -> bool:
    """Whether the module has to say the name of a deprecated type, which a type checker may report."""
    types: list[Type] = [field.type for struct in program.structs for field in struct.fields]
    types += [typedef.type for typedef in program.typedefs] + [const.type for const in program.consts]
    for service in program.services:
        for function in service.functions:
            types += [field.type for field in (*function.arguments, *function.throws)]
            types += [] if function.result is None else [function.result]
    deprecated = any(declaration.deprecated is not None for declaration in mentioned(*types))
    parents = any(
        service.extends is not None and service.extends.deprecated is not None for service in program.services
    )
    return deprecated or parents


def _formatted(file: GeneratedFile) -> GeneratedFile:
    import black

    if file.path.suffix != ".py" or not file.text:
        return file
    return GeneratedFile(file.path, black.format_str(file.text, mode=black.Mode()))
