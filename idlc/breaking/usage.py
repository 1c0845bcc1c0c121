"""Use of types: who writes and who reads their values, and whether HTTP requests or responses contain them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from idlc.breaking.pairing import Index
from idlc.breaking.snapshot import Field, Function, Struct, Type, Typedef, parse_type
from idlc.breaking.wire import Flows

__all__ = ["ANYWHERE", "REQUEST", "RESPONSE", "Usage", "find_usage", "has_routes", "rejects"]


class Usage(msgspec.Struct, frozen=True):
    """Where values of a type occur.

    Attributes:
        is_request: in arguments.
        is_response: in results or exceptions.
        is_rest: of a function with HTTP routes.
    """

    is_request: bool = False
    is_response: bool = False
    is_rest: bool = False

    def __or__(self, other: Usage) -> Usage:
        """Return the use of a type that occurs in both places."""
        return Usage(
            self.is_request or other.is_request, self.is_response or other.is_response, self.is_rest or other.is_rest
        )


ANYWHERE: Final = Usage()
REQUEST: Final = Usage(is_request=True)
RESPONSE: Final = Usage(is_response=True)


def has_routes(function: Function) -> bool:
    """Return whether HTTP clients can call a function by a route."""
    return any(name.startswith("http.") and name != "http.status" for name in function.annotations)


def find_usage(index: Index) -> dict[str, Usage]:
    """Return the use of each declared type that functions mention, directly or through other types."""
    found: dict[str, Usage] = {}
    for service in index.services.values():
        for function in service.functions:
            is_rest = has_routes(function)
            request, response = Usage(is_request=True, is_rest=is_rest), Usage(is_response=True, is_rest=is_rest)
            _mark(_types(function.arguments), request, index, found)
            _mark(_types(function.throws), response, index, found)
            if function.result is not None:
                _mark([parse_type(function.result)], response, index, found)
    return found


def _types(fields: Iterable[Field]) -> list[Type]:
    return [parse_type(field.type) for field in fields]


def _mark(types: list[Type], usage: Usage, index: Index, found: dict[str, Usage]) -> None:
    pending = list(types)
    while pending:
        type = pending.pop()
        pending += type.parameters
        if not type.is_declared:
            continue
        known = found.get(type.name)
        if known is not None and known | usage == known:
            continue
        found[type.name] = usage if known is None else known | usage
        match index.types.get(type.name):
            case Struct(fields=fields):
                pending += _types(fields)
            case Typedef(type=text):
                pending.append(parse_type(text))
            case _:
                pass


def rejects(flows: Flows, usage: Usage, verb: str = "reject") -> str:
    """Return who rejects what from whom: `new servers reject requests from old clients`."""
    if usage.is_request == usage.is_response:
        writers, readers, what = "writers", "readers", "values"
    elif usage.is_request:
        writers, readers, what = "clients", "servers", "requests"
    else:
        writers, readers, what = "servers", "clients", "responses"
    if len(flows) > 1:
        return f"old and new programs {verb} each other's {what}"
    old, new = ("old", "new") if "old to new" in flows else ("new", "old")
    return f"{new} {readers} {verb} {what} from {old} {writers}"
