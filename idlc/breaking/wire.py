"""Compatibility of encodings: whether values of one type survive as values of another.

A value survives if the reader accepts it and sees the same: fields are identified by id, enum members by number. The
rules are those of `binary` and `compact` in idlc's runtime, which a test compares with this module: readers skip a
field whose type on the wire is not the one that they expect, and reject containers whose elements have another type.

- `i32` and enums have the same encoding; numbers without a member are kept.
- `string` and `binary` have the same encoding, but readers reject a `string` that is not UTF-8.
- `list` and `set` differ. Structs, unions and exceptions are alike, but a union has exactly one field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from idlc.breaking.pairing import Index, Pairs
from idlc.breaking.snapshot import Enum, Field, Struct, Type, Typedef, parse_type

__all__ = ["BOTH", "NEW_TO_OLD", "OLD_TO_NEW", "Flow", "Flows", "Types", "Verdict", "match_fields", "moved_numbers"]

Flow: TypeAlias = Literal["old to new", "new to old"]
"""Direction of a value: from an old writer to a new reader, or the other way round."""

Flows: TypeAlias = frozenset[Flow]

NEITHER: Final[Flows] = frozenset()
OLD_TO_NEW: Final[Flows] = frozenset({"old to new"})
NEW_TO_OLD: Final[Flows] = frozenset({"new to old"})
BOTH: Final[Flows] = OLD_TO_NEW | NEW_TO_OLD

_UNKNOWN: Final = "unknown"
_MAX_TYPEDEFS: Final = 1000


class Verdict(msgspec.Struct, frozen=True):
    """Comparison of two types.

    Attributes:
        flows: directions in which values do not survive.
        is_same: whether stubs have the same type.
        is_text: whether values fail only because bytes are not UTF-8.
        reason: what differs, if that is not obvious from the types.
    """

    flows: Flows = NEITHER
    is_same: bool = True
    is_text: bool = False
    reason: str = ""


_SAME: Final = Verdict()
_COMPATIBLE: Final = Verdict(is_same=False)
_DIFFERENT: Final = Verdict(BOTH, is_same=False)


class Types:
    """Comparison of old and new types. A difference within a declaration that both have is one of that declaration."""

    def __init__(self, old: Index, new: Index, pairs: Pairs) -> None:
        self.old = old
        self.new = new
        self.pairs = pairs
        self._open: set[tuple[str, str]] = set()
        self._known: dict[tuple[Type, Type], Verdict] = {}

    def compare(self, old: str, new: str) -> Verdict:
        """Compare two types of fields."""
        if old == new and "#" not in old:
            return _SAME
        return self._compare(parse_type(old), parse_type(new))

    def compare_declared(self, old: str, new: str) -> Verdict:
        """Compare two declarations of different kinds that have the same name."""
        before, after = resolve(Type(old), self.old), resolve(Type(new), self.new)
        is_same = self.pairs.is_same(before, after) and (before.name, after.name) != (old, new)
        return _SAME if is_same else self._unpaired(before, after)

    def is_other(self, old: Type, new: Type) -> bool:
        """Return whether a reference is to another declaration that both versions have, or one of them still has."""
        before, after = resolve(old, self.old), resolve(new, self.new)
        is_known = before.name in self.pairs.types or after.name in self.pairs.types.values()
        return is_known and str(before) != str(after) and not self.pairs.is_same(before, after)

    def same(self, old: Type, new: Type) -> bool:
        """Return whether two types are the same, apart from names."""
        return self._compare(old, new).is_same

    def _compare(self, old: Type, new: Type) -> Verdict:
        found = self._known.get((old, new))
        if found is None:
            found = self._verdict(old, new)
            if not self._open:  # otherwise it may depend on an assumption
                self._known[old, new] = found
        return found

    def _verdict(self, old: Type, new: Type) -> Verdict:
        if self.pairs.is_same(old, new):
            return _SAME
        old, new = resolve(old, self.old), resolve(new, self.new)
        return _SAME if self.pairs.is_same(old, new) else self._unpaired(old, new)

    def _unpaired(self, old: Type, new: Type) -> Verdict:
        """Compare two types that are no typedefs."""
        if _UNKNOWN in (old.name, new.name):
            return _SAME
        if old.is_declared or new.is_declared:
            return self._declared(old, new)
        if old.name != new.name:
            return _texts(old.name, new.name)
        parts = [self._compare(mine, other) for mine, other in zip(old.parameters, new.parameters, strict=True)]
        return _joined(parts)

    def _declared(self, old: Type, new: Type) -> Verdict:
        before, after = self.old.types.get(old.name), self.new.types.get(new.name)
        if (old.is_declared and before is None) or (new.is_declared and after is None):
            return _SAME  # in a file that was not found
        if isinstance(before, Enum) or isinstance(after, Enum):
            if isinstance(before, Enum) and isinstance(after, Enum):
                moved = next(moved_numbers(before, after), None)
                reason = f"`{moved}` has another number" if moved is not None else ""
                return Verdict(BOTH if moved is not None else NEITHER, is_same=False, reason=reason)
            return _COMPATIBLE if "i32" in (old.name, new.name) else _DIFFERENT
        if not isinstance(before, Struct) or not isinstance(after, Struct):
            return _DIFFERENT
        place = (old.name, new.name)
        if place in self._open:
            return _COMPATIBLE
        self._open.add(place)
        try:
            return self._structs(before, after)
        finally:
            self._open.remove(place)

    def _structs(self, old: Struct, new: Struct) -> Verdict:
        flows, reason = kind_flows(old, new), ""
        if flows:
            reason = f"`{new.name}` is a {new.kind}, `{old.name}` a {old.kind}"
        found = [Verdict(flows, is_same=False, reason=reason)]
        match = match_fields(old.fields, new.fields)
        found += (Verdict(BOTH, reason=f"`{field.name}` has another id") for _, field in match.moved)
        for before, after in match.kept:
            verdict = self.compare(before.type, after.type)
            if verdict.flows:
                reason = f"`{after.name}` has another type"
                found.append(msgspec.structs.replace(verdict, reason=reason, is_same=False))
            flows = required_flows(before, after)
            if flows:
                found.append(Verdict(flows, reason=f"`{after.name}` is required in one of them"))
        for field in match.removed:
            if field.is_required:
                found.append(Verdict(NEW_TO_OLD, reason=f"it has no required field `{field.name}`"))
        for field in match.added:
            if field.is_required:
                found.append(Verdict(OLD_TO_NEW, reason=f"it has a required field `{field.name}`"))
        return _joined(found)


def resolve(type: Type, index: Index) -> Type:
    """Look through typedefs."""
    for _ in range(_MAX_TYPEDEFS):
        declared = index.types.get(type.name) if type.is_declared else None
        if not isinstance(declared, Typedef):
            break
        type = parse_type(declared.type)
    return type


def required_flows(old: Field, new: Field) -> Flows:
    """Return the directions in which a value may lack a field that the reader requires."""
    if old.is_required == new.is_required:
        return NEITHER
    return OLD_TO_NEW if new.is_required else NEW_TO_OLD


def kind_flows(old: Struct, new: Struct) -> Flows:
    """Return the directions in which a struct may not be a union: it sets no field, or several known ones."""
    if (old.kind == "union") == (new.kind == "union"):
        return NEITHER
    if new.kind == "union":
        return NEITHER if _sets_one(old, new) else OLD_TO_NEW
    return NEITHER if _sets_one(new, old) else NEW_TO_OLD


def _sets_one(struct: Struct, union: Struct) -> bool:
    arms = {field.id for field in union.fields}
    known = [field for field in struct.fields if field.id in arms]
    return len(known) <= 1 and any(field.is_required for field in struct.fields)


def moved_numbers(old: Enum, new: Enum) -> Iterator[str]:
    """Yield the members that both enums have with different numbers."""
    for name, number in old.members.items():
        if new.members.get(name, number) != number:
            yield name


class Match(msgspec.Struct, frozen=True):
    """Fields of two lists.

    Attributes:
        kept: fields with the same id, whose names may differ.
        moved: fields with the same name, but another id.
        removed: fields of the old list only.
        added: fields of the new list only.
    """

    kept: list[tuple[Field, Field]]
    moved: list[tuple[Field, Field]]
    removed: list[Field]
    added: list[Field]


def match_fields(old: Iterable[Field], new: Iterable[Field]) -> Match:
    """Match the fields of two lists: by name, then by id, because a field that keeps its id was renamed."""
    match = Match([], [], [], [])
    by_name = {field.name: field for field in new}
    found: set[str] = set()
    rest: list[Field] = []
    for field in old:
        other = by_name.get(field.name)
        if other is None:
            rest.append(field)
            continue
        found.add(other.name)
        (match.kept if other.id == field.id else match.moved).append((field, other))
    free = {field.id: field for field in by_name.values() if field.name not in found}
    for field in rest:
        other = free.pop(field.id, None)
        if other is not None:
            match.kept.append((field, other))
        else:
            match.removed.append(field)
    match.added.extend(free.values())
    return match


def _texts(old: str, new: str) -> Verdict:
    if {old, new} != {"string", "binary"}:
        return _DIFFERENT
    return Verdict(OLD_TO_NEW if new == "string" else NEW_TO_OLD, is_same=False, is_text=True)


def _joined(parts: list[Verdict]) -> Verdict:
    failing = [part for part in parts if part.flows]
    return Verdict(
        frozenset(flow for part in failing for flow in part.flows),
        is_same=all(part.is_same for part in parts),
        is_text=bool(failing) and all(part.is_text for part in failing),
        reason=next((part.reason for part in failing if part.reason), ""),
    )
