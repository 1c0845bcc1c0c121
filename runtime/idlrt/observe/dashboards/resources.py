"""Resources that programs use, and base figures of servers, processes, Python and hosts."""

from __future__ import annotations

from typing import Final

from idlrt.observe import gc_pauses, host, process
from idlrt.observe.catalogue import (
    BUILD,
    DROPPED,
    SERVER_ACCEPTED,
    SERVER_CONNECTION_ERRORS,
    SERVER_CONNECTIONS,
    SERVER_DRAINING,
    SERVER_PROCESSES,
    SERVER_QUEUED,
    SERVER_RESTARTS,
    SERVER_UNSENT,
    SERVER_WORKERS,
    TARGET_INFO,
)
from idlrt.observe.dashboards.expressions import (
    IN_SCOPE,
    by,
    gauge,
    increase,
    or_zero,
    or_zero_by,
    quantile,
    rate,
    ratio,
)
from idlrt.observe.dashboards.model import Column, Dashboard, Panel, Query, Row, Unit
from idlrt.observe.dashboards.variables import ERRORS, FULL, INSTANCE, JOB, RESOURCES
from idlrt.observe.loop_lag import LOOP_LAG
from idlrt.observe.resources import IN_FLIGHT, RESOURCE_DURATION

__all__ = ["resources_dashboard"]

_DURATION: Final = RESOURCE_DURATION.name
_BY_INSTANCE: Final = "{{instance}}"


def resources_dashboard() -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid=RESOURCES,
        title="idlrt / Resources and base",
        description="Databases, caches and other systems; workers, connections, processes, Python and hosts.",
        variables=(JOB, INSTANCE),
        rows=(
            Row(100, "Resources", _resources()),
            Row(200, "Servers", _servers()),
            Row(300, "Processes", _processes()),
            Row(400, "Python", _python()),
            Row(500, "Hosts", _hosts()),
            Row(600, "Monitoring", _monitoring()),
        ),
    )


def _plain(number: int, title: str, description: str, unit: Unit, *queries: Query) -> Panel:
    return Panel(id=number, title=title, description=description, unit=unit, queries=queries)


def _resources() -> tuple[Panel, ...]:
    both = "system, operation"
    operations = rate(f"{_DURATION}_count", IN_SCOPE)
    failed = rate(f"{_DURATION}_count", IN_SCOPE, 'outcome="error"')
    return (
        Panel(
            id=101,
            type="table",
            title="Operations",
            description="Operations of databases, caches and other systems.",
            width=24,
            names={"system": "System", "operation": "Operation"},
            columns=(
                Column("Operations/s", by(both, operations), "ops"),
                Column("Errors", ratio(both, failed, operations), "percentunit", ERRORS),
                Column("p50", quantile(0.5, both, _DURATION, IN_SCOPE), "s"),
                Column("p99", quantile(0.99, both, _DURATION, IN_SCOPE), "s"),
            ),
        ),
        _plain(
            102,
            "Operations by system",
            "Operations per second.",
            "ops",
            Query(by("system", operations), "{{system}}"),
        ),
        _plain(
            103,
            "p99 by system",
            "Duration that 99 % of the operations do not exceed.",
            "s",
            Query(quantile(0.99, "system", _DURATION, IN_SCOPE), "{{system}}"),
        ),
        _plain(
            104,
            "Errors by type",
            "Failed operations per second by exception class.",
            "ops",
            Query(or_zero_by("error_type", by("system, error_type", failed)), "{{system}} {{error_type}}"),
        ),
        _plain(
            105,
            "Operations in flight",
            "A growing number is a system that has stopped to respond.",
            "short",
            Query(by("system", gauge(IN_FLIGHT.name, IN_SCOPE)), "{{system}}"),
        ),
    )


def _servers() -> tuple[Panel, ...]:
    workers = gauge(SERVER_WORKERS.name, IN_SCOPE)
    busy = gauge(SERVER_WORKERS.name, IN_SCOPE, 'state="busy"')
    accepted = rate(SERVER_ACCEPTED.name, IN_SCOPE)
    errors = rate(SERVER_CONNECTION_ERRORS.name, IN_SCOPE)
    return (
        Panel(
            id=201,
            title="Busy workers",
            description="Fraction of the worker threads that run a handler. At 1 further calls are queued.",
            unit="percentunit",
            maximum=1.0,
            steps=FULL,
            queries=(Query(f"{by('instance', busy)} / ({by('instance', workers)} > 0)", _BY_INSTANCE),),
        ),
        _plain(
            202,
            "Queue depth",
            "Calls that wait for a worker.",
            "short",
            Query(by("instance", gauge(SERVER_QUEUED.name, IN_SCOPE)), _BY_INSTANCE),
        ),
        _plain(
            203,
            "Connections",
            "Open connections.",
            "short",
            Query(by("instance", gauge(SERVER_CONNECTIONS.name, IN_SCOPE)), _BY_INSTANCE),
        ),
        _plain(
            204,
            "New connections",
            "Accepted connections per second by detected protocol. Many are clients that do not keep connections.",
            "cps",
            Query(or_zero_by("protocol", by("protocol", accepted)), "{{protocol}}"),
        ),
        _plain(
            205,
            "Connection errors",
            "Connections per second that servers closed because of an error.",
            "cps",
            Query(or_zero_by("kind", by("kind", errors)), "{{kind}}"),
        ),
        _plain(
            206,
            "Unsent bytes",
            "Responses in send buffers. Clients that do not read let them grow.",
            "bytes",
            Query(by("instance", gauge(SERVER_UNSENT.name, IN_SCOPE)), _BY_INSTANCE),
        ),
        _plain(
            207,
            "Server processes",
            "Processes of servers with several processes, by state.",
            "short",
            Query(or_zero_by("state", by("state", gauge(SERVER_PROCESSES.name, IN_SCOPE))), "{{state}}"),
        ),
        _plain(
            208,
            "Restarts of processes",
            "Restarts within 5 minutes.",
            "short",
            Query(or_zero(by("", increase(SERVER_RESTARTS.name, IN_SCOPE, period="5m"))), "restarts"),
        ),
        _plain(
            209,
            "Draining",
            "Servers that are stopping.",
            "short",
            Query(by("job", gauge(SERVER_DRAINING.name, IN_SCOPE)), "{{job}}"),
        ),
    )


def _processes() -> tuple[Panel, ...]:
    def own(metric: str) -> str:
        return by("instance", gauge(metric, IN_SCOPE))

    def flow(metric: str) -> str:
        return by("instance", rate(metric, IN_SCOPE))

    memory, limit = own(process.RESIDENT.name), own(process.MEMORY_LIMIT.name)
    return (
        _plain(301, "CPU", "Processors in use.", "short", Query(flow(process.CPU.name), _BY_INSTANCE)),
        _plain(302, "Memory", "Resident memory.", "bytes", Query(memory, _BY_INSTANCE)),
        Panel(
            id=303,
            title="Memory of the limit",
            description="Fraction of the memory limit that is used; 0 without a limit. At 1 the system kills the "
            "process.",
            unit="percentunit",
            maximum=1.0,
            steps=FULL,
            queries=(Query(f"{memory} / {limit} or 0 * {memory}", _BY_INSTANCE),),
        ),
        Panel(
            id=304,
            title="File descriptors of the limit",
            description="Fraction of the file descriptors that are open. Without free ones no connection is accepted.",
            unit="percentunit",
            steps=FULL,
            queries=(Query(f"{own(process.OPEN_FDS.name)} / {own(process.MAX_FDS.name)}", _BY_INSTANCE),),
        ),
        _plain(305, "Threads", "Threads of the system.", "short", Query(own(process.THREADS.name), _BY_INSTANCE)),
        _plain(
            306,
            "Context switches",
            "Involuntary ones are those of a process that would have run on.",
            "ops",
            Query(by("instance, type", rate(process.SWITCHES.name, IN_SCOPE)), "{{instance}} {{type}}"),
        ),
        _plain(
            307,
            "Storage",
            "Bytes per second from and to storage.",
            "Bps",
            Query(flow(process.READ.name), "{{instance}} read"),
            Query(flow(process.WRITTEN.name), "{{instance}} written"),
        ),
        _plain(
            308,
            "Network",
            "Bytes per second over IP, in the network namespace of the process.",
            "Bps",
            Query(flow(process.RECEIVED.name), "{{instance}} received"),
            Query(flow(process.SENT.name), "{{instance}} sent"),
        ),
        _plain(
            309,
            "Uptime",
            "Time since the process has started.",
            "s",
            Query(f"time() - {by('instance', gauge(process.STARTED_AT.name, IN_SCOPE), 'min')}", _BY_INSTANCE),
        ),
    )


def _python() -> tuple[Panel, ...]:
    pauses = gc_pauses.GC_PAUSE.name
    return (
        Panel(
            id=401,
            title="Time in garbage collection",
            description="Fraction of the time. All threads of the process stand still meanwhile.",
            unit="percentunit",
            queries=(Query(or_zero_by("instance", by("instance", rate(f"{pauses}_sum", IN_SCOPE))), _BY_INSTANCE),),
        ),
        _plain(
            402,
            "Collections",
            "Garbage collections per second by generation. Those of the highest one take longest.",
            "ops",
            Query(by("generation", rate(gc_pauses.COLLECTIONS.name, IN_SCOPE)), "generation {{generation}}"),
        ),
        _plain(
            403,
            "Loop lag",
            "Delay that 99 % of the timers of an event loop do not exceed. A handler that blocks raises it.",
            "s",
            Query(quantile(0.99, "instance, loop", LOOP_LAG.name, IN_SCOPE), "{{instance}} {{loop}}"),
        ),
    )


def _hosts() -> tuple[Panel, ...]:
    def flow(metric: str) -> Query:
        return Query(or_zero_by("instance", by("instance", rate(metric, IN_SCOPE), "max")), _BY_INSTANCE)

    needs = "Requires psutil; 0 without it."
    return (
        _plain(
            501,
            "CPU of the host",
            f"Processors by mode, without those that are idle. {needs}",
            "short",
            Query(
                or_zero_by("mode", by("instance, mode", rate(host.CPU.name, IN_SCOPE, 'mode!="idle"'), "max")),
                "{{instance}} {{mode}}",
            ),
        ),
        _plain(
            502,
            "Available memory of the host",
            f"Memory that processes can get without swapping. {needs}",
            "bytes",
            Query(
                or_zero_by("instance", by("instance", gauge(host.MEMORY.name, IN_SCOPE, 'state="available"'), "max")),
                _BY_INSTANCE,
            ),
        ),
        _plain(
            503,
            "Network and disks of the host",
            f"Bytes per second. {needs}",
            "Bps",
            *(
                Query(query.expr, f"{{{{instance}}}} {name}")
                for query, name in (
                    (flow(host.RECEIVED.name), "received"),
                    (flow(host.SENT.name), "sent"),
                    (flow(host.DISK_READ.name), "read"),
                    (flow(host.DISK_WRITTEN.name), "written"),
                )
            ),
        ),
    )


def _monitoring() -> tuple[Panel, ...]:
    return (
        Panel(
            id=601,
            type="table",
            title="Instances",
            description="Identity and versions of what is scraped.",
            names={
                "instance": "Instance",
                "service": "Service",
                "host": "Host",
                "zone": "Zone",
                "version": "Version",
            },
            columns=(
                Column(
                    "Up",
                    by("instance, service, host, zone, version", gauge(TARGET_INFO.name, IN_SCOPE), "max"),
                ),
            ),
        ),
        _plain(
            602,
            "Versions of the runtime",
            "Instances by the version of idlrt.",
            "short",
            Query(by("version", gauge(BUILD.name, IN_SCOPE), "count"), "{{version}}"),
        ),
        _plain(
            603,
            "Dropped records",
            "Records per second that exceeded a limit of monitoring, and series.",
            "cps",
            Query(or_zero_by("what", by("what", rate(DROPPED.name, IN_SCOPE))), "{{what}}"),
        ),
    )
