"""Local copy of a service of the embedded registry, assembled from the parts of responses.

Records and corrections that are invalid here, because another version wrote them, are logged and ignored, so that one
of them does not hide all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.embedded.api import Changes, Correction, Part, Record
from idlrt.embedded.service import NO_CORRECTION
from idlrt.embedded.values import instance_of, patch_of
from idlrt.errors import RegistryRefused
from idlrt.registry import ServiceData, Update

__all__ = ["Replica"]

T = TypeVar("T")
V = TypeVar("V")

_log = get_logger("idlrt.registry")


class Replica:
    """Local copy of one service. Parts are buffered until the last one has arrived, so the copy is always consistent.

    Args:
        epoch: identifies the registry.
        revision: revision that the caller has from elsewhere; only later changes are read.

    Attributes:
        is_whole: whether the complete state was received.
    """

    def __init__(self, key: ServiceKey, *, epoch: int = 0, revision: int = 0) -> None:
        self.key = key
        self.epoch = epoch
        self.revision = revision
        self.is_whole = False
        self._instances: dict[str, Instance] = {}
        self._patches: dict[str, Patch] = {}
        self._settings: Mapping[str, str] = {}
        # Ids of changed and of removed instances since `revision`, if one was given.
        self._tracks_changes = revision > 0
        self._changed: dict[str, None] = {}
        self._removed: dict[str, None] = {}
        self._buffered: list[Part] = []

    def add(self, part: Part) -> None:
        """Buffer a part that is not the last one."""
        if part.is_whole:
            self._buffered.clear()
        self._buffered.append(part)

    def apply(self, last: Part) -> bool:
        """Apply the buffered parts and the last one; return whether anything has changed."""
        self.add(last)
        parts, self._buffered = self._buffered, []
        if len(parts) == 1 and not last.is_whole and (last.epoch, last.revision) == (self.epoch, self.revision):
            return False
        self.epoch, self.revision = last.epoch, last.revision
        if parts[0].is_whole:
            self._clear()
        for part in parts:
            for id in part.removed:
                self._instances.pop(id, None)
            self._write(part.records)
            if self._tracks_changes:
                self._removed.update(dict.fromkeys(part.removed))
                self._changed.update(dict.fromkeys([*(each.id for each in part.records), *part.corrections]))
            for id, correction in part.corrections.items():
                self._correct(id, correction)
            if part.settings is not None:
                self._settings = part.settings
        return True

    def apply_changes(self, changes: Changes) -> bool:
        """Apply a response with all changes; return whether anything has changed."""
        corrections = changes.corrections
        if corrections is not None and not changes.is_whole:
            corrections = {**dict.fromkeys(self._patches, NO_CORRECTION), **corrections}
        return self.apply(
            Part(
                epoch=changes.epoch,
                revision=changes.revision,
                is_whole=changes.is_whole,
                records=changes.records,
                removed=changes.removed,
                corrections=corrections or {},
                settings=changes.settings,
            )
        )

    def _clear(self) -> None:
        self.is_whole = True
        self._instances, self._patches, self._settings = {}, {}, {}

    def _write(self, records: Iterable[Record]) -> None:
        for record in records:
            instance = _converted(lambda: instance_of(record), record.id, self.key)  # noqa: B023  # called at once
            if instance is not None:
                self._instances[record.id] = instance
            else:
                self._instances.pop(record.id, None)

    def _correct(self, id: str, correction: Correction) -> None:
        self._patches.pop(id, None)
        if (
            correction != NO_CORRECTION
            and (patch := _converted(lambda: patch_of(correction), id, self.key)) is not None
        ):
            self._patches[id] = patch

    def found(self) -> ServiceData:
        """Return the state as it is now."""
        return ServiceData(
            instances=list(self._instances.values()),
            patches=dict(self._patches),
            settings=self._settings,
            revision=self.revision,
        )

    def update(self, later: Replica) -> Update:
        """Return the changes that `later` has read since an earlier revision, with the values of this copy."""
        there = self._instances
        ids = [id for id in (there if later.is_whole else later._changed) if id in there]
        return Update(
            revision=self.revision,
            is_whole=later.is_whole,
            instances=tuple(self._patches[id].apply(there[id]) if id in self._patches else there[id] for id in ids),
            removed=() if later.is_whole else tuple(id for id in later._removed if id not in there),
            settings=self._settings,
        )


def _converted(make: Callable[[], T], id: str, key: ServiceKey) -> T | None:
    try:
        return make()
    except RegistryRefused as error:
        _log.warning(
            "ignoring invalid registration %s of %s: %s", id, key, error, extra={"service": str(key), "instance": id}
        )
        return None
