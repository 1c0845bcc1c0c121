"""Removal of a service from ZooKeeper: its settings, its patches and our folders."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from idlrt.registry.zookeeper.client import Conflict, NoNode
from idlrt.registry.zookeeper.session import Change, Session

__all__ = ["remove_service"]

# Maximum number of nodes in a transaction: servers reject requests of a megabyte or more.
_MAX_OPERATIONS: Final = 500


async def remove_service(session: Session, root: str) -> None:
    """Delete the nodes under `root`, then `root` and its parent if they are empty.

    Args:
        root: path of the service, `/GROUP/SERVICE` under the folder of this runtime.

    Raises:
        Conflict: another client has written there in the meantime.
        RegistryError: a request failed.
    """
    for folder in (f"{root}/patches", root):
        names = await _names(session, folder)
        paths = [f"{folder}/{name}" for name in sorted(names)]
        for some in _chunks([*paths, folder] if await session.exists(folder) is not None else paths):
            await session.commit(*[Change("delete", path) for path in some])
    with contextlib.suppress(Conflict, NoNode):
        await session.commit(Change("delete", root.rpartition("/")[0]))  # the group, if this was its last service


async def _names(session: Session, folder: str) -> list[str]:
    try:
        return (await session.children(folder))[0]
    except NoNode:
        return []


def _chunks(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(paths), _MAX_OPERATIONS):
        yield paths[first : first + _MAX_OPERATIONS]
