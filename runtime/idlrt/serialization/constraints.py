"""Constraints of arguments: the annotations `vt.*` of the IDL, compiled into one function for each method.

Fields of structs are checked wherever the structs are: in arguments, fields and containers. `vt.skip`, `vt.elem.skip`,
`vt.key.skip` and `vt.value.skip` exclude the structs there. (thrift-gen-validator does not check structs in containers
unless `vt.elem.skip = "false"`. A constraint that the IDL shows but that nothing checks is worse than one too many.)

Values that are not set (`None`) satisfy all constraints but `vt.not_nil`. docs/http.md has the list of constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.serialization._constraint_checks import Check, checks_of
from idlrt.serialization._constraint_rules import InvalidConstraint, Rules, flag, is_skipped, rules_of
from idlrt.serialization._conversion_errors import ConversionError, path_of, step_of_key
from idlrt.spec import Field, ListType, MapType, Method, SetType, StructType, Type, annotations_of

__all__ = ["MAX_VIOLATIONS", "ConstraintViolation", "constraints_of"]

MAX_VIOLATIONS: Final = 50
"""Number of violations after which checking stops, so that hostile arguments do not grow errors without bound."""

_Found: TypeAlias = list[ConversionError]

_Run: TypeAlias = Callable[[Any, _Found], None]
"""Checks a value that is not `None`, and appends its violations."""

_KEY: Final = "constraints"


class ConstraintViolation(RemoteProtocolError):
    """Arguments violate constraints of the IDL.

    Attributes:
        violations: for each violation the path of the value, in names of the IDL (`user.tags[3]`), and what is wrong
            with it. At most `MAX_VIOLATIONS`.
    """

    def __init__(self, root: str, violations: Sequence[tuple[str, str]], *, is_complete: bool = True) -> None:
        texts = [f"{path}: {text}" for path, text in violations]
        super().__init__(f"{root}: {'; '.join(texts if is_complete else [*texts, 'and more'])}")
        self.violations = tuple(violations)


class _Member(NamedTuple):
    """A field or argument with constraints."""

    attribute: str
    step: str
    is_not_nil: bool
    run: _Run | None


def constraints_of(method: Method[..., Any]) -> Callable[[tuple[Any, ...]], None] | None:
    """Return the function that checks the arguments of a method, which are in the order of the IDL; cached.

    The function raises `ConstraintViolation` with all violations. `None`: the method has no constraints.

    Raises:
        ConfigurationError: a constraint is invalid; the message has the method, the field and the constraint.
    """
    if _KEY in method.codecs:
        found: Callable[[tuple[Any, ...]], None] | None = method.codecs[_KEY]
        return found
    made: Callable[[tuple[Any, ...]], None] | None = method.codecs.setdefault(_KEY, _compiled(method))
    return made


def _compiled(method: Method[..., Any]) -> Callable[[tuple[Any, ...]], None] | None:
    compiler = _Compiler()
    try:
        arguments = [
            (place, member)
            for place, field in enumerate(method.arguments)
            if (member := compiler.member(field, f"argument `{field.name}`", is_shown=True)) is not None
        ]
    except InvalidConstraint as error:
        what = f"invalid constraint {error} ({compiler.where})"
        raise ConfigurationError(f"cannot check the arguments of {method.full_name}: {what}") from None
    if not arguments:
        return None
    root = f"invalid arguments of {method.full_name}"

    def check(values: tuple[Any, ...]) -> None:
        violations: list[tuple[str, str]] = []
        for place, member in arguments:
            found: _Found = []
            _check_member(member, values[place], found)
            violations += [(path_of(error, member.step), error.what) for error in found]
            if len(violations) > MAX_VIOLATIONS:
                raise ConstraintViolation(root, violations[:MAX_VIOLATIONS], is_complete=False)
        if violations:
            raise ConstraintViolation(root, violations)

    return check


def _check_member(member: _Member, value: Any, found: _Found) -> None:
    if value is None:
        if member.is_not_nil:
            found.append(ConversionError("must be set"))
    elif member.run is not None:
        member.run(value, found)


def _locate(found: _Found, start: int, step: str | int) -> None:
    """Add a step to the paths of the violations from an index on."""
    for error in found[start:]:
        error.at(step)


class _StructRun:
    """Checks the fields of structs of one class. Recursive types refer to it before it has its members."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        self.members: list[_Member] = []

    def __call__(self, value: Any, found: _Found) -> None:
        for member in self.members:
            before = len(found)
            _check_member(member, getattr(value, member.attribute), found)
            if len(found) > before:
                _locate(found, before, f".{member.step}")
                if before > MAX_VIOLATIONS:
                    return


class _Compiler:
    """Compiles the constraints of one method.

    Attributes:
        where: the field or argument that is being compiled, for error messages.
    """

    def __init__(self) -> None:
        self.where = ""
        self._structs: dict[tuple[Any, bool], _StructRun] = {}
        self._constrained: dict[Any, bool] = {}

    def member(self, field: Field[Any], where: str, *, is_shown: bool) -> _Member | None:
        """Return the constraints of a field or argument; `None` if it has none.

        Args:
            is_shown: whether error messages may show its value.
        """
        self.where = where
        rules = rules_of(field.annotations)
        is_not_nil = flag(rules, "not_nil")
        is_shown = is_shown and "sensitive" not in field.annotations
        run = self._run(field.type, rules, is_shown=is_shown, skips=False)
        return _Member(field.attribute, field.name, is_not_nil, run) if run is not None or is_not_nil else None

    def _run(self, type: Type[Any], rules: Rules, *, is_shown: bool, skips: bool) -> _Run | None:
        skips = is_skipped(rules, outer=skips)
        own = _run_checks(checks_of(type, rules), is_shown=is_shown)
        if isinstance(type, ListType | SetType):
            _check_parts(type, rules, "elem")
            each = self._run(type.element, rules.part("elem"), is_shown=is_shown, skips=skips)
            return _both(own, None if each is None else _run_elements(each))
        if isinstance(type, MapType):
            _check_parts(type, rules, "key", "value")
            key = self._run(type.key, rules.part("key"), is_shown=is_shown, skips=skips)
            value = self._run(type.value, rules.part("value"), is_shown=is_shown, skips=skips)
            return _both(own, None if key is None and value is None else _run_entries(key, value, is_shown=is_shown))
        _check_parts(type, rules)
        if isinstance(type, StructType):
            return None if skips or not self._is_constrained(type.cls) else self._struct(type.cls, is_shown=is_shown)
        return own

    def _struct(self, cls: Any, *, is_shown: bool) -> _Run:
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

    def _is_constrained(self, cls: Any) -> bool:
        """Whether structs of a class, or structs inside, have constraints."""
        found = self._constrained.get(cls)
        if found is None:
            found = self._constrained[cls] = _reaches_constraints(cls, set())
        return found


def _reaches_constraints(cls: Any, seen: set[Any]) -> bool:
    seen.add(cls)
    if any(name.startswith("vt.") for name in annotations_of(cls)):
        return True
    return any(
        _has_constraints(rules := rules_of(field.annotations)) or _any_struct(field.type, rules, seen, skips=False)
        for field in cls.__thrift_fields__
    )


def _has_constraints(rules: Rules) -> bool:
    return any(name != "skip" for name in rules.own) or any(map(_has_constraints, rules.parts.values()))


def _any_struct(type: Type[Any], rules: Rules, seen: set[Any], *, skips: bool) -> bool:
    """Whether a value may contain structs with constraints."""
    skips = is_skipped(rules, outer=skips)
    if isinstance(type, ListType | SetType):
        return _any_struct(type.element, rules.part("elem"), seen, skips=skips)
    if isinstance(type, MapType):
        parts = ((type.key, "key"), (type.value, "value"))
        return any(_any_struct(each, rules.part(name), seen, skips=skips) for each, name in parts)
    if isinstance(type, StructType) and not skips and type.cls not in seen:
        return _reaches_constraints(type.cls, seen)
    return False


def _check_parts(type: Type[Any], rules: Rules, *known: str) -> None:
    for name, part in rules.parts.items():
        if name not in known:
            [first, *_] = part.own or part.parts
            raise InvalidConstraint(part.prefix + first, part.own.get(first, ("",))[0], f"{type!r} has no {name!r}")


def _run_checks(checks: list[Check], *, is_shown: bool) -> _Run | None:
    if not checks:
        return None

    def run(value: Any, found: _Found) -> None:
        before = len(found)
        for check in checks:
            if check.is_costly and len(found) > before:
                return
            if not check.is_valid(value):
                found.append(ConversionError(f"{check.text}, got {check.measure(value)}" if is_shown else check.text))

    return run


def _both(first: _Run | None, second: _Run | None) -> _Run | None:
    if first is None or second is None:
        return first or second

    def run(value: Any, found: _Found) -> None:
        first(value, found)
        second(value, found)

    return run


def _run_elements(each: _Run) -> _Run:
    def run(value: Any, found: _Found) -> None:
        for index, item in enumerate(value):
            before = len(found)
            each(item, found)
            if len(found) > before:
                _locate(found, before, index)
                if before > MAX_VIOLATIONS:
                    return

    return run


def _run_entries(check_key: _Run | None, check_value: _Run | None, *, is_shown: bool) -> _Run:
    def run(value: Any, found: _Found) -> None:
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
