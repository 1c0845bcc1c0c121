"""The target `openapi` of idlc: `openapi.json`, the document that a server of the requested services has.

The document is made from the descriptions of services, as in a server: Python stubs are generated into a temporary
folder, imported, and removed again. This is the only module that knows both the compiler and the runtime.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import uuid
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

from idlc.codegen.python import PythonTarget
from idlc.codegen.target import GeneratedFile, TargetOptions
from idlc.diagnostics import Report
from idlc.model import Program
from idlrt.errors import ConfigurationError
from idlrt.openapi.document import openapi_json
from idlrt.openapi.options import OpenApiOptions
from idlrt.spec import Service

__all__ = ["OpenApiTarget"]

FILE: Final = PurePosixPath("openapi.json")


class OpenApiTarget:
    """An OpenAPI document of the services in the requested files."""

    name = "openapi"

    def generate(self, programs: Sequence[Program], report: Report, options: TargetOptions) -> list[GeneratedFile]:
        """Return one document; nothing if a declaration cannot be expressed, which is added to `report`."""
        root = f"idlrt_openapi_{uuid.uuid4().hex}"
        package = f"{root}.{options.package}" if options.package else root
        python = TargetOptions(package=package, cache=options.cache)
        files = PythonTarget().generate(programs, report, python)
        if report.has_errors:
            return []
        # The Python target returns the modules first, one for each program.
        modules = [
            (program, ".".join(file.path.with_suffix("").parts))
            for program, file in zip(programs, files, strict=False)
            if program.is_requested
        ]
        with _importable(files, root):
            services = [service for program, module in modules for service in _services(program, module)]
            try:
                text = openapi_json(services, OpenApiOptions(package=root)).decode()
            except ConfigurationError as error:
                report.error("openapi", str(error), None)
                return []
        return [GeneratedFile(FILE, text)]


@contextmanager
def _importable(files: Sequence[GeneratedFile], root: str) -> Generator[None]:
    """Within, generated files can be imported; afterwards nothing is left of them.

    Args:
        root: package that contains all of them.
    """
    with tempfile.TemporaryDirectory(prefix="idlrt-openapi-") as folder:
        for file in files:
            path = Path(folder) / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of deprecated declarations
                yield
        finally:
            sys.path.remove(folder)
            for name in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
                del sys.modules[name]


def _services(program: Program, module: str) -> Iterator[Service]:
    """Return the services of a program in the order of its file."""
    if not program.services:
        return
    found: dict[str, Any] = {
        value.name: value for value in vars(importlib.import_module(module)).values() if isinstance(value, Service)
    }
    for service in program.services:
        yield found[service.name]
