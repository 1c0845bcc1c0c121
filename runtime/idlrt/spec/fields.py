"""Fields of structs, arguments of methods, and declared exceptions (`throws`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from idlrt.spec.annotations import NO_ANNOTATIONS, Annotations, check_annotations
from idlrt.spec.types import Type

__all__ = ["NO_DEFAULT", "Argument", "Field", "argument", "optional", "required"]

T = TypeVar("T")

NO_DEFAULT: Final[Any] = msgspec.NODEFAULT
"""`Argument.default` without a default in the IDL."""


class Field(Generic[T]):
    """Description of a field.

    Attributes:
        id: field id on the wire, a signed 16-bit integer.
        name: name in the IDL.
        type: type of the values.
        is_required: whether a reader rejects messages without it, and a writer rejects `None`.
        attribute: name in Python, which differs from `name` if that is reserved (`from` → `from_`).
        annotations: annotations in the IDL, such as `http.path` or those of a program.
    """

    __slots__ = ("annotations", "attribute", "id", "is_required", "name", "type")

    def __init__(
        self,
        id: int,
        name: str,
        type: Type[T],
        *,
        is_required: bool,
        attribute: str | None = None,
        annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
    ) -> None:
        self.id = id
        self.name = name
        self.type = type
        self.is_required = is_required
        self.attribute = attribute if attribute is not None else name
        self.annotations: Annotations = check_annotations(annotations)

    def __repr__(self) -> str:
        kind = "required" if self.is_required else "optional"
        return f"<{self.id}: {kind} {self.type!r} {self.name}>"


class Argument(Field[T]):
    """An argument that the IDL does not mark `required`: it may be absent on the wire, in both directions.

    Attributes:
        default: value if the caller omits it: a value, a factory (values of Thrift types are never callable), or
            `NO_DEFAULT`, in which case the handler's signature decides (see `idlrt.core.signatures`).
    """

    __slots__ = ("default",)

    def __init__(
        self,
        id: int,
        name: str,
        type: Type[T],
        *,
        default: Any = NO_DEFAULT,
        attribute: str | None = None,
        annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
    ) -> None:
        super().__init__(id, name, type, is_required=False, attribute=attribute, annotations=annotations)
        self.default = default

    def __repr__(self) -> str:
        return f"<{self.id}: {self.type!r} {self.name}>"


def required(
    id: int,
    name: str,
    type: Type[T],
    *,
    attribute: str | None = None,
    annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
) -> Field[T]:
    """Describe a required field."""
    return Field(id, name, type, is_required=True, attribute=attribute, annotations=annotations)


def optional(
    id: int,
    name: str,
    type: Type[T],
    *,
    attribute: str | None = None,
    annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
) -> Field[Any]:
    """Describe an optional field: `None` is not written, and a reader sets an absent field to its default."""
    return Field(id, name, type, is_required=False, attribute=attribute, annotations=annotations)


def argument(
    id: int,
    name: str,
    type: Type[T],
    *,
    default: T = NO_DEFAULT,
    default_factory: Callable[[], T] | None = None,
    attribute: str | None = None,
    annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
) -> Argument[Any]:
    """Describe an argument that callers may omit: a reader accepts its absence, a writer does not write `None`.

    Args:
        default: immutable default in the IDL.
        default_factory: factory of a mutable default in the IDL: lists, maps, sets and structs.
    """
    chosen: Any = default if default_factory is None else default_factory
    return Argument(id, name, type, default=chosen, attribute=attribute, annotations=annotations)
