"""Export of all metrics by OTLP, with the SDK of OpenTelemetry (extra `otlp`).

- `names`: names, units and attributes, by the semantic conventions where these have them.
- `points`: series as data of the SDK.
- `options`: arguments and `OTEL_*` variables.
- `exporter`: the thread that exports.
- `sdk`: resources, and reasons of failures; `spans`: spans as data of the SDK. Both also for the exporter of spans.
"""

from __future__ import annotations

from idlrt.observe.otlp.exporter import OtlpExporter, export_otlp

__all__ = ["OtlpExporter", "export_otlp"]
