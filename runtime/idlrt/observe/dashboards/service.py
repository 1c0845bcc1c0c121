"""One service: its methods, errors, callers and instances, and how its clients see it."""

from __future__ import annotations

from typing import Final

from idlrt.observe.catalogue import CLIENT_CALLS, SERVER_CALLS, SERVER_QUEUE, SERVER_REJECTED
from idlrt.observe.dashboards.expressions import (
    BAD_STATUS,
    OF_METHOD,
    by,
    or_zero,
    or_zero_by,
    quantile,
    rate,
    ratio,
)
from idlrt.observe.dashboards.model import Column, Dashboard, Panel, Query, Row
from idlrt.observe.dashboards.variables import ERRORS, INSTANCE, JOB, METHOD, SERVICE, SERVICE_VARIABLE

__all__ = ["service_dashboard"]

_CALLS: Final = "rpc_server_calls_total"
_DURATION: Final = SERVER_CALLS.name
_CLIENT: Final = CLIENT_CALLS.name
_RATE: Final = rate(_CALLS, OF_METHOD)
_FAILED: Final = rate(_CALLS, OF_METHOD, BAD_STATUS)


def service_dashboard() -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid=SERVICE,
        title="idlrt / Service",
        description="Methods of a service: traffic, errors, latency, callers, instances, and the view of its clients.",
        variables=(JOB, INSTANCE, SERVICE_VARIABLE, METHOD),
        rows=(
            Row(100, "Methods", _methods()),
            Row(200, "Errors", _errors()),
            Row(300, "Callers", _callers()),
            Row(400, "Instances", _instances()),
            Row(500, "Clients", _clients()),
        ),
    )


def _quantile(share: float, labels: str = "") -> str:
    return quantile(share, labels, _DURATION, OF_METHOD)


def _methods() -> tuple[Panel, ...]:
    method = "rpc_method"
    return (
        Panel(
            id=101,
            type="table",
            title="Methods",
            description="Follow a name to limit this page to a method.",
            width=24,
            names={method: "Method"},
            links={method: f"/d/{SERVICE}?var-method=${{__value.text}}&${{job:queryparam}}&${{service:queryparam}}"},
            columns=(
                Column("Calls/s", by(method, _RATE), "reqps"),
                Column("Errors", ratio(method, _FAILED, _RATE), "percentunit", ERRORS),
                Column("p50", _quantile(0.5, method), "s"),
                Column("p90", _quantile(0.9, method), "s"),
                Column("p99", _quantile(0.99, method), "s"),
                Column("Received", by(method, rate("rpc_server_request_bytes_total", OF_METHOD)), "Bps"),
                Column("Sent", by(method, rate("rpc_server_response_bytes_total", OF_METHOD)), "Bps"),
            ),
        ),
        Panel(
            id=102,
            title="Calls",
            description="Calls per second by method.",
            unit="reqps",
            queries=(Query(by(method, _RATE), "{{rpc_method}}"),),
        ),
        Panel(
            id=103,
            title="Latency",
            description="Percentiles of the selected methods together.",
            unit="s",
            queries=tuple(Query(_quantile(share), name) for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))),
        ),
        Panel(
            id=104,
            type="heatmap",
            title="Durations",
            description="Calls per second by duration.",
            unit="s",
            queries=(Query(by("le", rate(f"{_DURATION}_bucket", OF_METHOD)), "{{le}}"),),
        ),
        Panel(
            id=105,
            title="p99 by method",
            description="Duration that 99 % of the calls do not exceed.",
            unit="s",
            queries=(Query(_quantile(0.99, method), "{{rpc_method}}"),),
        ),
        Panel(
            id=106,
            title="Queue time by method",
            description="Time that 99 % of the calls do not exceed from their arrival to the start of their handler: "
            "in the queue of the workers, or waiting for the event loop.",
            unit="s",
            queries=(Query(quantile(0.99, method, SERVER_QUEUE.name, OF_METHOD), "{{rpc_method}}"),),
        ),
        Panel(
            id=107,
            title="Traffic",
            description="Bytes per second on the wire.",
            unit="Bps",
            queries=(
                Query(by("", rate("rpc_server_request_bytes_total", OF_METHOD)), "received"),
                Query(by("", rate("rpc_server_response_bytes_total", OF_METHOD)), "sent"),
            ),
        ),
    )


def _errors() -> tuple[Panel, ...]:
    rejected = rate(SERVER_REJECTED.name, OF_METHOD)
    return (
        Panel(
            id=201,
            title="Error ratio by method",
            description="Fraction of the calls that failed. Exceptions that the IDL declares are no errors.",
            unit="percentunit",
            queries=(Query(ratio("rpc_method", _FAILED, _RATE), "{{rpc_method}}"),),
        ),
        Panel(
            id=202,
            title="Errors by type",
            description="Failed calls per second by status code and exception class.",
            unit="reqps",
            queries=(
                Query(
                    or_zero_by("error_type", by("rpc_status_code, error_type", _FAILED)),
                    "{{rpc_status_code}} {{error_type}}",
                ),
            ),
        ),
        Panel(
            id=203,
            title="Rejections",
            description="Calls per second that guards and limits of servers have rejected.",
            unit="reqps",
            queries=(Query(or_zero_by("reason", by("guard, reason", rejected)), "{{guard}} {{reason}}"),),
        ),
    )


def _callers() -> tuple[Panel, ...]:
    caller = "caller"
    return (
        Panel(
            id=301,
            type="table",
            title="Callers",
            description="Programs that call, by the name that they send (`caller.app`). Empty: they send none.",
            width=8,
            names={caller: "Caller"},
            columns=(
                Column("Calls/s", by(caller, _RATE), "reqps"),
                Column("Errors", ratio(caller, _FAILED, _RATE), "percentunit", ERRORS),
            ),
        ),
        Panel(
            id=302,
            title="Calls by caller",
            description="Calls per second. Empty: the caller sends no name.",
            unit="reqps",
            is_stacked=True,
            queries=(Query(by(caller, _RATE), "{{caller}}"),),
        ),
        Panel(
            id=303,
            type="table",
            title="Callers by method",
            description="Which program calls which method.",
            width=8,
            names={caller: "Caller", "rpc_method": "Method"},
            columns=(Column("Calls/s", by("caller, rpc_method", _RATE), "reqps"),),
        ),
    )


def _instances() -> tuple[Panel, ...]:
    instance = "instance"
    return (
        Panel(
            id=401,
            title="Calls by instance",
            description="Calls per second. Lines that differ show uneven load balancing.",
            unit="reqps",
            queries=(Query(by(instance, _RATE), "{{instance}}"),),
        ),
        Panel(
            id=402,
            title="Error ratio by instance",
            description="Fraction of the calls that failed.",
            unit="percentunit",
            queries=(Query(ratio(instance, _FAILED, _RATE), "{{instance}}"),),
        ),
        Panel(
            id=403,
            title="p99 by instance",
            description="Duration that 99 % of the calls do not exceed.",
            unit="s",
            queries=(Query(_quantile(0.99, instance), "{{instance}}"),),
        ),
    )


def _clients() -> tuple[Panel, ...]:
    calls, failed = rate(f"{_CLIENT}_count", OF_METHOD), rate(f"{_CLIENT}_count", OF_METHOD, BAD_STATUS)
    target = "server_address"
    return (
        Panel(
            id=501,
            title="Calls of clients",
            description="Calls per second by what clients call. These are the clients in the selected jobs.",
            unit="reqps",
            queries=(Query(or_zero_by(target, by(target, calls)), "{{server_address}}"),),
        ),
        Panel(
            id=502,
            title="Errors of clients",
            description="Failed calls per second, after retries, by status code.",
            unit="reqps",
            queries=(
                Query(or_zero(by("", failed)), "all"),
                Query(
                    or_zero_by("rpc_status_code", by("server_address, rpc_status_code", failed)),
                    "{{server_address}} {{rpc_status_code}}",
                ),
            ),
        ),
        Panel(
            id=503,
            title="p99 of clients",
            description="Duration that 99 % of the calls do not exceed, with all attempts and the network.",
            unit="s",
            queries=(Query(quantile(0.99, target, _CLIENT, OF_METHOD), "{{server_address}}"),),
        ),
    )
