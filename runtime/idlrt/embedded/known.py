"""What a client of the embedded registry knows of a service, put together from the parts that it was told.

What cannot be an instance or a patch, because another version wrote it, is logged and left out: one of them must not
hide all the others.
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
from idlrt.registry import Found, Update

__all__ = ["Known"]

T = TypeVar("T")
V = TypeVar("V")

_log = get_logger("idlrt.registry")


class Known:
    """See the module. Parts are put aside until the last one is there, so what is known is never half of it.

    Args:
        epoch: of the registry.
        revision: what was known elsewhere: only what came later is learned.

    Attributes:
        is_whole: whether everything was told since it was made.
    """

    def __init__(self, key: ServiceKey, *, epoch: int = 0, revision: int = 0) -> None:
        self.key = key
        self.epoch = epoch
        self.revision = revision
        self.is_whole = False
        self._instances: dict[str, Instance] = {}
        self._patches: dict[str, Patch] = {}
        self._settings: Mapping[str, str] = {}
        # Ids of what was told, and of what was removed, since a revision that was known elsewhere.
        self._is_noting = revision > 0
        self._changed: dict[str, None] = {}
        self._removed: dict[str, None] = {}
        self._aside: list[Part] = []

    def add(self, part: Part) -> None:
        """Put a part aside; more will come."""
        if part.is_whole:
            self._aside.clear()
        self._aside.append(part)

    def take(self, last: Part) -> bool:
        """Take in all parts; whether anything has changed."""
        self.add(last)
        parts, self._aside = self._aside, []
        if len(parts) == 1 and not last.is_whole and (last.epoch, last.revision) == (self.epoch, self.revision):
            return False
        self.epoch, self.revision = last.epoch, last.revision
        if parts[0].is_whole:
            self._forget()
        for part in parts:
            for id in part.removed:
                self._instances.pop(id, None)
            self._write(part.records)
            if self._is_noting:
                self._removed.update(dict.fromkeys(part.removed))
                self._changed.update(dict.fromkeys([*(each.id for each in part.records), *part.corrections]))
            for id, correction in part.corrections.items():
                self._correct(id, correction)
            if part.settings is not None:
                self._settings = part.settings
        return True

    def take_all(self, changes: Changes) -> bool:
        """Take in one answer with everything; whether anything has changed."""
        corrections = changes.corrections
        if corrections is not None and not changes.is_whole:
            corrections = {**dict.fromkeys(self._patches, NO_CORRECTION), **corrections}
        return self.take(
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

    def _forget(self) -> None:
        self.is_whole = True
        self._instances, self._patches, self._settings = {}, {}, {}

    def _write(self, records: Iterable[Record]) -> None:
        for record in records:
            instance = _made(lambda: instance_of(record), record.id, self.key)  # noqa: B023  # called at once
            if instance is not None:
                self._instances[record.id] = instance
            else:
                self._instances.pop(record.id, None)

    def _correct(self, id: str, correction: Correction) -> None:
        self._patches.pop(id, None)
        if correction != NO_CORRECTION and (patch := _made(lambda: patch_of(correction), id, self.key)) is not None:
            self._patches[id] = patch

    def found(self) -> Found:
        """All of it."""
        return Found(
            instances=list(self._instances.values()),
            patches=dict(self._patches),
            settings=self._settings,
            revision=self.revision,
        )

    def update(self, later: Known) -> Update:
        """What `later` has learned since an earlier revision, with the values of now."""
        there = self._instances
        ids = [id for id in (there if later.is_whole else later._changed) if id in there]
        return Update(
            revision=self.revision,
            is_whole=later.is_whole,
            instances=tuple(self._patches[id].apply(there[id]) if id in self._patches else there[id] for id in ids),
            removed=() if later.is_whole else tuple(id for id in later._removed if id not in there),
            settings=self._settings,
        )


def _made(make: Callable[[], T], id: str, key: ServiceKey) -> T | None:
    try:
        return make()
    except RegistryRefused as error:
        _log.warning("left out what the registry has of %s of %s: %s", id, key, error)
        return None
