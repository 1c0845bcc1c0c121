"""Negotiation of RPC protocol and serialization: the client's first preference that an instance lists, too.

The client decides, because only it knows what its calls need (to carry explicit metadata, for example) and drops the
protocols without it from its preferences. The order of the instance's list has no effect.

An instance that lists nothing was registered by version 0.1 or by another framework. It speaks Thrift, and its
serializations are unknown: the client's preferred one is used, as version 0.1 does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from idlrt.core import ANY_PROTOCOL, THRIFT, Instance, RpcProtocols, format_rpc_protocols
from idlrt.errors import ConfigurationError

__all__ = ["ProtocolChoice", "no_common_protocol", "select_protocol"]

ProtocolChoice = tuple[str, str]
"""The names of an RPC protocol and of a serialization that it carries."""

# Characters of a list in an error; a registry may hold long ones.
_SHOWN: Final = 200


def select_protocol(listed: RpcProtocols, preferred: Sequence[ProtocolChoice]) -> ProtocolChoice | None:
    """Return the first of a client's preferences that an instance supports; `None` if there is none.

    Args:
        listed: the instance's `rpc_protocols`; empty means Thrift with any serialization, `ANY_PROTOCOL` any protocol.
        preferred: what the client supports, in its order of preference.
    """
    if listed == ANY_PROTOCOL:
        return preferred[0] if preferred else None
    if not listed:
        return next((each for each in preferred if each[0] == THRIFT), None)
    return next((each for each in preferred if each[1] in listed.get(each[0], ())), None)


def no_common_protocol(instance: Instance, preferred: Sequence[ProtocolChoice]) -> ConfigurationError:
    """Build the error for an instance that supports none of the client's protocols.

    It is a `ConfigurationError`, not a `NoInstance`, because it concerns one instance, and retrying does not help. A
    client ignores this instance and calls the others; if there is none, its `NoInstance` quotes this error.

    Args:
        preferred: what the client supports, in its order of preference.
    """
    able: dict[str, tuple[str, ...]] = {}
    for protocol, serialization in preferred:
        able[protocol] = (*able.get(protocol, ()), serialization)
    spoken = _shown(instance.rpc_protocols) if instance.rpc_protocols else f"{THRIFT} (it lists no RPC protocols)"
    return ConfigurationError(
        f"cannot call instance {instance.id!r} of {instance.key} at {instance.address}: the instance supports "
        f"{spoken}, the client {_shown(able) or 'none of them for this call'}; choose a protocol and a serialization "
        "that both support, or update the older of the two"
    )


def _shown(listed: RpcProtocols) -> str:
    text = format_rpc_protocols(listed)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
