"""Health of the registrations of a server."""

from __future__ import annotations

from typing import Final

from idlrt.registry import RegistrationState
from idlrt.server.registration import ServiceRegistrar

__all__ = ["registration_failure"]

_UNKNOWN: Final = frozenset({RegistrationState.PENDING, RegistrationState.LOST, RegistrationState.REGISTERED})


def registration_failure(registrar: ServiceRegistrar) -> str:
    """Return why clients cannot find the server in the registry; empty if they can.

    While the registry is unreachable, clients keep the last known instances, so a server that has been registered stays
    healthy: otherwise an outage of the registry would take all servers out of service.
    """
    registrations, registry = registrar.registrations, registrar.registry
    if not registrations or registry is None:
        return "not registered yet"
    is_reachable = registry.is_connected and registry.last_error is None
    for each in registrations:
        state = each.state
        if state is RegistrationState.REGISTERED:
            continue
        if each.was_registered and not is_reachable and state in _UNKNOWN:
            continue
        error = each.error or registry.last_error
        name = each.instance.service
        return f"{name} is {state}: {error}" if error is not None else f"{name} is {state}"
    return ""
