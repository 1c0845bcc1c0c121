"""Alerts on instances, saturation, governance and the runtime."""

from __future__ import annotations

from idlrt.observe.catalogue import (
    BREAKER_STATE,
    BUILD,
    CLIENT_EJECTED,
    CLIENT_ENDPOINTS,
    CLIENT_NOT_RETRIED,
    CLIENT_WAITING,
    DROPPED,
    REGISTRY_FRESHNESS,
    REGISTRY_INSTANCES,
    SERVER_QUEUE,
    SERVER_RESTARTS,
    SERVER_WORKERS,
)
from idlrt.observe.dashboards.burn_rates import burn_rate_group
from idlrt.observe.dashboards.expressions import by, gauge, increase, quantile, rate
from idlrt.observe.dashboards.model import Alert, Group
from idlrt.observe.dashboards.objectives import Objectives
from idlrt.observe.gc_pauses import GC_PAUSE
from idlrt.observe.loop_lag import LOOP_LAG
from idlrt.observe.process import MAX_FDS, MEMORY_LIMIT, OPEN_FDS, RESIDENT

__all__ = ["alert_groups", "alert_names"]

_INSTANCE = "{{ $labels.instance }} of {{ $labels.job }}"
_SHARE = "{{ $value | humanizePercentage }}"
_DURATION = "{{ $value | humanizeDuration }}"
# Jobs with metrics of ours: Prometheus has `up` of all.
_OURS = f"group by (job) (last_over_time({BUILD.name}[1d]))"


def alert_groups(objectives: Objectives) -> tuple[Group, ...]:
    """Return all alert rules."""
    return (
        burn_rate_group(objectives),
        Group("idlrt-instances", _instances(objectives)),
        Group("idlrt-saturation", _saturation(objectives)),
        Group("idlrt-governance", _governance(objectives)),
        Group("idlrt-runtime", _runtime(objectives)),
    )


def alert_names() -> tuple[str, ...]:
    """Return the names of all alerts, each once."""
    found = (each.name for group in alert_groups(Objectives()) for each in group.rules if isinstance(each, Alert))
    return tuple(dict.fromkeys(found))


def _instances(objectives: Objectives) -> tuple[Alert, ...]:
    restarts = objectives.threshold("restarts")
    return (
        Alert(
            name="RpcJobDown",
            expr=f"max by (job) (up) == 0 and on (job) {_OURS}",
            severity="page",
            wait="1m",
            summary="All instances of {{ $labels.job }} are down",
            description="Prometheus cannot scrape any instance. Callers most likely get no responses.",
        ),
        Alert(
            name="RpcInstanceDown",
            expr=f"up == 0 and on (job) {_OURS}",
            severity="ticket",
            wait="2m",
            summary=f"{_INSTANCE} is down",
            description="Prometheus cannot scrape the instance: it has stopped, is overloaded, or is unreachable.",
        ),
        Alert(
            name="RpcProcessCrashLoop",
            expr=f"{increase(SERVER_RESTARTS.name, period='15m')} > {restarts:g}",
            severity="ticket",
            summary=f"Processes of {_INSTANCE} crash repeatedly",
            description='The server has restarted processes {{ $value | printf "%.0f" }} times within 15 minutes.',
        ),
    )


def _saturation(objectives: Objectives) -> tuple[Alert, ...]:
    where, limit = "job, instance", objectives.threshold
    busy = by(where, gauge(SERVER_WORKERS.name, 'state="busy"'))
    workers = by(where, gauge(SERVER_WORKERS.name))
    return (
        Alert(
            name="RpcWorkersSaturated",
            expr=f"{busy} / ({workers} > 0) > {limit('workers'):g}",
            severity="ticket",
            wait="5m",
            summary=f"Workers of {_INSTANCE} are busy",
            description=f"{_SHARE} of the worker threads are busy. Further calls are queued, and may time out.",
        ),
        Alert(
            name="RpcQueueSlow",
            expr=f"{quantile(0.99, where, SERVER_QUEUE.name, period='5m')} > {limit('queue'):g}",
            severity="ticket",
            wait="5m",
            summary=f"Calls of {_INSTANCE} are queued for long",
            description=f"1 % of the calls wait {_DURATION} or longer until their handler begins.",
        ),
        Alert(
            name="RpcFileDescriptorsNearLimit",
            expr=f"{OPEN_FDS.name} / {MAX_FDS.name} > {limit('descriptors'):g} and on (job) {_OURS}",
            severity="ticket",
            wait="5m",
            summary=f"{_INSTANCE} runs out of file descriptors",
            description=f"{_SHARE} of the file descriptors are open. Without free ones it accepts no connections.",
        ),
        Alert(
            name="RpcMemoryNearLimit",
            expr=f"{RESIDENT.name} / {MEMORY_LIMIT.name} > {limit('memory'):g}",
            severity="ticket",
            wait="5m",
            summary=f"{_INSTANCE} runs out of memory",
            description=f"It uses {_SHARE} of its memory limit, from which on the system kills it.",
        ),
        Alert(
            name="RpcConnectionsExhausted",
            expr=f"{by('job, instance, server_address', CLIENT_WAITING.name)} >= {limit('waiting'):g}",
            severity="ticket",
            wait="5m",
            summary=f"Calls of {_INSTANCE} to {{{{ $labels.server_address }}}} wait for connections",
            description='{{ $value | printf "%.0f" }} calls wait for a free connection.',
        ),
    )


def _governance(objectives: Objectives) -> tuple[Alert, ...]:
    target = "{{ $labels.server_address }}"
    ejected, known = (by("job, instance, server_address", each.name) for each in (CLIENT_EJECTED, CLIENT_ENDPOINTS))
    refused = increase(CLIENT_NOT_RETRIED.name, 'reason="budget"', period="5m")
    old = gauge(REGISTRY_FRESHNESS.name, 'freshness!="live"')
    available = by("job, service", f'{REGISTRY_INSTANCES.name}{{status="up"}}', "max")
    return (
        Alert(
            name="RpcBreakerOpen",
            expr=f"max by (job, instance, name) (max_over_time({BREAKER_STATE.name}[2m])) == 2",
            severity="ticket",
            wait="1m",
            summary=f"Circuit breaker {{{{ $labels.name }}}} of {_INSTANCE} is open",
            description="Most calls that it has let through have failed, so it rejects calls.",
        ),
        Alert(
            name="RpcInstancesEjected",
            expr=f"{ejected} / ({known} > 0) > {objectives.threshold('ejected'):g}",
            severity="ticket",
            wait="2m",
            summary=f"{_INSTANCE} has taken most instances of {target} out of rotation",
            description=f"{_SHARE} of the instances are unhealthy for this client; the others have their load.",
        ),
        Alert(
            name="RpcRetryBudgetExhausted",
            expr=f"{by('job, rpc_method', refused)} > 0",
            severity="ticket",
            wait="2m",
            summary="Clients of {{ $labels.job }} exhaust the retry budget of {{ $labels.rpc_method }}",
            description='{{ $value | printf "%.0f" }} failed calls were not retried within 5 minutes, because most '
            "retries had failed as well.",
        ),
        Alert(
            name="RpcNoInstances",
            expr=f"{by('job, service', REGISTRY_FRESHNESS.name, 'max')} unless {available} > 0",
            severity="page",
            wait="1m",
            summary="Clients of {{ $labels.job }} know no instance of {{ $labels.service }}",
            description="The registry lists no instance that may be called, so all calls fail.",
        ),
        Alert(
            name="RpcRegistryStale",
            expr=f"{by('job, service, freshness', old)} > 0",
            severity="ticket",
            wait="5m",
            summary="Clients of {{ $labels.job }} have old instances of {{ $labels.service }}",
            description="Their list of instances is {{ $labels.freshness }}: the registry is unreachable, or has lost "
            "all instances. Calls go on with the instances that were known last.",
        ),
    )


def _runtime(objectives: Objectives) -> tuple[Alert, ...]:
    where = "job, instance"
    pauses = by(where, rate(f"{GC_PAUSE.name}_sum", period="5m"))
    lag = quantile(0.99, f"{where}, loop", LOOP_LAG.name, period="5m")
    return (
        Alert(
            name="RpcGcPauses",
            expr=f"{pauses} > {objectives.threshold('gc'):g}",
            severity="ticket",
            wait="10m",
            summary=f"{_INSTANCE} collects much garbage",
            description=f"Garbage collection takes {_SHARE} of the time, and stops all calls meanwhile.",
        ),
        Alert(
            name="RpcLoopLag",
            expr=f"{lag} > {objectives.threshold('loop_lag'):g}",
            severity="ticket",
            wait="5m",
            summary=f"Event loop {{{{ $labels.loop }}}} of {_INSTANCE} is blocked",
            description=f"1 % of its timers are late by {_DURATION} or more, and so is everything else on that loop.",
        ),
        Alert(
            name="RpcMetricsDropped",
            expr=f"{by('job, instance, what', increase(DROPPED.name, period='15m'))} > 0",
            severity="ticket",
            summary=f"{_INSTANCE} drops metrics",
            description='{{ $value | printf "%.0f" }} records of the kind {{ $labels.what }} exceeded a limit within '
            "15 minutes. They count as `_OTHER`; those of the kind memory are lost.",
        ),
    )
