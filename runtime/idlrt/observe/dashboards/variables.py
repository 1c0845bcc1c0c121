"""Variables, colors and addresses that several dashboards share."""

from __future__ import annotations

from typing import Final

from idlrt.observe.dashboards.model import Step, Variable

__all__ = [
    "ERRORS",
    "FULL",
    "GOVERNANCE",
    "INSTANCE",
    "JOB",
    "METHOD",
    "OVERVIEW",
    "RESOURCES",
    "SERVICE",
    "SERVICE_VARIABLE",
]

OVERVIEW: Final = "idlrt-overview"
SERVICE: Final = "idlrt-service"
RESOURCES: Final = "idlrt-resources"
GOVERNANCE: Final = "idlrt-governance"
"""Identities of dashboards in URLs."""

# Programs with clients only have figures of their process as well, if they expose metrics.
JOB: Final = Variable("job", "Job", "label_values(rpc_observe_dropped_total, job)")
INSTANCE: Final = Variable("instance", "Instance", 'label_values(rpc_observe_dropped_total{job=~"$job"}, instance)')
SERVICE_VARIABLE: Final = Variable(
    "service",
    "Service",
    'label_values({__name__=~"rpc_(server|client)_call_duration_seconds_count",job=~"$job"}, rpc_method)',
    r"/^(.+)\.[^.]+$/",
)
METHOD: Final = Variable(
    "method",
    "Method",
    'label_values({__name__=~"rpc_(server|client)_call_duration_seconds_count",job=~"$job",'
    'rpc_method=~"($service)([.].+)?"}, rpc_method)',
)

ERRORS: Final = (Step(0.0, "green"), Step(0.001, "yellow"), Step(0.01, "red"))
"""Colors of error ratios."""
FULL: Final = (Step(0.0, "green"), Step(0.7, "yellow"), Step(0.9, "red"))
"""Colors of fractions of a limit."""
