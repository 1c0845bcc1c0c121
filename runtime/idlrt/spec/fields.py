"""One field of a struct, one argument of a method, one line of its `throws`."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from idlrt.spec.types import Type

__all__ = ["Field", "optional", "required"]

T = TypeVar("T")


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


def required(id: int, name: str, type: Type[T], *, attribute: str | None = None) -> Field[T]:
    """A field that must be there."""
    return Field(id, name, type, is_required=True, attribute=attribute)


def optional(id: int, name: str, type: Type[T], *, attribute: str | None = None) -> Field[Any]:
    """A field that is not written when it is `None`; where a reader does not find it, it has its default."""
    return Field(id, name, type, is_required=False, attribute=attribute)
