"""Server of the collector: receives packets over TCP, UDP and Unix datagrams, and answers queries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from idlrt.collector.alert_answers import AlertAnswers
from idlrt.collector.alerts import Alerts
from idlrt.collector.answers import answer_of
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
from idlrt.collector.kafka import KafkaTarget
from idlrt.collector.kafka_receiver import DEFAULT_GROUP, KafkaFrom, KafkaReceiver
from idlrt.collector.marks import Marks
from idlrt.collector.packets import info_of
from idlrt.collector.pages.site import COLLECTOR_SITE
from idlrt.collector.pages.watch import Watch
from idlrt.collector.programs import LOST_AFTER_S, Programs
from idlrt.collector.receiving import DEFAULT_PORT, DatagramReceivers, access_filters
from idlrt.collector.service import ReceivingService
from idlrt.collector.store import CellStore
from idlrt.collector.trace_keeper import TraceKeeper
from idlrt.collector.traces import TailSampling, TraceStorageError
from idlrt.collector.writer import Writer
from idlrt.core import ServerCall
from idlrt.core.handlers import Handlers
from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.observe.sources import PROCESS
from idlrt.protocol.http.options import Http
from idlrt.protocol.http.pages import PAGE
from idlrt.server import Server, ServerCallNext, ServerFilter, require_token
from idlrt.server.admin.protection import require_sign_in

if TYPE_CHECKING:
    from idlrt.collector.registry_marks import RegistryMarks
    from idlrt.net.tls import Tls

__all__ = ["CollectorServer"]

_T = TypeVar("_T")

# Seconds between the snapshots of a program, and while a browser shows live pages.
_WANTED_S: Final = 10.0
_WATCHED_S: Final = 1.0


class _Handler:
    """Handler of the service in `collector.idl`."""

    def __init__(
        self, store: CellStore, writer: Writer, traces: TraceKeeper, watch: Watch, alerts: AlertAnswers
    ) -> None:
        self._store = store
        self._writer = writer
        self._traces = traces
        self._watch = watch
        self._alerts = alerts

    async def push(self, packet: Packet) -> Stored:
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()

        def done(error: Exception | None) -> None:
            loop.call_soon_threadsafe(_resolve, stored, error)

        self._writer.put(packet, "tcp", done)
        try:
            await stored
        except Exception as error:  # noqa: BLE001  # the client is told
            raise Refused(message=str(error), invalid=isinstance(error, RemoteProtocolError)) from None
        return Stored(interval=_WATCHED_S if self._watch.is_watched else _WANTED_S)

    async def query(self, query: Query) -> Answer:
        return await _answer(lambda: answer_of(self._store, query))

    async def push_spans(self, batch: SpanBatch) -> None:
        try:
            await asyncio.to_thread(self._traces.put, batch)
        except (ConfigurationError, RemoteProtocolError, TraceStorageError) as error:
            raise Refused(message=str(error), invalid=isinstance(error, RemoteProtocolError)) from None

    async def search(self, search: TraceSearch) -> list[TraceInfo]:
        return await _answer(lambda: self._traces.search(search))

    async def trace(self, trace_id: str) -> bytes:
        return await _answer(lambda: self._traces.trace(trace_id))

    async def metrics(self) -> list[MetricInfo]:
        found = await asyncio.to_thread(self._store.metrics)
        return [info_of(each) for each in found]

    async def alerts(self) -> list[AlertInfo]:
        return await _answer(self._alerts.alerts)

    async def alert_history(self, limit: int) -> list[AlertChange]:
        return await _answer(lambda: self._alerts.history(limit))

    async def silences(self) -> list[SilenceInfo]:
        return await _answer(self._alerts.silences)

    async def add_silence(self, silence: SilenceInfo) -> SilenceInfo:
        return await _answer(lambda: self._alerts.add_silence(silence))

    async def end_silence(self, id: str) -> SilenceInfo:
        return await _answer(lambda: self._alerts.end_silence(id))


async def _answer(answer: Callable[[], _T]) -> _T:
    try:
        return await asyncio.to_thread(answer)
    except ConfigurationError as error:
        raise InvalidQuery(message=str(error)) from None


def _resolve(future: asyncio.Future[None], error: Exception | None) -> None:
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _require_token(tokens: Collection[str], *, is_secure: bool) -> ServerFilter:
    """Return a filter that requires a token of calls, and a sign-in of browsers for pages."""
    check_token = require_token(tokens, name="authorization")
    check_sign_in = require_sign_in(COLLECTOR_SITE, tuple(tokens), is_secure=is_secure)

    async def check(call: ServerCall, next: ServerCallNext) -> Any:
        return await (check_sign_in if call.method is PAGE else check_token)(call, next)

    return check


def _registry_marks(url: str, marks: Marks) -> RegistryMarks | None:
    if not url:
        return None
    from idlrt.collector.registry_marks import RegistryMarks

    return RegistryMarks(url, marks)


class CollectorServer(ReceivingService):
    """Collector. Use it in a `with` statement, or call `start` and `stop`.

    Args:
        folder: folder of its files; it is created.
        address: address for calls over TCP; see `Server`. Port 0 requests a free one.
        udp: address for datagrams over UDP; empty for none.
        unix: path of a Unix socket for datagrams; empty for none.
        tokens: tokens of which programs have to send one, over TCP; none: no token is needed.
        allow: addresses and networks that may push and query; none: all.
        tls: TLS settings of the server.
        tail: which traces are kept, decided when they are complete; `None` for all. For programs that record all.
        registry: URL of a registry whose changes are shown as marks; empty for none.
        lost_after: seconds of silence after which a program is lost: more than the longest interval of its pushes.
        alerts: file with rules of alerts (TOML); `None` for no alerts.
        kafka: topic to consume, `kafka://host:port[,host:port]/topic`; empty for none.
        kafka_from: `committed`: consume what was not consumed yet; `beginning`: all that is in the topic. What is
            stored already changes nothing.
        kafka_group: name of the consumer group.
        kafka_options: settings of librdkafka.

    Raises:
        ConfigurationError: an argument is invalid, or a file cannot be used.
    """

    def __init__(
        self,
        folder: Path | str,
        address: str = f"127.0.0.1:{DEFAULT_PORT}",
        *,
        udp: str = "",
        unix: str = "",
        tokens: Collection[str] = (),
        allow: Sequence[str] = (),
        tls: Tls | None = None,
        tail: TailSampling | None = None,
        registry: str = "",
        lost_after: float = LOST_AFTER_S,
        alerts: Path | str | None = None,
        kafka: str = "",
        kafka_from: KafkaFrom = "committed",
        kafka_group: str = DEFAULT_GROUP,
        kafka_options: Mapping[str, str] | None = None,
    ) -> None:
        check_token = _require_token(tokens, is_secure=tls is not None) if tokens else None
        topic = KafkaTarget.parse(kafka) if kafka else None
        filters = access_filters(check_token, allow, udp=udp)
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"collector: cannot create {folder}: {error.strerror}") from None
        # What was opened is closed again if something after it cannot be used.
        with ExitStack() as opened:
            self._store = CellStore(self._folder / "cells.db")
            opened.callback(self._store.close)
            self._traces = TraceKeeper(self._folder / "traces", tail)
            opened.callback(self._traces.close)
            self._marks = Marks(self._folder / "marks.db")
            opened.callback(self._marks.close)
            self._alerts = Alerts(self._store, alerts, self._folder) if alerts is not None else None
            if self._alerts is not None:
                opened.callback(self._alerts.close)
            self._programs = Programs(self._marks, lost_after=lost_after)
            self._registry = _registry_marks(registry, self._marks)
            if self._registry is not None:
                opened.callback(self._registry.close)
            self._watch = Watch()
            self._writer = Writer(self._store, self._programs)
            self._receivers = DatagramReceivers(self._writer, udp=udp, unix=unix, allow=allow)
            self._kafka: KafkaReceiver | None = None
            if topic is not None:
                start, options = kafka_from, kafka_options
                take = self._traces.put
                self._kafka = KafkaReceiver(topic, self._writer, take, group=kafka_group, start=start, options=options)
                opened.callback(self._kafka.close)
            # Pages need httptools; without it the collector has everything else.
            self._has_pages = find_spec("httptools") is not None
            # Snapshots are large, and many programs push at once.
            self._server = Server(
                self._handlers(),
                address,
                filters=filters,
                tls=tls,
                timeout=30.0,
                http=Http(metadata=()) if self._has_pages else False,
            )
            self._opened = opened.pop_all()

    def _handlers(self) -> list[Handlers]:
        """Return the services: the calls of programs and commands, and the pages."""
        answers = AlertAnswers(self._alerts)
        handlers = [collector(_Handler(self._store, self._writer, self._traces, self._watch, answers))]
        if self._has_pages:
            from idlrt.collector.pages.context import PageContext
            from idlrt.collector.pages.frame import collector_pages

            sources = (self._store, self._programs, self._marks, self._traces, self._writer, self._watch)
            context = PageContext(*sources, self._registry, self._alerts)
            handlers.append(collector_pages(context).handlers)
        return handlers

    @property
    def alerts(self) -> Alerts | None:
        """Alerts; `None` without rules."""
        return self._alerts

    def _open(self) -> None:
        try:
            self._receivers.open()
        except ConfigurationError:
            self._opened.close()
            raise
        PROCESS.add(self._writer)
        self._writer.start()
        self._traces.start()
        if self._registry is not None:
            self._registry.start()
        if self._alerts is not None:
            PROCESS.add(self._alerts)
            self._alerts.start()
        self._receivers.start()
        if self._kafka is not None:
            self._kafka.start()

    def _end(self) -> bool:
        self._receivers.close()
        if self._kafka is not None:
            self._kafka.close()
        self._writer.close()
        PROCESS.remove(self._writer)
        PROCESS.remove(self._alerts)
        self._opened.close()
        return True
