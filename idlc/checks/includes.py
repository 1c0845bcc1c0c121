"""Checks of includes."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.checks.walk import with_line_end
from idlc.diagnostics import Fix, Label
from idlc.model import Program
from idlc.syntax import nodes

__all__: list[str] = []


@check("include.unused", "warning", "style", is_fixable=True)
def unused_includes(program: Program) -> Iterator[Finding]:
    """An unused include is misleading and slows the compile down."""
    if program.document.errors:
        return  # code that could not be parsed may use it
    for include in program.includes:
        if not include.is_used:
            yield Finding(
                f"unused include `{include.name}`", include.span, fixes=(Fix(with_line_end(include.span), ""),)
            )


@check("include.duplicate", "warning", "style")
def duplicate_includes(program: Program) -> Iterator[Finding]:
    """A second include of the same file has no effect."""
    first: dict[str, nodes.Include] = {}
    for node in program.document.items:
        if isinstance(node, nodes.Include):
            known = first.setdefault(node.path.value, node)
            if known is not node and known.alias == node.alias:
                yield Finding(
                    f"`{node.path.value}` is included twice",
                    program.document.span(node),
                    labels=(Label(program.document.span(known), "first included here"),),
                )
