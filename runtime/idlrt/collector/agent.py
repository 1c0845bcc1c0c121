"""Agent: takes what the programs of one host push, and forwards it to the collector over one connection.

Programs push to it as they push to a collector. It keeps the newest value of each series of each program, and the
spans, until the collector has accepted them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from idlrt.collector.api import (
    AlertChange,
    AlertInfo,
    Answer,
    InvalidQuery,
    MetricInfo,
    Packet,
    Query,
    Refused,
    SilenceInfo,
    SpanBatch,
    Stored,
    TraceInfo,
    TraceSearch,
    collector,
)
from idlrt.collector.forwarder import Forwarder
from idlrt.collector.merging import MAX_CELLS, PacketBuffer
from idlrt.collector.packets import series_of
from idlrt.collector.receiving import DatagramReceivers, access_filters
from idlrt.collector.service import ReceivingService
from idlrt.collector.span_queue import MAX_SPAN_BYTES, SpanQueue
from idlrt.collector.transports import forwarding_to
from idlrt.core.logs import get_logger
from idlrt.errors import ApplicationCode, ApplicationError, RemoteProtocolError
from idlrt.observe.cells import Counts
from idlrt.observe.metric import Metric, Series
from idlrt.observe.sources import PROCESS
from idlrt.server import Server, require_token

if TYPE_CHECKING:
    from idlrt.net.tls import Tls

__all__ = ["DEFAULT_AGENT_PORT", "Agent"]

_log: Final = get_logger("idlrt.collector")

DEFAULT_AGENT_PORT: Final = 7411
"""Port of agents for calls; not that of a collector, which may run on the same host."""

PACKETS: Final = Metric(
    name="rpc_collector_agent_packets_total",
    kind="counter",
    help="Packets that programs have pushed to an agent, by transport and outcome: accepted, refused or dropped",
    labels=("transport", "outcome"),
)

_GRACE_S: Final = 5.0


class _Intake:
    """Takes packets and spans."""

    def __init__(self, packets: PacketBuffer, spans: SpanQueue, forwarder: Forwarder) -> None:
        self._packets = packets
        self._spans = spans
        self._forwarder = forwarder
        self._counts = Counts(PACKETS)

    def take(self, packet: Packet, transport: str) -> None:
        """Take a packet.

        Raises:
            RemoteProtocolError: it is invalid.
            OverflowError: too much waits.
        """
        try:
            series_of(packet)
            merged = self._packets.put(packet)
        except RemoteProtocolError:
            self.refused(transport)
            raise
        if merged is None:
            self._counts.add((transport, "dropped"), 1)
            raise OverflowError("too many cells wait for the collector; try again later")
        self._counts.add((transport, "accepted"), 1)
        self._forwarder.count("packet", "merged", merged)
        self._forwarder.wake()

    def put(self, packet: Packet, transport: str) -> None:
        """Take a packet of a datagram."""
        try:
            self.take(packet, transport)
        except RemoteProtocolError as error:
            _log.warning("refusing a packet: %s", error, extra={"transport": transport})
        except OverflowError:
            pass  # counted; newer packets of the program have it all

    def refused(self, transport: str) -> None:
        """Count a packet that cannot be read."""
        self._counts.add((transport, "refused"), 1)

    def take_spans(self, batch: SpanBatch) -> None:
        """Take spans.

        Raises:
            RemoteProtocolError: they cannot be read.
        """
        _, dropped = self._spans.put(batch)
        self._forwarder.count("span", "dropped", dropped)
        self._forwarder.wake()

    def read(self) -> list[Series]:
        """Return all metrics of the agent; it is a `Source`."""
        counted = [self._counts.series()] if len(self._counts) else []
        return [*counted, *self._forwarder.read()]


class _Handler:
    """Handler of the service in `collector.idl`: takes what is pushed, and answers no queries."""

    def __init__(self, intake: _Intake, forwarder: Forwarder, target: str) -> None:
        self._intake = intake
        self._forwarder = forwarder
        self._target = target

    async def push(self, packet: Packet) -> Stored:
        try:
            self._intake.take(packet, "tcp")
        except RemoteProtocolError as error:
            raise Refused(message=str(error), invalid=True) from None
        except OverflowError as error:
            raise Refused(message=str(error)) from None
        return Stored(interval=self._forwarder.interval)

    async def push_spans(self, batch: SpanBatch) -> None:
        try:
            self._intake.take_spans(batch)
        except RemoteProtocolError as error:
            raise Refused(message=str(error), invalid=True) from None

    def _elsewhere(self) -> str:
        return f"this is an agent, which stores nothing; query the collector, {self._target}"

    async def query(self, query: Query) -> Answer:
        raise InvalidQuery(message=self._elsewhere())

    async def search(self, search: TraceSearch) -> list[TraceInfo]:
        raise InvalidQuery(message=self._elsewhere())

    async def trace(self, trace_id: str) -> bytes:
        raise InvalidQuery(message=self._elsewhere())

    async def metrics(self) -> list[MetricInfo]:
        raise ApplicationError(self._elsewhere(), code=ApplicationCode.INTERNAL_ERROR)

    async def alerts(self) -> list[AlertInfo]:
        raise InvalidQuery(message=self._elsewhere())

    async def alert_history(self, limit: int) -> list[AlertChange]:
        raise InvalidQuery(message=self._elsewhere())

    async def silences(self) -> list[SilenceInfo]:
        raise InvalidQuery(message=self._elsewhere())

    async def add_silence(self, silence: SilenceInfo) -> SilenceInfo:
        raise InvalidQuery(message=self._elsewhere())

    async def end_silence(self, id: str) -> SilenceInfo:
        raise InvalidQuery(message=self._elsewhere())


class Agent(ReceivingService):
    """Agent. Use it in a `with` statement, or call `start` and `stop`.

    Args:
        target: the collector, `host:port`, or `kafka://host:port[,host:port]/topic`.
        address: address for calls over TCP; see `Server`. Port 0 requests a free one.
        udp: address for datagrams over UDP; empty for none.
        unix: path of a Unix socket for datagrams; empty for none.
        tokens: tokens of which programs have to send one, over TCP; none: no token is needed.
        allow: addresses and networks that may push; none: all.
        tls: TLS settings of its server.
        target_token: token that the collector requires.
        target_tls: TLS settings for the connection to the collector.
        kafka_options: settings of librdkafka for Kafka.
        admin: address of its admin port, with its metrics; empty for none.
        grace: seconds in which it forwards what waits when it stops.
        max_cells: maximum number of cells that wait: about one for each series of each program.
        max_span_bytes: maximum size of the spans that wait, in bytes; beyond it the oldest are dropped.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    def __init__(
        self,
        target: str,
        address: str = f"127.0.0.1:{DEFAULT_AGENT_PORT}",
        *,
        udp: str = "",
        unix: str = "",
        tokens: Collection[str] = (),
        allow: Sequence[str] = (),
        tls: Tls | None = None,
        target_token: str = "",
        target_tls: Tls | None = None,
        kafka_options: Mapping[str, str] | None = None,
        admin: str = "",
        grace: float = _GRACE_S,
        max_cells: int = MAX_CELLS,
        max_span_bytes: int = MAX_SPAN_BYTES,
    ) -> None:
        check_token = require_token(tokens, name="authorization") if tokens else None
        filters = access_filters(check_token, allow, udp=udp)
        connect = forwarding_to(target, token=target_token, tls=target_tls, kafka_options=kafka_options)
        packets, spans = PacketBuffer(max_cells), SpanQueue(max_span_bytes)
        self._grace = grace
        self._forwarder = Forwarder(target, connect, packets, spans)
        self._intake = _Intake(packets, spans, self._forwarder)
        self._receivers = DatagramReceivers(self._intake, udp=udp, unix=unix, allow=allow)
        handler = _Handler(self._intake, self._forwarder, target)
        self._server = Server(collector(handler), address, filters=filters, tls=tls, timeout=30.0, admin=admin or None)

    @property
    def admin_address(self) -> str:
        """URL of the admin port, once it has started.

        Raises:
            ConfigurationError: it has none.
        """
        return self._server.admin_address

    def _open(self) -> None:
        self._receivers.open()
        PROCESS.add(self._intake)
        self._forwarder.start()
        self._receivers.start()

    def _end(self) -> bool:
        self._receivers.close()
        is_forwarded = self._forwarder.close(self._grace)
        PROCESS.remove(self._intake)
        return is_forwarded
