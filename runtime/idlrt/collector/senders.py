"""State of the programs that push: what each has counted so far, so that each packet adds what is new.

Cells are cumulative. A packet that was lost, or that comes late or twice, changes no count: a later one has its counts,
too. The state is stored with what it has added, so that a restart neither loses nor repeats counts.

Of processes that are forgotten the number of the last packet stays known for a month, so that a transport that delivers
old packets once more, such as a topic of Kafka that is read from the beginning, adds nothing.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from idlrt.collector.api import Packet
from idlrt.collector.packets import MAX_MISSING, merged_of, series_of
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels, Series, Value

__all__ = ["Addition", "SenderState", "Senders"]

_Key = tuple[str, Labels]


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """Counts that a packet adds.

    Attributes:
        resource: identity of the program.
        at: time of the snapshot, in seconds since 1970.
        series: counters and histograms: what was added since the last packet; gauges: their values.
        missing: number of packets before it that have not arrived so far.
    """

    resource: Mapping[str, str]
    at: float
    series: list[Series]
    missing: int


class _Stored(msgspec.Struct, array_like=True):
    """State of a sender as it is stored."""

    started_at: float
    resource: dict[str, str]
    sequence: int
    seen_at: float
    missing: list[int]
    cells: list[tuple[str, list[str], int, Histogram | float]]
    is_over: bool = False
    returned_at: float | None = None
    # Whether only the number of the last packet is known.
    is_forgotten: bool = False


class _Forgotten(msgspec.Struct, frozen=True):
    """Record of a process that was forgotten."""

    started_at: float
    sequence: int
    seen_at: float

    def dump(self) -> bytes:
        """Return it as it is stored."""
        stored = _Stored(self.started_at, {}, self.sequence, self.seen_at, [], [], is_forgotten=True)
        return zlib.compress(_encoder.encode(stored), 1)


class SenderState:
    """State of one process.

    Attributes:
        started_at: its start, in seconds since 1970.
        resource: its identity.
        sequence: highest number of its packets.
        seen_at: when its last packet has arrived, on the clock of the collector: that of the program may be wrong.
        is_over: whether it has sent its last packet.
    """

    def __init__(self, started_at: float, resource: Mapping[str, str]) -> None:
        self.started_at = started_at
        self.resource = dict(resource)
        self.sequence = 0
        self.seen_at = 0.0
        self.is_over = False
        # Time of the first snapshot after the process was forgotten: what was counted before is not known any more.
        self.returned_at: float | None = None
        # Numbers below the highest one whose packets have not arrived: the last ones.
        self._missing: set[int] = set()
        # Number of the packet that a cell has come with, and its value.
        self._cells: dict[_Key, tuple[int, Value]] = {}

    def apply(self, packet: Packet) -> list[Series] | None:
        """Return what a packet adds; `None` if it has arrived before.

        Raises:
            RemoteProtocolError: it is invalid.
        """
        found = series_of(packet)
        merged = merged_of(packet)
        number = packet.sequence
        if number > self.sequence:
            skipped = range(max(self.sequence + 1, number - MAX_MISSING), number)
            self._missing.update(skipped)
            self.sequence = number
            self._forget_old()
        elif number in self._missing:
            self._missing.discard(number)
        else:
            return None
        self._missing -= merged
        if packet.is_last:
            self.is_over = True
        is_base = self.returned_at is not None and packet.at <= self.returned_at
        return [each for each in (self._added(series, number, is_base) for series in found) if each.values]

    def _forget_old(self) -> None:
        if len(self._missing) > MAX_MISSING:
            self._missing = set(sorted(self._missing)[-MAX_MISSING:])

    def _added(self, series: Series, number: int, is_base: bool) -> Series:
        values: dict[Labels, Value] = {}
        for labels, value in series.values.items():
            key = series.metric.name, labels
            before = self._cells.get(key)
            if before is not None and before[0] > number:
                continue  # an older value, which came late
            self._cells[key] = number, value
            if series.metric.kind == "gauge":
                added: Value | None = value
            elif before is None:
                added = None if is_base else value
            else:
                added = _difference(value, before[1])
            if added is not None:
                values[labels] = added
        return Series(series.metric, values)

    @property
    def missing(self) -> int:
        """Number of packets that have not arrived."""
        return len(self._missing)

    def dump(self) -> bytes:
        """Return the state as it is stored."""
        cells = [(name, list(labels), number, value) for (name, labels), (number, value) in self._cells.items()]
        stored = _Stored(
            self.started_at,
            self.resource,
            self.sequence,
            self.seen_at,
            sorted(self._missing),
            cells,
            self.is_over,
            self.returned_at,
        )
        return zlib.compress(_encoder.encode(stored), 1)

    @classmethod
    def load(cls, data: bytes) -> SenderState:
        """Return the state that `dump` has returned."""
        return cls.of(_loaded(data))

    @classmethod
    def of(cls, stored: _Stored) -> SenderState:
        found = cls(stored.started_at, stored.resource)
        found.sequence, found.seen_at, found.is_over = stored.sequence, stored.seen_at, stored.is_over
        found.returned_at = stored.returned_at
        found._missing = set(stored.missing)
        found._cells = {(name, tuple(labels)): (number, value) for name, labels, number, value in stored.cells}
        return found


# How long the number of the last packet of a process stays known, and of how many processes.
_KEEP_S: Final = 30 * 86_400.0
_MAX_FORGOTTEN: Final = 100_000
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Stored)


def _loaded(data: bytes) -> _Stored:
    return _decoder.decode(zlib.decompress(data))


def _difference(value: Value, before: Value) -> Value | None:
    """Return what was added; `None` for nothing. A smaller value means that counting has begun again."""
    if isinstance(value, Histogram) and isinstance(before, Histogram):
        if value.count < before.count:
            return value
        return value.since(before) if value.count > before.count else None
    if isinstance(value, Histogram) or isinstance(before, Histogram):
        return value
    # A counter of zero is known, and stays so.
    return value - before if value >= before else value


class Senders:
    """States of all processes.

    Args:
        stored: states that were stored, by id.
        max_senders: maximum number; the ones that have been silent for longest are forgotten.
        wall: returns seconds since 1970.
    """

    def __init__(
        self,
        stored: Mapping[int, bytes] | None = None,
        *,
        max_senders: int = 10_000,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._max_senders = max_senders
        self._wall = wall
        self._states: dict[int, SenderState] = {}
        self._forgotten: dict[int, _Forgotten] = {}
        for id, data in (stored or {}).items():
            found = _loaded(data)
            if found.is_forgotten:
                self._forgotten[id] = _Forgotten(found.started_at, found.sequence, found.seen_at)
            else:
                self._states[id] = SenderState.of(found)
        # While the collector is away, all are silent.
        self._since = wall()

    def apply(self, packet: Packet) -> Addition | None:
        """Return what a packet adds; `None` if it has arrived before.

        Raises:
            RemoteProtocolError: it is invalid; nothing has changed.
        """
        id = packet.sender.id
        state = self._states.get(id)
        is_new = state is None or state.started_at != packet.sender.started_at
        if state is None or is_new:
            state = SenderState(packet.sender.started_at, packet.sender.resource)
            known = self._forgotten.get(id)
            if known is not None and known.started_at == state.started_at:
                if packet.sequence <= known.sequence:
                    return None
                state.sequence, state.returned_at = known.sequence, packet.at
        series = state.apply(packet)
        state.seen_at = self._wall()
        if is_new:
            self._states[id] = state
            self._forgotten.pop(id, None)
        if series is None:
            return None
        return Addition(resource=packet.sender.resource, at=packet.at, series=series, missing=state.missing)

    def dump(self, id: int) -> bytes:
        """Return what is known of a process as it is stored; nothing if nothing is."""
        known = self._states.get(id) or self._forgotten.get(id)
        return known.dump() if known is not None else b""

    def forget_silent(self, silent_s: float) -> list[int]:
        """Forget processes that have been silent for some seconds while the collector ran, and the ones beyond the
        maximum number that have been silent for longest. Return the ids of which something else is to be stored.
        """
        now = self._wall()
        by_age = sorted(self._states, key=lambda id: self._states[id].seen_at)
        surplus = set(by_age[: max(len(by_age) - self._max_senders, 0)])
        gone = [id for id in by_age if max(self._states[id].seen_at, self._since) < now - silent_s or id in surplus]
        for id in gone:
            state = self._states.pop(id)
            self._forgotten[id] = _Forgotten(state.started_at, state.sequence, state.seen_at)
        return gone + self._forget_old()

    def _forget_old(self) -> list[int]:
        """Forget the numbers of processes, too, that were forgotten long ago. Return their ids."""
        before = self._wall() - _KEEP_S
        gone = [id for id, each in self._forgotten.items() if each.seen_at < before]
        surplus = len(self._forgotten) - _MAX_FORGOTTEN
        if surplus > len(gone):
            gone = sorted(self._forgotten, key=lambda id: self._forgotten[id].seen_at)[:surplus]
        for id in gone:
            del self._forgotten[id]
        return gone

    def states(self) -> Iterable[SenderState]:
        """Return all states."""
        return list(self._states.values())
