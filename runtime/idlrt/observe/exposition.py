"""Text format of Prometheus.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from idlrt.observe.histogram import Histogram

__all__ = ["BUCKETS", "CONTENT_TYPE", "Family", "Sample", "exposition", "histogram_family"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    math.inf,
)
"""Upper bounds of buckets in seconds."""

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


class Sample(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        labels: values by label name.
        value: the value.
        suffix: end of its name behind that of the family, such as `_bucket`.
    """

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


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


def histogram_family(name: str, help: str, series: Iterable[tuple[Mapping[str, str], Histogram]]) -> Family:
    """Return the family of histograms, in seconds."""
    samples: list[Sample] = []
    for labels, histogram in series:
        for bound, count in zip(BUCKETS, histogram.at_most(BUCKETS), strict=True):
            samples.append(Sample({**labels, "le": _number(bound)}, count, "_bucket"))
        samples.append(Sample(labels, histogram.sum / 1e9, "_sum"))
        samples.append(Sample(labels, histogram.count, "_count"))
    return Family(name, "histogram", help, tuple(samples))


def exposition(families: Iterable[Family]) -> str:
    """Return the text of all families that have samples."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for each in family.samples:
            labels = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in each.labels.items())
            shown = f"{{{labels}}}" if labels else ""
            lines.append(f"{family.name}{each.suffix}{shown} {_number(each.value)}")
    return "\n".join(lines) + "\n" if lines else ""


def _number(value: float) -> str:
    if value == math.inf:
        return "+Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))


def _escaped(text: str, *, quotes: bool = False) -> str:
    # Names of clients may have lone surrogates (`text_errors`), which would make all metrics unreadable.
    text = text.encode(errors="replace").decode()
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
