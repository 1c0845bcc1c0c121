"""Transports: how packets get to a collector. The address of the collector selects one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from idlrt.collector.api import CollectorClient, Packet, SpanBatch
from idlrt.collector.kafka import KAFKA, KafkaTarget, KafkaTransport, load_library
from idlrt.collector.packets import MAX_DATAGRAM, Form, encode_datagram
from idlrt.errors import ConfigurationError
from idlrt.net import Address
from idlrt.net.datagrams import DatagramSender
from idlrt.net.tls import Tls
from idlrt.observe.tracing.spans import suppressed

__all__ = ["RpcTransport", "SpanTransport", "Transport", "forwarding_to", "transport_to"]

# Snapshots over TCP are divided, too: a server need not take one of many megabytes.
_MAX_MESSAGE: Final = 1 << 20
_MAX_CALLS: Final = 64


class Transport(Protocol):
    """Sends packets.

    Attributes:
        size: size in bytes that a packet should not exceed.
    """

    size: int

    def send(self, packet: Packet, timeout: float) -> float:
        """Send a packet. Return the seconds until the next snapshot is wanted; 0 if the receiver does not say.

        Raises:
            OSError: it cannot be sent now.
            RpcError: it cannot be sent now.
            Refused: the collector does not store it.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...


class SpanTransport(Transport, Protocol):
    """Sends packets and spans. Threads may share it."""

    def send_spans(self, batch: SpanBatch, timeout: float) -> None:
        """Send spans.

        Raises:
            OSError: they cannot be sent now.
            RpcError: they cannot be sent now.
            Refused: the collector does not store them.
        """
        ...


class RpcTransport:
    """Sends packets and spans by calls, over one connection: each one is acknowledged once it is stored.

    Args:
        target: address of the collector, `host:port`.
        token: token that it requires.
        tls: TLS settings.
    """

    size = _MAX_MESSAGE

    def __init__(self, target: str, token: str, tls: Tls | None) -> None:
        metadata = {"authorization": token} if token else {}
        # What pushing itself counts would be new each time.
        client = CollectorClient.connect(
            target,
            framing="header",
            protocol="compact",
            tls=tls,
            metrics=False,
            max_connections=1,
            calls_per_connection=_MAX_CALLS,
        )
        self._client = client
        self._calls = client.using(metadata=metadata) if metadata else client

    def send(self, packet: Packet, timeout: float) -> float:
        """Send a packet; see `Transport`."""
        with suppressed():
            return self._calls.using(timeout=timeout).push(packet).interval

    def send_spans(self, batch: SpanBatch, timeout: float) -> None:
        """Send spans; see `SpanTransport`."""
        # Spans of these calls would be exported, too.
        with suppressed():
            self._calls.using(timeout=timeout).push_spans(batch)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class _Datagrams:
    """Sends packets as datagrams: nothing tells whether one has arrived."""

    size = MAX_DATAGRAM

    def __init__(self, address: Address, form: Form) -> None:
        self._sender = DatagramSender(address)
        self._form: Form = form

    def send(self, packet: Packet, timeout: float) -> float:
        self._sender.send(encode_datagram(packet, self._form))
        return 0.0

    def close(self) -> None:
        self._sender.close()


def transport_to(
    target: str,
    *,
    token: str = "",
    tls: Tls | None = None,
    form: Form = "compact",
    kafka_options: Mapping[str, str] | None = None,
) -> Callable[[], Transport]:
    """Return what opens the transport to a collector.

    Args:
        target: `host:port`, `udp://host:port`, `unixgram:/path` or `kafka://host:port/topic`.
        token: token that the collector requires; over TCP only.
        tls: TLS settings; over TCP only.
        form: serialization of datagrams.
        kafka_options: settings of librdkafka.

    Raises:
        ConfigurationError: an argument is invalid.
    """
    where = ""
    if target.startswith("udp://"):
        where = target.removeprefix("udp://")
    elif target.startswith("unixgram:"):
        where = "unix:" + target.removeprefix("unixgram:")
    is_kafka = target.startswith(KAFKA)
    if not where and not is_kafka:
        return lambda: RpcTransport(target, token, tls)
    if token or tls is not None:
        raise ConfigurationError("push: token and tls are for targets over TCP, such as 127.0.0.1:7410")
    if is_kafka:
        return _kafka(target, kafka_options)
    address = Address.parse(where)
    return lambda: _Datagrams(address, form)


def _kafka(target: str, options: Mapping[str, str] | None) -> Callable[[], KafkaTransport]:
    parsed = KafkaTarget.parse(target)
    load_library()
    return lambda: KafkaTransport(parsed, options or {})


def forwarding_to(
    target: str, *, token: str = "", tls: Tls | None = None, kafka_options: Mapping[str, str] | None = None
) -> Callable[[], SpanTransport]:
    """Return what opens the transport of packets and spans to a collector.

    Args:
        target: `host:port` or `kafka://host:port/topic`.
        token: token that the collector requires; over TCP only.
        tls: TLS settings; over TCP only.
        kafka_options: settings of librdkafka.

    Raises:
        ConfigurationError: an argument is invalid.
    """
    if target.startswith(KAFKA):
        return _kafka(target, kafka_options)
    if target.startswith(("udp://", "unixgram:")):
        raise ConfigurationError(
            f"target: must be the address of a collector for calls, host:port, or kafka://, got {target!r}"
        )

    def connect() -> SpanTransport:
        return RpcTransport(target, token, tls)

    connect().close()  # connects to nothing yet, but examines its arguments
    return connect
