"""Governance: attempts, retries and their budget, breakers, ejections, rejections, connections and registries."""

from __future__ import annotations

from typing import Final

from idlrt.observe.catalogue import (
    BREAKER_CHANGES,
    BREAKER_STATE,
    CLIENT_ATTEMPTS,
    CLIENT_BUDGET,
    CLIENT_CALLS,
    CLIENT_CONNECTIONS,
    CLIENT_CONNECTS,
    CLIENT_EJECTED,
    CLIENT_EJECTIONS,
    CLIENT_ENDPOINTS,
    CLIENT_FALLBACKS,
    CLIENT_IN_FLIGHT,
    CLIENT_LEFT_OUT,
    CLIENT_NOT_RETRIED,
    CLIENT_PAUSES,
    CLIENT_REJECTED,
    CLIENT_RESTORED,
    CLIENT_RETRIES,
    CLIENT_SCHEDULED,
    CLIENT_WAITING,
    REGISTRY_FRESHNESS,
    REGISTRY_INSTANCES,
    SERVER_REJECTED,
)
from idlrt.observe.dashboards.expressions import (
    BAD_STATUS,
    IN_SCOPE,
    by,
    gauge,
    or_zero,
    or_zero_by,
    quantile,
    rate,
)
from idlrt.observe.dashboards.model import Dashboard, Mapped, Panel, Query, Row, Unit
from idlrt.observe.dashboards.variables import GOVERNANCE, INSTANCE, JOB

__all__ = ["governance"]

_TARGET: Final = "server_address"
_ATTEMPTS: Final = "rpc_client_attempts_total"


def governance() -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid=GOVERNANCE,
        title="idlrt / Governance",
        description="Retries, breakers, ejections, rejections. Connections, registries.",
        variables=(JOB, INSTANCE),
        rows=(
            Row(100, "Retries", _retries()),
            Row(200, "Breakers and ejections", _breakers()),
            Row(300, "Rejections", _rejections()),
            Row(400, "Connections", _connections()),
            Row(500, "Registries", _registries()),
        ),
    )


def _plain(number: int, title: str, description: str, unit: Unit, *queries: Query) -> Panel:
    return Panel(id=number, title=title, description=description, unit=unit, queries=queries)


def _counted(labels: str, metric: str, *selectors: str) -> Query:
    """Return the events per second by labels; 0 before the first one."""
    last = labels.rpartition(" ")[2]
    legend = " ".join(f"{{{{{each}}}}}" for each in labels.split(", "))
    return Query(or_zero_by(last, by(labels, rate(metric, IN_SCOPE, *selectors))), legend)


def _gauges(labels: str, metric: str, operator: str = "sum") -> Query:
    legend = " ".join(f"{{{{{each}}}}}" for each in labels.split(", "))
    return Query(by(labels, gauge(metric, IN_SCOPE), operator), legend)


def _retries() -> tuple[Panel, ...]:
    calls = by(_TARGET, rate(f"{CLIENT_CALLS.name}_count", IN_SCOPE))
    attempts = by(_TARGET, rate(_ATTEMPTS, IN_SCOPE))
    return (
        _plain(
            101,
            "Attempts by kind",
            "Attempts per second: first ones, retries, and hedged ones.",
            "reqps",
            _counted("kind", _ATTEMPTS),
        ),
        _plain(
            102,
            "Attempts per call",
            "Above 1 there are retries, each of which is additional load. Below 1 guards reject calls.",
            "short",
            Query(f"{attempts} / ({calls} > 0)", "{{server_address}}"),
        ),
        _plain(
            103,
            "Failed attempts",
            "Failed attempts per second. Their calls may succeed by a retry.",
            "reqps",
            _counted("server_address, rpc_status_code", f"{CLIENT_ATTEMPTS.name}_count", BAD_STATUS),
        ),
        _plain(
            104,
            "Retry budget",
            "Smallest number of retries that the budget of a client allows at present.",
            "short",
            _gauges(_TARGET, CLIENT_BUDGET.name, "min"),
        ),
        _plain(
            105,
            "Retries by mode",
            "Retries and hedged attempts per second by fault mode.",
            "ops",
            _counted("rpc_method, mode", CLIENT_RETRIES.name),
        ),
        _plain(
            106,
            "Not retried",
            "Failed calls per second that were not retried, by reason. `budget`: the retry budget is exhausted.",
            "ops",
            _counted("mode, reason", CLIENT_NOT_RETRIED.name),
        ),
        _plain(
            107,
            "Pauses before retries",
            "Pause that 99 % of the retries do not exceed; 0 without retries.",
            "s",
            Query(
                or_zero_by("mode", quantile(0.99, "mode", CLIENT_PAUSES.name, IN_SCOPE)),
                "{{mode}}",
            ),
        ),
        _plain(
            108,
            "Deferred calls",
            "Failed calls per second that were queued for a retry in the background.",
            "ops",
            _counted("rpc_method, mode", CLIENT_SCHEDULED.name),
        ),
        _plain(
            109,
            "Fallbacks",
            "Failed calls per second that returned a fallback value.",
            "ops",
            _counted("rpc_method, by", CLIENT_FALLBACKS.name),
        ),
        _plain(
            110,
            "Latency of attempts by zone",
            "Duration that 99 % of the attempts do not exceed, by the zone of the instance.",
            "s",
            Query(quantile(0.99, "peer_zone", CLIENT_ATTEMPTS.name, IN_SCOPE), "zone {{peer_zone}}"),
        ),
    )


def _breakers() -> tuple[Panel, ...]:
    state = by("instance, name", gauge(BREAKER_STATE.name, IN_SCOPE), "max")
    return (
        Panel(
            id=201,
            type="state-timeline",
            title="Circuit breakers",
            description="State of the breakers that have ever changed; `none` while there are none.",
            unit="none",
            width=16,
            mapped=(Mapped(0.0, "closed", "green"), Mapped(1.0, "half-open", "yellow"), Mapped(2.0, "open", "red")),
            queries=(Query(or_zero_by("name", state), "{{instance}} {{name}}"),),
        ),
        _plain(
            202,
            "Changes of breakers",
            "State changes per second by new state.",
            "ops",
            _counted("name, to", BREAKER_CHANGES.name),
        ),
        _plain(
            203,
            "Instances out of rotation",
            "Instances that clients do not call: unreachable, ejected, or with an open breaker.",
            "short",
            _gauges(_TARGET, CLIENT_EJECTED.name, "max"),
        ),
        _plain(
            204,
            "Known instances",
            "Largest number of instances that a client knows.",
            "short",
            _gauges(_TARGET, CLIENT_ENDPOINTS.name, "max"),
        ),
        _plain(
            205,
            "Ejections",
            "Instances per second that were taken out of rotation, by reason, and put back.",
            "ops",
            _counted("reason", CLIENT_EJECTIONS.name),
            Query(or_zero(by("", rate(CLIENT_RESTORED.name, IN_SCOPE))), "restored"),
        ),
    )


def _rejections() -> tuple[Panel, ...]:
    return (
        _plain(
            301,
            "Rejections of clients",
            "Calls per second that guards of clients have rejected.",
            "reqps",
            _counted("guard, reason", CLIENT_REJECTED.name),
        ),
        _plain(
            302,
            "Rejections of servers",
            "Calls per second that guards and limits of servers have rejected.",
            "reqps",
            _counted("guard, reason", SERVER_REJECTED.name),
        ),
        _plain(
            303,
            "Rejections by method",
            "Calls per second that clients and servers have rejected.",
            "reqps",
            *(
                Query(
                    or_zero_by("rpc_method", by("rpc_method", rate(metric.name, IN_SCOPE))),
                    f"{side} {{{{rpc_method}}}}",
                )
                for side, metric in (("client", CLIENT_REJECTED), ("server", SERVER_REJECTED))
            ),
        ),
    )


def _connections() -> tuple[Panel, ...]:
    return (
        _plain(
            401,
            "Connections of clients",
            "Open connections, and those being opened.",
            "short",
            _gauges(_TARGET, CLIENT_CONNECTIONS.name),
        ),
        _plain(
            402,
            "Calls in flight of clients",
            "Calls that hold a connection or wait for one.",
            "short",
            _gauges(_TARGET, CLIENT_IN_FLIGHT.name),
        ),
        _plain(
            403,
            "Calls that wait for a connection",
            "More than 0 for long: the pool of connections is too small, or servers are slow.",
            "short",
            _gauges(_TARGET, CLIENT_WAITING.name),
        ),
        _plain(
            404,
            "Attempts to connect",
            "Attempts per second by outcome: `ok`, or the class of the error.",
            "cps",
            _counted("service, outcome", "rpc_client_connects_total"),
        ),
        _plain(
            405,
            "Time to connect",
            "Time that 99 % of the attempts do not exceed, with TLS handshakes; 0 without attempts.",
            "s",
            Query(or_zero_by("service", quantile(0.99, "service", CLIENT_CONNECTS.name, IN_SCOPE)), "{{service}}"),
        ),
        _plain(
            406,
            "Dropped metadata",
            "Values per second that the protocol of a server cannot carry.",
            "cps",
            _counted("server_address, name", CLIENT_LEFT_OUT.name),
        ),
    )


def _registries() -> tuple[Panel, ...]:
    return (
        _plain(
            501,
            "Instances in registries",
            "Instances as clients know them, by status. Clients call those that are `up`.",
            "short",
            Query(
                or_zero_by("status", by("service, status", gauge(REGISTRY_INSTANCES.name, IN_SCOPE), "max")),
                "{{service}} {{status}}",
            ),
        ),
        _plain(
            502,
            "Instances by zone",
            "Instances that are `up`.",
            "short",
            Query(
                or_zero_by(
                    "zone",
                    by("service, zone", gauge(REGISTRY_INSTANCES.name, IN_SCOPE, 'status="up"'), "max"),
                ),
                "{{service}} {{zone}}",
            ),
        ),
        _plain(
            503,
            "Freshness",
            "Clients by how current their instances are: `live`, or `stale`, `saved` and `protected`, which are old.",
            "short",
            Query(
                or_zero_by("freshness", by("service, freshness", gauge(REGISTRY_FRESHNESS.name, IN_SCOPE))),
                "{{service}} {{freshness}}",
            ),
        ),
    )
