"""Names, units and attributes of metrics in OpenTelemetry.

The semantic conventions have names for the duration of calls, the process, the host and the garbage collector. The
others have the name of Prometheus with dots between namespaces, so that Prometheus, which adds the unit again, shows
most of them under the names of `/metrics`.

Sources: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics/ and
https://opentelemetry.io/docs/specs/semconv/system/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["LEFT_OUT", "NAMES", "OtlpName", "attributes_of", "otlp_name"]


class OtlpName(msgspec.Struct, frozen=True):
    """Name and unit of a metric in OpenTelemetry.

    Attributes:
        name: its name.
        unit: its unit, in UCUM; what is counted in braces.
        labels: attributes by label, where they differ from `_ATTRIBUTES`.
        constant: attributes that all its series have.
    """

    name: str
    unit: str = ""
    labels: Mapping[str, str] = {}
    constant: Mapping[str, str] = {}


LEFT_OUT: Final = frozenset({"rpc_build_info", "target_info", "python_info", "process_start_time_seconds"})
"""Metrics that the resource, the scope and the start times of OTLP have."""

_METHOD: Final = "rpc_method"
_SYSTEM: Final = {"rpc.system.name": "thrift"}

_ATTRIBUTES: Final = {
    _METHOD: "rpc.method",
    "rpc_status_code": "rpc.response.status_code",
    "error_type": "error.type",
    "server_address": "server.address",
}


def _rpc(name: str, unit: str) -> OtlpName:
    return OtlpName(name, unit, constant=_SYSTEM)


def _io(name: str, direction: str) -> OtlpName:
    key = "disk.io.direction" if ".disk." in name else "network.io.direction"
    return OtlpName(name, "By", constant={key: direction})


_CALL: Final = "{call}"
_CONNECTION: Final = "{connection}"
_INSTANCE: Final = "{instance}"
_GENERATION: Final = {"generation": "cpython.gc.generation"}

NAMES: Final[Mapping[str, OtlpName]] = {
    # Servers.
    "rpc_server_call_duration_seconds": _rpc("rpc.server.call.duration", "s"),
    "rpc_server_calls_total": _rpc("rpc.server.calls", _CALL),
    "rpc_server_request_bytes_total": _rpc("rpc.server.request", "By"),
    "rpc_server_response_bytes_total": _rpc("rpc.server.response", "By"),
    "rpc_server_queue_duration_seconds": _rpc("rpc.server.queue.duration", "s"),
    "rpc_server_rejected_total": _rpc("rpc.server.rejected", _CALL),
    "rpc_server_connections": OtlpName("rpc.server.connections", _CONNECTION),
    # Without the end `_total` it would have the name of the gauge.
    "rpc_server_connections_accepted_total": OtlpName("rpc.server.connections.accepted", _CONNECTION),
    "rpc_server_connection_errors_total": OtlpName("rpc.server.connection.errors", _CONNECTION),
    "rpc_server_in_flight": OtlpName("rpc.server.in_flight", _CALL),
    "rpc_server_unsent_bytes": OtlpName("rpc.server.unsent", "By"),
    "rpc_server_draining": OtlpName("rpc.server.draining"),
    "rpc_server_workers": OtlpName("rpc.server.workers", "{thread}"),
    "rpc_server_queue_depth": OtlpName("rpc.server.queue.depth", _CALL),
    "rpc_server_processes": OtlpName("rpc.server.processes", "{process}"),
    "rpc_server_process_restarts_total": OtlpName("rpc.server.process.restarts", "{restart}"),
    # Clients.
    "rpc_client_call_duration_seconds": _rpc("rpc.client.call.duration", "s"),
    "rpc_client_request_bytes_total": _rpc("rpc.client.request", "By"),
    "rpc_client_response_bytes_total": _rpc("rpc.client.response", "By"),
    "rpc_client_attempt_duration_seconds": _rpc("rpc.client.attempt.duration", "s"),
    "rpc_client_attempts_total": _rpc("rpc.client.attempts", "{attempt}"),
    "rpc_client_in_flight": OtlpName("rpc.client.in_flight", _CALL),
    "rpc_client_retries_total": _rpc("rpc.client.retries", "{attempt}"),
    "rpc_client_retry_pause_seconds": _rpc("rpc.client.retry.pause", "s"),
    "rpc_client_retries_scheduled_total": _rpc("rpc.client.retries.scheduled", _CALL),
    "rpc_client_not_retried_total": _rpc("rpc.client.not_retried", _CALL),
    "rpc_client_fallbacks_total": _rpc("rpc.client.fallbacks", _CALL),
    "rpc_client_rejected_total": _rpc("rpc.client.rejected", _CALL),
    "rpc_client_ejected": OtlpName("rpc.client.ejected", _INSTANCE),
    "rpc_client_endpoints": OtlpName("rpc.client.endpoints", _INSTANCE),
    "rpc_client_ejections_total": OtlpName("rpc.client.ejections", _INSTANCE),
    "rpc_client_restored_total": OtlpName("rpc.client.restored", _INSTANCE),
    "rpc_client_retry_budget": OtlpName("rpc.client.retry.budget", "{attempt}"),
    "rpc_client_connections": OtlpName("rpc.client.connections", _CONNECTION),
    "rpc_client_waiting": OtlpName("rpc.client.waiting", _CALL),
    "rpc_client_connect_duration_seconds": OtlpName("rpc.client.connect.duration", "s"),
    "rpc_client_connects_total": OtlpName("rpc.client.connects", "{attempt}"),
    "rpc_client_metadata_dropped_total": OtlpName("rpc.client.metadata.dropped", "{value}"),
    "rpc_breaker_state": OtlpName("rpc.breaker.state"),
    "rpc_breaker_changes_total": OtlpName("rpc.breaker.changes", "{change}"),
    # Registries, loops, measuring itself.
    "rpc_registry_instances": OtlpName("rpc.registry.instances", _INSTANCE),
    "rpc_registry_freshness": OtlpName("rpc.registry.freshness", "{client}"),
    "rpc_loop_lag_seconds": OtlpName("rpc.loop.lag", "s"),
    "rpc_observe_dropped_total": OtlpName("rpc.observe.dropped", "{record}"),
    "rpc_observe_series": OtlpName("rpc.observe.series", "{series}"),
    # What users and resources see.
    "feature_duration_seconds": OtlpName("feature.duration", "s"),
    "feature_results_total": OtlpName("feature.results", "{result}"),
    "feature_step_duration_seconds": OtlpName("feature.step.duration", "s"),
    "resource_duration_seconds": OtlpName("resource.duration", "s"),
    "resource_started_total": OtlpName("resource.started", "{operation}"),
    "resource_in_flight": OtlpName("resource.in_flight", "{operation}"),
    # Process and host.
    "process_cpu_seconds_total": OtlpName("process.cpu.time", "s"),
    "process_virtual_memory_bytes": OtlpName("process.memory.virtual", "By"),
    "process_resident_memory_bytes": OtlpName("process.memory.usage", "By"),
    "process_memory_limit_bytes": OtlpName("process.memory.limit", "By"),
    "process_open_fds": OtlpName("process.unix.file_descriptor.count", "{file_descriptor}"),
    "process_max_fds": OtlpName("process.unix.file_descriptor.limit", "{file_descriptor}"),
    "process_threads": OtlpName("process.thread.count", "{thread}"),
    "process_context_switches_total": OtlpName(
        "process.context_switches", "{context_switch}", {"type": "process.context_switch.type"}
    ),
    "process_io_read_bytes_total": _io("process.disk.io", "read"),
    "process_io_write_bytes_total": _io("process.disk.io", "write"),
    "process_network_receive_bytes_total": _io("process.network.io", "receive"),
    "process_network_transmit_bytes_total": _io("process.network.io", "transmit"),
    "system_cpu_seconds_total": OtlpName("system.cpu.time", "s", {"mode": "cpu.mode"}),
    # `system.memory.usage` must add up to the total, which is one of the states here.
    "system_memory_bytes": OtlpName("system.memory", "By", {"state": "system.memory.state"}),
    "system_disk_read_bytes_total": _io("system.disk.io", "read"),
    "system_disk_written_bytes_total": _io("system.disk.io", "write"),
    "system_network_receive_bytes_total": _io("system.network.io", "receive"),
    "system_network_transmit_bytes_total": _io("system.network.io", "transmit"),
    "python_gc_pause_seconds": OtlpName("cpython.gc.pause", "s", _GENERATION),
    "python_gc_collections_total": OtlpName("cpython.gc.collections", "{collection}", _GENERATION),
    "python_gc_objects_collected_total": OtlpName("cpython.gc.collected_objects", "{object}", _GENERATION),
    "python_gc_objects_uncollectable_total": OtlpName("cpython.gc.uncollectable_objects", "{object}", _GENERATION),
}
"""By name in Prometheus."""


def otlp_name(name: str) -> OtlpName:
    """Return the name of a metric in OpenTelemetry.

    Args:
        name: name in Prometheus. For a metric of a program its unit is that of its end: `_seconds`, `_bytes`.
    """
    found = NAMES.get(name)
    if found is not None:
        return found
    rest = name.removesuffix("_total")
    for end, unit in (("_seconds", "s"), ("_bytes", "By")):
        if rest.endswith(end):
            return OtlpName(rest.removesuffix(end).replace("_", "."), unit)
    return OtlpName(rest.replace("_", "."))


def attributes_of(name: OtlpName, labels: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    """Return the attributes of a series; labels with empty values have none.

    Args:
        name: the metric.
        labels: names of its labels.
        values: their values.
    """
    found = dict(name.constant)
    for label, value in zip(labels, values, strict=True):
        if value:
            key = name.labels.get(label) or _ATTRIBUTES.get(label, label)
            # The convention is `Service/method`, for all systems.
            found[key] = "/".join(value.rsplit(".", 1)) if label == _METHOD else value
    return found
