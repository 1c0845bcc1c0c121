"""Spans of the processes of a `ProcessServer` in their supervisor, which has the admin port.

Each process sends its recorded spans through a pipe, in batches, once a second; the supervisor reads them in its loop.
A batch is its length in 4 bytes, and then MessagePack.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.observe.exemplars import SERVER_EXEMPLARS, exemplar_of
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.store import SpanStore
from idlrt.observe.tracing.switch import TRACING

__all__ = ["WorkerSpans"]

_log: Final = get_logger("idlrt.server")

_LENGTH: Final = struct.Struct(">I")
_MAX_READ: Final = 1 << 18
# A batch is at most 512 spans with texts of at most 1,000 characters.
_MAX_BATCH: Final = 1 << 28


class _PipeExporter:
    """Sends spans of a process to its supervisor; a `SpanExporter`.

    Args:
        writer: end of the pipe.
    """

    name = "supervisor"

    def __init__(self, writer: int) -> None:
        self._writer = writer
        self._rest = b""
        os.set_blocking(writer, False)
        forks.register(self)

    def after_fork(self) -> None:
        """Send nothing in a forked child of the process: batches of two processes would mix."""
        self.close()

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        """Write spans.

        Raises:
            OSError: the supervisor does not read, or is gone.
        """
        if self._writer < 0:
            return
        end = time.monotonic() + timeout
        # What is left of a batch that was given up has to come first.
        self._write(end)
        body = msgspec.msgpack.encode(spans)
        self._rest = _LENGTH.pack(len(body)) + body
        try:
            self._write(end)
        except TimeoutError:
            if len(self._rest) == len(body) + _LENGTH.size:
                self._rest = b""  # nothing of it was written, so it may come again
                raise

    def _write(self, end: float) -> None:
        while self._rest:
            waiting = select.poll()
            waiting.register(self._writer, select.POLLOUT)
            if not waiting.poll(max(end - time.monotonic(), 0.0) * 1000):
                raise TimeoutError("the supervisor does not read")
            self._rest = self._rest[os.write(self._writer, self._rest) :]

    def close(self) -> None:
        """Close the pipe."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1


class _Pipe:
    """End of a pipe in the supervisor, and what has arrived of a batch."""

    __slots__ = ("received", "writer")

    def __init__(self, writer: int) -> None:
        self.writer = writer
        self.received = bytearray()


class WorkerSpans:
    """Pipes of the processes. Used by the thread that forks and supervises them.

    Args:
        is_on: whether there is an admin port that shows spans.
    """

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on
        self._pipes: dict[int, _Pipe] = {}

    def open(self) -> int:
        """Open a pipe for a process that is about to be forked. Return its reader, -1 if tracing is off."""
        if not self._is_on or TRACING.store is None:
            return -1
        try:
            reader, writer = os.pipe()
        except OSError as error:
            _log.warning("cannot show the spans of a process: %s", error, extra={"kind": "spans"})
            return -1
        os.set_blocking(reader, False)
        self._pipes[reader] = _Pipe(writer)
        return reader

    def started(self, reader: int, *, is_forked: bool) -> None:
        """Close the end of the process in the supervisor; both ends if the process was not forked."""
        if reader in self._pipes:
            os.close(self._pipes[reader].writer)
            if not is_forked:
                os.close(reader)
                del self._pipes[reader]

    def enter(self, reader: int) -> None:
        """Go on with tracing in this process, which was forked just now, and close what belongs to the supervisor.

        Its spans are sent to the supervisor, if that wants them, and settings are followed here, too.
        """
        TRACING.resume()
        own = self._pipes.pop(reader, None)
        for descriptor in (*self._pipes, *([reader] if own is not None else ())):
            os.close(descriptor)
        self._pipes.clear()
        if own is not None:
            TRACING.export_to(_PipeExporter(own.writer))

    def wait(self, timeout: float) -> None:
        """Wait for this time in seconds, and keep the spans that arrive meanwhile."""
        waiting = select.poll()
        for reader in self._pipes:
            waiting.register(reader, select.POLLIN)
        for reader, _ in waiting.poll(timeout * 1000):
            self._read(reader)

    def _read(self, reader: int) -> None:
        pipe, store = self._pipes[reader], TRACING.store
        data = os.read(reader, _MAX_READ)
        if not data:
            self._close(reader)
            return
        received = pipe.received
        received += data
        while len(received) >= _LENGTH.size:
            size = _LENGTH.unpack_from(received)[0]
            if size > _MAX_BATCH:
                self._close(reader)
                return
            end = _LENGTH.size + size
            if len(received) < end:
                return
            body = bytes(memoryview(received)[_LENGTH.size : end])
            del received[:end]
            try:
                _keep(_DECODER.decode(body), store)
            except Exception as error:  # noqa: BLE001  # whatever a process sends must not end its supervisor
                _log.warning("cannot read the spans of a process: %s", error, extra={"kind": "spans"})

    def _close(self, reader: int) -> None:
        os.close(reader)
        del self._pipes[reader]

    def close(self) -> None:
        """Keep what has arrived, and close all pipes. All processes have exited."""
        waiting = select.poll()
        for reader in self._pipes:
            waiting.register(reader, select.POLLIN)
        for reader in list(self._pipes):
            # At its end the reader closes it.
            while reader in self._pipes and any(found == reader for found, _ in waiting.poll(0)):
                self._read(reader)
            if reader not in self._pipes:
                waiting.unregister(reader)
        for reader in list(self._pipes):
            self._close(reader)


def _keep(spans: Sequence[FinishedSpan], store: SpanStore | None) -> None:
    for each in spans:
        if store is not None:
            store.put(each)
        found = exemplar_of(each)
        if found is not None:
            SERVER_EXEMPLARS.put(*found)


_DECODER: Final = msgspec.msgpack.Decoder(list[FinishedSpan])
