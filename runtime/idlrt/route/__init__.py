"""Routing: rules that narrow the eligible instances of a call. Routers are plugins (entry points `idlrt.routers`)."""

from typing import TYPE_CHECKING

from idlrt.exports import deprecated_names
from idlrt.route.base import ROUTERS, CallerInfo, Endpoint, Pool, Router, Rule, Shares, Step
from idlrt.route.chain import Chain, explain, make_chain, no_instance_reason
from idlrt.route.conditions import Condition, call_condition, instance_condition
from idlrt.route.router_base import RouterBase, RuleError, errors_at

__all__ = [
    "ROUTERS",
    "CallerInfo",
    "Chain",
    "Condition",
    "Endpoint",
    "Pool",
    "Router",
    "RouterBase",
    "Rule",
    "RuleError",
    "Shares",
    "Step",
    "call_condition",
    "errors_at",
    "explain",
    "instance_condition",
    "make_chain",
    "no_instance_reason",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__)
