"""Checks of constraints of values (`vt.gt = "0"`), and of validation expressions (`api.vd`)."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.checks.walk import field_lists
from idlc.diagnostics import Fix
from idlc.model import Field, Program
from idlc.model.constraints import ALL_CONSTRAINTS, constraint_names, is_expression, problem_of
from idlc.model.http import field_constraints
from idlc.model.scope import nearest
from idlc.model.value_expression import constraints_of
from idlc.syntax import nodes

__all__: list[str] = []

_PREFIX = "vt."
_PARTS = ("elem", "key", "value")
_SUPPORTED = (
    "supported are comparisons of `$` and `len($)` with a literal, `regexp('..')`, these joined by `&&`, and "
    "alternatives such as `$==1||$==2`"
)


def _fields(program: Program) -> Iterator[Field]:
    for fields in field_lists(program):
        yield from fields


def _constraints(program: Program) -> Iterator[tuple[Field, nodes.Annotation, str]]:
    """Yield the constraints of fields whose names are known, without `vt.`."""
    for field in _fields(program):
        for node in field.node.annotations:
            name = node.name.text
            if name.startswith(_PREFIX) and _is_known(name.removeprefix(_PREFIX)):
                yield field, node, name.removeprefix(_PREFIX)


def _is_known(name: str) -> bool:
    *parts, last = name.split(".")
    return last in ALL_CONSTRAINTS and all(part in _PARTS for part in parts)


@check("constraint.unknown", "warning", is_fixable=True)
def constraints_are_known(program: Program) -> Iterator[Finding]:
    """A constraint with a mistyped name would not be enforced."""
    for field in _fields(program):
        for node in field.node.annotations:
            name = node.name.text
            if not name.startswith(_PREFIX) or _is_known(name.removeprefix(_PREFIX)):
                continue
            span = program.document.span(node.name)
            *_, last = name.split(".")
            near = nearest(last, iter(ALL_CONSTRAINTS))
            fix = name.removesuffix(last) + near if near else ""
            yield Finding(
                f"unknown constraint `{name}` of `{field.name}`",
                span,
                help=f"did you mean `{fix}`?" if near else "it is not enforced",
                fixes=(Fix(span, fix, is_safe=False),) if near else (),
            )


@check("constraint.type", "error")
def constraints_fit_types(program: Program) -> Iterator[Finding]:
    """A constraint that a type does not have cannot be enforced."""
    for field, node, name in _constraints(program):
        if problem_of(name, node.value or "", field.type)[0] == "type":
            known = ", ".join(f"`{_PREFIX}{each}`" for each in constraint_names(field.type))
            yield Finding(
                f"`{node.name.text}` is not a constraint of `{field.type}`",
                program.document.span(node),
                help=f"`{field.name}` can have {known}",
            )


@check("constraint.value", "error")
def values_of_constraints_are_valid(program: Program) -> Iterator[Finding]:
    """The value of a constraint is a value of the type, a size, or a regular expression."""
    for field, node, name in _constraints(program):
        problem, expected = problem_of(name, node.value or "", field.type)
        if problem == "value":
            what = "missing value" if node.value is None else f"invalid value {node.value!r}"
            yield Finding(
                f"{what} for `{node.name.text}` of `{field.name}`",
                program.document.span(node),
                help=f"expected {expected}",
            )


@check("constraint.expression", "warning", "portability")
def expressions_are_not_enforced(program: Program) -> Iterator[Finding]:
    """Expressions are for other tools, except for `api.vd` in its simple forms."""
    for field in _fields(program):
        for node in field.node.annotations:
            name, value = node.name.text, node.value or ""
            if name.lower() == "api.vd" and field_constraints(field, value) is None:
                message = f"`{name}` of `{field.name}` is not enforced: {_reason(field, value)}"
                yield Finding(message, program.document.span(node), help=_SUPPORTED)
            elif name.startswith(_PREFIX) and is_expression(value) and not name.endswith(".pattern"):
                message = f"`{name}` of `{field.name}` is not enforced: its value is an expression"
                yield Finding(message, program.document.span(node), help="use a literal value")


@check("constraint.struct", "warning")
def structs_have_no_constraints(program: Program) -> Iterator[Finding]:
    """Constraints are those of single fields; `vt.assert` of a struct is an expression about several."""
    for struct in program.structs:
        for node in struct.node.annotations:
            if node.name.text.startswith(_PREFIX):
                yield Finding(
                    f"`{node.name.text}` of `{struct.name}` is not enforced",
                    program.document.span(node),
                    help="use constraints of fields, or check it in the handler",
                )


def _reason(field: Field, expression: str) -> str:
    is_understood = constraints_of(expression) is not None
    return f"its expression does not fit a `{field.type}`" if is_understood else "unsupported expression"
