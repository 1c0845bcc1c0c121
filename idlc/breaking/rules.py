"""Rules about incompatible changes: their stable names, and the categories that a finding may belong to.

Categories say who notices a change:

- `WIRE`: programs that exchange `binary` or `compact`, because a value is rejected, lost, or means something else;
- `JSON`: programs that exchange Thrift's JSON, readable JSON or JSON-RPC, where names count;
- `REST`: HTTP clients of functions with routes;
- `SOURCE`: code that uses the stubs, and IDL files that include the file.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["CATEGORIES", "RULES", "Category", "Rule", "rule"]

Category: TypeAlias = Literal["WIRE", "JSON", "REST", "SOURCE"]

CATEGORIES: Final[tuple[Category, ...]] = ("WIRE", "JSON", "REST", "SOURCE")


class Rule(msgspec.Struct, frozen=True):
    """A kind of incompatible change.

    Attributes:
        name: stable dotted name.
        categories: categories that its findings may belong to.
        doc: description of the change, a noun phrase.
    """

    name: str
    categories: tuple[Category, ...]
    doc: str


RULES: Final[dict[str, Rule]] = {}
"""All rules by name, in the order of the documentation."""


_SOURCE: Final[tuple[Category, ...]] = ("SOURCE",)
_REST: Final[tuple[Category, ...]] = ("REST",)
_VALUES: Final[tuple[Category, ...]] = ("WIRE", "JSON")
_NAMES: Final[tuple[Category, ...]] = ("JSON", "REST", "SOURCE")


def _add(name: str, categories: tuple[Category, ...], doc: str) -> None:
    RULES[f"breaking.{name}"] = Rule(f"breaking.{name}", categories, doc)


def rule(name: str) -> Rule:
    """Return a rule by its name without `breaking.`."""
    return RULES[f"breaking.{name}"]


_add("file.removed", CATEGORIES, "file removed; `WIRE` if it had services")
_add("file.moved", _SOURCE, "file moved or renamed: includes of it, and imports of its stubs if its name changed")
_add("namespace.changed", _SOURCE, "namespace changed; for `py`, also added")
_add("namespace.removed", _SOURCE, "namespace removed")

_add("type.removed", _SOURCE, "struct, union, exception, enum or typedef removed")
_add("type.renamed", _SOURCE, "type renamed")
_add("type.moved", _SOURCE, "type moved to another file")
_add("type.kind", CATEGORIES, "kind of a type changed: struct, union, exception, enum, typedef")
_add("typedef.type", CATEGORIES, "typedef of an incompatible type")
_add("typedef.type.compatible", _NAMES, "typedef of another type with the same encoding in `binary`")
_add("typedef.type.text", CATEGORIES, "typedef changed between `string` and `binary`")

for _subject in ("field", "argument"):
    _add(f"{_subject}.removed", CATEGORIES, f"{_subject} removed; `WIRE` if it was `required`")
    _add(f"{_subject}.renamed", _NAMES, f"{_subject} renamed; `py.name` keeps the name in Python")
    _add(f"{_subject}.id", _VALUES, f"id of a {_subject} changed")
    _add(f"{_subject}.reused", CATEGORIES, f"id of a removed {_subject} used for one of another type")
    _add(f"{_subject}.type", CATEGORIES, f"type of a {_subject} changed to an incompatible one")
    _add(
        f"{_subject}.type.compatible",
        _NAMES,
        f"type of a {_subject} changed to another with the same encoding in `binary`, such as `i32` to an enum",
    )
    _add(
        f"{_subject}.type.text",
        CATEGORIES,
        f"type of a {_subject} changed between `string` and `binary`: bytes that are not UTF-8 are no string",
    )
    _add(f"{_subject}.required.added", CATEGORIES, f"`required` {_subject} added")
    _add(f"{_subject}.required", CATEGORIES, f"{_subject} became `required`")
    _add(f"{_subject}.optional", _VALUES, f"{_subject} is no longer `required`")
    _add(
        f"{_subject}.default",
        _NAMES,
        f"default of a {_subject} changed, which absent values have; idlc writes defaults, so not `WIRE`",
    )
    if _subject == "argument":
        _add("argument.added", _SOURCE, "argument added that callers must pass: neither `optional` nor with a default")
        _add("argument.mandatory", _SOURCE, "argument is no longer `optional`, so callers must pass it")
        _add("argument.order", _SOURCE, "order of arguments changed, which callers may pass by position")
    else:
        _add("field.retired", _VALUES, "id of a field that was removed before the snapshot is used again")

_add("enum.member.removed", _NAMES, "enum member removed; its number is kept on the wire")
_add("enum.member.renamed", _NAMES, "enum member renamed")
_add("enum.member.value", _VALUES, "number of an enum member changed")

_add("service.removed", CATEGORIES, "service removed")
_add("service.renamed", (*_VALUES, "SOURCE"), "service renamed: registries and multiplexing use its name")
_add("service.moved", _SOURCE, "service moved to another file")
_add("service.extends", _SOURCE, "base of a service changed or removed")
_add("function.removed", CATEGORIES, "function removed, also from the base of a service")
_add("function.renamed", (*_VALUES, "SOURCE"), "function renamed")
_add("function.oneway", _VALUES, "`oneway` added or removed")
_add("result.type", CATEGORIES, "return type changed to an incompatible one")
_add("result.type.compatible", _NAMES, "return type with the same encoding in `binary`")
_add("result.type.text", CATEGORIES, "return type changed between `string` and `binary`")
_add("throws.added", _VALUES, "exception added to `throws`: old clients do not know it")
_add("throws.removed", _VALUES, "exception removed from `throws`: new clients do not know it")
_add("throws.id", _VALUES, "id of an exception in `throws` changed")
_add("throws.type", (*_VALUES, "SOURCE"), "exception in `throws` replaced by another")

_add("const.removed", _SOURCE, "constant removed")
_add("const.moved", _SOURCE, "constant moved to another file")
_add("const.type", _SOURCE, "type of a constant changed")
_add("const.value", _SOURCE, "value of a constant changed")

_add("http.route", _REST, "HTTP route removed or changed")
_add("http.status", _REST, "HTTP status changed")
_add("http.place", _REST, "place of a value in HTTP requests or responses changed")
_add("http.name", ("JSON", "REST"), "JSON key (`http.name`, `http.as_text`) changed")
_add("constraint", ("REST", "SOURCE"), "constraint (`vt.*`) added or made stricter")
