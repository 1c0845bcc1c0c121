"""Names of metrics in OpenTelemetry: complete, valid, and such that Prometheus shows them under its own names again."""

from __future__ import annotations

import re

import pytest
from opentelemetry.semconv._incubating.metrics import (
    cpython_metrics,
    process_metrics,
    rpc_metrics,
    system_metrics,
)

from idlrt.observe import Derived, Metric
from idlrt.observe.catalogue import METRICS
from idlrt.observe.features import FEATURE_DURATION, STEP_DURATION
from idlrt.observe.gc_pauses import COLLECTED, COLLECTIONS, GC_PAUSE, UNCOLLECTABLE
from idlrt.observe.host import HOST_METRICS
from idlrt.observe.loop_lag import LOOP_LAG
from idlrt.observe.otlp.names import LEFT_OUT, NAMES, attributes_of, otlp_name
from idlrt.observe.process import PROCESS_METRICS
from idlrt.observe.resources import IN_FLIGHT, RESOURCE_DURATION, STARTED

ALL = [
    *(*METRICS, *PROCESS_METRICS, *HOST_METRICS, GC_PAUSE, COLLECTIONS, COLLECTED, UNCOLLECTABLE, LOOP_LAG),
    *(FEATURE_DURATION, STEP_DURATION, RESOURCE_DURATION, STARTED, IN_FLIGHT),
]
DERIVED: list[tuple[Metric | Derived, str]] = [(derived, "counter") for each in ALL for derived in each.derived]
WITH_DERIVED: list[tuple[Metric | Derived, str]] = [*((each, str(each.kind)) for each in ALL), *DERIVED]
# Of which the conventions have another name.
CONVENTIONS = ("process_", "system_", "python_")


def in_prometheus(name: str, unit: str, kind: str) -> str:
    """Translate a name as Prometheus and the Collector do."""
    found = name.replace(".", "_")
    suffix = {"s": "_seconds", "By": "_bytes"}.get(unit, "")
    return found + suffix + ("_total" if kind == "counter" else "")


def test_each_metric_has_a_name_or_is_left_out() -> None:
    assert {each.name for each, _ in WITH_DERIVED} == set(NAMES) | LEFT_OUT


def test_names_are_valid_and_no_two_series_are_equal() -> None:
    assert all(re.fullmatch(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+", each.name) for each in NAMES.values())
    pairs = [(each.name, tuple(each.constant.items())) for each in NAMES.values()]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize(("metric", "kind"), WITH_DERIVED, ids=lambda each: getattr(each, "name", each))
def test_prometheus_shows_rpc_metrics_under_their_own_names(metric: Metric | Derived, kind: str) -> None:
    if metric.name not in LEFT_OUT and not metric.name.startswith(CONVENTIONS):
        found = NAMES[metric.name]
        assert in_prometheus(found.name, found.unit, kind) == metric.name


def test_names_of_the_conventions_are_those_of_the_conventions() -> None:
    modules = (rpc_metrics, process_metrics, system_metrics, cpython_metrics)
    known = {each for module in modules for each in vars(module).values() if isinstance(each, str)}
    own = {"process.memory.limit", "process.unix.file_descriptor.limit", "system.memory", "cpython.gc.pause"}
    used = {NAMES[each.name].name for each in (*PROCESS_METRICS, *HOST_METRICS) if each.name in NAMES}
    used |= {NAMES[each.name].name for each in (GC_PAUSE, COLLECTIONS, COLLECTED, UNCOLLECTABLE)}
    assert used - known == own
    assert {"rpc.server.call.duration", "rpc.client.call.duration"} <= known


def test_metrics_of_programs_have_the_unit_of_their_name() -> None:
    found = [otlp_name(name) for name in ("shop_wait_seconds", "shop_read_bytes_total", "shop_orders_total")]
    assert [(each.name, each.unit) for each in found] == [
        ("shop.wait", "s"),
        ("shop.read", "By"),
        ("shop.orders", ""),
    ]


def test_labels_become_attributes_of_the_conventions() -> None:
    labels = ("rpc_method", "server_address", "rpc_status_code", "error_type", "peer_zone")
    values = ("shop.Cart.get", "Cart", "unavailable", "NoInstance", "")
    assert attributes_of(NAMES["rpc_client_attempt_duration_seconds"], labels, values) == {
        "rpc.system.name": "thrift",
        "rpc.method": "shop.Cart/get",
        "server.address": "Cart",
        "rpc.response.status_code": "unavailable",
        "error.type": "NoInstance",
    }
    unknown = attributes_of(NAMES["rpc_server_queue_duration_seconds"], ("rpc_method",), ("_OTHER",))
    assert unknown["rpc.method"] == "_OTHER"
    assert attributes_of(NAMES["process_io_read_bytes_total"], (), ()) == {"disk.io.direction": "read"}
    assert attributes_of(NAMES["system_cpu_seconds_total"], ("mode",), ("idle",)) == {"cpu.mode": "idle"}
