"""Memory of cells: private to this process, or shared with a supervisor that reads it, also after a crash.

A cell is a row of 64-bit words. In shared memory a directory says which series each row belongs to. It is append-only:
an entry is complete before the length of the directory is updated, so a reader never sees half of one. What a process
recorded survives its end, because the supervisor holds the memory as well.
"""

from __future__ import annotations

import mmap
import struct
import threading
from typing import Final, Protocol

import msgspec

from idlrt.core.forks import forks
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels, Metric, Series, Value, merged

__all__ = ["BUCKETS_AT", "HISTOGRAM_WORDS", "Arena", "PrivateArena", "SharedArena", "arenas", "histogram_of"]

from idlrt.observe.histogram import MAX_INDEX

BUCKETS_AT: Final = 5
"""Words of a histogram before its buckets: sum, min, max, bytes received, bytes sent."""

HISTOGRAM_WORDS: Final = BUCKETS_AT + MAX_INDEX + 1
"""Words of a histogram. Pages of memory that are never written do not exist, so most of them cost nothing."""

_WORD: Final = 8
_CHUNK: Final = 64 * HISTOGRAM_WORDS * _WORD
_LENGTH: Final = struct.Struct("=I")
# Words of the head: length of the directory, number of series without memory, version and lengths of the report.
_HEAD_WORDS: Final = 8
_DIRECTORY: Final = 2 << 20
_REPORT: Final = 256 << 10
_SHARED: Final = 96 << 20


def histogram_of(words: memoryview) -> Histogram:
    """Return the histogram in the words of a cell. Called on any thread, while its owner writes."""
    raw = bytes(words)
    numbers = memoryview(raw).cast("Q")
    buckets = raw[BUCKETS_AT * _WORD :]
    first = (len(buckets) - len(buckets.lstrip(b"\0"))) // _WORD + BUCKETS_AT
    last = (len(buckets.rstrip(b"\0")) + _WORD - 1) // _WORD + BUCKETS_AT
    counts = {index: count for index, count in enumerate(numbers[first:last].tolist(), first - BUCKETS_AT) if count}
    count = sum(counts.values())
    total, least, most, received, sent = numbers[:BUCKETS_AT].tolist()
    return Histogram(counts, count, total, least if count else 0, most, received, sent)


class Arena(Protocol):
    """Memory for cells."""

    def allocate(self, metric: Metric, labels: Labels, words: int) -> memoryview:
        """Return zeroed memory for a cell of a series. Called on any thread.

        Args:
            metric: the metric.
            labels: labels of the series.
            words: number of 64-bit words.
        """
        ...


class PrivateArena:
    """Memory of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chunk = memoryview(b"")
        self._used = 0

    def allocate(self, metric: Metric, labels: Labels, words: int) -> memoryview:
        with self._lock:
            if self._used + words > len(self._chunk):
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
                self._chunk = memoryview(mmap.mmap(-1, _CHUNK, flags=flags)).cast("Q")
                self._used = 0
            found = self._chunk[self._used : self._used + words]
            self._used += words
            return found


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """Entry of the directory: the first one of a metric has its description."""

    name: str
    labels: Labels
    start: int
    words: int
    metric: Metric | None = None


_entry_encoder: Final = msgspec.json.Encoder()
_entry_decoder: Final = msgspec.json.Decoder(_Entry)


class SharedArena:
    """Memory that one process writes and another one reads.

    It is created before the process is forked. Cells for which there is no room are private, so that they are missing
    in `read`; `lost` is their number.

    Args:
        size: size in bytes. Only what is written takes memory.
    """

    def __init__(self, size: int = _SHARED) -> None:
        memory = memoryview(mmap.mmap(-1, size))
        self._head = memory[: _HEAD_WORDS * _WORD].cast("Q")
        start = _HEAD_WORDS * _WORD
        self._directory = memory[start : start + _DIRECTORY]
        self._reports = memory[start + _DIRECTORY : start + _DIRECTORY + 2 * _REPORT]
        self._cells = memory[start + _DIRECTORY + 2 * _REPORT :].cast("Q")
        self._used = 0
        self._metrics: dict[str, Metric] = {}
        # Of the reader.
        self._parsed = 0
        self._entries: list[tuple[Metric, Labels, memoryview]] = []
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the locks in a forked child."""
        self._lock = threading.Lock()
        self._read_lock = threading.Lock()

    # The process that writes.

    def allocate(self, metric: Metric, labels: Labels, words: int) -> memoryview:
        with self._lock:
            is_new = metric.name not in self._metrics
            entry = _entry_encoder.encode(_Entry(metric.name, labels, self._used, words, metric if is_new else None))
            at = self._head[0]
            end = at + _LENGTH.size + len(entry)
            if end > _DIRECTORY or self._used + words > len(self._cells):
                self._head[1] += 1
                return memoryview(bytearray(words * _WORD)).cast("Q")
            found = self._cells[self._used : self._used + words]
            self._used += words
            self._metrics[metric.name] = metric
            _LENGTH.pack_into(self._directory, at, len(entry))
            self._directory[at + _LENGTH.size : end] = entry
            self._head[0] = end
            return found

    @property
    def metrics(self) -> frozenset[str]:
        """Names of the metrics that have cells here."""
        return frozenset(self._metrics)

    def report(self, data: bytes) -> bool:
        """Publish what is not in cells, in place of the last report. Return whether there is room for it."""
        if len(data) > _REPORT:
            return False
        version = self._head[2] + 1
        half = version % 2
        self._reports[half * _REPORT : half * _REPORT + len(data)] = data
        self._head[3 + half] = len(data)
        self._head[2] = version
        return True

    # The process that reads.

    @property
    def lost(self) -> int:
        """Number of cells for which there was no room."""
        return self._head[1]

    def last_report(self) -> bytes:
        """Return the last report; empty before the first."""
        while True:
            version = self._head[2]
            half = version % 2
            data = bytes(self._reports[half * _REPORT : half * _REPORT + self._head[3 + half]]) if version else b""
            if self._head[2] - version <= 0:
                return data

    def read(self) -> list[Series]:
        """Return the series of all cells."""
        with self._read_lock:
            end = self._head[0]
            while self._parsed < end:
                (length,) = _LENGTH.unpack_from(self._directory, self._parsed)
                begin = self._parsed + _LENGTH.size
                entry = _entry_decoder.decode(self._directory[begin : begin + length])
                self._parsed = begin + length
                if entry.metric is not None:
                    self._metrics[entry.name] = entry.metric
                words = self._cells[entry.start : entry.start + entry.words]
                self._entries.append((self._metrics[entry.name], entry.labels, words))
            entries = list(self._entries)
        parts: list[Series] = []
        for metric, labels, words in entries:
            value: Value = words[0] if len(words) == 1 else histogram_of(words)
            parts.append(Series(metric, {labels: value}))
        return merged(parts)


class _Arenas:
    """The arena from which new cells of this process come."""

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin with private memory in a forked child."""
        self.current: Arena = PrivateArena()


arenas: Final = _Arenas()
