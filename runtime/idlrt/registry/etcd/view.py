"""What etcd has of one service: built from a list of its keys, kept up to date by events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.registry.backend import Found
from idlrt.registry.etcd.answers import Event, KeyValue
from idlrt.registry.etcd.layout import Layout

__all__ = ["View"]

_log = get_logger("idlrt.registry")


class View:
    """The keys of a service. What stands under one and cannot be read is logged and left out: one program that writes
    nonsense must not hide all the others.

    Attributes:
        key: the service.
        start: what all the keys begin with.
        revision: of the store, up to which this is all.
        changes: how many events were taken in.
        versions: the revision at which each key was written last. Equal ones mean that everything is equal.
        instances: by id.
        patches: by id.
        settings: of the service.
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
        """Take in what has happened."""
        self.changes += len(events)
        for event in events:
            if event.type == "DELETE":
                self._remove(event.kv.key)
            else:
                self._write(event.kv)
            # Not the revision in the header, which may be ahead of events that are still to come.
            self.revision = max(self.revision, event.kv.mod_revision)

    def found(self, revision: int) -> Found:
        """The same, as it is told."""
        return Found(
            instances=list(self.instances.values()),
            patches=dict(self.patches),
            settings=self.settings,
            revision=revision,
        )

    def place(self, key: bytes) -> tuple[str, str]:
        """What kind of thing stands under a key, and its id."""
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
                    raise ValueError(f"it says that it is {instance.id} of {instance.key}")
                self.instances[id] = instance
            elif kind == "patches":
                self.patches[id] = msgspec.json.decode(kv.value, type=Patch)
            elif kind == "settings":
                self.settings = msgspec.json.decode(kv.value, type=dict[str, str])
        except (msgspec.MsgspecError, ValueError) as error:
            _log.warning("left out what etcd has under %s: %s", kv.key.decode(errors="replace"), error)

    def _remove(self, key: bytes) -> None:
        self.versions.pop(key, None)
        kind, id = self.place(key)
        if kind == "instances":
            self.instances.pop(id, None)
        elif kind == "patches":
            self.patches.pop(id, None)
        elif kind == "settings":
            self.settings = {}
