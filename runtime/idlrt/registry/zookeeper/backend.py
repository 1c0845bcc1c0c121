"""ZooKeeper backend. Registrations are ephemeral nodes: ZooKeeper removes them when the session ends.

    zookeeper://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/CHROOT][?OPTION=VALUE&...]

    timeout  session timeout in seconds (6); the server may apply its own bounds
    layout   `idlrt` (the default, see `layouts`), `motan` or `dubbo` (the formats of those frameworks)
    acl      ACL of new nodes: `open`, all clients have all permissions (the default); `digest`, the user has all
             permissions (the default if the URL names a user); `ip:NETWORK,NETWORK...`, clients in these networks have
             all permissions. With `digest` and `ip` all other clients may read.

The default port is 2181. The first registration creates the chroot and other missing parent nodes.

Revisions are zxids (see `tree`). ZooKeeper keeps no history, so `changes` returns `None`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.errors import RegistryUnavailable
from idlrt.registry.backend import ServiceData, SessionLost, Update, has_instances
from idlrt.registry.id_conflicts import check_replaceable
from idlrt.registry.url import RegistryUrl
from idlrt.registry.zookeeper.client import Conflict, Disconnected, NoNode, check_kazoo, make_acl
from idlrt.registry.zookeeper.dubbo import DubboLayout
from idlrt.registry.zookeeper.layouts import (
    Children,
    IdlrtLayout,
    Layout,
    log_unreadable,
    patches_path,
    root_path,
    settings_path,
)
from idlrt.registry.zookeeper.motan import MotanLayout
from idlrt.registry.zookeeper.removal import remove_service
from idlrt.registry.zookeeper.session import Change, Session, Stat
from idlrt.registry.zookeeper.tree import Node, Tree

__all__ = ["ZooKeeperBackend"]

T = TypeVar("T")

_log = get_logger("idlrt.registry.zookeeper")

_PORT: Final = 2181
_TIMEOUT: Final = 6.0
_LAYOUTS: Final[dict[str, Callable[[], Layout]]] = {"dubbo": DubboLayout, "idlrt": IdlrtLayout, "motan": MotanLayout}
_ACLS: Final = ("digest", "ip", "open")
# Seconds to wait for a connection before a request fails; kazoo goes on connecting in the background.
_REQUEST_TIMEOUT: Final = 3.0
# Heartbeats per session timeout; ZooKeeper's own pings come in addition.
_HEARTBEATS: Final = 3
# Maximum number of attempts at a transaction, or a consistent read, that conflicts with other writers.
_ATTEMPTS: Final = 10


class ZooKeeperBackend:
    """Registry backend for ZooKeeper. Implements `Backend`."""

    is_read_only = False

    def __init__(self, url: RegistryUrl) -> None:
        url.check_options(("acl", "layout", "timeout"))
        if not url.hosts:
            raise url.refuse("missing host; write zookeeper://127.0.0.1:2181")
        self._timeout = url.seconds("timeout", _TIMEOUT)
        self._login = f"{url.user}:{url.password}" if url.user else ""
        layout = url.options.get("layout", "idlrt")
        if layout not in _LAYOUTS:
            raise url.refuse(f"unknown layout {layout!r} (known: {', '.join(_LAYOUTS)})")
        self._acl, _, networks = url.options.get("acl", "digest" if self._login else "open").partition(":")
        self._networks = [_network(url, each) for each in networks.split(",")] if networks else []
        if self._acl not in _ACLS:
            raise url.refuse(f"unknown acl {self._acl!r} (known: {', '.join(_ACLS)})")
        if self._acl == "digest" and not self._login:
            raise url.refuse("acl=digest requires a user and a password; write zookeeper://USER:PASSWORD@HOST")
        if (self._acl == "ip") != bool(self._networks):
            raise url.refuse(
                "networks are required for acl=ip, and for no other acl; write acl=ip:10.0.0.0/8,127.0.0.1"
            )
        check_kazoo()
        self._hosts = [
            f"[{host}]:{port or _PORT}" if ":" in host else f"{host}:{port or _PORT}" for host, port in url.hosts
        ]
        self._chroot = f"/{url.path}" if url.path else ""
        self._layout: Layout = _LAYOUTS[layout]()
        self._current: Session | None = None
        self.heartbeat = self._timeout / _HEARTBEATS

    # Session.

    async def open(self, lost: Callable[[], None]) -> None:
        """Connect, or go on connecting: a client that has not connected yet keeps trying between two calls, and a live
        session is reused.
        """
        session = self._current
        if session is None or session.is_lost:
            acl = make_acl(self._acl, self._networks)
            session = self._current = Session(self._hosts, self._timeout, self._login, acl)
        await session.connected(_REQUEST_TIMEOUT)
        await session.sync()
        session.lost = lost
        session.is_opened = True
        self.heartbeat = session.timeout / _HEARTBEATS

    async def close(self) -> None:
        session, self._current = self._current, None
        if session is not None:
            await session.close()

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        """Check the session and the nodes of the registrations. kazoo sends the pings that keep the session alive."""
        session = self._session()
        self.heartbeat = session.timeout / _HEARTBEATS
        await session.check(self._chroot or "/", self.heartbeat * 0.8)
        stats = await asyncio.gather(
            *(session.exists(self._path(self._layout.write(instance))) for instance in registered)
        )
        return [
            instance
            for instance, stat in zip(registered, stats, strict=True)
            if stat is None or stat.owner != session.id
        ]

    def _session(self) -> Session:
        session = self._current
        if session is None or not session.is_opened:
            raise SessionLost(f"no session with ZooKeeper at {','.join(self._hosts)}")
        return session

    # Registrations.

    def _path(self, node: Node) -> str:
        return f"{self._chroot}{node.folder}/{node.name}"

    async def register(self, instance: Instance) -> None:
        """Register an instance. A node left by another session is deleted and created again, because it would be
        removed when that session ends.
        """
        await self._register(instance, reclaims=False)

    async def reclaim(self, instance: Instance) -> None:
        await self._register(instance, reclaims=True)

    async def _register(self, instance: Instance, *, reclaims: bool) -> None:
        session = self._session()
        node = self._layout.write(instance)
        path = self._path(node)

        async def attempt() -> None:
            found = await self._existing(session, instance)
            for each in found:
                # Nodes without a session were written by hand.
                if each.stat.owner != session.id:
                    is_live = each.stat.owner != 0
                    check_replaceable(instance, each.instance, is_live=is_live, reclaims=reclaims)
            changes = [Change("delete", each.path, b"", each.stat.version) for each in found if each.path != path]
            stat = next((each.stat for each in found if each.path == path), None)
            if stat is None:
                changes.append(Change("create", path, node.data))
            elif stat.owner == session.id:
                changes.append(Change("set", path, node.data, stat.version))
            else:
                changes += [Change("delete", path, b"", stat.version), Change("create", path, node.data)]
            await self._commit(session, f"{self._chroot}{node.folder}", *changes)

        await self._retry_on_conflict(session, attempt, f"register {instance.id} of {instance.key}")

    async def _existing(self, session: Session, instance: Instance) -> list[_Existing]:
        """Read the nodes that may conflict with `instance`: at its own path, and wherever else its id may be."""
        children = self._children(session)
        own, others, same_id_paths = (
            self._layout.write(instance),
            await self._layout.same_instance_paths(instance, children),
            await self._layout.same_id_paths(instance, children),
        )

        async def look(place: str) -> _Existing | None:
            path = f"{self._chroot}{place}"
            try:
                data, stat = await session.get(path)
            except NoNode:
                return None
            folder, _, name = place.rpartition("/")
            read = self._layout.read(instance.key, [Node(folder, name, data, stat.created)])
            if place in same_id_paths and (not read or read[0].id != instance.id):
                return None
            unread = instance if self._layout.is_by_address else None
            return _Existing(path, stat, read[0] if read else unread)

        places = dict.fromkeys((f"{own.folder}/{own.name}", *others, *same_id_paths))
        return [each for each in await asyncio.gather(*map(look, places)) if each is not None]

    async def deregister(self, instance: Instance) -> None:
        """Delete the nodes of an instance, unless another session owns them."""
        session = self._session()
        path = self._path(self._layout.write(instance))

        async def attempt() -> None:
            changes = await self._removal(session, instance)
            stat = await session.exists(path)
            if stat is not None and stat.owner == session.id:
                changes.append(Change("delete", path, b"", stat.version))
            if changes:
                await session.commit(*changes)

        await self._retry_on_conflict(session, attempt, f"deregister {instance.id} of {instance.key}")

    async def _removal(self, session: Session, instance: Instance) -> list[Change]:
        """Build the deletions of an instance's other nodes that this session owns."""
        paths = [
            f"{self._chroot}{each}"
            for each in await self._layout.same_instance_paths(instance, self._children(session))
        ]
        stats = await asyncio.gather(*map(session.exists, paths))
        return [
            Change("delete", path, b"", stat.version)
            for path, stat in zip(paths, stats, strict=True)
            if stat is not None and stat.owner == session.id
        ]

    async def _commit(self, session: Session, folder: str, *changes: Change) -> None:
        """Commit a transaction; if the folder is missing, create it and commit again."""
        try:
            await session.commit(*changes)
        except NoNode:
            await session.ensure(folder)
            await session.commit(*changes)

    async def _retry_on_conflict(self, session: Session, attempt: Callable[[], Awaitable[None]], what: str) -> None:
        """Repeat `attempt` until it does not conflict with another writer."""
        await session.connected(_REQUEST_TIMEOUT)
        for _ in range(_ATTEMPTS):
            try:
                await attempt()
            except (Conflict, NoNode):
                continue
            return
        raise RegistryUnavailable(
            f"cannot {what} in ZooKeeper at {session.where}: concurrent changes in each of {_ATTEMPTS} attempts"
        )

    # Queries.

    def _tree(self, session: Session, key: ServiceKey, *, is_watched: bool) -> Tree:
        folders = dict.fromkeys((f"{self._chroot}{each}" for each in self._layout.folders(key)), self._layout.has_data)
        folders[f"{self._chroot}{patches_path(key)}"] = True
        leaves = (f"{self._chroot}{settings_path(key)}",)
        return Tree(session, folders, leaves, f"{self._chroot}{root_path(key)}", is_watched=is_watched)

    def _found(self, key: ServiceKey, tree: Tree) -> ServiceData:
        nodes = [node for each in self._layout.folders(key) for node in tree.nodes(f"{self._chroot}{each}")]
        patches = {
            node.name: patch
            for node in tree.nodes(f"{self._chroot}{patches_path(key)}")
            if (patch := _decoded(node, Patch)) is not None
        }
        path = f"{self._chroot}{settings_path(key)}"
        data = tree.leaf(path)
        settings = _decoded(Node(path, "", data, 0), dict[str, str]) if data else None
        return ServiceData(
            instances=self._layout.read(key, nodes), patches=patches, settings=settings or {}, revision=tree.revision
        )

    async def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        """Yield each new state. The watch survives lost connections; it ends with the session."""
        session = self._session()
        tree = self._tree(session, key, is_watched=True)
        session.follow(tree)
        try:
            while True:
                await session.connected()
                tree.changed.clear()
                try:
                    await tree.read()
                except Disconnected:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self.heartbeat):
                            await tree.changed.wait()
                    continue
                yield self._found(key, tree)
                await tree.changed.wait()
        finally:
            session.unfollow(tree)

    async def _synced_session(self) -> Session:
        session = self._session()
        await session.connected(_REQUEST_TIMEOUT)
        await session.sync()
        return session

    async def find(self, key: ServiceKey) -> ServiceData:
        """Read a service. Nodes are read one by one, so read again until two results agree."""
        session = await self._synced_session()
        last: ServiceData | None = None
        for _ in range(_ATTEMPTS):
            tree = self._tree(session, key, is_watched=False)
            await tree.read()
            found = self._found(key, tree)
            if found == last:
                break
            last = found
        assert last is not None
        return last

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        return None

    def _children(self, session: Session) -> Children:
        async def children(path: str) -> list[str]:
            try:
                return (await session.children(f"{self._chroot}{path}"))[0]
            except NoNode:
                return []

        return children

    async def groups(self) -> list[str]:
        return await self._layout.groups(self._children(await self._synced_session()))

    async def services(self, group: str) -> list[str]:
        return await self._layout.services(group, self._children(await self._synced_session()))

    # For operators.

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        data = msgspec.json.encode(patch) if patch is not None else None
        await self._write(f"{self._chroot}{patches_path(key)}", id, data, f"patch {id} of {key}")

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:
        data = msgspec.json.encode(dict(settings))
        await self._write(f"{self._chroot}{root_path(key)}", "settings", data, f"configure {key}")

    async def remove(self, key: ServiceKey) -> None:
        """Remove our nodes of a service; those of other frameworks stay."""
        session = await self._synced_session()

        async def attempt() -> None:
            if count := len((await self.find(key)).instances):
                raise has_instances(key, count)
            await remove_service(session, f"{self._chroot}{root_path(key)}")

        await self._retry_on_conflict(session, attempt, f"remove {key}")

    async def _write(self, folder: str, name: str, data: bytes | None, what: str) -> None:
        session = self._session()
        path = f"{folder}/{name}"

        async def attempt() -> None:
            stat = await session.exists(path)
            if data is None:
                if stat is not None:
                    await session.commit(Change("delete", path))
            elif stat is None:
                await self._commit(session, folder, Change("create lasting", path, data))
            else:
                await session.commit(Change("set", path, data))

        await self._retry_on_conflict(session, attempt, what)


class _Existing(NamedTuple):
    """A node with the instance in it; `None` if it cannot be decoded."""

    path: str
    stat: Stat
    instance: Instance | None


def _decoded(node: Node, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(node.data, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        log_unreadable(node, error)
        return None


def _network(url: RegistryUrl, text: str) -> str:
    """Parse a network for ZooKeeper's `ip` scheme."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise url.refuse(f"invalid network in acl=ip: {error}") from None
