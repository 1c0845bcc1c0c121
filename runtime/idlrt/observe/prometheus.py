"""Collector of `prometheus_client`, for programs that expose their metrics with it already (extra `prometheus`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from idlrt.errors import ConfigurationError
from idlrt.observe.exposition import Family, families
from idlrt.observe.sources import enable, read_all
from idlrt.observe.views import clean

if TYPE_CHECKING:
    import prometheus_client

__all__ = ["PrometheusCollector"]

_MULTIPROCESS: Final = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")

# Those of its ProcessCollector, PlatformCollector and GCCollector, which its default registry has.
_THEIRS: Final = frozenset(
    {
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
        "python_gc_collections_total",
        "python_gc_objects_collected_total",
        "python_gc_objects_uncollectable_total",
        "python_info",
    }
)


class PrometheusCollector:
    """Collector of all metrics of this process, with those of its servers, for a registry of `prometheus_client`.

    Creating one enables metrics of clients. Names, labels and buckets are those of `/metrics` on the admin port.

        prometheus_client.REGISTRY.register(PrometheusCollector())

    Args:
        include_process: whether to collect `process_*` and `python_*` metrics that the default registry has already,
            such as `process_cpu_seconds_total`; for other registries.

    Raises:
        ConfigurationError: `prometheus_client` is not installed, or is in multiprocess mode.
    """

    def __init__(self, *, include_process: bool = False) -> None:
        what = "cannot create a PrometheusCollector"
        try:
            import prometheus_client
        except ImportError:
            why = "prometheus_client is not installed; run pip install 'idlc[prometheus]'"
            raise ConfigurationError(f"{what}: {why}") from None
        found = next((name for name in _MULTIPROCESS if name in os.environ), None)
        if found is not None:
            why = f"{found} is set, and in multiprocess mode each scrape would show another process"
            advice = "use ProcessServer, whose admin port adds the metrics of its processes, or observe.export_otlp"
            raise ConfigurationError(f"{what}: {why}; {advice}")
        self._metric: Final = prometheus_client.Metric
        self._left_out: Final[frozenset[str]] = frozenset() if include_process else _THEIRS
        enable()

    def describe(self) -> Iterable[prometheus_client.Metric]:
        """Return no names: which metrics there are depends on what the process does."""
        return ()

    def collect(self) -> Iterator[prometheus_client.Metric]:
        """Return all metrics that have values. Called for each scrape, on any thread."""
        for family in families(read_all()):
            if family.samples and family.name not in self._left_out:
                yield self._convert(family)

    def _convert(self, family: Family) -> prometheus_client.Metric:
        name, kind, suffix = family.name, str(family.kind), ""
        if kind == "counter":
            name, suffix = name.removesuffix("_total"), "_total"
        elif name.endswith("_info"):
            name, kind, suffix = name.removesuffix("_info"), "info", "_info"
        found = self._metric(name, family.help, kind)
        for each in family.samples:
            labels = {label: clean(value) for label, value in each.labels.items()}
            found.add_sample(f"{name}{suffix}{each.suffix}", labels, each.value)
        return found
