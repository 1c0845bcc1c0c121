"""Findings as text."""

from __future__ import annotations

from collections.abc import Iterable

from idlc.diagnostics.diagnostic import Diagnostic

__all__ = ["render"]


def render(diagnostics: Diagnostic | Iterable[Diagnostic], *, color: bool = False) -> str:
    """Write findings for people."""
    if isinstance(diagnostics, Diagnostic):
        diagnostics = [diagnostics]
    return "\n".join(f"{d.span}: {d.severity}: {d.message} [{d.name}]" for d in diagnostics)
