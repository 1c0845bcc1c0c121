"""Narrowing the instances that a call may go to. Routers are plugins: entry points `idlrt.routers`."""

from idlrt.route.base import ROUTERS, Here, Pool, Routable, Router, Rule, Step

__all__ = ["ROUTERS", "Here", "Pool", "Routable", "Router", "Rule", "Step"]
