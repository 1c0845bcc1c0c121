"""Batches of spans for an exporter, on a background thread, with a bound on what waits.

Calls never wait for an exporter: spans that do not fit are dropped and counted.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.observe.cells import Counts
from idlrt.observe.metric import Metric, Series
from idlrt.observe.sources import PROCESS
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.printable import plural

__all__ = ["Batches", "ExportFailed", "SpanExporter", "count_spans"]

_log: Final = get_logger("idlrt.observe")

SPANS: Final = Metric(
    name="rpc_trace_spans_total",
    kind="counter",
    help="Spans by exporter and outcome: exported, rejected by the receiver, or dropped because the queue was full",
    labels=("exporter", "outcome"),
)

_MAX_QUEUED: Final = 4096
_MAX_BATCH: Final = 512
_INTERVAL_S: Final = 1.0
_TIMEOUT_S: Final = 10.0
_MAX_PAUSE_S: Final = 30.0
# Seconds between two records in the log about a failing exporter.
_LOG_INTERVAL_S: Final = 60.0


class ExportFailed(Exception):
    """A part of a batch was not accepted.

    Args:
        reason: why.
        done: number of spans, from the first one on, that are not to be sent again.
        rejected: how many of them the receiver has rejected.
    """

    def __init__(self, reason: object, done: int, rejected: int = 0) -> None:
        super().__init__(str(reason))
        self.done = done
        self.rejected = rejected


class SpanExporter(Protocol):
    """Sends spans somewhere. Called on one thread, one batch at a time."""

    @property
    def name(self) -> str:
        """Name in metrics and logs."""
        ...

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        """Send spans.

        Args:
            spans: at most 512 spans.
            timeout: seconds that it may take.

        Raises:
            OSError: the receiver cannot be reached, or is overloaded. They are sent again later.
            ExportFailed: some of them are sent again later.
            Exception: they were rejected. They are not sent again.
        """
        ...

    def close(self) -> None:
        """Release connections. No further spans follow."""
        ...


class _SpanCounts:
    """Counts of the spans of all exporters; a `Source`."""

    def __init__(self) -> None:
        self.counts = Counts(SPANS)

    def read(self) -> list[Series]:
        """Return the counters, once there are any."""
        return [self.counts.series()] if len(self.counts) else []


_SPANS: Final = _SpanCounts()
PROCESS.add(_SPANS)


def count_spans(exporter: str, outcome: str, number: int = 1) -> None:
    """Count spans of an exporter: `exported`, `rejected` or `dropped`."""
    if number:
        _SPANS.counts.add((exporter, outcome), number)


class Batches:
    """Queue and background thread of one exporter. Threads may share it.

    A batch that fails is kept and sent again, after a pause that doubles up to 30 seconds. Meanwhile the queue fills up
    to its bound, and newer spans are dropped.

    Args:
        exporter: the exporter.
        max_queued: maximum number of spans that wait, those that are being sent included. Default:
            `OTEL_BSP_MAX_QUEUE_SIZE`, or 4096.
        interval_s: seconds between batches. Default: `OTEL_BSP_SCHEDULE_DELAY`, or 1.
        timeout: seconds that sending a batch may take. Default: `OTEL_BSP_EXPORT_TIMEOUT`, or 10.
        now: clock, in seconds.
        is_threaded: whether it has a thread; without one, `send` has to be called after `due_in` seconds.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        max_queued: int | None = None,
        interval_s: float | None = None,
        timeout: float | None = None,
        now: Callable[[], float] = time.monotonic,
        is_threaded: bool = True,
    ) -> None:
        self._exporter = exporter
        self._max_queued = max_queued or int(_variable("OTEL_BSP_MAX_QUEUE_SIZE", _MAX_QUEUED))
        self._interval_s = interval_s or _variable("OTEL_BSP_SCHEDULE_DELAY", _INTERVAL_S * 1e3) / 1e3
        self._timeout = timeout or _variable("OTEL_BSP_EXPORT_TIMEOUT", _TIMEOUT_S * 1e3) / 1e3
        self._now = now
        self._is_threaded = is_threaded
        self._is_closed = False
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin without spans and without a thread in a forked child: the parent sends its own."""
        self._queue: deque[FinishedSpan] = deque()
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None
        # Number of spans that are being sent.
        self._in_flight = 0
        # Numbers of the last flush that was requested, and of the last one that has ended, and its result.
        self._wanted = self._done = 0
        self._is_sent = True
        self._pause_s = 0.0
        self._next_at = self._now() + self._interval_s
        self._logged_at = -math.inf

    @property
    def queued(self) -> int:
        """Number of spans that wait, those that are being sent included."""
        return len(self._queue) + self._in_flight

    def put(self, span: FinishedSpan) -> None:
        """Queue a span; drop it if the queue is full."""
        queue = self._queue
        if self._is_closed or len(queue) + self._in_flight >= self._max_queued:
            self._count("dropped", 1)
            return
        queue.append(span)
        if self._thread is None:
            self._start()
        elif len(queue) == _MAX_BATCH:
            with self._changed:
                self._changed.notify_all()

    def _start(self) -> None:
        with self._changed:
            if self._thread is not None or self._is_closed or not self._is_threaded:
                return
            thread = threading.Thread(target=self._work, name=f"idlrt spans {self._exporter.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # the program ends, or has no threads left: `close` sends what waits
            self._thread = thread

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, self.due_in())
                wanted, is_last = self._wanted, self._is_closed
            is_sent = self.send()
            if is_last:
                self._end()
            with self._changed:
                self._done, self._is_sent = wanted, is_sent
                self._changed.notify_all()
            if is_last:
                return

    def _is_due(self) -> bool:
        return self._is_closed or self._wanted > self._done or self.due_in() <= 0

    def due_in(self) -> float:
        """Return the number of seconds until `send` is to be called: at once if a batch is full and nothing failed."""
        if len(self._queue) >= _MAX_BATCH and not self._pause_s:
            return 0.0
        return max(self._next_at - self._now(), 0.0)

    def send(self) -> bool:
        """Send the spans that wait. Return whether all of them were accepted or rejected, so that none is left."""
        with self._sending:
            left, is_sent = len(self._queue), True
            while left > 0 and is_sent:
                batch = self._take(min(left, _MAX_BATCH))
                left -= len(batch)
                is_sent = self._send_batch(batch)
            self._next_at = self._now() + (self._pause_s or self._interval_s)
            return is_sent

    def _take(self, number: int) -> list[FinishedSpan]:
        self._in_flight = number
        return [self._queue.popleft() for _ in range(number)]

    def _send_batch(self, batch: list[FinishedSpan]) -> bool:
        done, rejected = len(batch), 0
        failure: Exception | None = None
        try:
            self._exporter.export(batch, self._timeout)
        except ExportFailed as error:
            failure, done, rejected = error, error.done, error.rejected
        except OSError as error:
            failure, done = error, 0
        except Exception as error:  # noqa: BLE001  # logged; spans must never disturb the program
            failure, rejected = error, done
        left = batch[done:]
        self._queue.extendleft(reversed(left))
        self._in_flight = 0
        self._count("rejected", rejected)
        self._count("exported", done - rejected)
        self._pause_s = min(max(2 * self._pause_s, self._interval_s), _MAX_PAUSE_S) if left else 0.0
        if failure is not None:
            self._log_failure(failure, len(left), rejected)
        return not left

    def _count(self, outcome: str, number: int) -> None:
        count_spans(self._exporter.name, outcome, number)

    def _log_failure(self, error: Exception, left: int, rejected: int) -> None:
        now = self._now()
        if now - self._logged_at < _LOG_INTERVAL_S:
            return
        self._logged_at = now
        name, fields = self._exporter.name, {"exporter": self._exporter.name, "spans": left + rejected}
        reason = str(error) or type(error).__name__
        if left:
            _log.warning("cannot export %s to %s: %s; retrying", plural(left, "span"), name, reason, extra=fields)
        else:
            _log.warning("%s rejected %s: %s; dropping them", name, plural(rejected, "span"), reason, extra=fields)

    def flush(self, timeout: float = 5.0) -> bool:
        """Send all spans now. Return whether none is left within `timeout` seconds."""
        with self._changed:
            if self._thread is not None:
                self._wanted += 1
                wanted = self._wanted
                self._changed.notify_all()
                is_done = self._changed.wait_for(lambda: self._done >= wanted, timeout)
                return is_done and self._is_sent
        return self.send()

    def close(self, timeout: float = 5.0) -> bool:
        """Send what waits, and stop. Return whether no span was dropped, within `timeout` seconds. Idempotent."""
        with self._changed:
            if self._is_closed:
                return not self._queue
            self._is_closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is None:
            is_sent = self.send()
            self._end()
            return is_sent
        thread.join(timeout)
        return not thread.is_alive() and self._is_sent

    def _end(self) -> None:
        """Drop what is left, and close the exporter."""
        self._count("dropped", len(self._queue))
        self._queue.clear()
        try:
            self._exporter.close()
        except Exception as error:  # noqa: BLE001  # logged; spans must never disturb the program
            self._logged_at = -math.inf
            self._log_failure(error, 0, 0)


def _variable(name: str, default: float) -> float:
    """Return the value of a variable of OpenTelemetry: an integer greater than 0. Others are logged and ignored."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if text.isdecimal() and int(text) > 0:
        return int(text)
    _log.warning("ignoring %s: must be an integer greater than 0, got %r", name, text, extra={"variable": name})
    return default
