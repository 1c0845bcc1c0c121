"""Why there is nobody to call, in words."""

from __future__ import annotations

from typing import Any

from idlrt.client.endpoint_set import EndpointSet
from idlrt.core import Call, Freshness
from idlrt.errors import NoInstance, RegistryError
from idlrt.route import Pool, Step
from idlrt.route.chain import Chain, no_instance_reason

__all__ = ["no_instance", "no_snapshot"]


def no_instance(call: Call, name: str, endpoints: EndpointSet[Any], pool: Pool[Any], chain: Chain) -> NoInstance:
    """Nobody is left for `call`.

    Args:
        name: of the service.
        pool: those that can be called.
        chain: the rules.
    """
    what = f"{name} for {call.method.full_name}"
    snapshot, states = endpoints.snapshot, endpoints.states()
    if snapshot is None or not states:
        return NoInstance(f"no instance of {what}: none is registered; is the service running, in this group?")
    if pool.nodes:
        steps: list[Step] = []
        chain.route(call, pool, steps)
        return NoInstance(no_instance_reason(what, steps))
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    stale = "" if snapshot.freshness is Freshness.LIVE else f" ({snapshot.freshness.value})"
    return NoInstance(f"no instance of {what}: of {len(states)}{stale} none can be called: {counted}")


def no_snapshot(error: RegistryError, call: Call) -> NoInstance:
    """Nothing is known of the service yet."""
    return NoInstance(f"cannot call {call.method.full_name}: {error}")
