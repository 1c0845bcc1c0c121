"""Span queue: batches of spans that wait for the collector. Beyond a bound the oldest are dropped."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

import msgspec

from idlrt.collector.api import SpanBatch
from idlrt.errors import RemoteProtocolError

__all__ = ["MAX_SPAN_BYTES", "SpanQueue"]

MAX_SPAN_BYTES: Final = 64 << 20
"""Default of the maximum number of bytes that wait."""

# Small batches take space beyond their bytes.
_MAX_BATCHES: Final = 10_000
_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


class SpanQueue:
    """Queue of batches. Threads may share it.

    Args:
        max_bytes: maximum number of bytes of all batches.
    """

    def __init__(self, max_bytes: int = MAX_SPAN_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        # Batches with their number of spans.
        self._queue: deque[tuple[SpanBatch, int]] = deque()
        self._bytes = 0
        self.spans = 0

    def put(self, batch: SpanBatch) -> tuple[int, int]:
        """Add a batch. Return the number of its spans, and of the spans that were dropped for it.

        Raises:
            RemoteProtocolError: it cannot be read.
        """
        try:
            number = len(_decoder.decode(batch.spans))
        except msgspec.MsgspecError as error:
            raise RemoteProtocolError(f"cannot read the spans of {batch.service}: {error}") from None
        with self._lock:
            self._queue.append((batch, number))
            self._bytes += len(batch.spans)
            self.spans += number
            return number, self._drop_surplus()

    def _drop_surplus(self) -> int:
        before = self.spans
        while self._bytes > self._max_bytes or len(self._queue) > _MAX_BATCHES:
            self._take()
        return before - self.spans

    def _take(self) -> tuple[SpanBatch, int]:
        batch, number = self._queue.popleft()
        self._bytes -= len(batch.spans)
        self.spans -= number
        return batch, number

    def take(self) -> tuple[SpanBatch, int] | None:
        """Remove the oldest batch. Return it with the number of its spans; `None` if there is none."""
        with self._lock:
            return self._take() if self._queue else None

    def put_back(self, batch: SpanBatch, number: int) -> int:
        """Put a batch back that was not sent. Return the number of spans that were dropped."""
        with self._lock:
            self._queue.appendleft((batch, number))
            self._bytes += len(batch.spans)
            self.spans += number
            return self._drop_surplus()
