"""Behavior of codecs and calls with values of another version, which findings of category `WIRE` must match.

Each value is encoded with the old stubs and decoded with the new ones, and the other way round, in `binary` and
`compact`; each function is called by an old client at a new server, and the other way round. A value survives if the
reader accepts it and sees the same. To *see the same* means:

- a field is identified by its name or, if it was renamed, by its id; a field that one version does not have is ignored;
- a field that the writer did not set is absent, or has the reader's default;
- a member of an enum is the same if it has the same name, or one that the other version does not have;
- an exception has the same class, apart from renames.

Fields that are not required may be left out, also those with a default, which idlc's own stubs always write. A default
that changed is no change of a value: it was never written.
"""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from worlds import Family

import idlc
from idlrt.codecs import codec
from idlrt.codegen import bind
from idlrt.errors import RpcError
from idlrt.spec import (
    BaseType,
    DeclaredError,
    Enum,
    EnumType,
    Field,
    FrozenMap,
    ListType,
    MapType,
    SetType,
    StructType,
    Type,
    Union,
)
from idlrt.testing import connected

OLD_TO_NEW, NEW_TO_OLD = "old to new", "new to old"
PROTOCOLS = ("binary", "compact")
FEW = 3
SCALARS: dict[str, list[Any]] = {
    "bool": [True, False],
    "i8": [1, -128],
    "i16": [300],
    "i32": [70_000, 2],
    "i64": [2**40],
    "double": [1.5],
    "string": ["text", "ü"],
    "binary": [b"\xff\x00", b"a"],
    "uuid": [uuid.UUID(int=0x1234), uuid.UUID(int=0xFF << 120)],
}


def compiled(text: str, folder: Path, name: str) -> Any:
    """Compile a file with the compiler, and import the stubs."""
    source = folder / f"{name}.idl"
    source.write_text(text, encoding="utf-8")
    result = idlc.compile(source, folder)
    errors = [each.message for each in result.report if each.severity == "error"]
    assert not errors, (errors, text)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


# Values


def samples(type: Type[Any], depth: int = 2) -> list[Any]:
    """Return a few telling values of a type: each field alone, all fields, each member of an enum."""
    match type:
        case BaseType():
            return [*SCALARS[type.name]]
        case EnumType():
            cls: Any = type.cls
            return [*cls, cls(1234)]
        case StructType():
            return struct_samples(type.cls, depth - 1)
        case ListType():
            return [tuple(each) if type.is_frozen else each for each in _lists(samples(type.element, depth))]
        case SetType():
            made = frozenset if type.is_frozen else set
            return [made([each]) for each in samples(type.element, depth)]
        case MapType():
            values = samples(type.value, depth)
            pairs = [{key: values[0]} for key in samples(type.key, depth)]
            pairs += [{samples(type.key, depth)[0]: value} for value in values[1:]]
            return [FrozenMap(each) for each in pairs] if type.is_frozen else pairs
        case _:
            return []


def _lists(items: Sequence[Any]) -> list[list[Any]]:
    return [[each] for each in items]


def struct_samples(cls: Any, depth: int = 2) -> list[Any]:
    """Return values of a class: the smallest, one for each value of each field, and one with all fields.

    Args:
        depth: structs in structs that have all these values; deeper ones have fewer.
    """
    fields: tuple[Field[Any], ...] = cls.__thrift_fields__
    of = {each.attribute: samples(each.type, depth) for each in fields}
    if issubclass(cls, Union):
        return [cls(**{name: value}) for name, values in of.items() for value in values[: None if depth > 0 else 1]]
    needed = {each.attribute: of[each.attribute][0] for each in fields if each.is_required}
    found = [cls(**needed), cls(**{name: values[0] for name, values in of.items()})]
    if depth > 0:
        found += [cls(**needed | {name: value}) for name, values in of.items() for value in values]
    found.append(cls(**needed | {each.attribute: None for each in fields if not each.is_required}))
    return found


def is_same(before: Any, after: Any, rename: Callable[[str], str]) -> bool:
    """Return whether a reader sees the value that was written."""
    if isinstance(before, Enum):
        return _same_member(before, after) if isinstance(after, Enum) else int(before) == after
    if isinstance(after, Enum):
        return bool(before == int(after))
    if isinstance(before, (str, bytes)):
        return _bytes(before) == _bytes(after)
    if hasattr(before, "__thrift_fields__"):
        return hasattr(after, "__thrift_fields__") and _same_fields(before, after, rename)
    if isinstance(before, (list, tuple)):
        if not isinstance(after, (list, tuple)) or len(before) != len(after):
            return False
        return all(is_same(a, b, rename) for a, b in zip(before, after, strict=True))
    if isinstance(before, (set, frozenset)):
        is_alike = isinstance(after, (set, frozenset)) and len(before) == len(after)
        return is_alike and all(any(is_same(a, b, rename) for b in after) for a in before)
    if isinstance(before, Mapping):
        items = [*after.items()] if isinstance(after, Mapping) else []
        return len(before) == len(items) and all(
            any(is_same(a, c, rename) and is_same(b, d, rename) for c, d in items) for a, b in before.items()
        )
    return bool(before == after)


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _same_member(before: Enum, after: Enum) -> bool:
    if int(before) != int(after):
        return False
    old, new = type(before), type(after)
    was = {name for name, each in old.__members__.items() if each == before}
    now = {name for name, each in new.__members__.items() if each == after}
    return bool(was & now) or not (was & {*new.__members__} or now & {*old.__members__})


def _same_fields(before: Any, after: Any, rename: Callable[[str], str]) -> bool:
    names = {each.name for each in before.__thrift_fields__}
    by_name = {each.name: each for each in after.__thrift_fields__}
    by_id = {each.id: each for each in after.__thrift_fields__ if each.name not in names}
    for field in before.__thrift_fields__:
        other = by_name.get(field.name) or by_id.get(field.id)
        if other is None:
            continue
        value, seen = getattr(before, field.attribute), getattr(after, other.attribute)
        if value is None:
            if seen is not None and seen != _default(type(after), other):
                return False
        elif seen is None or not is_same(value, seen, rename):
            return False
    return True


def _default(cls: Any, field: Field[Any]) -> Any:
    needed = {each.attribute: samples(each.type)[0] for each in cls.__thrift_fields__ if each.is_required}
    return None if issubclass(cls, Union) else getattr(cls(**needed), field.attribute)


# Judgment


class Judge:
    """The stubs of two versions of many families."""

    def __init__(self, old: Any, new: Any) -> None:
        self._old = old
        self._new = new

    def flows(self, before: Family, after: Family, number: int) -> set[str]:
        """Return the directions in which a value of a family does not survive."""
        found: set[str] = set()
        names = [*before.structs, *(f"Probe{name}" for name in (*before.enums, *before.typedefs))]
        for name in names:
            renamed = after.renamed.get(name, name)
            if name.startswith("Probe"):
                renamed = f"Probe{after.renamed.get(name[5:], name[5:])}"
            if not after.is_recognizable(name.removeprefix("Probe"), before):
                continue
            old, new = getattr(self._old, f"{name}_{number}"), getattr(self._new, f"{renamed}_{number}")
            if not all(_survives(each, new) for each in struct_samples(old)):
                found.add(OLD_TO_NEW)
            if not all(_survives(each, old) for each in struct_samples(new)):
                found.add(NEW_TO_OLD)
        for name in before.services:
            if name not in after.services:
                found.add(OLD_TO_NEW)
                continue
            old = getattr(self._old, f"{name}_{number}Client")
            new = getattr(self._new, f"{name}_{number}Client")
            forth = {f"{was}_{number}": f"{now}_{number}" for was, now in after.renamed.items()}
            was, now = before.functions(name), after.functions(name)
            changed = {function for function in now if now[function] != was.get(function)}
            found |= _calls(old, new, forth, (OLD_TO_NEW, NEW_TO_OLD), changed)
            back = {now: was for was, now in forth.items()}
            found |= _calls(new, old, back, (NEW_TO_OLD, OLD_TO_NEW), changed)
        return found


def _survives(value: Any, reader: Any) -> bool:
    for protocol in PROTOCOLS:
        try:
            seen = codec(reader, protocol=protocol).decode_whole(codec(type(value), protocol=protocol).encode(value))
        except RpcError:
            return False
        if not is_same(value, seen, str):
            return False
    return True


class _Handler:
    """Handler of all functions of a service: keeps the arguments, and returns or raises what it is told to."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] | None = None
        self.outcome: Any = None

    def called(self, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        self.seen = dict(zip(names, arguments, strict=True))
        if isinstance(self.outcome, DeclaredError):
            raise self.outcome
        return self.outcome


def _handler(service: Any) -> _Handler:
    members: dict[str, Any] = {}
    for method in _methods(service):
        names = [each.name for each in method.arguments]
        members[method.attribute] = _function(names)
    return type("Handler", (_Handler,), members)()


def _function(names: Sequence[str]) -> Any:
    parameters = ", ".join(f"a{index}=None" for index in range(len(names)))
    passed = ", ".join(f"a{index}" for index in range(len(names)))
    namespace: dict[str, Any] = {"names": names}
    exec(f"def f(self, {parameters}): return self.called(names, [{passed}])", namespace)
    return namespace["f"]


def _methods(service: Any) -> Iterator[Any]:
    return iter(service.methods.values())


def _calls(
    client: Any, server: Any, rename: Mapping[str, str], flows: tuple[str, str], changed: Container[str]
) -> set[str]:
    """Call all functions of a client at a server of another version; return the directions that fail.

    Args:
        changed: functions that are called with all samples. Of others, changed types are what may be noticed.
    """
    there, answer = flows
    handler = _handler(server.__thrift_service__)
    handlers = bind(server.__thrift_service__, handler)
    patient, hasty = (connected(client, handlers, timeout=seconds) for seconds in (60, 0.1))
    served = {method.name: method for method in _methods(server.__thrift_service__)}
    found: set[str] = set()
    for method in _methods(client.__thrift_service__):
        other = served.get(method.name)
        if other is None:
            if there == OLD_TO_NEW:  # old servers do not have new functions
                found.add(there)
            continue
        # A client that waits for a server that sends nothing is all that ends with its timeout.
        stub = hasty if other.is_oneway and not method.is_oneway else patient
        outcomes = [None] if not other.has_result else samples(other.result, 1)
        outcomes += [each for field in other.throws for each in struct_samples(field.type.cls, 1)]
        arguments = [*_arguments(method)]
        most = max(len(arguments), len(outcomes)) if method.name in changed else FEW
        for index in range(most):
            given = arguments[index % len(arguments)]
            handler.outcome, handler.seen = outcomes[index % len(outcomes)], None
            found |= _call(stub, method, other, given, handler, rename, (there, answer))
    return found


def _arguments(method: Any) -> Iterator[dict[str, Any]]:
    of = {each.name: samples(each.type, 1) for each in method.arguments}
    needed = {each.name: of[each.name][0] for each in method.arguments if each.is_required}
    yield needed
    for name, values in of.items():
        yield from (needed | {name: value} for value in values)


def _call(
    stub: Any, method: Any, other: Any, given: dict[str, Any], handler: _Handler, rename: Mapping[str, str], flows: Any
) -> set[str]:
    there, answer = flows
    arguments = [given.get(each.name) for each in method.arguments]
    raised: BaseException | None = None
    result: Any = None
    try:
        result = getattr(stub, method.attribute)(*arguments)
    except (RpcError, DeclaredError) as error:
        raised = error
    seen = handler.seen
    if seen is None:
        return {there}
    found: set[str] = set()
    if not _same_arguments(method, other, given, seen):
        found.add(there)
    outcome = handler.outcome
    if isinstance(outcome, DeclaredError):
        name = type(outcome).__name__
        expected = {name} | {was for was, now in rename.items() if now == name}
        if type(raised).__name__ not in expected or not is_same(outcome, raised, str):
            found.add(answer)
    elif raised is not None or (method.has_result and not is_same(outcome, result, str)):
        found.add(answer)
    return found


def _same_arguments(method: Any, other: Any, given: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    names = {each.name for each in method.arguments}
    by_id = {each.id: each.name for each in other.arguments if each.name not in names}
    defaults = {each.name: value for each, value in zip(other.arguments, other.defaults, strict=True)}
    for argument in method.arguments:
        name = argument.name if argument.name in seen else by_id.get(argument.id)
        if name is None:
            continue
        value = given.get(argument.name)
        if value is None:
            if seen[name] is not None and seen[name] != defaults[name]:
                return False
        elif seen[name] is None or not is_same(value, seen[name], str):
            return False
    return True
