"""Figures of the host: CPU, memory, disks and network, where `psutil` is installed (extra `base`).

They are those of the whole machine, or of what a container shows of it. All processes of a host have the same ones, so
they are not added (`merge="max"`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from idlrt.observe.metric import Metric, Series, Value

__all__ = ["HOST_METRICS", "HostFigures", "host_figures"]

CPU: Final = Metric(
    name="system_cpu_seconds_total", kind="counter", help="CPU time of the host", merge="max", labels=("mode",)
)
MEMORY: Final = Metric(
    name="system_memory_bytes", kind="gauge", help="Memory of the host", labels=("state",), merge="max"
)
DISK_READ: Final = Metric(
    name="system_disk_read_bytes_total", kind="counter", help="Bytes read from disks", merge="max"
)
DISK_WRITTEN: Final = Metric(
    name="system_disk_written_bytes_total", kind="counter", help="Bytes written to disks", merge="max"
)
RECEIVED: Final = Metric(
    name="system_network_receive_bytes_total",
    kind="counter",
    help="Bytes received by network interfaces",
    merge="max",
)
SENT: Final = Metric(
    name="system_network_transmit_bytes_total",
    kind="counter",
    help="Bytes sent by network interfaces",
    merge="max",
)

HOST_METRICS: Final = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""All metrics of `HostFigures`."""

# Linux counts the time of guests as user time, too.
_GUESTS: Final = ("guest", "guest_nice")
_STATES: Final = ("total", "available", "used", "free", "cached", "buffers")


class HostFigures:
    """Figures of the host; a `Source`.

    Args:
        psutil: the module.
    """

    __slots__ = ("__weakref__", "_psutil")

    def __init__(self, psutil: Any) -> None:
        self._psutil = psutil

    def read(self) -> Iterable[Series]:
        psutil = self._psutil
        yield Series(
            CPU, {(mode,): value for mode, value in _fields(psutil.cpu_times()).items() if mode not in _GUESTS}
        )
        memory = _fields(psutil.virtual_memory())
        yield Series(MEMORY, {(state,): memory[state] for state in _STATES if state in memory})
        # None on machines without disks or interfaces.
        disks = psutil.disk_io_counters()
        if disks is not None:
            yield _single(DISK_READ, disks.read_bytes)
            yield _single(DISK_WRITTEN, disks.write_bytes)
        network = psutil.net_io_counters()
        if network is not None:
            yield _single(RECEIVED, network.bytes_recv)
            yield _single(SENT, network.bytes_sent)


def _fields(values: Any) -> dict[str, float]:
    found: dict[str, float] = values._asdict()
    return found


def _single(metric: Metric, value: Value) -> Series:
    return Series(metric, {(): value})


def host_figures() -> HostFigures | None:
    """Return the figures of the host; `None` without `psutil`."""
    try:
        import psutil
    except ImportError:
        return None
    return HostFigures(psutil)
