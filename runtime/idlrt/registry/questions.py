"""What `Registry` asks of a backend in several steps."""

from __future__ import annotations

from idlrt.core import Freshness, Patch, ServiceKey, Snapshot
from idlrt.errors import RegistryRefused
from idlrt.registry.backend import Backend, Found, Update

__all__ = ["remove_from", "snapshot_of", "update_since"]

# Ids that a message names.
_NAMED = 10


async def update_since(backend: Backend, key: ServiceKey, since: int) -> Update:
    """What has changed in a service since a revision; everything, if the backend keeps no history."""
    update = await backend.changes(key, since)
    if update is not None:
        return update
    snapshot = snapshot_of(key, await backend.find(key))
    is_whole = snapshot.revision != since
    return Update(
        revision=snapshot.revision,
        is_whole=is_whole,
        instances=snapshot.instances if is_whole else (),
        settings=snapshot.settings,
    )


async def remove_from(backend: Backend, key: ServiceKey, id: str | None, name: str) -> None:
    """Remove a service, or the patch of an instance that is not there.

    Args:
        id: of the instance.
        name: of the registry.

    Raises:
        RegistryRefused: the service or the instance is there, or what is to be removed is not.
    """
    if id is None:
        if key.service not in await backend.services(key.group):
            # Some kinds list services only while they have instances.
            found = await backend.find(key)
            if not (found.settings or found.patches):
                raise RegistryRefused(f"cannot remove {key}: there is no such service at {name}")
        await backend.remove(key)
        return
    found = await backend.find(key)
    if any(each.id == id for each in found.instances):
        raise RegistryRefused(
            f"cannot remove {id} of {key}: it is registered; stop its server, or take back what was set of it"
        )
    if id not in found.patches:
        known = ", ".join(sorted(found.patches)[:_NAMED]) or "none"
        raise RegistryRefused(f"cannot remove {id} of {key}: nothing was set of it at {name}; patches: {known}")
    await backend.patch(key, id, None)


def snapshot_of(key: ServiceKey, found: Found) -> Snapshot:
    """What clients are to see of what a registry has."""
    instances = (found.patches.get(each.id, Patch()).apply(each) for each in found.instances)
    return Snapshot(
        key=key,
        instances=tuple(sorted(instances, key=lambda each: each.id)),
        settings=found.settings,
        revision=found.revision,
        freshness=Freshness.LIVE,
    )
