"""Forwarder of an agent: a thread that sends what waits to the collector.

While the collector is away it tries again, with pauses that grow, and what waits stays within its bounds.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from idlrt.collector.api import Packet, Refused, SpanBatch
from idlrt.collector.merging import PacketBuffer
from idlrt.collector.span_queue import SpanQueue
from idlrt.collector.transports import SpanTransport
from idlrt.core.logs import get_logger
from idlrt.observe.cells import Counts
from idlrt.observe.metric import Labels, Metric, Series, Value
from idlrt.printable import plural

__all__ = ["Forwarder"]

_log: Final = get_logger("idlrt.collector")

_TIMEOUT_S: Final = 10.0
_LEAST_TIMEOUT_S: Final = 0.1
_FIRST_PAUSE_S: Final = 0.25
_MAX_PAUSE_S: Final = 30.0
# While the agent stops there is no time for long pauses.
_LAST_PAUSE_S: Final = 0.2
_JITTER: Final = 0.2
_LOG_INTERVAL_S: Final = 60.0
_IDLE_S: Final = 60.0
# Packets that are on their way at once, at most.
_MAX_IN_FLIGHT: Final = 16
_MAX_SPAN_BATCHES: Final = 16
_DEFAULT_INTERVAL_S: Final = 10.0

FORWARDED: Final = Metric(
    name="rpc_collector_agent_forwarded_total",
    kind="counter",
    help="Packets and spans of an agent by outcome: accepted by the collector, merged into newer packets, refused by "
    "the collector, dropped for lack of space, or failed and sent again",
    labels=("what", "outcome"),
)
WAITING: Final = Metric(
    name="rpc_collector_agent_waiting",
    kind="gauge",
    help="Cells and spans that wait for the collector",
    labels=("what",),
)


class Forwarder:
    """Forwarder.

    Args:
        target: address of the collector, for logs.
        connect: opens the transport to it.
        packets: packets that wait.
        spans: spans that wait.
    """

    def __init__(
        self, target: str, connect: Callable[[], SpanTransport], packets: PacketBuffer, spans: SpanQueue
    ) -> None:
        self._target = target
        self._connect = connect
        self._packets = packets
        self._spans = spans
        self._counts = Counts(FORWARDED)
        self._transport: SpanTransport | None = None
        self._threads = ThreadPoolExecutor(_MAX_IN_FLIGHT, "idlrt forward")
        self._changed = threading.Condition()
        self._is_changed = False
        self._close_at = math.inf
        self._logged_at = -math.inf
        self._thread = threading.Thread(target=self._work, name="idlrt agent", daemon=True)
        self.interval = _DEFAULT_INTERVAL_S

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()

    def read(self) -> list[Series]:
        """Return counters, and what waits; it is a `Source`."""
        waiting: dict[Labels, Value] = {("cell",): float(self._packets.cells), ("span",): float(self._spans.spans)}
        counted = [self._counts.series()] if len(self._counts) else []
        return [*counted, Series(WAITING, waiting)]

    def count(self, what: str, outcome: str, number: int = 1) -> None:
        """Count packets or spans."""
        if number:
            self._counts.add((what, outcome), number)

    def wake(self) -> None:
        """Say that something waits."""
        with self._changed:
            self._is_changed = True
            self._changed.notify_all()

    def _work(self) -> None:
        pause = 0.0
        while True:
            with self._changed:
                if pause:
                    # New packets do not shorten a pause.
                    self._changed.wait_for(lambda: self._is_closing, pause * random.uniform(1 - _JITTER, 1 + _JITTER))
                else:
                    self._changed.wait_for(lambda: self._is_changed or self._is_closing, _IDLE_S)
                self._is_changed = False
                is_closing, left = self._is_closing, self._close_at - time.monotonic()
            try:
                is_sent = self._forward(max(min(left, _TIMEOUT_S), _LEAST_TIMEOUT_S))
            except Exception as error:  # noqa: BLE001  # the thread goes on
                self._failed(error)
                is_sent = False
            self.count("packet", "dropped", self._packets.forget_silent())
            if is_closing:
                if not self._is_anything_left() or time.monotonic() + _LAST_PAUSE_S >= self._close_at:
                    break
                time.sleep(0.0 if is_sent else _LAST_PAUSE_S)
                pause = 0.0
            else:
                pause = 0.0 if is_sent else min(max(2 * pause, _FIRST_PAUSE_S), _MAX_PAUSE_S)
        self._disconnect()

    @property
    def _is_closing(self) -> bool:
        return self._close_at < math.inf

    def _is_anything_left(self) -> bool:
        return len(self._packets) > 0 or self._spans.spans > 0

    def _forward(self, timeout: float) -> bool:
        """Send what waits. Return whether the collector has accepted all of it."""
        while self._is_anything_left():
            transport = self._transport
            if transport is None:
                transport = self._transport = self._connect()
            # One packet that the collector cannot store must not keep spans back.
            outcomes = [self._forward_packets(transport, timeout), self._forward_spans(transport, timeout)]
            if not all(outcomes):
                return False
            if time.monotonic() >= self._close_at:
                return False
        return True

    def _forward_packets(self, transport: SpanTransport, timeout: float) -> bool:
        def send(packet: Packet) -> Exception | None:
            try:
                interval = transport.send(packet, timeout)
            except Exception as error:  # noqa: BLE001  # each packet has its own outcome
                return error
            if interval:
                self.interval = interval
            return None

        batch = self._packets.take(_MAX_IN_FLIGHT)
        failure: Exception | None = None
        for packet, error in zip(batch, self._threads.map(send, batch), strict=True):
            if error is None:
                self._packets.sent(packet)
                self.count("packet", "accepted")
            elif isinstance(error, Refused) and error.invalid:
                self._packets.sent(packet)
                self.count("packet", "refused")
                _log.warning("the collector refused a packet: %s; dropping it", error.message, extra={"kind": "agent"})
            else:
                self._packets.failed(packet)
                self.count("packet", "failed")
                failure = error
        if failure is not None:
            self._failed(failure)
        return failure is None

    def _forward_spans(self, transport: SpanTransport, timeout: float) -> bool:
        for _ in range(_MAX_SPAN_BATCHES):
            found = self._spans.take()
            if found is None:
                break
            batch, number = found
            if not self._send_spans(transport, batch, number, timeout):
                return False
        return True

    def _send_spans(self, transport: SpanTransport, batch: SpanBatch, number: int, timeout: float) -> bool:
        try:
            transport.send_spans(batch, timeout)
        except Exception as error:  # noqa: BLE001  # sent again, whatever it was
            if isinstance(error, Refused) and error.invalid:
                self.count("span", "refused", number)
                _log.warning("the collector refused spans: %s; dropping them", error.message, extra={"kind": "agent"})
                return True
            self.count("span", "dropped", self._spans.put_back(batch, number))
            self.count("span", "failed", number)
            self._failed(error)
            return False
        self.count("span", "accepted", number)
        return True

    def _failed(self, error: Exception) -> None:
        self.interval = _DEFAULT_INTERVAL_S
        if not isinstance(error, Refused):
            # The next attempt connects again, without the pauses of a client that has failed before.
            self._disconnect()
        now = time.monotonic()
        if now - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = now
            what = str(error) or type(error).__name__
            fields = {"target": self._target}
            _log.warning("cannot forward to the collector at %s: %s; retrying", self._target, what, extra=fields)

    def _disconnect(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def close(self, grace: float) -> bool:
        """Send what waits, and stop. Return whether all of it was accepted.

        Args:
            grace: seconds that it may take.
        """
        with self._changed:
            self._close_at = time.monotonic() + grace
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(grace)
            # A call that still waits for the collector ends.
            self._disconnect()
            self._thread.join()
        self._threads.shutdown()
        packets, spans = len(self._packets), self._spans.spans
        if packets or spans:
            lost = f"{plural(packets, 'packet')} and {plural(spans, 'span')}"
            fields = {"packets": packets, "spans": spans, "target": self._target}
            _log.warning("stopped without forwarding %s to the collector at %s", lost, self._target, extra=fields)
        return not packets and not spans
