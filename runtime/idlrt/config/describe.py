"""Description of all keys, for `idlrt config keys`: names, types, units, ranges, defaults and descriptions.

Everything is derived from the settings structs of the tables; the description of a key is the `description` of its
field's `msgspec.Meta`. Plugins may leave descriptions out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec.inspect import Field

from idlrt.config.schema import CALL, SERVICE, Section, fields, section, sections, subtables
from idlrt.config.types import description, fields_of, type_text
from idlrt.core.renamed import first_key

__all__ = ["Key", "describe", "table"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a configuration.

    Attributes:
        name: dotted.
        type: type, unit and range, as text.
        default: as JSON; empty if there is none.
        about: description; empty if a plugin has none.
        kind: what the key configures: calls, services, or a kind of plugin.
        is_per_method: whether methods may have their own values.
        old_name: name in version 0.1, deprecated; empty if it was the same.
    """

    name: str
    type: str
    default: str
    about: str
    kind: str
    is_per_method: bool
    old_name: str = ""

    @property
    def summary(self) -> str:
        """Type, unit, range and default."""
        return f"{self.type}, default {self.default}" if self.default else self.type


def describe() -> list[Key]:
    """Return all keys, including those of plugins."""
    return [key for about in sections() for key in _keys(about)]


def _keys(about: Section) -> Iterator[Key]:
    found = fields_of(about.settings)
    kind = _kind(about)
    prefix = "" if about.name in (CALL, SERVICE) else f"{about.name}."
    for each in fields(about):
        field, name = found[each], prefix + each
        old = first_key(name)
        yield Key(
            name=name,
            type=type_text(field.type),
            default=_default(field),
            about=description(field),
            kind=kind,
            is_per_method=about.is_per_method,
            old_name=old if old != name else "",
        )


def _kind(about: Section) -> str:
    for name in (CALL, SERVICE):
        if about.name in subtables(name) and (top := section(name)) is not None:
            return description(fields_of(top.settings)[about.name])
    return about.kind


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
    lines: list[str] = ["| key | type, unit, range | default | description |", "|---|---|---|---|"]
    lines += [
        f"| `{key.name}` | {key.type} | {f'`{key.default}`' if key.default else ''} | {key.about} |" for key in rows
    ]
    return "\n".join(lines) + "\n"
