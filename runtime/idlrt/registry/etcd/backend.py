"""etcd backend. All registrations of a program are attached to one lease, which its heartbeats keep alive.

The revision of a service is the revision of the store at its last change. etcd does not record when a key was deleted,
so a client that lists a service uses the store's revision at that moment, and keeps it until the content differs: two
clients may have different revisions for the same state, and `changes` accepts either. It reads the past state itself,
because etcd serves reads at any revision that is not compacted yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.errors import RegistryError, RegistryRefused, RegistryUnavailable
from idlrt.registry.backend import ServiceData, SessionLost, Update, has_instances
from idlrt.registry.etcd.gateway import Gateway, check_httpx
from idlrt.registry.etcd.layout import Layout, end_of
from idlrt.registry.etcd.responses import (
    Compacted,
    Ignored,
    KeepAlive,
    KeyValue,
    LeaseGranted,
    RangeResponse,
    TimeToLive,
    TxnResponse,
    WatchInterrupted,
)
from idlrt.registry.etcd.settings import Settings
from idlrt.registry.etcd.view import View
from idlrt.registry.id_conflicts import check_replaceable
from idlrt.registry.url import RegistryUrl

__all__ = ["EtcdBackend"]

_log = get_logger("idlrt.registry")

# Timeouts: of requests in seconds, of heartbeats as a fraction of their interval, of revoking the lease in seconds.
_REQUEST_TIMEOUT: Final = 4.5
_HEARTBEAT_FRACTION: Final = 0.9
_REVOKE_TIMEOUT: Final = 1.0
# A watch without events for this multiple of the lease's TTL, or this many seconds, is restarted to check that the
# server is still alive.
_IDLE_TTLS: Final = 2.0
_MAX_IDLE: Final = 20.0
# Seconds that a watch must have lasted to be resumed without a delay.
_MIN_WATCH: Final = 1.0
# Minimum seconds between two snapshots. The first one after a quiet period is not delayed.
_MIN_INTERVAL: Final = 0.02
# Maximum number of keys in a response.
_PAGE_SIZE: Final = 500
# Maximum number of attempts at a transaction that conflicts with other writers.
_ATTEMPTS: Final = 10
_LEASE_ENDED: Final = "etcd has ended the lease: it expired without heartbeats, or was revoked"


class EtcdBackend:
    """Registry backend for etcd. Implements `Backend`.

    Args:
        url: of the registry.
        page_size: maximum number of keys in a response when services or names are listed.
        min_watch: seconds that a watch must have lasted to be resumed when it breaks; after a shorter one the service
            is listed again after a delay.
    """

    is_read_only = False

    def __init__(self, url: RegistryUrl, *, page_size: int = _PAGE_SIZE, min_watch: float = _MIN_WATCH) -> None:
        check_httpx()
        settings = Settings.of(url)
        self.heartbeat: float = settings.ttl / 3
        self._ttl = settings.ttl
        self._layout = Layout(url.path or "idlrt")
        self._gateway = Gateway(
            settings.endpoints, user=url.user, password=url.password, tls=settings.tls, timeout=_REQUEST_TIMEOUT
        )
        self._page_size = page_size
        self._min_watch = min_watch
        self._lease = 0
        # Versions of the keys of each service when it was last read, and the revision assigned to that state.
        self._seen: dict[ServiceKey, tuple[dict[bytes, int], int]] = {}

    # Session.

    async def open(self, lost: Callable[[], None]) -> None:
        self._gateway.open()
        granted = await self._gateway.call("lease/grant", {"TTL": self._ttl}, LeaseGranted)
        self._lease = granted.id
        # etcd may grant a longer TTL than requested.
        self.heartbeat = granted.ttl / 3

    async def close(self) -> None:
        lease, self._lease = self._lease, 0
        try:
            if lease:
                await self._gateway.call("lease/revoke", {"ID": lease}, Ignored, timeout=_REVOKE_TIMEOUT)
        except SessionLost:
            pass  # the lease had expired
        except RegistryError as error:
            _log.info("registrations stay in etcd for up to %d s: %s", self._ttl, error, extra={"ttl": self._ttl})
        finally:
            await self._gateway.close()

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        """Renew the lease and check its keys. A key that was deleted, or overwritten by another client, is not attached
        to the lease.

        A user with write but without read permission cannot list the keys of a lease; the lease is still renewed.
        """
        timeout = max(self.heartbeat, 1.0) * _HEARTBEAT_FRACTION
        alive = await self._gateway.call(
            "lease/keepalive", {"ID": self._lease}, KeepAlive, timeout=timeout, is_stream=True
        )
        if alive.ttl <= 0:
            raise SessionLost(_LEASE_ENDED)
        if not registered:
            return ()
        body = {"ID": self._lease, "keys": True}
        try:
            attached = await self._gateway.call("lease/timetolive", body, TimeToLive, timeout=timeout)
        except RegistryRefused as error:
            _log.debug("cannot check registrations: %s", error)
            return ()
        if attached.ttl <= 0:
            raise SessionLost(_LEASE_ENDED)
        keys = set(attached.keys)
        return [each for each in registered if self._layout.instance(each.key, each.id) not in keys]

    # Registrations.

    async def register(self, instance: Instance) -> None:
        await self._register(instance, reclaims=False)

    async def reclaim(self, instance: Instance) -> None:
        await self._register(instance, reclaims=True)

    async def _register(self, instance: Instance, *, reclaims: bool) -> None:
        """Write the key if it does not exist, or has not changed since it was found to be ours or replaceable."""
        key = self._layout.instance(instance.key, instance.id)
        put = {"request_put": {"key": key, "value": msgspec.json.encode(instance), "lease": self._lease}}
        look = {"request_range": {"key": key}}
        as_expected: dict[str, Any] = {"key": key, "target": "VERSION", "result": "EQUAL", "version": 0}
        for _ in range(_ATTEMPTS):
            body = {"compare": [as_expected], "success": [put], "failure": [look]}
            done = await self._gateway.call("kv/txn", body, TxnResponse)
            if done.succeeded:
                return
            found = done.found
            if found is None:  # deleted since the transaction compared it
                as_expected = {"key": key, "target": "VERSION", "result": "EQUAL", "version": 0}
                continue
            if found.lease != self._lease:
                # A key without a lease was written by hand; it belongs to no session.
                holder = _instance_in(found)
                check_replaceable(instance, holder, is_live=found.lease != 0, reclaims=reclaims)
                _log.info(
                    "replacing the registration of %s of %s by another session",
                    instance.id,
                    instance.key,
                    extra={"service": str(instance.key), "instance": instance.id},
                )
            as_expected = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": found.mod_revision}
        raise RegistryUnavailable(
            f"cannot register {instance.id} of {instance.key}: concurrent changes in each of {_ATTEMPTS} attempts"
        )

    async def deregister(self, instance: Instance) -> None:
        """Delete the key if it is attached to this session's lease; otherwise it belongs to another program."""
        key = self._layout.instance(instance.key, instance.id)
        is_ours = {"key": key, "target": "LEASE", "result": "EQUAL", "lease": self._lease}
        body = {"compare": [is_ours], "success": [{"request_delete_range": {"key": key}}]}
        await self._gateway.call("kv/txn", body, Ignored)

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        await self._put(self._layout.patch(key, id), patch)

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:
        await self._put(self._layout.settings(key), dict(settings) or None)

    async def remove(self, key: ServiceKey) -> None:
        """Delete settings and patches in one transaction; an instance registered in the meantime stays."""
        instances, patches = self._layout.folders(key)
        body = {"key": instances.encode(), "range_end": end_of(instances), "count_only": True}
        if count := (await self._gateway.call("kv/range", body, RangeResponse)).count:
            raise has_instances(key, count)
        gone = [
            {"request_delete_range": {"key": patches.encode(), "range_end": end_of(patches)}},
            {"request_delete_range": {"key": self._layout.settings(key)}},
        ]
        await self._gateway.call("kv/txn", {"success": gone}, Ignored)

    async def _put(self, key: bytes, value: object | None) -> None:
        if value is None:
            await self._gateway.call("kv/deleterange", {"key": key}, Ignored)
        else:
            body = {"key": key, "value": msgspec.json.encode(value)}
            await self._gateway.call("kv/put", body, Ignored)

    # Queries.

    async def find(self, key: ServiceKey) -> ServiceData:
        return self._found(await self._view(key))

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        view = await self._view(key)
        found = self._found(view)
        before = view.versions
        if since != found.revision:
            if since <= 0:
                return None
            try:
                before = {kv.key: kv.mod_revision for kv in (await self._list(view.start, since)).kvs}
            except Compacted:
                return None
        changed = {view.place(name) for name, _ in before.items() ^ view.versions.items()}
        ids = sorted({id for kind, id in changed if kind in ("instances", "patches")})
        there = {id for kind, id in map(view.place, before) if kind == "instances"}
        return Update(
            revision=found.revision,
            is_whole=False,
            instances=tuple(
                view.patches.get(id, Patch()).apply(view.instances[id]) for id in ids if id in view.instances
            ),
            removed=tuple(id for id in ids if id in there and id not in view.instances),
            settings=view.settings,
        )

    async def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        while True:
            view = await self._view(key)
            yield self._found(view)
            changed = asyncio.Event()
            reading = asyncio.get_running_loop().create_task(self._read(view, changed))
            published = 0
            try:
                while not reading.done():
                    await changed.wait()
                    changed.clear()
                    if view.changes != published:
                        published = view.changes
                        yield self._found(view, is_event=True)
                        await asyncio.sleep(_MIN_INTERVAL)
                reading.result()
            except Compacted as error:
                _log.info("listing %s again: %s", key, error, extra={"service": str(key)})
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, view: View, changed: asyncio.Event) -> None:
        """Keep `view` up to date across failing endpoints, until an error that only a new list can repair. Sets
        `changed` at the end, too.
        """
        try:
            await self._follow_events(view, changed)
        finally:
            changed.set()

    async def _follow_events(self, view: View, changed: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        is_first = True
        while True:
            start = view.revision + 1
            what = {"key": view.start.encode(), "range_end": end_of(view.start), "start_revision": start}
            # Randomized, so that clients do not restart their watches at the same moment.
            idle_timeout = min(self._ttl * _IDLE_TTLS, _MAX_IDLE) * random.uniform(0.8, 1.2)
            watching = self._gateway.watch({**what, "progress_notify": True}, idle_timeout)
            began = loop.time()
            error = RegistryUnavailable(f"etcd ended the watch of {view.key} immediately")
            try:
                async with contextlib.aclosing(watching) as answers:
                    async for answer in answers:
                        if answer.created:
                            began = loop.time()
                            if answer.header.revision < start - 1 and not is_first:
                                raise Compacted("etcd is at an earlier revision than before; was it restored?")
                            is_first = False
                        elif answer.events:
                            view.apply(answer.events)
                            changed.set()
                        else:
                            view.revision = max(view.revision, answer.header.revision)
            except WatchInterrupted as interrupted:
                error = interrupted
            # Resuming from the last revision loses no event.
            if loop.time() - began < self._min_watch:
                raise error

    async def _view(self, key: ServiceKey) -> View:
        try:
            listed = await self._list(self._layout.service(key))
        except Compacted:
            # The revision was compacted between two pages.
            listed = await self._list(self._layout.service(key))
        return View(self._layout, key, listed.kvs, listed.header.revision)

    async def _list(self, start: str, revision: int = 0) -> RangeResponse:
        """List all keys with the prefix `start` and their values; only the keys if `revision` is given.

        Pages are read at one revision, so the result is consistent and no response is larger than a page.

        Raises:
            Compacted: the revision is compacted.
        """
        body = {"range_end": end_of(start), "limit": self._page_size, "keys_only": revision > 0}
        first = await self._gateway.call(
            "kv/range", {**body, "key": start.encode(), "revision": revision}, RangeResponse
        )
        kvs, page, pinned = list(first.kvs), first, revision or first.header.revision
        while page.more and page.kvs:
            place = page.kvs[-1].key + b"\0"
            page = await self._gateway.call("kv/range", {**body, "key": place, "revision": pinned}, RangeResponse)
            kvs += page.kvs
        return RangeResponse(header=first.header, kvs=kvs)

    def _found(self, view: View, *, is_event: bool = False) -> ServiceData:
        """Build the state of a service, with the same revision as before if the content is the same."""
        versions, revision = self._seen.get(view.key, ({}, 0))
        if versions != view.versions or not revision:
            # An event may arrive after a list that includes it. A list is always current, even if etcd was restored to
            # an earlier revision.
            if not is_event or view.revision > revision:
                self._seen[view.key] = dict(view.versions), view.revision
            revision = view.revision
        return view.found(revision)

    # Names.

    async def groups(self) -> list[str]:
        return await self._names(self._layout.root)

    async def services(self, group: str) -> list[str]:
        """List the services of a group that have instances, settings or patches."""
        return await self._names(self._layout.group(group))

    async def _names(self, start: str) -> list[str]:
        """Return the first path component of all keys with the prefix `start`. After each page, skip the remaining keys
        of its last name.
        """
        names: dict[str, None] = {}
        place, end = start.encode(), end_of(start)
        while True:
            body = {"key": place, "range_end": end, "limit": self._page_size, "keys_only": True}
            listed = await self._gateway.call("kv/range", body, RangeResponse)
            for kv in listed.kvs:
                name, slash, _ = kv.key.decode(errors="replace").removeprefix(start).partition("/")
                if slash:
                    names[name] = None
            if not listed.more or not listed.kvs:
                return list(names)
            last = listed.kvs[-1].key
            cut = last.find(b"/", len(start.encode()))
            place = last[:cut] + b"0" if cut >= 0 else last + b"\0"


def _instance_in(found: KeyValue) -> Instance | None:
    """Decode the instance under a key; `None` if it cannot be decoded."""
    try:
        return msgspec.json.decode(found.value, type=Instance)
    except (msgspec.MsgspecError, ValueError):
        return None
