"""Constraints of arguments: the annotations `vt.*` of the IDL, compiled into one function for each method.

Values that are not set (`None`) satisfy all constraints but `vt.not_nil`. docs/http.md has the list of constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.serialization._constraint_compiler import MAX_VIOLATIONS, Compiler, Found, check_member
from idlrt.serialization._constraint_rules import InvalidConstraint
from idlrt.serialization._conversion_errors import path_of
from idlrt.spec import Method

__all__ = ["MAX_VIOLATIONS", "ConstraintViolation", "constraints_of"]

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


def constraints_of(
    method: Method[..., Any], *, checks_elements: bool = True
) -> Callable[[tuple[Any, ...]], None] | None:
    """Return the function that checks the arguments of a method, which are in the order of the IDL; cached.

    The function raises `ConstraintViolation` with all violations. `None`: the method has no constraints.

    Args:
        checks_elements: whether structs in containers are checked, too, unless the IDL excludes them.

    Raises:
        ConfigurationError: a constraint is invalid; the message has the method, the field and the constraint.
    """
    key = (_KEY, checks_elements)
    if key in method.codecs:
        found: Callable[[tuple[Any, ...]], None] | None = method.codecs[key]
        return found
    compiled = _compiled(method, checks_elements)
    made: Callable[[tuple[Any, ...]], None] | None = method.codecs.setdefault(key, compiled)
    return made


def _compiled(method: Method[..., Any], checks_elements: bool) -> Callable[[tuple[Any, ...]], None] | None:
    compiler = Compiler(checks_elements=checks_elements)
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
            found: Found = []
            check_member(member, values[place], found)
            violations += [(path_of(error, member.step), error.what) for error in found]
            if len(violations) > MAX_VIOLATIONS:
                raise ConstraintViolation(root, violations[:MAX_VIOLATIONS], is_complete=False)
        if violations:
            raise ConstraintViolation(root, violations)

    return check
