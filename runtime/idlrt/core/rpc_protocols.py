"""RPC protocols of an instance, with the serializations that it accepts in each.

    {"thrift": ("binary", "compact", "json"), "jsonrpc": ("json",)}

Both are in the server's order of preference. The list comes from registries, so its size is bounded, and names cannot
contain the separators of its text form.
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
"""Listed by instances of registries that have no protocol information (DNS, static addresses): the client chooses."""

_MAX_NAMES: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+-]{0,63}")
# Maximum length of a value in a message.
_MAX_SHOWN: Final = 80


def check_rpc_protocols(given: object) -> RpcProtocols:
    """Return the RPC protocols of an instance, with serializations as tuples.

    Args:
        given: a mapping of names to lists or tuples of names; it may be empty.

    Raises:
        ConfigurationError: it has another type, or too many entries.
    """
    if given == {}:
        return {}  # fast path: many instances list none
    if not isinstance(given, Mapping):
        raise _invalid(f"expected a mapping of names to serializations, got {_shown(given)}")
    listed = cast("Mapping[object, object]", given)
    if len(listed) > _MAX_NAMES:
        raise _invalid(f"expected at most {_MAX_NAMES} protocols, got {len(listed)}")
    return {_name("an RPC protocol", name): _serializations(name, known) for name, known in listed.items()}


def format_rpc_protocols(listed: RpcProtocols) -> str:
    """Return RPC protocols in human-readable form: `thrift=binary,compact jsonrpc=json`."""
    return " ".join(f"{name}={','.join(serializations)}" for name, serializations in listed.items())


def _serializations(protocol: object, given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple):
        raise _invalid(f"expected a list of serializations for {protocol!r}, got {_shown(given)}")
    names = cast("list[object] | tuple[object, ...]", given)
    if not 0 < len(names) <= _MAX_NAMES:
        raise _invalid(f"expected 1 to {_MAX_NAMES} serializations for {protocol!r}, got {len(names)}")
    return tuple(_name("a serialization", each) for each in names)


def _name(what: str, given: object) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        allowed = "1 to 64 letters, digits and _ . : / + -, beginning with a letter, a digit or _"
        raise _invalid(f"invalid name of {what}: {_shown(given)}; use {allowed}")
    return given


def _invalid(why: str) -> ConfigurationError:
    return ConfigurationError(f"invalid RPC protocols of an instance: {why}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
