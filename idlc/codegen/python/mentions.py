"""Which declarations a type is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from idlc.model import UNKNOWN, BaseType, Enum, ListType, MapType, Reference, SetType, Struct, Type, Typedef

__all__ = ["is_known", "mentioned", "typedefs_within"]


def mentioned(*types: Type) -> Iterator[Typedef | Enum | Struct]:
    """The declarations that annotations of `types` may mention, each typedef once."""
    pending, seen = list(reversed(types)), set[int]()
    while pending:
        type = pending.pop()
        match type:
            case Reference(target=Typedef() as typedef):
                if id(typedef) not in seen:
                    seen.add(id(typedef))
                    yield typedef
                    pending.append(typedef.type)
            case Reference(target=target):
                yield target
            case _:
                pending += reversed(_parts(type))


def typedefs_within(type: Type) -> Iterator[Typedef]:
    """The typedefs that a type is made of, not those that they are made of in turn."""
    pending: list[Type] = [type]
    while pending:
        type = pending.pop()
        if isinstance(type, Reference):
            if isinstance(type.target, Typedef):
                yield type.target
        else:
            pending += reversed(_parts(type))


def _parts(type: Type) -> Sequence[Type]:
    """Return the types of the elements of a container."""
    match type:
        case ListType(element=element) | SetType(element=element):
            return (element,)
        case MapType(key=key, value=value):
            return (key, value)
        case _:
            return ()


def is_known(type: Type | None, unknown: AbstractSet[int]) -> bool:
    """Whether everything in a type was found. An included file may refer to files that are not there.

    Args:
        unknown: identities of the typedefs that are not known themselves.
    """
    if type is None or isinstance(type, BaseType):  # most are
        return type != UNKNOWN
    pending: list[Type] = [type]
    while pending:
        type = pending.pop()
        if type == UNKNOWN:
            return False
        if isinstance(type, Reference) and id(type.target) in unknown:
            return False
        pending += _parts(type)
    return True
