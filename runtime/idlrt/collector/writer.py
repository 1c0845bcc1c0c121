"""Writer of the collector: a thread that adds packets to the store, several in one transaction, and acknowledges them.

The thread also rolls cells up, and forgets processes that are gone.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from idlrt.collector.api import Packet
from idlrt.collector.programs import Programs
from idlrt.collector.senders import Senders
from idlrt.collector.store import CellStore, StoreError
from idlrt.core.logs import get_logger
from idlrt.errors import RemoteProtocolError
from idlrt.observe.cells import Counts
from idlrt.observe.metric import Metric, Series
from idlrt.printable import plural

__all__ = ["Done", "Writer"]

_log: Final = get_logger("idlrt.collector")

Done = Callable[[Exception | None], object]
"""Called once a packet is stored, or with the reason why it is not. Must not block."""

# Packets that wait at most, and that one transaction has.
_MAX_WAITING: Final = 5000
_MAX_BATCH: Final = 200
_GATHER_S: Final = 0.02
_MAINTAIN_S: Final = 10.0
# Processes that have been silent for so long will hardly come back: what they have counted is forgotten.
_FORGET_S: Final = 86_400.0

PACKETS: Final = Metric(
    name="rpc_collector_packets_total",
    kind="counter",
    help="Packets that programs have pushed, by transport and outcome: stored, repeated, refused, dropped or failed",
    labels=("transport", "outcome"),
)


class _Waiting(msgspec.Struct):
    packet: Packet
    transport: str
    done: Done | None


class Writer:
    """Writer. Threads may share it.

    Args:
        store: the store, which this thread alone writes to.
        programs: told of the packets that were stored.
        wall: returns seconds since 1970.
    """

    def __init__(self, store: CellStore, programs: Programs, wall: Callable[[], float] = time.time) -> None:
        self._store = store
        self._programs = programs
        self._wall = wall
        self._senders = Senders({int(name): data for name, data in store.states().items()}, wall=wall)
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(_MAX_WAITING)
        self._counts = Counts(PACKETS)
        self._thread = threading.Thread(target=self._work, name="idlrt collector", daemon=True)
        self._maintain_at = time.monotonic() + _MAINTAIN_S

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of packets that wait."""
        return self._queue.qsize()

    @property
    def missing(self) -> int:
        """Number of packets that have not arrived, by the gaps in their numbers."""
        return sum(each.missing for each in self._senders.states())

    def read(self) -> list[Series]:
        """Return the counters of packets; it is a `Source`."""
        return [self._counts.series()] if len(self._counts) else []

    def put(self, packet: Packet, transport: str, done: Done | None = None) -> None:
        """Add a packet. If too many wait, it is dropped, and `done` told.

        Args:
            packet: the packet.
            transport: `tcp`, `udp`, `unix` or `kafka`.
            done: told once it is stored.
        """
        try:
            self._queue.put_nowait(_Waiting(packet, transport, done))
        except queue.Full:
            self._counts.add((transport, "dropped"), 1)
            if done is not None:
                done(OverflowError(f"{_MAX_WAITING} packets wait already; try again later"))

    def refused(self, transport: str) -> None:
        """Count a packet that cannot be read."""
        self._counts.add((transport, "refused"), 1)

    def _work(self) -> None:
        while True:
            batch, is_over = self._gather()
            if batch:
                self._write(batch)
            if time.monotonic() >= self._maintain_at:
                self._maintain()
            if is_over:
                return

    def _gather(self) -> tuple[list[_Waiting], bool]:
        """Wait for packets, and return those that are there; and whether no further ones come."""
        batch: list[_Waiting] = []
        end = 0.0
        while len(batch) < _MAX_BATCH:
            timeout = max(end - time.monotonic(), 0.0) if batch else max(self._maintain_at - time.monotonic(), 0.01)
            try:
                found = self._queue.get(timeout=timeout)
            except queue.Empty:
                break
            if found is None:
                return batch, True
            if not batch:
                end = time.monotonic() + _GATHER_S
            batch.append(found)
        return batch, False

    def _write(self, batch: list[_Waiting]) -> None:
        kept = [(each, outcome) for each in batch if (outcome := self._add(each))]
        try:
            for id in {each.packet.sender.id for each, outcome in kept if outcome == "stored"}:
                self._store.put_state(str(id), self._senders.dump(id))
            self._store.commit()
        except Exception as error:  # noqa: BLE001  # the disk may be full
            # What was added stays in memory, and is written with the next packets. Nothing is acknowledged until then:
            # programs push again, and what they push adds only what is new.
            fields = {"packets": len(kept)}
            _log.error("cannot store %s: %s", plural(len(kept), "packet"), error, extra=fields)
            for each, _ in kept:
                self._counts.add((each.transport, "failed"), 1)
                if each.done is not None:
                    each.done(error)
            return
        for each, outcome in kept:
            self._counts.add((each.transport, outcome), 1)
            if outcome == "stored":
                self._programs.seen(each.packet, each.transport)
            if each.done is not None:
                each.done(None)

    def _add(self, waiting: _Waiting) -> str:
        """Add a packet to the store. Return the outcome; empty if it was refused."""
        packet = waiting.packet
        try:
            # Before anything changes: the store takes nothing more while it cannot be written.
            self._store.check_space()
            addition = self._senders.apply(packet)
        except (RemoteProtocolError, StoreError) as error:
            outcome = "refused" if isinstance(error, RemoteProtocolError) else "failed"
            self._counts.add((waiting.transport, outcome), 1)
            if waiting.done is not None:
                waiting.done(error)
            return ""
        if addition is None:
            return "repeated"
        try:
            self._store.put(addition.resource, addition.at, addition.series)
        except Exception as error:  # noqa: BLE001  # the disk may fail; the thread goes on for all others
            _log.error("cannot store a packet of %s: %s", dict(addition.resource), error, extra={})
            self._counts.add((waiting.transport, "failed"), 1)
            if waiting.done is not None:
                waiting.done(error)
            return ""
        return "stored"

    def _maintain(self) -> None:
        self._maintain_at = time.monotonic() + _MAINTAIN_S
        try:
            for id in self._senders.forget_silent(_FORGET_S):
                self._store.put_state(str(id), self._senders.dump(id))
            self._store.commit()
            self._store.maintain()
            self._programs.maintain()
        except Exception:  # noqa: BLE001  # tried again
            _log.exception("cannot maintain the store", extra={})

    def close(self) -> None:
        """Write what waits, and stop."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
