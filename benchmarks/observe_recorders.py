"""A process that records calls with one of the recorders, and reads what was recorded.

    IDLRT_BACKEND=pure python -m benchmarks.observe_recorders

Prints the backend of the cells. For each line of input, `NAME|CALLS` with the name of a recorder, it prints the CPU
seconds that one call has cost; for `read|NAME|SERIES|ROUNDS` those of one reading. Ends at the end of its input.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import prometheus_client
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from benchmarks.observe import VALUES
from idlrt import serialization
from idlrt.core import Call, Deadline, Instance, Outcome, Peer, RequestContext, ServerCall
from idlrt.core.driver import BlockingDriver
from idlrt.errors import Overloaded
from idlrt.observe.catalogue import SERVER_CALLS
from idlrt.observe.cells import Histograms
from idlrt.observe.client_calls import MethodRecorder
from idlrt.observe.exposition import BUCKETS, exposition, families
from idlrt.observe.otlp.points import Points
from idlrt.observe.server_calls import ServerCalls
from idlrt.spec import I64, Service, method, required

_METHOD: Final = "Echo.echo"
_STATUS: Final = "resource_exhausted"
# Bytes of a request and of its response, and seconds of a call.
_SIZE, _SECONDS = 120, 0.0021

Recorder = Callable[[], object]
_now: Final = time.monotonic


class _Echo:
    def echo(self, value: int) -> int:
        """Gives back what it is given."""
        raise NotImplementedError


def _server_call() -> ServerCall:
    service = Service("Echo", method(_Echo.echo, required(1, "value", I64), result=I64))
    echo = service.methods["echo"]
    context = RequestContext(caller="shop")
    call = ServerCall(echo, (1,), Peer(address="10.0.0.1"), {}, Deadline(0, 1), BlockingDriver(), context)
    call.received_at = _now()
    return call


def _client_call() -> Call:
    call = Call(_server_call().method, (1,), "echo", Deadline(0, 1), BlockingDriver())
    call.sent = call.received = _SIZE
    return call


def _ours() -> Mapping[str, Recorder]:
    """Return our recorders, as servers and clients call them."""
    call, server, client = _server_call(), ServerCalls(_now), MethodRecorder(_METHOD, "echo")
    failed, sent = _server_call(), _client_call()
    failed.outcome = Outcome.RESOURCE_EXHAUSTED
    instance, error = Instance(service="Echo", host="10.0.0.1", port=9090, zone="eu-1"), Overloaded("too busy")

    def call_and_attempt() -> None:
        client.attempted(sent, "first", instance, _SECONDS, None)
        client.answered(sent, 0.0, _SECONDS)

    return {
        "server, result": lambda: server.answered(call, _SIZE, _SIZE),
        "server, error": lambda: server.ended(failed, error, _SIZE, _SIZE),
        "client, result": lambda: client.answered(sent, 0.0, _SECONDS),
        "client, error": lambda: client.failed(sent, 0.0, _SECONDS, error),
        "client, attempt": lambda: client.attempted(sent, "first", instance, _SECONDS, None),
        "client, call with its attempt": call_and_attempt,
    }


class _Prometheus:
    """A histogram and a counter of `prometheus_client`, with our labels and buckets."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self.duration = prometheus_client.Histogram(
            "duration_seconds", "Duration", SERVER_CALLS.labels[:3], registry=self.registry, buckets=BUCKETS
        )
        self.calls = prometheus_client.Counter("calls", "Calls", SERVER_CALLS.labels, registry=self.registry)

    def record(self, method: str, status: str, error: str, caller: str, seconds: float) -> None:
        self.duration.labels(method, status, error).observe(seconds)
        self.calls.labels(method, status, error, caller).inc()


class _OpenTelemetry:
    """A histogram and a counter of the SDK of OpenTelemetry, with our labels and buckets."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        buckets = View(instrument_name="duration", aggregation=ExplicitBucketHistogramAggregation(BUCKETS[:-1]))
        self.provider = MeterProvider([self.reader], resource=Resource.create({}), views=[buckets])
        meter = self.provider.get_meter("bench")
        self.duration = meter.create_histogram("duration", "s")
        self.calls = meter.create_counter("calls", "{call}")

    def record(self, method: str, status: str, error: str, caller: str, seconds: float) -> None:
        attributes = {"rpc.method": method, "rpc.response.status_code": status, "error.type": error}
        self.duration.record(seconds, attributes)
        self.calls.add(1, {**attributes, "caller": caller})


def _peers() -> Mapping[str, Recorder]:
    """Return what others do for the result of a server: read the clock, add to a histogram, and to a counter."""
    prometheus, opentelemetry = _Prometheus(), _OpenTelemetry()
    labels = (_METHOD, "ok", "", "shop")
    began = _now()
    duration, calls = prometheus.duration.labels(*labels[:3]), prometheus.calls.labels(*labels)

    def cached() -> None:
        duration.observe(_now() - began)
        calls.inc()

    return {
        "prometheus_client, cached children": cached,
        "prometheus_client": lambda: prometheus.record(*labels, _now() - began),
        "OpenTelemetry": lambda: opentelemetry.record(*labels, _now() - began),
    }


class _Readings:
    """The same series in each library, and what reading them means."""

    def __init__(self, count: int) -> None:
        self._ours = Histograms(SERVER_CALLS)
        self._prometheus, self._opentelemetry = _Prometheus(), _OpenTelemetry()
        self._points = Points(is_exponential=False, bounds=None)
        for number in range(count):
            labels = f"Echo.echo{number}", "ok", "", "shop"
            for value in range(VALUES):
                seconds = 0.0001 * 1.6**value
                self._ours.record_call(labels, seconds, _SIZE, _SIZE)
                self._prometheus.record(*labels, seconds)
                self._opentelemetry.record(*labels, seconds)

    def read(self) -> object:
        return self._ours.series()

    def text(self) -> object:
        return exposition(families([self._ours.series()]))

    def prometheus_text(self) -> object:
        return prometheus_client.generate_latest(self._prometheus.registry)

    def otlp(self) -> object:
        metrics = self._points.metrics([self._ours.series()], start=1, at=2, is_delta=False)
        scope = ScopeMetrics(InstrumentationScope("bench"), metrics, "")
        return encode_metrics(MetricsData([ResourceMetrics(Resource({}), [scope], "")])).SerializeToString()

    def opentelemetry_otlp(self) -> object:
        data = self._opentelemetry.reader.get_metrics_data()
        assert data is not None
        return encode_metrics(data).SerializeToString()


def _seconds(run: Recorder, count: int) -> float:
    turns = range(count)
    start = time.process_time()
    for _ in turns:
        run()
    return (time.process_time() - start) / count


def _main() -> None:
    recorders: dict[str, Recorder] = {**_ours(), **_peers()}
    readings: dict[int, _Readings] = {}
    print(serialization.backend, flush=True)
    for line in sys.stdin:
        name, *rest = line.strip().split("|")
        run: Any
        if name == "read":
            series = int(rest[1])
            if series not in readings:
                readings[series] = _Readings(series)
            run = getattr(readings[series], rest[0])
        else:
            run = recorders[name]
        print(_seconds(run, int(rest[-1])), flush=True)


if __name__ == "__main__":
    _main()
