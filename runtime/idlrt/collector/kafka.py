"""Kafka as a transport: packets and spans are messages of a topic, which collectors consume.

The key of a packet is the id of its sender, so that the packets of one process are in one partition, in order. The
library is librdkafka by `confluent-kafka` (extra `kafka`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

import msgspec

from idlrt.collector.api import Packet, SpanBatch
from idlrt.collector.packets import MAX_DATAGRAM, encode_datagram
from idlrt.collector.span_messages import encode_spans
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError

__all__ = ["KAFKA", "KafkaTarget", "KafkaTransport", "load_library", "text_of"]

KAFKA: Final = "kafka://"
"""Prefix of targets."""

_DEFAULT_PORT: Final = 9092
# Brokers take messages of at most 1 MB unless they are configured otherwise.
_MAX_SPANS: Final = 900_000
# Snapshots that were not delivered within this time are given up: later ones have their counts, too.
_MESSAGE_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.2
_MAX_QUEUED: Final = 10_000
# Producers of the parent of a forked process, whose threads are not there: freeing one would wait for them.
_abandoned: Final[list[object]] = []


class KafkaTarget(msgspec.Struct, frozen=True):
    """Topic of a Kafka cluster.

    Attributes:
        brokers: addresses of brokers, `host:port`, separated by commas.
        topic: name of the topic.
    """

    brokers: str
    topic: str

    @classmethod
    def parse(cls, text: str) -> KafkaTarget:
        """Return the target of `kafka://host:port[,host:port]/topic`, with or without the prefix.

        Raises:
            ConfigurationError: it is invalid.
        """
        brokers, _, topic = text.removeprefix(KAFKA).partition("/")
        hosts = brokers.split(",")
        if not all(hosts) or not topic or not all(each.isalnum() or each in "._-" for each in topic):
            raise ConfigurationError(f"kafka: must be kafka://host:port[,host:port]/topic, got {text!r}")
        named = [each if ":" in each else f"{each}:{_DEFAULT_PORT}" for each in hosts]
        return cls(",".join(named), topic)


def load_library() -> ModuleType:
    """Return the module `confluent_kafka`.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import confluent_kafka
    except ImportError as error:
        raise ConfigurationError(f"kafka: {error}; install idlc[kafka]") from None
    return confluent_kafka


class KafkaTransport:
    """Produces packets and spans. Threads may share it.

    Args:
        target: the topic.
        options: settings of librdkafka, such as `security.protocol`.

    Raises:
        ConfigurationError: the library is not installed, or a setting is invalid.
    """

    size = MAX_DATAGRAM

    def __init__(self, target: KafkaTarget, options: Mapping[str, str]) -> None:
        self._target = target
        library = load_library()
        self._failure: type[Exception] = library.KafkaException
        self._last_error = ""
        settings: dict[str, Any] = {
            "bootstrap.servers": target.brokers,
            "client.id": "idlrt",
            "enable.idempotence": True,
            "message.timeout.ms": int(_MESSAGE_TIMEOUT_S * 1e3),
            "queue.buffering.max.messages": _MAX_QUEUED,
            "error_cb": self._note_error,
            # Failures are reported by `send`.
            "log_level": 0,
            **options,
        }
        try:
            self._producer: Any = library.Producer(settings)
        except (self._failure, ValueError, TypeError) as error:
            raise ConfigurationError(f"kafka: {text_of(error)}") from None
        self._is_closed = False
        self._thread = threading.Thread(target=self._poll, name="idlrt kafka", daemon=True)
        self._thread.start()
        forks.register(self)

    def after_fork(self) -> None:
        """Leave the producer of the parent alone in a forked child."""
        _abandoned.append(self._producer)

    def _poll(self) -> None:
        while not self._is_closed:
            self._producer.poll(_POLL_S)

    def _note_error(self, error: object) -> None:
        self._last_error = text_of(error)

    def send(self, packet: Packet, timeout: float) -> float:
        """Produce a packet, and wait until the broker has it; see `Transport`."""
        self._send(str(packet.sender.id), [encode_datagram(packet)], timeout)
        return 0.0

    def send_spans(self, batch: SpanBatch, timeout: float) -> None:
        """Produce spans, and wait until the broker has them; see `SpanTransport`."""
        self._send(batch.service, list(encode_spans(batch, _MAX_SPANS)), timeout)

    def _send(self, key: str, messages: list[bytes], timeout: float) -> None:
        left = len(messages)
        failures: list[str] = []
        done = threading.Event()

        def delivered(error: object, message: object) -> None:
            nonlocal left
            left -= 1
            if error is not None:
                failures.append(text_of(error))
            if not left:
                done.set()

        try:
            for each in messages:
                self._producer.produce(self._target.topic, each, key, on_delivery=delivered)
        except (BufferError, self._failure) as error:
            raise OSError(f"topic {self._target.topic}: {text_of(error)}") from None
        if not done.wait(timeout):
            failures.append(f"not delivered within {timeout:g} s")
        if failures:
            details = f" ({self._last_error})" if self._last_error else ""
            raise OSError(f"topic {self._target.topic}: {failures[0]}{details}")

    def close(self) -> None:
        """Stop. Messages that were not delivered are given up."""
        self._is_closed = True
        self._thread.join()
        self._producer.purge()
        self._producer.flush(_POLL_S)


def text_of(error: object) -> str:
    """Return the text of an error, which may be in an object of the library."""
    inner: Any = error.args[0] if isinstance(error, BaseException) and error.args else error
    return str(inner.str() if hasattr(inner, "str") else inner)
