"""ZooKeeper as a registry. What is registered are ephemeral nodes: ZooKeeper removes them when the session ends.

    zookeeper://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/CHROOT][?OPTION=VALUE&...]

    timeout  seconds that a session outlives its connection (6; the server has bounds of its own)
    layout   `idlrt` (ours, see `layouts`), `motan` or `dubbo` (what those frameworks read and write)
    acl      of new nodes: `open`, all may do all; `digest`, who has the user and password may do all (the default where
             a user is given); `ip:NETWORK,NETWORK...`, who comes from there. All others may read.

The port is 2181 where none is given. The chroot, and what else is missing, is made when something is registered.

Revisions are zxids (see `tree`). There is no history, so `changes` tells nothing.
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
from idlrt.registry.backend import Found, SessionLost, Update, has_instances
from idlrt.registry.ownership import check_replaceable
from idlrt.registry.url import RegistryUrl
from idlrt.registry.zookeeper.client import Conflict, Disconnected, NoNode, check_kazoo, make_acl
from idlrt.registry.zookeeper.dubbo import DubboLayout
from idlrt.registry.zookeeper.layouts import (
    Children,
    IdlrtLayout,
    Layout,
    patches_path,
    root_path,
    settings_path,
    unreadable,
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
# Seconds after which it is said that nobody answers; it is tried on, and asked for again.
_PATIENCE: Final = 3.0
# Heartbeats for a session; ZooKeeper's own go between them.
_BEATS: Final = 3
# How often something is looked at again that others keep changing.
_ATTEMPTS: Final = 10


class ZooKeeperBackend:
    """See the module. A `Backend`."""

    is_read_only = False

    def __init__(self, url: RegistryUrl) -> None:
        url.check_options(("acl", "layout", "timeout"))
        if not url.hosts:
            raise url.refuse("name a host, as in zookeeper://127.0.0.1:2181")
        self._timeout = url.seconds("timeout", _TIMEOUT)
        self._login = f"{url.user}:{url.password}" if url.user else ""
        layout = url.options.get("layout", "idlrt")
        if layout not in _LAYOUTS:
            raise url.refuse(f"there is no layout {layout!r}; known: {', '.join(_LAYOUTS)}")
        self._acl, _, networks = url.options.get("acl", "digest" if self._login else "open").partition(":")
        self._networks = [_network(url, each) for each in networks.split(",")] if networks else []
        if self._acl not in _ACLS:
            raise url.refuse(f"there is no acl {self._acl!r}; known: {', '.join(_ACLS)}")
        if self._acl == "digest" and not self._login:
            raise url.refuse("acl=digest needs a user and a password, as in zookeeper://user:password@host")
        if (self._acl == "ip") != bool(self._networks):
            raise url.refuse("acl=ip names networks, as in acl=ip:10.0.0.0/8,127.0.0.1, and no other acl does")
        check_kazoo()
        self._hosts = [
            f"[{host}]:{port or _PORT}" if ":" in host else f"{host}:{port or _PORT}" for host, port in url.hosts
        ]
        self._chroot = f"/{url.path}" if url.path else ""
        self._layout: Layout = _LAYOUTS[layout]()
        self._current: Session | None = None
        self.heartbeat = self._timeout / _BEATS

    # The session.

    async def open(self, lost: Callable[[], None]) -> None:
        """See `Backend.open`. A client that has not got through yet goes on trying between two calls; a session that
        is alive is kept.
        """
        session = self._current
        if session is None or session.is_lost:
            acl = make_acl(self._acl, self._networks)
            session = self._current = Session(self._hosts, self._timeout, self._login, acl)
        await session.connected(_PATIENCE)
        await session.sync()
        session.lost = lost
        session.is_opened = True
        self.heartbeat = session.timeout / _BEATS

    async def close(self) -> None:
        """See `Backend.close`."""
        session, self._current = self._current, None
        if session is not None:
            await session.close()

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        """See `Backend.keep`. kazoo keeps the session alive; this looks whether it is, and at the nodes."""
        session = self._session()
        self.heartbeat = session.timeout / _BEATS
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
            raise SessionLost(f"there is no session with ZooKeeper at {','.join(self._hosts)}")
        return session

    # What is registered.

    def _path(self, node: Node) -> str:
        return f"{self._chroot}{node.folder}/{node.name}"

    async def register(self, instance: Instance) -> None:
        """See `Backend.register`. A node that another session has left behind is replaced: it would go when that
        session ends.
        """
        await self._register(instance, reclaims=False)

    async def reclaim(self, instance: Instance) -> None:
        """See `Backend.reclaim`."""
        await self._register(instance, reclaims=True)

    async def _register(self, instance: Instance, *, reclaims: bool) -> None:
        session = self._session()
        node = self._layout.write(instance)
        path = self._path(node)

        async def attempt() -> None:
            found = await self._standing(session, instance)
            for each in found:
                # What no session owns was left there by hand.
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

        await self._settled(session, attempt, f"register {instance.id} of {instance.key}")

    async def _standing(self, session: Session, instance: Instance) -> list[_Standing]:
        """What stands where `instance` is written to, and wherever else its id does."""
        children = self._children(session)
        own, others, rivals = (
            self._layout.write(instance),
            await self._layout.others(instance, children),
            await self._layout.rivals(instance, children),
        )

        async def look(place: str) -> _Standing | None:
            path = f"{self._chroot}{place}"
            try:
                data, stat = await session.get(path)
            except NoNode:
                return None
            folder, _, name = place.rpartition("/")
            read = self._layout.read(instance.key, [Node(folder, name, data, stat.created)])
            if place in rivals and (not read or read[0].id != instance.id):
                return None
            unread = instance if self._layout.is_by_address else None
            return _Standing(path, stat, read[0] if read else unread)

        places = dict.fromkeys((f"{own.folder}/{own.name}", *others, *rivals))
        return [each for each in await asyncio.gather(*map(look, places)) if each is not None]

    async def deregister(self, instance: Instance) -> None:
        """See `Backend.deregister`. What another session has registered in its place stays."""
        session = self._session()
        path = self._path(self._layout.write(instance))

        async def attempt() -> None:
            changes = await self._removal(session, instance)
            stat = await session.exists(path)
            if stat is not None and stat.owner == session.id:
                changes.append(Change("delete", path, b"", stat.version))
            if changes:
                await session.commit(*changes)

        await self._settled(session, attempt, f"deregister {instance.id} of {instance.key}")

    async def _removal(self, session: Session, instance: Instance) -> list[Change]:
        """What takes an instance of this session away from where else it stands."""
        paths = [f"{self._chroot}{each}" for each in await self._layout.others(instance, self._children(session))]
        stats = await asyncio.gather(*map(session.exists, paths))
        return [
            Change("delete", path, b"", stat.version)
            for path, stat in zip(paths, stats, strict=True)
            if stat is not None and stat.owner == session.id
        ]

    async def _commit(self, session: Session, folder: str, *changes: Change) -> None:
        """Make changes; the folder, if that is what is missing."""
        try:
            await session.commit(*changes)
        except NoNode:
            await session.ensure(folder)
            await session.commit(*changes)

    async def _settled(self, session: Session, attempt: Callable[[], Awaitable[None]], what: str) -> None:
        """Make an attempt until nobody has come in between."""
        await session.connected(_PATIENCE)
        for _ in range(_ATTEMPTS):
            try:
                await attempt()
            except (Conflict, NoNode):
                continue
            return
        raise RegistryUnavailable(f"cannot {what} in ZooKeeper at {session.where}: others change it all the time")

    # What is there.

    def _tree(self, session: Session, key: ServiceKey, *, is_watched: bool) -> Tree:
        folders = dict.fromkeys((f"{self._chroot}{each}" for each in self._layout.folders(key)), self._layout.has_data)
        folders[f"{self._chroot}{patches_path(key)}"] = True
        leaves = (f"{self._chroot}{settings_path(key)}",)
        return Tree(session, folders, leaves, f"{self._chroot}{root_path(key)}", is_watched=is_watched)

    def _found(self, key: ServiceKey, tree: Tree) -> Found:
        nodes = [node for each in self._layout.folders(key) for node in tree.nodes(f"{self._chroot}{each}")]
        patches = {
            node.name: patch
            for node in tree.nodes(f"{self._chroot}{patches_path(key)}")
            if (patch := _decoded(node, Patch)) is not None
        }
        path = f"{self._chroot}{settings_path(key)}"
        data = tree.leaf(path)
        settings = _decoded(Node(path, "", data, 0), dict[str, str]) if data else None
        return Found(
            instances=self._layout.read(key, nodes), patches=patches, settings=settings or {}, revision=tree.revision
        )

    async def watch(self, key: ServiceKey) -> AsyncIterator[Found]:
        """See `Backend.watch`. Goes on through broken connections, ends with the session."""
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

    async def _caught_up(self) -> Session:
        session = self._session()
        await session.connected(_PATIENCE)
        await session.sync()
        return session

    async def find(self, key: ServiceKey) -> Found:
        """See `Backend.find`. Nodes are read one by one, so it is looked again whether one has changed meanwhile."""
        session = await self._caught_up()
        last: Found | None = None
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
        """See `Backend.changes`."""
        return None

    def _children(self, session: Session) -> Children:
        async def children(path: str) -> list[str]:
            try:
                return (await session.children(f"{self._chroot}{path}"))[0]
            except NoNode:
                return []

        return children

    async def groups(self) -> list[str]:
        """See `Backend.groups`."""
        return await self._layout.groups(self._children(await self._caught_up()))

    async def services(self, group: str) -> list[str]:
        """See `Backend.services`."""
        return await self._layout.services(group, self._children(await self._caught_up()))

    # What operators say.

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        """See `Backend.patch`."""
        data = msgspec.json.encode(patch) if patch is not None else None
        await self._write(f"{self._chroot}{patches_path(key)}", id, data, f"patch {id} of {key}")

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:
        """See `Backend.configure`."""
        data = msgspec.json.encode(dict(settings))
        await self._write(f"{self._chroot}{root_path(key)}", "settings", data, f"configure {key}")

    async def remove(self, key: ServiceKey) -> None:
        """See `Backend.remove`. Nodes of other frameworks stay."""
        session = await self._caught_up()

        async def attempt() -> None:
            if count := len((await self.find(key)).instances):
                raise has_instances(key, count)
            await remove_service(session, f"{self._chroot}{root_path(key)}")

        await self._settled(session, attempt, f"remove {key}")

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

        await self._settled(session, attempt, what)


class _Standing(NamedTuple):
    """A node, and the instance in it; `None` if it cannot be read."""

    path: str
    stat: Stat
    instance: Instance | None


def _decoded(node: Node, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(node.data, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        unreadable(node, error)
        return None


def _network(url: RegistryUrl, text: str) -> str:
    """A network as ZooKeeper's `ip` scheme has it."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise url.refuse(f"acl=ip names no network: {error}") from None
