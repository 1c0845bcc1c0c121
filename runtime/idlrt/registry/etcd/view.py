"""Local copy of one service in etcd: built from a list of its keys, updated by watch events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.registry.backend import ServiceData
from idlrt.registry.etcd.layout import Layout
from idlrt.registry.etcd.responses import Event, KeyValue

__all__ = ["View"]

_log = get_logger("idlrt.registry")


class View:
    """Decoded keys of a service. A value that cannot be decoded is logged and ignored, so that one faulty writer does
    not hide all other instances.

    Attributes:
        key: the service.
        start: prefix of its keys.
        revision: revision of the store up to which the copy is complete.
        changes: number of events applied.
        versions: modification revision of each key. Two copies with equal versions are equal.
        instances: by id.
        patches: by id.
        settings: settings of the service.
    """

    def __init__(self, layout: Layout, key: ServiceKey, kvs: Sequence[KeyValue], revision: int) -> None:
        self.key = key
        self.start = layout.service(key)
        self.revision = revision
        self.changes = 0
        self.versions: dict[bytes, int] = {}
        self.instances: dict[str, Instance] = {}
        self.patches: dict[str, Patch] = {}
        self.settings: Mapping[str, str] = {}
        for kv in kvs:
            self._write(kv)

    def apply(self, events: Sequence[Event]) -> None:
        """Apply watch events."""
        self.changes += len(events)
        for event in events:
            if event.type == "DELETE":
                self._remove(event.kv.key)
            else:
                self._write(event.kv)
            # Not the revision in the header, which may be ahead of events that are yet to arrive.
            self.revision = max(self.revision, event.kv.mod_revision)

    def found(self, revision: int) -> ServiceData:
        """Return a copy of the state, with the given revision."""
        return ServiceData(
            instances=list(self.instances.values()),
            patches=dict(self.patches),
            settings=self.settings,
            revision=revision,
        )

    def place(self, key: bytes) -> tuple[str, str]:
        """Split a key into the kind of its value and the id."""
        kind, _, id = key.decode(errors="replace").removeprefix(self.start).partition("/")
        return kind, id

    def _write(self, kv: KeyValue) -> None:
        self._remove(kv.key)
        self.versions[kv.key] = kv.mod_revision
        kind, id = self.place(kv.key)
        try:
            if kind == "instances":
                instance = msgspec.json.decode(kv.value, type=Instance)
                if instance.key != self.key or instance.id != id:
                    raise ValueError(f"the value describes {instance.id} of {instance.key}")
                self.instances[id] = instance
            elif kind == "patches":
                self.patches[id] = msgspec.json.decode(kv.value, type=Patch)
            elif kind == "settings":
                self.settings = msgspec.json.decode(kv.value, type=dict[str, str])
        except (msgspec.MsgspecError, ValueError) as error:
            path = kv.key.decode(errors="replace")
            _log.warning("ignoring etcd key %s: %s", path, error, extra={"service": str(self.key), "key": path})

    def _remove(self, key: bytes) -> None:
        self.versions.pop(key, None)
        kind, id = self.place(key)
        if kind == "instances":
            self.instances.pop(id, None)
        elif kind == "patches":
            self.patches.pop(id, None)
        elif kind == "settings":
            self.settings = {}
