"""Exporters of spans, one file each.

- `zipkin`: Zipkin's JSON; `skywalking`: segments for SkyWalking; `otlp`: OpenTelemetry (extra `otlp`); `json_lines`:
  a file; `pinpoint`: Pinpoint's agent (extra `pinpoint`), where spans have their `pinpoint_places`.
- `http_post`: requests; `json_text`: their bodies.
"""

from __future__ import annotations

from idlrt.observe.tracing.exporters.json_lines import JsonLinesExporter
from idlrt.observe.tracing.exporters.otlp import OtlpSpanExporter
from idlrt.observe.tracing.exporters.pinpoint import PinpointExporter
from idlrt.observe.tracing.exporters.skywalking import SkyWalkingExporter
from idlrt.observe.tracing.exporters.zipkin import ZipkinExporter

__all__ = ["JsonLinesExporter", "OtlpSpanExporter", "PinpointExporter", "SkyWalkingExporter", "ZipkinExporter"]
