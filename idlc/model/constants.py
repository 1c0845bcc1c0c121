"""Pass 3: evaluation of constants and default values, as values of their declared types.

A constant is evaluated after the constants that it refers to, independently of the order of files and lines. Cycles are
reported and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from idlc.diagnostics import Report
from idlc.model.cycles import sort_topologically
from idlc.model.evaluation import Evaluator
from idlc.model.program import Const, Field, ListConstant, MapConstant, SetConstant, StructConstant
from idlc.model.scope import Found, Scope
from idlc.syntax import nodes

__all__ = ["evaluate_constants"]


def evaluate_constants(scopes: Sequence[Scope], report: Report) -> None:
    """Set the values of constants and defaults. Those with errors are reported and stay `None`."""
    of_program = {id(scope.program): scope for scope in scopes}

    def successors(const: Const) -> Iterator[Const]:
        scope = of_program[id(const.program)]
        for name in _names(const.node.value):
            found = scope.find_constant(name.text)
            if isinstance(found, Found) and isinstance(found.declaration, Const):
                yield found.declaration

    ordered, cycles = sort_topologically((const for scope in scopes for const in scope.program.consts), successors)
    for cycle in cycles:
        path = " -> ".join(const.name for const in (*cycle, cycle[0]))
        message = (
            f"constant `{cycle[0].name}` refers to itself"
            if len(cycle) == 1
            else f"constants refer to each other in a cycle: {path}"
        )
        report.error("constant.cycle", message, cycle[0].span)
    cyclic = {id(const) for cycle in cycles for const in cycle}
    evaluators = {id(scope.program): Evaluator(scope, report) for scope in scopes}
    for const in ordered:
        if id(const) not in cyclic:
            value = evaluators[id(const.program)].evaluate(const.node.value, const.type, const.name)
            if value is not None:
                const.value = value
    for scope in scopes:
        for owner, field in _fields(scope):
            if field.node.default is not None:
                evaluator = evaluators[id(scope.program)]
                field.default = evaluator.evaluate(field.node.default, field.type, f"{owner}.{field.name}", field)
    _cut_infinite_defaults([field for scope in scopes for _, field in _fields(scope)], report)


def _cut_infinite_defaults(fields: Sequence[Field], report: Report) -> None:
    """Report and remove defaults that contain themselves, as in `struct Node { 1: Node next = {} }`."""
    _, cycles = sort_topologically(fields, _defaults_in_default)
    for cycle in cycles:
        through = "" if len(cycle) == 1 else f" through {', '.join(f'`{field.name}`' for field in cycle[1:])}"
        report.error(
            "default.cycle",
            f"the default value of `{cycle[0].name}` contains itself{through}",
            cycle[0].span,
            help="remove the default value, or set all fields in it",
        )
        for field in cycle:
            field.default = None


def _defaults_in_default(field: Field) -> Iterator[Field]:
    """Yield the fields whose defaults are part of the default of `field`, because it does not set them."""
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
