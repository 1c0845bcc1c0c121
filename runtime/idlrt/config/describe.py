"""Description of all keys, for `idlrt config keys`: names, types, bounds, defaults and descriptions.

Everything is derived from the settings structs of the tables; the description of a key is the `description` of its
field's `msgspec.Meta`. Plugins may leave descriptions out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec.inspect import Field, Metadata, StructType

from idlrt.config.schema import CALL, SERVICE, Section, fields, sections

__all__ = ["Key", "describe", "table"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a configuration.

    Attributes:
        name: dotted.
        type: allowed values, in words.
        default: as JSON; empty if there is none.
        about: description; empty if a plugin has none.
        kind: what the key belongs to: calls, services, or a kind of plugin.
        is_per_method: whether single methods may have values of their own.
    """

    name: str
    type: str
    default: str
    about: str
    kind: str
    is_per_method: bool


def describe() -> list[Key]:
    """Return all keys, including those of plugins."""
    return [key for section in sections() for key in _keys(section)]


def _keys(section: Section) -> Iterator[Key]:
    info = msgspec.inspect.type_info(section.settings)
    assert isinstance(info, StructType)
    found = {field.name: field for field in info.fields}
    prefix = "" if section.name in (CALL, SERVICE) else f"{section.name}."
    for name in fields(section):
        field = found[name]
        yield Key(
            name=prefix + name,
            type=_type_text(field.type),
            default=_default(field),
            about=_metadata(field.type, "extra_json_schema").get("description", ""),
            kind=section.kind,
            is_per_method=section.is_per_method,
        )


_NAMES: Final = {
    "FloatType": "number",
    "IntType": "whole number",
    "BoolType": "true or false",
    "StrType": "text",
    "NoneType": "nothing",
    "AnyType": "anything",
}
_BOUNDS: Final = (("ge", "from"), ("gt", "more than"), ("le", "to"), ("lt", "less than"))


def _metadata(type: Any, name: str) -> dict[str, Any]:
    """Return what `msgspec.Meta` adds to a type: `extra_json_schema` or `extra`."""
    found: object = getattr(type, name) if isinstance(type, Metadata) else None
    return cast("dict[str, Any]", found or {})


def _type_text(type: Any) -> str:
    if isinstance(type, Metadata):
        own: str | None = _metadata(type, "extra").get("type")
        return own if own is not None else _type_text(type.type)
    if isinstance(type, msgspec.inspect.UnionType):
        return " or ".join(_type_text(each) for each in type.types)
    if isinstance(type, msgspec.inspect.LiteralType):
        return " or ".join(repr(value) for value in type.values)
    if isinstance(type, msgspec.inspect.ListType | msgspec.inspect.VarTupleType | msgspec.inspect.SetType):
        return f"list of {_type_text(type.item_type)}"
    if isinstance(type, msgspec.inspect.DictType):
        return f"table of {_type_text(type.value_type)}"
    name: str = type.__class__.__name__
    text: str = _NAMES.get(name, name.removesuffix("Type").lower())
    bounds = [f"{word} {value:g}" for key, word in _BOUNDS if (value := getattr(type, key, None)) is not None]
    return " ".join([text, *bounds])


def _default(field: Field) -> str:
    if field.default is not msgspec.NODEFAULT:
        value: Any = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return ""
    return "" if value is None else msgspec.json.encode(value).decode()


def table(rows: Sequence[Key]) -> str:
    """Return keys as a table in Markdown."""
    lines: list[str] = ["| key | type | default | description |", "|---|---|---|---|"]
    lines += [
        f"| `{key.name}` | {key.type} | {f'`{key.default}`' if key.default else ''} | {key.about} |" for key in rows
    ]
    return "\n".join(lines) + "\n"
