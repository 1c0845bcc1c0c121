"""Operations of `Registry` that take several requests to a backend."""

from __future__ import annotations

from idlrt.core import Freshness, Patch, ServiceKey, Snapshot
from idlrt.errors import RegistryRefused
from idlrt.registry.backend import Backend, ServiceData, Update

__all__ = ["remove_from", "snapshot_of", "update_since"]

# Maximum number of ids listed in a message.
_NAMED = 10


async def update_since(backend: Backend, key: ServiceKey, since: int) -> Update:
    """Return the changes of a service since a revision; all instances if the backend keeps no history."""
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
    """Remove a service, or the patch of an instance that is not registered.

    Args:
        id: of the instance; `None` removes the service.
        name: of the registry, for messages.

    Raises:
        RegistryRefused: the service has instances, the instance is registered, or there is nothing to remove.
    """
    if id is None:
        if key.service not in await backend.services(key.group):
            # Some kinds of registry list a service only while it has instances.
            found = await backend.find(key)
            if not (found.settings or found.patches):
                raise RegistryRefused(f"cannot remove {key}: there is no such service at {name}")
        await backend.remove(key)
        return
    found = await backend.find(key)
    if any(each.id == id for each in found.instances):
        raise RegistryRefused(f"cannot remove {id!r} of {key}: it is registered; stop its server, or reset its patch")
    if id not in found.patches:
        known = ", ".join(sorted(found.patches)[:_NAMED]) or "none"
        raise RegistryRefused(f"cannot remove {id!r} of {key}: it has no patch at {name}; known patches: {known}")
    await backend.patch(key, id, None)


def snapshot_of(key: ServiceKey, found: ServiceData) -> Snapshot:
    """Build the snapshot that clients see: patches applied, instances sorted by id."""
    instances = (found.patches.get(each.id, Patch()).apply(each) for each in found.instances)
    return Snapshot(
        key=key,
        instances=tuple(sorted(instances, key=lambda each: each.id)),
        settings=found.settings,
        revision=found.revision,
        freshness=Freshness.LIVE,
    )
