"""Checks of services and their functions."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.checks.walk import duplicates
from idlc.diagnostics import Fix, Label
from idlc.model import UNKNOWN, Function, Program, Reference, Service, Struct, resolve
from idlc.source import Span

__all__: list[str] = []


_BOOLEANS = ("1", "true", "0", "false")


def _functions(program: Program) -> Iterator[Function]:
    for service in program.services:
        yield from service.functions


@check("function.duplicate", "error")
def duplicate_functions(program: Program) -> Iterator[Finding]:
    """Names of functions are unique within a service; there is no overloading."""
    for service in program.services:
        for again, first in duplicates(service.functions):
            yield Finding(
                f"service `{service.name}` has two functions `{again.name}`",
                again.span,
                labels=(Label(first.span, "first declared here"),),
            )


@check("function.inherited", "error")
def redefined_functions(program: Program) -> Iterator[Finding]:
    """A service inherits all functions of the service that it extends and cannot override them."""
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
                    f"service `{service.name}` cannot redefine function `{function.name}` of `{base.name}`",
                    function.span,
                    labels=(Label(known.span, "inherited from here"),),
                )


def _names_declared_twice(program: Program) -> dict[str, dict[int, Function]]:
    """Return functions with names that several services of a file or their bases declare: name → service → function.

    Other functions need no further checks, which keeps the check linear for long chains of services.
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
    """`throws` lists exceptions only."""
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


@check("function.oneway.result", "warning", is_fixable=True)
def oneway_results(program: Program) -> Iterator[Finding]:
    """Oneway calls have no response, so the return type of a oneway function is ignored."""
    for function in _functions(program):
        if function.is_oneway and function.node.result is not None:
            span = program.document.span(function.node.result)
            yield Finding(
                f"oneway function `{function.name}` cannot return a value; its return type is ignored",
                span,
                help="return `void`, or remove `oneway`",
                fixes=(Fix(span, "void"),),
            )


@check("function.oneway.throws", "error")
def oneway_throws(program: Program) -> Iterator[Finding]:
    """Oneway calls have no response, so a oneway function cannot throw exceptions."""
    for function in _functions(program):
        if function.is_oneway and function.throws:
            first, last = function.throws[0].node, function.throws[-1].node
            yield Finding(
                f"oneway function `{function.name}` cannot throw exceptions",
                Span(program.source, first.start, last.end),
                help="remove `throws`, or remove `oneway`",
            )


@check("function.idempotent", "error")
def idempotent_is_a_boolean(program: Program) -> Iterator[Finding]:
    """A mistyped `idempotent` must not decide whether a call may be retried."""
    for function in _functions(program):
        for annotation in function.node.annotations:
            if annotation.name.text == "idempotent" and (annotation.value or "1").lower() not in _BOOLEANS:
                yield Finding(
                    f"invalid value {annotation.value!r} for `idempotent` of `{function.name}`",
                    program.document.span(annotation),
                    help='expected "true" or "false"',
                )


@check("annotation.core", "error")
def core_is_a_boolean(program: Program) -> Iterator[Finding]:
    """A mistyped `core` must not hide a service or function from those that are watched first."""
    declarations: list[Service | Function] = [*program.services, *_functions(program)]
    for declaration in declarations:
        for annotation in declaration.node.annotations:
            if annotation.name.text == "core" and (annotation.value or "1").lower() not in _BOOLEANS:
                yield Finding(
                    f"invalid value {annotation.value!r} for `core` of `{declaration.name}`",
                    program.document.span(annotation),
                    help='expected "true" or "false"',
                )


@check("function.async", "warning", "style", is_fixable=True)
def async_is_deprecated(program: Program) -> Iterator[Finding]:
    """`async` is the old name of `oneway`."""
    for function in _functions(program):
        word = function.node.oneway
        if word is not None and word.text == "async":
            span = program.document.span(word)
            yield Finding("`async` is deprecated", span, help="write `oneway`", fixes=(Fix(span, "oneway"),))


@check("function.argument.requiredness", "warning", "portability", is_fixable=True)
def requiredness_of_arguments(program: Program) -> Iterator[Finding]:
    """Callers may omit any argument that is not `required`; `optional` only changes signatures generated by idlc."""
    for function in _functions(program):
        for argument in function.arguments:
            at = argument.node.requiredness_span
            if argument.node.requiredness != "optional" or at is None:
                continue
            span = Span(program.source, *at)
            if argument.default is not None:
                yield Finding(
                    f"`optional` has no effect on argument `{argument.name}`, which has a default value",
                    span,
                    help="remove `optional`",
                    fixes=(Fix(Span(program.source, at[0], argument.node.type.start), ""),),
                )
            else:
                yield Finding(
                    f"`optional` of argument `{argument.name}` only affects signatures generated by idlc",
                    span,
                    help="any argument that is not `required` may be absent, with or without `optional`",
                )
