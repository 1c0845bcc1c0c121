"""Checks of enums."""

from __future__ import annotations

from collections.abc import Iterator

from idlc.checks.base import Finding, check
from idlc.checks.walk import duplicates
from idlc.diagnostics import Label
from idlc.model import EnumMember, Program
from idlc.source import Span

__all__: list[str] = []

_MAX_VALUE = 2**31 - 1


@check("enum.member.duplicate", "error")
def duplicate_members(program: Program) -> Iterator[Finding]:
    """Names of members are unique within an enum."""
    for enum in program.enums:
        for again, first in duplicates(enum.members):
            yield Finding(
                f"enum `{enum.name}` has two members `{again.name}`",
                again.span,
                labels=(Label(first.span, "first declared here"),),
            )


@check("enum.value.duplicate", "warning", "portability")
def duplicate_values(program: Program) -> Iterator[Finding]:
    """Two members with the same value are indistinguishable on the wire.

    The annotation `(allow_alias = "true")` of the enum allows it.
    """
    for enum in program.enums:
        if enum.annotations.get("allow_alias", ("false",))[-1].lower() not in ("false", "0"):
            continue
        first: dict[int, EnumMember] = {}
        for member in enum.members:
            known = first.setdefault(member.value, member)
            if known is not member:
                yield Finding(
                    f"`{member.name}` has the same value as `{known.name}`: {member.value}",
                    _value_span(member),
                    labels=(Label(_value_span(known), "first used here"),),
                    help='if this is intended, write `(allow_alias = "true")` after the enum',
                )


@check("enum.value.negative", "warning", "portability")
def negative_values(program: Program) -> Iterator[Finding]:
    """Some implementations reject negative values."""
    for enum in program.enums:
        for member in enum.members:
            if -_MAX_VALUE - 1 <= member.value < 0:
                yield Finding(f"the value of `{member.name}` is negative: {member.value}", _value_span(member))


@check("enum.value.range", "error")
def values_out_of_range(program: Program) -> Iterator[Finding]:
    """Enums are 32-bit integers on the wire. Reported once per enum, because later members count on from this value."""
    for enum in program.enums:
        for member in enum.members:
            if not -_MAX_VALUE - 1 <= member.value <= _MAX_VALUE:
                yield Finding(
                    f"the value of `{member.name}` does not fit in 32 bits: {member.value}",
                    _value_span(member),
                    help=f"values must be between {-_MAX_VALUE - 1} and {_MAX_VALUE}",
                )
                break


def _value_span(member: EnumMember) -> Span:
    return member.program.document.span(member.node.value) if member.node.value is not None else member.span
