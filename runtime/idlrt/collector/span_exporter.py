"""Exporter that sends spans to a collector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from idlrt.collector.api import CollectorClient, Refused, SpanBatch
from idlrt.core.forks import forks
from idlrt.errors import ApplicationError, RpcError
from idlrt.net.tls import Tls
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.span_pages import record_of
from idlrt.observe.tracing.spans import suppressed

__all__ = ["CollectorExporter"]

_encoder: Final = msgspec.msgpack.Encoder()


class CollectorExporter:
    """Sends spans to a collector, which acknowledges them once they are stored; a `SpanExporter`.

    Values that look like secrets are masked, as on the admin port.

    Args:
        target: address of the collector, `host:port`.
        service: name of this program.
        token: token that the collector requires.
        tls: TLS settings.
    """

    name = "collector"

    def __init__(self, target: str, service: str, *, token: str = "", tls: Tls | None = None) -> None:
        self._target = target
        self._service = service
        self._metadata = {"authorization": token} if token else {}
        self._tls = tls
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Connect again in a forked child."""
        self._client: CollectorClient | None = None

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        """Send spans.

        Raises:
            OSError: the collector cannot be reached, or cannot store them now.
            ApplicationError: it does not accept them from this program.
        """
        batch = SpanBatch(
            service=self._service, spans=_encoder.encode([record_of(each, self._service) for each in spans])
        )
        try:
            client = self._client
            if client is None:
                client = self._client = CollectorClient.connect(
                    self._target, framing="header", protocol="compact", tls=self._tls, metrics=False
                )
            calls = client.using(timeout=timeout, metadata=self._metadata) if self._metadata else client
            # Spans of these calls would be exported, too.
            with suppressed():
                calls.push_spans(batch)
        except ApplicationError:
            raise
        except (RpcError, Refused) as error:
            self.close()
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
