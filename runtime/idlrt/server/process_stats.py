"""Numbers that server processes report to their supervisor, in memory that they share.

Each process writes its own record, on its server's thread: so a record also shows when that thread last ran. Fields are
aligned and are written one by one, so a reader may see fields of two reports, but no torn number.
"""

from __future__ import annotations

import mmap
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from idlrt.printable import plural
from idlrt.server.process_slot import ProcessSlot

if TYPE_CHECKING:
    from idlrt.server.process_metrics import ProcessMetrics

__all__ = ["ProcessNumbers", "ProcessStats", "Reporting", "report_numbers"]

_RECORD: Final = struct.Struct("=dqqq")
# Seconds between two reports, and after which a process without one counts as blocked.
_INTERVAL: Final = 0.5
_BLOCKED_AFTER: Final = 2.5


class ProcessNumbers(msgspec.Struct, frozen=True):
    """Last report of a process.

    Attributes:
        reported_at: time of the report, on the clock of `time.monotonic`; 0 before the first one.
        connections: open connections.
        in_flight: calls in flight.
        unsent_bytes: size of unsent responses.
    """

    reported_at: float
    connections: int
    in_flight: int
    unsent_bytes: int


class Reporting(Protocol):
    """A server that reports. All members may be used on its own thread only."""

    @property
    def connections(self) -> int:
        """Number of open connections."""
        ...

    @property
    def in_flight(self) -> int:
        """Number of calls in flight."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Size of unsent responses."""
        ...


class ProcessStats:
    """Records of all processes of a supervisor.

    Args:
        processes: the supervised processes, in the order of the records.
        count: number of processes that there will be.

    Attributes:
        metrics: metrics of the processes; `None` if they do not measure.
    """

    def __init__(self, processes: Sequence[ProcessSlot], count: int) -> None:
        self._processes = processes
        self._memory = mmap.mmap(-1, _RECORD.size * count)
        self._count = count
        self.metrics: ProcessMetrics | None = None

    def measure(self) -> ProcessMetrics:
        """Collect the metrics of the processes, too. Called before any process starts."""
        from idlrt.server.process_metrics import ProcessMetrics

        self.metrics = ProcessMetrics(self._processes, self._count, self._runs)
        return self.metrics

    def clear(self, number: int) -> None:
        """Clear the record of a process that is about to start."""
        self._write(number, 0.0, 0, 0, 0)
        if self.metrics is not None:
            self.metrics.renew(number)

    def enter(self, number: int) -> None:
        """Prepare a process, before its server is created."""
        if self.metrics is not None:
            self.metrics.enter(number)

    def report(self, number: int, server: Reporting) -> None:
        """Write the record of this process. Called on the server's thread."""
        self._write(number, time.monotonic(), server.connections, server.in_flight, server.unsent_bytes)

    def _write(self, number: int, *values: float) -> None:
        _RECORD.pack_into(self._memory, number * _RECORD.size, *values)

    def read(self, number: int) -> ProcessNumbers:
        """Return the last report of a process."""
        return ProcessNumbers(*_RECORD.unpack_from(self._memory, number * _RECORD.size))

    # For the admin port of the supervisor.

    def numbers(self) -> Mapping[str, int]:
        """Return the sums over the running processes."""
        running = [self.read(number) for number, each in enumerate(self._processes) if each.pid]
        return {
            "connections": sum(each.connections for each in running),
            "in_flight": sum(each.in_flight for each in running),
            "unsent_bytes": sum(each.unsent_bytes for each in running),
            "restarts": sum(each.restarts for each in self._processes),
        }

    def details(self) -> Mapping[str, Any]:
        """Return a table of the processes."""
        return {"processes": [self._details(number, each) for number, each in enumerate(self._processes)]}

    def _details(self, number: int, process: ProcessSlot) -> dict[str, Any]:
        found, pid, now = self.read(number), process.pid, time.monotonic()
        is_new = not found.reported_at
        return {
            "pid": pid or None,
            "state": "stopped" if not pid else "starting" if is_new else "serving" if self._runs(number) else "blocked",
            "uptime_s": round(now - process.started_at, 3) if pid else 0,
            "restarts": process.restarts,
            "reported_s_ago": None if is_new else round(now - found.reported_at, 3),
            "connections": found.connections,
            "in_flight": found.in_flight,
            "unsent_bytes": found.unsent_bytes,
        }

    def _runs(self, number: int) -> bool:
        return time.monotonic() - self.read(number).reported_at < _BLOCKED_AFTER

    def failure(self) -> str:
        """Return why no process serves; empty if one does."""
        if any(each.pid and self._runs(number) for number, each in enumerate(self._processes)):
            return ""
        return f"none of {plural(len(self._processes), 'process', 'processes')} serves"


def report_numbers(
    stats: ProcessStats, number: int, server: Reporting, call: Callable[[Callable[[], object]], object]
) -> None:
    """Report the numbers of this process periodically, on a background thread that wakes the server's one.

    Args:
        stats: shared records.
        number: number of the process.
        server: the server of the process.
        call: calls a function on the server's thread.
    """
    never = threading.Event()

    def work() -> None:
        is_asked = False

        def report() -> None:
            nonlocal is_asked
            is_asked = False
            stats.report(number, server)

        while True:
            if not is_asked:  # otherwise the server's thread is blocked, and has to do it once only
                is_asked = True
                call(report)
            if stats.metrics is not None:
                stats.metrics.report(number)
            never.wait(_INTERVAL)

    threading.Thread(target=work, name="idlrt process numbers", daemon=True).start()
