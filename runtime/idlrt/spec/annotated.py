"""Access to the annotations of everything that stubs describe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from idlrt.spec.annotations import NO_ANNOTATIONS, Annotations, check_annotations
from idlrt.spec.fields import Field
from idlrt.spec.methods import Method, Service
from idlrt.spec.structs import Enum

__all__ = ["annotations_of"]


def annotations_of(target: object, member: str = "") -> Annotations:
    """Return the annotations of a declaration in the IDL: name → values; the value of a flag is `""`.

    They are read-only, and empty for what has none. Annotations for other languages (`go.tag`), for generated names
    (`py.name`) and call settings (`rpc.timeout`) are left out; HTTP annotations and constraints have their current
    names (`http.get` for `api.get`).

    Args:
        target: a generated class of a struct, union, exception or enum, or an instance of it; a client class, for its
            service; or a `Method`, `Service` or `Field`.
        member: a field, a member of the enum, a method of the service, or an argument of the method, by its name in
            Python or in the IDL. The annotations of `target` itself by default.

    Raises:
        TypeError: `target` is none of these.
        LookupError: it has no such member.
    """
    found: Any = target
    service: Any = getattr(found, "__thrift_service__", found)
    if isinstance(service, Service):
        return service.annotations if not member else _member(found, service.methods.values(), member)
    if isinstance(found, Method):
        return found.annotations if not member else _member(target, found.arguments, member)
    if isinstance(found, Field) and not member:
        given: Annotations = found.annotations
        return given
    return _of_class(target, member)


def _of_class(target: Any, member: str) -> Annotations:
    """Return the annotations of a struct or enum, given by its class or an instance."""
    cls: Any = target if isinstance(target, type) else type(target)
    if hasattr(cls, "__thrift_fields__"):
        return (
            check_annotations(cls.__thrift_annotations__) if not member else _member(cls, cls.__thrift_fields__, member)
        )
    if not hasattr(cls, "__thrift_member_annotations__"):
        raise TypeError(f"{target!r} has no annotations: expected a generated class, a method, a service or a field")
    if isinstance(target, Enum) and not member:
        return _of_enum_member(cls, target.name) if target.is_known else NO_ANNOTATIONS
    return check_annotations(cls.__thrift_annotations__) if not member else _of_enum_member(cls, member)


def _member(owner: object, members: Iterable[Field[Any] | Method[..., Any]], name: str) -> Annotations:
    found = [*members]
    for each in found:
        if name in (each.attribute, each.name):
            return each.annotations
    raise _unknown(owner, name, [each.attribute for each in found])


def _of_enum_member(cls: Any, name: str) -> Annotations:
    names: Mapping[str, str] = cls.__thrift_members__
    attribute = name if name in cls.__members__ else next((key for key, each in names.items() if each == name), "")
    if not attribute:
        raise _unknown(cls, name, [*cls.__members__])
    return check_annotations(cls.__thrift_member_annotations__.get(attribute, NO_ANNOTATIONS))


def _unknown(owner: object, name: str, known: list[str]) -> LookupError:
    shown = owner.__name__ if isinstance(owner, type) else repr(owner)
    return LookupError(f"{shown} has no member {name!r} (known: {', '.join(known) or 'none'})")
