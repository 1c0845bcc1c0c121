"""Base figures of this process: CPU, memory, descriptors, I/O, network, threads, garbage collection.

Names are those of `prometheus_client`, where it has one. Figures that the system does not provide are absent. All are
read from the system when the metrics are read.

Sources: proc(5), cgroups(7), https://github.com/prometheus/client_python
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from idlrt.observe.gc_pauses import GcPauses
from idlrt.observe.metric import Metric, Series, Value
from idlrt.observe.sources import PROCESS, Source

__all__ = ["PROCESS_METRICS", "ProcessFigures", "watch_process"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# A limit of version 1 from which on it is none.
_NO_LIMIT: Final = 1 << 60
_IMPORTED_AT: Final = time.time()

# Fields of /proc/self/stat behind the name of the program, counted from the state (proc(5) has it as the third).
_THREADS, _START = 17, 19

CPU: Final = Metric(name="process_cpu_seconds_total", kind="counter", help="CPU time of the process, user and system")
STARTED_AT: Final = Metric(
    name="process_start_time_seconds", kind="gauge", help="Start of the process in seconds since 1970", merge="min"
)
VIRTUAL: Final = Metric(name="process_virtual_memory_bytes", kind="gauge", help="Virtual memory")
RESIDENT: Final = Metric(name="process_resident_memory_bytes", kind="gauge", help="Resident memory")
MEMORY_LIMIT: Final = Metric(
    name="process_memory_limit_bytes", kind="gauge", help="Memory limit of the control group (cgroup)", merge="min"
)
OPEN_FDS: Final = Metric(name="process_open_fds", kind="gauge", help="Open file descriptors")
MAX_FDS: Final = Metric(
    name="process_max_fds", kind="gauge", help="Maximum number of open file descriptors of a process", merge="min"
)
READ: Final = Metric(name="process_io_read_bytes_total", kind="counter", help="Bytes read from storage")
WRITTEN: Final = Metric(name="process_io_write_bytes_total", kind="counter", help="Bytes written to storage")
RECEIVED: Final = Metric(
    name="process_network_receive_bytes_total",
    kind="counter",
    help="Bytes received over IP in the network namespace of the process",
    merge="max",
)
SENT: Final = Metric(
    name="process_network_transmit_bytes_total",
    kind="counter",
    help="Bytes sent over IP in the network namespace of the process",
    merge="max",
)
SWITCHES: Final = Metric(
    name="process_context_switches_total", kind="counter", help="Context switches", labels=("type",)
)
THREADS: Final = Metric(name="process_threads", kind="gauge", help="Threads of the operating system")
PYTHON: Final = Metric(
    name="python_info", kind="gauge", help="Python", labels=("implementation", "version"), merge="max"
)

PROCESS_METRICS: Final = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""All metrics of `ProcessFigures`."""


class ProcessFigures:
    """Figures of this process; a `Source`.

    Args:
        proc: folder of the process in `/proc`; figures that only that has are absent on other systems.
        cgroups: folder of control groups.
    """

    def __init__(self, proc: Path = Path("/proc/self"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._cgroups = cgroups

    def read(self) -> Iterable[Series]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield _single(CPU, usage.ru_utime + usage.ru_stime)
        switches: dict[tuple[str, ...], Value] = {("voluntary",): usage.ru_nvcsw, ("involuntary",): usage.ru_nivcsw}
        yield Series(SWITCHES, switches)
        stat = self._text("stat").rpartition(")")[2].split()
        yield _single(THREADS, int(stat[_THREADS]) if stat else threading.active_count())
        yield _single(STARTED_AT, self._started_at(stat))
        pages = self._text("statm").split()
        if pages:
            yield _single(VIRTUAL, int(pages[0]) * _PAGE)
            yield _single(RESIDENT, int(pages[1]) * _PAGE)
        limit = self._memory_limit()
        if limit:
            yield _single(MEMORY_LIMIT, limit)
        yield from self._descriptors()
        yield from self._io()
        yield from self._network()
        version = (sys.implementation.name, sys.version.split()[0])
        yield Series(PYTHON, {version: 1})

    def _text(self, name: str) -> str:
        return _text(self._proc / name)

    def _started_at(self, stat: list[str]) -> float:
        """Return the start of the process in seconds since 1970; without `/proc`, the import of this module."""
        if stat:
            for line in _text(self._proc.parent / "stat").splitlines():
                if line.startswith("btime "):
                    return int(line.split()[1]) + int(stat[_START]) / _TICKS
        return _IMPORTED_AT

    def _descriptors(self) -> Iterator[Series]:
        with suppress(OSError):  # not on this system
            yield _single(OPEN_FDS, len(os.listdir(self._proc / "fd")))
        yield _single(MAX_FDS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def _io(self) -> Iterator[Series]:
        lines = (line.partition(": ") for line in self._text("io").splitlines())
        found = {name: value for name, _, value in lines}
        for metric, name in ((READ, "read_bytes"), (WRITTEN, "write_bytes")):
            if name in found:
                yield _single(metric, int(found[name]))

    def _network(self) -> Iterator[Series]:
        lines = [line.split() for line in self._text("net/netstat").splitlines() if line.startswith("IpExt:")]
        if len(lines) == 2:
            found = dict(zip(*lines, strict=False))
            for metric, name in ((RECEIVED, "InOctets"), (SENT, "OutOctets")):
                if name in found:
                    yield _single(metric, int(found[name]))

    def _memory_limit(self) -> int:
        """Return the smallest memory limit of the control groups of the process; 0 if there is none."""
        limits: list[int] = []
        for line in self._text("cgroup").splitlines():
            number, kinds, path = line.split(":", 2)
            if number == "0" and not kinds:
                root, name = self._cgroups, "memory.max"
            elif "memory" in kinds.split(","):
                root, name = self._cgroups / "memory", "memory.limit_in_bytes"
            else:
                continue
            parts = [part for part in path.split("/") if part not in ("", "..")]
            # In a container the path may be that of the host; then the limit is that of the root.
            for length in range(len(parts), -1, -1):
                text = _text(root.joinpath(*parts[:length], name)).strip()
                if text.isdigit() and 0 < int(text) < _NO_LIMIT:
                    limits.append(int(text))
        return min(limits, default=0)


def _single(metric: Metric, value: float) -> Series:
    return Series(metric, {(): value})


def _text(path: Path) -> str:
    """Return the text of a file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (OSError, LookupError):
        # A thread in the background may read while the interpreter ends, which has no encodings any more.
        return ""


_watched: Final[list[Source]] = []


def watch_process() -> None:
    """Let the metrics of this process include its base figures, and those of the host if `psutil` is installed.

    Idempotent. Servers with metrics do it. Collections of garbage are measured from then on.
    """
    if _watched:
        return
    _watched.append(ProcessFigures())
    _watched.append(GcPauses())
    from idlrt.observe.host import host_figures

    host = host_figures()
    if host is not None:
        _watched.append(host)
    for each in _watched:
        PROCESS.add(each)
