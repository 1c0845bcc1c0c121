"""Names that a package exports without importing them: lazy exports and deprecated aliases (PEP 562).

A package with either assigns its `__getattr__`. Type checkers must not see that, or they would accept any name of the
package; so it stands under `if not TYPE_CHECKING`, and the real imports under `if TYPE_CHECKING`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import import_module
from types import FrameType
from typing import Any, Final

__all__ = ["RENAMED", "deprecated_names", "lazy_exports", "warn_deprecated"]

RENAMED: Final[dict[str, dict[str, str]]] = {
    "idlrt.balance": {"Candidate": "Endpoint", "Chance": "ClockAndRandom"},
    "idlrt.core": {
        "Chance": "ClockAndRandom",
        "Endpoint": "CallNext",
        "GaveUp": "NotRetried",
        "Kept": "RetryScheduled",
        "Refused": "Rejected",
        "Replaced": "FallbackUsed",
        "tell": "notify",
    },
    "idlrt.fault": {"Reach": "Dispatcher", "Reachable": "Endpoint"},
    "idlrt.registry": {"Found": "ServiceData"},
    "idlrt.route": {"Following": "RouterBase", "Here": "CallerInfo", "Routable": "Endpoint"},
    "idlrt.server": {"ServerEndpoint": "ServerCallNext"},
    "idlrt.testing": {"ScriptedReach": "ScriptedDispatcher"},
}
"""Public names that were renamed: module → old name → new name. The old ones work for one version, with a warning."""


def lazy_exports(
    package: str, modules: Mapping[str, Iterable[str]], packages: Collection[str] = ()
) -> Callable[[str], Any]:
    """Return a `__getattr__` for `package` that imports modules when a name of theirs is first used.

    It also serves the deprecated names of `package`. Values are stored in the package, so each is looked up once.

    Args:
        package: `__name__` of the package.
        modules: the names that each module provides; a leading dot makes a module relative to the package.
        packages: names of modules in `package` that are attributes of it without being imported, as in
            `package.name.something`.
    """
    homes = {name: module for module, names in modules.items() for name in names}
    deprecated = deprecated_names(package)

    def __getattr__(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            return import_module(f"{package}.{name}") if name in packages else deprecated(name)
        value = getattr(import_module(home, package), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__


def deprecated_names(module: str, renamed: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """Return a `__getattr__` for `module` that serves old names with a `DeprecationWarning`.

    Args:
        module: `__name__` of the module.
        renamed: old name → new name; `RENAMED` has them by default.
    """

    def __getattr__(name: str) -> Any:
        new = (RENAMED.get(module, {}) if renamed is None else renamed).get(name)
        if new is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_deprecated(f"{module}.{name} was renamed to {new}")
        return getattr(sys.modules[module], new)

    return __getattr__


def warn_deprecated(message: str) -> None:
    """Issue a `DeprecationWarning` in the first frame outside of this package: its author can change the code."""
    package = __name__.partition(".")[0]
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    level = 2
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name != package and not name.startswith(f"{package}."):
            break
        frame, level = frame.f_back, level + 1
    warnings.warn(message, DeprecationWarning, stacklevel=level if frame is not None else 2)
