"""Exporter that sends spans to a collector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from idlrt.collector.api import Refused, SpanBatch
from idlrt.collector.transports import SpanTransport, forwarding_to
from idlrt.core.forks import forks
from idlrt.errors import ApplicationError, RpcError
from idlrt.net.tls import Tls
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.span_pages import record_of

__all__ = ["CollectorExporter"]

_encoder: Final = msgspec.msgpack.Encoder()


class CollectorExporter:
    """Sends spans to a collector, which acknowledges them once they are stored; a `SpanExporter`.

    Values that look like secrets are masked, as on the admin port.

    Args:
        target: address of the collector or of an agent, `host:port`, or `kafka://host:port[,host:port]/topic`.
        service: name of this program.
        token: token that the collector requires.
        tls: TLS settings.
        kafka_options: settings of librdkafka for Kafka.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    name = "collector"

    def __init__(
        self,
        target: str,
        service: str,
        *,
        token: str = "",
        tls: Tls | None = None,
        kafka_options: Mapping[str, str] | None = None,
    ) -> None:
        self._connect = forwarding_to(target, token=token, tls=tls, kafka_options=kafka_options)
        self._service = service
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Connect again in a forked child."""
        self._transport: SpanTransport | None = None

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        """Send spans.

        Raises:
            OSError: the collector cannot be reached, or cannot store them now.
            ApplicationError: it does not accept them from this program.
            Refused: it never accepts these spans.
        """
        batch = SpanBatch(
            service=self._service, spans=_encoder.encode([record_of(each, self._service) for each in spans])
        )
        try:
            transport = self._transport
            if transport is None:
                transport = self._transport = self._connect()
            transport.send_spans(batch, timeout)
        except ApplicationError:
            raise
        except Refused as error:
            if error.invalid:
                raise
            raise OSError(str(error)) from error
        except RpcError as error:
            self.close()
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
