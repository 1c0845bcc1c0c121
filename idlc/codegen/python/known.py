"""Leave declarations out that refer to unknown names.

An included file may refer to files that are not there; the model warns of each name that was not found. Generated code
leaves out every typedef, field, constant and function whose types need one of them. On the wire a field that is left
out is an unknown field, which readers skip.

The model stays as it is: code generation asks `Known` which declarations to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from idlc.codegen.python.mentions import is_known, typedefs_within
from idlc.model import Declaration, Function, Program
from idlc.model.cycles import sort_topologically

__all__ = ["Known"]

D = TypeVar("D", bound=Declaration)


class Known:
    """The declarations of a compile whose types are known.

    Args:
        programs: every program that is generated or referred to.
    """

    def __init__(self, programs: Sequence[Program]) -> None:
        unknown = _unknown_typedefs(programs)
        self._left_out = unknown | {id(each) for program in programs for each in _unknown(program, unknown)}

    def of(self, declarations: Sequence[D]) -> Sequence[D]:
        """Return `declarations` without those that are left out, in the same order."""
        if not self._left_out:
            return declarations
        return [each for each in declarations if id(each) not in self._left_out]


def _unknown(program: Program, unknown: set[int]) -> Iterator[Declaration]:
    """Yield the fields, constants and functions of `program` whose types are not known."""
    for struct in program.structs:
        yield from (field for field in struct.fields if not is_known(field.type, unknown))
    yield from (const for const in program.consts if not is_known(const.type, unknown))
    for service in program.services:
        yield from (each for each in service.functions if not _is_signature_known(each, unknown))


def _is_signature_known(function: Function, unknown: set[int]) -> bool:
    types = [function.result, *(field.type for field in (*function.arguments, *function.throws))]
    return all(is_known(type, unknown) for type in types)


def _unknown_typedefs(programs: Sequence[Program]) -> set[int]:
    """Return the identities of the typedefs that contain an unknown type."""
    ordered, _ = sort_topologically(
        (typedef for program in programs for typedef in program.typedefs), lambda typedef: typedefs_within(typedef.type)
    )
    unknown: set[int] = set()
    for typedef in ordered:  # each after those that it is made of
        if not is_known(typedef.type, unknown):
            unknown.add(id(typedef))
    return unknown
