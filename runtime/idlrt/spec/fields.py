"""One field of a struct, one argument of a method, one line of its `throws`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from idlrt.spec.types import Type

__all__ = ["NO_DEFAULT", "Argument", "Field", "argument", "optional", "required"]

T = TypeVar("T")

NO_DEFAULT: Final[Any] = msgspec.NODEFAULT
"""`Argument.default` where the IDL declares none."""


class Field(Generic[T]):
    """A field.

    Attributes:
        id: its number on the wire, a signed 16-bit integer.
        name: its name in the IDL.
        type: its type.
        is_required: a reader refuses a message without it, a writer refuses `None`.
        attribute: its name in Python, which differs from `name` where that is taken (`from` → `from_`).
    """

    __slots__ = ("attribute", "id", "is_required", "name", "type")

    def __init__(self, id: int, name: str, type: Type[T], *, is_required: bool, attribute: str | None = None) -> None:
        self.id = id
        self.name = name
        self.type = type
        self.is_required = is_required
        self.attribute = attribute if attribute is not None else name

    def __repr__(self) -> str:
        kind = "required" if self.is_required else "optional"
        return f"<{self.id}: {kind} {self.type!r} {self.name}>"


class Argument(Field[T]):
    """An argument that the IDL does not mark `required`: it may be absent on the wire, in both directions.

    Attributes:
        default: its value when a caller leaves it out: a value, a function that makes one (values of Thrift types are
            never callable), or `NO_DEFAULT`; then the server's handler decides (see `idlrt.core.signatures`).
    """

    __slots__ = ("default",)

    def __init__(
        self, id: int, name: str, type: Type[T], *, default: Any = NO_DEFAULT, attribute: str | None = None
    ) -> None:
        super().__init__(id, name, type, is_required=False, attribute=attribute)
        self.default = default

    def __repr__(self) -> str:
        return f"<{self.id}: {self.type!r} {self.name}>"


def required(id: int, name: str, type: Type[T], *, attribute: str | None = None) -> Field[T]:
    """A field that must be there."""
    return Field(id, name, type, is_required=True, attribute=attribute)


def optional(id: int, name: str, type: Type[T], *, attribute: str | None = None) -> Field[Any]:
    """A field that is not written when it is `None`; where a reader does not find it, it has its default."""
    return Field(id, name, type, is_required=False, attribute=attribute)


def argument(
    id: int,
    name: str,
    type: Type[T],
    *,
    default: T = NO_DEFAULT,
    default_factory: Callable[[], T] | None = None,
    attribute: str | None = None,
) -> Argument[Any]:
    """An argument that a caller may leave out: a reader accepts a call without it, a writer does not write `None`.

    Args:
        default: the IDL's default, which every call may share.
        default_factory: makes the IDL's default for each call that needs it: lists, maps, sets and structs.
    """
    chosen: Any = default if default_factory is None else default_factory
    return Argument(id, name, type, default=chosen, attribute=attribute)
