"""One service of the embedded registry: its instances and patches, in the order in which they changed. No I/O.

Everything that is there carries the revision of its last change, and is kept in that order: what has changed since a
revision is the tail of it. So a follower may have been away for as long as it likes. What is gone leaves its id behind
for a while, as many as there are instances (at least a thousand): only who has missed more of these than that has to
be told everything again.

Long answers are told in parts, in the order of the changes. A cursor says how far they have come. What changes
meanwhile moves to the end, so it is told once, in its last state, and after the last part the follower knows exactly
what was there at that moment; nobody has to keep a copy for him.
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

# Ids of removed instances that are remembered in any case.
_REMEMBERED: Final = 1000
# Bytes that a value and its place in an answer take beside its text.
_OVERHEAD: Final = 16

NO_CORRECTION: Final = Correction()


class _Changed(Protocol):
    @property
    def revision(self) -> int: ...


V = TypeVar("V", bound=_Changed)


class Usage:
    """How much of a limit is taken: a number of instances, and their bytes."""

    __slots__ = ("count", "size")

    def __init__(self) -> None:
        self.count = self.size = 0

    def add(self, count: int, size: int) -> None:
        """Take more, or less."""
        self.count += count
        self.size += size


class Entry:
    """An instance that is registered.

    Attributes:
        owner: the session.
        size: bytes of the record.
        revision: of its last change.
    """

    __slots__ = ("owner", "record", "revision", "size")

    def __init__(self, record: Record, owner: int, size: int, revision: int) -> None:
        self.record = record
        self.owner = owner
        self.size = size
        self.revision = revision


class _Patched:
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


class _Gone:
    __slots__ = ("revision",)
    size = 0

    def __init__(self, revision: int) -> None:
        self.revision = revision


class Cursor(NamedTuple):
    """How far the parts of an answer have come.

    Attributes:
        since: the revision that the follower knew at the beginning; if it knew none, that of the service then. What was
            removed before it is of no interest.
        position: everything that has not changed after it has been told.
    """

    since: int
    position: int


class Service:
    """See the module.

    Args:
        revision: before its first change.

    Attributes:
        is_listed: whether anything was ever written; it is being written otherwise.
        usage: of its instances, also of those that are being written.
        patched: of its patches.
        revision: of its last change.
    """

    __slots__ = (
        "_gone", "_patched_at", "_patches", "_records", "_remembers_from", "_settings", "_unpatched",
        "is_listed", "patched", "revision", "usage",
    )  # fmt: skip

    def __init__(self, revision: int) -> None:
        self.usage = Usage()
        self.patched = Usage()
        self.is_listed = False
        self.revision = revision
        self._records: dict[str, Entry] = {}
        self._patches: dict[str, _Patched] = {}
        self._gone: OrderedDict[str, _Gone] = OrderedDict()
        self._unpatched: OrderedDict[str, _Gone] = OrderedDict()
        self._settings = _Settings({}, revision)
        self._patched_at = revision
        # What was removed at later revisions is known.
        self._remembers_from = revision

    def __len__(self) -> int:
        return len(self._records)

    @property
    def is_empty(self) -> bool:
        """Whether it has neither instances nor settings nor patches, and none is being written."""
        return not (self._records or self._patches or self._settings.settings or self.usage.count)

    def entry(self, id: str) -> Entry | None:
        """The instance of an id."""
        return self._records.get(id)

    def unused_patches(self, now: float, seconds: float) -> Iterator[tuple[str, Correction]]:
        """Corrections that have to be written anew, because their instance has come or gone, or because it has been
        gone for too long: then they are empty.

        Args:
            now: seconds since 1970.
            seconds: for which a correction is kept without an instance.
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
        """By id."""
        return {id: each.correction for id, each in self._patches.items()}

    def correction_size(self, id: str) -> int | None:
        """Bytes of a correction; `None` if there is none."""
        known = self._patches.get(id)
        return known.size if known is not None else None

    # Changes. Each has a revision that is higher than all before it.

    def put(self, id: str, entry: Entry) -> None:
        """Write an instance."""
        self._records.pop(id, None)
        self._gone.pop(id, None)
        self._records[id] = entry
        self.revision = entry.revision

    def drop(self, id: str, revision: int) -> None:
        """Remove an instance."""
        del self._records[id]
        self._forget(self._gone, id, revision)

    def correct(self, id: str, correction: Correction, size: int, revision: int) -> None:
        """Write a correction; an empty one removes what is there."""
        known = self._patches.pop(id, None)
        if known is not None:
            self.patched.add(-1, -known.size)
        gone = self._unpatched.pop(id, None)
        if correction != NO_CORRECTION:
            self._patches[id] = _Patched(correction, size, revision)
            self.patched.add(1, size)
        elif known is not None or gone is not None:
            self._forget(self._unpatched, id, revision)
        self._patched_at = self.revision = revision

    def configure(self, settings: Mapping[str, str], revision: int) -> None:
        """Write the settings."""
        self._settings = _Settings(settings, revision)
        self.revision = revision

    def touch(self, revision: int) -> None:
        """Note a change that came to nothing: it is on disk as the last one."""
        self.revision = revision

    def _forget(self, gone: OrderedDict[str, _Gone], id: str, revision: int) -> None:
        gone[id] = _Gone(revision)
        self.revision = revision
        if len(gone) > max(_REMEMBERED, len(self._records)):
            _, oldest = gone.popitem(last=False)
            self._remembers_from = max(self._remembers_from, oldest.revision)

    def restore(self, revision: int) -> None:
        """After a restart: how far the service had come. In which order it did is not known any more."""
        number = 0
        changed: list[Entry | _Patched | _Settings] = [*self._records.values(), *self._patches.values(), self._settings]
        for number, each in enumerate(changed, 1):
            each.revision = number
        self._gone.clear()
        self._unpatched.clear()
        self.revision = self._remembers_from = max(revision, number)
        self._patched_at = self.revision

    # Questions.

    def start(self, since: int) -> Cursor | None:
        """Where to begin for a follower that knows everything up to `since`; `None`: it has to be told everything."""
        if 0 < since <= self.revision and since >= self._remembers_from:
            return Cursor(since, since)
        return None

    def is_good(self, cursor: Cursor) -> bool:
        """Whether one can go on from there."""
        return self._remembers_from <= cursor.since <= self.revision and 0 <= cursor.position <= self.revision

    def changes(self, epoch: int, since: int, most: int) -> Changes | int:
        """What has changed since a revision, as one answer; its bytes, if these are more than `most`."""
        cursor = self.start(since)
        is_whole = cursor is None
        after = cursor.position if cursor is not None else 0
        records = [each for _, each in _after(self._records, after)]
        removed = [] if is_whole else [id for id, _ in _after(self._gone, after)]
        is_patched = is_whole or self._patched_at > after
        size = sum(each.size for each in records) + sum(len(id) + _OVERHEAD for id in removed)
        size += self.patched.size if is_patched else 0
        if size > most:
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

    def part(self, epoch: int, cursor: Cursor | None, most: int) -> tuple[Part, Cursor | None]:
        """What comes at a cursor, of about `most` bytes, and where the next part begins; `None` after the last one.

        Args:
            cursor: is good; `None` for the first part of everything.
        """
        is_whole = cursor is None
        since, position = cursor if cursor is not None else (self.revision, 0)
        part = Part(epoch=epoch, revision=self.revision, is_whole=is_whole, records=[], removed=[], corrections={})
        size, last = 0, position
        for revision, id, value in self._ordered(position, since):
            size += value.size + len(id) + _OVERHEAD
            if size > most and last != position:
                return part, Cursor(since, last)
            last = revision
            if isinstance(value, Entry):
                part.records.append(value.record)
            elif isinstance(value, _Patched):
                part.corrections[id] = value.correction
            elif isinstance(value, _Settings):
                part.settings = dict(value.settings)
            elif self._gone.get(id) is value:
                part.removed.append(id)
            else:
                part.corrections[id] = NO_CORRECTION
        return part, None

    def _ordered(self, position: int, since: int) -> Iterator[tuple[int, str, Entry | _Patched | _Settings | _Gone]]:
        """Everything that has changed after `position`, oldest first; removals only after `since`."""
        sources: list[Iterator[tuple[str, Any]]] = [
            _after(self._records, position),
            _after(self._patches, position),
            _after({"": self._settings}, position),
            _after(self._gone, max(position, since)),
            _after(self._unpatched, max(position, since)),
        ]
        return heapq.merge(
            *[((each.revision, id, each) for id, each in source) for source in sources], key=itemgetter(0)
        )


def _after(values: dict[str, V], revision: int) -> Iterator[tuple[str, V]]:
    """What has changed after a revision, of values in the order of their changes."""
    count = 0
    for each in reversed(values.values()):
        if each.revision <= revision:
            break
        count += 1
    return islice(values.items(), len(values) - count, None)
