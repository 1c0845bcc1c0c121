"""Values that are not shown: fields and arguments with the annotation `(sensitive)`.

They are `***` in the text of objects, calls and errors. Data is as it is: equality, messages, JSON and pickles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Final

from idlrt.spec.annotations import SENSITIVE

if TYPE_CHECKING:
    from idlrt.spec.fields import Field

__all__ = ["MASK", "is_sensitive", "mask_fields", "sensitive_attributes", "shown_values"]

MASK: Final = "***"


def is_sensitive(field: Field[Any]) -> bool:
    """Whether the values of a field or argument must not be shown."""
    return SENSITIVE in field.annotations


def sensitive_attributes(fields: Iterable[Field[Any]]) -> frozenset[str]:
    """Return the names in Python of the fields whose values must not be shown."""
    return frozenset(field.attribute for field in fields if is_sensitive(field))


def shown_values(fields: Sequence[Field[Any]], values: Iterable[Any]) -> str:
    """Return the text of values of fields, as in the `repr` of a tuple; of the values after the last field, too."""
    texts = [
        MASK if place < len(fields) and is_sensitive(fields[place]) and value is not None else repr(value)
        for place, value in enumerate(values)
    ]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def mask_fields(cls: Any) -> None:
    """Replace the `repr` of a class with sensitive fields, and what the library `rich` prints of it.

    Classes without such fields keep the `repr` of their base, which is written in C.
    """
    hidden = sensitive_attributes(cls.__thrift_fields__)
    if not hidden:
        return

    def shown(self: Any) -> Iterator[tuple[str, Any]]:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            yield name, _Masked() if name in hidden and value is not None else value

    @recursive_repr("...")
    def __repr__(self: Any) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown(self))})"

    cls.__repr__ = __repr__
    cls.__rich_repr__ = shown


class _Masked:
    """Stands for a value that is not shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK
