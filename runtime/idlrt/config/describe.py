"""What can be said, for people: each key with its type, its default and what it is for, from the types themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from idlrt.config.schema import CALL, SERVICE, Section, fields, sections

__all__ = ["Key", "attributes", "describe", "table"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a configuration.

    Attributes:
        name: dotted.
        type: what it may be.
        default: what holds if nobody says anything; as JSON.
        about: what it is for.
        kind: what it belongs to.
        is_per_method: whether it may be said of one method.
    """

    name: str
    type: str
    default: str
    about: str
    kind: str
    is_per_method: bool


def describe() -> list[Key]:
    """All keys, those of plugins too."""
    return [key for section in sections() for key in _keys(section)]


def _keys(section: Section) -> list[Key]:
    about = attributes(section.settings)
    info = msgspec.inspect.type_info(section.settings)
    assert isinstance(info, msgspec.inspect.StructType)
    types = {field.name: _type_text(field.type) for field in info.fields}
    defaults = {field.name: _default(field) for field in info.fields}
    prefix = "" if section.name in (CALL, SERVICE) else f"{section.name}."
    return [
        Key(
            name=prefix + name,
            type=types[name],
            default=defaults[name],
            about=about.get(name, ""),
            kind=section.kind,
            is_per_method=section.is_per_method,
        )
        for name in fields(section)
    ]


_ATTRIBUTE: Final = re.compile(r"    (\w+): (.*)")


def attributes(type: type) -> dict[str, str]:
    """What a docstring says of its class' attributes, those of its bases included."""
    found: dict[str, str] = {}
    for each in reversed(type.__mro__[:-1]):
        _, _, listed = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        name = ""
        for line in listed.splitlines():
            match = _ATTRIBUTE.fullmatch(line)
            if match is not None:
                name = match[1]
                found[name] = match[2]
            elif name and line.startswith("        "):
                found[name] += " " + line.strip()
            elif line.strip():
                break
    return found


_NAMES: Final = {
    "FloatType": "number",
    "IntType": "whole number",
    "BoolType": "true or false",
    "StrType": "text",
    "NoneType": "nothing",
    "AnyType": "anything",
}
_BOUNDS: Final = (("ge", "from"), ("gt", "more than"), ("le", "to"), ("lt", "less than"))


def _type_text(type: Any) -> str:
    if isinstance(type, msgspec.inspect.Metadata):
        schema: dict[str, Any] = cast("Any", type).extra_json_schema or {}
        what: str = schema.get("description", "")
        # The bounds of clocks are of interest to error messages only.
        return what if what.startswith("seconds") else _type_text(type.type)
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


def _default(field: msgspec.inspect.Field) -> str:
    if field.default is not msgspec.NODEFAULT:
        value: Any = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return ""
    return "" if value is None else msgspec.json.encode(value).decode()


def table(rows: Sequence[Key]) -> str:
    """Keys as a table in Markdown."""
    lines: list[str] = ["| key | type | default | what it is for |", "|---|---|---|---|"]
    lines += [
        f"| `{key.name}` | {key.type} | {f'`{key.default}`' if key.default else ''} | {key.about} |" for key in rows
    ]
    return "\n".join(lines) + "\n"
