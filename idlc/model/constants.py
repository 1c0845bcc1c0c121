"""Pass 3: what constants and default values are, each of its declared type.

Constants are worked out after those they mention, whatever the order of files and lines; circles are cut out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from idlc.diagnostics import Report
from idlc.model.cycles import walk
from idlc.model.evaluation import Evaluator
from idlc.model.program import Const, Field, ListConstant, MapConstant, SetConstant, StructConstant
from idlc.model.scope import Found, Scope
from idlc.syntax import nodes

__all__ = ["evaluate_constants"]


def evaluate_constants(scopes: Sequence[Scope], report: Report) -> None:
    """Fill in the values of constants and defaults. What could not be worked out stays `None` and has been reported."""
    of_program = {id(scope.program): scope for scope in scopes}

    def successors(const: Const) -> Iterator[Const]:
        scope = of_program[id(const.program)]
        for name in _names(const.node.value):
            found = scope.find_constant(name.text)
            if isinstance(found, Found) and isinstance(found.thing, Const):
                yield found.thing

    ordered, circles = walk((const for scope in scopes for const in scope.program.consts), successors)
    for circle in circles:
        path = " -> ".join(const.name for const in (*circle, circle[0]))
        message = (
            f"constant `{circle[0].name}` is defined by itself"
            if len(circle) == 1
            else f"constants are defined by one another in a circle: {path}"
        )
        report.error("constant.cycle", message, circle[0].span)
    circular = {id(const) for circle in circles for const in circle}
    evaluators = {id(scope.program): Evaluator(scope, report) for scope in scopes}
    for const in ordered:
        if id(const) not in circular:
            value = evaluators[id(const.program)].evaluate(const.node.value, const.type, const.name)
            if value is not None:
                const.value = value
    for scope in scopes:
        for owner, field in _fields(scope):
            if field.node.default is not None:
                evaluator = evaluators[id(scope.program)]
                field.default = evaluator.evaluate(field.node.default, field.type, f"{owner}.{field.name}", field)
    _cut_endless_defaults([field for scope in scopes for _, field in _fields(scope)], report)


def _cut_endless_defaults(fields: Sequence[Field], report: Report) -> None:
    """Report defaults that contain themselves: `struct Node { 1: Node next = {} }` has no value that ends."""
    _, circles = walk(fields, _defaults_in_default)
    for circle in circles:
        through = "" if len(circle) == 1 else f" through {', '.join(f'`{field.name}`' for field in circle[1:])}"
        report.error(
            "default.cycle",
            f"the default value of `{circle[0].name}` contains itself{through}",
            circle[0].span,
            help="leave out the default, or give all fields of the value",
        )
        for field in circle:
            field.default = None


def _defaults_in_default(field: Field) -> Iterator[Field]:
    """The fields whose defaults are part of the default of `field`, because it does not give them."""
    pending = [field.default]
    while pending:
        match pending.pop():
            case StructConstant(struct=struct, fields=given):
                names = {each.name for each, _ in given}
                pending += [value for _, value in given]
                yield from (each for each in struct.fields if each.name not in names and each.default is not None)
            case ListConstant(items=items) | SetConstant(items=items):
                pending += items
            case MapConstant(pairs=pairs):
                pending += [part for pair in pairs for part in pair]
            case _:
                pass


def _names(value: nodes.Value) -> Iterator[nodes.ConstantName]:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, nodes.ConstantName):
            yield value
        elif isinstance(value, nodes.ListLiteral):
            pending.extend(value.items)
        elif isinstance(value, nodes.MapLiteral):
            pending.extend(part for pair in value.pairs for part in pair)


def _fields(scope: Scope) -> Iterator[tuple[str, Field]]:
    for struct in scope.program.structs:
        for field in struct.fields:
            yield struct.name, field
    for service in scope.program.services:
        for function in service.functions:
            for field in (*function.arguments, *function.throws):
                yield f"{service.name}.{function.name}", field
