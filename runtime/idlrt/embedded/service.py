"""State of one service of the embedded registry: its instances and patches, in the order of their changes. No I/O.

Each entry carries the revision of its last change, and entries are ordered by it: the changes since a revision are the
tail. So a watcher may be away for any length of time. Removed entries leave tombstones with their ids, as many as there
are instances (at least a thousand); only a watcher that has missed more removals than that must read everything again.

Long responses are split into parts, in the order of the changes, and a cursor marks the position. An entry that changes
in the meantime moves to the end, so it is sent once, in its last state. After the last part the watcher has the exact
state of that moment, without a copy on the server.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import islice
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from idlrt.embedded.api import Changes, Correction, Part, Record

__all__ = ["NO_CORRECTION", "Cursor", "Entry", "Service", "Usage"]

# Minimum number of tombstones that are kept.
_MIN_TOMBSTONES: Final = 1000
# Encoding overhead of a value in a response, in bytes.
_OVERHEAD: Final = 16

NO_CORRECTION: Final = Correction()


class _Changed(Protocol):
    @property
    def revision(self) -> int: ...


V = TypeVar("V", bound=_Changed)


class Usage:
    """Usage of a limit: number of instances, and their size in bytes."""

    __slots__ = ("count", "size")

    def __init__(self) -> None:
        self.count = self.size = 0

    def add(self, count: int, size: int) -> None:
        """Increase the usage, or decrease it with negative numbers."""
        self.count += count
        self.size += size


class Entry:
    """A registered instance.

    Attributes:
        owner: id of the session.
        size: bytes of the record.
        revision: of its last change.
    """

    __slots__ = ("owner", "record", "revision", "size")

    def __init__(self, record: Record, owner: int, size: int, revision: int) -> None:
        self.record = record
        self.owner = owner
        self.size = size
        self.revision = revision


class _Patch:
    __slots__ = ("correction", "revision", "size")

    def __init__(self, correction: Correction, size: int, revision: int) -> None:
        self.correction = correction
        self.size = size
        self.revision = revision


class _Settings:
    __slots__ = ("revision", "settings", "size")

    def __init__(self, settings: Mapping[str, str], revision: int) -> None:
        self.settings = settings
        self.size = sum(len(name) + len(value) + _OVERHEAD for name, value in settings.items())
        self.revision = revision


class _Tombstone:
    __slots__ = ("revision",)
    size = 0

    def __init__(self, revision: int) -> None:
        self.revision = revision


class Cursor(NamedTuple):
    """Position in a response that is sent in parts.

    Attributes:
        since: revision that the watcher had at the beginning, or that of the service if it had none; earlier removals
            are not sent.
        position: revision up to which entries have been sent, unless they changed again.
    """

    since: int
    position: int


class Service:
    """State of one service.

    Args:
        revision: before the first change.

    Attributes:
        is_listed: whether the service is visible; false until its first write has completed.
        usage: of its instances, including those that are being written.
        patch_usage: of its patches.
        revision: of its last change.
    """

    __slots__ = (
        "_history_from",
        "_patches",
        "_patches_changed_at",
        "_records",
        "_removed",
        "_removed_patches",
        "_settings",
        "is_listed",
        "patch_usage",
        "revision",
        "usage",
    )  # fmt: skip

    def __init__(self, revision: int) -> None:
        self.usage = Usage()
        self.patch_usage = Usage()
        self.is_listed = False
        self.revision = revision
        self._records: dict[str, Entry] = {}
        self._patches: dict[str, _Patch] = {}
        self._removed: OrderedDict[str, _Tombstone] = OrderedDict()
        self._removed_patches: OrderedDict[str, _Tombstone] = OrderedDict()
        self._settings = _Settings({}, revision)
        self._patches_changed_at = revision
        # Tombstones are complete from this revision on.
        self._history_from = revision

    def __len__(self) -> int:
        return len(self._records)

    @property
    def is_empty(self) -> bool:
        """Whether there are no instances, settings or patches, and no instance is being written."""
        return not (self._records or self._patches or self._settings.settings or self.usage.count)

    def entry(self, id: str) -> Entry | None:
        """Return the instance with an id."""
        return self._records.get(id)

    def unused_patches(self, now: float, seconds: float) -> Iterator[tuple[str, Correction]]:
        """Yield the corrections whose expiry must be updated: set when the instance is gone, cleared when it is back.
        A correction that has expired is yielded empty.

        Args:
            now: Unix time in seconds.
            seconds: time for which a correction is kept without an instance.
        """
        for id, each in self._patches.items():
            until = each.correction.unused_until
            if id in self._records:
                if until is not None:
                    yield id, msgspec.structs.replace(each.correction, unused_until=None)
            elif until is None:
                yield id, msgspec.structs.replace(each.correction, unused_until=now + seconds)
            elif until <= now:
                yield id, NO_CORRECTION

    @property
    def corrections(self) -> Mapping[str, Correction]:
        """All corrections by instance id."""
        return {id: each.correction for id, each in self._patches.items()}

    def correction_size(self, id: str) -> int | None:
        """Return the size of a correction in bytes; `None` if there is none."""
        known = self._patches.get(id)
        return known.size if known is not None else None

    # Changes. Revisions are strictly increasing.

    def put(self, id: str, entry: Entry) -> None:
        """Write an instance."""
        self._records.pop(id, None)
        self._removed.pop(id, None)
        self._records[id] = entry
        self.revision = entry.revision

    def drop(self, id: str, revision: int) -> None:
        """Remove an instance."""
        del self._records[id]
        self._forget(self._removed, id, revision)

    def correct(self, id: str, correction: Correction, size: int, revision: int) -> None:
        """Write a correction; an empty one deletes it."""
        known = self._patches.pop(id, None)
        if known is not None:
            self.patch_usage.add(-1, -known.size)
        gone = self._removed_patches.pop(id, None)
        if correction != NO_CORRECTION:
            self._patches[id] = _Patch(correction, size, revision)
            self.patch_usage.add(1, size)
        elif known is not None or gone is not None:
            self._forget(self._removed_patches, id, revision)
        self._patches_changed_at = self.revision = revision

    def configure(self, settings: Mapping[str, str], revision: int) -> None:
        """Write the settings."""
        self._settings = _Settings(settings, revision)
        self.revision = revision

    def touch(self, revision: int) -> None:
        """Record the revision of a change without an effect: the file has it as the last one."""
        self.revision = revision

    def _forget(self, gone: OrderedDict[str, _Tombstone], id: str, revision: int) -> None:
        gone[id] = _Tombstone(revision)
        self.revision = revision
        if len(gone) > max(_MIN_TOMBSTONES, len(self._records)):
            _, oldest = gone.popitem(last=False)
            self._history_from = max(self._history_from, oldest.revision)

    def restore(self, revision: int) -> None:
        """Set the revision after a restart. The order of the earlier changes is unknown."""
        number = 0
        changed: list[Entry | _Patch | _Settings] = [*self._records.values(), *self._patches.values(), self._settings]
        for number, each in enumerate(changed, 1):
            each.revision = number
        self._removed.clear()
        self._removed_patches.clear()
        self.revision = self._history_from = max(revision, number)
        self._patches_changed_at = self.revision

    # Queries.

    def start(self, since: int) -> Cursor | None:
        """Return the start position for a watcher at revision `since`; `None` if it must read everything."""
        if 0 < since <= self.revision and since >= self._history_from:
            return Cursor(since, since)
        return None

    def is_valid(self, cursor: Cursor) -> bool:
        """Whether a response can be continued from a cursor."""
        return self._history_from <= cursor.since <= self.revision and 0 <= cursor.position <= self.revision

    def changes(self, epoch: int, since: int, max_size: int) -> Changes | int:
        """Return the changes since a revision in one response, or its size in bytes if that exceeds `max_size`."""
        cursor = self.start(since)
        is_whole = cursor is None
        after = cursor.position if cursor is not None else 0
        records = [each for _, each in _after(self._records, after)]
        removed = [] if is_whole else [id for id, _ in _after(self._removed, after)]
        is_patched = is_whole or self._patches_changed_at > after
        size = sum(each.size for each in records) + sum(len(id) + _OVERHEAD for id in removed)
        size += self.patch_usage.size if is_patched else 0
        if size > max_size:
            return size
        return Changes(
            epoch=epoch,
            revision=self.revision,
            is_whole=is_whole,
            records=[each.record for each in records],
            removed=removed,
            corrections=dict(self.corrections) if is_patched else None,
            settings=dict(self._settings.settings) if is_whole or self._settings.revision > after else None,
        )

    def part(self, epoch: int, cursor: Cursor | None, max_size: int) -> tuple[Part, Cursor | None]:
        """Return the next part, of about `max_size` bytes, and the cursor of the part after it, `None` after the last.

        Args:
            cursor: a valid cursor; `None` for the first part of the complete state.
        """
        is_whole = cursor is None
        since, position = cursor if cursor is not None else (self.revision, 0)
        part = Part(epoch=epoch, revision=self.revision, is_whole=is_whole, records=[], removed=[], corrections={})
        size, last = 0, position
        for revision, id, value in self._ordered(position, since):
            size += value.size + len(id) + _OVERHEAD
            if size > max_size and last != position:
                return part, Cursor(since, last)
            last = revision
            if isinstance(value, Entry):
                part.records.append(value.record)
            elif isinstance(value, _Patch):
                part.corrections[id] = value.correction
            elif isinstance(value, _Settings):
                part.settings = dict(value.settings)
            elif self._removed.get(id) is value:
                part.removed.append(id)
            else:
                part.corrections[id] = NO_CORRECTION
        return part, None

    def _ordered(self, position: int, since: int) -> Iterator[tuple[int, str, Entry | _Patch | _Settings | _Tombstone]]:
        """Yield the entries changed after `position`, oldest first; removals only after `since`."""
        sources: list[Iterator[tuple[str, Any]]] = [
            _after(self._records, position),
            _after(self._patches, position),
            _after({"": self._settings}, position),
            _after(self._removed, max(position, since)),
            _after(self._removed_patches, max(position, since)),
        ]
        return heapq.merge(
            *[((each.revision, id, each) for id, each in source) for source in sources], key=itemgetter(0)
        )


def _after(values: dict[str, V], revision: int) -> Iterator[tuple[str, V]]:
    """Return the entries changed after a revision, from a dictionary in the order of changes."""
    count = 0
    for each in reversed(values.values()):
        if each.revision <= revision:
            break
        count += 1
    return islice(values.items(), len(values) - count, None)
