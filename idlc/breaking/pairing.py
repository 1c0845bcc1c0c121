"""Pairs of old and new declarations: by file and name, then those that were moved, then those that were renamed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeAlias, TypeVar

import msgspec

from idlc.breaking.snapshot import (
    Const,
    Enum,
    File,
    Function,
    Service,
    Snapshot,
    Struct,
    Type,
    TypeDeclaration,
    parse_type,
    split_key,
)
from idlc.breaking.snapshot import key as key_of

__all__ = ["Index", "Pairs", "pair_functions", "pair_up"]

T = TypeVar("T")
_Name: TypeAlias = Mapping[str, str]


class Index:
    """Declarations of a snapshot by key."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.files: dict[str, File] = {file.path: file for file in snapshot.files}
        self.types: dict[str, TypeDeclaration] = {}
        self.consts: dict[str, Const] = {}
        self.services: dict[str, Service] = {}
        self.path_of: dict[str, str] = {}
        for file in snapshot.files:
            self.types |= {key_of(file.path, each.name): each for each in file.types}
            self.consts |= {key_of(file.path, each.name): each for each in file.consts}
            self.services |= {key_of(file.path, each.name): each for each in file.services}
            declared = (*file.types, *file.consts, *file.services)
            self.path_of |= {key_of(file.path, each.name): file.path for each in declared}

    def bases(self, key: str | None) -> Iterable[tuple[str, Service]]:
        """Yield a service and those that it extends, directly or not."""
        seen: set[str] = set()
        while key is not None and key not in seen and key in self.services:
            seen.add(key)
            yield key, self.services[key]
            key = self.services[key].extends


class Pairs(msgspec.Struct, frozen=True):
    """Old path or key → new one. What is in none was removed.

    Attributes:
        types: typedefs, enums, structs, unions and exceptions.
    """

    files: dict[str, str]
    types: dict[str, str]
    consts: dict[str, str]
    services: dict[str, str]

    def is_same(self, old: Type, new: Type) -> bool:
        """Return whether two references are to the same declaration."""
        return old.is_declared and self.types.get(old.name) == new.name


def pair_up(old: Index, new: Index) -> Pairs:
    """Find which declaration became which."""
    files = _pair_files(old, new)
    types = _pair_by_name(old.types, new.types, old, files)
    pairs = Pairs(
        files,
        types,
        _pair_by_name(old.consts, new.consts, old, files),
        _pair_by_name(old.services, new.services, old, files),
    )
    _pair_merged_types(old, new, types, files)
    _pair_renamed_types(old, new, types)
    _pair_empty_structs(old, new, types)
    for before, after in _unique(
        [key for key in old.services if key not in pairs.services],
        [key for key in new.services if key not in {*pairs.services.values()}],
        lambda key: _service_shape(old.services[key]),
        lambda key: _service_shape(new.services[key]),
    ):
        pairs.services[before] = after
    return pairs


def pair_functions(before: Iterable[Function], after: Iterable[Function], same: Callable[[Type, Type], bool]) -> _Name:
    """Return the functions that were renamed: those of equal signatures that no other function has.

    Functions without arguments are alike too often to be recognized.
    """
    found: dict[str, str] = {}
    candidates = [function for function in after if function.arguments]
    for function in before:
        alike = [each for each in candidates if function.arguments and _same_signature(function, each, same)]
        if len(alike) == 1 and alike[0].name not in found.values():
            found[function.name] = alike[0].name
    return found


def _same_signature(old: Function, new: Function, same: Callable[[Type, Type], bool]) -> bool:
    if old.oneway != new.oneway or (old.result is None) != (new.result is None):
        return False
    if old.result is not None and new.result is not None and not same(parse_type(old.result), parse_type(new.result)):
        return False
    return all(
        len(mine) == len(others)
        and all(
            a.id == b.id and a.name == b.name and same(parse_type(a.type), parse_type(b.type))
            for a, b in zip(mine, others, strict=True)
        )
        for mine, others in ((old.arguments, new.arguments), (old.throws, new.throws))
    )


def _names(file: File) -> set[str]:
    return {each.name for each in (*file.types, *file.consts, *file.services)}


def _pair_files(old: Index, new: Index) -> dict[str, str]:
    found = {path: path for path in old.files if path in new.files}
    requested = [[file.path for file in index.files.values() if file.is_requested] for index in (old, new)]
    if not found and len(requested[0]) == len(requested[1]) == 1:
        return {requested[0][0]: requested[1][0]}
    free = {path: _names(file) for path, file in new.files.items() if path not in found}
    for path, file in old.files.items():
        names = _names(file)
        if path in found or not names:
            continue
        shared = {other: len(names & others) for other, others in free.items()}
        best = max(shared, key=lambda other: (shared[other], other.endswith(path.rpartition("/")[2])), default=None)
        if best is not None and shared[best] * 2 > len(names):
            found[path] = best
            del free[best]
    return found


def _pair_by_name(old: Mapping[str, T], new: Mapping[str, T], index: Index, files: _Name) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in old:
        path = files.get(index.path_of[key])
        same = key_of(path, split_key(key)[1]) if path is not None else ""
        if same in new:
            found[key] = same
    taken = {*found.values()}
    elsewhere: dict[str, list[str]] = {}
    for key in new:
        if key not in taken:
            elsewhere.setdefault(split_key(key)[1], []).append(key)
    for key in old:
        if key not in found:
            moved = elsewhere.get(split_key(key)[1], [])
            if len(moved) == 1:
                found[key] = moved.pop()
    return found


# Renamed declarations


def _pair_renamed_types(old: Index, new: Index, types: dict[str, str]) -> None:
    """Add pairs of types of equal structure, until there are no more: a type may refer to another renamed one."""
    is_settled = False
    while not is_settled:
        before = [key for key in old.types if key not in types]
        after = {*new.types} - {*types.values()}
        found = list(
            _unique(
                before,
                sorted(after),
                lambda key: _shape(old.types[key], key, types),
                lambda key: _shape(new.types[key], key, {}),
            )
        )
        types.update(found)
        is_settled = not found


def _pair_merged_types(old: Index, new: Index, types: dict[str, str], files: _Name) -> None:
    """Add pairs of removed types with equal ones of the same name in another file; their own file is still there."""
    by_name: dict[str, list[str]] = {}
    for key in new.types:
        by_name.setdefault(split_key(key)[1], []).append(key)
    for key, type in old.types.items():
        is_gone = key in types or old.path_of[key] not in files
        others = [] if is_gone else by_name.get(split_key(key)[1], [])
        alike = [each for each in others if _shape(type, key, types) == _shape(new.types[each], each, {}) is not None]
        if len(alike) == 1:
            types[key] = alike[0]


def _pair_empty_structs(old: Index, new: Index, types: dict[str, str]) -> None:
    """Add pairs of structs without fields, of which only those that refer to them show what became what."""
    taken = {*types.values()}
    for before, after in list(types.items()):
        one, other = old.types[before], new.types[after]
        if isinstance(one, Struct) and isinstance(other, Struct):
            fields = {field.id: field.type for field in other.fields}
            for field in one.fields:
                was, now = field.type, fields.get(field.id, "")
                if was in types or now in taken or was == now:
                    continue
                removed, added = old.types.get(was), new.types.get(now)
                if isinstance(removed, Struct) and isinstance(added, Struct) and not removed.fields + added.fields:
                    types[was] = now
                    taken.add(now)


def _unique(
    old: Iterable[str],
    new: Iterable[str],
    old_shape: Callable[[str], Hashable | None],
    new_shape: Callable[[str], Hashable | None],
) -> Iterable[tuple[str, str]]:
    """Yield the pairs of declarations that have the same shape, if no others have it."""
    shapes: dict[Hashable, tuple[list[str], list[str]]] = {}
    for keys, shape, side in ((old, old_shape, 0), (new, new_shape, 1)):
        for key in keys:
            found = shape(key)
            if found is not None:
                shapes.setdefault(found, ([], []))[side].append(key)
    for before, after in shapes.values():
        if len(before) == len(after) == 1:
            yield before[0], after[0]


def _shape(type: TypeDeclaration, own: str, renamed: _Name) -> Hashable | None:
    match type:
        case Struct():
            fields = [(each.id, each.name, each.requiredness, _text(each.type, own, renamed)) for each in type.fields]
            return ("struct", type.kind, frozenset(fields)) if fields else None
        case Enum():
            return ("enum", frozenset(type.members.items())) if type.members else None
        case _:
            return None


def _text(type: str, own: str, renamed: _Name) -> str:
    """Return the text of a type with the new names of declarations, and without that of the type it is in."""
    if "#" not in type:
        return type
    return _replaced(parse_type(type), own, renamed)


def _replaced(type: Type, own: str, renamed: _Name) -> str:
    if type.parameters:
        return f"{type.name}<{','.join(_replaced(each, own, renamed) for each in type.parameters)}>"
    return "#" if type.name == own else renamed.get(type.name, type.name)


def _service_shape(service: Service) -> Hashable | None:
    return frozenset(function.name for function in service.functions) if service.functions else None
