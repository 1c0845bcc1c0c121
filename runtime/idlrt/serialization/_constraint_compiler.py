"""Constraints of values, compiled into functions: one for each struct, with the fields that have some.

Fields of structs are checked wherever the structs are: in arguments, fields and containers. `vt.skip`, `vt.elem.skip`,
`vt.key.skip` and `vt.value.skip` exclude the structs there. (thrift-gen-validator does not check structs in containers
unless `vt.elem.skip = "false"`. A constraint that the IDL shows but that nothing checks is worse than one too many.
`Compiler(checks_elements=False)` does as that tool.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from idlrt.serialization._constraint_checks import Check, checks_of
from idlrt.serialization._constraint_rules import InvalidConstraint, Rules, flag, is_skipped, rules_of
from idlrt.serialization._conversion_errors import ConversionError, step_of_key
from idlrt.spec import MASK, Field, ListType, MapType, SetType, StructType, Type, annotations_of, is_sensitive

__all__ = ["MAX_VIOLATIONS", "Compiler", "Found", "Member", "Run", "Violated", "check_member"]

MAX_VIOLATIONS: Final = 50
"""Number of violations after which checking stops, so that hostile arguments do not grow errors without bound."""


class Violated(ConversionError):
    """A value that violates a constraint.

    Attributes:
        constraint: name of the annotation: `vt.elem.gt`.
        limit: its value in the IDL, `a, b` of several; empty for flags.
        value: the value; `***` if it is sensitive.
    """

    def __init__(self, what: str, *, constraint: str, limit: str = "", value: Any = None) -> None:
        super().__init__(what)
        self.constraint = constraint
        self.limit = limit
        self.value = value


Found: TypeAlias = list[Violated]

Run: TypeAlias = Callable[[Any, Found], None]
"""Checks a value that is not `None`, and appends its violations."""


class Member(NamedTuple):
    """A field or argument with constraints."""

    attribute: str
    step: str
    is_not_nil: bool
    run: Run | None


def check_member(member: Member, value: Any, found: Found) -> None:
    """Check the value of a field or argument, and append its violations."""
    if value is None:
        if member.is_not_nil:
            found.append(Violated("must be set", constraint="vt.not_nil"))
    elif member.run is not None:
        member.run(value, found)


def _locate(found: Found, start: int, step: str | int) -> None:
    """Add a step to the paths of the violations from an index on."""
    for error in found[start:]:
        error.at(step)


class _StructRun:
    """Checks the fields of structs of one class. Recursive types refer to it before it has its members."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        self.members: list[Member] = []

    def __call__(self, value: Any, found: Found) -> None:
        for member in self.members:
            before = len(found)
            check_member(member, getattr(value, member.attribute), found)
            if len(found) > before:
                _locate(found, before, f".{member.step}")
                if before > MAX_VIOLATIONS:
                    return


class Compiler:
    """Compiles the constraints of one method or class.

    Args:
        checks_elements: whether structs in containers are checked unless the IDL excludes them (`vt.elem.skip`). Those
            of CloudWeGo's tools are not, unless the IDL includes them (`vt.elem.skip = "false"`).

    Attributes:
        where: the field or argument that is being compiled, for error messages.
    """

    def __init__(self, *, checks_elements: bool = True) -> None:
        self.where = ""
        self._checks_elements = checks_elements
        self._structs: dict[tuple[Any, bool], _StructRun] = {}
        self._constrained: dict[Any, bool] = {}

    def member(self, field: Field[Any], where: str, *, is_shown: bool) -> Member | None:
        """Return the constraints of a field or argument; `None` if it has none.

        Args:
            is_shown: whether error messages may show its value.
        """
        self.where = where
        rules = rules_of(field.annotations)
        is_not_nil = flag(rules, "not_nil")
        is_shown = is_shown and not is_sensitive(field)
        run = self._run(field.type, rules, is_shown=is_shown, skips=False)
        return Member(field.attribute, field.name, is_not_nil, run) if run is not None or is_not_nil else None

    def _run(self, type: Type[Any], rules: Rules, *, is_shown: bool, skips: bool) -> Run | None:
        skips = is_skipped(rules, outer=skips)
        own = _run_checks(checks_of(type, rules), is_shown=is_shown)
        skips_parts = skips or not self._checks_elements
        if isinstance(type, ListType | SetType):
            _check_parts(type, rules, "elem")
            each = self._run(type.element, rules.part("elem"), is_shown=is_shown, skips=skips_parts)
            return _both(own, None if each is None else _run_elements(each))
        if isinstance(type, MapType):
            _check_parts(type, rules, "key", "value")
            key = self._run(type.key, rules.part("key"), is_shown=is_shown, skips=skips_parts)
            value = self._run(type.value, rules.part("value"), is_shown=is_shown, skips=skips_parts)
            return _both(own, None if key is None and value is None else _run_entries(key, value, is_shown=is_shown))
        _check_parts(type, rules)
        if isinstance(type, StructType):
            return None if skips or not self.is_constrained(type.cls) else self.struct(type.cls, is_shown=is_shown)
        return own

    def struct(self, cls: Any, *, is_shown: bool) -> Run:
        """Return the function that checks structs of a class."""
        known = self._structs.get((cls, is_shown))
        if known is not None:
            return known
        run = self._structs[cls, is_shown] = _StructRun()
        where = self.where
        self.where = cls.__name__
        for name, values in annotations_of(cls).items():
            if name.startswith("vt."):
                raise InvalidConstraint(name, values[0] if values else "", "not supported for whole structs")
        for field in cls.__thrift_fields__:
            member = self.member(field, f"field `{cls.__name__}.{field.name}`", is_shown=is_shown)
            if member is not None:
                run.members.append(member)
        self.where = where
        return run

    def is_constrained(self, cls: Any) -> bool:
        """Whether structs of a class, or structs inside, have constraints."""
        found = self._constrained.get(cls)
        if found is None:
            found = self._constrained[cls] = self._reaches_constraints(cls, set())
        return found

    def _reaches_constraints(self, cls: Any, seen: set[Any]) -> bool:
        seen.add(cls)
        if any(name.startswith("vt.") for name in annotations_of(cls)):
            return True
        return any(
            _has_constraints(rules := rules_of(field.annotations))
            or self._any_struct(field.type, rules, seen, skips=False)
            for field in cls.__thrift_fields__
        )

    def _any_struct(self, type: Type[Any], rules: Rules, seen: set[Any], *, skips: bool) -> bool:
        """Whether a value may contain structs with constraints."""
        skips = is_skipped(rules, outer=skips)
        skips_parts = skips or not self._checks_elements
        if isinstance(type, ListType | SetType):
            return self._any_struct(type.element, rules.part("elem"), seen, skips=skips_parts)
        if isinstance(type, MapType):
            parts = ((type.key, "key"), (type.value, "value"))
            return any(self._any_struct(each, rules.part(name), seen, skips=skips_parts) for each, name in parts)
        if isinstance(type, StructType) and not skips and type.cls not in seen:
            return self._reaches_constraints(type.cls, seen)
        return False


def _has_constraints(rules: Rules) -> bool:
    return any(name != "skip" for name in rules.own) or any(map(_has_constraints, rules.parts.values()))


def _check_parts(type: Type[Any], rules: Rules, *known: str) -> None:
    for name, part in rules.parts.items():
        if name not in known:
            [first, *_] = part.own or part.parts
            raise InvalidConstraint(part.prefix + first, part.own.get(first, ("",))[0], f"{type!r} has no {name!r}")


def _run_checks(checks: list[Check], *, is_shown: bool) -> Run | None:
    if not checks:
        return None

    def run(value: Any, found: Found) -> None:
        before = len(found)
        for check in checks:
            if check.is_costly and len(found) > before:
                return
            if not check.is_valid(value):
                text = f"{check.text}, got {check.measure(value)}" if is_shown else check.text
                shown = value if is_shown else MASK
                found.append(Violated(text, constraint=check.name, limit=check.limit, value=shown))

    return run


def _both(first: Run | None, second: Run | None) -> Run | None:
    if first is None or second is None:
        return first or second

    def run(value: Any, found: Found) -> None:
        first(value, found)
        second(value, found)

    return run


def _run_elements(each: Run) -> Run:
    def run(value: Any, found: Found) -> None:
        for index, item in enumerate(value):
            before = len(found)
            each(item, found)
            if len(found) > before:
                _locate(found, before, index)
                if before > MAX_VIOLATIONS:
                    return

    return run


def _run_entries(check_key: Run | None, check_value: Run | None, *, is_shown: bool) -> Run:
    def run(value: Any, found: Found) -> None:
        for key, item in value.items():
            before = len(found)
            step = step_of_key(key) if is_shown else "[...]"
            if check_key is not None:
                check_key(key, found)
                _locate(found, before, f"[key {step[1:-1]}]")
            after = len(found)
            if check_value is not None:
                check_value(item, found)
                _locate(found, after, step)
            if before > MAX_VIOLATIONS:
                return

    return run
