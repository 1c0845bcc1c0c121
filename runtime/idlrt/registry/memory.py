"""In-process registry: `memory://NAME`, for tests and for programs that contain both servers and clients.

All users of a name in one process share one registry. It keeps a full history, so `changes` is always incremental.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.errors import RegistryUnavailable
from idlrt.registry.backend import ServiceData, SessionLost, Update, has_instances
from idlrt.registry.id_conflicts import check_replaceable
from idlrt.registry.url import RegistryUrl

__all__ = ["MemoryBackend", "MemoryStore"]


class _Service:
    def __init__(self) -> None:
        self.instances: dict[str, tuple[Instance, object]] = {}
        self.patches: dict[str, Patch] = {}
        self.settings: Mapping[str, str] = {}
        self.revision = 0
        # Revision of the last change by instance id, for all ids that were ever registered.
        self.changed: dict[str, int] = {}


class MemoryStore:
    """State shared by the backends of one name. Thread-safe.

    Attributes:
        is_down: simulates an unavailable registry, for tests.
    """

    def __init__(self) -> None:
        self.is_down = False
        self._lock = threading.Lock()
        self._services: dict[ServiceKey, _Service] = {}
        self._revision = 0
        self._watchers: dict[object, tuple[ServiceKey, Callable[[], object]]] = {}
        self._sessions: dict[object, Callable[[], object]] = {}

    def check(self) -> None:
        """Raise `RegistryUnavailable` if the registry is down."""
        if self.is_down:
            raise RegistryUnavailable("the in-memory registry is down")

    def open(self, session: object, lost: Callable[[], object]) -> None:
        """Begin a session."""
        with self._lock:
            self.check()
            self._sessions[session] = lost

    def end(self, session: object) -> None:
        """End a session and delete its registrations."""
        with self._lock:
            self._sessions.pop(session, None)
            for key, service in self._services.items():
                for id, (_, owner) in list(service.instances.items()):
                    if owner is session:
                        del service.instances[id]
                        self._record_change(key, id)

    def expire_all(self) -> None:
        """End all sessions as if their heartbeats had stopped, for tests."""
        for session, lost in list(self._sessions.items()):
            self.end(session)
            lost()

    def is_alive(self, session: object) -> bool:
        """Whether a session is open."""
        self.check()
        return session in self._sessions

    def write(self, session: object, instance: Instance, *, reclaims: bool) -> None:
        """Register an instance in a session. Raises `AlreadyRegistered`."""

        def change(service: _Service) -> None:
            holder, owner = service.instances.get(instance.id, (None, session))
            if owner is not session:
                check_replaceable(instance, holder, is_live=True, reclaims=reclaims)
            service.instances[instance.id] = instance, session

        self.change(instance.key, instance.id, change)

    def deregister(self, session: object, instance: Instance) -> None:
        """Delete the registration of an instance, if it belongs to the session."""

        def change(service: _Service) -> None:
            _, owner = service.instances.get(instance.id, (None, None))
            if owner is session:
                del service.instances[instance.id]

        self.change(instance.key, instance.id, change)

    def delete(self, key: ServiceKey, id: str) -> None:
        """Delete a registration regardless of its session, as operators can in other registries; for tests."""
        self.change(key, id, lambda service: service.instances.pop(id, None))

    def has(self, session: object, instance: Instance) -> bool:
        """Whether an instance is registered in a session."""
        with self._lock:
            service = self._services.get(instance.key)
            return service is not None and service.instances.get(instance.id, (None, None))[1] is session

    def change(self, key: ServiceKey, id: str, change: Callable[[_Service], object]) -> None:
        """Change a service and notify its watchers."""
        with self._lock:
            self.check()
            change(self._services.setdefault(key, _Service()))
            self._record_change(key, id)

    def _record_change(self, key: ServiceKey, id: str) -> None:
        self._revision += 1
        service = self._services[key]
        service.revision = service.changed[id] = self._revision
        for watched, notify in list(self._watchers.values()):
            if watched == key:
                notify()

    def find(self, key: ServiceKey) -> ServiceData:
        """Return the current state of a service."""
        with self._lock:
            self.check()
            service = self._services.get(key) or _Service()
            return ServiceData(
                instances=[instance for instance, _ in service.instances.values()],
                patches=dict(service.patches),
                settings=service.settings,
                revision=service.revision,
            )

    def changes(self, key: ServiceKey, since: int) -> Update:
        """Return the changes since a revision."""
        with self._lock:
            self.check()
            service = self._services.get(key) or _Service()
            ids = [id for id, revision in service.changed.items() if id and revision > since]
            return Update(
                revision=service.revision,
                is_whole=False,
                instances=tuple(
                    service.patches.get(id, Patch()).apply(service.instances[id][0])
                    for id in sorted(ids)
                    if id in service.instances
                ),
                removed=tuple(id for id in sorted(ids) if id not in service.instances),
                settings=service.settings,
            )

    def services(self) -> list[ServiceKey]:
        """List all services."""
        with self._lock:
            self.check()
            return list(self._services)

    def remove(self, key: ServiceKey) -> None:
        """Delete a service. Raises `RegistryRefused` if it has instances."""
        with self._lock:
            self.check()
            service = self._services.get(key)
            if service is None:
                return
            if service.instances:
                raise has_instances(key, len(service.instances))
            service.patches, service.settings = {}, {}
            self._record_change(key, "")
            del self._services[key]

    def watch(self, watcher: object, key: ServiceKey, notify: Callable[[], object]) -> None:
        """Call `notify` when a service changes."""
        with self._lock:
            self.check()
            self._watchers[watcher] = key, notify

    def unwatch(self, watcher: object) -> None:
        """Stop notifying `watcher`."""
        with self._lock:
            self._watchers.pop(watcher, None)


_stores: Final[dict[str, MemoryStore]] = {}
_stores_lock: Final = threading.Lock()


def memory_store(name: str) -> MemoryStore:
    """Return the store of `memory://NAME`, creating it on first use."""
    with _stores_lock:
        return _stores.setdefault(name, MemoryStore())


class MemoryBackend:
    """In-process registry backend. Implements `Backend`."""

    is_read_only = False
    heartbeat = 1.0

    def __init__(self, url: RegistryUrl) -> None:
        url.check_options(())
        self._store = memory_store(url.hosts[0][0] if url.hosts else "")
        self._session: object = None

    async def open(self, lost: Callable[[], None]) -> None:
        self._session = object()
        self._store.open(self._session, lost)

    async def close(self) -> None:
        self._store.end(self._session)

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        if not self._store.is_alive(self._session):
            raise SessionLost("the session has ended")
        return [each for each in registered if not self._store.has(self._session, each)]

    async def register(self, instance: Instance) -> None:
        await self._write(instance, reclaims=False)

    async def reclaim(self, instance: Instance) -> None:
        await self._write(instance, reclaims=True)

    async def _write(self, instance: Instance, *, reclaims: bool) -> None:
        if not self._store.is_alive(self._session):
            raise SessionLost("the session has ended")
        self._store.write(self._session, instance, reclaims=reclaims)

    async def deregister(self, instance: Instance) -> None:
        self._store.deregister(self._session, instance)

    async def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        loop, changed, watcher = asyncio.get_running_loop(), asyncio.Event(), object()
        self._store.watch(watcher, key, lambda: loop.call_soon_threadsafe(changed.set))
        try:
            while True:
                changed.clear()
                yield self._store.find(key)
                await changed.wait()
        finally:
            self._store.unwatch(watcher)

    async def find(self, key: ServiceKey) -> ServiceData:
        return self._store.find(key)

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        return self._store.changes(key, since)

    async def groups(self) -> list[str]:
        return list({key.group for key in self._store.services()})

    async def services(self, group: str) -> list[str]:
        return [key.service for key in self._store.services() if key.group == group]

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        if patch is None:
            self._store.change(key, id, lambda service: service.patches.pop(id, None))
        else:
            self._store.change(key, id, lambda service: service.patches.update({id: patch}))

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:

        def change(service: _Service) -> None:
            service.settings = dict(settings)

        self._store.change(key, "", change)

    async def remove(self, key: ServiceKey) -> None:
        self._store.remove(key)
