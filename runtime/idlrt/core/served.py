"""What a server serves: one service or several, by the names under which clients call their methods.

Thrift tells several services on one connection apart by *multiplexed* names, `Service:method`. Here every
method has such a name, and those of the service that was given first have their plain name too, so a client
that knows nothing of the others finds it.

Source: Apache Thrift's `TMultiplexedProcessor`
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from idlrt.core.handlers import Handler, Handlers
from idlrt.errors import ConfigurationError
from idlrt.spec import Method

__all__ = ["Served", "serve"]

_MOST_NAMES = 20
_LONGEST = 100


class Served(msgspec.Struct, frozen=True, eq=False):
    """Services, ready to be called. Made by `serve`.

    Attributes:
        services: in the order in which they were given.
        table: handlers by the names on the wire.
        methods: what they do the work of, by the same names.
    """

    services: tuple[Handlers, ...]
    table: Mapping[str, Handler]
    methods: Mapping[str, Method[..., object]]

    def __str__(self) -> str:
        return ", ".join(each.service.name for each in self.services)

    def missing(self, name: str) -> str:
        """Why nothing is called `name` here, and what is: the text of a refusal, brief however long `name` is."""
        names = [each.service.name for each in self.services]
        service, colon, plain = name.partition(":")
        if not colon:
            service, plain = names[0], name
        for each in self.services:
            if each.service.name == service:
                return (
                    f"there is no method {_brief(plain)} in {service} here; it has {_listed(plain, list(each.table))}"
                )
        return f"there is no service {_brief(service)} here; served: {_listed(service, names)}"


def serve(handlers: Handlers | Sequence[Handlers]) -> Served:
    """Put one or several services together.

    Raises:
        ConfigurationError: something else was given, nothing at all, or two services of one name.
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
            raise ConfigurationError(f"cannot serve two services called {name}: clients could not tell them apart")
        services.append(each)
        table.update({f"{name}:{method}": handler for method, handler in each.table.items()})
    if not services:
        raise ConfigurationError("there is no service to serve: the list is empty")
    table.update(services[0].table)
    return Served(tuple(services), table, {name: handler.method for name, handler in table.items()})


def _not_handlers(found: object) -> ConfigurationError:
    kind = found.__qualname__ if isinstance(found, type) else type(found).__qualname__
    return ConfigurationError(
        f"cannot serve {kind}: a server takes what a generated function such as user_service(handler) returns, "
        "or a list of that"
    )


def _brief(name: str) -> str:
    return repr(name if len(name) <= _LONGEST else name[:_LONGEST] + "...")


def _listed(wanted: str, names: list[str]) -> str:
    """Names for a message; of many the nearest ones."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(sorted(names)) or "none"
    near = difflib.get_close_matches(wanted[:_LONGEST], names, n=3)
    shown = near or sorted(names)[:_MOST_NAMES]
    return f"{', '.join(shown)} and {len(names) - len(shown)} more"
