"""Overview: all services, their objectives, and the features of users."""

from __future__ import annotations

from typing import Final

from idlrt.observe.catalogue import SERVER_CALLS, SERVER_IN_FLIGHT
from idlrt.observe.dashboards.burn_rates import BURN_RATES
from idlrt.observe.dashboards.expressions import (
    BAD_STATUS,
    IN_SCOPE,
    by,
    gauge,
    or_zero,
    or_zero_by,
    quantile,
    rate,
    ratio,
)
from idlrt.observe.dashboards.model import Column, Dashboard, Panel, Query, Row, Step
from idlrt.observe.dashboards.objectives import Objectives
from idlrt.observe.dashboards.recording import SERVICE_LABEL, error_ratio, slow_ratio
from idlrt.observe.dashboards.variables import ERRORS, INSTANCE, JOB, OVERVIEW, SERVICE
from idlrt.observe.features import FEATURE_DURATION, STEP_DURATION

__all__ = ["overview"]

_CALLS: Final = "rpc_server_calls_total"
_DURATION: Final = SERVER_CALLS.name
_RESULTS: Final = "feature_results_total"
_IN_JOB: Final = 'job=~"$job"'


def overview(objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid=OVERVIEW,
        title="idlrt / Overview",
        description="All services: traffic, errors, latency, error budgets, and features as users see them.",
        variables=(JOB, INSTANCE),
        rows=(
            Row(100, "Now", _now()),
            Row(200, "Services", _services()),
            Row(300, "Service level objectives", _objectives(objectives)),
            Row(400, "Features", _features()),
        ),
    )


def _now() -> tuple[Panel, ...]:
    calls, failed = rate(_CALLS, IN_SCOPE), rate(_CALLS, IN_SCOPE, BAD_STATUS)
    duration = (_DURATION, IN_SCOPE)
    return (
        Panel(
            id=101,
            type="stat",
            title="Calls",
            description="Calls per second that servers have answered.",
            unit="reqps",
            width=4,
            height=4,
            queries=(Query(or_zero(by("", calls))),),
        ),
        Panel(
            id=102,
            type="stat",
            title="Error ratio",
            description="Fraction of the calls that failed. Exceptions that the IDL declares are no errors.",
            unit="percentunit",
            width=4,
            height=4,
            steps=ERRORS,
            queries=(Query(ratio("", failed, calls)),),
        ),
        Panel(
            id=103,
            type="stat",
            title="p99",
            description="Duration that 99 % of the calls do not exceed.",
            unit="s",
            width=4,
            height=4,
            queries=(Query(quantile(0.99, "", *duration)),),
        ),
        Panel(
            id=104,
            type="stat",
            title="In flight",
            description="Calls that servers are working on, in workers and async handlers.",
            width=4,
            height=4,
            queries=(Query(or_zero(by("", gauge(SERVER_IN_FLIGHT.name, IN_SCOPE)))),),
        ),
        Panel(
            id=105,
            type="stat",
            title="Instances up",
            description="Instances that Prometheus can scrape.",
            width=4,
            height=4,
            queries=(Query(or_zero(by("", gauge("up", IN_SCOPE)))),),
        ),
        Panel(
            id=106,
            type="stat",
            title="Instances down",
            description="Instances that Prometheus cannot scrape.",
            width=4,
            height=4,
            steps=(Step(0.0, "green"), Step(1.0, "red")),
            queries=(Query(or_zero(f"count({gauge('up', IN_SCOPE)} == 0)")),),
        ),
        Panel(
            id=107,
            title="Calls by outcome",
            description="Calls per second by status code.",
            unit="reqps",
            is_stacked=True,
            queries=(Query(by("rpc_status_code", calls), "{{rpc_status_code}}"),),
        ),
        Panel(
            id=108,
            title="Latency",
            description="Percentiles of all calls.",
            unit="s",
            queries=tuple(
                Query(quantile(share, "", *duration), name)
                for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))
            ),
        ),
        Panel(
            id=109,
            type="heatmap",
            title="Durations",
            description="Calls per second by duration. Two bands are two kinds of calls, or a slow instance.",
            unit="s",
            queries=(Query(by("le", rate(f"{_DURATION}_bucket", IN_SCOPE)), "{{le}}"),),
        ),
    )


def _services() -> tuple[Panel, ...]:
    # Labels of recorded series and of these are the same, so that both may be compared.
    def by_service(rates: str) -> str:
        return by(SERVICE_LABEL, f'label_replace({rates}, "{SERVICE_LABEL}", "$1", "rpc_method", "(.+)[.][^.]+")')

    calls = by_service(rate(_CALLS, IN_SCOPE))
    failed = by_service(rate(_CALLS, IN_SCOPE, BAD_STATUS))
    before = by_service(rate(_CALLS, IN_SCOPE, offset="1h"))
    errors = f"({failed} or 0 * {calls}) / ({calls} > 0)"

    def percentile(share: float) -> str:
        named = (
            f'label_replace({rate(f"{_DURATION}_bucket", IN_SCOPE)}, "{SERVICE_LABEL}", "$1", "rpc_method", '
            '"(.+)[.][^.]+")'
        )
        return f"histogram_quantile({share:g}, {by(f'le,{SERVICE_LABEL}', named)})"

    return (
        Panel(
            id=201,
            type="table",
            title="Services",
            description="Follow a name to the methods of a service.",
            width=24,
            names={SERVICE_LABEL: "Service"},
            links={SERVICE_LABEL: f"/d/{SERVICE}?var-service=${{__value.text}}&${{job:queryparam}}"},
            columns=(
                Column("Calls/s", calls, "reqps"),
                Column("Change in an hour", f"{calls} - ({before} or 0 * {calls})", "reqps"),
                Column("Errors", errors, "percentunit", ERRORS),
                Column("p50", percentile(0.5), "s"),
                Column("p99", percentile(0.99), "s"),
            ),
        ),
        Panel(
            id=202,
            title="Calls by service",
            description="Calls per second.",
            unit="reqps",
            queries=(Query(calls, f"{{{{{SERVICE_LABEL}}}}}"),),
        ),
        Panel(
            id=203,
            title="Error ratio by service",
            description="Fraction of the calls that failed.",
            unit="percentunit",
            queries=(Query(errors, f"{{{{{SERVICE_LABEL}}}}}"),),
        ),
        Panel(
            id=204,
            title="p99 by service",
            description="Duration that 99 % of the calls do not exceed.",
            unit="s",
            queries=(Query(percentile(0.99), f"{{{{{SERVICE_LABEL}}}}}"),),
        ),
    )


def _objectives(objectives: Objectives) -> tuple[Panel, ...]:
    service = f"{{{{job}}}} {{{{{SERVICE_LABEL}}}}}"
    latency = objectives.latency
    budgets = (
        (301, "Error budget", error_ratio, objectives.budget, f"{objectives.slo:.6g} % of the calls succeed"),
        (
            311,
            "Latency budget",
            slow_ratio,
            latency.budget,
            f"{latency.percent:.6g} % of the calls take at most {latency.seconds:g} s",
        ),
    )
    found: list[Panel] = []
    for first, title, ratio_of, budget, objective in budgets:
        found.append(
            Panel(
                id=first,
                title=f"{title}: burn rate",
                description=f"Objective: {objective}. At 1 the budget of 30 days is used up in 30 days. From the "
                "recording rules.",
                width=16,
                steps=(Step(0.0, "green"), *(Step(each.factor, "red") for each in BURN_RATES[-1:])),
                queries=tuple(
                    Query(f"{gauge(ratio_of(each.long), _IN_JOB)} / {budget:.6g}", f"{service} {each.long}")
                    for each in BURN_RATES
                ),
            )
        )
        found.append(
            Panel(
                id=first + 1,
                type="stat",
                title=f"{title}: left",
                description=f"Objective: {objective}. Fraction of the budget of 3 days that is left. From the "
                "recording rules.",
                unit="percentunit",
                minimum=None,
                steps=(Step(-1e9, "red"), Step(0.0, "yellow"), Step(0.5, "green")),
                queries=(Query(f"1 - {gauge(ratio_of('3d'), _IN_JOB)} / {budget:.6g}", service),),
            )
        )
    return tuple(found)


def _features() -> tuple[Panel, ...]:
    results = rate(_RESULTS, IN_SCOPE)
    failed = rate(_RESULTS, IN_SCOPE, 'outcome="error"')
    feature = "{{feature}}"
    return (
        Panel(
            id=401,
            title="Uses by outcome",
            description="Uses of features per second, by outcome. Users gave up those that are abandoned.",
            unit="ops",
            is_stacked=True,
            queries=(Query(or_zero_by("outcome", by("feature, outcome", results)), "{{feature}} {{outcome}}"),),
        ),
        Panel(
            id=402,
            title="Error ratio",
            description="Fraction of the uses of features that failed.",
            unit="percentunit",
            queries=(Query(or_zero_by("feature", ratio("feature", failed, results)), feature),),
        ),
        Panel(
            id=403,
            title="Latency",
            description="Duration that 90 % of the uses do not exceed, as measured by servers and by clients.",
            unit="s",
            queries=(
                Query(quantile(0.9, "feature, origin", FEATURE_DURATION.name, IN_SCOPE), "{{feature}} {{origin}}"),
            ),
        ),
        Panel(
            id=404,
            title="Steps",
            description="Duration that 90 % of the steps of features do not exceed.",
            unit="s",
            width=12,
            queries=(Query(quantile(0.9, "feature, step", STEP_DURATION.name, IN_SCOPE), "{{feature}} {{step}}"),),
        ),
        Panel(
            id=405,
            title="Errors by type",
            description="Failed uses per second, by the class of the failure.",
            unit="ops",
            width=12,
            queries=(Query(or_zero_by("error_type", by("feature, error_type", failed)), "{{feature}} {{error_type}}"),),
        ),
    )
