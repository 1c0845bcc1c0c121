"""Receiver of a collector for Kafka: consumes a topic, and commits what the store has acknowledged.

Each message is written before its offset is committed, so that after a kill it is consumed again. The store recognizes
what it has by sender and number; the same holds for a topic that is read again from the beginning.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal, Protocol

import msgspec

from idlrt.collector.api import Packet, SpanBatch
from idlrt.collector.kafka import KafkaTarget, load_library, text_of
from idlrt.collector.span_messages import decode_message
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError, RemoteProtocolError

__all__ = ["DEFAULT_GROUP", "KafkaFrom", "KafkaReceiver"]

_log: Final = get_logger("idlrt.collector")

KafkaFrom = Literal["committed", "beginning"]
"""Where consuming begins: after what was committed, or at the beginning of the topic."""

DEFAULT_GROUP: Final = "idlrt-collector"
"""Name of the consumer group."""

_POLL_S: Final = 0.2
_COMMIT_S: Final = 1.0
_RETRY_S: Final = 1.0
_CLOSE_S: Final = 10.0
# Messages that are not acknowledged, at most; then consuming pauses until there are half as many.
_MAX_OPEN: Final = 2000
_LOG_INTERVAL_S: Final = 60.0


class PacketIntake(Protocol):
    """Takes packets; see `Writer`."""

    def put(self, packet: Packet, transport: str, done: Callable[[Exception | None], object]) -> None:
        """Take a packet; `done` is called once it is stored, or with the reason why it is not."""
        ...

    def refused(self, transport: str) -> None:
        """Count a packet that cannot be read."""
        ...


class _Message(msgspec.Struct, eq=False):
    """A message that is not acknowledged, or waits for those before it."""

    partition: _Partition
    offset: int
    content: Packet | SpanBatch | None
    is_done: bool = False


class _Partition:
    """Messages of an assigned partition, in order."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.messages: deque[_Message] = deque()
        self.next_offset: int | None = None
        self.is_assigned = True

    def advance(self) -> bool:
        """Remove messages that are done, up to the first one that is not. Return whether there was any."""
        before = self.next_offset
        while self.messages and self.messages[0].is_done:
            self.next_offset = self.messages.popleft().offset + 1
        return self.next_offset != before


class KafkaReceiver:
    """Consumes packets and spans on a thread.

    Args:
        target: the topic.
        packets: takes packets.
        put_spans: stores spans.
        group: name of the consumer group.
        start: where consuming begins.
        options: settings of librdkafka, such as `security.protocol`.

    Raises:
        ConfigurationError: the library is not installed, or a setting is invalid.
    """

    def __init__(
        self,
        target: KafkaTarget,
        packets: PacketIntake,
        put_spans: Callable[[SpanBatch], object],
        *,
        group: str = DEFAULT_GROUP,
        start: KafkaFrom = "committed",
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._target = target
        self._packets = packets
        self._put_spans = put_spans
        self._start: KafkaFrom = start
        library = load_library()
        self._library: Any = library
        self._is_incremental = (options or {}).get("group.protocol") == "consumer"
        settings: dict[str, Any] = {
            "bootstrap.servers": target.brokers,
            "client.id": "idlrt",
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "error_cb": self._log_failure,
            "log_level": 0,
            # A collector that was killed does not keep the next one waiting for longer.
            **({} if self._is_incremental else {"session.timeout.ms": 10_000}),
            **(options or {}),
        }
        try:
            self._consumer: Any = library.Consumer(settings)
        except (library.KafkaException, ValueError, TypeError) as error:
            raise ConfigurationError(f"kafka: {text_of(error)}") from None
        self._partitions: dict[int, _Partition] = {}
        # Partitions that were read from the beginning already.
        self._begun: set[int] = set()
        self._acknowledged: SimpleQueue[tuple[_Message, Exception | None]] = SimpleQueue()
        self._retries: deque[tuple[float, _Message]] = deque()
        self._open = 0
        self._is_paused = False
        self._is_stopping = False
        self._commit_at = 0.0
        self._logged_at = float("-inf")
        self._thread = threading.Thread(target=self._work, name="idlrt kafka", daemon=True)

    def start(self) -> None:
        """Begin to consume."""
        self._consumer.subscribe(
            [self._target.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        self._thread.start()

    def _work(self) -> None:
        while not self._is_stopping:
            try:
                self._step()
            except Exception as error:  # noqa: BLE001  # the thread goes on
                self._log_failure(error)
                time.sleep(_POLL_S)
        end = time.monotonic() + _CLOSE_S
        while self._open and time.monotonic() < end:
            self._settle(_POLL_S)
        try:
            self._commit(is_final=True)
        except Exception as error:  # noqa: BLE001  # it is consumed again
            self._log_failure(error)
        self._consumer.close()

    def _step(self) -> None:
        message = self._consumer.poll(0.0 if self._open else _POLL_S)
        if message is not None:
            error = message.error()
            if error is None:
                self._take(message.partition(), message.offset(), message.value() or b"")
            else:
                self._log_failure(error)
        # While messages wait to be stored, this is where the thread waits.
        self._settle(_POLL_S if message is None and self._open else 0.0)
        self._retry()
        self._pause()
        if time.monotonic() >= self._commit_at:
            self._commit()

    def _take(self, number: int, offset: int, data: bytes) -> None:
        partition = self._partitions.setdefault(number, _Partition(number))
        message = _Message(partition, offset, None)
        partition.messages.append(message)
        self._open += 1
        try:
            message.content = decode_message(data)
        except Exception as error:  # noqa: BLE001  # whatever is in the topic must not end the thread
            _log.warning("refusing a message of the topic %s: %s", self._target.topic, error, extra={"offset": offset})
            self._packets.refused("kafka")
            self._acknowledged.put((message, None))
            return
        self._store(message)

    def _store(self, message: _Message) -> None:
        content = message.content
        if isinstance(content, Packet):
            self._packets.put(content, "kafka", lambda error: self._acknowledged.put((message, error)))
        elif content is not None:
            try:
                self._put_spans(content)
            except Exception as error:  # noqa: BLE001  # stored later, or never if they are invalid
                self._acknowledged.put((message, error))
            else:
                self._acknowledged.put((message, None))

    def _settle(self, timeout: float) -> None:
        """Take note of what was stored."""
        try:
            message, error = self._acknowledged.get(timeout=timeout) if timeout else self._acknowledged.get_nowait()
            while True:
                self._note(message, error)
                message, error = self._acknowledged.get_nowait()
        except Empty:
            pass

    def _note(self, message: _Message, error: Exception | None) -> None:
        if error is not None and not isinstance(error, RemoteProtocolError):
            if message.partition.is_assigned:
                self._log_failure(error)
                self._retries.append((time.monotonic() + _RETRY_S, message))
                return
        elif error is not None:
            _log.warning("refusing a message of the topic %s: %s", self._target.topic, error, extra={"kind": "kafka"})
        message.is_done = True
        message.content = None
        self._open -= 1

    def _retry(self) -> None:
        now = time.monotonic()
        while self._retries and self._retries[0][0] <= now:
            _, message = self._retries.popleft()
            self._store(message)

    def _pause(self) -> None:
        """Consume no more while too many messages wait; polls go on, so that the group keeps this member."""
        wanted = self._open >= (_MAX_OPEN // 2 if self._is_paused else _MAX_OPEN)
        if wanted != self._is_paused:
            self._is_paused = wanted
            assigned = self._consumer.assignment()
            (self._consumer.pause if wanted else self._consumer.resume)(assigned)

    def _commit(self, *, is_final: bool = False, numbers: Sequence[int] | None = None) -> None:
        self._commit_at = time.monotonic() + _COMMIT_S
        moved = [
            each
            for each in self._partitions.values()
            if (numbers is None or each.number in numbers) and each.advance() and each.next_offset is not None
        ]
        if moved:
            positions = [
                self._library.TopicPartition(self._target.topic, each.number, each.next_offset) for each in moved
            ]
            self._consumer.commit(offsets=positions, asynchronous=not is_final)

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        for each in partitions:
            self._partitions[each.partition] = _Partition(each.partition)
            if self._start == "beginning" and each.partition not in self._begun:
                self._begun.add(each.partition)
                each.offset = self._library.OFFSET_BEGINNING
        (consumer.incremental_assign if self._is_incremental else consumer.assign)(partitions)
        self._is_paused = False

    def _revoked(self, consumer: Any, partitions: list[Any]) -> None:
        self._settle(0.0)
        try:
            self._commit(is_final=True, numbers=[each.partition for each in partitions])
        except self._library.KafkaException as error:
            self._log_failure(error)  # another member consumes it again
        self._forget(partitions)

    def _lost(self, consumer: Any, partitions: list[Any]) -> None:
        self._forget(partitions)

    def _forget(self, partitions: list[Any]) -> None:
        for each in partitions:
            gone = self._partitions.pop(each.partition, None)
            if gone is not None:
                gone.is_assigned = False
        kept = [each for each in self._retries if each[1].partition.is_assigned]
        self._open -= len(self._retries) - len(kept)
        self._retries = deque(kept)

    def _log_failure(self, error: object) -> None:
        now = time.monotonic()
        if now - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = now
            fields = {"topic": self._target.topic}
            _log.warning("cannot consume the topic %s: %s; retrying", self._target.topic, text_of(error), extra=fields)

    def close(self) -> None:
        """Commit what was stored, and stop. Idempotent."""
        was_stopping, self._is_stopping = self._is_stopping, True
        if self._thread.is_alive():
            self._thread.join()
        elif self._thread.ident is None and not was_stopping:
            self._consumer.close()  # it was never started
