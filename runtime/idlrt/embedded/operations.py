"""What the embedded registry's state is made of and its file keeps: sessions, and changes of services."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from idlrt.core import ServiceKey
from idlrt.embedded.api import Correction, Record
from idlrt.embedded.service import Usage

__all__ = ["Lease", "Operation"]


class Lease:
    """A session.

    Attributes:
        timeout: seconds for which it lives without a heartbeat.
        deadline: when it ends.
        owned: what was registered in it, or is being written: it may be taken away before it is on disk.
        usage: of what it registered, and is registering.
    """

    __slots__ = ("client", "deadline", "id", "owned", "timeout", "usage")

    def __init__(self, id: int, client: str, timeout: float, deadline: float) -> None:
        self.id = id
        self.client = client
        self.timeout = timeout
        self.deadline = deadline
        self.owned: set[tuple[ServiceKey, str]] = set()
        self.usage = Usage()


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One change. What is set says what it is.

    Attributes:
        revision: its place.
        key: the service.
        id: of the instance; empty if it is about the service.
        record: to be written; `None` with an `id`: to be taken away.
        session: whose it is.
        size: bytes of the record or the correction.
        correction: to be written; an empty one is taken away.
        settings: to be written.
        is_farewell: whether the service is to be forgotten, if it has nothing and this is the revision of its last
            change.
    """

    revision: int
    key: ServiceKey
    id: str = ""
    record: Record | None = None
    session: int = 0
    size: int = 0
    correction: Correction | None = None
    settings: Mapping[str, str] | None = None
    is_farewell: bool = False
