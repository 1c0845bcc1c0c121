"""Local copy of the nodes of one service, kept up to date by watches.

Watches of ZooKeeper fire once, and changes before the next watch is set are seen by the read that sets it. So each node
is read *with* a watch, and read again when its watch has fired. No change is missed; changes in quick succession are
merged. Only changed nodes are read again.

The revision of a service is the highest zxid that its nodes still show: `mzxid` of the nodes (data) and `pzxid` of the
folders (children created and deleted). ZooKeeper's zxids increase with every change, across elections too. When a node
is deleted, its `mzxid` disappears, but the `pzxid` of its folder becomes the zxid of the deletion, which is higher;
when a folder is deleted, the same holds for its parent, the root. So the revision never decreases while the root
exists, and increases with every change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from idlrt.registry.zookeeper.client import NoNode
from idlrt.registry.zookeeper.session import Session, Stat, Watch

__all__ = ["Node", "Tree"]


class Node(NamedTuple):
    """A node: its path and its data."""

    folder: str
    name: str
    data: bytes
    created: int


class Tree:
    """Copy of the nodes of one service.

    Args:
        folders: paths whose children are read; true to read the children's data as well.
        leaves: paths of further nodes whose data are read.
        root: parent of the folders, which is never removed; only its `pzxid` is read.
        is_watched: whether to set watches, and `changed` when one fires; otherwise the nodes are read once.
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
        """Mark all nodes to be read again."""
        self._dirty.update((self._root, *self._folders, *self._leaves, *self._found))
        self.changed.set()

    def _touched(self, path: str | None) -> None:
        if path is not None:  # otherwise the connection was lost: `refresh_all` follows on reconnection
            self._dirty.add(path)
            self.changed.set()

    async def read(self) -> None:
        """Read the changed nodes until none is left.

        Raises:
            RegistryError: a read failed; unread nodes stay marked.
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
                self._dirty.add(path)  # created between the two requests
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
        """Return the children of a folder, sorted by name."""
        if not self._folders[folder]:
            return [Node(folder, name, b"", 0) for name in sorted(self._names[folder])]
        return [
            Node(folder, name, data, stat.created)
            for name in sorted(self._names[folder])
            if (found := self._found.get(f"{folder}/{name}")) is not None
            for data, stat in (found,)
        ]

    def leaf(self, path: str) -> bytes | None:
        """Return the data of a leaf; `None` if it does not exist."""
        found = self._found.get(path)
        return found[0] if found is not None else None
