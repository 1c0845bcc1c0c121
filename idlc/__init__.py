"""idlc, an IDL compiler: it compiles a Thrift-compatible IDL into small typed Python stubs.

The functions below are the Python API. They work in memory or with files, return diagnostics as data, and can be called
from several threads:

    generated = idlc.generate({"shop.thrift": "struct Item { 1: i64 id }"})
    generated.raise_for_errors()

Each folder is a stage of the pipeline: `source` reads files, `syntax` parses them, `model` links them, `checks`
validates them, `codegen` generates code. `driver` runs the pipeline, `cli` is the command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from idlc.version import __version__

if TYPE_CHECKING:
    from idlc.api import Sources, check, compile, find_breaking_changes, format, generate, parse
    from idlc.breaking import SnapshotError
    from idlc.breaking.against import AgainstError
    from idlc.codegen import GeneratedFile, UnknownTarget
    from idlc.config import Config, ConfigError, find_config, read_config
    from idlc.diagnostics import Diagnostic, Fix, Label, Report, Severity, render, render_short
    from idlc.driver import find_sources
    from idlc.findings import BaselineError, Policy, PolicyError
    from idlc.loading import LoadedModules, load, load_all
    from idlc.project import FolderResult, ProjectResult, generate_project
    from idlc.results import BreakingChanges, Checked, Compiled, Formatted, Generated, IdlError, Parsed
    from idlc.source import Position, SourceFile, Span

__all__ = [
    "AgainstError",
    "BaselineError",
    "BreakingChanges",
    "Checked",
    "Compiled",
    "Config",
    "ConfigError",
    "Diagnostic",
    "Fix",
    "FolderResult",
    "Formatted",
    "Generated",
    "GeneratedFile",
    "IdlError",
    "Label",
    "LoadedModules",
    "Parsed",
    "Policy",
    "PolicyError",
    "Position",
    "ProjectResult",
    "Report",
    "Severity",
    "SnapshotError",
    "SourceFile",
    "Sources",
    "Span",
    "UnknownTarget",
    "__version__",
    "check",
    "compile",
    "find_breaking_changes",
    "find_config",
    "find_sources",
    "format",
    "generate",
    "generate_project",
    "load",
    "load_all",
    "parse",
    "read_config",
    "render",
    "render_short",
]

# Imported when they are used: a command imports only what it needs.
_MODULES = {
    **dict.fromkeys(("BreakingChanges", "Checked", "Compiled", "Formatted", "Generated"), "idlc.results"),
    **dict.fromkeys(("IdlError", "Parsed"), "idlc.results"),
    "Sources": "idlc.api",
    "AgainstError": "idlc.breaking.against",
    "SnapshotError": "idlc.breaking",
    **dict.fromkeys(("check", "compile", "find_breaking_changes", "format", "generate", "parse"), "idlc.api"),
    **dict.fromkeys(("GeneratedFile", "UnknownTarget"), "idlc.codegen"),
    **dict.fromkeys(("Diagnostic", "Fix", "Label", "Report", "Severity"), "idlc.diagnostics"),
    **dict.fromkeys(("render", "render_short"), "idlc.diagnostics"),
    **dict.fromkeys(("Config", "ConfigError", "find_config", "read_config"), "idlc.config"),
    "find_sources": "idlc.driver",
    **dict.fromkeys(("BaselineError", "Policy", "PolicyError"), "idlc.findings"),
    **dict.fromkeys(("LoadedModules", "load", "load_all"), "idlc.loading"),
    **dict.fromkeys(("FolderResult", "ProjectResult", "generate_project"), "idlc.project"),
    **dict.fromkeys(("Position", "SourceFile", "Span"), "idlc.source"),
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'idlc' has no attribute {name!r}")
    found = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
