"""Options of the exporter: arguments first, then `OTEL_*` variables, then the defaults of OpenTelemetry.

The SDK reads the other variables: endpoint, headers, certificates, compression and timeout of requests
(`OTEL_EXPORTER_OTLP_*`), `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError

__all__ = ["Aggregation", "Options", "Temporality", "is_disabled", "options", "protocol"]

_log: Final = get_logger("idlrt.observe")

T = TypeVar("T", bound=str)

Temporality: TypeAlias = Literal["cumulative", "delta", "lowmemory"]
Aggregation: TypeAlias = Literal["explicit", "exponential"]

_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_AGGREGATION: Final = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_TIMEOUT: Final = "OTEL_METRIC_EXPORT_TIMEOUT"

_TEMPORALITIES: Final[dict[str, Temporality]] = {
    "cumulative": "cumulative",
    "delta": "delta",
    "lowmemory": "lowmemory",
}
_AGGREGATIONS: Final[dict[str, Aggregation]] = {
    "explicit_bucket_histogram": "explicit",
    "base2_exponential_bucket_histogram": "exponential",
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How often and in which form metrics are exported.

    Attributes:
        interval: time between two exports, in seconds.
        timeout: timeout of an export, in seconds.
        temporality: whether counters and histograms are exported since the start, or since the export before.
        histograms: form of histograms.
        bounds: upper bounds of explicit buckets in seconds; `None` for the defaults.
    """

    interval: float
    timeout: float
    temporality: Temporality
    histograms: Aggregation
    bounds: tuple[float, ...] | None


def options(
    interval: float | None,
    timeout: float | None,
    temporality: Temporality | None,
    histograms: Aggregation | None,
    bounds: Sequence[float] | None,
) -> Options:
    """Return the options; `None` for what a variable or the default decides.

    Raises:
        ConfigurationError: an argument is invalid. Variables with invalid values are logged and ignored.
    """
    for name, value in (("interval", interval), ("timeout", timeout)):
        # Also NaN.
        if value is not None and not value > 0:
            raise ConfigurationError(f"{name}: must be greater than 0, got {value!r}")
    if temporality is not None and temporality not in _TEMPORALITIES:
        raise ConfigurationError(f"temporality: must be {_or(_TEMPORALITIES.values())}, got {temporality!r}")
    if histograms is not None and histograms not in _AGGREGATIONS.values():
        raise ConfigurationError(f"histograms: must be {_or(_AGGREGATIONS.values())}, got {histograms!r}")
    if bounds is not None and (not bounds or list(bounds) != sorted(set(bounds)) or not bounds[0] > 0):
        raise ConfigurationError(f"bounds: must be ascending numbers greater than 0, got {bounds!r}")
    return Options(
        interval=interval if interval is not None else _seconds(_INTERVAL, 60.0),
        timeout=timeout if timeout is not None else _seconds(_TIMEOUT, 30.0),
        temporality=temporality or _choice(_TEMPORALITY, _TEMPORALITIES, "cumulative"),
        histograms=histograms or _choice(_AGGREGATION, _AGGREGATIONS, "explicit"),
        bounds=tuple(bounds) if bounds is not None else None,
    )


def is_disabled() -> bool:
    """Return whether variables turn the export off: `OTEL_SDK_DISABLED`, or `none` as `OTEL_METRICS_EXPORTER`."""
    disabled, exporter = _variable("OTEL_SDK_DISABLED").lower(), _variable("OTEL_METRICS_EXPORTER").lower()
    return disabled == "true" or exporter == "none"


def protocol() -> tuple[str, str]:
    """Return the protocol of OTLP that variables ask for, and the name of the variable; empty if none does."""
    for name in ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        value = _variable(name)
        if value:
            return value, name
    return "", ""


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()


def _seconds(name: str, default: float) -> float:
    """Return the value of a variable that has milliseconds."""
    value = _variable(name)
    if not value:
        return default
    try:
        found = float(value) / 1e3
    except ValueError:
        found = 0.0
    if not found > 0:
        _ignoring(name, value, "a number of milliseconds greater than 0")
        return default
    return found


def _choice(name: str, known: Mapping[str, T], default: T) -> T:
    value = _variable(name)
    if not value:
        return default
    found = known.get(value.lower())
    if found is None:
        _ignoring(name, value, _or(known))
        return default
    return found


def _ignoring(name: str, value: str, expected: str) -> None:
    _log.warning("ignoring %s: must be %s, got %r", name, expected, value, extra={"variable": name})


def _or(names: Iterable[str]) -> str:
    *most, last = (repr(name) for name in names)
    return f"{', '.join(most)} or {last}"
