"""A process that traces calls, or does the same with the SDK of OpenTelemetry.

    IDLRT_BACKEND=pure python -m benchmarks.tracing_recorders URL

Prints the backend of the codecs. For each line of input, `NAME|CALLS`, it prints the CPU seconds of the whole process
that one call has cost, until all its spans are sent to URL. Ends at the end of its input.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased as TheirParentBased
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from benchmarks.tracing import OURS, THEIRS
from idlrt import observe, serialization
from idlrt.core import Call, Deadline, Outcome, Peer, RequestContext, ServerCall
from idlrt.core.driver import BlockingDriver
from idlrt.observe.tracing.client_calls import TracedRecorder
from idlrt.observe.tracing.exporters import OtlpSpanExporter, ZipkinExporter
from idlrt.observe.tracing.server_calls import TracedCalls
from idlrt.observe.tracing.setup import ActiveTracing
from idlrt.observe.tracing.switch import TRACING
from idlrt.observe.tracing.tracer import Tracer
from idlrt.spec import I64, Service, method, required

_PARENT: Final = f"00-{'a1' * 16}-{'b2' * 8}-"
_UNSAMPLED: Final = {"traceparent": _PARENT + "02"}
_SAMPLED: Final = {"traceparent": _PARENT + "03"}
# Each call is in another trace.
_NUMBERS: Final = itertools.cycle(f"{number:016x}" for number in range(1, 4096))
_PEER, _CALLER, _METHOD, _TARGET = Peer(address="10.0.0.1:41000"), "shop", "Echo.echo", "10.0.0.2:9090"
_RATIO: Final = 0.000001

Run = Callable[[], object]
_now: Final = time.monotonic


def _sampled() -> dict[str, str]:
    return {"traceparent": f"00-{'a1' * 8}{next(_NUMBERS)}-{'b2' * 8}-03"}


class _Echo:
    def echo(self, value: int) -> int:
        """Gives back what it is given."""
        raise NotImplementedError


_SERVICE: Final = Service("Echo", method(_Echo.echo, required(1, "value", I64), result=I64))
_DRIVER: Final = BlockingDriver()
_DEADLINE: Final = Deadline(0, 1)
_CONTEXT: Final = RequestContext(caller=_CALLER)
_DROPPED_CONTEXT: Final = RequestContext(caller=_CALLER, trace=_UNSAMPLED["traceparent"])


class _Server:
    """A server call as sessions trace it. What the call itself costs is subtracted by `nothing`."""

    def __init__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._observer = TracedCalls(tracer, None) if tracer is not None else None
        self._echo = _SERVICE.methods["echo"]

    def run(self, headers: dict[str, str], context: RequestContext = _CONTEXT) -> None:
        call = ServerCall(self._echo, (1,), _PEER, headers, _DEADLINE, _DRIVER, context, _now())
        call.answer_metadata = {}
        if self._tracer is not None:
            self._tracer.begin_server(call)
        call.outcome = Outcome.OK
        if self._observer is not None:
            if call.trace is not None and call.trace.span is not None:
                call.handled_at = _now()
            self._observer.answered(call, 100, 100)


class _Client:
    """A client call as stubs trace it, with the headers of its request."""

    def __init__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._recorder = TracedRecorder(tracer, _TARGET, None) if tracer is not None else None
        self._echo = _SERVICE.methods["echo"]
        self._outer: ServerCall | None = None

    def inside(self, headers: dict[str, str], context: RequestContext) -> None:
        """Make the calls part of a trace that is not sampled."""
        assert self._tracer is not None
        self._outer = ServerCall(self._echo, (1,), _PEER, headers, _DEADLINE, _DRIVER, context, _now())
        self._tracer.begin_server(self._outer)

    def run(self) -> None:
        began = _now()
        call = Call(self._echo, (1,), _TARGET, _DEADLINE, _DRIVER)
        if self._tracer is not None:
            self._tracer.begin_client(call, self._outer, began)
            call.trace.headers(_METHOD, _TARGET)
        if self._recorder is not None:
            self._recorder.answered(call, began, began)


class _OpenTelemetry:
    """The same with the SDK: a span for each call with our attributes, continued from headers, and put into headers."""

    def __init__(self, url: str) -> None:
        self._propagator = TraceContextTextMapPropagator()
        sampler = TheirParentBased(TraceIdRatioBased(_RATIO))
        self._provider = TracerProvider(resource=Resource.create({"service.name": "bench"}), sampler=sampler)
        self._processor = BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces"))
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("bench")

    def server(self, headers: dict[str, str]) -> None:
        parent = self._propagator.extract(headers, Context())
        attributes = {"rpc.system.name": "thrift", "rpc.method": "Echo/echo", "client.address": _PEER.address}
        with self._tracer.start_as_current_span("Echo.echo", parent, SpanKind.SERVER, attributes) as span:
            if span.is_recording():
                span.set_attribute("rpc.caller", _CALLER)
                span.set_attribute("rpc.response.status_code", "ok")
                span.set_attribute("rpc.server.handler_s", 0.0)
                span.set_attribute("rpc.server.serialization_s", 0.0)

    def client(self, parent: Context | None) -> None:
        attributes = {"rpc.system.name": "thrift", "rpc.method": "Echo/echo", "server.address": _TARGET}
        with self._tracer.start_as_current_span("Echo.echo", parent, SpanKind.CLIENT, attributes) as span:
            self._propagator.inject({})
            if span.is_recording():
                span.set_attribute("rpc.response.status_code", "ok")

    def context(self, headers: dict[str, str]) -> Context:
        return self._propagator.extract(headers, Context())

    def flush(self) -> object:
        return self._provider.force_flush()


def _tracing(sampler: float, *exporters: Any) -> tuple[Tracer, ActiveTracing]:
    """Return a tracer that is not the current one, so that there may be several."""
    active = observe.trace("bench", sampler=sampler, exporters=exporters, slow_s=1e6, opentelemetry=False)
    tracer = TRACING.tracer
    assert tracer is not None
    TRACING.use(None)
    return tracer, active


def _runs(url: str) -> dict[str, tuple[Run, Run]]:
    """Return what is measured by name, each with what sends its spans."""
    rarely, _ = _tracing(_RATIO)
    server, client, inner = _Server(rarely), _Client(rarely), _Client(rarely)
    inner.inside({}, _DROPPED_CONTEXT)
    plain_server, plain_client = _Server(None), _Client(None)
    sdk = _OpenTelemetry(url)
    unsampled, sampled = sdk.context(_UNSAMPLED), sdk.context(_SAMPLED)
    otlp, otlp_sends = _tracing(1.0, OtlpSpanExporter("bench", exporter=lambda: OTLPSpanExporter(f"{url}/v1/traces")))
    zipkin, zipkin_sends = _tracing(1.0, ZipkinExporter(f"{url}/api/v2/spans", "bench"))
    otlp_server, otlp_client, zipkin_server, zipkin_client = (
        _Server(otlp), _Client(otlp), _Server(zipkin), _Client(zipkin),
    )  # fmt: skip
    runs: dict[str, Run] = {
        "nothing, server": lambda: plain_server.run({}),
        "nothing, sampled server": lambda: plain_server.run(_sampled()),
        "nothing, client": plain_client.run,
        OURS[0]: lambda: server.run({}, _DROPPED_CONTEXT),
        OURS[1]: lambda: server.run({}),
        OURS[2]: inner.run,
        OURS[3]: client.run,
        THEIRS[0]: lambda: sdk.server(_UNSAMPLED),
        THEIRS[1]: lambda: sdk.server({}),
        THEIRS[2]: lambda: sdk.client(unsampled),
        THEIRS[3]: lambda: sdk.client(None),
    }
    exported: dict[str, tuple[Run, Run]] = {
        OURS[4]: (lambda: otlp_server.run(_sampled()), otlp_sends.flush),
        OURS[5]: (otlp_client.run, otlp_sends.flush),
        OURS[6]: (lambda: zipkin_server.run(_sampled()), zipkin_sends.flush),
        OURS[7]: (zipkin_client.run, zipkin_sends.flush),
        THEIRS[4]: (lambda: sdk.server(_sampled()), sdk.flush),
        THEIRS[5]: (lambda: sdk.client(sampled), sdk.flush),
    }
    return {**{name: (run, lambda: None) for name, run in runs.items()}, **exported}


def _seconds(run: Run, flush: Run, count: int) -> float:
    turns = range(count)
    start = time.process_time()
    for _ in turns:
        run()
    flush()
    return (time.process_time() - start) / count


def _main() -> None:
    runs = _runs(sys.argv[1])
    print(serialization.backend, flush=True)
    for line in sys.stdin:
        name, _, count = line.strip().partition("|")
        print(_seconds(*runs[name], int(count)), flush=True)


if __name__ == "__main__":
    _main()
