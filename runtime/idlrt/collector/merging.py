"""Merging: packets that wait for the collector, of which newer ones replace older ones cell by cell.

Cells are cumulative, so of each cell of each process only the newest value is needed: what waits is bounded by the
number of series, however long the collector is away. A packet without cells is left out, and a newer one of the same
process says so (`Packet.merged`): it is not missing. Nor does the mark of the last packet of a process get lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from idlrt.collector.api import Cell, MetricCells, Packet
from idlrt.collector.packets import MAX_MISSING, merged_of

__all__ = ["MAX_CELLS", "PacketBuffer"]

MAX_CELLS: Final = 500_000
"""Default of the maximum number of cells that wait."""

_MAX_PROCESSES: Final = 10_000
# Packets of processes that have been silent for so long are dropped.
_FORGET_S: Final = 86_400.0

_Cell = tuple[str, tuple[str, ...]]
_Sender = tuple[int, float]


class _Waiting(msgspec.Struct, eq=False):
    """A packet that waits."""

    packet: Packet
    # Cells of which it has the newest value, with the position of their metric in the packet.
    cells: dict[_Cell, tuple[int, Cell]]
    # Numbers of packets that it replaces.
    merged: set[int]
    is_last: bool | None
    is_whole: bool = True
    is_in_flight: bool = False

    def content(self) -> Packet:
        """Return what is left of the packet."""
        packet = self.packet
        if self.is_whole:
            return packet
        infos = [each.metric for each in packet.metrics or ()]
        left: dict[int, list[Cell]] = {}
        for at, cell in self.cells.values():
            left.setdefault(at, []).append(cell)
        metrics = [MetricCells(metric=infos[at], cells=cells) for at, cells in sorted(left.items())]
        merged = _ranges(self.merged) or None
        return msgspec.structs.replace(packet, metrics=metrics, merged=merged, is_last=self.is_last)


def _ranges(numbers: Iterable[int]) -> list[int]:
    """Return numbers as first and last number of each range."""
    found: list[int] = []
    for number in sorted(numbers):
        if found and found[-1] == number - 1:
            found[-1] = number
        else:
            found += (number, number)
    return found


class _Process:
    """Packets of one process that wait."""

    def __init__(self) -> None:
        self.packets: dict[int, _Waiting] = {}
        # Number of the packet that has the newest value of a cell.
        self.newest: dict[_Cell, int] = {}
        self.seen_at = 0.0

    def growth(self, packet: Packet) -> int:
        """Return the number of cells of a packet that would be added."""
        return len({key for key, _, _ in _cells(packet)} - self.newest.keys())

    def put(self, packet: Packet) -> int:
        """Add a packet. Return the number of packets that are left out now."""
        number = packet.sequence
        added = _Waiting(packet, {}, merged_of(packet), packet.is_last)
        for key, at, cell in _cells(packet):
            before = self.newest.get(key)
            if before is not None and before > number:
                added.is_whole = False
                continue
            if before is not None and before != number:
                older = self.packets[before]
                older.is_whole = False
                del older.cells[key]
            self.newest[key] = number
            added.cells[key] = at, cell
        self.packets[number] = added
        return self._leave_out()

    def _leave_out(self) -> int:
        """Drop packets without cells, and let newer ones say so. Return their number."""
        # One that is on its way can say nothing more.
        newest = max((each for each, found in self.packets.items() if not found.is_in_flight), default=0)
        empty = [number for number, each in self.packets.items() if number < newest and not each.cells]
        if not empty:
            return 0
        into = self.packets[newest]
        into.is_whole = False
        for number in empty:
            gone = self.packets.pop(number)
            into.merged |= {*gone.merged, number}
            into.is_last = into.is_last or gone.is_last
        into.merged = set(sorted(into.merged)[-MAX_MISSING:])
        return len(empty)

    def remove(self, number: int) -> int:
        """Remove a packet, if it is still there. Return the number of cells that are gone."""
        gone = self.packets.pop(number, None)
        if gone is None:
            return 0
        for key in gone.cells:
            del self.newest[key]
        return len(gone.cells)


def _cells(packet: Packet) -> Iterable[tuple[_Cell, int, Cell]]:
    for at, each in enumerate(packet.metrics or ()):
        name = each.metric.name
        for cell in each.cells:
            yield (name, tuple(cell.labels)), at, cell


class PacketBuffer:
    """Packets that wait for the collector. Threads may share it.

    Args:
        max_cells: maximum number of cells, of all processes; packets that would exceed it are not taken.
        wall: returns seconds since 1970.
    """

    def __init__(self, max_cells: int = MAX_CELLS, wall: Callable[[], float] = time.time) -> None:
        self._max_cells = max_cells
        self._wall = wall
        self._lock = threading.Lock()
        self._processes: dict[_Sender, _Process] = {}
        self.cells = 0

    def __len__(self) -> int:
        """Return the number of packets that wait, those on their way included."""
        with self._lock:
            return sum(len(each.packets) for each in self._processes.values())

    def put(self, packet: Packet) -> int | None:
        """Take a packet; one that waits already changes nothing.

        Returns:
                The number of packets that are left out from now on; `None` if this one is not taken, for lack of space.

        Raises:
            RemoteProtocolError: it is invalid.
        """
        key = packet.sender.id, packet.sender.started_at
        with self._lock:
            process = self._processes.get(key)
            if process is None:
                if len(self._processes) >= _MAX_PROCESSES:
                    return None
                process = _Process()
            if packet.sequence in process.packets:
                return 0
            growth = process.growth(packet)
            if growth and self.cells + growth > self._max_cells:
                return None
            self._processes[key] = process
            process.seen_at = self._wall()
            self.cells += growth
            return process.put(packet)

    def take(self, number: int) -> list[Packet]:
        """Return packets that are to be sent now. For each, `sent` or `failed` must follow.

        Args:
            number: maximum number of packets.
        """
        found: list[Packet] = []
        with self._lock:
            for process in self._processes.values():
                for each in process.packets.values():
                    if len(found) == number:
                        return found
                    if not each.is_in_flight:
                        each.is_in_flight = True
                        found.append(each.content())
        return found

    def sent(self, packet: Packet) -> None:
        """Forget a packet that is done."""
        key = packet.sender.id, packet.sender.started_at
        with self._lock:
            process = self._processes.get(key)
            if process is None:
                return  # newer packets of the process have replaced this one, and were sent
            self.cells -= process.remove(packet.sequence)
            if not process.packets:
                del self._processes[key]

    def failed(self, packet: Packet) -> None:
        """Keep a packet that was not sent, or what newer ones have left of it."""
        key = packet.sender.id, packet.sender.started_at
        with self._lock:
            process = self._processes.pop(key, None)
            if process is None:
                return
            # Behind all others, which may be accepted.
            self._processes[key] = process
            waiting = process.packets.get(packet.sequence)
            if waiting is not None:
                waiting.is_in_flight = False

    def forget_silent(self) -> int:
        """Drop the packets of processes of which none has come for a day. Return their number."""
        before = self._wall() - _FORGET_S
        gone = 0
        with self._lock:
            for key, process in list(self._processes.items()):
                if process.seen_at < before and not any(each.is_in_flight for each in process.packets.values()):
                    gone += len(process.packets)
                    self.cells -= len(process.newest)
                    del self._processes[key]
        return gone
