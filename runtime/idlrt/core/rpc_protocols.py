"""The RPC protocols that a server speaks, with the serializations that it reads in each: what an instance lists.

    {"thrift": ("binary", "compact", "json"), "jsonrpc": ("json",)}

Both are in the server's order of preference. The list comes from registries, so it is bounded, and its names cannot be
taken for the separators of the places where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from idlrt.errors import ConfigurationError

__all__ = ["ANY_PROTOCOL", "THRIFT", "RpcProtocols", "check_rpc_protocols", "format_rpc_protocols"]

RpcProtocols = Mapping[str, tuple[str, ...]]
"""Serializations by the name of the RPC protocol, the preferred one first."""

THRIFT: Final = "thrift"
"""Protocol of an instance that lists no RPC protocols: `Instance.protocols` holds its Thrift framings."""

_ANY: Final = "any"
ANY_PROTOCOL: Final[RpcProtocols] = {_ANY: (_ANY,)}
"""Listed by instances of registries that cannot know it (DNS, lists of addresses): the client chooses."""

_MOST: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+-]{0,63}")
# Characters of a value in a message.
_SHOWN: Final = 80


def check_rpc_protocols(given: object) -> RpcProtocols:
    """Return the RPC protocols of an instance, with serializations as tuples.

    Args:
        given: a mapping of names to lists or tuples of names; it may be empty.

    Raises:
        ConfigurationError: it is something else, or too long.
    """
    if given == {}:
        return {}  # quick, because programs without a list may be many
    if not isinstance(given, Mapping):
        raise _wrong(f"they must be a mapping of names to serializations, got {_shown(given)}")
    listed = cast("Mapping[object, object]", given)
    if len(listed) > _MOST:
        raise _wrong(f"there are {len(listed)}; list at most {_MOST}")
    return {_name("an RPC protocol", name): _serializations(name, known) for name, known in listed.items()}


def format_rpc_protocols(listed: RpcProtocols) -> str:
    """Return RPC protocols as people read them: `thrift=binary,compact jsonrpc=json`."""
    return " ".join(f"{name}={','.join(serializations)}" for name, serializations in listed.items())


def _serializations(protocol: object, given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple):
        raise _wrong(f"{protocol!r} must have a list of serializations, got {_shown(given)}")
    names = cast("list[object] | tuple[object, ...]", given)
    if not 0 < len(names) <= _MOST:
        raise _wrong(f"{protocol!r} has {len(names)} serializations; list between 1 and {_MOST}")
    return tuple(_name("a serialization", each) for each in names)


def _name(what: str, given: object) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        allowed = "1 to 64 letters, digits and _ . : / + -, beginning with a letter, a digit or _"
        raise _wrong(f"{_shown(given)} is not the name of {what}; use {allowed}")
    return given


def _wrong(why: str) -> ConfigurationError:
    return ConfigurationError(f"cannot list the RPC protocols of an instance: {why}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
