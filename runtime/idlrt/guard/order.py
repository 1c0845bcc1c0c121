"""Order of guards, a topological sort of what their classes declare.

A call passes the outermost guard first. A guard class has two optional class variables with names of guards:

    before: ClassVar[tuple[str, ...]] = ("limiter",)  # a call passes this guard first, then the limiter
    after: ClassVar[tuple[str, ...]] = ("shedder",)  # a call passes the shedder first, then this guard

A guard is placed as far inside as `before` allows: directly before the first of the guards that it names, or, if it
names none, after all built-in guards. Guards with the same place are sorted by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.guard.base import GUARDS
from idlrt.plugins import UnknownPlugin

__all__ = ["check_place", "ordered"]

_BUILT_IN: Final = "idlrt.guard."

Find = Callable[[str], Any]
"""Function that returns the class of a guard by its name."""


def ordered(guards: Iterable[str], find: Find = GUARDS.get) -> list[str]:
    """Return names of guards, the outermost first.

    Args:
        guards: names.
        find: returns the class of a guard.

    Raises:
        ConfigurationError: a class names a guard that does not exist, or the order is circular.
    """
    wanted = list(guards)
    return _sorted(wanted, find) if len(wanted) > 1 else wanted


def check_place(guard: str, find: Find = GUARDS.get) -> None:
    """Check the place that a guard declares.

    Raises:
        ConfigurationError: as `ordered`.
    """
    if not _is_built_in(find(guard)):
        _sorted([guard], find)


def _sorted(wanted: list[str], find: Find) -> list[str]:
    classes = _classes(wanted, find)
    inner: dict[str, set[str]] = {name: set() for name in classes}
    for name, guard in classes.items():
        inner[name].update(_names(name, guard, "before"))
        for outer in _names(name, guard, "after"):
            inner[outer].add(name)
    # From the innermost outwards. Among several candidates plugins are placed first, so as far inside as possible.
    found: list[str] = []
    while inner:
        free = [name for name, names in inner.items() if not names & inner.keys()]
        if not free:
            raise _circle(inner)
        name = max(free, key=lambda name: (not _is_built_in(classes[name]), name))
        del inner[name]
        found.append(name)
    return [name for name in reversed(found) if name in wanted]


def _classes(wanted: Iterable[str], find: Find) -> dict[str, Any]:
    """Return the classes of `wanted` and of all guards that they name, directly or indirectly."""
    found: dict[str, Any] = {}
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in found:
            guard = found[name] = find(name)
            for which in ("before", "after"):
                for other in _names(name, guard, which):
                    try:
                        find(other)
                    except UnknownPlugin as error:
                        raise ConfigurationError(f"cannot order guards: {name}.{which}: {error}") from None
                    waiting.append(other)
    return found


def _names(name: str, guard: Any, which: str) -> tuple[str, ...]:
    names: Any = getattr(guard, which, ())
    try:
        return msgspec.convert(names, tuple[str, ...])
    except msgspec.ValidationError:
        why = f"{name}.{which} must be a tuple of names of guards, got {names!r}"
        raise ConfigurationError(f"cannot order guards: {why}") from None


def _is_built_in(guard: Any) -> bool:
    return str(getattr(guard, "__module__", "")).startswith(_BUILT_IN)


def _circle(inner: Mapping[str, set[str]]) -> ConfigurationError:
    """Build the error for a circular order."""
    path = [min(inner)]
    while True:
        following = min(inner[path[-1]] & inner.keys())
        if following in path:
            break
        path.append(following)
    circle = [*path[path.index(following) :], following]
    what = " is before ".join(repr(name) for name in circle[:2])
    what += "".join(f", which is before {name!r}" for name in circle[2:])
    return ConfigurationError(f"cannot order guards: {what}; change `before` or `after` of one of their classes")
