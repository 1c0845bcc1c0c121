"""Conversion between `Record` and `Correction` of the IDL, and `Instance` and `Patch` of the runtime."""

from __future__ import annotations

from typing import Final

from idlrt.core import Instance, Patch, RpcProtocols, Status
from idlrt.embedded.api import Correction, Record, RpcProtocol, State
from idlrt.errors import ConfigurationError, RegistryRefused

__all__ = ["correction_of", "instance_of", "patch_of", "record_of"]

_STATES: Final = {Status.UP: State.UP, Status.DRAINING: State.DRAINING, Status.DISABLED: State.DISABLED}
_STATUSES: Final = {state: status for status, state in _STATES.items()}
_DEFAULTS: Final = Instance(service="usual", host="usual", port=1)


def record_of(instance: Instance) -> Record:
    """Convert an instance to a record; default values are omitted."""
    return Record(
        service=instance.service,
        group=instance.group,
        id=instance.id,
        host=instance.host,
        port=instance.port,
        protocols=list(instance.protocols) if instance.protocols != _DEFAULTS.protocols else None,
        version=instance.version or None,
        weight=instance.weight if instance.weight != _DEFAULTS.weight else None,
        zone=instance.zone or None,
        tags=dict(instance.tags) or None,
        timeout=instance.timeout,
        retries=instance.retries,
        routing=dict(instance.routing) or None,
        started_at=instance.started_at or None,
        state=_STATES[instance.status] if instance.status is not Status.UP else None,
        metadata=dict(instance.metadata) or None,
        rpc_protocols=[
            RpcProtocol(name=name, serializations=list(serializations))
            for name, serializations in instance.rpc_protocols.items()
        ]
        or None,
    )


def instance_of(record: Record) -> Instance:
    """Convert a record to an instance.

    Raises:
        RegistryRefused: the record is invalid.
    """
    try:
        return Instance(
            service=record.service,
            group=record.group,
            id=record.id,
            host=record.host,
            port=record.port,
            protocols=tuple(record.protocols) if record.protocols is not None else _DEFAULTS.protocols,
            version=record.version or "",
            weight=record.weight if record.weight is not None else _DEFAULTS.weight,
            zone=record.zone or "",
            tags=record.tags or {},
            timeout=record.timeout,
            retries=record.retries,
            routing=record.routing or {},
            started_at=record.started_at or 0.0,
            status=_STATUSES.get(record.state, Status.DISABLED) if record.state is not None else Status.UP,
            metadata=record.metadata or {},
            rpc_protocols=_rpc_protocols_of(record),
        )
    except ConfigurationError as error:
        raise RegistryRefused(str(error)) from None


def correction_of(patch: Patch | None) -> Correction:
    """Convert a patch to a correction; `None` becomes an empty one."""
    if patch is None:
        return Correction()
    return Correction(
        weight=patch.weight,
        state=_STATES[patch.status] if patch.status is not None else None,
        tags=dict(patch.tags) or None,
    )


def patch_of(correction: Correction) -> Patch:
    """Convert a correction to a patch.

    Raises:
        RegistryRefused: the correction is invalid.
    """
    try:
        return Patch(
            weight=correction.weight,
            status=_STATUSES.get(correction.state) if correction.state is not None else None,
            tags=correction.tags or {},
        )
    except ConfigurationError as error:
        raise RegistryRefused(str(error)) from None


def _rpc_protocols_of(record: Record) -> RpcProtocols:
    """Return the RPC protocols of a record, not validated yet; empty if it lists none.

    Raises:
        RegistryRefused: a protocol is listed twice.
    """
    given = record.rpc_protocols or ()
    found = {each.name: tuple(each.serializations) for each in given}
    if len(found) != len(given):
        raise RegistryRefused("invalid RPC protocols of an instance: one is listed twice; list each once")
    return found
