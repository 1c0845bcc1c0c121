"""The nodes of one service, read once and then as they change.

Watches of ZooKeeper fire once, and what changes before the next one is set is seen by the reading that sets it: so
each node is read *with* a watch, and a node whose watch has fired is read again. None is missed; those that came close
together are seen as one. Only what has changed is read.

The revision of a service is the highest zxid of any change that its nodes still show: `mzxid` of the nodes (data) and
`pzxid` of the folders (children that came and went). ZooKeeper numbers all changes upwards, across elections too. When
a node goes, its `mzxid` goes with it, but its folder's `pzxid` becomes the number of that deletion, which is higher;
when a folder goes, the same holds for the node above it, the root. So it never falls as long as the root stands, and
rises with every change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from idlrt.registry.zookeeper.client import NoNode
from idlrt.registry.zookeeper.session import Session, Stat, Watch

__all__ = ["Node", "Tree"]


class Node(NamedTuple):
    """A node: where, and what it holds."""

    folder: str
    name: str
    data: bytes
    created: int


class Tree:
    """See the module.

    Args:
        folders: paths whose children are of interest; and whether the children's data are, too.
        leaves: paths of further nodes whose data are.
        root: the node above the folders that is never removed; only looked at.
        is_watched: whether `changed` is set when something changes; if not, it is read once.
    """

    def __init__(
        self, session: Session, folders: Mapping[str, bool], leaves: Iterable[str], root: str, *, is_watched: bool
    ) -> None:
        self.changed = asyncio.Event()
        self.revision = 0
        self._session = session
        self._watch: Watch | None = self._touched if is_watched else None
        self._folders = folders
        self._leaves = tuple(leaves)
        self._root = root
        self._names: dict[str, set[str]] = {each: set() for each in folders}
        self._found: dict[str, tuple[bytes, Stat]] = {}
        self._dirty: set[str] = set()
        self.refresh_all()

    def refresh_all(self) -> None:
        """See `Follower`."""
        self._dirty.update((self._root, *self._folders, *self._leaves, *self._found))
        self.changed.set()

    def _touched(self, path: str | None) -> None:
        if path is not None:  # else the connection broke: `refresh_all` comes when there is one again
            self._dirty.add(path)
            self.changed.set()

    async def read(self) -> None:
        """Read what has changed, until nothing has.

        Raises:
            RegistryError: that cannot be done; what is left to do is remembered.
        """
        while self._dirty:
            paths, self._dirty = sorted(self._dirty), set()
            results = await asyncio.gather(*map(self._read, paths), return_exceptions=True)
            failed = [each for each in zip(paths, results, strict=True) if each[1] is not None]
            self._dirty.update(path for path, _ in failed)
            for _, error in failed:
                assert error is not None
                raise error

    async def _read(self, path: str) -> None:
        if path == self._root:
            stat = await self._session.exists(path)
            self._seen(stat.children_modified if stat is not None else 0)
        elif path in self._folders:
            await self._read_folder(path)
        elif path in self._leaves or path.rpartition("/")[2] in self._names.get(path.rpartition("/")[0], ()):
            await self._read_node(path)

    async def _read_folder(self, path: str) -> None:
        try:
            names, stat = await self._session.children(path, self._watch)
        except NoNode:
            if await self._session.exists(path, self._watch) is not None:
                self._dirty.add(path)  # it has come in between
                return
            names, stat = [], None
        known, self._names[path] = self._names[path], set(names)
        for name in known - self._names[path]:
            self._found.pop(f"{path}/{name}", None)
        if self._folders[path]:
            self._dirty.update(each for name in names if (each := f"{path}/{name}") not in self._found)
        if stat is not None:
            self._seen(stat.children_modified)

    async def _read_node(self, path: str) -> None:
        try:
            data, stat = await self._session.get(path, self._watch)
        except NoNode:
            self._found.pop(path, None)
            if path in self._leaves and await self._session.exists(path, self._watch) is not None:
                self._dirty.add(path)
            return
        self._found[path] = data, stat
        self._seen(stat.modified)

    def _seen(self, revision: int) -> None:
        self.revision = max(self.revision, revision)

    def nodes(self, folder: str) -> list[Node]:
        """The children of a folder, by name."""
        if not self._folders[folder]:
            return [Node(folder, name, b"", 0) for name in sorted(self._names[folder])]
        return [
            Node(folder, name, data, stat.created)
            for name in sorted(self._names[folder])
            if (found := self._found.get(f"{folder}/{name}")) is not None
            for data, stat in (found,)
        ]

    def leaf(self, path: str) -> bytes | None:
        """The data of a leaf; `None` if it is not there."""
        found = self._found.get(path)
        return found[0] if found is not None else None
