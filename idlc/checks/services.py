"""Rules about services and their functions."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.checks.walk import duplicates
from idlc.diagnostics import Fix, Label
from idlc.model import UNKNOWN, Function, Program, Reference, Service, Struct, resolve
from idlc.source import Span

__all__: list[str] = []


_YES_OR_NO = ("1", "true", "0", "false")


def _functions(program: Program) -> Iterator[Function]:
    for service in program.services:
        yield from service.functions


@check("function.duplicate", "error")
def duplicate_functions(program: Program) -> Iterator[Finding]:
    """Functions of one service have different names; there is no overloading."""
    for service in program.services:
        for again, first in duplicates(service.functions):
            yield Finding(
                f"service `{service.name}` has two functions `{again.name}`",
                again.span,
                labels=(Label(first.span, "first declared here"),),
            )


@check("function.inherited", "error")
def redefined_functions(program: Program) -> Iterator[Finding]:
    """A service has all functions of the one it extends and cannot replace them."""
    declared_by = _names_declared_twice(program)
    for service in program.services:
        for function in service.functions:
            others = declared_by.get(function.name, {})
            base = service.extends if others else None
            while base is not None and id(base) not in others:
                base = base.extends
            if base is not None:
                known = others[id(base)]
                yield Finding(
                    f"service `{service.name}` already has a function `{function.name}` from `{base.name}`",
                    function.span,
                    labels=(Label(known.span, "inherited from here"),),
                )


def _names_declared_twice(program: Program) -> dict[str, dict[int, Function]]:
    """Names of functions that several services of a file, or of what they extend, declare: name → service → function.

    Looking at the others only keeps long chains of services linear.
    """
    declared: dict[str, dict[int, Function]] = {}
    seen: set[int] = set()
    for service in program.services:
        base: Service | None = service
        while base is not None and id(base) not in seen:
            seen.add(id(base))
            for function in base.functions:
                declared.setdefault(function.name, {}).setdefault(id(base), function)
            base = base.extends
    return {name: functions for name, functions in declared.items() if len(functions) > 1}


@check("function.throws", "error")
def thrown_types(program: Program) -> Iterator[Finding]:
    """Only exceptions can be thrown."""
    for function in _functions(program):
        for field in function.throws:
            type = resolve(field.type)
            is_exception = (
                isinstance(type, Reference) and isinstance(type.target, Struct) and type.target.kind == "exception"
            )
            if not is_exception and type != UNKNOWN:
                labels = (Label(type.target.span, "declared here"),) if isinstance(type, Reference) else ()
                yield Finding(
                    f"`{field.type}` is not an exception and cannot be thrown",
                    program.document.span(field.node.type),
                    labels=labels,
                )


@check("function.oneway.result", "warning")
def oneway_results(program: Program) -> Iterator[Finding]:
    """Nobody answers a oneway call, so what it is said to return is ignored."""
    for function in _functions(program):
        if function.is_oneway and function.node.result is not None:
            span = program.document.span(function.node.result)
            yield Finding(
                f"oneway function `{function.name}` cannot return anything; its result is ignored",
                span,
                help="return `void`, or remove `oneway`",
                fixes=(Fix(span, "void"),),
            )


@check("function.oneway.throws", "error")
def oneway_throws(program: Program) -> Iterator[Finding]:
    """Nobody answers a oneway call, so it cannot throw anything."""
    for function in _functions(program):
        if function.is_oneway and function.throws:
            first, last = function.throws[0].node, function.throws[-1].node
            yield Finding(
                f"oneway function `{function.name}` cannot throw anything",
                Span(program.source, first.start, last.end),
                help="remove `throws`, or remove `oneway`",
            )


@check("function.idempotent", "error")
def idempotence_is_yes_or_no(program: Program) -> Iterator[Finding]:
    """Whether a call may be made twice must not depend on how a typing mistake is read."""
    for function in _functions(program):
        for annotation in function.node.annotations:
            if annotation.name.text == "idempotent" and (annotation.value or "1").lower() not in _YES_OR_NO:
                yield Finding(
                    f"`idempotent` of `{function.name}` cannot be {annotation.value!r}",
                    program.document.span(annotation),
                    help='write `(idempotent = "true")` or `(idempotent = "false")`',
                )


@check("function.async", "warning")
def async_is_deprecated(program: Program) -> Iterator[Finding]:
    """`async` is the old name of `oneway`."""
    for function in _functions(program):
        word = function.node.oneway
        if word is not None and word.text == "async":
            span = program.document.span(word)
            yield Finding("`async` is deprecated", span, help="write `oneway`", fixes=(Fix(span, "oneway"),))


@check("function.argument.requiredness", "warning")
def requiredness_of_arguments(program: Program) -> Iterator[Finding]:
    """Callers may leave out any argument that is not `required`; `optional` changes signatures, and only ours."""
    for function in _functions(program):
        for argument in function.arguments:
            at = argument.node.requiredness_span
            if argument.node.requiredness != "optional" or at is None:
                continue
            span = Span(program.source, *at)
            if argument.default is not None:
                yield Finding(
                    f"`optional` means nothing for argument `{argument.name}`, which has a default value",
                    span,
                    help="remove it",
                    fixes=(Fix(Span(program.source, at[0], argument.node.type.start), ""),),
                )
            else:
                yield Finding(
                    f"argument `{argument.name}` is `optional`, which only signatures made by idlc show",
                    span,
                    help="every argument that is not `required` may be absent, with and without `optional`",
                )
