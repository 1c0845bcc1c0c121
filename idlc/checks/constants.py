"""Rules about constants and defaults that need the whole model: whether they can be made at all."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.checks.walk import field_lists
from idlc.diagnostics import Label
from idlc.model import Constant, Field, ListConstant, MapConstant, Program, SetConstant, Struct, StructConstant
from idlc.source import Span

__all__ = ["incomplete_structs"]


@check("constant.field.missing", "error")
def incomplete_structs(program: Program) -> Iterator[Finding]:
    """A constant must have every required field of its struct, and one field of its union."""
    values: list[tuple[str, Constant, Span]] = [(const.name, const.value, const.span) for const in program.consts]
    for fields in field_lists(program):
        values += [(field.name, field.default, field.span) for field in fields if field.default is not None]
    for path, value, span in values:
        for place, struct, names in _incomplete(value, path):
            what = "one of its fields" if struct.kind == "union" else " and ".join(f"`{name}`" for name in names)
            yield Finding(
                f"`{place}` is a {struct.kind} `{struct.name}` without {what}",
                span,
                labels=(Label(struct.span, "declared here"),),
                help=f"give a value for {what}",
            )


def _incomplete(value: Constant, path: str) -> Iterator[tuple[str, Struct, list[str]]]:
    match value:
        case ListConstant(items=items) | SetConstant(items=items):
            for index, item in enumerate(items):
                yield from _incomplete(item, f"{path}[{index}]")
        case MapConstant(pairs=pairs):
            for index, (key, item) in enumerate(pairs):
                yield from _incomplete(key, f"key {index} of {path}")
                yield from _incomplete(item, f"{path}[{index}]")
        case StructConstant(struct=struct, fields=fields):
            for field, item in fields:
                yield from _incomplete(item, f"{path}.{field.name}")
            given = {field.name for field, _ in fields}
            absent = [field.name for field in struct.fields if field.name not in given and _must_be_given(field)]
            has_arm = bool(fields) or any(field.default is not None for field in struct.fields)
            if absent or (struct.kind == "union" and not has_arm):
                yield path, struct, absent
        case _:
            return


def _must_be_given(field: Field) -> bool:
    return field.requiredness == "required" and field.default is None
