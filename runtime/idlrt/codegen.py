"""The interface of generated code: all of the runtime that stubs use. The rest may change between versions.

Generated modules import it as `rpc`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID as Uuid

from msgspec import field

from idlrt.client import AsyncClient, Client
from idlrt.core import Handlers, bind
from idlrt.exports import lazy_exports
from idlrt.spec import (
    BINARY,
    BOOL,
    DOUBLE,
    I8,
    I16,
    I32,
    I64,
    STRING,
    UUID,
    VOID,
    DeclaredError,
    Enum,
    FrozenMap,
    FrozenStruct,
    Service,
    Struct,
    Union,
    argument,
    enum,
    frozen_list_of,
    frozen_map_of,
    frozen_set_of,
    list_of,
    map_of,
    method,
    optional,
    required,
    service,
    set_of,
    struct,
)
from idlrt.version import __version__

T = TypeVar("T")

if sys.version_info >= (3, 13):
    from warnings import deprecated as _deprecated
else:
    from typing_extensions import deprecated as _deprecated

if TYPE_CHECKING:
    deprecated = _deprecated
else:

    def deprecated(message: str) -> Callable[[T], T]:
        """Mark as deprecated like `warnings.deprecated`, but allow subclasses without a warning.

        A stub that extends a deprecated service does so at import, which its user cannot avoid.
        """

        def mark(target: T) -> T:
            marked = _deprecated(message)(target)
            if isinstance(target, type) and "__init_subclass__" in vars(target):
                del target.__init_subclass__
            return marked

        return mark


__all__ = [
    "BINARY",
    "BOOL",
    "DOUBLE",
    "I8",
    "I16",
    "I32",
    "I64",
    "STRING",
    "UUID",
    "VOID",
    "AsyncClient",
    "Client",
    "DeclaredError",
    "Enum",
    "FrozenMap",
    "FrozenStruct",
    "Handlers",
    "Service",
    "Struct",
    "Union",
    "Uuid",
    "argument",
    "bind",
    "deprecated",
    "enum",
    "field",
    "frozen_list_of",
    "frozen_map_of",
    "frozen_set_of",
    "list_of",
    "map_of",
    "method",
    "optional",
    "reexport",
    "required",
    "requires",
    "service",
    "set_of",
    "struct",
]


def requires(version: str) -> None:
    """Check that this runtime supports the stubs that are being imported.

    Args:
        version: `major.minor` of the idlc that generated the stubs. A runtime supports stubs of the same major version
            and of the same or an earlier minor version.

    Raises:
        ImportError: the stubs are newer than the runtime, or of another major version.
    """
    wanted = tuple(int(part) for part in version.split("."))
    present = tuple(int(part) for part in __version__.split(".")[:2])
    if wanted[0] != present[0] or wanted > present:
        what = "upgrade the runtime: pip install -U idlc" if wanted > present else "compile the IDL again"
        raise ImportError(f"stubs of idlc {version} do not work with idlrt {__version__}; {what}")


def reexport(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package that exports the declarations of its modules.

    Modules are imported when one of their names is first used, so packages whose IDL files include each other do not
    cause import cycles.

    Args:
        modules: module name → the names that it declares.
    """
    names = {name for declared in modules.values() for name in declared}

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return lazy_exports(package, {f".{module}": declared for module, declared in modules.items()}), __dir__
