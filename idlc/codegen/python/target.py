"""The Python target: one module an IDL file, one `__init__.py` a namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import jinja2

from idlc.codegen.environment import environment
from idlc.codegen.processes import render_all
from idlc.codegen.python.docs import comment_text, docstring, text_of
from idlc.codegen.python.imports import Imports
from idlc.codegen.python.layout import Layout
from idlc.codegen.python.mentions import typedefs_within
from idlc.codegen.python.packages import Module, Package
from idlc.codegen.python.services import service_views
from idlc.codegen.python.shadows import report_shadows
from idlc.codegen.python.statements import wrap
from idlc.codegen.python.values import quoted
from idlc.codegen.python.views import Context, const_view, enum_view, struct_view, typedef_view
from idlc.codegen.target import GeneratedFile, TargetOptions
from idlc.diagnostics import Report
from idlc.model import Program, Typedef
from idlc.model.cycles import sort_topologically
from idlc.version import __version__

__all__ = ["PythonTarget"]

# Which runtime the stubs need: checked when they are imported.
RUNTIME = ".".join(__version__.split(".")[:2])


class PythonTarget:
    """Typed Python stubs for `idlrt`."""

    name = "python"

    def generate(self, programs: Sequence[Program], report: Report, options: TargetOptions) -> list[GeneratedFile]:
        """Return a module for each program and an `__init__.py` for each package, in a fixed order."""
        layout = Layout(programs, report, package=options.package, existing=options.existing)
        is_custom = options.templates is not None and any(options.templates.rglob("*.j2"))
        templates = environment(
            "python",
            override=options.templates,
            filters={"docstring": docstring, "quoted": quoted, "wrap": wrap},
            cache=options.cache,
        )
        files: list[GeneratedFile] = []
        wanted = [program for program in programs if program.is_requested or options.with_includes]
        report_shadows(layout, wanted, report, options)
        for package in layout.packages.values():
            package.check_sources(wanted)
        texts: dict[int, str] = {}
        template = templates.get_template("module.py.j2")

        def render(program: Program) -> str:
            return template.render(_module_view(layout.module(program), layout, options))

        if options.jobs > 1:
            layout.members.decide(wanted)  # here, because notes about names would be lost in other processes
        for program, text in zip(wanted, render_all(render, wanted, options.jobs), strict=True):
            module = layout.module(program)
            files.append(GeneratedFile(PurePosixPath(*module.package, f"{module.name}.py"), text))
            if is_custom:
                texts[id(program)] = text
        for _, package in sorted(layout.packages.items()):
            if any(module.program in wanted for module in package.modules):
                files += self._package(package, wanted, texts, templates)
        # Custom templates need not wrap what they print.
        return [_formatted(file) for file in files] if is_custom else files

    def _package(
        self,
        package: Package,
        programs: Sequence[Program],
        texts: Mapping[int, str],
        templates: jinja2.Environment,
    ) -> list[GeneratedFile]:
        modules = package.offers(programs, texts)
        text = templates.get_template("package.py.j2").render(
            version=__version__,
            package=".".join(package.parts),
            modules=modules,
            exports=sorted({name for module in modules for name in module.exports}),
        )
        return [GeneratedFile(package.folder / "__init__.py", text), GeneratedFile(package.folder / "py.typed", "")]


def _module_view(module: Module, layout: Layout, options: TargetOptions) -> dict[str, Any]:
    """Return the variables of the template of a module."""
    program = module.program
    taken = set(module.exports)
    imports = Imports(module, layout, taken)
    context = Context(layout, imports, nullable_arguments=options.nullable_arguments)
    view: dict[str, Any] = {
        "version": __version__,
        "runtime": RUNTIME,
        "source": comment_text(program.source.path.name),
        "package": ".".join(module.package),
        "doc": text_of(program.doc),
        "enums": [enum_view(enum, context) for enum in program.enums],
        "structs": [struct_view(struct, context) for struct in program.structs],
        "typedefs": [typedef_view(typedef, context) for typedef in _typedefs_in_order(program, layout)],
        "consts": [const_view(const, context) for const in layout.known.of(program.consts)],
        "services": service_views(program, context, taken),
        "exports": sorted(module.exports),
    }
    # After all views: they collect what the module refers to.
    return view | {"imports": imports.statements(), "mentions_deprecated": imports.mentions_deprecated}


def _typedefs_in_order(program: Program, layout: Layout) -> list[Typedef]:
    """Each typedef behind those of the same file that it is made of: aliases are evaluated at import."""

    def successors(typedef: Typedef) -> Iterator[Typedef]:
        return (other for other in typedefs_within(typedef.type) if other.program is program)

    ordered, _ = sort_topologically(layout.known.of(program.typedefs), successors)
    return ordered


def _formatted(file: GeneratedFile) -> GeneratedFile:
    import black

    if file.path.suffix != ".py" or not file.text:
        return file
    return GeneratedFile(file.path, black.format_str(file.text, mode=black.Mode()))
