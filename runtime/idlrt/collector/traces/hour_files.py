"""Files of traces in a folder: which one is written, which ones a time range is in, and which ones are dropped.

A trace is in the file of the hour in which it was written, not in which it began: programs with a wrong clock would
otherwise create files of any year. The file knows the range of its starts. Files are dropped as a whole.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path
from typing import Final

from idlrt.collector.traces.failures import writing
from idlrt.collector.traces.hour_file import HourWriter, open_reader, start_of
from idlrt.core.logs import get_logger

__all__ = ["HourFile", "HourFiles"]

_log = get_logger("idlrt.collector")

_NAME: Final = re.compile(r"traces-(\d{8}T\d{2})-(\d{3,})\.db")
_HOUR_FORMAT: Final = "%Y%m%dT%H"
_HOUR: Final = 3600
_MICRO: Final = 1_000_000
# Files that are open for writing: late spans of a trace go to an older one.
_MAX_WRITERS: Final = 3
# A file has at most this part of the space, so that dropping one is enough.
_PARTS: Final = 8
_SUFFIXES: Final = ("", "-wal", "-shm")


class HourFile:
    """A file.

    Attributes:
        path: its path.
        hour: its hour, in seconds since 1970.
        part: its number among the files of that hour.
        first: earliest start of a trace, in microseconds since 1970; `None` if there is no trace.
        last: latest start.
    """

    __slots__ = ("first", "hour", "is_dropped", "last", "part", "path", "readers")

    def __init__(self, path: Path, hour: int, part: int) -> None:
        self.path = path
        self.hour = hour
        self.part = part
        self.first: int | None = None
        self.last: int | None = None
        self.readers = 0
        self.is_dropped = False

    @property
    def base(self) -> int:
        """Its hour in microseconds since 1970, which its numbers count from."""
        return self.hour * _MICRO

    def include(self, start: int) -> None:
        """Extend the range of starts."""
        self.first = start if self.first is None else min(self.first, start)
        self.last = start if self.last is None else max(self.last, start)

    def size(self) -> int:
        """Return its size in bytes."""
        found = 0
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                found += self.path.with_name(self.path.name + suffix).stat().st_size
        return found

    def unlink(self) -> None:
        """Delete it."""
        for suffix in _SUFFIXES:
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


class HourFiles:
    """The files of a folder. One thread writes; all may read.

    Args:
        folder: the folder.
        keep_hours: age in hours at which files are dropped.
        max_bytes: size of all files together at which the oldest ones are dropped.

    Attributes:
        dropped: number of dropped files.

    Raises:
        ConfigurationError: a file is damaged, or of another program.
    """

    def __init__(self, folder: Path, keep_hours: int, max_bytes: int) -> None:
        self._folder = folder
        self._keep_s = keep_hours * _HOUR
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._writers: OrderedDict[HourFile, HourWriter] = OrderedDict()
        self.dropped = 0
        found: list[HourFile] = []
        for path in folder.iterdir():
            if name := _NAME.fullmatch(path.name):
                hour = datetime.datetime.strptime(name[1], _HOUR_FORMAT).replace(tzinfo=datetime.UTC)
                found.append(HourFile(path, int(hour.timestamp()), int(name[2])))
        found.sort(key=lambda each: (each.hour, each.part))
        for each in found:
            self._prepare(each)
        # The oldest first.
        self._files: list[HourFile] = found

    def _prepare(self, file: HourFile) -> None:
        """Check a file, and read the range of its starts. An empty one is created again: there is nothing in it."""
        if not file.path.stat().st_size:
            file.unlink()
        log = file.path.with_name(f"{file.path.name}-wal")
        if not file.path.exists() or (log.exists() and log.stat().st_size):
            # Closing it writes the log of a process that was killed into the file.
            HourWriter(file.path, file.base).close()
        with open_reader(file.path) as database:
            for (no,) in database.execute("SELECT min(no) FROM trace UNION ALL SELECT max(no) FROM trace"):
                if no is not None:
                    file.include(start_of(file.base, no))

    def current(self, now: float) -> HourFile:
        """Return the file to write to."""
        hour = int(now // _HOUR) * _HOUR
        of_hour = [each for each in self._files if each.hour == hour]
        if of_hour and of_hour[-1].size() < self._max_bytes // _PARTS:
            return of_hour[-1]
        part = of_hour[-1].part + 1 if of_hour else 0
        name = datetime.datetime.fromtimestamp(hour, datetime.UTC).strftime(_HOUR_FORMAT)
        file = HourFile(self._folder / f"traces-{name}-{part:03}.db", hour, part)
        self.writer(file)
        with self._lock:
            self._files = sorted([*self._files, file], key=lambda each: (each.hour, each.part))
        return file

    def writer(self, file: HourFile) -> HourWriter:
        """Return the connection that writes a file."""
        found = self._writers.get(file)
        if found is None:
            found = self._writers[file] = HourWriter(file.path, file.base)
            while len(self._writers) > _MAX_WRITERS:
                self._writers.popitem(last=False)[1].close()
        self._writers.move_to_end(file)
        return found

    def newest_first(self) -> list[HourFile]:
        """Return the files."""
        with self._lock:
            return self._files[::-1]

    def within(self, start: int, end: int) -> list[HourFile]:
        """Return the files with traces that start in a range of microseconds, those with the latest ones first."""
        found = [
            (last, each)
            for each in self.newest_first()
            if (first := each.first) is not None and (last := each.last) is not None and first < end and last >= start
        ]
        return [each for _, each in sorted(found, key=lambda pair: -pair[0])]

    @contextlib.contextmanager
    def reader(self, file: HourFile) -> Generator[sqlite3.Connection | None, None, None]:
        """Open a file for reading; `None` if it was dropped. It is not deleted before this ends."""
        with self._lock:
            if file.is_dropped:
                is_there = False
            else:
                is_there = True
                file.readers += 1
        if not is_there:
            yield None
            return
        try:
            with open_reader(file.path) as database:
                yield database
        finally:
            with self._lock:
                file.readers -= 1
                is_last = file.is_dropped and not file.readers
            if is_last:
                with contextlib.suppress(OSError):  # the next start deletes it
                    file.unlink()

    def size(self) -> int:
        """Return the size of all files in bytes."""
        return sum(each.size() for each in self.newest_first())

    def drop(self, now: float, other_bytes: int = 0) -> None:
        """Drop the files that are too old, and the oldest ones while there is too much.

        Args:
            now: time, in seconds since 1970.
            other_bytes: what else counts.
        """
        sizes = {each: each.size() for each in self.newest_first()}
        total = sum(sizes.values()) + other_bytes
        current = int(now // _HOUR) * _HOUR
        for each in list(self._files):
            is_old = each.hour + _HOUR <= now - self._keep_s
            if is_old or (total > self._max_bytes and (each.hour != current or each is not self._files[-1])):
                total -= sizes[each]
                self._drop(each, "age" if is_old else "size")

    def _drop(self, file: HourFile, why: str) -> None:
        writer = self._writers.pop(file, None)
        if writer is not None:
            writer.close()
        with self._lock:
            self._files = [each for each in self._files if each is not file]
            file.is_dropped = True
            is_unused = not file.readers
        self.dropped += 1
        if is_unused:
            with writing(file.path):
                file.unlink()
        _log.info("dropped traces: %s", file.path, extra={"path": str(file.path), "reason": why})

    def close(self) -> None:
        """Close the files."""
        while self._writers:
            self._writers.popitem()[1].close()
