"""Exporter by OTLP, with the exporter of the OpenTelemetry SDK (extra `otlp`).

Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError
from idlrt.observe.otlp.sdk import Reason, resource_of, suppress_instrumentation
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["OtlpSpanExporter"]

_WHAT: Final = "cannot export spans by OTLP"
_HTTP: Final = "http/protobuf"
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# What the SDK logs about failures that would repeat: a status of 4xx other than 408 and 429, and its own.
_PERMANENT: Final = re.compile(r"code: 4(?!08|29)\d\d|Failed to encode|exceeds max_request_size")


class OtlpSpanExporter:
    """Sends spans by OTLP; a `SpanExporter`.

    Variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_*`, `OTEL_RESOURCE_ATTRIBUTES`) configure endpoint, headers,
    certificates, compression, timeout and resource. With `OTEL_SDK_DISABLED=true` or `OTEL_TRACES_EXPORTER=none` spans
    are discarded.

    Args:
        service: name of this program. Default: `OTEL_SERVICE_NAME`.
        resource: further attributes of this process; they take precedence over variables.
        exporter: creates the exporter of the SDK, such as the class for gRPC. Default: `OTLPSpanExporter` over HTTP.

    Raises:
        ConfigurationError: a variable asks for another protocol than `http/protobuf`, or the SDK is not installed.
        Exception: the exporter of the SDK cannot be created, because of a variable.
    """

    name = "otlp"

    def __init__(
        self,
        service: str = "",
        *,
        resource: Mapping[str, str] | None = None,
        exporter: Callable[[], SpanExporter] | None = None,
    ) -> None:
        self._given = ({"service.name": service} if service else {}) | dict(resource or {})
        self._is_disabled = _is_disabled()
        self._make = exporter or _http_exporter()
        self._exporter: SpanExporter | None = None if self._is_disabled else self._make()
        self._convert: Callable[[FinishedSpan], Any] | None = None
        forks.register(self)

    def after_fork(self) -> None:
        """Create another exporter in a forked child: the connections of this one belong to the parent."""
        self._exporter = None
        self._convert = None

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        """Send spans. The SDK repeats the request within its own timeout, by default 10 s.

        Raises:
            OSError: the receiver cannot be reached, or is overloaded.
            ValueError: it has rejected them.
        """
        if not self._is_disabled:
            # A copy, so that the context of the thread stays as it is.
            copy_context().run(self._send, spans)

    def _send(self, spans: Sequence[FinishedSpan]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        exporter = self._exporter
        if exporter is None:
            exporter = self._exporter = self._make()
        if self._convert is None:
            from idlrt.observe.otlp.spans import Spans

            self._convert = Spans(resource_of(self._given), __version__).convert
        suppress_instrumentation()
        sdk, reason = logging.getLogger(type(exporter).__module__), Reason()
        sdk.addFilter(reason)
        try:
            result = exporter.export([self._convert(each) for each in spans])
        finally:
            sdk.removeFilter(reason)
        if result is not SpanExportResult.SUCCESS:
            raise ValueError(reason.text) if _PERMANENT.search(reason.text) else OSError(reason.text)

    def close(self) -> None:
        """Close the connection."""
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            exporter.shutdown()


def _is_disabled() -> bool:
    disabled, exporter = _variable("OTEL_SDK_DISABLED").lower(), _variable("OTEL_TRACES_EXPORTER").lower()
    return disabled == "true" or exporter == "none"


def _http_exporter() -> Callable[[], SpanExporter]:
    for variable in _PROTOCOLS:
        wanted = _variable(variable)
        if wanted and wanted != _HTTP:
            advice = f"set it to {_HTTP}, or pass another exporter, as in OtlpSpanExporter(exporter=OTLPSpanExporter)"
            raise ConfigurationError(f"{_WHAT}: {variable} is {wanted!r}; {advice}")
        if wanted:
            break
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        text = "the OpenTelemetry SDK is not installed; run pip install 'idlc[otlp]'"
        raise ConfigurationError(f"{_WHAT}: {text}") from None
    return OTLPSpanExporter


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()
