"""Base of exceptions that an IDL declares: Python exceptions with typed, keyword-only fields.

`msgspec.Struct` cannot be combined with `Exception`, so a metaclass turns the annotated fields of the class body into
slots, and `DeclaredError` implements the constructor, equality, text and pickling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, dataclass_transform

import msgspec

from idlrt.errors import RpcError
from idlrt.spec.annotations import NO_ANNOTATIONS
from idlrt.spec.frozen import value_hash
from idlrt.spec.sensitive import MASK, sensitive_attributes
from idlrt.spec.unknown import UNKNOWN, set_unknown, unknown_of

if TYPE_CHECKING:
    from idlrt.spec.fields import Field

__all__ = ["DeclaredError"]

_REQUIRED: Any = msgspec.NODEFAULT


class _DeclaredErrorType(type):
    """Metaclass that turns annotated fields into slots, with their defaults in `__declared_defaults__`."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _DeclaredErrorType:
        if "__thrift_fields__" not in namespace:  # a hand-written subclass: it has the fields of its base
            namespace.setdefault("__slots__", ())
            return super().__new__(mcs, name, bases, namespace)
        table: tuple[Field[Any], ...] = namespace["__thrift_fields__"]
        # The table is in wire order; the annotations are in the order of the IDL.
        attributes = {field.attribute for field in table}
        names = [key for key in namespace.get("__annotations__", {}) if key in attributes]
        namespace["__declared_defaults__"] = {key: namespace.pop(key, _REQUIRED) for key in names}
        namespace["__sensitive__"] = sensitive_attributes(table)
        namespace["__slots__"] = (*namespace.get("__slots__", ()), *names)
        return super().__new__(mcs, name, bases, namespace)


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class DeclaredError(RpcError, metaclass=_DeclaredErrorType):
    """Base of generated exceptions. They are regular responses of the server, so they are never retried."""

    __thrift_fields__: ClassVar[tuple[Field[Any], ...]] = ()
    __thrift_name__: ClassVar[str] = ""
    __thrift_annotations__: ClassVar[Mapping[str, str | tuple[str, ...]]] = NO_ANNOTATIONS
    __declared_defaults__: ClassVar[dict[str, Any]] = {}
    __sensitive__: ClassVar[frozenset[str]] = frozenset()
    if not TYPE_CHECKING:
        __slots__ = (UNKNOWN,)

    if not TYPE_CHECKING:  # type checkers synthesize the constructor from the fields

        def __init__(self, **values: Any) -> None:
            Exception.__init__(self)
            for name, default in self.__declared_defaults__.items():
                if name in values:
                    setattr(self, name, values.pop(name))
                elif default is _REQUIRED:
                    raise TypeError(f"{type(self).__name__}: missing field {name!r}")
                else:
                    setattr(self, name, _default(default))
            if values:
                _reject(type(self), values)

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__declared_defaults__}

    def _shown(self) -> dict[str, str]:
        hidden = self.__sensitive__
        return {
            name: MASK if name in hidden and value is not None else repr(value)
            for name, value in self._values().items()
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={text}' for name, text in self._shown().items())})"

    def __str__(self) -> str:
        values = self._values()
        return ", ".join(f"{name}={text}" for name, text in self._shown().items() if values[name] is not None)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *[value_hash(value) for value in self._values().values()]))

    def __reduce__(self) -> tuple[Any, ...]:
        encoded = unknown_of(self)
        return _rebuild, (type(self), self._values()) if encoded is None else (type(self), self._values(), encoded)


def _default(default: Any) -> Any:
    """Return the default of a field: a fresh one if it has a factory."""
    if type(default) is not type(msgspec.field()):
        return default
    if default.default_factory is not msgspec.NODEFAULT:
        return default.default_factory()
    return default.default


def _rebuild(cls: type[DeclaredError], values: dict[str, Any], encoded: bytes | None = None) -> DeclaredError:
    made = cls(**values)
    if encoded is not None:
        set_unknown(made, encoded)
    return made


def _reject(cls: type[DeclaredError], values: dict[str, Any]) -> NoReturn:
    noun = "field" if len(values) == 1 else "fields"
    known = ", ".join(cls.__declared_defaults__) or "none"
    raise TypeError(f"{cls.__name__}: unknown {noun} {', '.join(map(repr, values))} (fields: {known})")
