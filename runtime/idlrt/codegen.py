"""Everything that generated code may use, and all of it: the rest of the runtime may move.

Generated modules import this one as `rpc`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID as Uuid

from msgspec import field

from idlrt.client import AsyncClient, Client
from idlrt.core import Handlers, bind
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
        """`warnings.deprecated`, except that a class may be extended without a warning.

        A stub that extends a deprecated service does so when it is imported, which is not its user's doing.
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
    """Refuse to import stubs that this runtime cannot carry.

    Args:
        version: `major.minor` of the idlc that made the stubs. A runtime carries the stubs of its own major
            version, of its own or an earlier minor one.

    Raises:
        ImportError: the stubs are newer than the runtime, or of another major version.
    """
    wanted = tuple(int(part) for part in version.split("."))
    present = tuple(int(part) for part in __version__.split(".")[:2])
    if wanted[0] != present[0] or wanted > present:
        what = "upgrade it with `pip install -U idlc`" if wanted > present else "compile the IDL again"
        raise ImportError(f"these stubs were made by idlc {version} and the runtime is idlrt {__version__}: {what}")


def reexport(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that offers what its modules declare.

    Modules are imported when a name of theirs is first used, so packages whose files include each other do
    not go round in circles at import.

    Args:
        modules: module name → the names it declares.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{home}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return __getattr__, __dir__
