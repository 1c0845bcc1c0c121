"""Metrics of servers, clients and processes: names, units and labels.

Names and labels follow OpenTelemetry's conventions for RPC where these have one, and `prometheus_client` for the
process.

Source: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics/
"""

from __future__ import annotations

from typing import Final

from idlrt.observe.metric import Derived, Metric

__all__ = [
    "BREAKER_CHANGES",
    "BREAKER_STATE",
    "BUILD",
    "CLIENT_ATTEMPTS",
    "CLIENT_BUDGET",
    "CLIENT_CALLS",
    "CLIENT_CONNECTIONS",
    "CLIENT_CONNECTS",
    "CLIENT_EJECTED",
    "CLIENT_EJECTIONS",
    "CLIENT_ENDPOINTS",
    "CLIENT_FALLBACKS",
    "CLIENT_IN_FLIGHT",
    "CLIENT_LEFT_OUT",
    "CLIENT_NOT_RETRIED",
    "CLIENT_PAUSES",
    "CLIENT_REJECTED",
    "CLIENT_RESTORED",
    "CLIENT_RETRIES",
    "CLIENT_SCHEDULED",
    "CLIENT_WAITING",
    "DROPPED",
    "ERROR",
    "METHOD",
    "METRICS",
    "REGISTRY_FRESHNESS",
    "REGISTRY_INSTANCES",
    "SERIES",
    "SERVER_ACCEPTED",
    "SERVER_CALLS",
    "SERVER_CONNECTIONS",
    "SERVER_CONNECTION_ERRORS",
    "SERVER_DRAINING",
    "SERVER_IN_FLIGHT",
    "SERVER_PROCESSES",
    "SERVER_QUEUE",
    "SERVER_QUEUED",
    "SERVER_REJECTED",
    "SERVER_RESTARTS",
    "SERVER_UNSENT",
    "SERVER_WORKERS",
    "STATUS",
    "TARGET",
    "TARGET_INFO",
]

METHOD: Final = "rpc_method"
STATUS: Final = "rpc_status_code"
ERROR: Final = "error_type"
TARGET: Final = "server_address"

# Servers.

SERVER_CALLS: Final = Metric(
    name="rpc_server_call_duration_seconds",
    kind="histogram",
    help="Duration of calls, from the arrival of the request until its response is ready",
    labels=(METHOD, STATUS, ERROR, "caller"),
    hidden=("caller",),
    derived=(
        Derived("rpc_server_calls_total", "Calls", "count", (METHOD, STATUS, ERROR, "caller")),
        Derived("rpc_server_request_bytes_total", "Bytes of requests on the wire", "received", (METHOD,)),
        Derived("rpc_server_response_bytes_total", "Bytes of responses on the wire", "sent", (METHOD,)),
    ),
)
SERVER_QUEUE: Final = Metric(
    name="rpc_server_queue_duration_seconds",
    kind="histogram",
    help="Time between the arrival of requests and the start of their handlers on workers",
    labels=(METHOD,),
)
SERVER_REJECTED: Final = Metric(
    name="rpc_server_rejected_total",
    kind="counter",
    help="Calls that guards and limits of the server have rejected",
    labels=(METHOD, "guard", "reason"),
)
SERVER_CONNECTIONS: Final = Metric(name="rpc_server_connections", kind="gauge", help="Open connections")
SERVER_ACCEPTED: Final = Metric(
    name="rpc_server_connections_accepted_total",
    kind="counter",
    help="Connections by detected protocol",
    labels=("protocol",),
)
SERVER_CONNECTION_ERRORS: Final = Metric(
    name="rpc_server_connection_errors_total",
    kind="counter",
    help="Connections that the server closed because of an error, and failed TLS handshakes",
    labels=("kind",),
)
SERVER_IN_FLIGHT: Final = Metric(
    name="rpc_server_in_flight", kind="gauge", help="Calls in flight of workers and async handlers"
)
SERVER_UNSENT: Final = Metric(name="rpc_server_unsent_bytes", kind="gauge", help="Bytes of responses in send buffers")
SERVER_DRAINING: Final = Metric(
    name="rpc_server_draining", kind="gauge", help="Whether the server is stopping", merge="max"
)
SERVER_WORKERS: Final = Metric(name="rpc_server_workers", kind="gauge", help="Worker threads", labels=("state",))
SERVER_QUEUED: Final = Metric(name="rpc_server_queue_depth", kind="gauge", help="Calls that wait for a worker")
SERVER_PROCESSES: Final = Metric(
    name="rpc_server_processes", kind="gauge", help="Processes of the server", labels=("state",)
)
SERVER_RESTARTS: Final = Metric(
    name="rpc_server_process_restarts_total", kind="counter", help="Restarts of processes of the server"
)

# Clients.

CLIENT_CALLS: Final = Metric(
    name="rpc_client_call_duration_seconds",
    kind="histogram",
    help="Duration of calls with all their attempts, filters and guards",
    labels=(METHOD, TARGET, STATUS, ERROR),
    derived=(
        Derived("rpc_client_request_bytes_total", "Bytes of requests on the wire", "sent", (METHOD, TARGET)),
        Derived("rpc_client_response_bytes_total", "Bytes of responses on the wire", "received", (METHOD, TARGET)),
    ),
)
CLIENT_ATTEMPTS: Final = Metric(
    name="rpc_client_attempt_duration_seconds",
    kind="histogram",
    help="Duration of attempts, where a fault mode may make several",
    labels=(METHOD, TARGET, STATUS, ERROR, "peer_zone", "kind", "instance"),
    hidden=("kind", "instance"),
    derived=(Derived("rpc_client_attempts_total", "Attempts", "count", (METHOD, TARGET, STATUS, "kind", "instance")),),
)
CLIENT_IN_FLIGHT: Final = Metric(
    name="rpc_client_in_flight", kind="gauge", help="Calls that hold or wait for a connection", labels=(TARGET,)
)
CLIENT_RETRIES: Final = Metric(
    name="rpc_client_retries_total", kind="counter", help="Retries and hedged attempts", labels=(METHOD, "mode")
)
CLIENT_PAUSES: Final = Metric(
    name="rpc_client_retry_pause_seconds", kind="histogram", help="Pauses before retries", labels=(METHOD, "mode")
)
CLIENT_SCHEDULED: Final = Metric(
    name="rpc_client_retries_scheduled_total",
    kind="counter",
    help="Failed calls that were queued for a retry in the background",
    labels=(METHOD, "mode"),
)
CLIENT_NOT_RETRIED: Final = Metric(
    name="rpc_client_not_retried_total",
    kind="counter",
    help="Failed calls that were not retried, or not any more",
    labels=(METHOD, "mode", "reason"),
)
CLIENT_FALLBACKS: Final = Metric(
    name="rpc_client_fallbacks_total",
    kind="counter",
    help="Failed calls that returned a fallback value",
    labels=(METHOD, "by"),
)
CLIENT_REJECTED: Final = Metric(
    name="rpc_client_rejected_total",
    kind="counter",
    help="Calls that guards of the client have rejected",
    labels=(METHOD, "guard", "reason"),
)
BREAKER_STATE: Final = Metric(
    name="rpc_breaker_state",
    kind="gauge",
    help="State of circuit breakers: 0 closed, 1 half-open, 2 open",
    labels=("name",),
    merge="max",
)
BREAKER_CHANGES: Final = Metric(
    name="rpc_breaker_changes_total", kind="counter", help="State changes of circuit breakers", labels=("name", "to")
)
CLIENT_EJECTED: Final = Metric(
    name="rpc_client_ejected", kind="gauge", help="Instances out of rotation", labels=(TARGET,)
)
CLIENT_ENDPOINTS: Final = Metric(
    name="rpc_client_endpoints", kind="gauge", help="Instances that the client knows", labels=(TARGET,)
)
CLIENT_EJECTIONS: Final = Metric(
    name="rpc_client_ejections_total",
    kind="counter",
    help="Instances that were taken out of rotation by clients",
    labels=("reason",),
)
CLIENT_RESTORED: Final = Metric(
    name="rpc_client_restored_total", kind="counter", help="Instances that were put back into rotation by clients"
)
CLIENT_BUDGET: Final = Metric(
    name="rpc_client_retry_budget",
    kind="gauge",
    help="Retries that the retry budget allows at present",
    labels=(TARGET,),
)
CLIENT_CONNECTIONS: Final = Metric(
    name="rpc_client_connections", kind="gauge", help="Open connections, and those being opened", labels=(TARGET,)
)
CLIENT_WAITING: Final = Metric(
    name="rpc_client_waiting", kind="gauge", help="Calls that wait for a connection", labels=(TARGET,)
)
CLIENT_CONNECTS: Final = Metric(
    name="rpc_client_connect_duration_seconds",
    kind="histogram",
    help="Time to establish connections, with TLS handshakes",
    labels=("service", "outcome"),
    derived=(Derived("rpc_client_connects_total", "Attempts to connect", "count", ("service", "outcome")),),
)
CLIENT_LEFT_OUT: Final = Metric(
    name="rpc_client_metadata_dropped_total",
    kind="counter",
    help="Ambient values that were dropped because the protocol cannot carry them",
    labels=(TARGET, "name"),
)

# Registries.

REGISTRY_INSTANCES: Final = Metric(
    name="rpc_registry_instances",
    kind="gauge",
    help="Instances of services as clients know them",
    labels=("service", "status", "zone"),
    merge="max",
)
REGISTRY_FRESHNESS: Final = Metric(
    name="rpc_registry_freshness",
    kind="gauge",
    help="Clients by how current the instances of a service are that they know",
    labels=("service", "freshness"),
)

# Measuring itself.

DROPPED: Final = Metric(
    name="rpc_observe_dropped_total",
    kind="counter",
    help="Records that exceeded a limit of monitoring",
    labels=("what",),
)
SERIES: Final = Metric(name="rpc_observe_series", kind="gauge", help="Series of histograms and counters")
BUILD: Final = Metric(
    name="rpc_build_info", kind="gauge", help="Version of the runtime", labels=("version",), merge="max"
)
TARGET_INFO: Final = Metric(
    name="target_info",
    kind="gauge",
    help="Identity of the process",
    labels=("service", "instance", "host", "zone", "version"),
    merge="max",
)

METRICS: Final = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""All metrics of this module."""
