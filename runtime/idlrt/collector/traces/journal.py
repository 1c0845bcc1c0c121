"""Journal of spans whose traces are not written yet: files that are appended to, so that a crash loses nothing that
was committed.

A segment is a file of records: length and CRC-32 of the data as little-endian 32-bit integers, and the data, a list of
spans as MessagePack. A record that a crash has cut off is ignored. A segment is deleted when all traces with spans in
it, and in older ones, are written.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from idlrt.collector.traces.failures import damaged, writing
from idlrt.observe.tracing.span_pages import SpanRecord

__all__ = ["Journal"]

_MAGIC: Final = b"idlrt spans 1\n"
_HEAD: Final = struct.Struct("<II")
_NAME: Final = re.compile(r"spans-(\d{10})\.journal")
_MAX_RECORD: Final = 1 << 30


class Journal:
    """Journal in a folder. Used by one thread.

    Args:
        folder: the folder.
        segment_bytes: size after which another segment begins.

    Attributes:
        segment: number of the segment that the next commit is written to.

    Raises:
        TraceStorageError: the folder cannot be read.
    """

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._pending: list[bytes] = []
        self._file = -1
        self._length = 0
        self._is_loaded = False
        with writing(folder):
            self._sizes = {
                int(found[1]): each.stat().st_size for each in folder.iterdir() if (found := _NAME.fullmatch(each.name))
            }
        self.segment = max(self._sizes, default=0) + 1

    @property
    def size(self) -> int:
        """Size of all segments in bytes."""
        return sum(self._sizes.values())

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._sizes)

    def _path(self, segment: int) -> Path:
        return self._folder / f"spans-{segment:010}.journal"

    def load(self) -> Iterator[tuple[int, list[SpanRecord]]]:
        """Yield the numbers of older segments with their spans, the oldest first.

        Raises:
            ConfigurationError: a segment is damaged, or of another program.
        """
        decoder = msgspec.msgpack.Decoder(list[SpanRecord])
        for segment in sorted(each for each in self._sizes if each < self.segment):
            path = self._path(segment)
            with writing(path):
                content = path.read_bytes()
            if not content.startswith(_MAGIC):
                if _MAGIC.startswith(content):
                    continue  # the process was killed when it began the segment
                raise damaged(path, "it is no journal of spans")
            for data in _records(path, content):
                try:
                    yield segment, decoder.decode(data)
                except msgspec.MsgspecError as error:
                    raise damaged(path, error) from error
        self._is_loaded = True

    def append(self, data: bytes) -> None:
        """Add spans to the next commit.

        Args:
            data: list of spans as MessagePack.
        """
        self._pending += (_HEAD.pack(len(data), zlib.crc32(data)), data)

    def commit(self) -> None:
        """Write what was added, to disk. After an error nothing of it is written, and the next commit tries again.

        Raises:
            TraceStorageError: it cannot be written.
        """
        if not self._pending:
            return
        path = self._path(self.segment)
        data = b"".join(self._pending)
        with writing(path):
            if self._file < 0:
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                self._length = os.fstat(self._file).st_size
            if not self._length:
                data = _MAGIC + data
            try:
                _write_all(self._file, data)
                os.fdatasync(self._file)
            except OSError:
                os.ftruncate(self._file, self._length)
                raise
        self._length += len(data)
        self._sizes[self.segment] = self._length
        self._pending.clear()
        if self._length >= self._segment_bytes:
            self._next_segment()

    def _next_segment(self) -> None:
        self.close()
        self._length = 0
        self.segment += 1

    def release(self, needed: int | None) -> None:
        """Delete all segments before the segment `needed`; if it is `None`, nothing in the journal is needed.

        Segments that are not loaded yet are needed.

        Raises:
            TraceStorageError: a segment cannot be deleted.
        """
        if not self._is_loaded:
            return
        if needed is None:
            if self._length and not self._pending:
                self._next_segment()
            needed = self.segment
        for segment in sorted(each for each in self._sizes if each < min(needed, self.segment)):
            path = self._path(segment)
            with writing(path):
                path.unlink(missing_ok=True)
            del self._sizes[segment]

    def close(self) -> None:
        """Close the files."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _records(path: Path, content: bytes) -> Iterator[bytes]:
    """Yield the data of complete records. The last one may be damaged: a crash of the machine may do that."""
    at = len(_MAGIC)
    while at + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, at)
        data = content[at + _HEAD.size : at + _HEAD.size + length]
        at += _HEAD.size + length
        if length > _MAX_RECORD or (at < len(content) and zlib.crc32(data) != checksum):
            raise damaged(path, f"wrong checksum before byte {at}")
        if len(data) < length or zlib.crc32(data) != checksum:
            return
        yield data
