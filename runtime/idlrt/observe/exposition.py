"""Text formats of Prometheus: its own one, and OpenMetrics.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from idlrt.observe.exemplars import BUCKETS, Exemplar
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Kind, Labels, Series, Value
from idlrt.observe.views import clean, views

__all__ = [
    "BUCKETS",
    "CONTENT_TYPE",
    "OPENMETRICS_TYPE",
    "Family",
    "Sample",
    "exposition",
    "families",
    "wants_openmetrics",
]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_Exemplars: TypeAlias = Mapping[tuple[Labels, int], Exemplar]


class Sample(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        labels: values by label name.
        value: the value.
        suffix: end of its name behind that of the family, such as `_bucket`.
        exemplar: a call that was counted; `None` for none.
    """

    labels: Mapping[str, str]
    value: float
    suffix: str = ""
    exemplar: Exemplar | None = None


class Family(msgspec.Struct, frozen=True):
    """Samples of one metric.

    Attributes:
        name: name with its unit; counters end with `_total`.
        kind: type.
        help: description.
        samples: its samples.
    """

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


def families(series: Iterable[Series], exemplars: Mapping[str, _Exemplars] | None = None) -> Iterator[Family]:
    """Return the families of metrics, with the counters that are derived from histograms.

    Args:
        series: the metrics.
        exemplars: exemplars by name of the metric.
    """
    for view in views(series):
        if view.kind == "histogram":
            samples = tuple(_histogram_samples(view.labels, view.values, (exemplars or {}).get(view.name, {})))
        else:
            samples = tuple(
                Sample(dict(zip(view.labels, labels, strict=True)), value)
                for labels, value in view.values.items()
                if not isinstance(value, Histogram)
            )
        yield Family(view.name, view.kind, view.help, samples)


def _histogram_samples(names: Iterable[str], values: Mapping[Labels, Value], exemplars: _Exemplars) -> Iterator[Sample]:
    for labels, value in values.items():
        if not isinstance(value, Histogram):
            continue
        known = dict(zip(names, labels, strict=True))
        below = 0
        for number, (bound, count) in enumerate(zip(BUCKETS, value.at_most(BUCKETS), strict=True)):
            # Another server of this process may have the call.
            exemplar = exemplars.get((labels, number)) if exemplars and count > below else None
            yield Sample({**known, "le": _bound(bound)}, count, "_bucket", exemplar)
            below = count
        yield Sample(known, value.sum / 1e9, "_sum")
        yield Sample(known, value.count, "_count")


def wants_openmetrics(accept: str) -> bool:
    """Return whether a scraper prefers OpenMetrics to the text format of Prometheus.

    Args:
        accept: value of the header `Accept`.
    """
    best: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (each.strip().lower() for each in part.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            best[kind] = max(best.get(kind, 0.0), float(quality))
        except ValueError:
            continue
    plain = max(best.get("text/plain", 0.0), best.get("*/*", 0.0))
    return best.get("application/openmetrics-text", 0.0) > plain


def exposition(found: Iterable[Family], *, is_openmetrics: bool = False) -> str:
    """Return the text of all families that have samples.

    Args:
        found: the families.
        is_openmetrics: whether to write OpenMetrics.
    """
    lines: list[str] = []
    for family in found:
        if not family.samples:
            continue
        name, kind, suffix = family.name, str(family.kind), ""
        if is_openmetrics:
            if kind == "counter":
                name, suffix = name.removesuffix("_total"), "_total"
            elif name.endswith("_info"):
                name, kind, suffix = name.removesuffix("_info"), "info", "_info"
        lines.append(f"# HELP {name} {_escaped(family.help)}")
        lines.append(f"# TYPE {name} {kind}")
        for each in family.samples:
            labels = ",".join(f'{label}="{_escaped(value, quotes=True)}"' for label, value in each.labels.items())
            shown = f"{{{labels}}}" if labels else ""
            line = f"{name}{suffix}{each.suffix}{shown} {_number(each.value)}"
            if is_openmetrics and (call := each.exemplar) is not None:
                ids = f'trace_id="{call.trace_id}",span_id="{call.span_id}"'
                line += f" # {{{ids}}} {_number(call.value)} {call.at:.3f}"
            lines.append(line)
    if is_openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n" if lines else ""


def _bound(value: float) -> str:
    return "+Inf" if value == math.inf else repr(float(value))


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = clean(text).replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
