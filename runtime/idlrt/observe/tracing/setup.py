"""Start tracing in a process."""

from __future__ import annotations

import atexit
import importlib.util
import ipaddress
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from idlrt.core import Change, ServerCall
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.batches import Batches, SpanExporter
from idlrt.observe.tracing.dynamic import DynamicSampling, Settings, SettingsRegistry
from idlrt.observe.tracing.live_exporter import LiveExporter
from idlrt.observe.tracing.propagation import check_formats
from idlrt.observe.tracing.sampling import (
    Never,
    ParentBased,
    Ratio,
    Rules,
    Sampler,
    SamplingRule,
    parse_sampler,
    sampler_of_environment,
    standard_sampler,
)
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.store import SpanStore
from idlrt.observe.tracing.switch import FLUSH_S, TRACING
from idlrt.observe.tracing.tracer import Tracer

__all__ = ["READS", "ActiveTracing", "trace"]

READS: Final = ("w3c", "b3", "b3multi", "jaeger", "sw8", "eagleeye", "pinpoint")
"""Formats of headers that are read by default, in the order of precedence."""

_DEFAULT_RATIO: Final = 0.1
# Addresses of connections that are remembered as trusted or not.
_MAX_PEERS: Final = 4096


class ActiveTracing:
    """Tracing of this process, until it is closed. `trace` returns it.

    Attributes:
        store: recent spans.
        rules: sampling rules, which `rules.replace(...)` replaces at run time; `None` if the sampler has none.
    """

    def __init__(
        self,
        tracer: Tracer,
        store: SpanStore,
        batches: Sequence[Batches | LiveExporter],
        rules: Rules | None = None,
        sinks: list[Callable[[FinishedSpan], object]] | None = None,
    ) -> None:
        self.rules = rules
        self._sinks = sinks if sinks is not None else []
        self._settings: Settings | None = None
        self._resume: Callable[[], object] | None = None
        self._tracer = tracer
        self._batches = list(batches)
        self.store = store
        # Programs that end at once must not lose their spans.
        atexit.register(self.close, FLUSH_S)

    def add_exporter(self, exporter: SpanExporter) -> None:
        """Send the spans that end from now on to another exporter, too."""
        batches = Batches(exporter)
        self._batches.append(batches)
        self._sinks.append(batches.put)

    def follow(self, subscribe: Callable[[], Settings], changed: Callable[[Change], object]) -> None:
        """Follow settings, until it is closed.

        Args:
            subscribe: subscribes to them.
            changed: called with each change.
        """
        self._resume = lambda: self.follow(subscribe, changed)
        self._settings = subscribe()
        self._settings.listen(changed)

    def resume(self) -> None:
        """Follow the settings in a forked child, too, which goes on with the work of its parent."""
        if self._resume is not None:
            self._resume()

    def flush(self, timeout: float = 5.0) -> bool:
        """Send all spans that wait. Return whether all exporters accepted them within `timeout` seconds each."""
        results = [each.flush(timeout) for each in self._batches]
        return all(results)

    def close(self, timeout: float = 5.0) -> bool:
        """Turn tracing off, and send what waits. Return whether all exporters accepted it. Idempotent."""
        atexit.unregister(self.close)
        if self._settings is not None:
            self._settings.close()
        self._tracer.close()
        if TRACING.tracer is self._tracer:
            TRACING.use(None)
        results = [each.close(timeout) for each in self._batches]
        return all(results)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def trace(
    service: str = "",
    *,
    exporters: Sequence[SpanExporter | LiveExporter] = (),
    sampler: Sampler | float | str | None = None,
    rules: Iterable[SamplingRule] = (),
    reads: Sequence[str] = READS,
    writes: Sequence[str] = ("w3c",),
    slow_s: float = 1.0,
    trusted: Sequence[str] | None = None,
    untraced: Collection[str] = (),
    max_spans: int = 2000,
    access_log: bool = False,
    opentelemetry: bool | None = None,
    registry: SettingsRegistry | None = None,
) -> ActiveTracing:
    """Trace the calls of this process from now on. Call it before servers are created; clients follow at once.

    Args:
        service: name of this program. Default: the environment variable `OTEL_SERVICE_NAME`.
        exporters: where spans are sent (`idlrt.observe.tracing.exporters`).
        sampler: fraction of the traces that begin here and are recorded, between 0 and 1; text such as `per_second:5`
            or `adaptive:20`; or a sampler (`idlrt.observe.tracing.sampling`), which is used as it is. With the other
            forms, decisions of trusted callers are honoured. `None`, the default: `OTEL_TRACES_SAMPLER`, else 0.1.
        rules: rules that precede the sampler; `ActiveTracing.rules` replaces them.
        reads: formats of headers that are read: `w3c`, `b3`, `b3multi`, `jaeger`, `sw8`, `eagleeye`, `pinpoint`. The
            first one that a request has wins.
        writes: formats of headers that are sent.
        slow_s: duration in seconds from which calls that were not sampled leave a span, at most 10 in a second; so do
            failed ones.
        trusted: networks of callers whose decisions, baggage and tags are used. `None`, the default: loopback and
            private addresses, and Unix sockets.
        untraced: methods of servers that are not traced, as `Service.method`.
        max_spans: number of recent spans that are kept for the admin port.
        access_log: whether servers log each recorded call, at level INFO on the logger `idlrt.access`.
        opentelemetry: whether spans of the OpenTelemetry SDK and of this runtime continue each other. `None`, the
            default: if the program has set a tracer provider before it starts servers, or makes its first call.
        registry: registry (`idlrt.registry.Registry`) whose settings for the service of the name `service` are
            followed at run time: `sampling.rules` and `sampling.sampler`. The program closes it.

    Raises:
        ConfigurationError: an argument is invalid, or tracing is on.
    """
    if TRACING.tracer is not None:
        raise ConfigurationError(f"trace: tracing is on, as {TRACING.tracer.service!r}; close it first")
    service = service or os.environ.get("OTEL_SERVICE_NAME", "")
    if not service or not service.isprintable():
        raise ConfigurationError(f"trace: service: must be a name, got {service!r}")
    if not 0 < slow_s < float("inf"):
        raise ConfigurationError(f"trace: slow_s: must be greater than 0 seconds, got {slow_s!r}")
    check_formats(reads)
    check_formats(writes)
    if opentelemetry and importlib.util.find_spec("opentelemetry") is None:
        advice = "it is not installed; run pip install opentelemetry-api"
        raise ConfigurationError(f"trace: cannot join the context of OpenTelemetry: {advice}")
    fixed = tuple(rules)
    chosen, ruled = _sampler(sampler, fixed)
    store = SpanStore(max_spans)
    live = [each for each in exporters if isinstance(each, LiveExporter)]
    if len(live) > 1:
        raise ConfigurationError(f"trace: exporters: {live[0].name} and {live[1].name} cannot be used together")
    batches = [Batches(each) for each in exporters if not isinstance(each, LiveExporter)]
    sinks: list[Callable[[FinishedSpan], object]] = [store.put, *(each.put for each in batches)]

    def finished(span: FinishedSpan) -> None:
        for each in sinks:
            each(span)

    tracer = Tracer(
        service,
        chosen,
        finished,
        reads=reads,
        writes=writes,
        rules=ruled,
        slow_s=slow_s,
        is_trusted=_trust(trusted),
        untraced=untraced,
        live=live[0] if live else None,
    )
    active = ActiveTracing(tracer, store, [*batches, *live], ruled, sinks)
    if registry is not None:
        dynamic = DynamicSampling(chosen, ruled, tracer.sample_with, service)
        active.follow(lambda: registry.subscribe(service), dynamic.changed)
    TRACING.use(
        tracer,
        store,
        has_access_log=access_log,
        close=active.close,
        add=active.add_exporter,
        resume=active.resume,
        joins=opentelemetry,
    )
    return active


def _sampler(given: Sampler | float | str | None, rules: Sequence[SamplingRule]) -> tuple[Sampler, Rules | None]:
    """Return the sampler, and its rules if they can be replaced.

    Raises:
        ConfigurationError: it is invalid.
    """
    if given is None:
        root = sampler_of_environment(os.environ) or Ratio(_DEFAULT_RATIO)
    elif isinstance(given, int | float):
        if not 0 <= given <= 1:
            raise ConfigurationError(f"trace: sampler: must be between 0 and 1, or a sampler, got {given!r}")
        root = Ratio(given) if given else Never()
    elif isinstance(given, str):
        root = parse_sampler(given)
    elif rules:
        raise ConfigurationError(
            "trace: rules: need a ratio or text as the sampler; give the sampler itself `Rules(...)`"
        )
    else:
        return given, None
    if rules or (isinstance(given, str) and not isinstance(root, Never)):
        return standard_sampler(root, rules=rules)
    return ParentBased(root), None


def _trust(networks: Sequence[str] | None) -> Callable[[ServerCall], bool]:
    """Return a function that returns whether a caller is trusted.

    Raises:
        ConfigurationError: a network is invalid.
    """
    try:
        allowed = None if networks is None else [ipaddress.ip_network(each, strict=False) for each in networks]
    except ValueError as error:
        raise ConfigurationError(f"trace: trusted: {error}") from None
    return _Trust(allowed)


class _Trust:
    """Knows whether callers are trusted.

    Args:
        allowed: networks; `None`: loopback and private ones.

    Attributes:
        known: addresses of connections.
    """

    def __init__(self, allowed: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] | None) -> None:
        self._allowed = allowed
        self.known: dict[str, bool] = {}

    def __call__(self, call: ServerCall) -> bool:
        address = call.peer.address
        found = self.known.get(address)
        if found is None:
            if len(self.known) >= _MAX_PEERS:
                self.known.clear()
            found = self.known[address] = _is_in(address.rpartition(":")[0].strip("[]"), self._allowed)
        return found


def _is_in(host: str, allowed: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] | None) -> bool:
    if not host:
        return True  # a Unix socket
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if allowed is None:
        return address.is_private or address.is_loopback
    return any(address in each for each in allowed if each.version == address.version)
