"""The method table of a server: one or several services, by the wire names of their methods.

Thrift distinguishes several services on one connection by *multiplexed* names, `Service:method`. Every method has such
a name here, and the methods of the first service have their plain name as well, for clients that do not multiplex.

Source: Apache Thrift's `TMultiplexedProcessor`
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from idlrt.core.handlers import Handler, Handlers
from idlrt.errors import ConfigurationError
from idlrt.spec import VOID, Method

__all__ = ["Served", "serve"]

_MAX_LISTED = 20
_MAX_LENGTH = 100


class Served(msgspec.Struct, frozen=True, eq=False):
    """Services with their handlers. Constructed by `serve`.

    Attributes:
        services: the services in the given order.
        table: handlers by wire name.
        methods: methods by wire name, without those whose arguments cannot be serialized: pages, which only HTTP has.
    """

    services: tuple[Handlers, ...]
    table: Mapping[str, Handler]
    methods: Mapping[str, Method[..., object]]

    def __str__(self) -> str:
        return ", ".join(each.service.name for each in self.services)

    def missing(self, name: str) -> str:
        """Return the error message for an unknown wire name, with the known names; short even if `name` is long."""
        names = [each.service.name for each in self.services]
        service, colon, plain = name.partition(":")
        if not colon:
            service, plain = names[0], name
        for each in self.services:
            if each.service.name == service:
                return f"unknown method {_brief(plain)} of {service} (known: {_listed(plain, list(each.table))})"
        return f"unknown service {_brief(service)} (known: {_listed(service, names)})"


def serve(handlers: Handlers | Sequence[Handlers]) -> Served:
    """Combine one or several services.

    Raises:
        ConfigurationError: `handlers` is of another type or empty, or two services have the same name.
    """
    given: object = [handlers] if isinstance(handlers, Handlers) else handlers
    if not isinstance(given, list | tuple):
        raise _not_handlers(given)
    services: list[Handlers] = []
    table: dict[str, Handler] = {}
    for each in cast("Sequence[object]", given):
        if not isinstance(each, Handlers):
            raise _not_handlers(each)
        name = each.service.name
        if any(name == other.service.name for other in services):
            raise ConfigurationError(f"cannot serve two services named {name}: clients could not distinguish them")
        services.append(each)
        table.update({f"{name}:{method}": handler for method, handler in each.table.items()})
    if not services:
        raise ConfigurationError("cannot serve an empty list of services")
    table.update(services[0].table)
    methods = {name: handler.method for name, handler in table.items() if _is_serialized(handler.method)}
    return Served(tuple(services), table, methods)


def _is_serialized(method: Method[..., object]) -> bool:
    return not any(each.type is VOID for each in method.arguments)


def _not_handlers(found: object) -> ConfigurationError:
    kind = found.__qualname__ if isinstance(found, type) else type(found).__qualname__
    return ConfigurationError(
        f"cannot serve {kind}: expected the result of a generated function such as user_service(handler), or a list "
        "of these"
    )


def _brief(name: str) -> str:
    return repr(name if len(name) <= _MAX_LENGTH else name[:_MAX_LENGTH] + "...")


def _listed(wanted: str, names: list[str]) -> str:
    """Return names for a message; the most similar ones if there are many."""
    if len(names) <= _MAX_LISTED:
        return ", ".join(sorted(names)) or "none"
    near = difflib.get_close_matches(wanted[:_MAX_LENGTH], names, n=3)
    shown = near or sorted(names)[:_MAX_LISTED]
    return f"{', '.join(shown)} and {len(names) - len(shown)} more"
