"""Metrics of servers and processes, with their names, units and labels.

Names and labels follow OpenTelemetry's conventions for RPC where these have one, and `prometheus_client` for the
process.

Source: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics/
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from idlrt.observe.exposition import Family, Sample, histogram_family
from idlrt.observe.server_calls import ServerSnapshot
from idlrt.version import __version__

__all__ = ["ServerGauges", "process_families", "server_families"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_STARTED_AT: Final = time.time()


class ServerGauges(msgspec.Struct, frozen=True, kw_only=True):
    """Current state of a server.

    Attributes:
        connections: open connections.
        in_flight: calls in flight.
        unsent_bytes: bytes of responses in send buffers.
        is_draining: whether it is stopping.
    """

    connections: int
    in_flight: int
    unsent_bytes: int
    is_draining: bool


def server_families(snapshot: ServerSnapshot, gauges: ServerGauges) -> Iterator[Family]:
    """Return the metrics of a server."""
    yield histogram_family(
        "rpc_server_call_duration_seconds",
        "Duration of calls, from the arrival of the request until its response is ready",
        (
            ({"rpc_method": key.method, "rpc_status_code": key.status, "error_type": key.error_type}, histogram)
            for key, histogram in sorted(snapshot.calls.items())
        ),
    )
    sizes = sorted(snapshot.sizes.items())
    yield Family(
        "rpc_server_request_bytes_total", "counter", "Bytes of requests on the wire",
        tuple(Sample({"rpc_method": name}, each.received) for name, each in sizes),
    )  # fmt: skip
    yield Family(
        "rpc_server_response_bytes_total", "counter", "Bytes of responses on the wire",
        tuple(Sample({"rpc_method": name}, each.sent) for name, each in sizes),
    )  # fmt: skip
    yield Family(
        "rpc_server_callers_total", "counter", "Calls by the name of the calling application",
        tuple(Sample({"caller": name}, count) for name, count in sorted(snapshot.callers.items())),
    )  # fmt: skip
    yield _gauge("rpc_server_connections", "Open connections", gauges.connections)
    yield _gauge("rpc_server_in_flight", "Calls in flight of workers and async handlers", gauges.in_flight)
    yield _gauge("rpc_server_unsent_bytes", "Bytes of responses in send buffers", gauges.unsent_bytes)
    yield _gauge("rpc_server_draining", "Whether the server is stopping", gauges.is_draining)
    dropped = (Sample({"what": "series"}, snapshot.dropped),)
    yield Family("rpc_observe_dropped_total", "counter", "Records that exceeded a limit of monitoring", dropped)
    build = (Sample({"version": __version__}, 1),)
    yield Family("rpc_build_info", "gauge", "Version of the runtime", build)


def process_families() -> Iterator[Family]:
    """Return the metrics of this process; those that the system does not tell are left out."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (Sample({}, usage.ru_utime + usage.ru_stime),)
    yield Family("process_cpu_seconds_total", "counter", "CPU time of the process", cpu)
    yield _gauge("process_start_time_seconds", "Start of the process in seconds since 1970", _STARTED_AT)
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
        descriptors = len(os.listdir("/proc/self/fd"))
    except OSError:
        pages, descriptors = [], 0
    if pages:
        yield _gauge("process_virtual_memory_bytes", "Virtual memory", int(pages[0]) * _PAGE)
        yield _gauge("process_resident_memory_bytes", "Resident memory", int(pages[1]) * _PAGE)
        yield _gauge("process_open_fds", "Open file descriptors", descriptors)
    yield _gauge(
        "process_max_fds", "Maximum number of open file descriptors", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    )
    version = {"implementation": sys.implementation.name, "version": sys.version.split()[0]}
    yield Family("python_info", "gauge", "Python", (Sample(version, 1),))


def _gauge(name: str, help: str, value: float) -> Family:
    return Family(name, "gauge", help, (Sample({}, value),))
