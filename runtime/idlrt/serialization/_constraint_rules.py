"""Constraints of one value, as the IDL has them: annotations `vt.*` by the part of the value that they apply to.

Source of the names and of their meaning: https://github.com/cloudwego/thrift-gen-validator
"""

from __future__ import annotations

from typing import Final

import msgspec

from idlrt.spec import Annotations

__all__ = ["NO_RULES", "InvalidConstraint", "Rules", "flag", "is_skipped", "rules_of"]

_PREFIX: Final = "vt."


class InvalidConstraint(Exception):
    """A constraint that cannot be checked.

    Attributes:
        name: name of the annotation.
        value: its value.
        what: what is wrong with it.
    """

    def __init__(self, name: str, value: str, what: str) -> None:
        super().__init__(f"{name} = {value!r}: {what}")
        self.name = name
        self.value = value
        self.what = what


class Rules(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Constraints of a value and of its parts.

    Attributes:
        prefix: how the names of the annotations start: `vt.`, `vt.elem.`, `vt.value.elem.`.
        own: values of the annotations of the value itself, by the rest of the name (`max_size`).
        parts: constraints of its elements (`elem`), keys (`key`) and values (`value`).
    """

    prefix: str
    own: dict[str, tuple[str, ...]]
    parts: dict[str, Rules]

    def part(self, name: str) -> Rules:
        """Return the constraints of a part; none if it has none."""
        return self.parts.get(name, NO_RULES)


NO_RULES: Final = Rules(prefix=_PREFIX, own={}, parts={})


def rules_of(annotations: Annotations) -> Rules:
    """Return the constraints of a field or argument."""
    found = {name.removeprefix(_PREFIX): values for name, values in annotations.items() if name.startswith(_PREFIX)}
    return _tree(found, _PREFIX) if found else NO_RULES


def _tree(found: dict[str, tuple[str, ...]], prefix: str) -> Rules:
    own: dict[str, tuple[str, ...]] = {}
    parts: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, values in found.items():
        head, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(head, {})[rest] = values
        else:
            own[name] = values
    return Rules(prefix=prefix, own=own, parts={head: _tree(rest, f"{prefix}{head}.") for head, rest in parts.items()})


def flag(rules: Rules, name: str, *, default: bool = False) -> bool:
    """Return the value of a constraint that is switched on (`true` or no value) or off (`false`).

    Raises:
        InvalidConstraint: it has another value.
    """
    found = default
    for value in rules.own.get(name, ()):
        if value not in ("", "true", "false"):
            raise InvalidConstraint(rules.prefix + name, value, "expected true or false")
        found = value != "false"
    return found


def is_skipped(rules: Rules, *, outer: bool) -> bool:
    """Return whether structs in a value are not checked: `skip`, which also applies to the parts of the value.

    Args:
        outer: whether that of the enclosing value applies.
    """
    return flag(rules, "skip", default=outer)
