"""Building blocks of the embedded registry's state: sessions, and changes of services."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from idlrt.core import ServiceKey
from idlrt.embedded.api import Correction, Record
from idlrt.embedded.service import Usage

__all__ = ["Lease", "Operation"]


class Lease:
    """A session of a client.

    Attributes:
        timeout: session timeout in seconds.
        deadline: time at which the session ends without another heartbeat.
        owned: instances registered in the session or being written, so that they can be removed before they are on
            disk.
        usage: of these instances.
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
    """A change. The attributes that are set determine its kind.

    Attributes:
        revision: position in the order of all changes.
        key: the service.
        id: instance id; empty for a change of the service itself.
        record: record to write; `None` with an `id` deletes the record.
        session: owner of the record.
        size: bytes of the record or the correction.
        correction: correction to write; an empty one deletes it.
        settings: settings to write.
        is_removal: whether to delete the service, if it is empty and this is the revision of its last change.
    """

    revision: int
    key: ServiceKey
    id: str = ""
    record: Record | None = None
    session: int = 0
    size: int = 0
    correction: Correction | None = None
    settings: Mapping[str, str] | None = None
    is_removal: bool = False
